package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

func TestEachFaultFiresItsAlarmAndNoOther(t *testing.T) {
	b := newBench(t)
	s := b.corp("wwheart", 3, 10)
	f := b.fetcher(b.Config(self))
	f.most = 5
	own := cloudwatch.Of(rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(b.Template)), "fetch")
	fired := map[string]bool{}
	for _, c := range []struct {
		name string
		odd  func(context.Context, archive.Seq, int) ([]byte, error)
		late time.Duration // after the run that is looked at
		want []string
	}{
		{"all is well", nil, 0, nil},
		{"one run was missed", nil, 10 * time.Minute, nil},
		{"WeCom refuses everything", func(context.Context, archive.Seq, int) ([]byte, error) {
			return []byte(`{"errcode":301042,"errmsg":"not allow to access from this ip"}`), nil
		}, 0, []string{"FetchHeartbeatAlarm"}},
		{"fetch is not run any more", nil, 16 * time.Minute, []string{"FetchHeartbeatAlarm"}},
	} {
		s.say(c.odd)
		var figures bytes.Buffer
		f.metrics = &figures
		reached := b.again("wwheart")
		if c.odd != nil {
			asked := len(s.limits())
			reached = func() bool { return len(s.limits()) > asked+1 } // two refusals: the first was heard
		}
		b.ran(f, "WeCom has answered: "+c.name, reached)
		store := cloudwatch.NewStore()
		b.OK(store.Log(&figures))
		got := store.AllFiring(own, clock.Now().Add(c.late))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
		for _, id := range got {
			fired[id] = true
		}
	}
	for _, a := range own {
		if !fired[a.LogicalID] {
			t.Errorf("no fault fires %s", a.LogicalID)
		}
	}
}

func TestAStackThatIsWellDoesNotHideThatTheOneBesideItIsSilent(t *testing.T) {
	b := newBench(t)
	b.corp("wwbeside", 3, 10)
	names := []string{b.Template.StackName, "beside"}
	for i, well := range names {
		f := b.fetcher(b.Config(self))
		var figures bytes.Buffer
		f.metrics, f.stack = &figures, well
		b.ran(f, "it is caught up", b.again("wwbeside"))
		store := cloudwatch.NewStore()
		b.OK(store.Log(&figures))
		for name, want := range map[string][]string{well: nil, names[1-i]: {"FetchHeartbeatAlarm"}} {
			stack := rig.Must[*template.Template](t)(template.Load(b.Template.Path, map[string]string{template.StackName: name}))
			own := cloudwatch.Of(rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(stack)), "fetch")
			if diff := cmp.Diff(want, store.AllFiring(own, clock.Now())); diff != "" {
				t.Errorf("%s runs: alarms of %s (-want +got)\n%s", well, name, diff)
			}
		}
	}
}

func TestHeartbeatIsSilentWhenWhatCameIsNotKept(t *testing.T) {
	b := newBench(t)
	b.corp("wwfull", 4, 2)
	var full atomic.Bool
	var refused atomic.Int64
	full.Store(true)
	b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if full.Load() && q.Operation == "PutObject" {
			d.Act = awslocal.Refuse
			refused.Add(1)
		}
		return d
	})
	f := b.fetcher(b.Once(self))
	for _, want := range []string{`"FetchOK":0`, `"FetchOK":1`} {
		var figures bytes.Buffer
		f.metrics = &figures
		reached := b.again("wwfull")
		if full.Load() {
			reached = func() bool { return refused.Load() > 1 }
		}
		b.ran(f, "S3 has answered", reached)
		if !strings.Contains(figures.String(), want) {
			t.Errorf("S3 refuses: %t, want %s in %s", full.Load(), want, figures.String())
		}
		full.Store(false)
	}
}

// TestWhatIsDeniedForOneCompanyFiresTheStacksAlarm: the run goes on with the others and does not fail, so that nobody else counts it.
func TestWhatIsDeniedForOneCompanyFiresTheStacksAlarm(t *testing.T) {
	b := newBench(t)
	b.corp("wwdenied", 4, 2)
	var refused atomic.Int64
	b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "PutObject" {
			refused.Add(1)
			d = awslocal.FaultDecision{Act: awslocal.Refuse, Code: "AccessDenied", Status: 403}
		}
		return d
	})
	f := b.fetcher(b.Once(self))
	var figures bytes.Buffer
	f.metrics = &figures
	b.ran(f, "S3 has denied it", func() bool { return refused.Load() > 1 })
	store := cloudwatch.NewStore()
	b.OK(store.Log(&figures))
	firing := store.AllFiring(rig.Must[[]cloudwatch.Alarm](t)(cloudwatch.Alarms(b.Template)), clock.Now())
	if !slices.Contains(firing, "DeniedAlarm") {
		t.Errorf("firing are %q", firing)
	}
}
