package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// The states of a seq.
const (
	stateArchived = "archived"
	stateSetAside = "set aside"
	statePending  = "pending"
	stateWaiting  = "waiting" // of an attachment
)

// line is one seq as auditors and outside checks read it. Every field is always there.
type line struct {
	Corp       archive.CorpID     `json:"corp"`
	Seq        archive.Seq        `json:"seq"`
	MsgID      archive.MsgID      `json:"msgid"`
	KeyVersion archive.KeyVersion `json:"publickey_ver"`
	State      string             `json:"state"`
	Reason     string             `json:"reason"`
	Action     archive.Action     `json:"action"`
	Type       string             `json:"msgtype"`
	Time       string             `json:"msgtime"`
	From       archive.Party      `json:"from"`
	To         []archive.Party    `json:"to"`
	Room       archive.RoomID     `json:"roomid"`
	Text       string             `json:"text"`
	Media      []attachment       `json:"media"`
	RecallOf   archive.MsgID      `json:"recall_of"`
	RecalledBy []archive.MsgID    `json:"recalled_by"`
	RawSHA256  string             `json:"raw_sha256"`
}

type attachment struct {
	FileID archive.FileID `json:"sdkfileid"`
	Name   string         `json:"name"`
	Size   int64          `json:"size"`   // of the bytes kept
	SHA256 string         `json:"sha256"` // of the bytes kept
	State  string         `json:"state"`
	Reason string         `json:"reason"`
}

