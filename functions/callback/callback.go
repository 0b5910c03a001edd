package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/callback"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// listener answers WeCom at /callback/{corp}/{kind}, an address for each corp and kind of secret.
//
// Order of effects: the notice; the job; the answer, which WeCom waits 5 seconds for and asks for four times in all. A crash between any two has
// WeCom tell it again, and the same notice and one more look change nothing. What is lost altogether, the next snapshot shows.
type listener struct {
	ledger   *ledger.Ledger
	jobs     *queue.Queue[queue.DirectoryJob]
	settings func(context.Context, archive.CorpID, secrets.Kind) (secrets.Callback, error)
	wake     func(context.Context, archive.CorpID) error   // has fetch poll a corp at once
	ask      func(context.Context, queue.ConsentJob) error // has consent ask WeCom at once
	poll     time.Duration
	log      *slog.Logger
	now      func() time.Time // of events: WeCom's requests must be of about now
	real     func() time.Time // of the machine, for how long settings are remembered

	mu      sync.Mutex
	schemes map[address]remembered
}

// address is one of the addresses that WeCom's console was given.
type address struct {
	corp archive.CorpID
	kind secrets.Kind
}

// remembered is what was found under an address: a scheme, or why there is none.
type remembered struct {
	scheme *callback.Scheme
	why    error
	at     time.Time
}

const (
	memory   = 5 * time.Minute  // how long an address's settings are remembered
	patience = 10 * time.Second // how long a refused signature does not have them read again: strangers must not have us ask Secrets Manager
	most     = 1000             // addresses that are remembered
)

// rest is how often fetch is woken at most for one corp: as often as WeCom tells. soon is the pause between polls below which it isn't: fetch then polls
// anyway before anybody would notice, and a waking is an invocation more, which takes the corp's lease over from whoever holds it. A stack whose
// PollInterval is longer, to save calls, has its messages within seconds of WeCom's word all the same.
const (
	rest = 15 * time.Second
	soon = 10 * time.Second
)

func (l *listener) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /callback/{corp}/{kind}", l.answer(l.verify))
	mux.HandleFunc("POST /callback/{corp}/{kind}", l.answer(l.hear))
	return mux
}

// answer turns what became of a request into its answer, which says nothing of why one is refused: who asks may be anybody.
func (l *listener) answer(do func(context.Context, address, *http.Request) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, ok := addressOf(r.PathValue("corp"), r.PathValue("kind"))
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		body, err := do(r.Context(), a, r)
		status := http.StatusOK
		switch {
		case err == nil:
		case errors.Is(err, secrets.ErrAbsent):
			status = http.StatusNotFound
		case errors.Is(err, callback.ErrForm):
			status = http.StatusBadRequest
		case errors.Is(err, callback.ErrSignature), errors.Is(err, callback.ErrStale), errors.Is(err, callback.ErrSealed), errors.Is(err, callback.ErrReceiver):
			status = http.StatusForbidden
		default:
			status = http.StatusInternalServerError
		}
		if status != http.StatusOK {
			level := slog.LevelWarn
			if status == http.StatusInternalServerError {
				level = slog.LevelError
			}
			l.log.LogAttrs(r.Context(), level, "callback refused", slog.Int("status", status), slog.String("error", err.Error()))
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		// The answer is in memory, and nobody reads an error here.
		_, _ = io.WriteString(w, body)
	}
}

// addressOf reads the parts of an address. What can't be a corp is not looked up.
func addressOf(corp, kind string) (address, bool) {
	if corp == "" || len(corp) > 64 || strings.ContainsFunc(corp, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return address{}, false
	}
	switch k := secrets.Kind(kind); k {
	case secrets.Contacts, secrets.Customer, secrets.Archive:
		return address{archive.CorpID(corp), k}, true
	}
	return address{}, false
}

// verify answers WeCom's trial of an address.
func (l *listener) verify(ctx context.Context, a address, r *http.Request) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", fmt.Errorf("verify an address of corp %s: %w", a.corp, callback.ErrForm)
	}
	var echo string
	err = l.with(ctx, a, func(s *callback.Scheme) (err error) {
		echo, err = s.Verify(query, l.now())
		return err
	})
	return echo, err
}

// hear takes a delivery.
func (l *listener) hear(ctx context.Context, a address, r *http.Request) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", fmt.Errorf("open a callback of corp %s: %w", a.corp, callback.ErrForm)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, callback.MostBytes+1))
	if err != nil {
		return "", fmt.Errorf("read a callback of corp %s: %w", a.corp, err)
	}
	var e callback.Event
	err = l.with(ctx, a, func(s *callback.Scheme) (err error) {
		e, err = s.Open(query, body, l.now())
		return err
	})
	if err != nil {
		return "", err
	}
	n, named := notice(e)
	look, outer := outside(a.corp, e)
	job, agreed := consented(a.corp, e)
	switch {
	case named:
		err = l.note(ctx, a.corp, n)
	case outer:
		err = l.jobs.Send(ctx, a.corp, look)
	case agreed:
		err = l.ask(ctx, job)
	case e.Name == callback.ChatDataNotify:
		err = l.chatData(ctx, a.corp)
	}
	if err != nil {
		return "", err
	}
	l.log.InfoContext(ctx, "callback", slog.String("corp", string(a.corp)), slog.String("event", e.Name), slog.String("change", e.Change),
		slog.String("id", e.ID), slog.Bool("noted", named || outer || agreed), slog.Bool("odd", e.Odd))
	return "", nil
}

