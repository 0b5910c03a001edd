package report

import "strconv"

// userSheet is R1's table: one row a user.
func userSheet(f UserStatusFacts, v View, s Summary) sheet {
	l := v.Language
	lt := userLetter(f, v, s, nil)
	lead := append(v.first(), lt.Lead...)
	for _, u := range f.Unread {
		lead = append(lead, v.unread(u, UserStatus))
	}
	sh := sheet{
		lang: l, title: lt.Title, company: lt.Company, subject: lt.Subject, banners: lt.Banners, lead: lead, guide: v.guide("user-status"), noun: nounUsers,
		columns: []column{
			{head: l.say("Name", "姓名"), width: 120, free: true},
			{head: l.say("Userid", "账号 (userid)"), width: 110, free: true},
			{head: l.say("Departments", "部门"), width: 130, free: true},
			{head: l.say("Status", "状态"), width: 85},
			{head: l.say("Stage", "阶段"), width: 115},
			{head: l.say("Days in stage", "阶段天数"), width: 70, right: true},
			{head: l.say("Mobile", "手机号"), width: 140},
			{head: l.say("Email", "邮箱"), width: 190, free: true},
			{head: l.say("Identified by", "识别依据"), width: 90},
			{head: l.say("Designated", "存档名单"), width: 95},
			{head: l.say("Last archived message", "最后存档消息"), width: 145},
			{head: l.say("Mailbox", "投递邮箱"), width: 120, free: true},
			{head: l.say("What is wrong", "问题"), alarm: true},
		},
		rows: len(f.Users), row: func(i int) sheetRow { return v.userRow(f.Users[i], f) },
	}
	users := numbers{Heading: l.say("Summary: choose a number to see its rows", "概要：点击数字查看对应用户")}
	stages := numbers{Heading: l.say("Stages", "阶段")}
	for i, ln := range lines() {
		c := *ln.of(&s)
		if ln.key == "g0" && c.N == 0 {
			continue
		}
		n := number{Key: ln.key, Label: l.say(ln.en, ln.zh)}
		n.Value, n.Note = c.parts(l)
		if f.Before != nil {
			n.Change = c.change(l, ln.of(f.Before))
		}
		if i < userLines {
			users.Numbers = append(users.Numbers, n)
		} else {
			stages.Numbers = append(stages.Numbers, n)
		}
	}
	sh.groups = []numbers{users, stages}
	return sh
}

// Cells are cut at lengths that real values keep far below; whoever sends a name of 10,000 characters does not get to choose the size of
// everyone's mail.
const (
	nameRunes = 200
	listRunes = 400
)

// departments is a list of departments' names as one text.
func (v View) departments(names []string) string {
	words := make([]string, 0, len(names))
	for _, d := range names {
		words = append(words, clip(d, nameRunes))
	}
	return clip(v.Language.join(words), listRunes)
}

func (v View) userRow(u User, f UserStatusFacts) sheetRow {
	l := v.Language
	name := clip(u.Name, nameRunes)
	if name == "" {
		name = l.say("unknown", "未知")
	}
	email := clip(u.Email, nameRunes)
	switch {
	case !u.EmailReadable:
		email = l.say("unknown", "未知")
	case email == "":
		email = l.say("none", "无")
	}
	days := ""
	if d, ok := u.days(f.Day); ok {
		days = strconv.Itoa(d)
	}
	designated := l.say("no", "否")
	switch {
	case !u.DesignatedKnown:
		designated = l.say("unknown", "未知")
	case u.Designated:
		designated = l.say("yes", "是")
	}
	mailbox := clip(u.Mailbox, nameRunes)
	switch {
	case !f.Delivery && mailbox == "":
		mailbox = l.say("not set up", "未配置")
	case mailbox == "":
		mailbox = l.say("none", "无")
	}
	last := sheetCell{lines: []string{l.say("none", "无")}}
	switch {
	case u.LastArchived.IsZero() && u.FirstArchived.IsZero():
	case u.LastArchived.IsZero():
		last.lines[0] = l.say("unknown", "未知")
	default:
		last = v.moment(u.LastArchived)
	}
	var wrong sheetCell
	problems := u.wrong(f.Day, f.Delivery)
	for _, p := range problems {
		wrong.lines = append(wrong.lines, v.problem(p, u, f.Day))
	}
	r := sheetRow{cells: []sheetCell{
		text(name), text(clip(string(u.ID), nameRunes)), text(v.departments(u.Departments)), text(u.Status.text(l)),
		{lines: []string{u.Stage().text(l)}, sort: strconv.Itoa(int(u.Stage()))}, text(days), text(v.mobile(u)), text(email), text(u.identifiedBy(l)),
		text(designated), last, text(mailbox), wrong,
	}}
	for _, ln := range lines() {
		r.marks = append(r.marks, mark(ln.key, ln.holds(u, is(len(problems) > 0)))...)
	}
	return r
}

// mark is a number's key on a row that it counts.
func mark(key string, a answer) []string {
	switch a {
	case yes:
		return []string{key}
	case unknown:
		return []string{key + "?"}
	default:
		return nil
	}
}

// userFile is the name of R1's files.
func userFile(f UserStatusFacts, l Language) string {
	return l.sayf("User-Status-%s-%s", "用户状态报告-%s-%s", fileWord(f.Corp.title()), f.Day.UTC().Format("2006-01-02"))
}
