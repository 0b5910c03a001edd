package lambdahost

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

const testTemplate = `
Transform: AWS::Serverless-2016-10-31
Parameters:
  Start: {Type: String, Default: ''}
  Timeout: {Type: Number, Default: 1}
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
      Timeout: !Ref Timeout
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

func newHost(t testing.TB, options ...hostOption) *Host {
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

// patient gives the function time enough for a machine that has much else to do.
func patient(_ *Options, params map[string]string) { params["Timeout"] = "20" }

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

func TestWhoeverBillsIsToldOfEachInvocationAndSeesItsProcess(t *testing.T) {
	var mu sync.Mutex
	var ran []Ran
	h := newHost(t, func(o *Options, _ map[string]string) {
		o.Ran = func(r Ran) {
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, r)
		}
	})
	first := where(t, h)
	where(t, h)
	if list := h.Processes(); len(list) != 1 || list[0] != (Process{Function: "WorkFunction", PID: first.PID}) {
		t.Errorf("the processes are %v, the function's own id is %d", list, first.PID)
	}
	invoke(t, h, order{Do: "fail"})
	mu.Lock()
	defer mu.Unlock()
	if len(ran) != 3 || ran[0].InitDuration <= 0 || ran[1].InitDuration != 0 || ran[0].Failed || !ran[2].Failed || ran[1].Duration <= 0 || ran[1].Function.MemoryMB != 256 {
		t.Errorf("of three invocations it was told %+v", ran)
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

func TestTwoWaitingEventsGetTwoEnvironments(t *testing.T) {
	h := newHost(t, patient)
	dir := t.TempDir()
	answers := make(chan Result, 2)
	for range 2 {
		go func() {
			payload, err := json.Marshal(order{Do: "meet", N: 2, File: dir})
			if err != nil {
				t.Error(err)
			}
			res, err := h.Invoke(context.Background(), "WorkFunction", payload)
			if err != nil {
				t.Error(err)
			}
			answers <- res
		}()
	}
	for range 2 {
		if res := <-answers; string(res.Payload) != "2" {
			t.Errorf("%s", res.Payload)
		}
	}
}

func TestConcurrencyLimitMakesTheSecondWait(t *testing.T) {
	h := newHost(t, func(o *Options, _ map[string]string) { o.Concurrency = 1 })
	dir := t.TempDir()
	answers := make(chan Result, 2)
	for range 2 {
		go func() { answers <- invoke(t, h, order{Do: "meet", N: 2, File: dir}) }()
	}
	met := 0
	for range 2 {
		if res := <-answers; res.FunctionError == "" {
			met++
		}
	}
	if met != 1 { // the first waits in vain and is ended; the second finds what it left behind
		t.Errorf("%d of two met although one environment is the limit", met)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestEnvironmentAndItsChildrenAreFrozenBetweenInvocations(t *testing.T) {
	h := newHost(t)
	parent := where(t, h).PID
	file := filepath.Join(t.TempDir(), "beats")
	res := invoke(t, h, order{Do: "beat", File: file})
	var child int
	if err := json.Unmarshal(res.Payload, &child); err != nil {
		t.Fatalf("%s", res.Payload)
	}
	stopped := func(pid int) bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(raw), ") T ")
	}
	until(t, "both are stopped", func() bool { return stopped(parent) && stopped(child) })
	own, others := size(t, file), size(t, file+".child")
	res = invoke(t, h, order{Do: "hang"}) // thawed until the time-out
	if res.FunctionError == "" {
		t.Fatal("no time-out")
	}
	if size(t, file) == own {
		t.Error("it never thawed")
	}
	if size(t, file+".child") == others {
		t.Error("the child never thawed")
	}
	until(t, "the child dies with its environment", func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(raw), ") Z ")
	})
}

func TestFunctionSeesOnlyTheTemplatesEnvironmentAndLambdasOwn(t *testing.T) {
	t.Setenv("HOME", "/somewhere")
	t.Setenv("AWS_PROFILE", "production")
	h := newHost(t)
	var vars []string
	if err := json.Unmarshal(invoke(t, h, order{Do: "env"}).Payload, &vars); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"COLOUR": "blue", "START": "", "AWS_LAMBDA_FUNCTION_NAME": "work", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/work", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO",
		"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAWorkFunction", "AWS_SECRET_ACCESS_KEY": "secret", "_HANDLER": "bootstrap",
		"TZ": ":UTC", "LANG": "en_US.UTF-8", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin"}
	varying := map[string]bool{"AWS_LAMBDA_RUNTIME_API": true, "AWS_LAMBDA_LOG_STREAM_NAME": true, "LAMBDA_TASK_ROOT": true, "LD_LIBRARY_PATH": true, "TMPDIR": true,
		"WECOMVAULT_CLOCK_FILE": true, "_X_AMZN_TRACE_ID": true}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		expected, fixed := want[name]
		if !fixed && !varying[name] {
			t.Errorf("%s is in the environment", name)
		}
		if fixed && value != expected {
			t.Errorf("%s is %q, want %q", name, value, expected)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

func TestEachEnvironmentHasATemporaryFolderThatGoesWithIt(t *testing.T) {
	h := newHost(t)
	first := where(t, h)
	if _, err := os.Stat(first.Tmp); err != nil {
		t.Fatal(err)
	}
	invoke(t, h, order{Do: "exit"})
	second := where(t, h)
	if first.Tmp == second.Tmp {
		t.Error("two environments share a folder")
	}
	if _, err := os.Stat(first.Tmp); !os.IsNotExist(err) {
		t.Errorf("the folder of a dead environment is still there: %v", err)
	}
}

func TestAnswerOverSixMegabytesIsRefused(t *testing.T) {
	h := newHost(t, patient)
	if res := invoke(t, h, order{Do: "large", N: 6<<20 - 2}); res.FunctionError != "" {
		t.Errorf("6 MB exactly: %s", res.Payload)
	}
	res := invoke(t, h, order{Do: "large", N: 6<<20 - 1})
	if res.FunctionError == "" || !strings.Contains(string(res.Payload), "Function.ResponseSizeTooLarge") {
		t.Errorf("one byte more: %.100s", res.Payload)
	}
	if _, err := h.Invoke(context.Background(), "WorkFunction", make([]byte, 6<<20+1)); err == nil {
		t.Error("an event over 6 MB is taken")
	}
}

func TestFunctionThatCannotStartSaysWhy(t *testing.T) {
	h := newHost(t, func(_ *Options, p map[string]string) { p["Start"] = "exit" })
	res := invoke(t, h, order{})
	if res.FunctionError == "" || !strings.Contains(string(res.Payload), "exit status 7") || !strings.Contains(res.LogTail, "the setting X is missing") {
		t.Errorf("%s, log %q", res.Payload, res.LogTail)
	}
}

func TestFunctionThatNeverAsksForAnEventIsEnded(t *testing.T) {
	h := newHost(t, func(_ *Options, p map[string]string) { p["Start"] = "hang" })
	h.startup = 100 * time.Millisecond
	res := invoke(t, h, order{})
	if !strings.Contains(string(res.Payload), "Init timed out") {
		t.Errorf("%s", res.Payload)
	}
}

func TestMissingBinarySaysHowToBuildIt(t *testing.T) {
	h := newHost(t, func(o *Options, _ map[string]string) {
		o.Binary = func(template.Function) string { return "/nowhere/bootstrap" }
	})
	_, err := h.Invoke(context.Background(), "WorkFunction", []byte("{}"))
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v", err)
	}
}

func TestAsynchronousEventIsRetriedAsOftenAsTheTemplateSays(t *testing.T) {
	h := newHost(t)
	enough, never := filepath.Join(t.TempDir(), "enough"), filepath.Join(t.TempDir(), "never")
	for file, n := range map[string]int{enough: 2, never: 100} {
		payload, err := json.Marshal(order{Do: "count", File: file, N: n})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.InvokeAsync("WorkFunction", payload); err != nil {
			t.Fatal(err)
		}
	}
	if h.Idle() {
		t.Error("idle with two events accepted")
	}
	until(t, "idle", h.Idle)
	if got := size(t, enough); got != 2 {
		t.Errorf("an event that succeeds at the second attempt was tried %d times", got)
	}
	if got := size(t, never); got != 3 {
		t.Errorf("an event that always fails was tried %d times, want once and two retries", got)
	}
}

func TestAsynchronousEventMayComeTwice(t *testing.T) {
	h := newHost(t, func(o *Options, _ map[string]string) { o.Duplicate = func(string) bool { return true } })
	file := filepath.Join(t.TempDir(), "count")
	payload, err := json.Marshal(order{Do: "count", File: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.InvokeAsync("WorkFunction", payload); err != nil {
		t.Fatal(err)
	}
	until(t, "idle", h.Idle)
	if got := size(t, file); got != 2 {
		t.Errorf("delivered %d times", got)
	}
}

func TestAsynchronousEventThatGrewTooOldIsDropped(t *testing.T) {
	start := time.Now()
	var late atomic.Bool
	h := newHost(t, func(o *Options, _ map[string]string) {
		o.Concurrency = 1
		o.AsyncPauses = []time.Duration{61 * time.Second}
		o.Real = func() time.Time {
			if late.Load() {
				return start.Add(time.Hour)
			}
			return start
		}
	})
	file := filepath.Join(t.TempDir(), "count")
	payload, err := json.Marshal(order{Do: "count", File: file, N: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.InvokeAsync("WorkFunction", payload); err != nil { // a retry in 61 s would exceed the template's 60 s
		t.Fatal(err)
	}
	until(t, "idle", h.Idle)
	if got := size(t, file); got != 1 {
		t.Errorf("tried %d times", got)
	}
}

// asHost is this test program as a host that will be killed: it invokes once, prints the function's process id and waits.
func asHost() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	dir := os.Getenv("LAMBDAHOST_TEST_DIR")
	tmpl, err := template.Parse("test.yaml", []byte(testTemplate), nil)
	if err != nil {
		panic(err)
	}
	h, err := New(Options{Template: tmpl, Binary: func(template.Function) string { return self }, Now: time.Now,
		Credentials: func(string) (string, string) { return "", "" }, Logs: dir, Temporary: dir})
	if err != nil {
		panic(err)
	}
	res, err := h.Invoke(context.Background(), "WorkFunction", []byte(`{"do":"where"}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(string(res.Payload))
	<-context.Background().Done()
}

