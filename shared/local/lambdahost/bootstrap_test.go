package lambdahost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// TestMain lets this test program be the function, too: started by the host it is a bootstrap over the real Lambda library.
func TestMain(m *testing.M) {
	if file := os.Getenv("LAMBDAHOST_TEST_BEAT"); file != "" {
		beat(file)
	}
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		bootstrap()
		return
	}
	if os.Getenv("LAMBDAHOST_TEST_DIR") != "" {
		asHost()
		return
	}
	os.Exit(m.Run())
}

// beat adds a letter to a file every five milliseconds.
func beat(file string) {
	for range time.Tick(5 * time.Millisecond) {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		if _, err := f.WriteString("x"); err != nil {
			panic(err)
		}
		if err := f.Close(); err != nil {
			panic(err)
		}
	}
}

// order is the event of the test function: what it is to do.
type order struct {
	Do      string            `json:"do"`
	N       int               `json:"n"`
	File    string            `json:"file"`
	Records []json.RawMessage `json:"Records"`
}

// batch leaves its event in the folder that START names, under its own number, and answers as the message bodies there say: ok, fail,
// panic, or text that becomes the whole answer.
func batch(o order) (any, error) {
	dir := os.Getenv("START")
	before, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	whole := filepath.Join(os.TempDir(), "event") // whoever looks sees all of it or nothing
	if err := os.WriteFile(whole, raw, 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(whole, filepath.Join(dir, fmt.Sprintf("%04d", len(before)))); err != nil {
		return nil, err
	}
	failed := []map[string]string{}
	for _, r := range o.Records {
		var m struct{ MessageID, Body string }
		if err := json.Unmarshal(r, &m); err != nil {
			return nil, err
		}
		switch m.Body {
		case "ok":
		case "fail":
			failed = append(failed, map[string]string{"itemIdentifier": m.MessageID})
		case "panic":
			panic("poisoned")
		default:
			return json.RawMessage(m.Body), nil
		}
	}
	return map[string]any{"batchItemFailures": failed}, nil
}

func bootstrap() {
	switch os.Getenv("START") {
	case "exit":
		fmt.Println("cannot start: the setting X is missing")
		os.Exit(7)
	case "hang":
		<-context.Background().Done()
	}
	served := 0
	lambda.Start(func(ctx context.Context, o order) (any, error) {
		served++
		if len(o.Records) > 0 {
			return batch(o)
		}
		switch o.Do {
		case "env":
			vars := os.Environ()
			sort.Strings(vars)
			return vars, nil
		case "where":
			lc, _ := lambdacontext.FromContext(ctx)
			deadline, _ := ctx.Deadline()
			return map[string]any{"pid": os.Getpid(), "served": served, "tmp": os.TempDir(), "arn": lc.InvokedFunctionArn, "request": lc.AwsRequestID,
				"left_ms": time.Until(deadline).Milliseconds(), "trace": os.Getenv("_X_AMZN_TRACE_ID")}, nil
		case "large":
			return strings.Repeat("x", o.N), nil
		case "say":
			for n := range o.N {
				fmt.Printf("line %d\n", n)
			}
			return nil, nil
		case "fail":
			return nil, errors.New("no luck")
		case "panic":
			panic("out of order")
		case "exit":
			os.Exit(3)
		case "hang":
			<-context.Background().Done()
		case "meet": // answers once n environments are here at the same time
			mine := filepath.Join(o.File, strconv.Itoa(os.Getpid()))
			if err := os.WriteFile(mine, nil, 0o600); err != nil {
				return nil, err
			}
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				here, err := os.ReadDir(o.File)
				if err != nil || len(here) >= o.N {
					return len(here), err
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
		case "count": // appends to a file, and fails as long as the file is shorter than n
			f, err := os.OpenFile(o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return nil, err
			}
			if _, err := f.WriteString("x"); err != nil {
				return nil, err
			}
			info, err := f.Stat()
			if err != nil {
				return nil, err
			}
			if err := f.Close(); err != nil {
				return nil, err
			}
			if info.Size() < int64(o.N) {
				return nil, errors.New("not yet")
			}
			return info.Size(), nil
		case "beat": // goes on beating after its answer, for as long as it isn't frozen
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "LAMBDAHOST_TEST_BEAT="+o.File+".child")
			child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it leaves the function's group
			if err := child.Start(); err != nil {
				return nil, err
			}
			go beat(o.File)
			return child.Process.Pid, nil
		}
		fmt.Println("nothing to do")
		return map[string]int{"served": served}, nil
	})
}
