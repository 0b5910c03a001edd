package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"strconv"
	"strings"
)

//go:embed page/users.html
var usersSource string

//go:embed page/users.js
var usersScript string

//go:embed page/users.css
var usersStyle string

var usersPage = template.Must(template.New("users").Parse(usersSource))

// userRow is one user as the attachment shows it. Marks are the keys of the summary's lines that count this user, those of unknown answers
// with a "?" behind.
type userRow struct {
	Marks                                  string
	Name, ID, Departments, Status          string
	Stage, Days, Mobile, Email, Identified string
	Designated, Mailbox                    string
	Last, LastLocal                        string
	StageRank                              int
	Wrong                                  []string
}

type userNumber struct {
	Key, Label, Value, Note, Change string
}

type usersView struct {
	Lang, Title, Company, File string
	CSP                        template.HTMLAttr
	Style                      template.CSS
	Script                     template.JS
	Banners, Lead              []string
	Numbers, Stages            []userNumber
	Head                       []string
	Rows                       []userRow
	Words                      map[string]string
}

// userTable is the page that is attached to R1: everything in one file, nothing loaded from anywhere. Without scripts it is still
// the whole table.
func userTable(f UserStatusFacts, v View, s Summary) ([]byte, error) {
	l := v.Language
	lt := userLetter(f, v, s, false)
	page := usersView{
		Lang:    string(l),
		Title:   UserStatus.Title(l),
		Company: f.Corp.title(),
		File:    lt.Subject,
		// The page runs its own script and loads nothing, whatever a name holds: the policy names the script by its hash.
		CSP: template.HTMLAttr(`content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-` + //nolint:gosec // G203: our own embedded files
			sourceHash(usersScript) + `'; base-uri 'none'; form-action 'none'"`),
		Style:   template.CSS(usersStyle), //nolint:gosec // G203: our own embedded file
		Script:  template.JS(usersScript), //nolint:gosec // G203: our own embedded file
		Banners: lt.Banners,
		Lead:    append(v.first(), lt.Lead...),
		Head: []string{
			l.say("Name", "姓名"), l.say("Userid", "账号 (userid)"), l.say("Departments", "部门"), l.say("Status", "状态"), l.say("Stage", "阶段"),
			l.say("Days in stage", "阶段天数"), l.say("Mobile", "手机号"), l.say("Email", "邮箱"), l.say("Identified by", "识别依据"), l.say("Designated", "存档名单"),
			l.say("Last archived message", "最后存档消息"), l.say("Mailbox", "投递邮箱"), l.say("What is wrong", "问题"),
		},
		Words: map[string]string{
			"search":  l.say("Search", "搜索"),
			"all":     l.say("All users", "全部用户"),
			"count":   l.say("{n} of {m} users", "{n} / {m} 人"),
			"more":    l.say("Show all {n} rows", "显示全部 {n} 行"),
			"table":   l.say("Users", "用户"),
			"numbers": l.say("Summary: choose a number to see its rows", "概要：点击数字查看对应用户"),
			"stages":  l.say("Stages", "阶段"),
			"sort":    l.say("Choose a column's heading to sort by it.", "点击列标题可排序。"),
			"utc":     l.say("Times are in UTC, with the local time below.", "时间为 UTC，下方为当地时间。"),
			"print":   l.say("Print", "打印"),
		},
	}
	for i, ln := range lines() {
		c := *ln.of(&s)
		if ln.key == "g0" && c.N == 0 {
			continue
		}
		n := userNumber{Key: ln.key, Label: l.say(ln.en, ln.zh)}
		n.Value, n.Note = c.parts(l)
		if f.Before != nil {
			n.Change = c.change(l, ln.of(f.Before))
		}
		if i < userLines {
			page.Numbers = append(page.Numbers, n)
		} else {
			page.Stages = append(page.Stages, n)
		}
	}
	page.Rows = make([]userRow, 0, len(f.Users))
	for _, u := range f.Users {
		page.Rows = append(page.Rows, v.userRow(u, f))
	}
	var b bytes.Buffer
	if err := usersPage.Execute(&b, page); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func sourceHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Cells are cut at lengths that real values keep far below; whoever sends a name of 10,000 characters does not get to choose the size of
// everyone's mail.
const (
	nameRunes = 200
	listRunes = 400
)

func (v View) userRow(u User, f UserStatusFacts) userRow {
	l := v.Language
	r := userRow{
		Name:        clip(u.Name, nameRunes),
		ID:          clip(string(u.ID), nameRunes),
		Status:      u.Status.text(l),
		Stage:       u.Stage().text(l),
		StageRank:   int(u.Stage()),
		Mobile:      v.mobile(u),
		Identified:  u.identifiedBy(l),
		Email:       clip(u.Email, nameRunes),
		Mailbox:     clip(u.Mailbox, nameRunes),
		Departments: "",
	}
	departments := make([]string, 0, len(u.Departments))
	for _, d := range u.Departments {
		departments = append(departments, clean(d))
	}
	r.Departments = clip(l.join(departments), listRunes)
	if r.Name == "" {
		r.Name = l.say("unknown", "未知")
	}
	switch {
	case !u.EmailReadable:
		r.Email = l.say("unknown", "未知")
	case r.Email == "":
		r.Email = l.say("none", "无")
	}
	if d, ok := u.days(f.Day); ok {
		r.Days = strconv.Itoa(d)
	}
	switch {
	case !u.DesignatedKnown:
		r.Designated = l.say("unknown", "未知")
	case u.Designated:
		r.Designated = l.say("yes", "是")
	default:
		r.Designated = l.say("no", "否")
	}
	switch {
	case !f.Delivery && r.Mailbox == "":
		r.Mailbox = l.say("not set up", "未配置")
	case r.Mailbox == "":
		r.Mailbox = l.say("none", "无")
	}
	switch {
	case u.LastArchived.IsZero() && u.FirstArchived.IsZero():
		r.Last = l.say("none", "无")
	case u.LastArchived.IsZero():
		r.Last = l.say("unknown", "未知")
	default:
		r.Last = u.LastArchived.UTC().Format("2006-01-02 15:04")
		r.LastLocal = v.local(u.LastArchived)
	}
	wrong := u.wrong(f.Day, f.Delivery)
	for _, p := range wrong {
		r.Wrong = append(r.Wrong, v.problem(p, u, f.Day))
	}
	var marks []string
	for _, ln := range lines() {
		switch ln.holds(u, is(len(wrong) > 0)) {
		case yes:
			marks = append(marks, ln.key)
		case unknown:
			marks = append(marks, ln.key+"?")
		case no:
		}
	}
	r.Marks = strings.Join(marks, " ")
	return r
}
