package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/opening"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// mixture is a batch with one of each fate.
func mixture() []item {
	recall := text(5, "")
	recall.raw = `{"msgid":"m5","action":"recall","from":"an","tolist":["bo"],"roomid":"wrpier","msgtime":1936000000000,"msgtype":"revoke","revoke":{"pre_msgid":"m3"}}`
	late := text(6, "later")
	late.version, late.key = 2, &pair[1]().PublicKey
	return []item{text(3, "high water at noon"), file(4, "file-of-4"), recall, late, text(8, "low water at six")}
}

func TestAJobDoneTwiceLeavesTheSameState(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	row := b.batch("wwtide", mixture()...)
	b.OK(b.processor(b.Config(self)).process(t.Context(), job(row)))
	once := b.state("wwtide")
	if end := b.row(row); end.State != ledger.Done || end.Archived != 4 || end.SetAside != 1 || len(end.Segments) != 1 {
		t.Errorf("the batch says %+v", end)
	}
	if diff := cmp.Diff(map[archive.Seq]string{6: "no-key"}, b.reasons(row)); diff != "" {
		t.Error(diff)
	}
	m := b.archived(row)[4]
	if len(m.Media) != 1 || m.Media[0].FileID != "file-of-4" || !strings.Contains(string(m.Raw), `"chart.pdf"`) {
		t.Errorf("seq 4 is %+v", m)
	}
	if jobs := b.Take("MediaQueue"); len(jobs) != 1 {
		t.Errorf("the attachments' jobs are %v", jobs)
	}
	b.OK(b.processor(b.Config(self)).process(t.Context(), job(row)))
	if diff := cmp.Diff(once, b.state("wwtide")); diff != "" {
		t.Error(diff)
	}
}

// TestNoFailedWriteLosesOrDoublesAnything is the fault table: each write of an undisturbed run in turn is refused, or done and reported as
// failed, or cut; the job comes back, and what it leaves is what the undisturbed run left. Half of the time the missing key has come meanwhile.
func TestNoFailedWriteLosesOrDoublesAnything(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	writes := []string{"PutObject", "PutItem", "SendMessage", "UpdateItem", "BatchWriteItem", "TransactWriteItems"}
	raw := b.chatData(mixture()...)
	var mu sync.Mutex
	run := func(id archive.CorpID, nth int, act awslocal.Act, keyBetween bool) (first error, seen []string, row ledger.BatchRow) {
		b.hold(id, 1, pair[0]())
		row = b.kept(id, raw, noon)
		n := 0
		b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
			mu.Lock()
			defer mu.Unlock()
			if q.Caller == self && slices.Contains(writes, q.Operation) {
				seen = append(seen, q.Operation)
				if n++; n == nth {
					d.Act = act
				}
			}
			return d
		})
		first = b.processor(b.Once(self)).process(t.Context(), job(row))
		b.Fault(nil)
		if keyBetween {
			b.hold(id, 2, pair[1]())
		}
		for range 5 { // one who lost the slot starts over
			err := b.processor(b.Config(self)).process(t.Context(), job(row))
			if err == nil {
				return first, seen, row
			}
			if !errors.Is(err, ledger.ErrLost) {
				t.Fatal(err)
			}
		}
		t.Fatalf("corp %s is never done", id)
		return first, seen, row
	}
	_, calls, _ := run("wwa0", 0, awslocal.Pass, false)
	want := b.state("wwa0")
	b.Take("MediaQueue")
	id := 0
	for nth := range calls {
		for name, act := range map[string]awslocal.Act{"refused": awslocal.Refuse, "done and reported as failed": awslocal.FailAfter, "done and cut": awslocal.CutAfter} {
			id++
			one := archive.CorpID(fmt.Sprintf("wwb%d", id))
			if failed, _, _ := run(one, nth+1, act, false); failed == nil {
				t.Errorf("write %d (%s) %s, and nobody noticed", nth+1, calls[nth], name)
			}
			if diff := cmp.Diff(want, b.state(one)); diff != "" {
				t.Errorf("write %d (%s) %s: %s", nth+1, calls[nth], name, diff)
			}
			if jobs := b.Take("MediaQueue"); len(jobs) == 0 {
				t.Errorf("write %d (%s) %s: no job for the attachment", nth+1, calls[nth], name)
			}
			two := archive.CorpID(fmt.Sprintf("wwc%d", id))
			_, _, row := run(two, nth+1, act, true)
			end, aside, archived := b.row(row), b.reasons(row), b.archived(row)
			if end.State != ledger.Done || end.SetAside != len(aside) || end.Archived != len(archived) || end.Archived+end.SetAside != 5 || len(aside) > 1 {
				t.Errorf("write %d (%s) %s, then a key: %+v with %v", nth+1, calls[nth], name, end, aside)
			}
			b.Take("MediaQueue")
		}
	}
	t.Logf("%d writes (%v), each in three ways", len(calls), calls)
}

