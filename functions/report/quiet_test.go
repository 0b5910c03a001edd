package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// calm is a company of two on whom nothing can be said at noon, all of whose sources could be read; "eye" receives everything there is.
func (d *desk) calm(id archive.CorpID) ledger.Corp {
	d.Helper()
	ctx := d.Context()
	c := ledger.Corp{ID: id, Name: "Stillwater", Added: noon.Add(-20 * time.Hour), ReportTo: []ledger.Receiver{ledger.Receiver{Address: "eye@still.example", Language: "en"}.WithReports(report.Kinds())}}
	d.OK(d.operator.PutCorp(ctx, c))
	then := noon.Add(-2 * time.Hour)
	d.OK(d.operator.PutEntries(ctx, id, []directory.Entry{
		{Kind: directory.KindDepartment, ID: "1", At: then, Fields: directory.Fields(directory.Department{Name: "Stillwater"})},
		{Kind: directory.KindMember, ID: "una", At: then, Fields: directory.Fields(quiet("Una"))},
		{Kind: directory.KindMember, ID: "ugo", At: then, Fields: directory.Fields(quiet("Ugo"))},
	}))
	d.OK(d.operator.PutSnapshot(ctx, ledger.Snapshot{Corp: id, At: then}))
	d.OK(d.operator.PutMessages(ctx, "b", []archive.Message{{Corp: id, Seq: 1, MsgID: "m1", From: "una", To: []archive.PartyID{"ugo"}, Time: then, Type: "text", Action: archive.Send, Known: true}},
		&ledger.People{}))
	lease, _, err := d.operator.TakeLease(ctx, id, "fetcher", ledger.Cursor{})
	d.OK(err)
	_, err = d.operator.Beat(ctx, lease, ledger.Poll{CaughtUp: noon.Add(-time.Minute), LastWhole: noon.Add(-time.Minute)})
	d.OK(err)
	d.askedAll(id, then)
	return c
}

// quiet is a member of whom everything is known and nothing is wrong.
func quiet(name string) directory.Member {
	return directory.Member{Name: name, Listed: true, Departments: []int{1}, Status: 1, Mobile: "+49 301", MobileReadable: true, Email: name + "@still.example", EmailReadable: true,
		Designated: true, DesignatedKnown: true}
}

// askedAll keeps that WeCom was asked to the end who agreed.
func (d *desk) askedAll(id archive.CorpID, at time.Time) {
	d.Helper()
	for _, kind := range []string{ledger.RoundOfRooms, ledger.RoundOfPairs} {
		d.OK(d.operator.PutRound(d.Context(), ledger.Round{Corp: id, Kind: kind, At: at, Until: at}))
	}
}

// mailed is which reports of a day are mailed to "eye", in the order of report.Kinds.
func (d *desk) mailed(id archive.CorpID, day string) (kinds []report.Kind, letters map[report.Kind]letter) {
	d.Helper()
	letters = map[report.Kind]letter{}
	for _, k := range report.Kinds() {
		if l, ok := d.mailsOf(id, day, string(k))["eye@still.example"]; ok {
			kinds, letters[k] = append(kinds, k), l
		}
	}
	return kinds, letters
}

func TestADayWithoutNewsSaysSoOrIsSilentAsItIsSet(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(receivers.Settings, report.Kind) receivers.Settings
		want []report.Kind
	}{
		"nothing set: what tells of a state says so": {nil, []report.Kind{report.UserStatus, report.Maintenance, report.Coverage}},
		"set to say so": {func(s receivers.Settings, k report.Kind) receivers.Settings {
			return s.Quietened(k, false, "test", noon)
		}, report.Kinds()},
		// R1 has a row for each user, and so always has something to tell.
		"set to be silent": {func(s receivers.Settings, k report.Kind) receivers.Settings {
			return s.Quietened(k, true, "test", noon)
		}, []report.Kind{report.UserStatus}},
		"switched off": {func(s receivers.Settings, k report.Kind) receivers.Settings { return s.Turned(k, true, "test", noon) }, nil},
	} {
		d := newDesk(t)
		corp := d.calm("wwcalm")
		if c.set != nil {
			d.settings(corp, func(corp *ledger.Corp) {
				for _, k := range report.Kinds() {
					corp.Settings = c.set(corp.Settings, k)
				}
			})
		}
		d.OK(d.due(d.Context()))
		kinds, letters := d.mailed("wwcalm", "2032-02-10")
		if diff := cmp.Diff(c.want, kinds); diff != "" {
			t.Errorf("%s: mailed (-want +got):\n%s", name, diff)
		}
		for kind, says := range map[report.Kind]string{
			report.UserStatus: "Nothing that can be told from here.", report.MissingMobile: "Nobody", report.NumberChange: "No mobile number changed in this period.",
			report.DeletedUsers: "Nobody left", report.NewUsers: "Nobody joined", report.GroupsBreach: "In no group that we can look up is anybody who has not agreed.", report.Maintenance: "Nothing is open.",
			report.MissingEmail: "No user without a mobile number", report.Coverage: "No gap, no change of consent",
		} {
			if l, there := letters[kind]; there && (!strings.Contains(l.Text, says) || strings.Contains(l.Text, "Not read") || strings.Contains(l.Subject, "not known")) {
				t.Errorf("%s: %s, a day without news, says %q\n%s", name, kind, l.Subject, l.Text)
			}
		}
	}
}

