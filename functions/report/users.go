package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/report"
)

// spare is how long before its end an invocation begins nothing new: what it has begun then ends in time. It is no more than a sixth of what the
// invocation was given, or one with a short time-out would never begin anything.
const spare = 45 * time.Second

// errUnfinished says that the invocation's time is up. What was read is kept, and the next one goes on from there.
var errUnfinished = errors.New("the invocation's time is up")

// ending says that the invocation has little time left.
func (r *reporter) ending(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ok && end.Sub(r.real()) < min(spare, r.given/6)
}

// users lists a corp's members, and those who left in the 24 hours before noon.
func (r *reporter) users(ctx context.Context, day *today) ([]report.User, error) {
	if users, err := r.keptUsers(ctx, day); users != nil || err != nil {
		return users, err
	}
	c, err := r.read(ctx, day)
	if err != nil {
		return nil, err
	}
	l := looking{reporter: r, day: day, departments: c.names, activity: r.ledger.Activity(day.corp.ID), users: make([]report.User, len(c.members)), state: make([]state, len(c.members))}
	if err := l.goOn(ctx, c.members); err != nil {
		return nil, err
	}
	next := make(chan int)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for i := range next {
				l.look(ctx, i, &c.members[i])
			}
		})
	}
	for i, s := range l.state {
		if s != unseen {
			continue
		}
		if l.failed.Load() != nil || r.ending(ctx) {
			break
		}
		next <- i
	}
	close(next)
	all.Wait()
	if failed := l.failed.Load(); failed != nil {
		return nil, fmt.Errorf("member of corp %s: %w", day.corp.ID, *failed)
	}
	if slices.Contains(l.state, unseen) {
		return nil, r.keepParts(ctx, day, c.members, &l)
	}
	shown := l.users[:0]
	for i, s := range l.state {
		if s == looked {
			shown = append(shown, l.users[i])
		}
	}
	clear(l.users[len(shown):])
	return shown, nil
}

// state is how far one member is.
type state uint8

const (
	unseen state = iota
	looked
	hidden // left too long ago
)

// looking is a look at many members at the same time.
type looking struct {
	*reporter
	day         *today
	departments map[int]string
	activity    *ledger.Activity
	users       []report.User
	state       []state
	earlier     []bool // an earlier attempt looked at it
	failed      atomic.Pointer[error]
}

func (l *looking) look(ctx context.Context, i int, m *member) {
	u, shown, err := l.user(ctx, l.day.corp.ID, m, l.day.noon, l.departments, l.activity)
	if err != nil {
		l.failed.CompareAndSwap(nil, &err)
		return
	}
	if l.users[i], l.state[i] = u, looked; !shown {
		l.state[i] = hidden
	}
}

// keptUsers is the users that R1 of the same noon was made of, if it is made.
func (r *reporter) keptUsers(ctx context.Context, day *today) ([]report.User, error) {
	if day.making.Report == string(report.UserStatus) || day.preview != nil {
		return nil, nil
	}
	run := day.run(report.UserStatus)
	run, err := r.ledger.RunOf(ctx, run.Corp, run.Day, run.Report)
	if errors.Is(err, ledger.ErrAbsent) || err == nil && run.Object == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var kept struct {
		Facts struct{ Users []report.User } `json:"facts"`
	}
	err = readFacts(ctx, r, run, objstore.Object{Key: run.Object, VersionID: run.Version}, &kept)
	return kept.Facts.Users, err
}

// part is what an attempt looked at whose time was up, or a part of it.
type part struct {
	Users  []report.User `json:"users"`
	Hidden []string      `json:"hidden,omitempty"` // userids of those who left too long ago
}

// mostInPart is how many members a part tells of: it is read with the company in memory.
const mostInPart = 10_000

func partKey(run ledger.Run, n int) string {
	return objstore.ReportKey(run.Corp, run.Day, fmt.Sprintf("%s-part-%d.json", run.Report, n))
}