// TestAnInterruptedRedriveCountsNothingTwice is the fault table of the other way through process: items of a done batch are tried again.
func TestAnInterruptedRedriveCountsNothingTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	writes := []string{"PutObject", "PutItem", "SendMessage", "UpdateItem", "BatchWriteItem", "TransactWriteItems"}
	one, two, other := file(2, "file-of-2"), text(3, "two"), text(4, "three")
	for _, it := range []*item{&one, &two, &other} {
		it.version, it.key = 2, &pair[1]().PublicKey
	}
	other.key = &pair[2]().PublicKey // the late key does not fit this one
	raw := b.chatData(text(1, "known"), one, two, other)
	var mu sync.Mutex
	run := func(id archive.CorpID, nth int, act awslocal.Act) (first error, seen []string) {
		b.hold(id, 1, pair[0]())
		row := b.kept(id, raw, noon)
		b.OK(b.processor(b.Config(self)).process(t.Context(), job(row)))
		b.hold(id, 2, pair[1]())
		again := queue.BatchJob{Corp: id, Batch: row.Key(), Reason: "no-key", KeyVersion: 2}
		n := 0
		b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
			mu.Lock()
			defer mu.Unlock()
			if q.Caller == self && slices.Contains(writes, q.Operation) {
				seen = append(seen, q.Operation)
				if n++; n == nth {
					d.Act = act
				}
			}
			return d
		})
		first = b.processor(b.Once(self)).process(t.Context(), again)
		b.Fault(nil)
		b.OK(b.processor(b.Config(self)).process(t.Context(), again))
		if end := b.row(row); end.Archived != 3 || end.SetAside != 1 || len(b.archived(row)) != 3 {
			t.Errorf("%v at write %d: the batch says %+v", act, nth, end)
		}
		if diff := cmp.Diff(map[archive.Seq]string{4: "key-does-not-fit"}, b.reasons(row)); diff != "" {
			t.Errorf("%v at write %d: %s", act, nth, diff)
		}
		return first, seen
	}
	_, calls := run("wwd0", 0, awslocal.Pass)
	want := b.state("wwd0")
	id := 0
	for nth := range calls {
		for name, act := range map[string]awslocal.Act{"refused": awslocal.Refuse, "done and reported as failed": awslocal.FailAfter, "done and cut": awslocal.CutAfter} {
			id++
			one := archive.CorpID(fmt.Sprintf("wwe%d", id))
			if failed, _ := run(one, nth+1, act); failed == nil {
				t.Errorf("write %d (%s) %s, and nobody noticed", nth+1, calls[nth], name)
			}
			if diff := cmp.Diff(want, b.state(one)); diff != "" {
				t.Errorf("write %d (%s) %s: %s", nth+1, calls[nth], name, diff)
			}
		}
	}
	t.Logf("%d writes (%v), each in three ways", len(calls), calls)
}

