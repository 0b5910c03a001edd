package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Departments of the sample company.
const (
	sales     = 12
	logistics = 13
	finance   = 14
	abroad    = 20
)

var tea = Corp{ID: "ww7f3a9be104c25d68", Name: "海岚茶业 Hailan Tea"}

func someone(id archive.PartyID, name string, department int, place string) Person {
	return Person{ID: id, Name: name, Departments: []int{department}, Places: []string{place}}
}

func around(t time.Time) Between {
	return Between{After: t.Add(-time.Hour), By: t.Add(3 * time.Minute)}
}

func archiving(email, mailbox string) Archiving {
	return Archiving{Designated: true, DesignatedKnown: true, Archived: true, Email: email, EmailReadable: true, Mailbox: mailbox}
}

func hidden() []Unread {
	return []Unread{{
		Source: SourceMobile, Since: ago(40 * day), Via: "app", Of: Crowds([][]int{{abroad}, {sales}, {abroad}}),
		Openers: directory.Openers(directory.FieldMobile),
	}}
}

func sampleMissingMobile() MissingMobileFacts {
	return MissingMobileFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute), Delivery: true, Unread: hidden(),
		Rows: []MobileRow{
			{Person: someone("tanwen", "谭雯", logistics, "仓储物流"), Archiving: archiving("tanwen@hailan.example", "tanwen@mail.hailan.example"),
				Status: StatusActivated, Lost: around(ago(3 * time.Hour)), Last: "+86 13900007744", Told: ToldByMail},
			{Person: someone("wubo", "吴博", sales, "销售部"), Archiving: archiving("", ""), Status: StatusActivated,
				Lost: Between{After: ago(9 * day), By: ago(9*day - time.Hour), Told: []time.Time{ago(9*day - 20*time.Minute)}}, Last: "+86 13900002211", Told: NotToldNone},
			{Person: someone("Ivo.Brandt", "Ivo Brandt", abroad, "International"), Status: StatusActivated,
				Archiving: Archiving{DesignatedKnown: true, Archived: true, Email: "ivo@hailan.example", EmailReadable: true},
				Lost:      Between{By: ago(30 * day)}, Last: "+49 15100004455", Told: ToldByMail},
			{Person: someone("qiaomin", "乔敏", finance, "财务部"), Archiving: Archiving{}, Status: StatusNotActivated, Lost: around(ago(2 * day)), Told: NotToldHidden},
		},
	}
}

func sampleNumberChange() NumberChangeFacts {
	return NumberChangeFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute),
		Rows: []NumberRow{
			{Person: someone("fangyue", "方悦", sales, "销售部"), Old: "+86 13900003217", New: "+86 13900009981", When: around(ago(7 * time.Hour)), Updated: ago(7*time.Hour - 3*time.Minute),
				Still: []string{"mapping file 3, line 12"}},
			{Person: someone("OliverGrant", "Oliver Grant", abroad, "International"), New: "+44 7700900461", When: around(ago(20 * time.Hour))},
			{Person: someone("tanwen", "谭雯", logistics, "仓储物流"), Old: "+86 13900007744", When: around(ago(3 * time.Hour))},
			{Person: someone("luoxi", "罗溪", finance, "财务部"), Old: "+86 13900008840", New: "+86 13900008841", When: around(ago(50 * time.Hour)), Updated: ago(time.Hour), Late: true},
		},
	}
}

func sampleDeletedUsers() DeletedUsersFacts {
	return DeletedUsersFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute), Delivery: true, Holding: true,
		Rows: []DeletedRow{
			{Person: someone("duanhao", "段浩", sales, "销售部"), How: directory.Quit, When: around(ago(5 * time.Hour)), Mobile: "+86 13900006612", MobileKnown: true,
				Email: "duanhao@hailan.example", EmailKnown: true, KeptUntil: noon.AddDate(5, 0, 0), Holds: Known(1), Open: Known(2)},
			{Person: someone("heyan", "何燕", logistics, "仓储物流"), How: directory.WasDeleted, When: Between{After: ago(9 * time.Hour), By: ago(8 * time.Hour), Told: []time.Time{ago(8*time.Hour + 9*time.Minute)}},
				KeptUntil: noon.AddDate(4, 11, 2), Holds: Known(0), Open: Known(0)},
			{Person: someone("grace.h", "Grace Holloway", abroad, "International"), How: directory.OutOfView, When: around(ago(11 * time.Hour)), EmailKnown: true},
			{Person: someone("kwan", "", finance, "财务部"), How: directory.UnlistedSince, When: around(ago(30 * time.Hour)), Late: true, Back: true},
			{Person: someone("lin.old", "林岚", sales, "销售部"), How: directory.WasRenamed, NewID: "lin.lan", When: around(ago(2 * time.Hour))},
		},
	}
}