// goOn takes over what earlier attempts at the run have looked at.
func (l *looking) goOn(ctx context.Context, members []member) error {
	l.earlier = make([]bool, len(members))
	run := l.day.making
	place := func(id string) (int, bool) {
		return slices.BinarySearchFunc(members, id, func(m member, id string) int { return strings.Compare(m.id, id) })
	}
	for n := 1; n <= run.Parts; n++ {
		object, err := l.store.Current(ctx, partKey(run, n))
		if err != nil {
			return err
		}
		var p part
		if err := readFacts(ctx, l.reporter, run, object, &p); err != nil {
			return err
		}
		for _, u := range p.Users {
			if i, there := place(string(u.ID)); there {
				l.users[i], l.state[i], l.earlier[i] = members[i].shared(u), looked, true
			}
		}
		for _, id := range p.Hidden {
			if i, there := place(id); there {
				l.state[i], l.earlier[i] = hidden, true
			}
		}
	}
	return nil
}

// shared is a user of the member's own texts where they are the same, so that they are not there twice.
func (m *member) shared(u report.User) report.User {
	for _, text := range []struct {
		of   *string
		same string
	}{{&u.Name, m.name}, {&u.Mobile, m.mobile}, {&u.Email, m.email}, {(*string)(&u.ID), m.id}} {
		if *text.of == text.same {
			*text.of = text.same
		}
	}
	if slices.Equal(u.In, m.departments) {
		u.In = m.departments
	}
	return u
}

// keepParts keeps what this attempt has looked at, and returns why it ends.
func (r *reporter) keepParts(ctx context.Context, day *today, members []member, l *looking) error {
	run, p, n := day.making, part{}, 0
	keep := func() error {
		if n == 0 {
			return nil
		}
		body, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("write what was read for report %s of corp %s: %w", run.Key(), run.Corp, err)
		}
		run.Parts++
		if _, _, err := r.keep(ctx, partKey(run, run.Parts), "application/json", body); err != nil {
			return err
		}
		p, n = part{}, 0
		return r.keepRun(ctx, day, run)
	}
	for i := range members {
		if l.earlier[i] || l.state[i] == unseen {
			continue
		}
		if l.state[i] == looked {
			p.Users = append(p.Users, l.users[i])
		} else {
			p.Hidden = append(p.Hidden, members[i].id)
		}
		if n++; n == mostInPart {
			if err := keep(); err != nil {
				return err
			}
		}
	}
	if err := keep(); err != nil {
		return err
	}
	return errUnfinished
}

// written is what is kept of a report as JSON. encoding/json holds a text several times while it is made: the rows of R1, which are nearly all of the largest, are
// written one after the other.
func written(k any) ([]byte, error) {
	large, is := k.(*kept[report.UserStatusFacts])
	if !is || len(large.Facts.Users) == 0 {
		return json.Marshal(k)
	}
	const none = `"Users":[]` // of an unquoted name, which no text within has
	light := *large
	light.Facts.Users = []report.User{}
	whole, err := json.Marshal(light)
	if err != nil {
		return nil, err
	}
	before, after, found := bytes.Cut(whole, []byte(none))
	if !found || bytes.Contains(after, []byte(none)) {
		return nil, errors.New("the place of the users is not found")
	}
	size := len(whole)
	rows := func(take func([]byte)) error {
		for i := range large.Facts.Users {
			user, err := json.Marshal(&large.Facts.Users[i])
			if err != nil {
				return err
			}
			take(user)
		}
		return nil
	}
	if err := rows(func(user []byte) { size += len(user) + 1 }); err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, size), before...)
	b = append(b, none[:len(none)-1]...)
	if err := rows(func(user []byte) { b = append(append(b, user...), ',') }); err != nil {
		return nil, err
	}
	b[len(b)-1] = ']' // behind the last user
	return append(b, after...), nil
}
