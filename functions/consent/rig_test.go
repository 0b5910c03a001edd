package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

var (
	guest   = archive.PartyID("wm" + strings.Repeat("g", 30)) // in the group, chooses
	partner = archive.PartyID("wo" + strings.Repeat("p", 30)) // in the group, agreed
	silent  = archive.PartyID("wm" + strings.Repeat("s", 30)) // in the group, never asked
	lane    = archive.RoomID("wr" + strings.Repeat("1", 30))  // a group that WeCom shows
	dark    = archive.RoomID("wr" + strings.Repeat("2", 30))  // one that it does not
	start   = time.Date(2032, 5, 4, 6, 0, 0, 0, time.UTC)
)

// desk is the function with its own role over the whole local AWS and a simulated WeCom.
type desk struct {
	*rig.Rig
	*keeper
	wecom    rig.WeCom
	operator *ledger.Ledger
	at       time.Time
	log      bytes.Buffer
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{Rig: rig.Start(t, rig.Options{}), wecom: rig.StartWeCom(t), at: start}
	d.operator = d.Ledger(d.Config(rig.Operator))
	c := d.Once("ConsentFunction")
	d.keeper = &keeper{
		ledger: d.Ledger(c), store: d.Store(c, "ArchiveBucket"), vault: d.Secrets(c), server: wecom.New(d.wecom.URL, &http.Client{Timeout: 2 * time.Second}, clock.Real),
		reports: queue.New[queue.ReportJob](sqs.NewFromConfig(c), d.Name("ReportQueue")), log: slog.New(slog.NewTextHandler(&d.log, nil)),
		now: func() time.Time { return d.at }, real: clock.Real, budget: time.Minute, pause: time.Millisecond,
	}
	d.clock()
	return d
}

// clock sets WeCom's clock to ours.
func (d *desk) clock() {
	d.Helper()
	_, err := d.wecom.SetClock(d.Context(), wecomsim.Clock{Now: &d.at})
	d.OK(err)
}

// later lets time pass, for both.
func (d *desk) later(t time.Duration) {
	d.Helper()
	d.at = d.at.Add(t)
	d.clock()
}

// company makes a company with a group of two members and three external contacts, of whom one agreed, and what the directory reads of it.
func (d *desk) company(id archive.CorpID) {
	d.Helper()
	ctx := d.Context()
	d.Company(d.wecom, id)
	d.OK(d.wecom.ChangeContacts(ctx, wecomsim.ChangeContacts{
		Corp:        string(id),
		Departments: []wecomsim.Department{{ID: 1, Name: "Tern & Co"}, {ID: 2, Name: "Sales", Parent: 1}},
		Members:     []wecomsim.Member{{UserID: "mai", Name: "Mai", Department: []int{2}, Status: 1}, {UserID: "otto", Name: "Otto", Department: []int{1}, Status: 1}},
		Externals: []wecomsim.External{
			{ID: string(guest), Name: "Gus", Type: 1, UnionID: "u1", FollowUsers: []wecomsim.Follow{{UserID: "mai"}}},
			{ID: string(partner), Name: "Pia", Type: 2, CorpName: "Heron", FollowUsers: []wecomsim.Follow{{UserID: "otto"}}},
			{ID: string(silent), Name: "Sia", Type: 1, UnionID: "u2", FollowUsers: []wecomsim.Follow{{UserID: "mai"}}},
		},
		Rooms: []wecomsim.Room{{ID: string(lane), Kind: wecomsim.RoomExternal, Name: "Tern lane", Owner: "mai", Members: []string{"mai", "otto", string(guest), string(partner), string(silent)}}},
		Consents: []wecomsim.Consent{
			{RoomID: string(lane), External: string(partner), Status: "Agree", Changed: start.Add(-48 * time.Hour).Unix()},
			{UserID: "otto", External: string(partner), Status: "Agree", Changed: start.Add(-48 * time.Hour).Unix()},
		},
	}))
	d.say(id, lane, guest, "Agree", start.Add(-47*time.Hour))
	member := directory.Member{Name: "Mai", Listed: true, Departments: []int{2}, Status: 1, Designated: true, DesignatedKnown: true}
	otto := member
	otto.Name, otto.Departments = "Otto", []int{1}
	d.OK(d.operator.PutEntries(ctx, id, []directory.Entry{
		{Kind: directory.KindMember, ID: "mai", At: start, Fields: directory.Fields(member)},
		{Kind: directory.KindMember, ID: "otto", At: start, Fields: directory.Fields(otto)},
		{Kind: directory.KindExternal, ID: string(guest), At: start, Fields: directory.Fields(directory.External{Name: "Gus", Type: 1, Followers: []archive.PartyID{"mai"}})},
		{Kind: directory.KindExternal, ID: string(partner), At: start, Fields: directory.Fields(directory.External{Name: "Pia", Type: 2, Followers: []archive.PartyID{"otto"}})},
		{Kind: directory.KindExternal, ID: string(silent), At: start, Fields: directory.Fields(directory.External{Name: "Sia", Type: 1, Followers: []archive.PartyID{"mai"}})},
	}))
	d.room(id, lane, directory.Room{Name: "Tern lane", Kind: directory.RoomExternal, Owner: "mai", Members: []archive.PartyID{"mai", "otto", guest, partner, silent}}, false)
}

