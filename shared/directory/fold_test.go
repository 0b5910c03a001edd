package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

const (
	contacts = "contacts"
	app      = "archive"
)

func hour(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

// person is a member as a full record shows it.
func person(id string, change ...func(*directory.Member)) directory.ReadMember {
	m := directory.Member{
		Name: "N" + id, Listed: true, Departments: []int{2}, Status: directory.StatusActivated,
		Mobile: "13900000001", MobileReadable: true, Email: id + "@x.example", EmailReadable: true,
	}
	for _, c := range change {
		c(&m)
	}
	return directory.ReadMember{ID: archive.PartyID(id), Member: m}
}

func hidden(m *directory.Member) {
	m.Mobile, m.MobileReadable, m.Email, m.EmailReadable = "", false, "", false
}

func listOnly(m *directory.Member) {
	*m = directory.Member{Listed: true, Departments: m.Departments}
}

// snapshot is a complete reading through one secret that took ten minutes.
func snapshot(at time.Time, via string, members ...directory.ReadMember) directory.Observation {
	return directory.Observation{Asked: at, Answered: at.Add(10 * time.Minute), Via: via, Reading: directory.Reading{
		Parts: map[directory.Part]directory.Outcome{directory.PartMembers: {Complete: true, Via: via}}, Members: members,
	}}
}

// reread is one member read again after a callback.
func reread(at time.Time, via string, m directory.ReadMember) directory.Observation {
	return directory.Observation{Asked: at, Answered: at.Add(time.Second), Via: via, Reading: directory.Reading{Members: []directory.ReadMember{m}}}
}

func refusal(at time.Time, via, id string, says directory.Presence) directory.Observation {
	return directory.Observation{Asked: at, Answered: at.Add(time.Second), Via: via,
		Refused: []directory.Refusal{{Kind: directory.KindMember, ID: id, Says: says}}}
}

// taken is what observations say about one entry, by way of what would be stored.
func taken(kind directory.Kind, id string, observations ...directory.Observation) (looks []directory.Look, glances []directory.Glance) {
	for _, o := range observations {
		l, g := o.Looks()
		glances = append(glances, g...)
		for _, look := range l {
			if look.Kind == kind && look.ID == id {
				looks = append(looks, look)
			}
		}
	}
	return looks, glances
}

func folded(kind directory.Kind, id string, notices []directory.Notice, observations ...directory.Observation) directory.History {
	looks, glances := taken(kind, id, observations...)
	return directory.Fold(kind, id, directory.Unpack(kind, id, directory.Pack(kind, id, looks, glances), glances), notices)
}

// story is a history's events, each in a line: what, before and after, and the hours between which it happened.
func story(h directory.History) string {
	var lines []string
	for _, e := range h.Events {
		after := "?"
		if !e.After.IsZero() {
			after = e.After.Sub(noon).String()
		}
		line := fmt.Sprintf("%s (%s,%s]", e.What, after, e.By.Sub(noon))
		if e.Old != "" || e.New != "" {
			line += fmt.Sprintf(" %s>%s", e.Old, e.New)
		}
		if e.Department != 0 {
			line += fmt.Sprintf(" of %d", e.Department)
		}
		if e.How != "" {
			line += " " + string(e.How)
		}
		if len(e.Told) > 0 {
			line += " told"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestWhatHappenedAndWithinWhichTime(t *testing.T) {
	departments := func(list ...int) func(*directory.Member) { return func(m *directory.Member) { m.Departments = list } }
	leads := func(list ...int) func(*directory.Member) { return func(m *directory.Member) { m.Leads = list } }
	status := func(n int) func(*directory.Member) { return func(m *directory.Member) { m.Status = n } }
	mobile := func(s string) func(*directory.Member) { return func(m *directory.Member) { m.Mobile = s } }
	email := func(s string) func(*directory.Member) { return func(m *directory.Member) { m.Email = s } }
	permits := func(at time.Time, ids ...archive.PartyID) directory.Observation {
		r := directory.Reading{Parts: map[directory.Part]directory.Outcome{directory.PartDesignated: {Complete: true, Via: app}}, Designated: map[archive.PartyID][]int{}}
		for _, id := range ids {
			r.Designated[id] = []int{1}
		}
		return directory.Observation{Asked: at, Answered: at.Add(time.Minute), Reading: r}
	}
	told := func(at time.Time, says directory.Telling, newID string) []directory.Notice {
		return []directory.Notice{{Kind: directory.KindMember, ID: "a", At: at, Says: says, NewID: newID}, {Kind: directory.KindMember, ID: "b", At: at, Says: says}}
	}
	for name, c := range map[string]struct {
		seen    []directory.Observation
		notices []directory.Notice
		want    string
	}{
		"the first look makes nobody a joiner": {[]directory.Observation{snapshot(hour(0), contacts, person("a"))}, nil, "found (?,10m0s]"},
		"joined and left": {[]directory.Observation{snapshot(hour(0), contacts), snapshot(hour(1), contacts, person("a")), snapshot(hour(2), contacts)}, nil,
			"joined (0s,1h10m0s]\nleft (1h0m0s,2h10m0s] unlisted"},
		"between the last look and this one, not since the first": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts, person("a")), snapshot(hour(2), contacts, person("a", mobile("13900000002"))),
		}, nil, "found (?,10m0s]\nmobile-changed (1h0m0s,2h10m0s] 13900000001>13900000002"},
		"a single look narrows it": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(9), contacts, person("a", email(""))), reread(hour(5), contacts, person("a")),
		}, nil, "found (?,10m0s]\nemail-removed (5h0m0s,9h10m0s] a@x.example>"},
		"hidden is not lost": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(1), app, person("a", hidden)), snapshot(hour(2), contacts, person("a", listOnly)),
		}, nil, "found (?,10m0s]"},
		"hidden between, then really gone": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(1), app, person("a", hidden)), snapshot(hour(2), contacts, person("a", mobile(""))),
		}, nil, "found (?,10m0s]\nmobile-removed (0s,2h10m0s] 13900000001>"},
		"a narrower secret makes nobody leave": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(1), app), refusal(hour(2), app, "a", directory.Hidden), snapshot(hour(3), contacts, person("a")),
		}, nil, "found (?,10m0s]"},
		"left by status, then deleted, is one leaving": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a", leads(2))), snapshot(hour(1), contacts, person("a", status(directory.StatusLeft), mobile(""))), snapshot(hour(2), contacts),
		}, nil, "found (?,10m0s]\nhead-lost (0s,1h10m0s] of 2\nleft (0s,1h10m0s] left"},
		"who comes back begins afresh": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts), snapshot(hour(2), contacts, person("a", mobile(""))),
		}, nil, "found (?,10m0s]\nleft (0s,1h10m0s] unlisted\njoined (1h0m0s,2h10m0s]"},
		"WeCom knows no such id": {[]directory.Observation{snapshot(hour(0), contacts, person("a")), refusal(hour(1), app, "a", directory.Deleted)}, told(hour(1).Add(-time.Second), directory.ToldDeleted, ""),
			"found (?,10m0s]\nleft (0s,1h0m1s] deleted told"},
		"a new userid": {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(2), contacts)}, told(hour(1), directory.ToldUpdated, "z"),
			"found (?,10m0s]\nleft (0s,2h10m0s] >z renamed told"},
		"told of the joining": {[]directory.Observation{reread(hour(1), app, person("a", leads(2)))}, told(hour(1).Add(-time.Minute), directory.ToldCreated, ""),
			"head-gained (?,1h0m1s] of 2 told\njoined (?,1h0m1s] told"},
		"told outside the time between": {[]directory.Observation{snapshot(hour(1), contacts, person("a")), snapshot(hour(2), contacts, person("a", mobile("")))},
			append(told(hour(0), directory.ToldUpdated, ""), told(hour(3), directory.ToldUpdated, "")...), "found (?,1h10m0s]\nmobile-removed (1h0m0s,2h10m0s] 13900000001>"},
		"roles, departments and status": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a", status(directory.StatusNotActivated), departments(2, 3), leads(3))),
			snapshot(hour(1), contacts, person("a", departments(2, 4), leads(2, 4))),
			snapshot(hour(2), contacts, person("a", status(directory.StatusDisabled), departments(2), leads(2))),
		}, nil, "found (?,10m0s]\nactivated (0s,1h10m0s] 4>1\nhead-gained (0s,1h10m0s] of 2\nhead-gained (0s,1h10m0s] of 4\nhead-lost (0s,1h10m0s] of 3\nmoved (0s,1h10m0s] 2,3>2,4\n" +
			"disabled (1h0m0s,2h10m0s] 1>2\nhead-lost (1h0m0s,2h10m0s] of 4\nmoved (1h0m0s,2h10m0s] 2,4>2"},
		"permitted, whatever the list of members says": {[]directory.Observation{permits(hour(0)), snapshot(hour(1), contacts, person("a")), permits(hour(2), "a"), permits(hour(3))}, nil,
			"found (?,1h10m0s]\npermitted-gained (0s,2h1m0s] false>true\npermitted-lost (2h0m0s,3h1m0s] true>false"},
		"a list lacks it while another source says that there is none": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts), refusal(hour(1).Add(10*time.Minute-500*time.Millisecond), app, "a", directory.Deleted),
		}, nil, "found (?,10m0s]\nleft (0s,1h10m0s] deleted"},
		"the shorter look within a snapshot's time speaks": {[]directory.Observation{
			snapshot(hour(0), contacts, person("a")), reread(hour(1).Add(time.Minute), contacts, person("a", mobile("1"))), snapshot(hour(1), contacts, person("a", mobile("2"))),
		}, nil, "found (?,10m0s]\nmobile-changed (0s,1h1m1s] 13900000001>1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := folded(directory.KindMember, "a", c.notices, c.seen...)
			if diff := cmp.Diff(c.want, story(h)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestAHiddenFieldIsUnknownByThatSource(t *testing.T) {
	h := folded(directory.KindMember, "a", nil, snapshot(hour(0), contacts, person("a")), snapshot(hour(1), app, person("a", hidden)))
	want := directory.Known{Value: "13900000001", Seen: hour(0), Via: contacts, Blind: app, BlindAt: hour(1)}
	if diff := cmp.Diff(want, h.Now[directory.FieldMobile]); diff != "" {
		t.Errorf("once seen: -want +got\n%s", diff)
	}
	h = folded(directory.KindMember, "a", nil, snapshot(hour(1), app, person("a", hidden)))
	if diff := cmp.Diff(directory.Known{Blind: app, BlindAt: hour(1)}, h.Now[directory.FieldMobile]); diff != "" {
		t.Errorf("never seen: -want +got\n%s", diff)
	}
	h = folded(directory.KindMember, "a", nil, snapshot(hour(1), app, person("a", hidden)), snapshot(hour(2), contacts, person("a")))
	if k := h.Now[directory.FieldMobile]; k.Blind != "" || !k.Seen.Equal(hour(2)) {
		t.Errorf("seen at last: %+v", k)
	}
	// A callback's look, with a secret that shows less, takes nothing back.
	h = folded(directory.KindMember, "a", nil, snapshot(hour(0), contacts, person("a")), reread(hour(1), app, person("a", hidden)))
	if k := h.Now[directory.FieldMobile]; k.Blind != "" || !k.Seen.Equal(hour(0)) || !h.State().MobileReadable {
		t.Errorf("by a single look: %+v", k)
	}
	h = folded(directory.KindMember, "a", nil, reread(hour(0), contacts, person("a")), reread(hour(1), app, person("a", hidden)))
	if k := h.Now[directory.FieldMobile]; k.Blind != app {
		t.Errorf("on no list: %+v", k)
	}
}

func TestWhatCanNotBeSeenIsCountedAsUnknownWithWhatCouldShowIt(t *testing.T) {
	both := []directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), app, person("a", hidden), person("b", hidden))}
	gone := []directory.Observation{snapshot(hour(0), app, person("c", hidden)), snapshot(hour(1), app)}
	seen := []directory.Observation{snapshot(hour(1), contacts, person("d"))}
	got := directory.Blindness([]directory.History{
		folded(directory.KindMember, "a", nil, both...), folded(directory.KindMember, "b", nil, both...),
		folded(directory.KindMember, "c", nil, gone...), folded(directory.KindMember, "d", nil, seen...),
	}, directory.FieldMobile, directory.FieldName)
	want := []directory.Unseen{{Field: directory.FieldMobile, Via: app, N: 2, Once: 1, Since: hour(1),
		Openers: []directory.Opener{directory.OldSync, directory.OldApp, directory.OwnConsent, directory.HRFile}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAMobileIsLostOnlyWhereItWasAndCanBeSeenNotToBe(t *testing.T) {
	none := func(m *directory.Member) { m.Mobile = "" }
	for name, c := range map[string]struct {
		seen []directory.Observation
		lost bool
	}{
		"was, is not":           {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts, person("a", none))}, true},
		"never was":             {[]directory.Observation{snapshot(hour(0), contacts, person("a", none)), snapshot(hour(1), contacts, person("a", none))}, false},
		"hidden":                {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), app, person("a", hidden))}, false},
		"lost, then hidden":     {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts, person("a", none)), snapshot(hour(2), app, person("a", hidden))}, true},
		"lost, and back":        {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts, person("a", none)), snapshot(hour(2), contacts, person("a"))}, false},
		"left":                  {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts, person("a", none)), snapshot(hour(2), contacts)}, false},
		"another stay had lost": {[]directory.Observation{snapshot(hour(0), contacts, person("a")), snapshot(hour(1), contacts, person("a", none)), snapshot(hour(2), contacts), snapshot(hour(3), contacts, person("a", none))}, false},
	} {
		h := folded(directory.KindMember, "a", nil, c.seen...)
		if since, lost := h.Lost(directory.FieldMobile); lost != c.lost || lost && since.What != directory.MobileRemoved {
			t.Errorf("%s: lost %v, %+v", name, lost, since)
		}
	}
}

