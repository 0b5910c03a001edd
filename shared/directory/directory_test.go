package directory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

const corp = archive.CorpID("wwtest")

var noon = time.Date(2031, 1, 2, 12, 0, 0, 0, time.UTC)

func TestFieldsAreCanonical(t *testing.T) {
	m := directory.Member{
		Name: "A <b> & \"c\"", Listed: true, Departments: []int{30, 4, 30}, DirectLeaders: []archive.PartyID{"z", "a"}, Status: 1, MobileReadable: true,
	}
	want := `{"departments":[4,30],"designated":false,"designated_known":false,"direct_leaders":["a","z"],"email_readable":false,"listed":true,` +
		`"mobile_readable":true,"name":"A <b> & \"c\"","status":1}`
	if got := directory.Fields(m); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if m.Departments[0] != 30 {
		t.Error("writing a state changed it")
	}
}

func TestParseSkipsWhatALaterVersionAdds(t *testing.T) {
	r, err := directory.Parse[directory.Robot](`{"name":"x","later":{"a":[1]}}`)
	if err != nil || r.Name != "x" {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := directory.Parse[directory.Robot](`{"name":"secret`); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a damaged state: %v", err)
	}
}

// What is written and read again is written the same; that is what makes "no change" mean no change.
func FuzzCanonicalForm(f *testing.F) {
	f.Add("Ines", "199", "ines@x.example", int64(1), 7, true)
	f.Add("", "\x00\xff", "<&>\u2028", int64(-1<<63), -4, false)
	f.Fuzz(func(t *testing.T, name, mobile, id string, n int64, status int, flag bool) {
		stable(t, directory.Member{Name: name, Mobile: mobile, Email: id, Status: status, Listed: flag, Departments: []int{status, 1}})
		stable(t, directory.External{Name: name, Corp: mobile, Type: status, Followers: []archive.PartyID{archive.PartyID(id), "a"}})
		stable(t, directory.Room{Name: name, Kind: mobile, Created: n, Members: []archive.PartyID{archive.PartyID(id), "m"}, Listed: flag})
		stable(t, directory.Department{Name: name, NameEn: mobile, Parent: status, Order: n, Leaders: []archive.PartyID{archive.PartyID(id)}})
		stable(t, directory.Robot{Name: name, Creator: archive.PartyID(id)})
	})
}

func stable[S directory.State](t *testing.T, s S) {
	t.Helper()
	first := directory.Fields(s)
	if !json.Valid([]byte(first)) {
		t.Fatalf("no JSON: %q", first)
	}
	read, err := directory.Parse[S](first)
	if err != nil {
		t.Fatal(err)
	}
	if second := directory.Fields(read); second != first {
		t.Fatalf("unstable:\n%s\n%s", first, second)
	}
}

// store is a directory's history in memory.
type store map[string][]directory.Entry

func (s store) EntryHistory(_ context.Context, c archive.CorpID, kind directory.Kind, id string) ([]directory.Entry, error) {
	if c != corp {
		return nil, errors.New("another corp was asked for")
	}
	return s[string(kind)+" "+id], nil
}

func (s store) put(entries []directory.Entry) {
	for _, e := range entries {
		s[string(e.Kind)+" "+e.ID] = append(s[string(e.Kind)+" "+e.ID], e)
	}
}

func (s store) newest() (list []directory.Entry) {
	for _, history := range s {
		list = append(list, history[len(history)-1])
	}
	return list
}