func TestAKeyThatIsAbsentIsAskedForOnceABatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var items []item
	for seq := archive.Seq(1); seq <= 30; seq++ {
		items = append(items, text(seq, "x"))
	}
	row := b.batch("wwtide", items...)
	b.Calls()
	b.OK(b.processor(b.Config(self)).process(t.Context(), job(row)))
	asked := 0
	for _, c := range b.Calls() {
		if c.Operation == "GetSecretValue" {
			asked++
		}
	}
	if asked != 1 || len(b.reasons(row)) != 30 {
		t.Errorf("it was asked for %d times, and %d items are set aside", asked, len(b.reasons(row)))
	}
}

func TestEachFateHasItsReason(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	b.hold("wwtide", 3, pair[1]())
	with := func(it item, fields map[string]any) item {
		it.fields = fields
		return it
	}
	unknown, notHeld, wrong := text(1, ""), text(2, "x"), text(3, "x")
	unknown.raw = `{"msgid":"m1","action":"send","from":"an","tolist":["bo"],"msgtime":1936000000000,"msgtype":"hologram","hologram":{"depth":3}}`
	notHeld.version = 2
	wrong.version = 3
	broken := text(4, "x")
	broken.raw = `{"msgid":"m4",`
	items := []item{unknown, notHeld, wrong, broken,
		with(text(5, "x"), map[string]any{"publickey_ver": "one"}),
		with(text(6, "x"), map[string]any{"encrypt_random_key": "%%%"}),
		with(text(7, "x"), map[string]any{"encrypt_random_key": nil}),
		with(text(8, "x"), map[string]any{"encrypt_chat_msg": "short"}),
		with(text(9, "x"), map[string]any{"encrypt_chat_msg": strings.Repeat("A", 400)}),
		text(10, "well"),
	}
	row := b.batch("wwtide", items...)
	b.OK(b.processor(b.Config(self)).process(t.Context(), job(row)))
	got := b.reasons(row)
	want := map[archive.Seq]string{2: "no-key", 3: "key-does-not-fit", 5: "unreadable-item", 6: "unreadable-item", 7: "unreadable-item", 8: "library-crash"}
	for seq, reason := range want {
		if got[seq] != reason {
			t.Errorf("seq %v is set aside for %q, not %q", seq, got[seq], reason)
		}
	}
	if got[4] == "" || !strings.HasPrefix(got[9], "decrypt-1000") {
		t.Errorf("seq 4 for %q, seq 9 for %q", got[4], got[9])
	}
	m := b.archived(row)
	if len(m) != 2 || m[1].Known || m[1].Type != "hologram" || m[10].Text != "well" {
		t.Errorf("archived are %+v", m)
	}
	if end := b.row(row); end.Archived != 2 || end.SetAside != 8 {
		t.Errorf("the batch says %+v", end)
	}
}

func TestALateKeyOpensWhatWasSetAside(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	row := b.batch("wwtide", mixture()...)
	p := b.processor(b.Config(self))
	b.OK(p.process(t.Context(), job(row)))
	again := queue.BatchJob{Corp: row.Corp, Batch: row.Key(), Reason: "no-key", KeyVersion: 2}
	b.OK(p.process(t.Context(), again)) // the key is not there yet
	if diff := cmp.Diff(map[archive.Seq]string{6: "no-key"}, b.reasons(row)); diff != "" {
		t.Fatal(diff)
	}
	// Added by mistake, the wrong key changes the reason.
	b.hold("wwtide", 2, pair[2]())
	b.OK(p.process(t.Context(), again))
	if diff := cmp.Diff(map[archive.Seq]string{6: "key-does-not-fit"}, b.reasons(row)); diff != "" {
		t.Fatal(diff)
	}
	b.OK(b.Secrets(b.Config(rig.Operator)).ReplaceKey(t.Context(), "wwtide", 2, pair[1]()))
	again.Reason = "key-does-not-fit"
	b.OK(p.process(t.Context(), again))
	end := b.row(row)
	if len(b.reasons(row)) != 0 || end.Archived != 5 || end.SetAside != 0 || b.archived(row)[6].Text != "later" {
		t.Errorf("the batch says %+v", end)
	}
	state := b.state("wwtide")
	b.OK(p.process(t.Context(), again))
	if diff := cmp.Diff(state, b.state("wwtide")); diff != "" {
		t.Errorf("done twice: %s", diff)
	}
}

