package report

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

// linesOf is a report's CSV: a map a line, by the names of the columns, and these.
func linesOf(t *testing.T, m Mail, err error) (rows []map[string]string, columns []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(csvOf(t, m), "\ufeff"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for k, cell := range line {
			row[lines[0][k]] = cell
		}
		rows = append(rows, row)
	}
	return rows, lines[0]
}

// T2, T6, T10, T11: what each list has of every user, so that a column is not lost unseen.
func TestEachListHasTheColumnsThatPeopleActOn(t *testing.T) {
	v := View{Language: English, Mask: true}
	for _, c := range []struct {
		kind Kind
		make func() (Mail, error)
		want []string
	}{
		{UserStatus, func() (Mail, error) { return NewUserStatus(sampleFacts(), v) }, []string{"Name", "Userid", "Departments", "Status", "Stage", "Days in stage", "Mobile", "Email", "Identified by",
			"Designated", "Last archived message", "Mailbox", "What is wrong"}},
		{MissingMobile, func() (Mail, error) { return NewMissingMobile(sampleMissingMobile(), v) }, []string{"Name", "Userid", "Departments", "Number lost (UTC)", "Last number", "Email", "Told", "Archiving"}},
		{DeletedUsers, func() (Mail, error) { return NewDeletedUsers(sampleDeletedUsers(), v) }, []string{"Name", "Userid", "Departments", "When (UTC)", "Last mobile", "Last email",
			"Kept until at least", "Holds", "Open deliveries", "Kind"}},
		{NewUsers, func() (Mail, error) { return NewNewUsers(sampleNewUsers(), v) }, []string{"Name", "Userid", "Departments", "Joined (UTC)", "Stage", "Days since", "Left to do"}},
	} {
		m, err := c.make()
		rows, columns := linesOf(t, m, err)
		for _, want := range c.want {
			if !slices.Contains(columns, want) {
				t.Errorf("%s has no column %q: %q", c.kind, want, columns)
			}
		}
		for _, row := range rows {
			for column, cell := range row {
				if strings.Contains(cell, "139000") {
					t.Errorf("%s: %s shows a whole number, %s", c.kind, column, cell)
				}
			}
		}
	}
}

// T6: since when, the last number, and whether the user could be told are of the same user.
func TestTheListOfLostNumbersSaysWhoWasTold(t *testing.T) {
	m, err := NewMissingMobile(sampleMissingMobile(), View{Language: English, Mask: true})
	rows, _ := linesOf(t, m, err)
	for _, row := range rows {
		switch row["Userid"] {
		case "tanwen":
			if row["Told"] != "told by mail" || !strings.HasPrefix(row["Archiving"], "(a)") || !strings.HasSuffix(row["Last number"], "7744") {
				t.Errorf("%v", row)
			}
		case "wubo":
			if !strings.HasPrefix(row["Told"], "could not be told") || !strings.HasPrefix(row["Archiving"], "(b)") || !strings.Contains(row["Number lost (UTC)"], " to ") {
				t.Errorf("%v", row)
			}
		case "Ivo.Brandt":
			if !strings.HasPrefix(row["Archiving"], "(c)") || !strings.HasPrefix(row["Number lost (UTC)"], "by ") {
				t.Errorf("%v", row)
			}
		}
	}
	if len(rows) != 4 {
		t.Errorf("%d rows", len(rows))
	}
}

// T11: of a new user what is left to people is said, and nothing of who has gone again.
func TestNewUsersAreListedWithWhatIsLeftToPeople(t *testing.T) {
	m, err := NewNewUsers(sampleNewUsers(), View{Language: English})
	rows, _ := linesOf(t, m, err)
	want := map[string][]string{"zhulan": {"designate: ", "activate: ", "map: "}, "luoxi": {"activate: ", "map: "}, "Mira.Sol": {"nothing"}, "passby": {"nothing: not there any more"}}
	for _, row := range rows {
		of, known := want[row["Userid"]]
		steps := strings.Split(row["Left to do"], "; ")
		if known && !slices.EqualFunc(steps, of, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", row["Userid"], steps, of)
		}
		delete(want, row["Userid"])
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

// T17: the address that WeCom saw, and ours to copy; without one, ours.
func TestAnAddressThatIsNotTrustedIsNamed(t *testing.T) {
	for _, saw := range []string{"203.0.113.99", ""} {
		for _, v := range views() {
			f := sampleTrouble()
			f.Alarms = slices.Clone(f.Alarms[1:2])
			f.Alarms[0].Address = saw
			m := maintenance(t, f, v)
			if !strings.Contains(m.Text, saw) || saw != "" && !strings.Contains(strings.SplitN(m.Text, "\n\n", 6)[3], saw) || !strings.Contains(m.Text, "203.0.113.24;203.0.113.25") || strings.Contains(m.Text, "  .") {
				t.Errorf("WeCom saw %q (%s):\n%s\n%s", saw, v.Language, m.Subject, m.Text)
			}
			if saw == "" && strings.Count(m.Text, "203.0.113.24") < 2 {
				t.Errorf("WeCom named no address, and ours are not named instead (%s):\n%s", v.Language, m.Text)
			}
		}
	}
}

// T18: the version seen, those held, and how many; attachments have a clock of their own.
func TestAMissingKeyIsToldWithItsVersionsItsMessagesAndTheAttachmentsClock(t *testing.T) {
	f := sampleTrouble()
	f.Alarms = f.Alarms[:1]
	m := maintenance(t, f, View{Language: English})
	for _, want := range []string{
		"Messages that cannot be resolved: 1204.", "Key versions seen: 7, 8", "Key versions held: 5, 6", "Time left before attachments are lost: at least 45 hours", "- Messages: at least 118 hours",
		"Attachments named inside them can't be asked for until then",
	} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("it lacks %q:\n%s", want, m.Text)
		}
	}
}

// T21: WeCom does not say who signed up through WeChat; a user without any number is said to have none, and is known by the address.
func TestAUserWhoNeverHadANumberIsNotSaidToHaveLostOne(t *testing.T) {
	f := sampleFacts()
	i := slices.IndexFunc(f.Users, func(u User) bool { return u.ID == "miaoqing" })
	if i < 0 {
		t.Fatal("the sample has no such user")
	}
	f.Users = slices.Clone(f.Users)
	f.Users[i].Email, f.Users[i].EmailReadable = "miao@hailan.example", true
	m, err := NewUserStatus(f, View{Language: English})
	rows, _ := linesOf(t, m, err)
	for _, row := range rows {
		if row["Userid"] == "miaoqing" && (row["Mobile"] != "none ever seen" || row["Identified by"] != "email" || strings.Contains(row["What is wrong"], "lost")) {
			t.Errorf("%v", row)
		}
	}
	if before, now := f.Users[i].noMobile(), f.Users[i].lostMobile(); before != yes || now == yes {
		t.Errorf("no mobile %v, lost %v", before, now)
	}
}
