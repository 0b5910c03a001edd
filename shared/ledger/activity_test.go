package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// TestActivityIsWhatALookAtEveryMessageWouldFind compares with the plain way: rooms that change their members, conversations of two, messages
// without a time, over months.
func TestActivityIsWhatALookAtEveryMessageWouldFind(t *testing.T) {
	b := newBench(t)
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 7)) // #nosec G404 -- a test's histories
		id := archive.CorpID(fmt.Sprint("wwactive", seed))
		person := func() archive.PartyID { return archive.PartyID(fmt.Sprint("p", random.IntN(12))) }
		first, last := map[archive.PartyID]time.Time{}, map[archive.PartyID]time.Time{}
		var ms []archive.Message
		for seq := range archive.Seq(100 + 100*seed) { // of the small ones a single read shows all of a person's months
			m := archive.Message{Corp: id, Seq: seq + 1, MsgID: archive.MsgID(fmt.Sprint(seq)), Type: "text", Action: archive.Send, Known: true, From: person()}
			if random.IntN(3) > int(seed%2) {
				m.Room = archive.RoomID(fmt.Sprint("wr", random.IntN(4)))
			}
			for range 1 + random.IntN(3) {
				m.To = append(m.To, person())
			}
			if random.IntN(20) > 0 {
				m.Time = noon.Add(-time.Duration(random.IntN([]int{100, 5}[seed%2]*24)) * time.Hour)
				for _, p := range append(slices.Clone(m.To), m.From) {
					if f, ok := first[p]; !ok || m.Time.Before(f) {
						first[p] = m.Time
					}
					if m.Time.After(last[p]) {
						last[p] = m.Time
					}
				}
			}
			ms = append(ms, m)
		}
		b.OK(b.PutMessages(t.Context(), "batch", ms, &ledger.People{}))
		look := b.Activity(id)
		for i := range 13 { // the last of them wrote nothing
			p := archive.PartyID(fmt.Sprint("p", i))
			f, l, err := look.Of(t.Context(), p)
			b.OK(err)
			if !f.Equal(first[p]) || !l.Equal(last[p]) {
				t.Errorf("seed %d: %s was first archived %v and last %v, want %v and %v", seed, p, f, l, first[p], last[p])
			}
		}
	}
}

func TestSettledListsASpanAndEachOutcomeOnce(t *testing.T) {
	b := newBench(t)
	put := func(file archive.FileID, state string, at time.Time) {
		t.Helper()
		b.OK(b.SettleMedia(t.Context(), ledger.Waiting{Corp: corp, FileID: file, Clock: noon}, ledger.MediaRow{Corp: corp, Hash: file.Hash(), State: state, At: at}))
	}
	put("before", ledger.Kept, noon.Add(-time.Millisecond))
	put("first", ledger.Kept, noon)
	put("twice", ledger.Kept, noon.Add(time.Hour))
	put("twice", ledger.Kept, noon.Add(2*time.Hour)) // a repeat after a lost answer: the first outcome stands
	put("lost", ledger.Lost, noon.Add(3*time.Hour))
	put("after", ledger.Kept, noon.Add(24*time.Hour))
	var got []string
	rows, err := b.Settled(t.Context(), corp, noon, noon.Add(24*time.Hour))
	b.OK(err)
	for _, m := range rows {
		got = append(got, m.State)
	}
	if slices.Sort(got); !slices.Equal(got, []string{ledger.Kept, ledger.Kept, ledger.Lost}) {
		t.Errorf("in the day came %q", got)
	}
}