// What a history says of now is what was read, if everything could be.
func TestTheStateOfNowIsWhatWasRead(t *testing.T) {
	m := person("a", func(m *directory.Member) {
		m.Departments, m.Leads, m.DirectLeaders, m.MainDepartment, m.Position = []int{2, 7}, []int{7}, []archive.PartyID{"x", "y"}, 7, "Clerk"
	})
	o := snapshot(hour(0), contacts, m)
	o.Reading.Parts[directory.PartDesignated] = directory.Outcome{Complete: true, Via: app}
	o.Reading.Designated = map[archive.PartyID][]int{"a": {1, 3}}
	want := m.Member
	want.Designated, want.DesignatedKnown, want.Editions = true, true, []int{1, 3}
	if diff := cmp.Diff(want, folded(directory.KindMember, "a", nil, o).State()); diff != "" {
		t.Errorf("member: -want +got\n%s", diff)
	}
	d := directory.ReadDepartment{ID: 7, Named: true, Department: directory.Department{Name: "East", NameEn: "E", Parent: 1, Order: 1<<32 - 1, Leaders: []archive.PartyID{"a"}}}
	o.Reading = directory.Reading{Departments: []directory.ReadDepartment{d}}
	if diff := cmp.Diff(d.Department, folded(directory.KindDepartment, "7", nil, o).Place()); diff != "" {
		t.Errorf("department: -want +got\n%s", diff)
	}
}