func TestAKeyIsProvenByWhatItOpens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	b.hold("wwtide", 2, pair[1]())
	p := b.processor(b.Config(self))
	under2 := text(2, "under another's key")
	under2.version, under2.key = 2, &pair[2]().PublicKey
	proven := func() map[archive.KeyVersion]bool {
		t.Helper()
		is := map[archive.KeyVersion]bool{}
		for _, k := range rig.Must[[]ledger.KeyRow](t)(b.ledger.Keys(t.Context(), "wwtide")) {
			is[k.Version] = k.Proven
		}
		return is
	}
	b.OK(p.process(t.Context(), job(b.batch("wwtide", text(1, "before the keys have their rows"))))) // and none is made up
	if len(proven()) != 0 {
		t.Errorf("there are rows of keys: %v", proven())
	}
	for v := range archive.KeyVersion(2) {
		b.OK(b.ledger.PutKey(t.Context(), "wwtide", ledger.KeyRow{Version: v + 1, Fingerprint: "f0", Added: noon}))
	}
	b.OK(p.process(t.Context(), job(b.batch("wwtide", under2, text(3, "opens")))))
	if diff := cmp.Diff(map[archive.KeyVersion]bool{1: true, 2: false}, proven()); diff != "" {
		t.Error(diff)
	}
}

// TestTwoProcessorsOfOneBatchAgree runs both at once, over and over, while the key comes somewhere in between.
func TestTwoProcessorsOfOneBatchAgree(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for n := range 12 {
		id := archive.CorpID(fmt.Sprintf("ww%d", n))
		b.hold(id, 1, pair[0]())
		row := b.batch(id, mixture()...)
		var wg sync.WaitGroup
		for worker := range 3 {
			wg.Go(func() {
				if worker == 2 {
					b.hold(id, 2, pair[1]())
					return
				}
				p := b.processor(b.Config(self))
				for range 10 {
					err := p.process(t.Context(), job(row))
					if err == nil {
						return
					}
					if !errors.Is(err, ledger.ErrLost) {
						t.Error(err)
					}
				}
				t.Error("never done")
			})
		}
		wg.Wait()
		end, aside, archived := b.row(row), b.reasons(row), b.archived(row)
		for seq := range aside {
			if _, both := archived[seq]; both {
				t.Errorf("seq %v is archived and set aside", seq)
			}
		}
		if end.State != ledger.Done || end.Archived != len(archived) || end.SetAside != len(aside) || len(archived)+len(aside) != 5 {
			t.Errorf("the batch says %+v, archived are %v, set aside %v", end, slices.Collect(maps.Keys(archived)), aside)
		}
	}
}

func TestOneMsgidUnderTwoSeqsIsArchivedUnderBoth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	second := text(9, "once")
	second.msgid, second.raw = "m3", text(3, "once").raw
	row := b.batch("wwtide", text(3, "once"), second)
	b.OK(b.processor(b.Config(self)).process(t.Context(), job(row)))
	m := b.archived(row)
	if len(m) != 2 || m[3].MsgID != "m3" || m[9].MsgID != "m3" || !bytes.Equal(m[3].Raw, m[9].Raw) {
		t.Errorf("archived are %+v", m)
	}
	rows := 0
	for k := range b.state("wwtide") {
		if strings.HasPrefix(k, "msg#") {
			rows++
		}
	}
	if rows != 2 {
		t.Errorf("%d message rows", rows)
	}
}

