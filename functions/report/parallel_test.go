package main

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestWhatFailsForAllIsGivenUpAndWhatFailsForOneIsNot(t *testing.T) {
	odd := errors.New("odd")
	for name, c := range map[string]struct {
		fails func(i int) bool
		least int32
		most  int32
	}{
		"nothing": {func(int) bool { return false }, 5000, 5000},
		"one":     {func(i int) bool { return i == 3 }, 5000, 5000},
		"all":     {func(int) bool { return true }, atOnce, 3 * atOnce},
	} {
		var called atomic.Int32
		err := inParallel(5000, func(i int) error {
			called.Add(1)
			if c.fails(i) {
				return odd
			}
			return nil
		})
		if n := called.Load(); n < c.least || n > c.most {
			t.Errorf("%s fails, and %d are called", name, n)
		}
		if (err != nil) != (name != "nothing") || err != nil && !errors.Is(err, odd) {
			t.Errorf("%s fails: %v", name, err)
		}
	}
}

func TestWhoJoinedAndWroteTheSameDayIsAtTheStageOfTheFirstMessage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.calm("wwfast")
	for _, id := range []string{"fay", "flo"} {
		d.OK(d.operator.PutEntries(d.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: id, At: noon.Add(-5 * time.Hour), Fields: directory.Fields(quiet(id))}}))
		d.happened(c.ID, id, directory.Joined, "", "", noon.Add(-5*time.Hour))
	}
	d.OK(d.operator.PutMessages(d.Context(), "b2", []archive.Message{{Corp: c.ID, Seq: 2, MsgID: "m2", From: "fay", To: []archive.PartyID{"una"}, Time: noon.Add(-3 * time.Hour), Type: "text",
		Action: archive.Send, Known: true}}, &ledger.People{}))
	d.OK(d.due(d.Context()))
	archived := map[archive.PartyID]bool{}
	for _, row := range factsOf[report.NewUsersFacts](d, c.ID, "2032-02-10", report.NewUsers).Rows {
		archived[row.ID] = row.Archived
	}
	if len(archived) != 2 || !archived["fay"] || archived["flo"] {
		t.Errorf("of who joined, something is archived: %v", archived)
	}
	text := d.mailsOf(c.ID, "2032-02-10", "R5")["eye@still.example"].Text
	if !strings.Contains(text, "stage: first message archived") || !strings.Contains(text, "stage: activated") {
		t.Errorf("R5 says\n%s", text)
	}
}