// looked draws observations of two members and a department, with both secrets, complete, broken off and single, at times that collide.
func looked(t *rapid.T) []directory.Observation {
	member := func(label string) directory.ReadMember {
		return person(rapid.SampledFrom([]string{"a", "b"}).Draw(t, label+" id"), func(m *directory.Member) {
			m.Mobile = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, label+" mobile")
			m.Departments = rapid.SampledFrom([][]int{{2}, {3}, {2, 3}}).Draw(t, label+" departments")
			m.Leads = rapid.SampledFrom([][]int{nil, {2}, {2, 3}}).Draw(t, label+" leads")
			m.Status = rapid.SampledFrom([]int{1, 4, 5}).Draw(t, label+" status")
			rapid.SampledFrom([]func(*directory.Member){func(*directory.Member) {}, hidden, listOnly}).Draw(t, label+" sight")(m)
		})
	}
	var list []directory.Observation
	for i := range rapid.IntRange(1, 9).Draw(t, "observations") {
		label := fmt.Sprint(i)
		at := noon.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, label+" at")) * time.Minute)
		via := rapid.SampledFrom([]string{contacts, app}).Draw(t, label+" via")
		o := directory.Observation{Asked: at, Answered: at.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, label+" took")) * time.Minute), Via: via,
			Reading: directory.Reading{Parts: map[directory.Part]directory.Outcome{}}}
		switch rapid.IntRange(0, 5).Draw(t, label+" sort") {
		case 0:
			o.Refused = []directory.Refusal{{Kind: directory.KindMember, ID: "a", Says: rapid.SampledFrom([]directory.Presence{directory.Hidden, directory.Deleted}).Draw(t, label+" refused")}}
		case 1:
			o.Reading.Members = []directory.ReadMember{member(label)}
		case 2:
			o.Reading.Designated = map[archive.PartyID][]int{}
			if rapid.Bool().Draw(t, label+" designated") {
				o.Reading.Designated["a"] = []int{1}
			}
			o.Reading.Parts[directory.PartDesignated] = directory.Outcome{Complete: rapid.Bool().Draw(t, label+" all"), Via: via}
		default:
			o.Reading.Parts[directory.PartMembers] = directory.Outcome{Complete: rapid.IntRange(0, 4).Draw(t, label+" all") > 0, Via: via}
			for k := range rapid.IntRange(0, 2).Draw(t, label+" members") {
				o.Reading.Members = append(o.Reading.Members, member(fmt.Sprint(label, " ", k)))
			}
		}
		list = append(list, o)
	}
	return list
}