// notice is what an event says of a department or member; ok is false if it says nothing of any.
func notice(e callback.Event) (n directory.Notice, ok bool) {
	if e.Name != callback.ChangeContact {
		return n, false
	}
	n.At = e.At
	switch e.Change {
	case callback.CreateUser, callback.CreateParty:
		n.Says = directory.ToldCreated
	case callback.UpdateUser, callback.UpdateParty:
		n.Says = directory.ToldUpdated
	case callback.DeleteUser, callback.DeleteParty:
		n.Says = directory.ToldDeleted
	default:
		return n, false
	}
	switch {
	case e.Former != "":
		n.Kind, n.ID, n.NewID = directory.KindMember, string(e.Former), string(e.Member)
	case e.Member != "":
		n.Kind, n.ID = directory.KindMember, string(e.Member)
	case e.Department != 0:
		n.Kind, n.ID = directory.KindDepartment, strconv.Itoa(e.Department)
	default:
		return n, false
	}
	return n, true
}

// outside is what an event says of a room with external contacts, or of a contact who is new to a member: directory looks at it, and then has consent asked of
// WeCom. In that order, because an alert names the group and those who are in it, and goes to whom they concern.
func outside(corp archive.CorpID, e callback.Event) (job queue.DirectoryJob, ok bool) {
	switch {
	case e.Name == callback.ChangeExternalChat && e.Room != "" && (e.Change == callback.ChatCreate || e.Change == callback.ChatDismiss ||
		e.Change == callback.ChatUpdate && (e.Detail == "add_member" || e.Detail == "del_member")):
		return queue.DirectoryJob{Corp: corp, Kind: directory.KindRoom, ID: string(e.Room)}, true
	case e.Name == callback.ChangeExternalContact && (e.Change == callback.AddExternalContact || e.Change == callback.AddHalfExternalContact) && e.Member != "" && e.External != "":
		return queue.DirectoryJob{Corp: corp, Kind: directory.KindExternal, ID: string(e.External), Follower: e.Member}, true
	}
	return job, false
}

// consented is what an event says of consent: that a contact agreed. That one disagreed, or took it back, has no event, and what is agreed in rooms has none
// either; the rounds find it.
func consented(corp archive.CorpID, e callback.Event) (job queue.ConsentJob, ok bool) {
	if e.Name == callback.ChangeExternalContact && e.Change == callback.MsgAuditApproved && e.Member != "" && e.External != "" {
		return queue.ConsentJob{Corp: corp, Member: e.Member, External: e.External}, true
	}
	return job, false
}

func (l *listener) note(ctx context.Context, corp archive.CorpID, n directory.Notice) error {
	if err := l.ledger.PutNotice(ctx, corp, n); err != nil {
		return err
	}
	return l.jobs.Send(ctx, corp, queue.DirectoryJob{Corp: corp, Kind: n.Kind, ID: n.ID, NewID: n.NewID, At: n.At, Says: n.Says})
}

// chatData has fetch poll, unless it does so anyway before anybody would notice.
func (l *listener) chatData(ctx context.Context, corp archive.CorpID) error {
	if l.poll <= soon {
		return nil
	}
	first, err := l.ledger.Wake(ctx, corp, l.now(), rest)
	if err != nil || !first {
		return err
	}
	return l.wake(ctx, corp)
}

// with opens something with an address's settings. Where they do not fit they are read again, because the admin may have changed them just now.
func (l *listener) with(ctx context.Context, a address, open func(*callback.Scheme) error) error {
	s, fresh, err := l.scheme(ctx, a, memory)
	if err != nil {
		return err
	}
	err = open(s)
	if fresh || !errors.Is(err, callback.ErrSignature) && !errors.Is(err, callback.ErrSealed) {
		return err
	}
	s, fresh, again := l.scheme(ctx, a, patience)
	if again != nil {
		return again
	}
	if !fresh {
		return err
	}
	return open(s)
}

// scheme is an address's, as it was read within the last time old. fresh says that it was read now.
func (l *listener) scheme(ctx context.Context, a address, old time.Duration) (s *callback.Scheme, fresh bool, err error) {
	absent := fmt.Errorf("the %s callback of corp %s: %w", a.kind, a.corp, secrets.ErrAbsent)
	l.mu.Lock()
	known, ok := l.schemes[a]
	l.mu.Unlock()
	if age := l.real().Sub(known.at); ok && (age < old && known.scheme != nil || age < patience) {
		return known.scheme, false, known.why
	}
	held, err := l.settings(ctx, a.corp, a.kind)
	switch {
	case errors.Is(err, secrets.ErrAbsent):
		err = absent
	case err != nil:
		return nil, false, err
	default:
		s, err = callback.New(a.corp, held.Token.Reveal(), held.AESKey.Reveal())
	}
	l.remember(a, remembered{s, err, l.real()})
	return s, true, err
}

func (l *listener) remember(a address, found remembered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.schemes == nil || len(l.schemes) >= most {
		l.schemes = map[address]remembered{}
	}
	l.schemes[a] = found
}
