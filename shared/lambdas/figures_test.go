package lambdas_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/lambdas"
)

// denied is an error as AWS's SDK has them.
type denied struct{}

func (denied) Error() string     { return "not authorized" }
func (denied) ErrorCode() string { return "AccessDeniedException" }

func TestFailedWorkIsCountedAndWhatAWSDeniesApart(t *testing.T) {
	refused := fmt.Errorf("read the cursor: %w", denied{})
	for name, c := range map[string]struct {
		event string
		err   error
		want  map[string]float64 // nil: nothing is written
	}{
		"all well":                 {"process.json", nil, nil},
		"jobs come back":           {"process.json", errors.New("busy"), map[string]float64{"JobsRetried": 2}},
		"jobs are denied":          {"process.json", refused, map[string]float64{"JobsRetried": 2, "Denied": 2}},
		"jobs end for good":        {"process.json", fault.Newf(fault.Permanent, "gone", "gone"), nil},
		"a run fails":              {"fetch.json", errors.New("busy"), nil},
		"a run is denied":          {"fetch.json", errors.Join(errors.New("x"), refused), map[string]float64{"Denied": 1}},
		"a call's answer is none ": {"fsck.json", refused, map[string]float64{"Denied": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			f := lambdas.Function{Log: slog.New(slog.DiscardHandler), Stack: "vault", Name: "process", Metrics: &out,
				Job: func(context.Context, string) error { return c.err }, Schedule: func(context.Context, []byte) error { return c.err }}
			if c.event == "fsck.json" {
				f.Call = func(context.Context, []byte) (any, error) { return nil, c.err }
			}
			if _, err := f.Invoke(t.Context(), event(t, c.event)); c.event != "process.json" && !errors.Is(err, c.err) {
				t.Errorf("the run ends with %v", err)
			}
			if c.want == nil {
				if out.Len() > 0 {
					t.Errorf("written: %s", out.String())
				}
				return
			}
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			if line["Stack"] != "vault" || line["Function"] != "process" {
				t.Errorf("the function is %v of %v", line["Function"], line["Stack"])
			}
			for _, metric := range []string{"JobsRetried", "Denied"} {
				got, _ := line[metric].(float64)
				if got != c.want[metric] {
					t.Errorf("%s = %v, want %v", metric, got, c.want[metric])
				}
			}
		})
	}
}