// Observations in any order, any of them given again, make the same history; and taking them one by one, keeping packed looks alone, ends where
// taking all of them at once does.
func TestAnyOrderAndAnyRepeatGiveTheSameHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := looked(t)
		notices := []directory.Notice{{Kind: directory.KindMember, ID: "a", At: noon.Add(5 * time.Minute), Says: directory.ToldUpdated},
			{Kind: directory.KindMember, ID: "a", At: noon.Add(7 * time.Minute), Says: directory.ToldDeleted, NewID: "z"}}
		want := folded(directory.KindMember, "a", notices, list...)
		shuffled := rapid.Permutation(append(slices.Clone(list), rapid.SliceOf(rapid.SampledFrom(list)).Draw(t, "again")...)).Draw(t, "order")
		slices.Reverse(notices)
		if diff := cmp.Diff(want, folded(directory.KindMember, "a", append(notices, notices...), shuffled...)); diff != "" {
			t.Fatalf("another order, another history (-first +second)\n%s", diff)
		}

		var packed directory.Packed
		var glances []directory.Glance
		var stored []directory.Event
		for _, o := range shuffled {
			looks, more := taken(directory.KindMember, "a", o)
			more = slices.DeleteFunc(more, func(g directory.Glance) bool { return slices.Contains(glances, g) })
			glances = append(glances, more...)
			line := directory.NewTimeline(glances)
			packed = line.Add(directory.KindMember, "a", packed, looks, more)
			h := directory.Fold(directory.KindMember, "a", line.Unpack(directory.KindMember, "a", packed), notices)
			put, drop := directory.Reconcile(stored, h.Events)
			kept := map[string]directory.Event{}
			for _, e := range stored {
				kept[e.Key()] = e
			}
			for _, e := range drop {
				delete(kept, e.Key())
			}
			for _, e := range put {
				kept[e.Key()] = e
			}
			stored = nil
			for _, e := range kept {
				stored = append(stored, e)
			}
			if len(stored) != len(h.Events) {
				t.Fatalf("%d events stored, %d in the history: two have one key", len(stored), len(h.Events))
			}
		}
		if put, drop := directory.Reconcile(stored, want.Events); len(put)+len(drop) > 0 {
			t.Fatalf("stored one by one: lacks %+v, has too many %+v", put, drop)
		}
		looks, _ := taken(directory.KindMember, "a", list...)
		if diff := cmp.Diff(directory.Pack(directory.KindMember, "a", looks, glances), packed); diff != "" {
			t.Fatalf("packed one by one: -at once +so\n%s", diff)
		}
	})
}

