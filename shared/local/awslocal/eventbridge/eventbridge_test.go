package eventbridge_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/eventbridge"
)

const event = `{"source":"aws.ses","detail-type":"Email Sent","time":"2032-02-10T12:00:01Z",
	"detail":{"eventType":"Send","mail":{"messageId":"m-1","destination":["ann@tide.example"],"tags":{"set:name":["vault"],"corp":["d3c"],"n":7}}}}`

func rule(pattern map[string]any, targets ...eventbridge.Target) eventbridge.Rule {
	return eventbridge.Rule{Name: "r", ARN: "arn:rule", Pattern: pattern, Targets: targets}
}

var target = eventbridge.Target{
	Queue: "arn:q", Template: `{"event": <event>, "corp": <corp>, "first": <first>, "fixed": "x"}`,
	Paths: map[string]string{"event": "$.detail.eventType", "corp": "$.detail.mail.tags.corp", "first": "$.detail.mail.tags.corp[0]"},
}

func TestARulesTargetGetsWhatItsTransformerMakes(t *testing.T) {
	yes := map[string]any{"source": []any{"aws.ses"}, "detail": map[string]any{"mail": map[string]any{"tags": map[string]any{
		"set:name": []any{"other", "vault"}, "corp": []any{map[string]any{"exists": true}}}}}}
	for _, c := range []struct {
		name    string
		pattern map[string]any
		target  eventbridge.Target
		want    map[string]string
	}{
		{"transformed", yes, target, map[string]string{"arn:q": `{"event": "Send", "corp": ["d3c"], "first": "d3c", "fixed": "x"}`}},
		{"as it is", yes, eventbridge.Target{Queue: "arn:q"}, map[string]string{"arn:q": event}},
		{"another source", map[string]any{"source": []any{"aws.s3"}}, target, map[string]string{}},
		{"as absent as asked", map[string]any{"detail": map[string]any{"mail": map[string]any{"spam": []any{map[string]any{"exists": false}}}}}, eventbridge.Target{Queue: "arn:q"},
			map[string]string{"arn:q": event}},
		{"there against the wish", map[string]any{"detail": map[string]any{"eventType": []any{map[string]any{"exists": false}}}}, target, map[string]string{}},
		{"nothing there", map[string]any{"detail": map[string]any{"bounce": map[string]any{"bounceType": []any{map[string]any{"exists": true}}}}}, target, map[string]string{}},
	} {
		got := map[string]string{}
		bus := eventbridge.New(func(ruleARN, queue, body string) error {
			if ruleARN != "arn:rule" {
				t.Errorf("%s: in the name of %s", c.name, ruleARN)
			}
			got[queue] = body
			return nil
		})
		if err := bus.SetRules([]eventbridge.Rule{rule(c.pattern, c.target)}); err != nil {
			t.Fatal(err)
		}
		if err := bus.Put([]byte(event)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestAnEventThatNobodyTakesIsAnError(t *testing.T) {
	bus := eventbridge.New(func(string, string, string) error { return errors.New("full") })
	if err := bus.SetRules([]eventbridge.Rule{rule(map[string]any{"source": []any{"aws.ses"}}, target)}); err != nil {
		t.Fatal(err)
	}
	if err := bus.Put([]byte(event)); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("%v", err)
	}
	if err := bus.Put([]byte(`{`)); err == nil {
		t.Error("half an event was put")
	}
}

func TestWhatTheBusDoesNotKnowIsRefused(t *testing.T) {
	bus := eventbridge.New(nil)
	good := map[string]any{"source": []any{"aws.ses"}}
	for name, r := range map[string]eventbridge.Rule{
		"an empty pattern":            rule(map[string]any{}, target),
		"a number":                    rule(map[string]any{"source": []any{int64(1)}}, target),
		"a prefix":                    rule(map[string]any{"source": []any{map[string]any{"prefix": "aws"}}}, target),
		"no list":                     rule(map[string]any{"detail": map[string]any{"a": "b"}}, target),
		"no target":                   rule(good),
		"a path with brackets":        rule(good, eventbridge.Target{Paths: map[string]string{"a": "$['detail']"}}),
		"a variable without a path":   rule(good, eventbridge.Target{Template: `{"a": <b>}`}),
		"a template that is not JSON": rule(good, eventbridge.Target{Template: `{"a": }`}),
	} {
		if err := bus.SetRules([]eventbridge.Rule{r}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzPut(f *testing.F) {
	f.Add([]byte(event))
	f.Add([]byte(`{"source":["aws.ses"],"detail":[]}`))
	bus := eventbridge.New(func(string, string, string) error { return nil })
	if err := bus.SetRules([]eventbridge.Rule{rule(map[string]any{"source": []any{"aws.ses"}}, target)}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		// Whatever comes, it ends with an answer.
		if err := bus.Put(b); err != nil {
			return
		}
	})
}
