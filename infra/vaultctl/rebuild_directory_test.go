package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// registry is a company whose directory was read some times, with what the readings leave in the bucket alone.
type registry struct {
	*rig.Rig
	p     *program
	out   bytes.Buffer
	wecom rig.WeCom
	test  *testing.T
	value string
	audit string // the archive's secret, if it is held
	at    time.Time

	rooms  []archive.RoomID // that messages name
	robots []archive.PartyID
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{Rig: rig.Start(t, rig.Options{}), wecom: rig.StartWeCom(t), test: t, at: noon}
	c := r.Config(rig.Operator)
	r.p = &program{out: &r.out, log: io.Discard, actor: "test", ledger: r.Ledger(c), store: r.Store(c, "ArchiveBucket"), tables: r.Tables()}
	r.OK(r.p.ledger.PutCorp(t.Context(), ledger.Corp{ID: tide, Added: noon}))
	company, err := r.wecom.AddCorp(t.Context(), wecomsim.NewCorp{Corp: string(tide), Name: "Tide", NoKey: true, Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindLegacyApp, Value: "sesame"}, {Kind: wecomsim.KindArchive, Value: "archived"}}})
	r.OK(err)
	r.value = company.Secret(wecomsim.KindLegacyApp)
	r.change(wecomsim.ChangeContacts{Departments: []wecomsim.Department{{ID: 1, Name: "Tide"}, {ID: 2, Name: "Locks", Parent: 1}}, Members: []wecomsim.Member{
		{UserID: "an", Name: "An", Department: []int{2}, Mobile: "19912340001", Status: 1}, {UserID: "bo", Name: "Bo", Department: []int{1}, Mobile: "19912340002", Status: 1}}})
	return r
}

func (r *registry) change(c wecomsim.ChangeContacts) {
	r.Helper()
	c.Corp = string(tide)
	r.OK(r.wecom.ChangeContacts(r.Context(), c))
}

func (r *registry) reader(keep func(wecom.Answer)) *wecom.Reader { return r.readerWith(r.value, keep) }

func (r *registry) readerWith(secret string, keep func(wecom.Answer)) *wecom.Reader {
	client := wecom.New(r.wecom.URL, &http.Client{Timeout: 2 * time.Second}, clock.Real)
	return wecom.NewReader(client.Tokens(tide, func(context.Context) (string, error) { return secret, nil }), time.Millisecond, keep)
}

// read reads the whole directory an hour later.
func (r *registry) read() {
	r.Helper()
	r.at = r.at.Add(time.Hour)
	keeper, readers := reading.NewKeeper(), reading.Readers{}
	readers[secrets.Contacts] = r.reader(keeper.Of(secrets.Contacts))
	if r.audit != "" {
		readers[secrets.Archive] = r.readerWith(r.audit, keeper.Of(secrets.Archive))
	}
	keeper.Held(readers)
	read, next := reading.Gather(r.Context(), readers, reading.Known{Rooms: r.rooms, Robots: r.robots, Keep: keeper})
	kept := rig.Must[[]byte](r.test)(keeper.Bytes())
	object, err := r.p.store.PutBlob(r.Context(), reading.AnswersKey(tide, kept), "application/gzip", kept)
	r.OK(err)
	record := reading.Record{Corp: tide, Asked: r.at, Answered: r.at.Add(time.Minute), Object: object.Key, Version: object.VersionID, Counts: directory.Counts{Parts: read.Parts, Next: next}}
	key, content, err := record.Written()
	r.OK(err)
	_, err = r.p.store.PutBlob(r.Context(), key, "application/json", content)
	r.OK(err)
}

// look looks at one member, because WeCom told of it.
func (r *registry) look(id string) {
	r.Helper()
	r.at = r.at.Add(time.Minute)
	keeper := reading.NewKeeper()
	keeper.Told(directory.Notice{Kind: directory.KindMember, ID: id, At: r.at.Add(-time.Second), Says: directory.ToldUpdated})
	o := directory.Observation{Asked: r.at, Answered: r.at, Via: string(secrets.Contacts)}
	_, err := reading.One(r.Context(), r.reader(keeper.Of(secrets.Contacts)), reading.Who{Kind: directory.KindMember, ID: id}, &o)
	r.OK(err)
	keeper.Looked(reading.Who{Kind: directory.KindMember, ID: id}, o, true)
	kept := rig.Must[[]byte](r.test)(keeper.Bytes())
	_, err = r.p.store.PutBlob(r.Context(), reading.AgainKey(tide, kept), "application/gzip", kept)
	r.OK(err)
}

func (r *registry) events() (list []directory.Event) {
	r.Helper()
	r.OK(r.p.ledger.Events(r.Context(), tide, noon, noon.AddDate(0, 0, 2), func(e directory.Event) bool {
		list = append(list, e)
		return true
	}))
	return list
}

