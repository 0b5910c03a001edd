package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// receiverAnswer is a receiver as the API shows it.
type receiverAnswer struct {
	ID          string            `json:"id"`
	Source      receivers.Source  `json:"source"`
	Name        string            `json:"name"`
	Address     string            `json:"address"` // "" for a head whose address is not known
	Language    string            `json:"language"`
	Reports     []report.Kind     `json:"reports"`     // none: muted
	Departments []int             `json:"departments"` // 1 is the whole company
	Missing     []int             `json:"departments_missing,omitempty"`
	Added       string            `json:"added,omitempty"`
	Editable    []string          `json:"editable"`
	Removable   bool              `json:"removable"`
	Edited      []string          `json:"edited,omitempty"` // of a head: what does not follow WeCom
	WeCom       *wecomAnswer      `json:"wecom,omitempty"`
	Unreachable string            `json:"unreachable,omitempty"`
	NotSent     string            `json:"not_sent,omitempty"` // which of the reports are not, and why
	Suppressed  *suppressedAnswer `json:"suppressed,omitempty"`
	Heard       *heardAnswer      `json:"last_heard,omitempty"`
	ETag        string            `json:"etag"`
}

// wecomAnswer is what WeCom has of a head of department.
type wecomAnswer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Synced  string `json:"synced,omitempty"` // when its directory was last read; left out: never
}

// suppressedAnswer says why an address gets no mail any more.
type suppressedAnswer struct {
	ID     string `json:"id"`     // in the list of suppressions
	Reason string `json:"reason"` // bounced or complained
	Detail string `json:"detail,omitempty"`
	Since  string `json:"since"`
}

// heardAnswer is what SES last said of a mail to an address.
type heardAnswer struct {
	Fate   string `json:"fate"`
	Detail string `json:"detail,omitempty"`
	At     string `json:"at"`
}

func receiverOf(r receivers.Receiver, boxes map[string]ledger.Letterbox, synced time.Time) receiverAnswer {
	out := receiverAnswer{
		ID: r.ID, Source: r.Source, Name: r.Name, Address: r.Address, Language: word(r.Language), Reports: append([]report.Kind{}, r.Reports...),
		Departments: append([]int{}, r.Departments...), Missing: r.Missing, Added: rfc3339(r.Added), Editable: append([]string{}, r.Editable()...),
		Removable: r.Removable() == nil, Edited: r.Edited, Unreachable: r.Unreachable, NotSent: r.WhyNotSent(), ETag: etag(r.Rev),
	}
	if r.Source == receivers.Head {
		out.WeCom = &wecomAnswer{r.WeComName, r.WeComAddress, rfc3339(synced)}
	}
	if s := boxes[r.Address].Suppressed; s != nil {
		out.Suppressed = &suppressedAnswer{ledger.AddressID(s.Address), string(s.Reason), s.Detail, rfc3339(s.Since)}
	}
	if h := boxes[r.Address].Heard; h != nil {
		out.Heard = &heardAnswer{string(h.Fate), h.Detail, rfc3339(h.At)}
	}
	return out
}

// roll is a corp's receivers as far as the caller sees them.
type roll struct {
	seen    []receivers.Receiver
	entered []receivers.Row // all of them
	tree    *directory.Tree
	scope   directory.Scope // of the caller
	synced  time.Time       // when WeCom's directory was last read; zero: never
}

// roll reads who gets what, and of that what lies within the caller's reach: a receiver whose departments all do.
func (a *api) roll(ctx context.Context, c *call) (roll, error) {
	company, synced, err := a.ledger.Company(ctx, c.corp)
	if err != nil {
		return roll{}, err
	}
	out := roll{tree: company.Tree, entered: company.Entered, synced: synced}
	out.scope = out.tree.Scope(c.reach.Departments...)
	out.seen = slices.DeleteFunc(receivers.List(company), func(r receivers.Receiver) bool { return !out.within(r) })
	slices.SortFunc(out.seen, func(x, y receivers.Receiver) int { return cmp.Compare(x.ID, y.ID) })
	return out, nil
}