func TestFunctionsDieWithAKilledHost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process of its parent's death")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(self)
	host.Env = append(os.Environ(), "LAMBDAHOST_TEST_DIR="+t.TempDir())
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	var p place
	if err := json.NewDecoder(out).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := host.Wait(); err == nil {
		t.Error("the killed host ended well")
	}
	until(t, "the frozen function is gone", func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		return err != nil || strings.Contains(string(raw), ") Z ")
	})
}

func TestCloseLeavesNoProcess(t *testing.T) {
	h := newHost(t)
	pid := where(t, h).PID
	hanging := make(chan error, 1)
	go func() {
		_, err := h.Invoke(context.Background(), "WorkFunction", []byte(`{"do":"hang"}`))
		hanging <- err
	}()
	until(t, "busy", func() bool { return !h.Idle() && h.Busy("WorkFunction") == 1 })
	if n := h.Busy("OtherFunction"); n != 0 {
		t.Errorf("a function that there is not has %d environments", n)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-hanging; err == nil {
		t.Error("the invocation that was cut off has no error")
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Errorf("process %d is still there", pid)
	}
	if _, err := h.Invoke(context.Background(), "WorkFunction", []byte(`{}`)); err == nil {
		t.Error("a closed host runs functions")
	}
	entries, err := os.ReadDir(h.opts.Temporary)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

func TestEverySecondProcessHasTheOtherClock(t *testing.T) {
	h := &Host{opts: Options{ClockFile: "one", OtherClockFile: "other"}}
	if got := []string{h.clockFile(), h.clockFile(), h.clockFile()}; got[0] != "one" || got[1] != "other" || got[2] != "one" {
		t.Errorf("the clocks are %v", got)
	}
	h = &Host{opts: Options{ClockFile: "one"}}
	if got := []string{h.clockFile(), h.clockFile()}; got[0] != "one" || got[1] != "one" {
		t.Errorf("without another clock they are %v", got)
	}
}
