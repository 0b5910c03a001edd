package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// doctor tests what an archive needs, from the operator's machine and with the operator's rights, and says what to do about each thing that is
// not as it should be.
//
// WeCom answers trusted addresses alone, and the operator's is none of them; only the functions hold the corps' secrets, and only they have the
// layer. So what WeCom answers and whether the library loads is tried by the functions that need it, which are invoked for it: directory asks
// with each secret, fetch loads the library. Both change nothing then. What concerns AWS is asked of AWS from here, and what the functions
// have seen of late is read in the ledger. A test that can't be made is never green.
type doctor struct {
	*program
	line  *progress.Line
	found []examination
}

// The states of an examination.
const (
	green   = "green"
	toDo    = "do"      // somebody has to do something
	unknown = "unknown" // it could not be tested
)

// examination is one thing that was tested.
type examination struct {
	Check string         `json:"check"`
	Corp  archive.CorpID `json:"corp,omitempty"` // "": it concerns all
	State string         `json:"state"`
	Found string         `json:"found"`
	Do    string         `json:"do,omitempty"`
}

const doctorUsage = "doctor [-corp ID] [-format text|json]: test everything that can be tested, and say what to do; exit 0 all green, 3 something to do, 1 it could not be run"

// toDoError is what doctor ends with when there is something to do.
type toDoError struct{ n int }

func (e *toDoError) Error() string {
	if e.n == 1 {
		return "1 line above needs somebody"
	}
	return fmt.Sprintf("%d lines above need somebody", e.n)
}

func examine(ctx context.Context, p *program, args []string) error {
	f := flags("doctor")
	id, format := f.String("corp", "", ""), f.String("format", "text", "")
	if err := parse(f, args); err != nil {
		return err
	}
	if *format != "text" && *format != "json" {
		return &usageError{fmt.Sprintf("doctor: the format is text or json, not %q", *format)}
	}
	corps, err := p.ledger.Corps(ctx)
	if err != nil {
		return err // nothing can be tested without the ledger
	}
	if *id != "" {
		c, err := p.known(ctx, *id)
		if err != nil {
			return err
		}
		corps = []ledger.Corp{c}
	}
	d := &doctor{program: p, line: progress.New(p.log, "doctor", "tests", 0)}
	defer d.line.Done()
	d.everything(ctx, corps)
	d.line.Done()
	return errors.Join(d.print(*format), d.verdict())
}

// everything makes all tests, those that concern all corps first.
func (d *doctor) everything(ctx context.Context, corps []ledger.Corp) {
	tests := []struct {
		name string
		make func(context.Context)
	}{{"clock", d.clock}, {"queues", d.queues}, {"buckets", d.buckets}, {"SES", d.mail}, {"library", d.loads}}
	for i, t := range tests {
		d.line.Note(t.name)
		d.line.Set(int64(i), int64(len(tests)+len(corps)))
		t.make(ctx)
	}
	if len(corps) == 0 {
		d.say("companies", "", toDo, "no company is archived yet", "vaultctl corps add -corp ID -secret-file FILE -name NAME -report-to ADDRESS")
	}
	for i, c := range corps {
		d.line.Note("corp " + string(c.ID))
		d.line.Set(int64(len(tests)+i), int64(len(tests)+len(corps)))
		d.company(ctx, c)
	}
}

func (d *doctor) say(check string, corp archive.CorpID, state, found, do string) {
	d.found = append(d.found, examination{check, corp, state, found, do})
}

func (d *doctor) well(check string, corp archive.CorpID, found string) {
	d.say(check, corp, green, found, "")
}

// cannot says that something could not be tested, and why.
func (d *doctor) cannot(check string, corp archive.CorpID, err error, do string) {
	d.say(check, corp, unknown, "could not be tested: "+err.Error(), do)
}

func (d *doctor) print(format string) error {
	if format == "json" {
		enc := json.NewEncoder(d.out)
		for _, e := range d.found {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for _, e := range d.found {
		corp := string(e.Corp)
		if corp == "" {
			corp = "-"
		}
		// A terminal's reader looks for what is not green.
		state := map[string]string{green: "green", toDo: "DO", unknown: "UNKNOWN"}[e.State]
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", state, corp, e.Check, e.Found); err != nil {
			return err
		}
		if e.Do == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "\t\t\t→ %s\n", e.Do); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (d *doctor) verdict() error {
	n := 0
	for _, e := range d.found {
		if e.State != green {
			n++
		}
	}
	if n > 0 {
		return &toDoError{n}
	}
	return nil
}

// ask invokes a function for an answer. variable names the setting that names the function.
func (d *doctor) ask(ctx context.Context, function, variable string, question, answer any) error {
	if function == "" {
		return fmt.Errorf("%s is not set: it names the function, as the stack's output has it", variable)
	}
	payload, err := json.Marshal(question)
	if err != nil {
		return err
	}
	out, err := d.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return fmt.Errorf("call %s: %w", function, err)
	}
	if out.FunctionError != nil {
		return fmt.Errorf("%s failed (%s): see its log", function, aws.ToString(out.FunctionError))
	}
	if err := json.Unmarshal(out.Payload, answer); err != nil || string(out.Payload) == "null" {
		return fmt.Errorf("the answer of %s can't be read: is it of the same version as vaultctl?", function)
	}
	return nil
}

// plural writes a number with its noun.
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "ch") {
		one += "e"
	}
	return progress.Count(int64(n)) + " " + one + "s"
}

// ago says how long ago something was.
func ago(now, t time.Time) string { return progress.Span(now.Sub(t)) + " ago" }

func listed(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