func TestAReportWhoseSourceCouldNotBeReadSaysSoThoughItIsSilentWithoutNews(t *testing.T) {
	slow(t)
	t.Parallel()
	member := func(change func(*directory.Member)) func(*desk, archive.CorpID) {
		return func(d *desk, id archive.CorpID) {
			m := quiet("Ugo")
			change(&m)
			d.OK(d.operator.PutEntries(d.Context(), id, []directory.Entry{{Kind: directory.KindMember, ID: "ugo", At: noon.Add(-time.Hour), Fields: directory.Fields(m)}}))
		}
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		wrong func(*desk, archive.CorpID) // before the noon of the second day
		keeps []string                    // sources that are read on the second day all the same: directory, consent, messages
		says  map[report.Kind][]string
	}{
		"the directory": {nil, []string{"consent", "messages"}, map[report.Kind][]string{
			report.UserStatus:    {"Directory as of 2032-02-10 10:00", "Not read: WeCom's directory, since 2032-02-10 10:00", "who is there, and who is captured"},
			report.MissingMobile: {"Not read: WeCom's directory, since 2032-02-10 10:00", "whose number was lost, or is back, since then"},
			report.NumberChange:  {"Not read: WeCom's directory", "whose number changed since then"},
			report.DeletedUsers:  {"Not read: WeCom's directory", "who left since then"},
			report.NewUsers:      {"Not read: WeCom's directory", "who joined since then"},
			report.MissingEmail:  {"Not read: WeCom's directory", "whose address was removed or changed since then"},
			report.Coverage:      {"Not read: WeCom's directory", "who is there, and who is captured"},
		}},
		"mobile numbers": {member(func(m *directory.Member) { m.Mobile, m.MobileReadable = "", false }), []string{"directory", "consent", "messages"}, map[report.Kind][]string{
			report.UserStatus:    {"WeCom does not show us the mobile with these secrets: 1 user unknown."},
			report.MissingMobile: {"1 user unknown", "whether they have a number, or lost it"},
			report.NumberChange:  {"1 user unknown", "whether their numbers changed"},
		}},
		"addresses": {member(func(m *directory.Member) { m.Email, m.EmailReadable = "", false }), []string{"directory", "consent", "messages"}, map[report.Kind][]string{
			report.UserStatus:   {"WeCom does not show us the email with these secrets: 1 user unknown."},
			report.MissingEmail: {"1 user unknown", "whether they have an address, or lost it"},
		}},
		"the list of users to archive": {member(func(m *directory.Member) { m.Designated, m.DesignatedKnown = false, false }), []string{"directory", "consent", "messages"}, map[report.Kind][]string{
			report.UserStatus: {"unknown"},
			report.NewUsers:   {"WeCom's list of users to archive with these secrets: 1 user unknown", "whose messages are captured"},
			report.Coverage:   {"WeCom's list of users to archive with these secrets: 1 user unknown", "whose messages are captured"},
		}},
		"who agreed": {func(d *desk, id archive.CorpID) {
			for _, kind := range []string{ledger.RoundOfRooms, ledger.RoundOfPairs} {
				d.OK(d.operator.PutRound(d.Context(), ledger.Round{Corp: id, Kind: kind, At: noon.Add(20 * time.Hour), Until: noon.Add(20 * time.Hour), Why: "errcode 60020"}))
			}
		}, []string{"directory", "messages"}, map[report.Kind][]string{
			report.GroupsBreach: {"errcode 60020"},
			report.Coverage:     {"Not read: who agreed to archiving, since 2032-02-10 10:00", "(WeCom answered 60020)", "who agreed and who did not"},
		}},
		"who agreed, which nobody asked": {nil, []string{"directory", "messages"}, map[report.Kind][]string{
			report.GroupsBreach: {"it was not asked about all of them again"},
			report.Coverage:     {"Not read: who agreed to archiving, since 2032-02-10 10:00"},
		}},
		"messages": {nil, []string{"directory", "consent"}, map[report.Kind][]string{
			report.Coverage: {"Not read: WeCom's messages, since 2032-02-10 11:59", "that nothing was handed out does not mean that there was nothing"},
		}},
	} {
		d := newDesk(t)
		corp := d.calm("wwblind")
		d.OK(d.due(d.Context()))
		d.settings(corp, func(corp *ledger.Corp) {
			for _, k := range report.Kinds() {
				corp.Settings = corp.Settings.Quietened(k, true, "test", noon)
			}
		})
		if c.wrong != nil {
			c.wrong(d, corp.ID)
		}
		if slices.Contains(c.keeps, "directory") {
			d.OK(d.operator.PutSnapshot(d.Context(), ledger.Snapshot{Corp: corp.ID, At: noon.Add(22 * time.Hour)}))
		}
		if slices.Contains(c.keeps, "consent") {
			d.askedAll(corp.ID, noon.Add(22*time.Hour))
		}
		if slices.Contains(c.keeps, "messages") {
			cursor, err := d.operator.Cursor(d.Context(), corp.ID)
			d.OK(err)
			lease, _, err := d.operator.TakeLease(d.Context(), corp.ID, "next", cursor)
			d.OK(err)
			_, err = d.operator.Beat(d.Context(), lease, ledger.Poll{CaughtUp: noon.Add(day - time.Minute), LastWhole: noon.Add(day - time.Minute)})
			d.OK(err)
		}
		d.at = noon.Add(day + time.Second)
		d.OK(d.due(d.Context()))
		kinds, letters := d.mailed(corp.ID, "2032-02-11")
		for _, k := range report.Kinds() {
			says, want := c.says[k]
			if k != report.UserStatus && want != slices.Contains(kinds, k) {
				t.Errorf("%s: %s is mailed %t:\n%s", name, k, !want, letters[k].Text)
			}
			for _, w := range says {
				if !strings.Contains(letters[k].Text, w) {
					t.Errorf("%s: %s lacks %q:\n%s", name, k, w, letters[k].Text)
				}
			}
		}
	}
}