func TestNamesAreThoseOfTheirTime(t *testing.T) {
	unnamed, wechat := directory.Fields(directory.External{}), directory.Fields(directory.External{Name: "Old", Type: 1})
	renamed := directory.Fields(directory.External{Name: "New", Type: 1})
	external := archive.PartyID("wm" + strings.Repeat("x", 30))
	s := store{}
	s.put([]directory.Entry{
		{Kind: directory.KindExternal, ID: string(external), At: noon, Fields: unnamed},
		{Kind: directory.KindExternal, ID: string(external), At: noon.Add(1 * time.Hour), Fields: wechat},
		{Kind: directory.KindExternal, ID: string(external), At: noon.Add(2 * time.Hour), Fields: renamed},
		{Kind: directory.KindExternal, ID: string(external), At: noon.Add(3 * time.Hour), Fields: renamed, Gone: true},
		// A userid that looks like a robot's, and one of a company that two kinds know.
		{Kind: directory.KindMember, ID: "wb" + strings.Repeat("y", 30), At: noon, Fields: directory.Fields(directory.Member{Name: "Not a robot"})},
		{Kind: directory.KindExternal, ID: "free", At: noon, Fields: directory.Fields(directory.External{Name: "E", Type: 2})},
		{Kind: directory.KindExternal, ID: "which", At: noon, Fields: directory.Fields(directory.External{Name: "E"})},
		{Kind: directory.KindExternal, ID: "which", At: noon.Add(time.Hour), Fields: directory.Fields(directory.External{Name: "F", Type: 2})},
	})
	names := directory.NewNames(s, corp)
	for _, c := range []struct {
		id   archive.PartyID
		at   time.Duration
		want archive.Party
	}{
		{external, -time.Hour, archive.Party{Name: "Old", Kind: archive.KindWeChat}},
		{external, 0, archive.Party{Name: "Old", Kind: archive.KindWeChat}},
		{external, time.Hour, archive.Party{Name: "Old", Kind: archive.KindWeChat}},
		{external, 2*time.Hour - 1, archive.Party{Name: "Old", Kind: archive.KindWeChat}},
		{external, 2 * time.Hour, archive.Party{Name: "New", Kind: archive.KindWeChat}},
		{external, 9 * time.Hour, archive.Party{Name: "New", Kind: archive.KindWeChat}},
		{archive.PartyID("wb" + strings.Repeat("y", 30)), 0, archive.Party{Name: "Not a robot", Kind: archive.KindMember}},
		{"free", 0, archive.Party{Name: "E", Kind: archive.KindCompany}},
		{"which", 0, archive.Party{Name: "E", Kind: archive.KindCompany}},
		{"nobody", 0, archive.Party{Kind: archive.KindUnknown}},
		{"", 0, archive.Party{Kind: archive.KindUnknown}},
	} {
		c.want.ID = c.id
		got, err := names.Party(t.Context(), c.id, noon.Add(c.at))
		if err != nil || got != c.want {
			t.Errorf("%s at %s: %+v %v, want %+v", c.id, c.at, got, err, c.want)
		}
	}
}

func TestAGroupOfEverybodyFitsIntoARow(t *testing.T) {
	room := directory.Room{Name: "All staff", Kind: directory.RoomInternal}
	followers := directory.External{}
	for i := range 12_000 {
		id := archive.PartyID(fmt.Sprintf("%064d", i))
		room.Members, followers.Followers = append(room.Members, id), append(followers.Followers, id)
	}
	got, err := directory.Parse[directory.Room](directory.Fields(room))
	if err != nil || got.Count != 12_000 || got.Members != nil || !got.Shown() {
		t.Errorf("%d members, %d listed, %v", got.Count, len(got.Members), err)
	}
	if n := len(directory.Fields(followers)); n > 300_000 {
		t.Errorf("%d bytes of followers", n)
	}
	stable(t, room)
}

