package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func TestTheExpectationCanBeReadAndCoversEveryDayOnWhichSchedulesRun(t *testing.T) {
	all, err := expectation()
	if err != nil {
		t.Fatal(err)
	}
	for day := 1; day <= wholeMonth; day++ {
		if some := slices.ContainsFunc(all, func(e expected) bool { return e.day == day }); some == (day == 20) {
			t.Errorf("that something is expected on day %d: %v", day, some)
		}
	}
	if n := len(all.until(3)); n == 0 || n >= len(all) || slices.ContainsFunc(all.until(3), func(e expected) bool { return e.day > 3 }) {
		t.Errorf("%d of %d mails are of the first three days", n, len(all))
	}
}

func TestALineSaysOneMailForEachOfItsDays(t *testing.T) {
	all, err := parseExpected("\n# nothing\n2-3,5 boss@a.example R4 ! rows=b,a on=\"of {date}\" says=\"two words\" not=\"x\" # because\n7 b R1 rows=4")
	if err != nil {
		t.Fatal(err)
	}
	var days []int
	for _, e := range all {
		days = append(days, e.day)
	}
	if diff := cmp.Diff([]int{2, 3, 5, 7}, days); diff != "" {
		t.Error(diff)
	}
	e := all[2]
	if !e.urgent || e.to != "boss@a.example" || e.report != "R4" || !slices.Equal(e.rows, []string{"a", "b"}) || e.count != -1 ||
		!slices.Equal(e.subject, []string{"of 2028-02-14"}) || !slices.Equal(e.says, []string{"two words"}) || !slices.Equal(e.hides, []string{"x"}) || e.line != 3 {
		t.Errorf("%+v", e)
	}
	if all[3].count != 4 || all[3].rows != nil {
		t.Errorf("%+v", all[3])
	}
	for _, bad := range []string{"1 a", "0 a R1", "31 a R1", "3-2 a R1", "x a R1", "1 a R1 row=3", "1 a R1 says=\"open"} {
		if _, err := parseExpected(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestEveryDifferenceIsFound(t *testing.T) {
	want, err := parseExpected("1 a R1 rows=x,y on=subject says=\"a fact\" not=secret\n2 a R2\n2 a R7 !")
	if err != nil {
		t.Fatal(err)
	}
	good := []letter{
		{Day: 1, To: "a", Report: "R1", Rows: []string{"x", "y"}, Subject: "the subject", Text: "says a\n fact."},
		{Day: 2, To: "a", Report: "R2"}, {Day: 2, To: "a", Report: "R7", Urgent: true},
	}
	if diff := compare(want, good); len(diff) > 0 {
		t.Fatalf("nothing differs, and said is: %v", diff)
	}
	change := func(f func(l *letter)) []letter {
		list := slices.Clone(good)
		f(&list[0])
		return list
	}
	for name, c := range map[string]struct {
		got []letter
		say string
	}{
		"one is missing":      {good[1:], "MISSING"},
		"one comes twice":     {append(slices.Clone(good), good[1]), "MORE THAN EXPECTED"},
		"one to another":      {append(slices.Clone(good), letter{Day: 1, To: "b", Report: "R1"}), "NOT EXPECTED"},
		"one a day late":      {change(func(l *letter) { l.Day = 2 }), "MISSING"},
		"a row is missing":    {change(func(l *letter) { l.Rows = []string{"x"} }), "rows"},
		"a row too many":      {change(func(l *letter) { l.Rows = []string{"x", "y", "z"} }), "rows"},
		"another subject":     {change(func(l *letter) { l.Subject = "else" }), "subject"},
		"the fact is missing": {change(func(l *letter) { l.Text = "says nothing" }), "a fact"},
		"it says too much":    {change(func(l *letter) { l.Text += " the secret" }), "secret"},
		"marked as a double":  {change(func(l *letter) { l.Attempt = "2" }), "double"},
		"urgent":              {change(func(l *letter) { l.Urgent = true }), "urgent"},
	} {
		diff := compare(want, c.got)
		if !strings.Contains(strings.Join(diff, "\n"), c.say) {
			t.Errorf("%s: said is %q", name, diff)
		}
	}
}

func TestAMailIsReadAsItsReceiverHasIt(t *testing.T) {
	raw := strings.ReplaceAll(`From: x@vault.example
To: Boss <boss@a.example>
Subject: =?utf-8?q?R4=EF=BC=9Agone?=
X-WecomVault-Report: R4
Importance: high
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

5L2g5aW9
--c
Content-Type: text/html; charset=utf-8

<p>other</p>
--c--
--b
Content-Type: text/csv; charset=utf-8
Content-Disposition: attachment; filename=a.csv

"Name","Userid"
"B","b"
"A","a"
--b--
`, "\n", "\r\n")
	got, err := read([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	want := letter{To: "boss@a.example", Report: "R4", Urgent: true, Subject: "R4：gone", Text: "你好", Rows: []string{"a", "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheScriptGoesForwardInTime(t *testing.T) {
	for day, events := range script() {
		if day < 1 || day > wholeMonth {
			t.Errorf("there is no day %d", day)
		}
		last := ""
		for _, e := range events {
			if _, err := time.Parse("15:04", e.at); err != nil || e.at <= last || e.at >= "11:55" && e.at < "12:01" {
				t.Errorf("day %d, %s: %s comes after %q", day, e.at, e.what, last)
			}
			last = e.at
		}
	}
	if d := noonOf(20); d.Month() != time.February || d.Day() != 29 || dayOf(d) != 20 {
		t.Errorf("day 20 is %v", d)
	}
}

func TestAMessageInWeComIsExpectedOfAUserAndADoubleIsADifference(t *testing.T) {
	want, err := parseExpected("8-9 ma WeCom says=number not=sent\n8 a@a.example R2")
	if err != nil {
		t.Fatal(err)
	}
	day := func(n int, text string) letter {
		return seen(wecomsim.Written{To: "ma", At: noonOf(n).Add(time.Minute), Text: text})
	}
	good := []letter{day(8, "your number"), day(9, "your number"), {Day: 8, To: "a@a.example", Report: "R2"}}
	if diff := compare(want, good); len(diff) > 0 {
		t.Fatalf("nothing differs, and said is: %v", diff)
	}
	for say, got := range map[string][]letter{
		"MISSING":            good[1:],
		"MORE THAN EXPECTED": append(slices.Clone(good), day(9, "your number")),
		"NOT EXPECTED":       append(slices.Clone(good), day(10, "your number")),
		"may be a double":    {good[0], good[2], day(9, "your number\nsent again, 1")},
		"does not say":       {good[0], good[2], day(9, "else")},
	} {
		if diff := compare(want, got); !strings.Contains(strings.Join(diff, "\n"), say) {
			t.Errorf("%s: said is %q", say, diff)
		}
	}
}