func (x roll) within(r receivers.Receiver) bool {
	return len(r.Departments) > 0 && !slices.ContainsFunc(r.Departments, func(d int) bool { return !x.scope.HoldsDepartment(d) })
}

func (x roll) find(id string) (receivers.Receiver, bool) {
	i := slices.IndexFunc(x.seen, func(r receivers.Receiver) bool { return r.ID == id })
	if i < 0 {
		return receivers.Receiver{}, false
	}
	return x.seen[i], true
}

// letterboxes is how the addresses of some receivers stand.
func (a *api) letterboxes(ctx context.Context, c *call, some ...receivers.Receiver) (map[string]ledger.Letterbox, error) {
	addresses := make([]string, 0, len(some))
	for _, r := range some {
		addresses = append(addresses, r.Address)
	}
	return a.ledger.Letterboxes(ctx, c.corp.ID, addresses)
}

func (a *api) listReceivers(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "receivers", c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	x, err := a.roll(ctx, c)
	if err != nil {
		return answer{}, err
	}
	some, next := cut(p, x.seen, func(r receivers.Receiver) string { return r.ID })
	boxes, err := a.letterboxes(ctx, c, some...)
	if err != nil {
		return answer{}, err
	}
	list := make([]receiverAnswer, 0, len(some))
	for _, r := range some {
		list = append(list, receiverOf(r, boxes, x.synced))
	}
	return answer{status: http.StatusOK, body: struct {
		Receivers []receiverAnswer `json:"receivers"`
		Next      string           `json:"next,omitempty"`
	}{list, next}}, nil
}

func (a *api) getReceiver(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	return a.shown(ctx, c, c.segment["receiver"], http.StatusOK)
}

// shown answers with a receiver as it is now.
func (a *api) shown(ctx context.Context, c *call, id string, status int) (answer, error) {
	x, err := a.roll(ctx, c)
	if err != nil {
		return answer{}, err
	}
	r, ok := x.find(id)
	if !ok {
		return answer{}, absent("receiver")
	}
	boxes, err := a.letterboxes(ctx, c, r)
	if err != nil {
		return answer{}, err
	}
	out := receiverOf(r, boxes, x.synced)
	return answer{status: status, body: out, etag: out.ETag}, nil
}

// receiverBody is a receiver as it is entered or edited. Of a head of department a field that is left out, or null, follows WeCom.
type receiverBody struct {
	Name       *string        `json:"name"`
	Address    *string        `json:"address"`
	Language   *string        `json:"language"`
	Department *int           `json:"department"`
	Reports    *[]report.Kind `json:"reports"`
}

func value[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}

// row is the receiver that a body enters.
func (b receiverBody) row(id string) receivers.Row {
	return receivers.Row{ID: id, Name: value(b.Name), Address: value(b.Address), Language: value(b.Language), Department: value(b.Department), Reports: value(b.Reports)}
}

// outside refuses a department beyond the caller's reach, whether or not there is one.
func outside() error {
	p := newProblem(http.StatusForbidden, "not-allowed", "Your roles do not allow this", "")
	p.Errors = []fieldProblem{{"department", "your roles do not reach it", "choose one that your list of departments shows"}}
	return p
}

// longestKey is how long an idempotency key may be.
const longestKey = 128

// newID is the id of the receiver that a caller makes with an idempotency key: the same again for the same, so that nothing has to be kept to know it.
func newID(c *call) (string, error) {
	key := c.header.Get("Idempotency-Key")
	plain := !slices.ContainsFunc([]byte(key), func(b byte) bool { return b <= ' ' || b > '~' })
	if key == "" || len(key) > longestKey || !plain {
		return "", malformed("Idempotency-Key", "it is missing, longer than 128 characters, or has other characters than ASCII's visible ones",
			"send a random word, and the same again if you repeat the request")
	}
	sum := sha256.Sum256([]byte(string(c.corp.ID) + "\x00" + c.person.Subject + "\x00" + key))
	return receivers.RowID([8]byte(sum[:8])), nil
}