func TestOfTwoTextsOfOneSeqBothAreKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	first, second := b.batch("wwtide", text(3, "the first")), b.batch("wwtide", text(3, "the second"), text(4, "more"))
	p := b.processor(b.Config(self))
	b.OK(p.process(t.Context(), job(first)))
	before := b.state("wwtide")
	b.OK(p.process(t.Context(), job(second)))
	after := b.state("wwtide")
	for k, v := range before {
		if strings.HasPrefix(k, "msg#") && after[k] != v {
			t.Errorf("the first's row %s was %q and is %q", k, v, after[k])
		}
	}
	if b.archived(first)[3].Text != "the first" || b.archived(second)[3].Text != "the second" || len(b.archived(second)) != 2 {
		t.Errorf("archived are %+v and %+v", b.archived(first), b.archived(second))
	}
}

func TestABatchWaitsWhenTheLibraryDiesOften(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.hold("wwtide", 1, pair[0]())
	var items []item
	for seq := archive.Seq(1); seq <= 24; seq++ {
		it := text(seq, "x")
		if seq%2 == 0 {
			it.fields = map[string]any{"encrypt_chat_msg": "short"}
		}
		items = append(items, it)
	}
	row := b.batch("wwtide", items...)
	err := b.processor(b.Config(self)).process(t.Context(), job(row))
	if err == nil || fault.KindOf(err) != fault.Retryable || financesdk.Explain(err).Kind != financesdk.CauseLibraryDiesOften {
		t.Errorf("the error is %v", err)
	}
	if end := b.row(row); end.State != ledger.Pending || len(b.reasons(row)) != 0 {
		t.Errorf("the batch says %+v, set aside are %v", end, b.reasons(row))
	}
}

// busy is a library that answers each item with a code that says nothing about it.
func busy(_ context.Context, _ archive.CorpID, items []financesdk.Item) ([]financesdk.Result, error) {
	results := make([]financesdk.Result, len(items))
	for i := range results {
		results[i].Err = &financesdk.Error{Op: "decrypt", Code: 10003, Reason: "decrypt-10003", Err: errors.New("system error")}
	}
	return results, nil
}

func TestOurOwnTroubleLeavesTheBatchPending(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*bench, *processor){
		"the key store": func(b *bench, _ *processor) {
			b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if q.Operation == "GetSecretValue" {
					d.Act = awslocal.Refuse
				}
				return d
			})
		},
		"the library": func(b *bench, p *processor) {
			p.opener = opening.New(opening.NewRing(b.Secrets(b.Config(self))), func(context.Context, archive.CorpID, []financesdk.Item) ([]financesdk.Result, error) {
				return nil, errors.New("no library")
			})
		},
		"an item that may open later": func(b *bench, p *processor) {
			p.opener = opening.New(opening.NewRing(b.Secrets(b.Config(self))), busy)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.hold("wwtide", 1, pair[0]())
			row := b.batch("wwtide", mixture()...)
			before := b.state("wwtide")
			p := b.processor(b.Config(self))
			fail(b, p)
			if err := p.process(t.Context(), job(row)); err == nil || fault.KindOf(err) != fault.Retryable {
				t.Errorf("the error is %v", err)
			}
			if diff := cmp.Diff(before, b.state("wwtide")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAJobWithoutABatchEndsForGood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	p := b.processor(b.Config(self))
	if err := p.process(t.Context(), queue.BatchJob{Corp: "wwtide", Batch: "none"}); fault.KindOf(err) != fault.Permanent {
		t.Errorf("the error is %v", err)
	}
	// One whose bytes are gone, or are others, does not: a person must look, and the alarm on age says so.
	row := b.batch("wwtide", text(3, "x"))
	row.Object, row.Version, row.SHA256 = strings.Replace(row.Object, row.SHA256[:8], "00000000", 1), "", strings.Repeat("0", 64)
	other := rig.Must[ledger.BatchRow](t)(b.ledger.PutBatch(t.Context(), row))
	err := p.process(t.Context(), job(other))
	if err == nil || fault.KindOf(err) != fault.Retryable {
		t.Errorf("the error is %v", err)
	}
	if errors.Is(err, objstore.ErrConflict) {
		t.Error(err)
	}
}