// rebuild runs the command and returns its differences and its account.
func (r *registry) rebuild(args ...string) ([]dissent, rewritten, error) {
	r.Helper()
	r.out.Reset()
	failed := rebuild(r.Context(), r.p, append([]string{"directory", "-corp", string(tide)}, args...))
	var found []dissent
	lines := slices.Collect(strings.Lines(r.out.String()))
	for i, line := range lines {
		if i == len(lines)-1 {
			var sum rewritten
			r.OK(json.Unmarshal([]byte(line), &sum))
			return found, sum, failed
		}
		var d dissent
		r.OK(json.Unmarshal([]byte(line), &d))
		found = append(found, d)
	}
	return found, rewritten{}, failed
}

func TestALostHistoryIsMadeAnewOfTheAnswers(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.read()
	r.read()
	r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"an": json.RawMessage(`{"mobile":"19912340009"}`)}})
	r.look("an")
	r.change(wecomsim.ChangeContacts{Remove: []string{"bo"}})
	r.read()

	r.p.tables.Directory = "lost"
	r.p.ledger = ledger.New(dynamodb.NewFromConfig(r.Config(rig.Operator)), r.p.tables)
	if _, _, err := r.rebuild(); err == nil || !strings.Contains(err.Error(), "-kms-key") {
		t.Fatalf("without the table: %v", err)
	}
	found, sum, err := r.rebuild("-mend", "-kms-key", "arn:aws:kms:us-east-1:000000000000:key/directory")
	if err != nil || sum.Readings != 3 || sum.Entries != 4 || sum.Events != 2 || sum.Differences != len(found) || sum.Mended != len(found) || sum.Unsettled != 0 {
		t.Errorf("%+v %v", sum, err)
	}
	events := r.events()
	if len(events) != 2 || events[0].What != directory.MobileChanged || events[0].New != "19912340009" || len(events[0].Told) != 1 || events[1].ID != "bo" || events[1].What != directory.Left {
		t.Errorf("events: %+v", events)
	}
	for _, e := range events {
		if !e.Recorded.Equal(e.By) {
			t.Errorf("%s was recorded at %v: it would be told as late", e.What, e.Recorded)
		}
	}
	held := rig.Must[ledger.Held](t)(r.p.ledger.Held(t.Context(), tide, directory.KindMember, "an"))
	if m := rig.Must[directory.Member](t)(directory.Parse[directory.Member](held.Fields)); m.Mobile != "19912340009" || m.Name != "An" {
		t.Errorf("the newest state is %+v", m)
	}
	if bo := rig.Must[[]directory.Entry](t)(r.p.ledger.EntryHistory(t.Context(), tide, directory.KindMember, "bo")); len(bo) != 2 || bo[0].Gone || !bo[1].Gone {
		t.Errorf("the states of one who left are %+v", bo)
	}
	rows := r.rows()
	if found, sum, err := r.rebuild(); err != nil || len(found) > 0 || sum.Differences != 0 {
		t.Errorf("again: %v %+v %v", found, sum, err)
	}
	if diff := cmp.Diff(rows, r.rows()); diff != "" {
		t.Errorf("without -mend something was written\n%s", diff)
	}

	// What goes wrong in the ledger is found, and mended when that is asked for.
	wrong := events[0]
	wrong.Old, wrong.Recorded = "another", wrong.By.Add(time.Hour)
	r.OK(r.p.ledger.PutEvents(t.Context(), tide, []directory.Event{wrong, {Kind: directory.KindMember, ID: "an", What: directory.EmailSet, New: "x", By: r.at}}))
	r.OK(r.p.ledger.DropEvents(t.Context(), tide, events[1:]))
	life := rig.Must[ledger.Life](t)(r.p.ledger.Life(t.Context(), tide, directory.KindMember, "bo"))
	r.OK(r.p.ledger.DropLooks(t.Context(), tide, life.Looks.Looks[:1]))
	found, _, err = r.rebuild()
	got := map[string]int{}
	for _, d := range found {
		got[d.Kind+" "+d.What+" "+d.State]++
		if strings.Contains(r.out.String(), "19912340009") {
			t.Error("a difference shows what somebody's mobile is")
		}
	}
	if diff := cmp.Diff(map[string]int{"event altered open": 1, "event contradicted kept": 1, "event missing open": 1, "look missing open": 1}, got); diff != "" || err == nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if found, sum, err := r.rebuild("-mend"); err != nil || len(found) != 4 || sum.Mended != 3 || sum.Kept != 1 {
		t.Errorf("mended: %v %+v %v", found, sum, err)
	}
	// What was told stays, as directory has it stay, and is said each time; it takes nobody to mend it.
	if found, sum, err := r.rebuild(); err != nil || len(found) != 1 || found[0].State != "kept" || sum.Differences != 0 || sum.Kept != 1 {
		t.Errorf("after it was mended: %v %+v %v", found, sum, err)
	}
	r.OK(r.p.ledger.DropEvents(t.Context(), tide, []directory.Event{{Kind: directory.KindMember, ID: "an", What: directory.EmailSet, By: r.at}}))
	if diff := cmp.Diff(plainly(events), plainly(r.events())); diff != "" {
		t.Errorf("events: -before +after\n%s", diff)
	}
}