// addReceiver enters a receiver. Again with the same idempotency key it answers as it did.
func (a *api) addReceiver(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	id, err := newID(c)
	if err != nil {
		return answer{}, err
	}
	c.object = id
	var body receiverBody
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	x, err := a.roll(ctx, c)
	if err != nil {
		return answer{}, err
	}
	row := body.row(id)
	if row.Department > 0 && !x.scope.HoldsDepartment(row.Department) {
		return answer{}, outside()
	}
	first, answered, again, err := a.before(ctx, c, body)
	if err != nil || answered {
		return again, err
	}
	if row, err = row.Checked(x.tree); err != nil {
		return answer{}, invalid(err)
	}
	if err := row.Alone(x.entered); err != nil {
		return answer{}, refused(err, http.StatusConflict, "exists", "There is such a receiver")
	}
	if err := a.ledger.Remember(ctx, first); errors.Is(err, ledger.ErrLost) {
		return answer{}, keyUsed()
	} else if err != nil {
		return answer{}, err
	}
	row.Added = a.now()
	_, err = a.ledger.PutReceiver(ctx, c.corp.ID, row)
	if errors.Is(err, ledger.ErrLost) {
		if err := repeated(ctx, a, c, row, first.At); err != nil {
			return answer{}, err
		}
	} else if err != nil {
		return answer{}, err
	}
	out, err := a.shown(ctx, c, id, http.StatusCreated)
	if err != nil {
		return answer{}, err
	}
	out.location = "/v1/corps/" + string(c.corp.ID) + "/receivers/" + id
	return out, a.keepAnswer(ctx, first, out)
}

// keptAnswer is an answer as the ledger has it.
type keptAnswer struct {
	Status   int    `json:"status"`
	ETag     string `json:"etag"`
	Location string `json:"location"`
	Body     string `json:"body"`
}

// before says whether a request was answered before, and how: by the same key, the same again is answered as it was, even if what it made has been changed or
// removed since; something else is refused. The first of them is remembered once it is known that it can be done: what was refused may be mended under the same key.
func (a *api) before(ctx context.Context, c *call, body receiverBody) (this ledger.Repeat, answered bool, again answer, err error) {
	text, err := json.Marshal(body) // in whatever order and spacing its fields came
	if err != nil {
		return this, false, again, fmt.Errorf("name a request: %w", err)
	}
	this = ledger.Repeat{Corp: c.corp.ID, Key: c.person.Subject + "\x00" + c.header.Get("Idempotency-Key"), Of: archive.HashHex(text), At: a.now()}
	first, err := a.ledger.RepeatOf(ctx, this)
	switch {
	case errors.Is(err, ledger.ErrAbsent):
		return this, false, again, nil
	case err != nil:
		return this, false, again, err
	case first.Of != this.Of:
		return this, false, again, keyUsed()
	case first.Answer == "":
		this.At = first.At
		return this, false, again, nil // it came to no end
	}
	var kept keptAnswer
	if err := json.Unmarshal([]byte(first.Answer), &kept); err != nil {
		return this, false, again, fmt.Errorf("the answer to a request of corp %s that is kept can't be read", c.corp.ID)
	}
	return this, true, answer{status: kept.Status, etag: kept.ETag, location: kept.Location, body: json.RawMessage(kept.Body)}, nil
}

func (a *api) keepAnswer(ctx context.Context, r ledger.Repeat, out answer) error {
	body, err := textOf(out.body)
	if err != nil {
		return fmt.Errorf("write an answer: %w", err)
	}
	text, err := json.Marshal(keptAnswer{Status: out.status, ETag: out.etag, Location: out.location, Body: string(body)})
	if err != nil {
		return fmt.Errorf("write an answer: %w", err)
	}
	r.Answer = string(text)
	return a.ledger.Answered(ctx, r)
}

