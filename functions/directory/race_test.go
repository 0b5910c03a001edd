package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// race is two of the function at one company: the first stops before one of its writes, the second does all of its work, and then the first goes on
// or is dead.
type race struct {
	*rig
	id    archive.CorpID
	start time.Time
	kept  []directory.Event // at the last look
}

// process is one more of the function, with caches and a clock of its own.
func (r *race) process() *refresher {
	return &refresher{ledger: r.ledger, store: r.store, vault: r.vault, server: r.server, jobs: r.jobs, log: r.refresher.log, budget: r.budget, pause: r.pause, metrics: r.metrics, stack: r.stack}
}

// reads lets a process read the company: it begins so long after the race's start, and has the last answer so much later.
func (r *race) reads(p *refresher, after, takes time.Duration) error {
	asked := false
	p.now = func() time.Time {
		if !asked {
			asked = true
			return r.start.Add(after)
		}
		return r.start.Add(after + takes)
	}
	return p.refresh(r.Context(), r.id)
}

// looksAgain lets a process look at one member alone, as often as the queue would have it.
func (r *race) looksAgain(p *refresher, id string, after time.Duration) (err error) {
	for range 3 {
		p.now = func() time.Time { return r.start.Add(after) }
		if err = p.reread(r.Context(), queue.DirectoryJob{Corp: r.id, Kind: directory.KindMember, ID: id, Again: true}); err == nil {
			return nil
		}
	}
	return err
}

func (r *race) member(id string, fields map[string]any) {
	r.Helper()
	r.change(wecomsim.ChangeContacts{Corp: string(r.id), Change: map[string]json.RawMessage{id: raw(fields)}})
}

// stopped lets first come to its n-th write, then runs second, and then lets first go on or die. It says whether first has so many writes.
func (r *race) stopped(n int64, dies bool, first func() error, second func()) bool {
	r.Helper()
	var writes atomic.Int64
	var others, dead atomic.Bool
	hook := func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if others.Load() {
			return d
		}
		if dead.Load() {
			d.Act = awslocal.Refuse
			return d
		}
		switch q.Operation {
		case "BatchWriteItem", "PutItem":
			if writes.Add(1) != n {
				return d
			}
			others.Store(true)
			second()
			dead.Store(dies)
			others.Store(false)
			if dies {
				d.Act = awslocal.Refuse
			}
		}
		return d
	}
	r.aws.Fault(hook)
	err := first()
	r.aws.Fault(nil)
	if writes.Load() >= n && !dies && err != nil {
		r.Errorf("write %d: %v", n, err)
	}
	return writes.Load() >= n
}

// look reads the events, and compares them with those of the look before: each that was kept is there, and happened between no other times than
// within those that were kept of it.
func (r *race) look(when string) {
	r.Helper()
	var now []directory.Event
	r.ok(r.ledger.Events(r.Context(), r.id, r.start.AddDate(0, -1, 0), r.start.AddDate(0, 0, 1), func(e directory.Event) bool {
		now = append(now, e)
		return true
	}))
	left := append([]directory.Event(nil), now...)
	for _, was := range r.kept {
		found := false
		for i, e := range left {
			if e.ID == was.ID && e.What == was.What && e.Department == was.Department && !e.After.Before(was.After) && !e.By.After(was.By) && !e.Recorded.After(was.Recorded) {
				left, found = append(left[:i:i], left[i+1:]...), true
				break
			}
		}
		if !found {
			r.Errorf("%s %s of %s between %v and %v has moved or is gone: %s", when, was.What, was.ID, was.After, was.By, timed(now))
		}
	}
	r.kept = now
}

func timed(events []directory.Event) (text string) {
	for _, e := range events {
		text += fmt.Sprintf("\n  %s %s %s (%s, %s]", e.ID, e.What, e.Via, e.After.Format(time.TimeOnly+".000"), e.By.Format(time.TimeOnly+".000"))
	}
	return text
}