func TestSinceIsWhenItBegan(t *testing.T) {
	state := func(hour int, designated, gone bool) directory.Entry {
		return directory.Entry{Kind: directory.KindMember, ID: "a", At: noon.Add(time.Duration(hour) * time.Hour), Gone: gone,
			Fields: directory.Fields(directory.Member{Designated: designated, Position: fmt.Sprint(hour)})}
	}
	designated := func(m directory.Member, gone bool) bool { return m.Designated && !gone }
	for name, c := range map[string]struct {
		history []directory.Entry
		hour    int // -1: it does not hold now
	}{
		"never seen":       {nil, -1},
		"from the first":   {[]directory.Entry{state(0, true, false), state(1, true, false)}, 0},
		"later":            {[]directory.Entry{state(0, false, false), state(1, true, false), state(2, true, false)}, 1},
		"not any more":     {[]directory.Entry{state(0, true, false), state(1, false, false)}, -1},
		"after a break":    {[]directory.Entry{state(0, true, false), state(1, false, false), state(2, true, false)}, 2},
		"left":             {[]directory.Entry{state(0, true, false), state(1, true, true)}, -1},
		"left, back again": {[]directory.Entry{state(0, true, false), state(1, true, true), state(2, true, false)}, 2},
	} {
		since, ok, err := directory.Since(c.history, designated)
		if err != nil || ok != (c.hour >= 0) || ok && !since.Equal(noon.Add(time.Duration(c.hour)*time.Hour)) {
			t.Errorf("%s: %s %v %v", name, since, ok, err)
		}
	}
	if _, _, err := directory.Since([]directory.Entry{{Fields: "{"}}, designated); err == nil {
		t.Error("a damaged state was taken")
	}
}