func keyUsed() error {
	p := newProblem(http.StatusUnprocessableEntity, "key-used", "The idempotency key was used for something else", "")
	p.Errors = []fieldProblem{{"Idempotency-Key", "another request was sent with it", "take a new one for a new receiver"}}
	return p
}

// repeated says whether a receiver that is there is what the same request entered before: as it did, or since the request was first sent, whatever has been changed of it
// meanwhile. Its id is made of the request's key.
func repeated(ctx context.Context, a *api, c *call, row receivers.Row, since time.Time) error {
	entered, _, err := a.ledger.Receivers(ctx, c.corp.ID)
	if err != nil {
		return err
	}
	for _, there := range entered {
		if there.ID != row.ID {
			continue
		}
		if !there.Added.Before(since) || there.Name == row.Name && there.Address == row.Address && there.Language == row.Language && there.Department == row.Department &&
			slices.Equal(there.Reports, row.Reports) {
			return nil
		}
	}
	return keyUsed()
}

// changeReceiver replaces what is entered of a receiver, or what is edited of a head of department.
func (a *api) changeReceiver(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	rev, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	var body receiverBody
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	x, err := a.roll(ctx, c)
	if err != nil {
		return answer{}, err
	}
	r, ok := x.find(c.segment["receiver"])
	if !ok {
		return answer{}, absent("receiver")
	}
	if r.Rev != rev {
		return answer{}, outdated()
	}
	switch r.Source {
	case receivers.Entered:
		row := body.row(r.ID)
		if row.Department > 0 && !x.scope.HoldsDepartment(row.Department) {
			return answer{}, outside()
		}
		if row, err = row.Checked(x.tree); err != nil {
			return answer{}, invalid(err)
		}
		if err := row.Alone(x.entered); err != nil {
			return answer{}, refused(err, http.StatusConflict, "exists", "There is such a receiver")
		}
		row.Added, row.Rev = r.Added, rev
		_, err = a.ledger.PutReceiver(ctx, c.corp.ID, row)
	case receivers.Head:
		if body.Department != nil {
			return answer{}, invalid(r.DepartmentFixed())
		}
		user, _ := receivers.HeadOf(r.ID)
		edit, refusal := receivers.Edit{User: user, Name: body.Name, Address: body.Address, Language: value(body.Language), Reports: body.Reports, Rev: rev}.Checked(r.Departments, r.NotSent...)
		if refusal != nil {
			return answer{}, invalid(refusal)
		}
		_, err = a.ledger.PutEdit(ctx, c.corp.ID, edit)
	default:
		return answer{}, refused(r.Removable(), http.StatusConflict, "not-editable", "This receiver is a setting of the company")
	}
	if errors.Is(err, ledger.ErrLost) {
		return answer{}, outdated()
	}
	if err != nil {
		return answer{}, err
	}
	return a.shown(ctx, c, r.ID, http.StatusOK)
}

// removeReceiver removes a receiver who was entered.
func (a *api) removeReceiver(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	rev, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	x, err := a.roll(ctx, c)
	if err != nil {
		return answer{}, err
	}
	r, ok := x.find(c.segment["receiver"])
	if !ok {
		return answer{}, absent("receiver")
	}
	if err := r.Removable(); err != nil {
		return answer{}, refused(err, http.StatusConflict, "not-removable", "This receiver can't be removed here")
	}
	if r.Rev != rev {
		return answer{}, outdated()
	}
	err = a.ledger.RemoveReceiver(ctx, c.corp.ID, r.ID, rev)
	if errors.Is(err, ledger.ErrLost) {
		return answer{}, outdated()
	}
	return answer{status: http.StatusNoContent}, err
}