// Of two runs at once, each is stopped at each of its writes while the other does all of its work, and goes on or is killed: whatever follows, what
// is recorded is what happened, once, and stays where it is told.
func TestAnEventThatIsRecordedStaysWhateverRacesAndDies(t *testing.T) {
	const short, long = 31 * time.Millisecond, 44 * time.Millisecond
	both := `member bo email-set "">"bo@harbour.example" 0
member bo mobile-set "">"19912340002" 0
member ines email-removed "ines@harbour.example">"" 0
member ines mobile-removed "19912340001">"" 0`
	for _, c := range []struct {
		name   string
		first  func(r *race, p *refresher) error
		second func(r *race, p *refresher) error
		want   string
	}{
		{
			"two readings that begin in the same millisecond", func(r *race, p *refresher) error { return r.reads(p, 0, short) },
			func(r *race, p *refresher) error { return r.reads(p, 0, long) }, both,
		},
		{
			"the second ends first", func(r *race, p *refresher) error { return r.reads(p, 0, long) },
			func(r *race, p *refresher) error { return r.reads(p, time.Millisecond, short) }, both,
		},
		{
			"the second reads what changed meanwhile", func(r *race, p *refresher) error { return r.reads(p, 0, short) },
			func(r *race, p *refresher) error {
				r.member("tomas", map[string]any{"mobile": ""})
				return r.reads(p, time.Second, long)
			}, both + "\nmember tomas mobile-removed \"19912340003\">\"\" 0",
		},
		{
			"the second looks at one member alone", func(r *race, p *refresher) error { return r.reads(p, 0, short) },
			func(r *race, p *refresher) error { return r.looksAgain(p, "ines", 10*time.Millisecond) }, both,
		},
		{
			"the first looks at one member alone", func(r *race, p *refresher) error { return r.looksAgain(p, "ines", 10*time.Millisecond) },
			func(r *race, p *refresher) error { return r.reads(p, 0, long) }, both,
		},
		{
			"it changes back meanwhile", func(r *race, p *refresher) error { return r.reads(p, 0, short) },
			func(r *race, p *refresher) error {
				r.member("ines", map[string]any{"mobile": "19912340001"})
				return r.reads(p, time.Second, short)
			}, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			shared := newRig(t)
			more := true
			for n := int64(1); more; n++ {
				if n > 40 {
					t.Fatal("it never ends")
				}
				ways := []bool{false, true}
				if testing.Short() { // each write in one way
					ways = []bool{n%2 == 0}
				}
				for _, dies := range ways {
					r := &race{rig: shared, id: archive.CorpID(fmt.Sprintf("wwrace%d%t", n, dies)), start: shared.at}
					r.company(r.id)
					r.hold(r.id, secrets.Contacts, "legacy-of-"+string(r.id))
					one, other := r.process(), r.process()
					r.ok(r.reads(one, -time.Hour, short))
					r.member("ines", map[string]any{"mobile": ""})
					r.member("bo", map[string]any{"email": "bo@harbour.example"})
					if more = r.stopped(n, dies, func() error { return c.first(r, one) }, func() {
						if err := c.second(r, other); err != nil {
							t.Errorf("write %d: the second: %v", n, err)
						}
						r.look("between")
					}); !more {
						break
					}
					if dies {
						one = r.process()
					}
					when := fmt.Sprintf("write %d, dies %t:", n, dies)
					r.look(when)
					r.member("ines", map[string]any{"email": ""})
					r.member("bo", map[string]any{"mobile": "19912340002"})
					r.ok(r.reads(one, time.Hour, short))
					r.look(when + " after a further change")
					if diff := cmp.Diff(c.want, plain(r.kept)); diff != "" && c.want != "" {
						t.Errorf("%s (-want +got)\n%s", when, diff)
					}
					if strings.Contains(r.figures.String(), "Contradicted") {
						t.Fatalf("%s what the looks say is contradicted%s", when, timed(r.kept))
					}
				}
			}
		})
	}
}

// A list that was lost takes an event out of what the looks say, and a further change finds it again: it stays as it was told, and an alarm tells.
func TestAnEventWhoseListIsLostIsNotToldAgain(t *testing.T) {
	tmpl, err := template.Load("../../template.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	alarms := must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(tmpl))
	own, store := cloudwatch.Of(alarms, "directory"), cloudwatch.NewStore()
	shared := newRig(t)
	shared.stack = tmpl.StackName
	r := &race{rig: shared, id: corp, start: shared.at}
	r.hold(corp, secrets.Contacts, "legacy-of-"+string(corp))
	r.ok(r.reads(r.process(), 0, time.Second))
	r.member("ines", map[string]any{"mobile": ""})
	r.ok(r.reads(r.process(), time.Hour, time.Second))
	r.ok(r.reads(r.process(), 90*time.Minute, time.Second))
	r.look("at first")
	db := dynamodb.NewFromConfig(r.aws.Config("operator"))
	rows := must[*dynamodb.QueryOutput](t)(db.Query(t.Context(), &dynamodb.QueryInput{TableName: aws.String("directory"), KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":pk": &types.AttributeValueMemberS{Value: "snap#" + string(corp)}}}))
	lost := rows.Items[1] // the last one would be written again
	must[*dynamodb.DeleteItemOutput](t)(db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("directory"),
		Key: map[string]types.AttributeValue{"pk": lost["pk"], "sk": lost["sk"]}}))
	r.ok(r.reads(r.process(), 2*time.Hour, time.Second))
	r.ok(store.Log(strings.NewReader(r.figures.String())))
	if fired := store.AllFiring(own, r.start.Add(2*time.Hour)); len(fired) > 0 {
		t.Errorf("nothing is wrong, and %v fires", fired)
	}
	r.member("ines", map[string]any{"email": ""})
	for n := range 2 {
		r.ok(r.reads(r.process(), time.Duration(3+n)*time.Hour, time.Second))
		r.look("after a further change")
		if len(r.kept) != 2 {
			t.Errorf("there are%s", timed(r.kept))
		}
	}
	if !strings.Contains(r.log.String(), "msg=contradicted") || !strings.Contains(r.figures.String(), `"Contradicted":1`) {
		t.Errorf("nothing is said of it: %s%s", r.log.String(), r.figures.String())
	}
	r.ok(store.Log(strings.NewReader(r.figures.String())))
	if fired := store.AllFiring(own, r.start.Add(3*time.Hour+time.Minute)); !slices.Equal(fired, []string{"ContradictedAlarm"}) {
		t.Errorf("fired: %v of %d", fired, len(own))
	}
}