func messages(ctx context.Context, p *program, args []string) error {
	f := flags("messages")
	id := f.String("corp", "", "")
	format := f.String("format", "jsonl", "")
	if err := parse(f, args); err != nil {
		return err
	}
	if *format != "jsonl" {
		return &usageError{fmt.Sprintf("messages: the format %q is not known: jsonl is", *format)}
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	if err := p.audit(ctx, "messages", c.ID, "all"); err != nil {
		return fmt.Errorf("no content is shown without an audit entry: %w", err)
	}
	out := bufio.NewWriterSize(p.out, 1<<16)
	total, err := p.seqs(ctx, c.ID)
	if err != nil {
		return err
	}
	told := p.progress("messages of corp "+string(c.ID), "seqs", total)
	defer told.Done()
	a, err := newAccount(ctx, p, c.ID)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err = a.each(ctx, func(l line) error {
		told.Add(1)
		return enc.Encode(l)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// account joins what the stores know of each seq of one corp.
type account struct {
	*program
	corp    archive.CorpID
	names   *directory.Names
	asides  map[string]ledger.Aside // by batch and seq
	recalls map[archive.MsgID][]archive.MsgID
	first   map[archive.MsgID]archive.Seq // the lowest archived seq of a msgid
}

func newAccount(ctx context.Context, p *program, corp archive.CorpID) (*account, error) {
	a := &account{program: p, corp: corp, names: directory.NewNames(p.ledger, corp), asides: map[string]ledger.Aside{}, recalls: map[archive.MsgID][]archive.MsgID{}, first: map[archive.MsgID]archive.Seq{}}
	err := p.ledger.Asides(ctx, corp, "", 0, func(x ledger.Aside) bool {
		a.asides[asideKey(x.Batch, x.Seq)] = x
		return true
	})
	if err != nil {
		return nil, err
	}
	err = p.ledger.Recalls(ctx, corp, func(r ledger.Recall) bool {
		if by := a.recalls[r.Of]; !slices.Contains(by, r.MsgID) {
			a.recalls[r.Of] = append(by, r.MsgID)
		}
		return true
	})
	return a, err
}

func asideKey(batch string, seq archive.Seq) string { return batch + "/" + seq.String() }

// each calls emit for every seq in seq order. Batches that overlap are read together, so that memory follows the largest overlap and not the
// archive.
func (a *account) each(ctx context.Context, emit func(line) error) error {
	var cluster []ledger.BatchRow
	var last archive.Seq
	var failed error
	flush := func() {
		if len(cluster) > 0 && failed == nil {
			failed = a.cluster(ctx, cluster, emit)
		}
		cluster = nil
	}
	err := a.ledger.Batches(ctx, a.corp, "", func(b ledger.BatchRow) bool {
		if len(cluster) > 0 && b.First > last {
			flush()
		}
		cluster = append(cluster, b)
		last = max(last, b.Last)
		return failed == nil
	})
	if err != nil {
		return err
	}
	flush()
	return failed
}

// handed is one seq as one batch has it.
type handed struct {
	batch ledger.BatchRow
	item  archive.ChatData
	msg   *archive.Message
}

func (a *account) cluster(ctx context.Context, batches []ledger.BatchRow, emit func(line) error) error {
	// The batch that was chained first is the one whose cipher text is kept.
	// One outside the chain, whose row fsck made anew, comes last.
	place := func(b ledger.BatchRow) uint64 { return b.Link.N - 1 }
	slices.SortStableFunc(batches, func(x, y ledger.BatchRow) int { return cmp.Compare(place(x), place(y)) })
	bySeq := map[archive.Seq][]handed{}
	var seqs []archive.Seq
	for _, b := range batches {
		items, err := a.read(ctx, b)
		if err != nil {
			return err
		}
		for _, h := range items {
			if len(bySeq[h.item.Seq]) == 0 {
				seqs = append(seqs, h.item.Seq)
			}
			bySeq[h.item.Seq] = append(bySeq[h.item.Seq], h)
		}
	}
	slices.Sort(seqs)
	media, err := a.media(ctx, bySeq)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		l, err := a.line(ctx, bySeq[seq], media)
		if err != nil {
			return err
		}
		if err := emit(l); err != nil {
			return fmt.Errorf("write seq %s: %w", seq, err)
		}
	}
	return nil
}

// read takes a batch's items from its bytes and its messages from its segments.
func (a *account) read(ctx context.Context, b ledger.BatchRow) ([]handed, error) {
	raw, err := a.store.Batch(ctx, objstore.Object{Key: b.Object, VersionID: b.Version, SHA256: b.SHA256})
	if err != nil {
		return nil, fmt.Errorf("read batch %s: %w", b.Key(), err)
	}
	batch, err := archive.ParseBatch(raw, b.First-1)
	if err != nil {
		return nil, fmt.Errorf("read batch %s: %w", b.Key(), err)
	}
	opened := map[archive.Seq]*archive.Message{}
	var read []string
	for _, key := range b.Segments {
		if slices.Contains(read, key) {
			continue
		}
		read = append(read, key)
		lines, err := a.store.Segment(ctx, objstore.Object{Key: key})
		if err != nil {
			return nil, fmt.Errorf("read a segment of batch %s: %w", b.Key(), err)
		}
		items, err := archive.DecodeSegment(a.corp, lines)
		if err != nil {
			return nil, fmt.Errorf("segment %s: %w", key, err)
		}
		for i := range items {
			if opened[items[i].Message.Seq] == nil {
				opened[items[i].Message.Seq] = &items[i].Message
			}
		}
	}
	all := make([]handed, len(batch.Items))
	for i, item := range batch.Items {
		all[i] = handed{batch: b, item: item, msg: opened[item.Seq]}
	}
	return all, nil
}

func (a *account) media(ctx context.Context, bySeq map[archive.Seq][]handed) (map[string]ledger.MediaRow, error) {
	seen := map[string]bool{}
	var hashes []string
	for _, hs := range bySeq {
		for _, h := range hs {
			if h.msg == nil {
				continue
			}
			for _, m := range h.msg.Media {
				if hash := m.FileID.Hash(); !seen[hash] {
					seen[hash] = true
					hashes = append(hashes, hash)
				}
			}
		}
	}
	return a.ledger.Media(ctx, a.corp, hashes)
}

func (a *account) line(ctx context.Context, hs []handed, media map[string]ledger.MediaRow) (line, error) {
	h := hs[0]
	l := line{
		Corp: a.corp, Seq: h.item.Seq, MsgID: h.item.MsgID, KeyVersion: h.item.KeyVersion,
		From: archive.Party{Kind: archive.KindUnknown}, To: []archive.Party{}, Media: []attachment{}, RecalledBy: []archive.MsgID{},
	}
	switch aside, isAside := a.asides[asideKey(h.batch.Key(), h.item.Seq)]; {
	case h.msg != nil:
		l.State = stateArchived
		if err := a.fill(ctx, &l, h.msg, media); err != nil {
			return line{}, err
		}
	case isAside:
		l.State, l.Reason = stateSetAside, aside.Reason
	case h.batch.State == ledger.Done:
		l.State, l.Reason = statePending, "neither archived nor set aside: run fsck"
	default:
		l.State = statePending
	}
	for _, other := range hs[1:] {
		if other.item.EncryptChatMsg != h.item.EncryptChatMsg || other.item.EncryptRandomKey != h.item.EncryptRandomKey {
			l.Reason = join(l.Reason, "came again with another cipher text in batch "+other.batch.Key())
		}
	}
	return l, nil
}

func (a *account) fill(ctx context.Context, l *line, m *archive.Message, media map[string]ledger.MediaRow) error {
	if m.MsgID != "" {
		l.MsgID = m.MsgID
	}
	if l.MsgID != "" {
		if n, again := a.first[l.MsgID]; again {
			l.Reason = fmt.Sprintf("same message as seq %s", n)
		} else {
			a.first[l.MsgID] = l.Seq
		}
	}
	l.Action, l.Type, l.Room, l.Text, l.RecallOf, l.RawSHA256 = m.Action, m.Type, m.Room, m.Text, m.RecallOf, m.RawSHA256()
	if !m.Time.IsZero() {
		l.Time = m.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	at := m.Time
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	var err error
	if m.From != "" {
		if l.From, err = a.names.Party(ctx, m.From, at); err != nil {
			return err
		}
	}
	for _, id := range m.To {
		party, err := a.names.Party(ctx, id, at)
		if err != nil {
			return err
		}
		l.To = append(l.To, party)
	}
	for _, md := range m.Media {
		l.Media = append(l.Media, attachmentOf(md, media))
	}
	if by := a.recalls[l.MsgID]; l.MsgID != "" && len(by) > 0 {
		l.RecalledBy = by
	}
	return nil
}

func attachmentOf(m archive.Media, outcomes map[string]ledger.MediaRow) attachment {
	at := attachment{FileID: m.FileID, Name: m.Name, State: stateWaiting}
	row, ok := outcomes[m.FileID.Hash()]
	if !ok {
		return at
	}
	at.State, at.Size, at.SHA256, at.Reason = row.State, row.Size, row.SHA256, row.Reason
	if row.State != ledger.Kept {
		return at
	}
	if m.Size != 0 && m.Size != uint64(max(row.Size, 0)) { // #nosec G115 -- not negative
		at.Reason = join(at.Reason, fmt.Sprintf("the message says %d bytes", m.Size))
	}
	if m.MD5 != "" && !strings.EqualFold(m.MD5, row.MD5) {
		at.Reason = join(at.Reason, "the message says md5 "+m.MD5)
	}
	return at
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

func setAside(ctx context.Context, p *program, args []string) error {
	f := flags("set-aside")
	id, reason := f.String("corp", "", ""), f.String("reason", "", "")
	version := f.Uint("ver", 0, "")
	if err := parse(f, args); err != nil {
		return err
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	var failed error
	err = p.ledger.Asides(ctx, c.ID, *reason, archive.KeyVersion(*version), func(a ledger.Aside) bool { // #nosec G115 -- a version that is too large finds nothing
		failed = enc.Encode(map[string]any{
			"corp": a.Corp, "seq": a.Seq, "msgid": a.MsgID, "publickey_ver": a.KeyVersion, "reason": a.Reason, "batch": a.Batch, "place": a.Index,
			"since": a.Since.UTC().Format(time.RFC3339),
		})
		return failed == nil
	})
	return errors.Join(err, failed)
}