func plainly(events []directory.Event) []directory.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].Recorded = time.Time{}
	}
	return events
}

// rows is every row of the table.
func (r *registry) rows() map[string]string {
	r.Helper()
	all := map[string]string{}
	db := dynamodb.NewFromConfig(r.Config(rig.Operator))
	pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &r.p.tables.Directory})
	for pages.HasMorePages() {
		page := rig.Must[*dynamodb.ScanOutput](r.test)(pages.NextPage(r.Context()))
		for _, it := range page.Items {
			text := rig.Must[[]byte](r.test)(json.Marshal(it))
			all[string(text)] = ""
		}
	}
	return all
}

// Rooms and robots have states alone, and these are made anew as they were, row by row.
func TestLostRoomsAndRobotsAreMadeAnewOfTheAnswers(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	const room, robot = "wrlock", "wbtide"
	r.audit, r.rooms, r.robots = "archived", []archive.RoomID{room, "wrunknown"}, []archive.PartyID{robot}
	group := wecomsim.Room{ID: room, Kind: wecomsim.RoomInternal, Name: "Lock 3", Owner: "an", Members: []string{"an", "bo"}}
	r.change(wecomsim.ChangeContacts{Rooms: []wecomsim.Room{group}, Robots: []wecomsim.Robot{{ID: robot, Name: "Tide table", Creator: "an"}}})
	r.read()
	group.Name = "Lock 4"
	r.change(wecomsim.ChangeContacts{Rooms: []wecomsim.Room{group}})
	r.read()
	if _, _, err := r.rebuild("-mend"); err != nil {
		t.Fatal(err)
	}
	states := rig.Must[[]directory.Entry](t)(r.p.ledger.EntryHistory(t.Context(), tide, directory.KindRoom, room))
	if len(states) != 2 || !strings.Contains(states[0].Fields, "Lock 3") || !strings.Contains(states[1].Fields, "Lock 4") || !states[1].At.Equal(r.at) {
		t.Errorf("the room's states are %+v", states)
	}
	whole := r.rows()
	lost := 0
	for _, name := range []string{`{"Value":"room#`, `{"Value":"robot#`, `{"Value":"hist#`} {
		lost += r.lose(name)
	}
	if lost < 7 {
		t.Fatalf("%d rows were lost", lost)
	}
	found, sum, err := r.rebuild("-mend")
	if err != nil || len(found) < 6 || sum.Mended != len(found) {
		t.Errorf("%d differences, %+v, %v", len(found), sum, err)
	}
	if diff := cmp.Diff(whole, r.rows()); diff != "" {
		t.Errorf("-before +mended\n%s", diff)
	}
}

// lose deletes the rows with a key that begins so, and says how many there were.
func (r *registry) lose(begins string) (n int) {
	r.Helper()
	db := dynamodb.NewFromConfig(r.Config(rig.Operator))
	pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &r.p.tables.Directory})
	for pages.HasMorePages() {
		page := rig.Must[*dynamodb.ScanOutput](r.test)(pages.NextPage(r.Context()))
		for _, it := range page.Items {
			for _, name := range []string{"pk", "sk"} {
				if text := rig.Must[[]byte](r.test)(json.Marshal(it[name])); strings.HasPrefix(string(text), begins) {
					_, err := db.DeleteItem(r.Context(), &dynamodb.DeleteItemInput{TableName: &r.p.tables.Directory, Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]}})
					r.OK(err)
					n++
					break
				}
			}
		}
	}
	return n
}

// A ledger that knows of readings which the bucket lacks is not mended after it.
func TestALedgerThatKnowsMoreIsNotMended(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.read()
	if _, _, err := r.rebuild("-mend"); err != nil {
		t.Fatal(err)
	}
	s := ledger.Snapshot{Corp: tide, At: noon.Add(-time.Hour), Until: noon.Add(-time.Hour), Settled: true, Counts: directory.Counts{Parts: map[directory.Part]directory.Outcome{}}}
	r.OK(r.p.ledger.PutSnapshot(t.Context(), s))
	life := rig.Must[ledger.Life](t)(r.p.ledger.Life(t.Context(), tide, directory.KindMember, "an"))
	r.OK(r.p.ledger.DropLooks(t.Context(), tide, life.Looks.Looks))
	rows := r.rows()
	if _, sum, err := r.rebuild("-mend"); err == nil || !strings.Contains(err.Error(), "knows more") || sum.Mended > 0 {
		t.Errorf("%+v %v", sum, err)
	}
	s.At, s.Until, s.Settled = r.at.Add(time.Hour), r.at.Add(time.Hour), false // directory is at work
	r.OK(r.p.ledger.PutSnapshot(t.Context(), s))
	if _, sum, err := r.rebuild("-mend"); sum.Unsettled == 0 || sum.Mended > 0 || sum.Differences > 0 {
		t.Errorf("while a reading is being settled: %+v %v", sum, err)
	}
	if len(r.rows()) != len(rows)+1 {
		t.Error("something was written")
	}
}
