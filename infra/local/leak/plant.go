package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/klauspost/compress/zstd"

	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// plantEverywhere puts one canary into each place, each written another way and by the way on which a leak would come, and returns the places in
// which it is not found.
func (p *played) plantEverywhere(ctx context.Context, s *searcher) (blind []string, err error) {
	w := p.words
	for _, step := range []struct {
		place, kind string
		plant       func() error
	}{
		{logLines, "text", func() error {
			return p.write("wecomvault-process.log", `{"level":"INFO","error":"`+escapes(w["text"])+`"}`)
		}},
		{metrics, "mobile", func() error {
			return p.write("wecomvault-watch.log", `{"_aws":{"CloudWatchMetrics":[]},"Function":"`+hexed([]byte(w["mobile"]))+`"}`)
		}},
		{queueBodies, "file name", func() error {
			url := p.Template.Outputs["RedriveQueueUrl"]
			body, err := json.Marshal(map[string]string{"corp": "x" + base64.StdEncoding.EncodeToString([]byte("ab"+w["file name"]))})
			if err == nil {
				_, err = sqs.NewFromConfig(p.Config(operator)).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(string(body))})
			}
			return err
		}},
		{events, "link", func() error {
			return p.Host.InvokeAsync("WatchFunction", []byte(`{"asked":"`+url.QueryEscape(w["link"])+`"}`))
		}},
		{errorsOf, "archive secret", func() error {
			p.ran(lambdahost.Ran{Function: p.Template.Functions[0], Failed: true, Answer: []byte(`{"errorMessage":"` + w["archive secret"] + `"}`)})
			return nil
		}},
		{answers, "key 1", func() error {
			p.ran(lambdahost.Ran{Function: p.Template.Functions[0], Answer: append([]byte("x"), p.canaries["key 1"]...)})
			return nil
		}},
		{processes, "contacts secret", func() error { return p.start(ctx, w["contacts secret"]) }},
		{tableKeys, "name", func() error {
			_, err := dynamodb.NewFromConfig(p.Config(operator)).PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(p.Tables().Control), Item: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: "planted"}, "sk": &types.AttributeValueMemberS{Value: zipped(w["name"])}}})
			return err
		}},
		{objectKeys, "room name", func() error {
			client := s3.NewFromConfig(p.Config(operator), func(o *s3.Options) { o.UsePathStyle = true })
			_, err := objstore.New(client, p.Template.Outputs["ReportsBucket"]).PutBlob(ctx, "mails/"+url.PathEscape(w["room name"]), "text/plain", []byte("x"))
			return err
		}},
		{coreDumps, "telephone", func() error {
			b, err := squeezed(wide(w["telephone"]))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(p.o.folders.Data, "tmp", "core.1"), append(coreHeader(), b...), 0o600)
		}},
	} {
		if err := step.plant(); err != nil {
			return nil, fmt.Errorf("plant a canary in the place %q: %w", step.place, err)
		}
		found, err := house.Until(ctx, 10*time.Second, func() (bool, error) {
			all, err := p.places(ctx)
			if err != nil {
				return false, err
			}
			i := slices.IndexFunc(all, func(x place) bool { return x.name == step.place })
			return i >= 0 && slices.ContainsFunc(all[i].search(s), func(line string) bool { return strings.Contains(line, fmt.Sprintf("%q", step.kind)) }), nil
		})
		if err != nil {
			return nil, err
		}
		if !found {
			blind = append(blind, step.place)
		}
	}
	return blind, nil
}

func (p *played) write(log, line string) error {
	f, err := os.OpenFile(filepath.Join(p.o.folders.Data, "logs", log), os.O_APPEND|os.O_WRONLY, 0) // #nosec G304 -- of the run's own folder
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// start runs a process whose environment holds a word, for as long as it takes to be seen.
func (p *played) start(ctx context.Context, word string) error {
	cmd := exec.CommandContext(ctx, "sleep", "0.5")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "WORD=" + word}
	return cmd.Run()
}

func escapes(word string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(word)) {
		fmt.Fprintf(&b, `\u%04X`, u)
	}
	return b.String()
}

func wide(word string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(word)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// zipped is a word in gzip, in base64.
func zipped(word string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(word)); err != nil {
		return ""
	}
	if err := z.Close(); err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func squeezed(data []byte) ([]byte, error) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(data, nil), enc.Close()
}

// coreHeader is the least that makes a file an ELF core dump.
func coreHeader() []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20], b[52], b[54], b[58] = coreType, 62, 1, 64, 56, 64
	return b
}