// What WeCom hides is news on the first day, and when it is of more or fewer users; it is said in every mail all the same.
func TestThatWeComHidesSomethingIsNewsOnTheFirstDayAndWhenItChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	corp := d.calm("wwhides")
	d.settings(corp, func(corp *ledger.Corp) {
		for _, k := range report.Kinds() {
			corp.Settings = corp.Settings.Quietened(k, true, "test", noon)
		}
	})
	hide := func(at time.Time, ids ...string) {
		t.Helper()
		for _, id := range ids {
			m := quiet(strings.ToUpper(id[:1]) + id[1:])
			m.Mobile, m.MobileReadable, m.Email, m.EmailReadable = "", false, "", false
			d.OK(d.operator.PutEntries(t.Context(), corp.ID, []directory.Entry{{Kind: directory.KindMember, ID: id, At: at, Fields: directory.Fields(m)}}))
		}
	}
	hide(noon.Add(-time.Hour), "ugo")
	hidden := []report.Kind{report.MissingMobile, report.NumberChange, report.MissingEmail}
	for i, c := range []struct {
		users string // "": nothing is mailed of it
		also  func(at time.Time)
	}{
		{users: "1 user unknown"}, {}, {}, {users: "2 users unknown", also: func(at time.Time) { hide(at, "una") }}, {},
		{users: "2 users unknown", also: func(at time.Time) { // set to say so
			d.settings(corp, func(corp *ledger.Corp) {
				for _, k := range hidden {
					corp.Settings = corp.Settings.Quietened(k, false, "test", at)
				}
			})
		}},
	} {
		at := noon.AddDate(0, 0, i)
		if c.also != nil {
			c.also(at.Add(-3 * time.Hour))
		}
		d.OK(d.operator.PutSnapshot(t.Context(), ledger.Snapshot{Corp: corp.ID, At: at.Add(-2 * time.Hour)}))
		d.at = at.Add(time.Second)
		d.OK(d.due(t.Context()))
		kinds, letters := d.mailed(corp.ID, at.Format(time.DateOnly))
		for _, k := range hidden {
			if slices.Contains(kinds, k) != (c.users != "") || c.users != "" && (!strings.Contains(letters[k].Text, c.users) || !strings.Contains(letters[k].Text, "It could be seen with: the contacts-sync secret")) {
				t.Errorf("day %d: %s, mailed %t:\n%s", i+1, k, slices.Contains(kinds, k), letters[k].Text)
			}
		}
		if r1 := letters[report.UserStatus].Text; !strings.Contains(r1, "WeCom does not show us mobile or email with these secrets") {
			t.Errorf("day %d: R1 does not say it:\n%s", i+1, r1)
		}
	}
}
