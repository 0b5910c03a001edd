package report

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// T7 and T11: a joining is news in one window; what is left to do is said for as long as it is, and of one who is activated nobody says that he is not.
func TestWhoJoinedEarlierIsListedForWhatIsLeftAndNotAsNew(t *testing.T) {
	row := func(id string, designated bool, status Status) NewRow {
		return NewRow{Person: someone(archive.PartyID(id), id, sales, "Sales"), Status: status, Joined: around(ago(30 * time.Hour)),
			Archiving: Archiving{Designated: designated, DesignatedKnown: true, Email: id + "@hailan.example", EmailReadable: true}, MobileReadable: true}
	}
	for _, c := range []struct {
		row             NewRow
		says, zh, never string
	}{
		{row("listless", false, StatusActivated), "designate: not on WeCom's list", "尚未列入", "not activated"},
		{row("waiting", true, StatusNotActivated), "activate: not activated for 1 day", "未激活", "designate: not on"},
	} {
		f := NewUsersFacts{Corp: tea, Day: noon, Snapshot: ago(time.Hour), Rows: []NewRow{c.row}}
		m, err := NewNewUsers(f, View{Language: English})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(m.Subject, ": none new, something is left to do for 1 user") || !strings.Contains(m.Text, c.says) || strings.Contains(m.Text, c.never) ||
			!strings.Contains(m.Text, "Joined in this period: 0") || !strings.Contains(m.Text, "Joined earlier, something is left to do: 1") {
			t.Errorf("%s: %q\n%s", c.row.ID, m.Subject, m.Text)
		}
		zh, err := NewNewUsers(f, View{Language: Chinese})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(zh.Text, c.zh) || !strings.Contains(zh.Subject, "无新增，1 人仍有待办事项") {
			t.Errorf("%s: %q\n%s", c.row.ID, zh.Subject, zh.Text)
		}
	}
}

// Who joined earlier, and is known only now, is told now, and is none of those who joined in this period.
func TestWhoIsKnownLateDidNotJoinInThisPeriod(t *testing.T) {
	row := func(id string, joined time.Duration, late bool) NewRow {
		return NewRow{Person: someone(archive.PartyID(id), id, sales, "Sales"), Status: StatusActivated, Joined: around(ago(joined)), Fresh: true, Late: late,
			Archiving: Archiving{Designated: true, DesignatedKnown: true, EmailReadable: true}, MobileReadable: true}
	}
	for _, c := range []struct {
		rows []NewRow
		says []string
		none bool
	}{
		{[]NewRow{row("today", time.Hour, false), row("before", 30*time.Hour, true)}, []string{"Joined in this period: 1", "joined earlier, known only now: 1"}, false},
		{[]NewRow{row("before", 30*time.Hour, true)}, []string{"Joined in this period: 0", "joined earlier, known only now: 1"}, true},
		{[]NewRow{row("today", time.Hour, false)}, []string{"Joined in this period: 1"}, false},
	} {
		m, err := NewNewUsers(NewUsersFacts{Corp: tea, Day: noon, Snapshot: ago(time.Hour), Rows: c.rows}, View{Language: English})
		if err != nil {
			t.Fatal(err)
		}
		for _, says := range c.says {
			if !strings.Contains(m.Text, says) {
				t.Errorf("%d rows: it does not say %q:\n%s", len(c.rows), says, m.Text)
			}
		}
		if none := strings.Contains(m.Text, "Nobody joined in this period."); none != c.none || strings.Contains(m.Text, "known only now") != (len(c.says) > 1) {
			t.Errorf("%d rows: nobody joined %t:\n%s", len(c.rows), none, m.Text)
		}
	}
}
