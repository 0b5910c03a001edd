// Package lambdas is the one place that meets the Lambda runtime: it turns events into calls of a function's flow, and the class of an
// error (package fault) into what becomes of the work. It knows nothing of what a job means.
package lambdas

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

// Function is what a program offers to its triggers. Nil where a trigger is not used.
type Function struct {
	Log *slog.Logger

	// Schedule runs on EventBridge Scheduler's event, and on an event that is none of the others: an operator's manual call.
	Schedule func(ctx context.Context, input []byte) error

	// Call is like Schedule, for a function whose caller may wait for an answer, which becomes JSON. A function has one of the two.
	Call func(ctx context.Context, input []byte) (any, error)

	// Job does one job of the queue. A nil error acknowledges it. So does a permanent one, whose outcome the flow has recorded.
	// Anything else brings the job back after a pause.
	Job func(ctx context.Context, body string) error

	// Pause makes a failed job visible again after d instead of after the queue's visibility time-out.
	Pause func(ctx context.Context, receiptHandle string, d time.Duration) error

	// HTTP answers requests of an HTTP API. It finds the checked token by TokenOf, and refuses a request that has none. What it answers is sent
	// when it returns.
	HTTP http.Handler

	// Stack and Name are what the stack and the function are called in metrics, and Metrics is where those go that tell of failed work.
	// Run fills them in.
	Stack   string
	Name    string
	Metrics io.Writer
}

// metricRetried counts jobs that failed and come back. Every function has it and telemetry.Denied, which counts jobs and runs that failed
// because AWS denied us something, beside those of its own. They are written only where there is something to tell.
const metricRetried = "JobsRetried"

// Stack is the name of the stack that this program runs in; empty outside of Lambda.
func Stack() string {
	stack, _ := named()
	return stack
}

// named takes the name apart that Lambda gives us: the template names functions after the stack and their folder.
func named() (stack, folder string) {
	end := strings.LastIndex(lambdacontext.FunctionName, "-")
	return lambdacontext.FunctionName[:max(0, end)], lambdacontext.FunctionName[end+1:]
}

// Run hands the process over to the Lambda runtime and does not return.
func Run(f Function) {
	f.Stack, f.Name = named()
	f.Metrics = os.Stdout
	lambda.Start(f.Invoke)
}

// Invoke answers one event. Exported for tests, which feed it the files in events/.
func (f Function) Invoke(ctx context.Context, event json.RawMessage) (any, error) {
	if lc, ok := lambdacontext.FromContext(ctx); ok && f.Log != nil {
		f.Log = f.Log.With(slog.String("requestId", lc.AwsRequestID))
	}
	var queued events.SQSEvent
	if err := json.Unmarshal(event, &queued); err == nil && len(queued.Records) > 0 && queued.Records[0].EventSource == "aws:sqs" {
		if f.Job == nil {
			return nil, errors.New("this function has no queue")
		}
		return f.jobs(ctx, queued), nil
	}
	defer f.guard(ctx)
	if f.HTTP != nil {
		return f.answer(ctx, event)
	}
	if f.Call != nil {
		answer, err := f.Call(ctx, event)
		if err != nil {
			f.Log.ErrorContext(ctx, "run failed", slog.String("error", err.Error()))
			f.tell(ctx, []error{err}, 0)
		}
		return answer, err
	}
	if f.Schedule == nil {
		return nil, errors.New("this function is not run by a schedule")
	}
	if err := f.Schedule(ctx, event); err != nil {
		f.Log.ErrorContext(ctx, "run failed", slog.String("error", err.Error()))
		f.tell(ctx, []error{err}, 0)
		return nil, err
	}
	return nil, nil
}

// tell writes an invocation's failures as metrics. retried is how many of them are jobs that come back.
func (f Function) tell(ctx context.Context, all []error, retried int) {
	if f.Metrics == nil {
		return
	}
	m := telemetry.NewMetrics(f.Metrics, f.Stack, f.Name)
	for _, err := range all {
		if fault.Denied(err) {
			m.Add(telemetry.Denied, 1)
		}
	}
	if retried > 0 {
		m.Add(metricRetried, float64(retried))
	}
	if err := m.Flush(clock.Now()); err != nil {
		f.Log.WarnContext(ctx, "metrics can't be written", slog.String("error", err.Error()))
	}
}

// farewell is kept at the end of an invocation to say which jobs failed. An invocation that is ended at its time-out says nothing, and then
// its jobs come back only after the queue's visibility time-out, six times as long.
const farewell = 5 * time.Second

func (f Function) jobs(ctx context.Context, event events.SQSEvent) events.SQSEventResponse {
	var response events.SQSEventResponse
	working := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		working, cancel = context.WithDeadline(ctx, end.Add(-min(farewell, end.Sub(clock.Real())/10)))
		defer cancel()
	}
	var failed []error
	for _, record := range event.Records {
		err := f.job(working, record)
		if err == nil {
			continue
		}
		failed = append(failed, err)
		if fault.KindOf(err) == fault.Permanent {
			f.Log.WarnContext(ctx, "job ended for good", slog.String("job", record.MessageId), slog.String("error", err.Error()))
			continue
		}
		pause := PauseAfter(receives(record))
		f.Log.ErrorContext(ctx, "job will be tried again", slog.String("job", record.MessageId),
			slog.String("error", err.Error()), slog.Duration("pause", pause))
		if f.Pause != nil {
			if err := f.Pause(ctx, record.ReceiptHandle, pause); err != nil {
				// The job still comes back, after the visibility time-out.
				f.Log.WarnContext(ctx, "pause failed", slog.String("job", record.MessageId), slog.String("error", err.Error()))
			}
		}
		response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
	}
	f.tell(ctx, failed, len(response.BatchItemFailures))
	return response
}

// job keeps a panic of one job from failing its neighbours.
func (f Function) job(ctx context.Context, record events.SQSMessage) (err error) {
	defer fault.Catch(&err)
	return f.Job(ctx, record.Body)
}

// guard lets a run that panicked say so without its value. It panics again, since what the run has left behind may be in any state: the runtime
// reports that to Lambda and ends the process.
func (f Function) guard(ctx context.Context) {
	if r := recover(); r != nil {
		err := fault.Died(r)
		f.Log.ErrorContext(ctx, "run failed", slog.String("error", err.Error()))
		f.tell(ctx, []error{err}, 0)
		panic(err)
	}
}

func receives(record events.SQSMessage) int {
	n, err := strconv.Atoi(record.Attributes["ApproximateReceiveCount"])
	if err != nil {
		return 1
	}
	return n
}

// PauseAfter is how long a job rests after its n-th failure: one second, then twice as long each time, up to two hours.
func PauseAfter(n int) time.Duration {
	return min(time.Second<<min(max(n-1, 0), 20), 2*time.Hour)
}
