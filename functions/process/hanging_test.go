package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/opening"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// hanging is a library that hangs on items, each time for so long that an invocation has time for most of them.
func (b *bench) hanging(most int) opening.Decrypt {
	return func(ctx context.Context, corp archive.CorpID, items []financesdk.Item) ([]financesdk.Result, error) {
		b.asked.Store(true)
		var sane []financesdk.Item
		for _, it := range items {
			if it.Msg != stuck {
				sane = append(sane, it)
			}
		}
		opened, err := b.pool.Decrypt(context.WithoutCancel(ctx), corp, sane)
		if err != nil {
			return nil, err
		}
		results := make([]financesdk.Result, len(items))
		hung, next := 0, 0
		for i, it := range items {
			if it.Msg != stuck {
				results[i] = opened[next]
				next++
				continue
			}
			if hung++; hung > most {
				<-ctx.Done()
				return results, ctx.Err()
			}
			results[i].Err = &financesdk.Error{Op: "decrypt", Kind: fault.Poison, Reason: financesdk.ReasonHang, Err: errors.New("no progress")}
		}
		return results, nil
	}
}

// stuck is what the library hangs on.
const stuck = "HANGS-THE-LIBRARY"

func hangs(it item) item {
	it.fields = map[string]any{"encrypt_chat_msg": stuck}
	return it
}

// attempt gives a job an invocation whose time to open items in is soon up, but not before the library was asked: how long it takes until then is the machine's matter.
func (b *bench) attempt(t *testing.T, p *processor, job queue.BatchJob) error {
	t.Helper()
	p.rest = time.Minute
	for limit := 100 * time.Millisecond; ; limit *= 2 {
		b.asked.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), p.rest+limit)
		err := p.process(ctx, job)
		cancel()
		if b.asked.Load() || !errors.Is(err, errUnfinished) || limit > time.Minute {
			return err
		}
	}
}

// Sixty items that hold the library take longer than an invocation: each goes on where the one before was out of time.
func TestABatchOfManyHangingItemsEndsWithinAFewAttempts(t *testing.T) {
	b := newBench(t)
	b.hold("wwmoor", 1, pair[0]())
	var items []item
	for seq := archive.Seq(1); seq <= 660; seq++ {
		if it := text(seq, "tide"); seq%11 == 0 {
			items = append(items, hangs(it))
		} else {
			items = append(items, it)
		}
	}
	row := b.batch("wwmoor", items...)
	p := b.processor(b.Once("ProcessFunction"))
	p.opener = opening.New(opening.NewRing(b.Secrets(b.Config("ProcessFunction"))), b.hanging(25))
	attempts, aside := 0, 0
	for err := errUnfinished; err != nil; {
		attempts++
		if err = b.attempt(t, p, job(row)); err != nil && !errors.Is(err, errUnfinished) {
			t.Fatal(err)
		}
		now := len(b.reasons(row))
		if now <= aside && err != nil || attempts > 5 {
			t.Fatalf("attempt %d ends with %d set aside, the one before with %d", attempts, now, aside)
		}
		aside = now
		if state := b.row(row); err != nil && state.Failure != "" {
			t.Errorf("watch is told that %q", state.Failure)
		}
	}
	if attempts != 3 { // 25, 25, 10
		t.Errorf("%d attempts", attempts)
	}
	reasons, archived := b.reasons(row), b.archived(row)
	for seq := archive.Seq(1); seq <= 660; seq++ {
		want := ""
		if seq%11 == 0 {
			want = string(financesdk.ReasonHang)
		}
		if _, there := archived[seq]; reasons[seq] != want || there != (want == "") {
			t.Errorf("seq %d is set aside for %q; archived: %t", seq, reasons[seq], there)
		}
	}
	if done := b.row(row); done.State != ledger.Done || done.Archived != 600 || done.SetAside != 60 {
		t.Errorf("%s, %d archived, %d set aside", done.State, done.Archived, done.SetAside)
	}
	// They are tried again as a group in which nothing opens: that is no trouble of the library's, and no work that never ends.
	if err := b.attempt(t, p, queue.BatchJob{Corp: row.Corp, Batch: row.Key(), Reason: string(financesdk.ReasonHang), KeyVersion: 1}); err != nil {
		t.Errorf("redriven: %v", err)
	}
	if n := len(b.reasons(row)); n != 60 {
		t.Errorf("%d are set aside after that", n)
	}
}

// A library that hangs on more than a tenth of a batch's items is more likely our trouble than theirs, also over several attempts.
func TestManyHangsOfSeveralAttemptsStopTheBatch(t *testing.T) {
	b := newBench(t)
	b.hold("wwmoor", 1, pair[0]())
	var items []item
	for seq := archive.Seq(1); seq <= 100; seq++ {
		if it := text(seq, "tide"); seq%8 == 0 {
			items = append(items, hangs(it))
		} else {
			items = append(items, it)
		}
	}
	row := b.batch("wwmoor", items...)
	p := b.processor(b.Once("ProcessFunction"))
	p.opener = opening.New(opening.NewRing(b.Secrets(b.Config("ProcessFunction"))), b.hanging(4))
	for range 3 {
		err := b.attempt(t, p, job(row))
		if err == nil {
			t.Fatal("the batch is done")
		}
		if state := b.row(row); state.Failure == string(financesdk.CauseLibraryDiesOften) {
			if n := len(b.reasons(row)); state.State != ledger.Pending || n > 10 {
				t.Errorf("%s, and %d set aside", state.State, n)
			}
			return
		}
	}
	t.Errorf("no alarm, and %d set aside", len(b.reasons(row)))
}

// An invocation that is shorter than what a long one keeps to store has time to open too.
func TestAShortInvocationOpensItsItems(t *testing.T) {
	b := newBench(t)
	b.hold("wwmoor", 1, pair[0]())
	row := b.batch("wwmoor", text(1, "tide"))
	p := b.processor(b.Once("ProcessFunction"))
	p.rest = 0
	ctx, cancel := context.WithTimeout(t.Context(), rest-time.Second)
	defer cancel()
	b.OK(p.process(ctx, job(row)))
	if done := b.row(row); done.State != ledger.Done || done.Archived != 1 {
		t.Errorf("%s, %d archived", done.State, done.Archived)
	}
}
