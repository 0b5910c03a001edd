package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

const receiversUsage = "receivers list -corp ID [-id ID] | add -corp ID -address ADDRESS -department N -reports R1,… [-name NAME] [-lang zh|en] [-key WORD] | " +
	"change -corp ID -id ID [-name NAME] [-address ADDRESS] [-lang zh|en] [-reports R1,…] [-department N] [-use-wecom name,address,lang,reports] [-rev N] | remove -corp ID -id ID [-rev N] | " +
	"heads -corp ID | settings -corp ID [-operations ADDRESS] [-control ADDRESS] [-alert ADDRESS] [-lang zh|en] [-on R1,…] [-off R1,…] [-silent R1,…] [-tell R1,…] [-edition NAME] [-seats N] [-service-start YYYY-MM-DD] [-service-end YYYY-MM-DD] [-admin ADDRESS -admin-name NAME -admin-lang zh|en -admin-reports R1,…|none|default] | " +
	"departments -corp ID | reports -corp ID | preview -corp ID -report R1 -department N [-lang zh|en] [-html FILE] | mails -corp ID [-address ADDRESS] [-most N] | " +
	"unsent -corp ID [-send KEY|all] [-acknowledge KEY|all] | suppressed -corp ID | lift -corp ID -address ADDRESS: who gets which reports of which departments; heads of department follow WeCom; what was mailed and what became of it; " +
	"what could not be sent at all; whose address is dead or complained. -rev N changes only what list shows with that rev; -key WORD adds no second one if the command is repeated"

// receiverPublic is a receiver as list prints it.
type receiverPublic struct {
	ID           string        `json:"id"`
	Source       string        `json:"source"`
	Name         string        `json:"name"`
	Address      string        `json:"address"`
	Language     string        `json:"language"`
	Reports      []report.Kind `json:"reports"`
	Departments  []string      `json:"departments"`
	Gone         []int         `json:"departments_gone,omitempty"`
	WeComName    string        `json:"wecom_name,omitempty"`
	WeComAddress string        `json:"wecom_address,omitempty"`
	Edited       []string      `json:"edited,omitempty"`
	Editable     []string      `json:"editable"`
	Unreachable  string        `json:"unreachable,omitempty"`
	NotSent      string        `json:"not_sent,omitempty"` // which of the reports are not, and why
	Synced       string        `json:"synced,omitempty"`   // of heads: when WeCom's directory was last read
	Suppressed   *fatePublic   `json:"suppressed,omitempty"`
	Heard        *fatePublic   `json:"last_heard,omitempty"` // what SES last said of a mail to the address
	Rev          int           `json:"rev"`
}

// fatePublic is what became of mails to an address, in SES's words.
type fatePublic struct {
	Fate   string `json:"fate"`
	Detail string `json:"detail,omitempty"`
	At     string `json:"at"`
}

// word is a language as the commands and the API take it.
func word(l report.Language) string {
	if l == report.English {
		return "en"
	}
	return "zh"
}

func receiversList(ctx context.Context, p *program, args []string) error {
	f := flags("receivers list")
	id := f.String("id", "", "")
	found := false
	err := p.listReceivers(ctx, f, args, func(r routing.Receiver) bool {
		shown := *id == "" || r.ID == *id
		found = found || shown
		return shown
	})
	if err == nil && *id != "" && !found {
		return fmt.Errorf("there is no receiver %q: vaultctl receivers list without -id shows their ids", *id)
	}
	return err
}

func receiversHeads(ctx context.Context, p *program, args []string) error {
	return p.listReceivers(ctx, flags("receivers heads"), args, func(r routing.Receiver) bool { return r.Source == routing.Head })
}

