package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// WeCom tells of a change before each of its servers shows it. A look that finds nothing new is made once more after lag.
const lag = 30 * time.Second

// order is which secrets are asked for one entry, the one that shows most first.
var order = [...]secrets.Kind{secrets.Contacts, secrets.Archive, secrets.Customer}

// reread looks at one department or member, because WeCom told of a change. What it told is a hint of when; what is so now is read.
//
// Order of effects: WeCom's answers into S3; the looks; the events that follow; the state (see settling). The job comes back until all is
// written; what it then finds is as true.
func (r *refresher) reread(ctx context.Context, job queue.DirectoryJob) error {
	fresh := false
	for _, id := range []string{job.ID, job.NewID} {
		if id == "" {
			continue
		}
		found, err := r.rereadOne(ctx, job.Corp, who{job.Kind, id})
		if err != nil {
			return fmt.Errorf("look at a %s of corp %s again: %w", job.Kind, job.Corp, err)
		}
		fresh = fresh || found
	}
	r.log.InfoContext(ctx, "told", slog.String("corp", string(job.Corp)), slog.String("kind", string(job.Kind)), slog.Bool("new", fresh), slog.Bool("again", job.Again))
	if fresh || job.Again {
		return nil
	}
	job.Again = true
	return r.jobs.SendLater(ctx, job.Corp, job, lag)
}

func (r *refresher) rereadOne(ctx context.Context, corp archive.CorpID, w who) (fresh bool, err error) {
	if !followed(w.kind) {
		return false, fault.Newf(fault.Permanent, "no-such-kind", "a %s is not looked at alone", w.kind)
	}
	held, err := r.ledger.Held(ctx, corp, w.kind, w.id)
	if err != nil {
		return false, err
	}
	seen, err := r.ask(ctx, corp, w)
	if err != nil || len(seen) == 0 {
		return false, err
	}
	n := &news{Held: held, state: held.Fields != "", marks: map[string]string{}}
	if n.Marks == nil {
		n.Marks = map[string]string{}
	}
	for _, o := range seen {
		looks, _ := o.Looks()
		for _, l := range looks {
			if said(held, l) {
				continue
			}
			n.looks = append(n.looks, l)
			n.Marks[lane("", l.Via)], n.Restless = markOf(l), true
		}
		if err := n.becomes(held, o); err != nil {
			return false, err
		}
	}
	settling, err := r.settling(ctx, corp, directory.Observation{})
	if err != nil {
		return false, err
	}
	settling.alone = true
	return len(n.looks) > 0, settling.settle(ctx, []*news{n}, func() error { return nil })
}

// becomes changes the entry's state to what a look at it alone says, by which the field that its secret does not see is as it was.
func (n *news) becomes(held ledger.Held, o directory.Observation) error {
	for _, f := range o.Refused {
		if f.Says == directory.Deleted && held.Fields != "" && !held.Gone {
			n.At, n.Gone, n.changed = o.Asked, true, true
		}
	}
	reading := o.Reading
	if len(reading.Members) == 1 {
		m := reading.Members[0]
		m.Listed = true
		if held.Fields != "" {
			before, err := directory.Parse[directory.Member](held.Fields)
			if err != nil {
				return fmt.Errorf("member %s: %w", held.ID, err)
			}
			m.Listed = before.Listed || held.Gone
			if !m.MobileReadable {
				m.Mobile, m.MobileReadable = before.Mobile, before.MobileReadable
			}
			if !m.EmailReadable {
				m.Email, m.EmailReadable = before.Email, before.EmailReadable
			}
		}
		reading.Members = []directory.ReadMember{m}
	}
	var newest []directory.Entry
	if held.Fields != "" {
		newest = append(newest, held.Entry)
	}
	changes, err := directory.Compare(newest, reading, o.Asked)
	if err != nil {
		return err
	}
	for _, e := range changes {
		if e.Kind == n.Kind && e.ID == n.ID {
			n.Entry, n.changed, n.state = e, true, true
		}
	}
	return nil
}