// A packed look stands for all that the glances repeat.
func TestPackingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		looks, glances := taken(directory.KindMember, "a", looked(t)...)
		packed := directory.Pack(directory.KindMember, "a", looks, glances)
		whole := directory.Unpack(directory.KindMember, "a", packed, glances)
		for _, l := range looks {
			if !slices.ContainsFunc(whole, func(w directory.Look) bool {
				return w.Same(l) && w.Asked.Equal(l.Asked) && w.Answered.Equal(l.Answered)
			}) {
				t.Fatalf("lost: %+v", l)
			}
		}
		if diff := cmp.Diff(packed, directory.Pack(directory.KindMember, "a", whole, glances)); diff != "" {
			t.Fatalf("packed again it differs (-once +twice)\n%s", diff)
		}
		if diff := cmp.Diff(directory.Fold(directory.KindMember, "a", append(whole, looks...), nil), directory.Fold(directory.KindMember, "a", whole, nil)); diff != "" {
			t.Fatalf("a look that is packed away changes the history\n%s", diff)
		}
		few := directory.NewTimeline(glances).Unpack(directory.KindMember, "a", packed)
		if diff := cmp.Diff(directory.Fold(directory.KindMember, "a", whole, nil), directory.Fold(directory.KindMember, "a", few, nil)); diff != "" {
			t.Fatalf("of fewer looks another history (-all +few)\n%s", diff)
		}
	})
}

func TestAThousandEqualSnapshotsPackIntoOneLook(t *testing.T) {
	var list []directory.Observation
	for n := range 1000 {
		list = append(list, snapshot(hour(n), contacts, person("a")))
	}
	looks, glances := taken(directory.KindMember, "a", list...)
	if packed := directory.Pack(directory.KindMember, "a", looks, glances); len(packed.Looks) != 1 {
		t.Errorf("%d looks are kept", len(packed.Looks))
	}
}
