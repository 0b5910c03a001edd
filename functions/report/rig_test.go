package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/emersion/go-message/mail"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
)

// noon ends the sample day.
var noon = time.Date(2032, 2, 10, 12, 0, 0, 0, time.UTC)

// desk is the function with its own role over the whole local AWS.
type desk struct {
	*rig.Rig
	*reporter
	operator *ledger.Ledger
	at, real time.Time
	log      bytes.Buffer
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{Rig: rig.Start(t, rig.Options{}), at: noon.Add(time.Second), real: clock.Real()}
	d.operator = d.Ledger(d.Config(rig.Operator))
	c := d.Once("ReportFunction")
	d.reporter = &reporter{
		ledger: d.Ledger(c), store: d.Store(c, "ReportsBucket"), mails: queue.New[queue.MailJob](sqs.NewFromConfig(c), d.Name("MailQueue")),
		tells: queue.New[queue.TellJob](sqs.NewFromConfig(c), d.Name("TellQueue")),
		log:   slog.New(slog.NewTextHandler(&d.log, nil)), from: "vault@mail.example",
		windows: ledger.Windows{Messages: 120 * time.Hour, Media: 72 * time.Hour}, trial: true, egress: []string{"192.0.2.44"},
		now: func() time.Time { return d.at }, real: func() time.Time { return d.real }, owner: newOwner,
	}
	return d
}

// company makes a corp with a day behind it: four members, three batches, an attachment of each state.
func (d *desk) company(id archive.CorpID) ledger.Corp {
	d.Helper()
	ctx, l := d.Context(), d.operator
	c := ledger.Corp{ID: id, Name: "澄湖乐器 Clearlake Instruments", Simulated: true, Added: noon.Add(-20 * time.Hour),
		ReportTo: []ledger.Receiver{{Address: "office@clearlake.example", Language: "zh", Reports: "R1"}, {Address: "audit@clearlake.example", Language: "en", Reports: "R1"}}}
	d.OK(l.PutCorp(ctx, c))

	first, later := noon.Add(-19*time.Hour), noon.Add(-2*time.Hour)
	member := func(m directory.Member) string { return directory.Fields(m) }
	lena := directory.Member{Name: "Lena Ott", Listed: true, Departments: []int{2}, Status: 1, Mobile: "+49 3012345678", MobileReadable: true, Email: "lena@clearlake.example",
		EmailReadable: true, Designated: true, DesignatedKnown: true}
	lost := lena
	lost.Mobile = ""
	hao := directory.Member{Name: "郝川", Listed: true, Departments: []int{1, 2}, Status: 1, Designated: true, DesignatedKnown: true}
	d.OK(l.PutEntries(ctx, id, []directory.Entry{
		{Kind: directory.KindDepartment, ID: "1", At: first, Fields: directory.Fields(directory.Department{Name: "Clearlake"})},
		{Kind: directory.KindDepartment, ID: "2", At: first, Fields: directory.Fields(directory.Department{Name: "工坊", Parent: 1})},
		{Kind: directory.KindMember, ID: "lena", At: first, Fields: member(lena)},
		{Kind: directory.KindMember, ID: "hao", At: first, Fields: member(hao)},
		{Kind: directory.KindMember, ID: "visitor", At: first, Fields: member(directory.Member{Name: "Never Designated", Listed: true, Departments: []int{2}, Status: 1, DesignatedKnown: true})},
		{Kind: directory.KindMember, ID: "gone", At: first, Fields: member(hao)},
	}))
	d.OK(l.PutEntries(ctx, id, []directory.Entry{
		{Kind: directory.KindMember, ID: "lena", At: later, Fields: member(lost)},
		{Kind: directory.KindMember, ID: "gone", At: later, Fields: member(hao), Gone: true},
	}))
	d.OK(l.PutSnapshot(ctx, ledger.Snapshot{Corp: id, At: later}))

	people := &ledger.People{}
	message := func(seq archive.Seq, at time.Time, room string, from archive.PartyID, to ...archive.PartyID) archive.Message {
		return archive.Message{Corp: id, Seq: seq, MsgID: archive.MsgID(fmt.Sprint("m", seq)), Room: archive.RoomID(room), From: from, To: to, Time: at, Type: "text",
			Action: archive.Send, Known: true, Text: "canary"}
	}
	d.OK(l.PutMessages(ctx, "b", []archive.Message{
		message(1, noon.Add(-40*24*time.Hour), "", "lena", "visitor"),
		message(2, noon.Add(-5*time.Hour), "wr-hall", "lena", "hao", "visitor"),
		message(3, noon.Add(-4*time.Hour), "wr-hall", "visitor", "gone"),
		message(4, noon.Add(-3*time.Hour), "", "visitor", "lena"),
	}, people))

	lease, cursor, err := l.TakeLease(ctx, id, "fetcher", ledger.Cursor{})
	d.OK(err)
	_, err = l.Beat(ctx, lease, ledger.Poll{CaughtUp: noon.Add(-time.Minute), Empties: 1, LastWhole: noon.Add(-time.Minute)})
	d.OK(err)
	batch := func(first archive.Seq, items int, pulled time.Time) ledger.BatchRow {
		b := ledger.BatchRow{Corp: id, First: first, Last: first + archive.Seq(items) - 1, Items: items, SHA256: strings.Repeat(fmt.Sprint(first%10), 64), Pulled: pulled,
			CaughtUp: pulled, Link: cursor.Chain.Next(strings.Repeat("0", 64))}
		b, err := l.PutBatch(ctx, b)
		d.OK(err)
		return b
	}
	d.OK(l.FinishBatch(ctx, batch(1, 10, noon.Add(-25*time.Hour)), "run", 10, 0, ""))
	b := batch(11, 7, noon.Add(-6*time.Hour))
	_, err = l.ClaimSlot(ctx, b, "run")
	d.OK(err)
	d.OK(l.SetAside(ctx, b, "run", []ledger.Aside{{Corp: id, Reason: "no-key", KeyVersion: 3, Seq: 12, Batch: b.Key(), Since: b.Pulled, Clock: b.CaughtUp}}, nil))
	d.OK(l.FinishBatch(ctx, b, "run", 6, 1, ""))
	batch(18, 4, noon.Add(-time.Hour))

	files := []ledger.Waiting{{Corp: id, FileID: "kept", Clock: noon.Add(-9 * time.Hour)}, {Corp: id, FileID: "waits", Clock: noon.Add(-8 * time.Hour)}}
	_, err = l.PutWaiting(ctx, id, files)
	d.OK(err)
	d.OK(l.SettleMedia(ctx, files[0], ledger.MediaRow{Corp: id, Hash: files[0].FileID.Hash(), State: ledger.Kept, At: noon.Add(-8 * time.Hour)}))
	return c
}

