// Command versitygw is the object store of the local mode: versitygw's S3 gateway over its posix backend, pinned by this nested
// module so that its requirements stay out of the product's go.mod. It owns nothing but the wiring of that gateway. It must run
// as a process of its own (the posix backend changes the working directory), is reached only through the front in
// shared/local/awslocal/s3front, and ends when its standard input is closed, so that it can't outlive the program that started it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	listen := flag.String("listen", "", "address to serve on: 127.0.0.1:port, or the absolute path of a unix socket")
	data := flag.String("data", "", "folder that holds everything; made if it is missing")
	region := flag.String("region", "us-east-1", "region of the signatures that are accepted")
	flag.Parse()
	if err := run(*listen, *data, *region); err != nil {
		fmt.Fprintln(os.Stderr, "versitygw:", err)
		os.Exit(1)
	}
}

// run serves until standard input ends or a signal asks for the end. The root credentials come from the environment, never
// from the command line.
func run(listen, data, region string) error {
	access, secret := os.Getenv("ROOT_ACCESS_KEY"), os.Getenv("ROOT_SECRET_KEY")
	if listen == "" || data == "" || access == "" || secret == "" {
		return fmt.Errorf("-listen, -data, ROOT_ACCESS_KEY and ROOT_SECRET_KEY are all needed")
	}
	data, err := filepath.Abs(data)
	if err != nil {
		return fmt.Errorf("find the data folder: %w", err)
	}
	objects, versions, sidecar := filepath.Join(data, "objects"), filepath.Join(data, "versions"), filepath.Join(data, "sidecar")
	for _, dir := range []string{objects, versions} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the data folder: %w", err)
		}
	}
	// QUIRK: the backend's lock files ignore NewFilePerm.
	syscall.Umask(0o077)
	options := posix.PosixOpts{VersioningDir: versions, Concurrency: 1024, CopyObjectThreshold: 5 << 30} // 5 GiB is S3's own limit
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	var attributes meta.MetadataStorer = meta.XattrMeta{}
	if useSidecar(data, sidecar) {
		if err := os.MkdirAll(sidecar, 0o700); err != nil {
			return fmt.Errorf("make the sidecar folder: %w", err)
		}
		side, err := meta.NewSideCar(sidecar)
		if err != nil {
			return fmt.Errorf("open the sidecar folder: %w", err)
		}
		attributes, options.SideCarDir = side, sidecar
	}
	backend, err := posix.New(objects, attributes, options)
	if err != nil {
		return fmt.Errorf("open the posix backend: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		// The parent holds the other end open and writes nothing: the end of input is the parent's end, however it came.
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "versitygw: standard input:", err)
		}
		stop()
	}()
	return embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
		RootUserAccess: access,
		RootUserSecret: secret,
		Region:         region,
		Ports:          []string{listen},
		SocketPerm:     "0600",
		MaxConnections: 2048,
		MaxRequests:    1024,
		// S3's own limit of parts per upload.
		MultipartMaxParts: 10000,
		KeepAlive:         true,
		DisableACLs:       true,
		Quiet:             true,
	})
}

// useSidecar says whether attributes go into a folder beside the objects instead of into extended attributes: when this data
// folder began that way, or when the file system refuses extended attributes (older tmpfs, some network file systems).
func useSidecar(data, sidecar string) bool {
	if _, err := os.Stat(sidecar); err == nil {
		return true
	}
	probe, err := os.CreateTemp(data, "xattr-probe-*")
	if err != nil {
		return true
	}
	name := probe.Name()
	err = meta.XattrMeta{}.StoreAttribute(probe, "", name, "wecomvault-probe", []byte("1"))
	if closeErr := probe.Close(); err == nil {
		err = closeErr
	}
	if removeErr := os.Remove(name); err == nil {
		err = removeErr
	}
	return err != nil
}