func sampleNewUsers() NewUsersFacts {
	return NewUsersFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute), Delivery: true,
		Rows: []NewRow{
			{Person: someone("zhulan", "朱岚", sales, "销售部"), Status: StatusNotActivated, Joined: around(ago(6 * time.Hour)), Fresh: true, Mobile: "+86 13900001357", MobileReadable: true,
				Archiving: Archiving{DesignatedKnown: true, Email: "zhulan@hailan.example", EmailReadable: true}},
			{Person: someone("Mira.Sol", "Mira Sol", abroad, "International"), Status: StatusActivated, Joined: around(ago(21 * time.Hour)), Fresh: true, MobileReadable: true,
				Archiving: archiving("mira@hailan.example", "mira@mail.hailan.example")},
			{Person: someone("kelly", "Kelly Voss", abroad, "International"), Joined: around(ago(3 * time.Hour)), Fresh: true},
			{Person: someone("luoxi", "罗溪", finance, "财务部"), Status: StatusNotActivated, Joined: around(ago(6*day + 2*time.Hour)), MobileReadable: true,
				Archiving: Archiving{Designated: true, DesignatedKnown: true, EmailReadable: true}},
			{Person: someone("passby", "Pat Byrne", abroad, "International"), Status: StatusActivated, Joined: around(ago(15 * time.Hour)), Fresh: true, Gone: true},
		},
	}
}

func sampleMissingEmail() MissingEmailFacts {
	return MissingEmailFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute),
		Unread: []Unread{{Source: SourceDesignated, Code: 60020}},
		Rows: []EmailRow{
			{Person: someone("miaoqing", "苗青", sales, "销售部"), Archiving: archiving("", ""), Status: StatusActivated, Rule: EmailRemoved, Old: "miao@hailan.example",
				When: around(ago(4 * day)), Told: NotToldNone},
			{Person: someone("wubo", "吴博", sales, "销售部"), Archiving: archiving("wu.bo@hailan.example", ""), Status: StatusActivated, Rule: EmailChanged, Old: "wubo@hailan.example",
				When: around(ago(4 * time.Hour)), MobileLost: true, Told: ToldByMail},
			{Person: someone("tanwen", "谭雯", logistics, "仓储物流"), Archiving: archiving("", ""), Status: StatusActivated, Rule: EmailNever, When: around(ago(3 * time.Hour)), MobileLost: true, Told: ToldByMail},
		},
	}
}

func sampleCoverage() CoverageFacts {
	f := CoverageFacts{
		Corp: tea, Marks: Marks{Simulated: true}, Day: noon, Snapshot: ago(25 * time.Minute),
		Rows: []CoverageRow{
			{Person: someone("sunlei", "孙磊", logistics, "仓储物流"), What: LackSilent},
			{Person: someone("heyan", "何燕", logistics, "仓储物流"), What: LackDropped, When: around(ago(5 * day)), Last: ago(5 * day)},
			{Person: someone("kwan", "关小雨", finance, "财务部"), What: LackBeyondSeats},
			{Person: someone("miaoqing", "苗青", sales, "销售部"), What: LackNotDesignated},
			{Person: someone("fangyue", "方悦", sales, "销售部"), What: ConsentChange, With: "Rosa Lind", Old: "agree", New: "disagree", When: Between{After: ago(4 * time.Hour), By: ago(4*time.Hour - time.Minute)}},
			{Person: someone("fangyue", "方悦", sales, "销售部"), What: ConsentChange, With: "茶友群", Old: "", New: "not-yet", When: Between{By: ago(2 * time.Hour)}},
			{Person: someone("OliverGrant", "Oliver Grant", abroad, "International"), What: MediaExpiring, With: "Rosa Lind", Ends: noon.Add(7*time.Hour + 20*time.Minute), MsgID: "5120447_1"},
			{Person: someone("OliverGrant", "Oliver Grant", abroad, "International"), What: MediaGone, With: "Rosa Lind", Why: "media-expired", MsgID: "5119921_1"},
		},
		Company: &Company{
			Capture: sampleFacts().Capture,
			Account: &Account{First: 5_118_001, Last: 5_119_850, Jumps: []Jump{{5_118_400, 5_118_405}, {5_119_002, 5_119_002}}, Chain: 40_213,
				Root: "9b2f0c6d1e7a48f3b5c0d9e8a7f6152433425160718293a4b5c6d7e8f9012345"},
			Unreached: []Unreached{
				{Name: "秦姝", ID: "qinshu", Places: []string{"财务部"}, Why: UnreachableNone}, {Name: "ops@hailan.example", Places: []string{"茶园 12"}, Why: DepartmentGone},
			},
			Seats: &Seats{Edition: "service", Bought: Known(500), Used: Known(503), End: noon.AddDate(0, 0, 21)},
		},
	}
	for i := range 10 {
		d := DayOf{Day: ago(time.Duration(10-i) * day), Archived: Known(uint64(900 + 137*i%1100))}
		d.Covered, d.Listed = Known(uint64(440+6*i)), Known(503)
		if i == 4 {
			d = DayOf{Day: d.Day}
		}
		f.Company.Trend = append(f.Company.Trend, d)
	}
	return f
}

// daily is a daily report in the tests that hold for all of them.
type daily struct {
	kind  Kind
	name  string
	build func(View) (Mail, error)
}