// listReceivers shows whole addresses, so that it is audited first.
func (p *program) listReceivers(ctx context.Context, f *flag.FlagSet, args []string, show func(routing.Receiver) bool) error {
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if err := p.audit(ctx, f.Name(), c.ID, "receivers"); err != nil {
		return err
	}
	company, synced, err := p.ledger.Company(ctx, c)
	if err != nil {
		return err
	}
	var shown []routing.Receiver
	var addresses []string
	for _, r := range routing.List(company) {
		if show(r) {
			shown, addresses = append(shown, r), append(addresses, r.Address)
		}
	}
	boxes, err := p.ledger.Letterboxes(ctx, c.ID, addresses)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	for _, r := range shown {
		out := receiverPublic{
			ID: r.ID, Source: string(r.Source), Name: r.Name, Address: r.Address, Language: word(r.Language), Reports: r.Reports, Departments: departmentNames(r.Departments, company.Names, c),
			Gone: r.Missing, WeComName: r.WeComName, WeComAddress: r.WeComAddress, Edited: r.Edited, Editable: r.Editable(), Unreachable: r.Unreachable, NotSent: r.WhyNotSent(), Rev: r.Rev,
		}
		if s := boxes[r.Address].Suppressed; s != nil {
			out.Suppressed = &fatePublic{string(s.Reason), s.Detail, rfc3339(s.Since)}
		}
		if h := boxes[r.Address].Heard; h != nil {
			out.Heard = &fatePublic{string(h.Fate), h.Detail, rfc3339(h.At)}
		}
		if r.Source == routing.Head && !synced.IsZero() {
			out.Synced = rfc3339(synced)
		}
		if err := enc.Encode(out); err != nil {
			return err
		}
	}
	return nil
}

// departmentNames labels departments by number and name; the root has the company's name.
func departmentNames(ids []int, names map[int]string, c ledger.Corp) []string {
	var out []string
	for _, id := range ids {
		name := names[id]
		if id == directory.Root {
			name = c.Name
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s", id, name)))
	}
	return out
}

// given is the flags of a command line that were given.
func given(f *flag.FlagSet) map[string]bool {
	names := map[string]bool{}
	f.Visit(func(f *flag.Flag) { names[f.Name] = true })
	return names
}

// changedOf is what the flags of a command change, for the audit stream: their names, and of reports which.
func changedOf(f *flag.FlagSet) string {
	words := []string{}
	f.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "corp":
		case "on", "off", "silent", "tell":
			words = append(words, f.Name+" "+f.Value.String())
		default:
			words = append(words, f.Name)
		}
	})
	return "settings: " + strings.Join(words, ", ")
}

// kinds reads codes of reports with commas between them; "" and "none" are none.
func kinds(text string) ([]report.Kind, error) {
	list := []report.Kind{}
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" || word == "none" {
			continue
		}
		k, err := report.ParseKind(word)
		if err != nil {
			return nil, &usageError{err.Error()}
		}
		list = append(list, k)
	}
	return list, nil
}

// changedMeanwhile says what to do where another's change came first: look shows it as it is now.
func changedMeanwhile(err error, id, look string) error {
	if errors.Is(err, ledger.ErrLost) {
		return fmt.Errorf("%s was changed by somebody else meanwhile: look at it again with vaultctl %s, then repeat the command", id, look)
	}
	return err
}

