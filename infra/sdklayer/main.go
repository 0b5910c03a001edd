// Command sdklayer makes the Lambda layer that holds the customer's own copy of Tencent's Finance SDK: it checks the file, packs it with
// a manifest, publishes it in the customer's account and prints the ARN for the template's parameter SdkLayerArn. It loads nothing,
// changes nothing in the file, and sends it nowhere else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/wecomvault/wecomvault/shared/clock"
)

// Exit codes.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitNotPublished = 3 // the layer is built and lies where -out says; there was nobody to publish it as
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the whole command. lookup is os.Getenv: SOURCE_DATE_EPOCH fixes the manifest's time, the rest is the AWS SDK's own.
func run(ctx context.Context, args []string, lookup func(string) string, out, log io.Writer) int {
	flags := flag.NewFlagSet("sdklayer", flag.ContinueOnError)
	flags.SetOutput(log)
	sdk := flags.String("sdk", "", "path of libWeWorkFinanceSdk_C.so for Linux x86_64")
	libz := flags.String("libz", "", "path of a libz.so.1 to lie beside it, if Lambda's image should lack one")
	zip := flags.String("out", "sdk-layer.zip", "where the layer's zip is written")
	name := flags.String("name", "wecomvault-sdk", "the layer's name")
	dry := flags.Bool("dry", false, "check and build only")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if *sdk == "" || flags.NArg() > 0 {
		fmt.Fprintln(log, "sdklayer: name the library: make sdk-layer SDK=/path/of/libWeWorkFinanceSdk_C.so")
		return exitUsage
	}
	files, err := read(*sdk, *libz)
	if err != nil {
		fmt.Fprintln(log, "sdklayer:", err)
		return exitFailed
	}
	built, err := when(lookup("SOURCE_DATE_EPOCH"))
	if err != nil {
		fmt.Fprintln(log, "sdklayer:", err)
		return exitUsage
	}
	raw, err := layer(files, built)
	if err == nil {
		err = os.WriteFile(*zip, raw, 0o600)
	}
	if err != nil {
		fmt.Fprintln(log, "sdklayer:", err)
		return exitFailed
	}
	describe(out, files, *zip, len(raw))
	if *dry {
		fmt.Fprintln(out, "not published, as asked")
		return exitDone
	}
	arn, err := publish(ctx, *name, files[0], raw)
	switch {
	case errors.Is(err, errNobody):
		fmt.Fprintf(out, "not published: %v\n", err)
		return exitNotPublished
	case err != nil:
		fmt.Fprintln(log, "sdklayer:", err)
		return exitFailed
	}
	fmt.Fprintf(out, "published: deploy with\n  SdkLayerArn=%s\n", arn)
	return exitDone
}

func read(sdk, libz string) ([]file, error) {
	library, err := readLibrary(sdk)
	if err != nil {
		return nil, err
	}
	files := []file{library}
	if libz != "" {
		z, err := readLibz(libz)
		if err != nil {
			return nil, err
		}
		files = append(files, z)
	}
	return files, nil
}

func when(epoch string) (time.Time, error) {
	if epoch == "" {
		return clock.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: it counts seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0), nil
}

func describe(out io.Writer, files []file, zip string, bytes int) {
	library := files[0]
	fmt.Fprintf(out, "library: x86_64, %d bytes, sha256 %s\n", library.Bytes, library.SHA256)
	if library.Version == "unknown" {
		fmt.Fprintln(out, "version: unknown: it has all functions of Tencent's interface, and its digest is none of those that this project has loaded")
	} else {
		fmt.Fprintf(out, "version: %s, which this project has loaded\n", library.Version)
	}
	if slices.Contains(library.Needs, "libz.so.1") && len(files) == 1 {
		fmt.Fprintln(out, "libz: the library needs libz.so.1, and whether Lambda's image has one was never tried; LIBZ=PATH puts a copy beside it")
	}
	fmt.Fprintf(out, "layer: %s, %d bytes\n", zip, bytes)
}

// errNobody is no credentials, or no region: not a failure of what was built.
var errNobody = errors.New("no AWS account is at hand")

// publish makes a new version of the layer in the account that the SDK's ordinary environment names, and returns its ARN.
func publish(ctx context.Context, name string, library file, raw []byte) (string, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNobody, err)
	}
	if cfg.Region == "" {
		return "", fmt.Errorf("%w: no region is set (AWS_REGION)", errNobody)
	}
	brief, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(brief); err != nil {
		return "", fmt.Errorf("%w: no credentials (aws configure, or AWS_PROFILE)", errNobody)
	}
	answer, err := lambda.NewFromConfig(cfg).PublishLayerVersion(ctx, &lambda.PublishLayerVersionInput{
		LayerName:               &name,
		Content:                 &lambdatypes.LayerVersionContentInput{ZipFile: raw},
		CompatibleArchitectures: []lambdatypes.Architecture{lambdatypes.ArchitectureX8664},
		CompatibleRuntimes:      []lambdatypes.Runtime{lambdatypes.RuntimeProvidedal2023},
		Description:             aws.String("Tencent Finance SDK " + library.Version + ", the account's own copy, sha256 " + library.SHA256),
		LicenseInfo:             aws.String("Tencent's; not part of WeCom Vault"),
	})
	if err != nil {
		return "", fmt.Errorf("publish the layer %s: %w", name, err)
	}
	return aws.ToString(answer.LayerVersionArn), nil
}
