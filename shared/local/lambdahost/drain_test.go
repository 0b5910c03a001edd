//go:build linux || darwin

package lambdahost

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestADrainIsEmptyOnlyOnceTheLogHasAll(t *testing.T) {
	reader, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	begun, gate := make(chan struct{}), make(chan struct{})
	var log bytes.Buffer
	d, err := newDrain(reader, writer(func(p []byte) (int, error) {
		select {
		case begun <- struct{}{}:
			<-gate
		default:
		}
		return log.Write(p)
	}))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { d.run(); close(ended) }()
	if _, err := io.WriteString(pipe, "first "); err != nil {
		t.Fatal(err)
	}
	<-begun // the line is out of the pipe, and not in the log
	if _, err := io.WriteString(pipe, "second"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(gate) })
	d.empty()
	if got := log.String(); got != "first second" {
		t.Errorf("the log has %q", got)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// TestTheWordsOfAnInvocationAreInTheLogWhenItsAnswerIs has one processor: what is only on its way when the answer comes stays there.
func TestTheWordsOfAnInvocationAreInTheLogWhenItsAnswerIs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	h := newHost(t)
	for range 100 {
		if res := invoke(t, h, order{Do: "say", N: 200}); res.FunctionError != "" || !strings.HasSuffix(res.LogTail, "line 199\n") {
			t.Fatalf("%s, the log ends %q", res.Payload, res.LogTail[max(0, len(res.LogTail)-40):])
		}
	}
}