// dailies are the daily reports on the sample company, and the notices to its users.
func dailies() []daily {
	r2, r8 := sampleMissingMobile(), sampleMissingEmail()
	notice := func(id archive.PartyID) func(View) (Mail, error) {
		return func(v View) (Mail, error) { return NewMissingMobileNotice(r2, id, v) }
	}
	return []daily{
		{MissingMobile, "r2", func(v View) (Mail, error) { return NewMissingMobile(r2, v) }},
		{MissingMobile, "r2.user-a", notice("tanwen")},
		{MissingMobile, "r2.user-b", notice("wubo")},
		{MissingMobile, "r2.user-c", notice("Ivo.Brandt")},
		{MissingMobile, "r2.user-unknown", notice("qiaomin")},
		{NumberChange, "r3", func(v View) (Mail, error) { return NewNumberChange(sampleNumberChange(), v) }},
		{DeletedUsers, "r4", func(v View) (Mail, error) { return NewDeletedUsers(sampleDeletedUsers(), v) }},
		{NewUsers, "r5", func(v View) (Mail, error) { return NewNewUsers(sampleNewUsers(), v) }},
		{MissingEmail, "r8", func(v View) (Mail, error) { return NewMissingEmail(r8, v) }},
		{MissingEmail, "r8.user", func(v View) (Mail, error) { return NewMissingEmailNotice(r8, "wubo", v) }},
		{Coverage, "r12", func(v View) (Mail, error) { return NewCoverage(sampleCoverage(), v) }},
	}
}

func (d daily) mail(t *testing.T, v View) Mail {
	t.Helper()
	m, err := d.build(v)
	if err != nil {
		t.Fatal(err)
	}
	m.ID = ID(d.name, string(v.Language))
	return m
}

// crowded are the daily reports of n rows, whose people are all called what name makes of their number.
func crowded(n int, name func(int) string) []daily {
	r2, r3, r4, r5, r8, r12 := sampleMissingMobile(), sampleNumberChange(), sampleDeletedUsers(), sampleNewUsers(), sampleMissingEmail(), sampleCoverage()
	person := func(p Person, i int) Person {
		p.ID, p.Name, p.Places = archive.PartyID(fmt.Sprintf("staff%05d", i)), name(i), []string{name(i + 1)}
		return p
	}
	r2.Rows, r3.Rows, r4.Rows = many(r2.Rows, n), many(r3.Rows, n), many(r4.Rows, n)
	r5.Rows, r8.Rows, r12.Rows = many(r5.Rows, n), many(r8.Rows, n), many(r12.Rows, n)
	for i := range n {
		r2.Rows[i].Person, r3.Rows[i].Person, r4.Rows[i].Person = person(r2.Rows[i].Person, i), person(r3.Rows[i].Person, i), person(r4.Rows[i].Person, i)
		r5.Rows[i].Person, r8.Rows[i].Person, r12.Rows[i].Person = person(r5.Rows[i].Person, i), person(r8.Rows[i].Person, i), person(r12.Rows[i].Person, i)
		text := name(i)
		r2.Rows[i].Email, r2.Rows[i].Mailbox, r2.Rows[i].Last = text, text, text
		r3.Rows[i].Old, r3.Rows[i].Still = text, []string{text}
		r4.Rows[i].Email, r4.Rows[i].Mobile, r4.Rows[i].NewID = text, text, archive.PartyID(text)
		r5.Rows[i].Email, r5.Rows[i].Mobile = text, text
		r8.Rows[i].Old, r8.Rows[i].Email = text, text
		r12.Rows[i].With, r12.Rows[i].Why, r12.Rows[i].MsgID = text, text, archive.MsgID(text)
	}
	for _, c := range []*Corp{&r2.Corp, &r3.Corp, &r4.Corp, &r5.Corp, &r8.Corp, &r12.Corp} {
		c.Name = name(0)
	}
	return []daily{
		{MissingMobile, "r2", func(v View) (Mail, error) { return NewMissingMobile(r2, v) }},
		{MissingMobile, "r2.user", func(v View) (Mail, error) { return NewMissingMobileNotice(r2, r2.Rows[0].ID, v) }},
		{NumberChange, "r3", func(v View) (Mail, error) { return NewNumberChange(r3, v) }},
		{DeletedUsers, "r4", func(v View) (Mail, error) { return NewDeletedUsers(r4, v) }},
		{NewUsers, "r5", func(v View) (Mail, error) { return NewNewUsers(r5, v) }},
		{MissingEmail, "r8", func(v View) (Mail, error) { return NewMissingEmail(r8, v) }},
		{MissingEmail, "r8.user", func(v View) (Mail, error) { return NewMissingEmailNotice(r8, r8.Rows[1].ID, v) }},
		{Coverage, "r12", func(v View) (Mail, error) { return NewCoverage(r12, v) }},
	}
}

func many[R any](rows []R, n int) []R {
	out := make([]R, n)
	for i := range out {
		out[i] = rows[i%len(rows)]
	}
	return out
}