// room is what the directory reads of a room now.
func (d *desk) room(id archive.CorpID, room archive.RoomID, state directory.Room, gone bool) {
	d.Helper()
	d.OK(d.operator.PutEntries(d.Context(), id, []directory.Entry{{Kind: directory.KindRoom, ID: string(room), At: d.at, Fields: directory.Fields(state), Gone: gone}}))
	d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: id, At: d.at}))
}

// say is an external contact's word in a room, at a time.
func (d *desk) say(id archive.CorpID, room archive.RoomID, who archive.PartyID, status string, at time.Time) {
	d.Helper()
	d.OK(d.wecom.ChangeContacts(d.Context(), wecomsim.ChangeContacts{Corp: string(id), Consents: []wecomsim.Consent{
		{RoomID: string(room), External: string(who), Status: status, Changed: at.Unix()}}}))
}

// message archives what a message says of consent.
func (d *desk) message(id archive.CorpID, room archive.RoomID, who archive.PartyID, agree bool, at time.Time) {
	d.Helper()
	m := archive.Message{Corp: id, Seq: archive.Seq(at.UnixMilli()), MsgID: archive.MsgID(at.Format(time.RFC3339Nano)), Action: archive.Send, Type: "agree", Known: true,
		From: who, To: []archive.PartyID{"mai"}, Room: room, Time: at, Consents: []archive.Consent{{Party: who, Agree: agree, Time: at}}}
	d.OK(d.operator.PutDerived(d.Context(), ledger.BatchRow{Corp: id, First: m.Seq, Last: m.Seq, SHA256: strings.Repeat("5", 64), Pulled: at},
		derived.Of(derived.Batch{Pulled: at}, []archive.SegmentItem{{Message: m}}), &ledger.People{}))
}

// run runs the function on the schedule's event.
func (d *desk) run() {
	d.Helper()
	event, err := os.ReadFile(filepath.Join("..", "..", "events", "consent.json"))
	d.OK(err)
	_, err = d.function().Invoke(d.Context(), event)
	d.OK(err)
}

// breaches is a corp's groups' alarms.
func (d *desk) breaches(id archive.CorpID) []ledger.Alarm {
	d.Helper()
	all, err := d.operator.Breaches(d.Context(), id)
	d.OK(err)
	return all
}

// standing is where somebody stands in a room.
func (d *desk) standing(id archive.CorpID, s consent.Subject) ledger.Standing {
	d.Helper()
	out, err := d.operator.StandingOf(d.Context(), id, s)
	d.OK(err)
	return out
}

// changes are the changes of consent that were found since the start, as text.
func (d *desk) changes(id archive.CorpID) []string {
	d.Helper()
	var list []string
	d.OK(d.operator.ConsentChanges(d.Context(), id, start.Add(-time.Hour), d.at.Add(time.Hour), func(c ledger.ConsentChange) bool {
		who := c.Subject.Key()
		for name, id := range map[string]string{"guest": string(guest), "partner": string(partner), "silent": string(silent), "lane": string(lane), "dark": string(dark)} {
			who = strings.ReplaceAll(who, id, name)
		}
		list = append(list, strings.TrimSpace(who+": "+string(c.Old)+" → "+string(c.New)+" "+string(c.Source)))
		return true
	}))
	slices.Sort(list)
	return list
}

// state is everything that a corp's record comes to, in a form that is equal for equal histories of two corps: the times at which we asked are left out.
func (d *desk) state(id archive.CorpID) map[string]string {
	d.Helper()
	state := map[string]string{}
	for k, v := range d.Rows("DirectoryTable", "asked", "answered", "rev", "changes", "drop", "found", "until", "read") {
		if strings.HasPrefix(k, "consentnow#"+id.KeyPart()+" ") {
			state[k[len("consentnow#"+id.KeyPart()):]] = v
		}
	}
	for i, c := range d.changes(id) {
		state["change "+string(rune('a'+i))] = c
	}
	for _, a := range d.breaches(id) {
		state["breach "+a.Cause] = a.Fingerprint() + a.Over.String()
	}
	return state
}