// ask looks at one entry with each secret in turn, until one shows it or says that there is none. A secret that sees only a part of the company
// may refuse what another shows, and is then heard too.
func (r *refresher) ask(ctx context.Context, corp archive.CorpID, w who) ([]directory.Observation, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	lines := json.NewEncoder(zip)
	lines.SetEscapeHTML(false)
	var unwritten error
	keep := func(a wecom.Answer) { unwritten = errors.Join(unwritten, lines.Encode(a)) }
	var seen []directory.Observation
	for _, kind := range order {
		reader := wecom.NewReader(r.tokens.of(corp, kind, r), r.pause, keep)
		o := directory.Observation{Asked: r.now(), Via: string(kind)}
		known, err := look(ctx, reader, w, &o)
		o.Answered = r.now()
		if o.Answered.Before(o.Asked) {
			o.Answered = o.Asked
		}
		if errors.Is(err, secrets.ErrAbsent) || wecom.Denied(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		seen = append(seen, o)
		// Which entry was looked at, and when, stands after its answers, so that the history can be made of what is kept in S3 alone.
		said, err := json.Marshal(map[string]string{"kind": string(w.kind), "id": w.id, "via": o.Via,
			"asked": o.Asked.UTC().Format(time.RFC3339Nano), "answered": o.Answered.UTC().Format(time.RFC3339Nano)})
		if err != nil {
			return nil, fmt.Errorf("write what was looked at: %w", err)
		}
		keep(wecom.Answer{Call: "again", Asked: string(said)})
		if known {
			break
		}
	}
	if err := errors.Join(unwritten, zip.Close()); err != nil {
		return nil, fmt.Errorf("pack WeCom's answers: %w", err)
	}
	if len(seen) == 0 {
		return nil, nil
	}
	key := objstore.DirectoryKey(corp, "again", archive.HashHex(packed.Bytes())[:32]+".jsonl.gz")
	_, err := r.store.PutBlob(ctx, key, "application/gzip", packed.Bytes())
	return seen, err
}

// look asks one secret. known says that it told what is so, and not only that it does not see the entry.
func look(ctx context.Context, reader *wecom.Reader, w who, o *directory.Observation) (known bool, err error) {
	switch w.kind {
	case directory.KindDepartment:
		var number int
		if number, err = strconv.Atoi(w.id); err != nil {
			return false, fault.Newf(fault.Permanent, "no-such-department", "department %s is no number", w.id)
		}
		var d wecom.Department
		var named bool
		if d, named, err = reader.Department(ctx, number); err == nil {
			o.Reading.Departments = []directory.ReadDepartment{{ID: number, Named: named, Department: directory.Department{
				Name: d.Name, NameEn: d.NameEn, Parent: d.Parent, Order: d.Order, Leaders: d.Leaders,
			}}}
		}
	case directory.KindMember:
		var m wecom.Member
		if m, err = reader.Member(ctx, archive.PartyID(w.id)); err == nil {
			m.ID = archive.PartyID(w.id) // QUIRK: userids are not case-sensitive, and WeCom answers with the form of its own
			o.Reading.Members = []directory.ReadMember{asRead(m, true, wecom.ShowsSensitive([]wecom.Member{m}))}
		}
	}
	switch {
	case err == nil:
		return true, nil
	case wecom.NotThere(err):
		o.Refused = []directory.Refusal{{Kind: w.kind, ID: w.id, Says: directory.Deleted}}
		return true, nil
	case wecom.NotShown(err):
		o.Refused = []directory.Refusal{{Kind: w.kind, ID: w.id, Says: directory.Hidden}}
		return false, nil
	default:
		return false, err
	}
}

// tokenCache keeps the access tokens of jobs, each of which makes one call or two: WeCom counts how often it is asked for one. Safe for
// concurrent use.
type tokenCache struct {
	mu sync.Mutex
	by map[archive.CorpID]map[secrets.Kind]*wecom.Tokens
}

func (c *tokenCache) of(corp archive.CorpID, kind secrets.Kind, r *refresher) *wecom.Tokens {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[archive.CorpID]map[secrets.Kind]*wecom.Tokens{}
	}
	if c.by[corp] == nil {
		c.by[corp] = map[secrets.Kind]*wecom.Tokens{}
	}
	if c.by[corp][kind] == nil {
		c.by[corp][kind] = r.server.Tokens(corp, r.vault.Reader(corp, kind))
	}
	return c.by[corp][kind]
}