func receiversAdd(ctx context.Context, p *program, args []string) error {
	f := flags("receivers add")
	id, name, address, lang := f.String("corp", "", ""), f.String("name", "", ""), f.String("address", "", ""), f.String("lang", "", "")
	department, reports, repeat := f.Int("department", 0, ""), f.String("reports", "", ""), f.String("key", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	row := routing.Row{Name: *name, Address: *address, Language: *lang, Department: *department, Added: clock.Now().UTC().Truncate(time.Millisecond)}
	if row.Reports, err = kinds(*reports); err != nil {
		return err
	}
	company, _, err := p.ledger.Company(ctx, c)
	if err != nil {
		return err
	}
	if row, err = row.Checked(company.Tree); err != nil {
		return err
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("name a receiver: %w", err)
	}
	if *repeat != "" {
		sum := sha256.Sum256([]byte(string(c.ID) + "\x00" + p.actor + "\x00" + *repeat))
		random = [8]byte(sum[:8])
	}
	row.ID = routing.RowID(random)
	for _, there := range company.Entered {
		if there.ID != row.ID {
			continue
		}
		if there.Name != row.Name || there.Address != row.Address || there.Language != row.Language || there.Department != row.Department || !slices.Equal(there.Reports, row.Reports) {
			return fmt.Errorf("-key %s added another receiver before, %s, or that one was changed since: take a new word for a new receiver", *repeat, row.ID)
		}
		_, err := fmt.Fprintf(p.out, "receiver %s is there already, by the same key\n", row.ID)
		return err
	}
	if err := row.Alone(company.Entered); err != nil {
		return err
	}
	if err := p.audit(ctx, "receivers add", c.ID, "receiver "+row.ID); err != nil {
		return err
	}
	if _, err := p.ledger.PutReceiver(ctx, c.ID, row); err != nil {
		return changedMeanwhile(err, "receiver "+row.ID, "receivers list")
	}
	_, err = fmt.Fprintf(p.out, "receiver %s is added; reports begin with the next noon (12:00 UTC)\n", row.ID)
	return err
}

func receiversChange(ctx context.Context, p *program, args []string) error {
	f := flags("receivers change")
	corp, id, rev := f.String("corp", "", ""), f.String("id", "", ""), f.Int("rev", anyRev, "")
	ch := receiverChange{
		name: f.String("name", "", ""), address: f.String("address", "", ""), lang: f.String("lang", "", ""), reports: f.String("reports", "", ""),
		department: f.Int("department", 0, ""), wecom: f.String("use-wecom", "", ""),
	}
	if err := parse(f, args); err != nil {
		return err
	}
	ch.given = given(f)
	c, err := p.known(ctx, *corp)
	if err != nil {
		return err
	}
	company, _, r, err := p.receiver(ctx, c, *id)
	if err != nil {
		return err
	}
	if err := asRead(r, *rev); err != nil {
		return err
	}
	delete(ch.given, "rev")
	if len(ch.given) == 2 {
		return &usageError{"receivers change: name at least one thing to change"}
	}
	if ch.given["department"] {
		if err := r.DepartmentFixed(); err != nil {
			return err
		}
	}
	var keep func() (int, error)
	switch r.Source {
	case routing.Entered:
		row, err := ch.row(company.Entered, r.ID)
		if err != nil {
			return err
		}
		if row, err = row.Checked(company.Tree); err != nil {
			return err
		}
		if err := row.Alone(company.Entered); err != nil {
			return err
		}
		keep = func() (int, error) { return p.ledger.PutReceiver(ctx, c.ID, row) }
	case routing.Head:
		user, _ := routing.HeadOf(r.ID)
		e, err := ch.edit(routing.EditOf(company.Edits, user))
		if err != nil {
			return err
		}
		if e, err = e.Checked(r.Departments, r.NotSent...); err != nil {
			return err
		}
		keep = func() (int, error) { return p.ledger.PutEdit(ctx, c.ID, e) }
	default:
		return fmt.Errorf("%s is a setting of the company: vaultctl receivers settings and vaultctl corps set change it", r.ID)
	}
	if err := p.audit(ctx, "receivers change", c.ID, "receiver "+r.ID); err != nil {
		return err
	}
	if _, err := keep(); err != nil {
		return changedMeanwhile(err, "receiver "+r.ID, "receivers list")
	}
	_, err = fmt.Fprintf(p.out, "receiver %s is changed; it holds from the next report on, mails that are planned go as they are\n", r.ID)
	return err
}

// anyRev is -rev where it is not given.
const anyRev = -1

// asRead refuses to change what is not any more as somebody has read it.
func asRead(r routing.Receiver, rev int) error {
	if rev != anyRev && r.Rev != rev {
		return changedMeanwhile(fmt.Errorf("receiver %s has rev %d: %w", r.ID, r.Rev, ledger.ErrLost), "receiver "+r.ID, "receivers list")
	}
	return nil
}

// receiverChange is the flags of receivers change.
type receiverChange struct {
	name, address, lang, reports, wecom *string
	department                          *int
	given                               map[string]bool
}

func (ch receiverChange) row(entered []routing.Row, id string) (routing.Row, error) {
	if ch.given["use-wecom"] {
		return routing.Row{}, &usageError{"-use-wecom is for heads of department: this receiver was entered, WeCom knows nothing of it"}
	}
	row := entered[slices.IndexFunc(entered, func(r routing.Row) bool { return r.ID == id })]
	if ch.given["name"] {
		row.Name = *ch.name
	}
	if ch.given["address"] {
		row.Address = *ch.address
	}
	if ch.given["lang"] {
		row.Language = *ch.lang
	}
	if ch.given["department"] {
		row.Department = *ch.department
	}
	if !ch.given["reports"] {
		return row, nil
	}
	var err error
	row.Reports, err = kinds(*ch.reports)
	return row, err
}

func (ch receiverChange) edit(e routing.Edit) (routing.Edit, error) {
	if ch.given["name"] {
		e.Name = ch.name
	}
	if ch.given["address"] {
		e.Address = ch.address
	}
	if ch.given["lang"] {
		e.Language = *ch.lang
	}
	if ch.given["reports"] {
		list, err := kinds(*ch.reports)
		if err != nil {
			return e, err
		}
		e.Reports = &list
	}
	for field := range strings.SplitSeq(*ch.wecom, ",") {
		switch strings.TrimSpace(field) {
		case "":
		case "name":
			e.Name = nil
		case "address":
			e.Address = nil
		case "lang":
			e.Language = ""
		case "reports":
			e.Reports = nil
		default:
			return e, &usageError{"-use-wecom: name, address, lang and reports can be given back, with commas between them"}
		}
	}
	return e, nil
}

// receiver reads one of a company's receivers, or says what to do if there is none.
func (p *program) receiver(ctx context.Context, c ledger.Corp, id string) (routing.Company, time.Time, routing.Receiver, error) {
	company, synced, err := p.ledger.Company(ctx, c)
	if err != nil {
		return company, synced, routing.Receiver{}, err
	}
	for _, r := range routing.List(company) {
		if r.ID == id {
			return company, synced, r, nil
		}
	}
	return company, synced, routing.Receiver{}, fmt.Errorf("corp %s has no receiver %q: vaultctl receivers list -corp %s shows their ids", c.ID, id, c.ID)
}

func receiversRemove(ctx context.Context, p *program, args []string) error {
	f := flags("receivers remove")
	corp, id, rev := f.String("corp", "", ""), f.String("id", "", ""), f.Int("rev", anyRev, "")
	if err := parse(f, args); err != nil {
		return err
	}
	c, err := p.known(ctx, *corp)
	if err != nil {
		return err
	}
	_, _, r, err := p.receiver(ctx, c, *id)
	if err != nil {
		return err
	}
	if err := r.Removable(); err != nil {
		return err
	}
	if err := asRead(r, *rev); err != nil {
		return err
	}
	if err := p.audit(ctx, "receivers remove", c.ID, "receiver "+r.ID); err != nil {
		return err
	}
	if err := p.ledger.RemoveReceiver(ctx, c.ID, r.ID, r.Rev); err != nil {
		return changedMeanwhile(err, "receiver "+r.ID, "receivers list")
	}
	_, err = fmt.Fprintf(p.out, "receiver %s is removed\n", r.ID)
	return err
}

// switchPublic is a report's switch as settings prints it.
type switchPublic struct {
	Report report.Kind `json:"report"`
	Title  string      `json:"title"`
	On     bool        `json:"on"`
	Silent bool        `json:"silent_without_news"`
	By     string      `json:"changed_by,omitempty"`
	At     string      `json:"changed_at,omitempty"`

	SwitchedBy string `json:"switched_by,omitempty"` // who last switched it on or off
	SwitchedAt string `json:"switched_at,omitempty"`
}

func receiversSettings(ctx context.Context, p *program, args []string) error {
	f := flags("receivers settings")
	id := f.String("corp", "", "")
	operations, control, alert, lang := f.String("operations", "", ""), f.String("control", "", ""), f.String("alert", "", ""), f.String("lang", "", "")
	edition, seats, start, end := f.String("edition", "", ""), f.Int("seats", 0, ""), f.String("service-start", "", ""), f.String("service-end", "", "")
	on, off, silent, tell := f.String("on", "", ""), f.String("off", "", ""), f.String("silent", "", ""), f.String("tell", "", "")
	admin := newAdminChange(f)
	if err := parse(f, args); err != nil {
		return err
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	said := given(f)
	if err := admin.apply(&c, said); err != nil {
		return err
	}
	for name, field := range map[string]struct{ from, to *string }{
		"operations": {operations, &c.Settings.Operations}, "control": {control, &c.Settings.Control}, "alert": {alert, &c.Settings.Alert}, "lang": {lang, &c.Settings.Language},
	} {
		if said[name] {
			*field.to = *field.from
		}
	}
	if said["edition"] {
		c.Settings.Service.Edition = *edition
	}
	if said["seats"] {
		c.Settings.Service.Seats = *seats
	}
	for name, day := range map[string]struct {
		from *string
		to   *time.Time
	}{"service-start": {start, &c.Settings.Service.Start}, "service-end": {end, &c.Settings.Service.End}} {
		if said[name] {
			if *day.to, err = routing.Day(*day.from); err != nil {
				return &usageError{"-" + name + ": " + err.Error()}
			}
		}
	}
	now := clock.Now()
	for _, s := range []struct {
		codes  *string
		change func(routing.Settings, report.Kind) routing.Settings
	}{
		{on, func(s routing.Settings, k report.Kind) routing.Settings { return s.Turned(k, false, p.actor, now) }},
		{off, func(s routing.Settings, k report.Kind) routing.Settings { return s.Turned(k, true, p.actor, now) }},
		{silent, func(s routing.Settings, k report.Kind) routing.Settings { return s.Quietened(k, true, p.actor, now) }},
		{tell, func(s routing.Settings, k report.Kind) routing.Settings { return s.Quietened(k, false, p.actor, now) }},
	} {
		list, err := kinds(*s.codes)
		if err != nil {
			return err
		}
		for _, k := range list {
			c.Settings = s.change(c.Settings, k)
		}
	}
	if len(said) > 1 {
		rev := c.Settings.Rev
		if c.Settings, err = c.Settings.Checked(); err != nil {
			return err
		}
		c.Settings.Rev = rev
		if err := p.audit(ctx, "receivers settings", c.ID, changedOf(f)); err != nil {
			return err
		}
		if c.Settings.Rev, err = p.ledger.ChangeCorp(ctx, c); err != nil {
			return changedMeanwhile(err, "corp "+string(c.ID), "receivers settings")
		}
	} else if err := p.audit(ctx, "receivers settings", c.ID, "addresses"); err != nil {
		return err
	}
	return p.showSettings(c)
}

// servicePublic is what was bought from WeCom as settings prints it; "" and 0 were not entered.
type servicePublic struct {
	Edition string `json:"edition"`
	Seats   int    `json:"seats"`
	Start   string `json:"start"`
	End     string `json:"end"`
}

func serviceOf(s routing.Service) servicePublic {
	date := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.DateOnly)
	}
	return servicePublic{Edition: s.Edition, Seats: s.Seats, Start: date(s.Start), End: date(s.End)}
}

func (p *program) showSettings(c ledger.Corp) error {
	out := struct {
		Corp       archive.CorpID `json:"corp"`
		Admins     []adminPublic  `json:"account_admins"`
		Operations string         `json:"operations"`
		Control    string         `json:"control"`
		Alert      string         `json:"alert"`
		Language   string         `json:"language"`
		Service    servicePublic  `json:"service"`
		Reports    []switchPublic `json:"reports"`
		Rev        int            `json:"rev"`
	}{Corp: c.ID, Admins: adminsOf(c), Operations: c.Settings.Operations, Control: c.Settings.Control, Alert: c.Settings.Alert, Language: c.Settings.Language, Rev: c.Settings.Rev,
		Service: serviceOf(c.Settings.Service)}
	for _, k := range report.Kinds() {
		w := c.Settings.Switches[k]
		by, at := w.Switched()
		s := switchPublic{Report: k, Title: k.Title(report.English), On: c.Settings.On(k), Silent: c.Settings.Silent(k), By: w.By, SwitchedBy: by, SwitchedAt: rfc3339(at)}
		if !w.At.IsZero() {
			s.At = rfc3339(w.At)
		}
		out.Reports = append(out.Reports, s)
	}
	return json.NewEncoder(p.out).Encode(out)
}
