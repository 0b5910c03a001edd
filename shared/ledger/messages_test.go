package ledger_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// group is a room and its members.
type group struct {
	room    archive.RoomID
	members []archive.PartyID
}

// groups are rooms of 2 to 200 members out of a company of 300, with ids of the length of real ones.
func groups(random *rand.Rand) []group {
	var gs []group
	for i, size := range []int{2, 3, 4, 5, 8, 12, 20, 40, 90, 200} {
		g := group{room: archive.RoomID(fmt.Sprintf("wr%030d", i))}
		for _, m := range random.Perm(300)[:size] {
			g.members = append(g.members, archive.PartyID(fmt.Sprintf("wm%030d", m)))
		}
		gs = append(gs, g)
	}
	return gs
}

func (g group) message(seq archive.Seq, at time.Time) archive.Message {
	from := g.members[int(seq)%len(g.members)]
	return archive.Message{
		Corp: corp, Seq: seq, MsgID: archive.MsgID(fmt.Sprintf("%020d_%d_external", seq, at.UnixMilli())), KeyVersion: 1, Action: archive.Send, Type: "text", Known: true, Time: at,
		From: from, To: g.members, Room: g.room, Text: strings.Repeat("潮", int(seq)%120), Raw: []byte(seq.Key()),
	}
}

// TestAMessageCostsLittleMoreThanOneWriteUnit states what one message may write: at most 1.3 units in batches of 100 and more, in groups of 2 to
// 200, a month's first sight of everybody included, and at most 2.0 in batches of four, where each batch's own three writes weigh most. The same
// messages go through every size.
func TestAMessageCostsLittleMoreThanOneWriteUnit(t *testing.T) {
	for size, most := range map[int]float64{1000: 1.3, 200: 1.3, 100: 1.3, 30: 1.3, 4: 2.0} {
		t.Run(fmt.Sprint(size, " a batch"), func(t *testing.T) {
			b := newBench(t)
			random := rand.New(rand.NewPCG(1, 2))
			gs := groups(random)
			people := &ledger.People{}
			lease := b.take(corp, "me")
			b.Used("ControlTable")
			const total = 4000
			seq, link := archive.Seq(0), ledger.Link{}
			for seq < total {
				row := batch(corp, seq+1, min(seq+archive.Seq(size), total), link)
				var ms []archive.Message
				for range row.Items {
					seq++
					ms = append(ms, gs[random.IntN(len(gs))].message(seq, noon.Add(time.Duration(seq)*time.Second)))
				}
				_, err := b.PutBatch(t.Context(), row)
				b.OK(err)
				_, err = b.Advance(t.Context(), lease, row.First-1, row.Last, row.Link, ledger.Poll{CaughtUp: noon, LastWhole: noon})
				b.OK(err)
				b.OK(b.PutMessages(t.Context(), row.Key(), ms, people))
				b.OK(b.FinishBatch(t.Context(), row, "", row.Items, 0, "segments/"+row.SHA256))
				link = row.Link
			}
			messages, control := b.Used("MessagesTable"), b.Used("ControlTable")
			each := (messages.Write + control.Write) / total
			t.Logf("%d messages in batches of %d: %.3f write units a message (%.3f for its rows, %.3f for batch and cursor), %.3f read units", total, size, each,
				messages.Write/total, control.Write/total, (messages.Read+control.Read)/total)
			if each > most {
				t.Errorf("a message costs %.3f write units, more than %.1f", each, most)
			}
		})
	}
}

func TestMessagesWrittenAgainChangeNothing(t *testing.T) {
	b := newBench(t)
	g := group{room: "wr1", members: []archive.PartyID{"an", "bo", archive.PartyID("wb" + strings.Repeat("d", 30))}}
	recall := g.message(4, noon)
	recall.Action, recall.RecallOf, recall.Text = archive.Recall, "never-seen", ""
	timeless := g.message(5, time.Time{})
	unknown := archive.Message{Corp: corp, Seq: 6, MsgID: "m6", Type: "hologram", Raw: []byte("{}")}
	ms := []archive.Message{g.message(3, noon), recall, timeless, unknown}
	b.OK(b.PutMessages(t.Context(), "b1", ms, &ledger.People{}))
	first := b.Rows("MessagesTable")
	b.OK(b.PutMessages(t.Context(), "b1", ms, &ledger.People{}))
	if diff := cmp.Diff(first, b.Rows("MessagesTable")); diff != "" {
		t.Error(diff)
	}
	if missing, err := b.HasMessages(t.Context(), "b1", ms); err != nil || len(missing) != 0 {
		t.Errorf("missing are %v: %v", missing, err)
	}
	if missing, err := b.HasMessages(t.Context(), "b1", []archive.Message{g.message(3, noon), g.message(9, noon)}); err != nil || len(missing) != 1 || missing[0].Seq != 9 {
		t.Errorf("missing are %v: %v", missing, err)
	}
	var recalls []ledger.Recall
	b.OK(b.Recalls(t.Context(), corp, func(r ledger.Recall) bool {
		recalls = append(recalls, r)
		return true
	}))
	if diff := cmp.Diff([]ledger.Recall{{Of: "never-seen", MsgID: recall.MsgID, Seq: 4, Time: noon}}, recalls); diff != "" {
		t.Error(diff)
	}
}

