package lambdahost

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

const testTemplate = `
Transform: AWS::Serverless-2016-10-31
Parameters:
  Start: {Type: String, Default: ''}
Resources:
  WorkQueue:
    Type: AWS::SQS::Queue
    Properties: {VisibilityTimeout: 6}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: work
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: .
      Architectures: [x86_64]
      MemorySize: 256
      Timeout: 1
      Role: !GetAtt Role.Arn
      LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: INFO, LogGroup: /aws/lambda/work}
      Environment:
        Variables: {START: !Ref Start, COLOUR: blue}
      EventInvokeConfig: {MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 60}
      Events:
        Tick:
          Type: ScheduleV2
          Properties: {ScheduleExpression: rate(5 minutes), ScheduleExpressionTimezone: UTC}
`

type hostOption func(*Options, map[string]string)

func newHost(t *testing.T, options ...hostOption) *Host {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	opts := Options{
		Endpoint:    "http://127.0.0.1:1",
		Binary:      func(template.Function) string { return self },
		Credentials: func(id string) (string, string) { return "AKIA" + id, "secret" },
		ClockFile:   filepath.Join(dir, "clock"),
		Logs:        filepath.Join(dir, "logs"),
		Temporary:   filepath.Join(dir, "tmp"),
		Now:         time.Now,
		AsyncPauses: []time.Duration{time.Millisecond},
	}
	params := map[string]string{}
	for _, o := range options {
		o(&opts, params)
	}
	if opts.Template == nil {
		opts.Template, err = template.Parse("test.yaml", []byte(testTemplate), params)
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func invoke(t *testing.T, h *Host, o order) Result {
	t.Helper()
	payload, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	res, err := h.Invoke(context.Background(), "WorkFunction", payload)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// until polls a state with a deadline.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited too long: " + what)
		}
	}
}

type place struct {
	PID     int    `json:"pid"`
	Served  int    `json:"served"`
	Tmp     string `json:"tmp"`
	ARN     string `json:"arn"`
	Request string `json:"request"`
	LeftMS  int64  `json:"left_ms"`
	Trace   string `json:"trace"`
}

func where(t *testing.T, h *Host) place {
	t.Helper()
	var p place
	res := invoke(t, h, order{Do: "where"})
	if err := json.Unmarshal(res.Payload, &p); err != nil {
		t.Fatalf("%s: %v", res.Payload, err)
	}
	return p
}

func TestIdleEnvironmentIsUsedAgain(t *testing.T) {
	h := newHost(t)
	first, second := where(t, h), where(t, h)
	if first.PID != second.PID || second.Served != 2 {
		t.Errorf("first %+v, then %+v", first, second)
	}
	if first.ARN != "arn:aws:lambda:us-east-1:000000000000:function:work" {
		t.Errorf("function ARN %s", first.ARN)
	}
	if first.LeftMS < 500 || first.LeftMS > 1000 {
		t.Errorf("%d ms left of a second", first.LeftMS)
	}
	if first.Request == second.Request {
		t.Error("two invocations under one request id")
	}
}

func TestFailureIsAnAnswerAndPanicEndsTheEnvironment(t *testing.T) {
	h := newHost(t)
	before := where(t, h)
	res := invoke(t, h, order{Do: "fail"})
	if res.FunctionError != "Unhandled" || string(res.Payload) != `{"errorMessage":"no luck","errorType":"errorString"}` {
		t.Errorf("%s %s", res.FunctionError, res.Payload)
	}
	if after := where(t, h); after.PID != before.PID {
		t.Error("an error cost the environment")
	}
	for _, do := range []string{"panic", "exit", "hang"} {
		pid := where(t, h).PID
		res := invoke(t, h, order{Do: do})
		if res.FunctionError == "" {
			t.Errorf("%s: no error", do)
		}
		t.Log(do, string(res.Payload)[:min(120, len(res.Payload))], res.Duration)
		if where(t, h).PID == pid {
			t.Errorf("%s: the environment is used again", do)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			t.Errorf("%s: process %d is still there", do, pid)
		}
	}
}