func TestDepartmentsHaveTheirNames(t *testing.T) {
	names, err := directory.DepartmentNames([]directory.Entry{
		{Kind: directory.KindDepartment, ID: "1", Fields: `{"name":"Root"}`}, {Kind: directory.KindDepartment, ID: "20", Fields: `{}`},
		{Kind: directory.KindDepartment, ID: "3", Fields: `{"name":"Closed"}`, Gone: true}, {Kind: directory.KindMember, ID: "4", Fields: `{"name":"A"}`},
	})
	if diff := cmp.Diff(map[int]string{1: "Root", 20: ""}, names); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestNamesAskOncePerEntry(t *testing.T) {
	asked := 0
	names := directory.NewNames(counting{store{}, &asked}, corp)
	for range 3 {
		if _, err := names.Party(t.Context(), "someone", noon); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 { // as a member and as an external contact
		t.Errorf("asked %d times", asked)
	}
}

type counting struct {
	store
	n *int
}

func (c counting) EntryHistory(ctx context.Context, corp archive.CorpID, kind directory.Kind, id string) ([]directory.Entry, error) {
	*c.n++
	return c.store.EntryHistory(ctx, corp, kind, id)
}

func TestAStoreThatFailsIsNoUnknownParty(t *testing.T) {
	if _, err := directory.NewNames(store{}, "another").Party(t.Context(), "someone", noon); err == nil {
		t.Error("the failure was taken for an unknown party")
	}
}

func complete(parts ...directory.Part) map[directory.Part]directory.Outcome {
	outcomes := map[directory.Part]directory.Outcome{}
	for _, p := range parts {
		outcomes[p] = directory.Outcome{Complete: true}
	}
	return outcomes
}

var everything = []directory.Part{
	directory.PartDepartments, directory.PartMembers, directory.PartDesignated, directory.PartExternals, directory.PartGroups, directory.PartRooms, directory.PartRobots,
}

func member(id, name string) directory.ReadMember {
	return directory.ReadMember{ID: archive.PartyID(id), Member: directory.Member{Name: name, Listed: true, Status: 1}}
}

func compared(t *testing.T, s store, r directory.Reading, at time.Time) []directory.Entry {
	t.Helper()
	changes, err := directory.Compare(s.newest(), r, at)
	if err != nil {
		t.Fatal(err)
	}
	s.put(changes)
	return changes
}

func TestOnlyACompleteReadingMakesGone(t *testing.T) {
	for name, c := range map[string]struct {
		parts []directory.Part
		gone  bool
	}{
		"complete":      {everything, true},
		"members alone": {[]directory.Part{directory.PartMembers}, true},
		"not the members": {[]directory.Part{
			directory.PartDepartments, directory.PartDesignated, directory.PartExternals, directory.PartGroups, directory.PartRooms, directory.PartRobots,
		}, false},
		"nothing": {nil, false},
	} {
		s := store{}
		compared(t, s, directory.Reading{Parts: complete(everything...), Members: []directory.ReadMember{member("a", "A"), member("b", "B")}}, noon)
		changes := compared(t, s, directory.Reading{Parts: complete(c.parts...), Members: []directory.ReadMember{member("a", "A")}}, noon.Add(time.Hour))
		gone := len(changes) == 1 && changes[0].ID == "b" && changes[0].Gone
		if gone != c.gone || (!c.gone && len(changes) > 0) {
			t.Errorf("%s: %+v", name, changes)
		}
	}
}

func TestDesignationAndListAreReadApart(t *testing.T) {
	s := store{}
	full := directory.Reading{Parts: complete(everything...), Members: []directory.ReadMember{member("a", "A"), member("b", "B")}, Designated: map[archive.PartyID][]int{"a": {1}}}
	compared(t, s, full, noon)
	// The list of members can't be read; a second one is designated, one no longer.
	compared(t, s, directory.Reading{Parts: complete(directory.PartDesignated), Designated: map[archive.PartyID][]int{"b": {3}}}, noon.Add(time.Hour))
	// The list can, and lacks both; who is designated can't.
	compared(t, s, directory.Reading{Parts: complete(directory.PartMembers)}, noon.Add(2*time.Hour))
	var got []string
	for _, e := range append(s["member a"], s["member b"]...) {
		text := e.Fields
		if e.Gone {
			text = "gone " + text
		}
		got = append(got, text)
	}
	state := func(designated bool, editions []int, listed bool, name string) string {
		m := directory.Member{Name: name, Listed: listed, Designated: designated, DesignatedKnown: true, Editions: editions}
		if listed {
			m.Status = 1
		}
		return directory.Fields(m)
	}
	want := []string{
		state(true, []int{1}, true, "A"), state(false, nil, true, "A"), "gone " + state(false, nil, true, "A"),
		state(false, nil, true, "B"), state(true, []int{3}, true, "B"), state(true, []int{3}, false, "B"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestANameOnceReadIsKeptWhenOnlyIDsAreShown(t *testing.T) {
	s := store{}
	compared(t, s, directory.Reading{
		Departments: []directory.ReadDepartment{{ID: 7, Named: true, Department: directory.Department{Name: "Sales", Parent: 1}}},
		Members:     []directory.ReadMember{member("a", "A")},
	}, noon)
	compared(t, s, directory.Reading{
		Departments: []directory.ReadDepartment{{ID: 7, Department: directory.Department{Parent: 2}}},
		Members:     []directory.ReadMember{{ID: "a", Member: directory.Member{Listed: true}}},
	}, noon.Add(time.Hour))
	d, m := s["department 7"], s["member a"]
	if want := directory.Fields(directory.Department{Name: "Sales", Parent: 2}); len(d) != 2 || d[1].Fields != want {
		t.Errorf("department: %+v", d)
	}
	if want := directory.Fields(directory.Member{Name: "A", Listed: true}); len(m) != 2 || m[1].Fields != want {
		t.Errorf("member: %+v", m)
	}
}

func TestARoomThatStopsAnsweringKeepsWhatItShowed(t *testing.T) {
	s := store{}
	shown := directory.Room{Name: "R", Kind: directory.RoomExternal, Count: 1, Members: []archive.PartyID{"a"}}
	compared(t, s, directory.Reading{Parts: complete(directory.PartGroups), Groups: []archive.RoomID{"r"}, Rooms: []directory.ReadRoom{{ID: "r", Room: shown}}}, noon)
	changes := compared(t, s, directory.Reading{Rooms: []directory.ReadRoom{{ID: "r"}}}, noon.Add(time.Hour))
	if len(changes) > 0 {
		t.Errorf("a refusal changed the room: %+v", changes)
	}
	changes = compared(t, s, directory.Reading{Rooms: []directory.ReadRoom{{ID: "r", Dismissed: true}}}, noon.Add(2*time.Hour))
	if len(changes) != 1 || !changes[0].Gone || !strings.Contains(changes[0].Fields, `"R"`) {
		t.Errorf("dismissed: %+v", changes)
	}
	// Still shown by the room itself though on no list any more: it is there.
	s = store{}
	compared(t, s, directory.Reading{Parts: complete(directory.PartGroups), Groups: []archive.RoomID{"r"}, Rooms: []directory.ReadRoom{{ID: "r", Room: shown}}}, noon)
	compared(t, s, directory.Reading{Parts: complete(directory.PartGroups), Rooms: []directory.ReadRoom{{ID: "r", Room: shown}}}, noon.Add(time.Hour))
	if r := s["room r"]; len(r) != 2 || r[1].Gone || strings.Contains(r[1].Fields, "listed") {
		t.Errorf("unlisted: %+v", r)
	}
}

// Readings of every sort, one after the other: taking one in twice changes nothing the second time, a change is a change, and nobody whose
// part was not read completely is gone.
func TestHistoriesOfReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := store{}
		ids := rapid.SampledFrom([]string{"a", "b", "c"})
		at := noon
		for range rapid.IntRange(1, 8).Draw(t, "readings") {
			at = at.Add(time.Hour)
			r := reading(t, ids)
			before := s.newest()
			changes, err := directory.Compare(before, r, at)
			if err != nil {
				t.Fatal(err)
			}
			was := map[string]directory.Entry{}
			for _, e := range before {
				was[string(e.Kind)+" "+e.ID] = e
			}
			for _, e := range changes {
				b, known := was[string(e.Kind)+" "+e.ID]
				if known && b.Fields == e.Fields && b.Gone == e.Gone || !e.At.Equal(at) {
					t.Fatalf("no change: %+v", e)
				}
				part := map[directory.Kind]directory.Part{
					directory.KindDepartment: directory.PartDepartments, directory.KindMember: directory.PartMembers,
					directory.KindExternal: directory.PartExternals, directory.KindRoom: directory.PartGroups, directory.KindRobot: directory.PartRobots,
				}[e.Kind]
				if e.Gone && !b.Gone && !r.Parts[part].Complete {
					t.Fatalf("gone after an incomplete reading: %+v", e)
				}
				if e.Gone && !known {
					t.Fatalf("gone before it was there: %+v", e)
				}
			}
			s.put(changes)
			again, err := directory.Compare(s.newest(), r, at.Add(time.Minute))
			if err != nil || len(again) > 0 {
				t.Fatalf("the same reading changed more: %+v %v", again, err)
			}
		}
	})
}

func reading(t *rapid.T, ids *rapid.Generator[string]) directory.Reading {
	some := rapid.SliceOfNDistinct(ids, 0, 3, rapid.ID)
	name := rapid.SampledFrom([]string{"", "X", "Y"})
	r := directory.Reading{Parts: complete(rapid.SliceOfDistinct(rapid.SampledFrom(everything), rapid.ID).Draw(t, "complete")...)}
	for _, id := range some.Draw(t, "members") {
		r.Members = append(r.Members, member(id, name.Draw(t, "name")))
	}
	if rapid.Bool().Draw(t, "designation") || r.Parts[directory.PartDesignated].Complete {
		r.Designated = map[archive.PartyID][]int{}
		for _, id := range some.Draw(t, "designated") {
			r.Designated[archive.PartyID(id)] = nil
		}
	}
	for _, id := range some.Draw(t, "externals") {
		r.Externals = append(r.Externals, directory.ReadExternal{ID: archive.PartyID(id), External: directory.External{
			Name: name.Draw(t, "name"), Type: rapid.IntRange(0, 2).Draw(t, "type"), Followers: []archive.PartyID{"f"}}})
	}
	for _, id := range some.Draw(t, "groups") {
		r.Groups = append(r.Groups, archive.RoomID(id))
	}
	for _, id := range some.Draw(t, "rooms") {
		room := directory.ReadRoom{ID: archive.RoomID(id), Room: directory.Room{Name: name.Draw(t, "name"), Kind: rapid.SampledFrom([]string{"", "internal", "external"}).Draw(t, "kind")}}
		for _, x := range some.Draw(t, "in the room") {
			room.Members = append(room.Members, archive.PartyID(x))
			room.Externals = append(room.Externals, directory.ReadExternal{ID: archive.PartyID(x), External: directory.External{Name: name.Draw(t, "name")}})
		}
		r.Rooms = append(r.Rooms, room)
	}
	return r
}