// TestASecondTextOfASeqLeavesTheFirstAlone: batches may overlap, and WeCom has been seen to hand out one seq with another text.
func TestASecondTextOfASeqLeavesTheFirstAlone(t *testing.T) {
	b := newBench(t)
	g := group{room: "wr1", members: []archive.PartyID{"an", "bo"}}
	first := g.message(3, noon)
	first.Text, first.Raw = "the first", []byte("first")
	b.OK(b.PutMessages(t.Context(), "b1", []archive.Message{first}, &ledger.People{}))
	before := b.Rows("MessagesTable")
	second := first
	second.Text, second.Raw, second.MsgID = "the second", []byte("second"), "another"
	b.OK(b.PutMessages(t.Context(), "b2", []archive.Message{second}, &ledger.People{}))
	after := b.Rows("MessagesTable")
	for k, v := range before {
		if after[k] != v {
			t.Errorf("%s was %q and is %q", k, v, after[k])
		}
	}
	if len(after) != len(before)+1 {
		t.Errorf("%d rows became %d: the second text has none", len(before), len(after))
	}
}

// TestIDsOfAnyLengthStopNoBatch: DynamoDB takes partition keys of 2,048 bytes and sort keys of 1,024.
func TestIDsOfAnyLengthStopNoBatch(t *testing.T) {
	b := newBench(t)
	long := func(c string) string { return strings.Repeat(c, 3000) }
	m := archive.Message{Corp: corp, Seq: 1, MsgID: archive.MsgID(long("m")), Action: archive.Action(long("a")), Type: long("t"), From: archive.PartyID(long("f")),
		To: []archive.PartyID{archive.PartyID(long("g")), "bo"}, Room: archive.RoomID(long("r")), RecallOf: archive.MsgID(long("o")), Time: noon, Raw: []byte("{}")}
	direct := m
	direct.Seq, direct.Room = 2, ""
	b.OK(b.PutMessages(t.Context(), "b1", []archive.Message{m, direct}, &ledger.People{}))
	if missing, err := b.HasMessages(t.Context(), "b1", []archive.Message{m, direct}); err != nil || len(missing) != 0 {
		t.Errorf("missing are %d: %v", len(missing), err)
	}
	b.OK(b.Recalls(t.Context(), corp, func(r ledger.Recall) bool {
		if string(r.Of) != long("o") {
			t.Errorf("the recalled msgid has %d bytes", len(r.Of))
		}
		return true
	}))
	first, last, err := b.Activity(corp).Of(t.Context(), archive.PartyID(long("f")))
	if err != nil || !first.Equal(noon) || !last.Equal(noon) {
		t.Errorf("the sender was active from %v to %v: %v", first, last, err)
	}
}

func TestMoreRowsThanACallTakesAreWritten(t *testing.T) {
	b := newBench(t)
	g := group{room: "wr1"}
	for i := range 260 {
		g.members = append(g.members, archive.PartyID(fmt.Sprintf("member%d", i)))
	}
	var ms []archive.Message
	for seq := archive.Seq(1); seq <= 130; seq++ {
		ms = append(ms, g.message(seq, noon))
	}
	b.OK(b.PutMessages(t.Context(), "b1", ms, &ledger.People{}))
	count := map[string]int{}
	for k := range maps.Keys(b.Rows("MessagesTable")) {
		count[k[:strings.IndexByte(k, '#')]]++
	}
	if diff := cmp.Diff(map[string]int{"msg": 130, "person": 260, "parts": 1, "room": 1}, count); diff != "" {
		t.Error(diff)
	}
}