// jobs takes the mails that jobs ask to send, each named once.
func (d *desk) jobs() []string {
	d.Helper()
	var keys []string
	for _, body := range d.Take("MailQueue") {
		job, err := queue.Decode[queue.MailJob](body)
		d.OK(err)
		keys = append(keys, job.Mail)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (d *desk) planned(id archive.CorpID) []ledger.MailRow {
	d.Helper()
	var rows []ledger.MailRow
	d.OK(d.operator.Mails(d.Context(), id, func(m ledger.MailRow) bool { rows = append(rows, m); return true }))
	return rows
}

// letter is a mail as an independent reader sees it.
type letter struct {
	Subject, To, Text, HTML string
	Urgent                  bool
	Attachment              string
}

// letter reads a planned mail, with the corp's id and the report's own id taken out so that two corps' mails can be compared.
func (d *desk) letter(m ledger.MailRow) letter {
	d.Helper()
	raw, err := d.Store(d.Config(rig.Operator), "ReportsBucket").Get(d.Context(), objstore.Object{Key: m.Object, VersionID: m.Version})
	d.OK(err)
	r, err := mail.CreateReader(bytes.NewReader(raw))
	d.OK(err)
	l := letter{To: r.Header.Get("To"), Urgent: r.Header.Get("Importance") == "high"}
	l.Subject, err = r.Header.Subject()
	d.OK(err)
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return l
		}
		d.OK(err)
		body, err := io.ReadAll(part.Body)
		d.OK(err)
		text := strings.ReplaceAll(string(body), string(m.Corp), "CORP")
		switch h := part.Header.(type) {
		case *mail.AttachmentHeader:
			l.Attachment = text
		case *mail.InlineHeader:
			if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
				l.HTML = text
			} else {
				l.Text = text
			}
		}
	}
}

// state is everything that a corp's reports left behind, in a form that is equal for equal histories of two corps.
func (d *desk) state(id archive.CorpID) map[string]any {
	d.Helper()
	state := map[string]any{}
	plain := func(s string) string {
		return strings.NewReplacer(objstore.Escape(string(id)), "CORP", id.KeyPart(), "CORP", string(id), "CORP").Replace(s)
	}
	for k, v := range d.Rows("ControlTable", "owner", "until", "version", "done_at", "at", "seen", "parts") {
		if strings.HasPrefix(k, "run#"+id.KeyPart()+" ") || strings.HasPrefix(k, "mail#"+id.KeyPart()+" ") || strings.HasPrefix(k, "alarm#"+id.KeyPart()+" ") {
			state[plain(k)] = plain(v)
		}
	}
	for _, prefix := range []string{"reports/", "mails/"} {
		for _, k := range d.Keys("ReportsBucket", prefix+"corp="+objstore.Escape(string(id))+"/") {
			state[plain(k)] = "there"
		}
	}
	for _, m := range d.planned(id) {
		state["letter "+plain(m.Key())] = d.letter(m)
	}
	for i, k := range d.jobs() {
		state[fmt.Sprint("job ", i)] = k
	}
	return state
}

// slow skips a test that takes long when only the short ones are asked for, as under the race detector.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long: left out by -short")
	}
}
