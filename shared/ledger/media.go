package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/derived"
)

// Waiting is an attachment that is not in yet. One file named by messages of different times waits under the oldest of them first.
type Waiting struct {
	Corp   archive.CorpID
	FileID archive.FileID
	Clock  time.Time // when it began to age: the message's time, or when the corp was last known to be caught up; zero: unknown
	Upload *Upload   // how far its download has come; nil: not begun

	Announced     time.Time // when watch first saw it waiting, or last enqueued it again; zero: not yet
	Announcements int       // how often watch enqueued it again
}

// Upload is the state from which a download resumes after a crash.
type Upload struct {
	ID    string `json:"id"`    // the multipart upload's
	Index string `json:"index"` // the library's index of the next chunk
	Parts []Part `json:"parts"`
	Size  int64  `json:"size"` // bytes in the parts
	Hash  []byte `json:"hash"` // marshalled state of the SHA-256 over the parts
	MD5   []byte `json:"md5"`  // marshalled state of the MD5 over the parts
}

// Part is one uploaded part.
type Part struct {
	N      int32  `json:"n"`
	ETag   string `json:"etag"`
	SHA256 string `json:"sha256"` // base64, as S3 gives it
}

// Key is the sort key of a waiting row and the attachment's name in jobs.
func (w Waiting) Key() string { return millis13(w.Clock) + "#" + w.FileID.Hash() }

// The outcomes of an attachment.
const (
	Kept = "kept"
	Lost = "lost"
)

// MediaRow is an attachment's outcome.
type MediaRow struct {
	Corp    archive.CorpID
	Hash    string // FileID.Hash
	State   string // Kept or Lost
	Size    int64  // bytes kept
	SHA256  string // of the bytes kept, lower-case hex
	MD5     string // of the bytes kept, lower-case hex: what messages claim is compared with it
	Object  string
	Version string
	Reason  string // why it is lost
	At      time.Time
}

// PutWaiting records attachments that are to be brought in, leaving out those that have an outcome. A row that is there already keeps
// the state of its upload. It returns those that wait.
func (l *Ledger) PutWaiting(ctx context.Context, corp archive.CorpID, files []Waiting) ([]Waiting, error) {
	outcomes, err := l.Media(ctx, corp, hashes(files))
	if err != nil {
		return nil, err
	}
	var waiting []Waiting
	written := map[string]bool{} // a message may name a file twice
	for _, w := range files {
		if _, settled := outcomes[w.FileID.Hash()]; settled || written[w.Key()] {
			continue
		}
		written[w.Key()] = true
		it := key(waitingPK(corp), w.Key())
		it["corp"], it["file_id"], it["clock"] = str(string(corp)), str(string(w.FileID)), when(w.Clock)
		err := l.put(ctx, l.tables.Control, it, "attribute_not_exists(pk)", nil)
		if _, refused := refusedRow(err); err != nil && !refused {
			return nil, err
		}
		waiting = append(waiting, w)
	}
	return waiting, nil
}

// WaitingFor is the attachments that messages of a corp name, as they wait.
func WaitingFor(corp archive.CorpID, files []derived.File) []Waiting {
	waiting := make([]Waiting, len(files))
	for i, f := range files {
		waiting[i] = Waiting{Corp: corp, FileID: f.ID, Clock: f.Clock}
	}
	return waiting
}

func hashes(files []Waiting) []string {
	seen := map[string]bool{}
	var out []string
	for _, w := range files {
		if h := w.FileID.Hash(); !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	return out
}

// Waiting reads one waiting row, or returns an error that wraps ErrAbsent.
func (l *Ledger) Waiting(ctx context.Context, corp archive.CorpID, waitingKey string) (Waiting, error) {
	it, err := l.get(ctx, l.tables.Control, waitingPK(corp), waitingKey)
	if err != nil {
		return Waiting{}, err
	}
	return waitingOf(it), nil
}

// AllWaiting calls f for a corp's waiting attachments, the longest waiting first, until f returns false.
func (l *Ledger) AllWaiting(ctx context.Context, corp archive.CorpID, f func(Waiting) bool) error {
	return l.each(ctx, l.tables.Control, waitingPK(corp), bounds{consistent: true}, func(it item) bool { return f(waitingOf(it)) })
}

// SaveUpload keeps how far a download has come.
func (l *Ledger) SaveUpload(ctx context.Context, w Waiting) error {
	state, err := json.Marshal(w.Upload)
	if err != nil {
		return fmt.Errorf("encode the upload of attachment %s: %w", w.Key(), err)
	}
	_, err = l.update(ctx, l.tables.Control, waitingPK(w.Corp), w.Key(), "SET upload = :upload", "attribute_exists(pk)", nil, item{":upload": str(string(state))})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("save the upload of attachment %s: %w", w.Key(), ErrLost)
	}
	return err
}

// WaitingAnnounced records when an attachment was first seen waiting, or enqueued again for the n-th time. One that has come in meanwhile
// stays gone.
func (l *Ledger) WaitingAnnounced(ctx context.Context, w Waiting, at time.Time, n int) error {
	_, err := l.update(ctx, l.tables.Control, waitingPK(w.Corp), w.Key(), "SET announced = :at, announcements = :n", "attribute_exists(pk)", nil,
		item{":at": when(at), ":n": count(n)})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// SettleMedia records an attachment's outcome and ends its waiting. The first outcome stands, except that kept replaces lost: the outcome
// row is written before the waiting row goes, so that a crash between leaves work to repeat and none undone.
func (l *Ledger) SettleMedia(ctx context.Context, w Waiting, m MediaRow) error {
	it := key(mediaPK(m.Corp), m.Hash)
	it["corp"], it["state"], it["size"], it["sha256"], it["md5"] = str(string(m.Corp)), str(m.State), num(uint64(max(m.Size, 0))), str(m.SHA256), str(m.MD5) // #nosec G115 -- not negative
	it["object"], it["version"], it["reason"], it["at"] = str(m.Object), str(m.Version), str(m.Reason), when(m.At)
	condition, values := "attribute_not_exists(pk)", item(nil)
	// Before the outcome, so that no outcome is without its place in time. A repeat may leave a second place: the outcome's own time tells
	// which one counts.
	if err := l.put(ctx, l.tables.Control, key(settledPK(m.Corp), millis13(m.At)+"#"+m.Hash), "", nil); err != nil {
		return err
	}
	if m.State == Lost {
		// Before the outcome too. One that is kept in the end is told from it by its outcome.
		lost := key(lostPK(m.Corp), m.Hash)
		lost["at"] = when(m.At)
		if err := l.put(ctx, l.tables.Control, lost, "", nil); err != nil {
			return err
		}
	}
	var err error
	if m.State == Kept {
		values = item{":lost": str(Lost)}
		in := "attribute_not_exists(pk) OR #state = :lost"
		err = l.putNamed(ctx, l.tables.Control, it, in, map[string]string{"#state": "state"}, values)
	} else {
		err = l.put(ctx, l.tables.Control, it, condition, values)
	}
	if _, refused := refusedRow(err); err != nil && !refused {
		return err
	}
	return l.EndWaiting(ctx, w)
}

// MediaRestored records under which version a kept attachment's bytes are found since the version that was kept is gone. It returns ErrLost if the
// outcome has changed since it was read.
func (l *Ledger) MediaRestored(ctx context.Context, m MediaRow, version string) error {
	_, err := l.update(ctx, l.tables.Control, mediaPK(m.Corp), m.Hash, "SET #version = :new", "#version = :old",
		map[string]string{"#version": "version"}, item{":new": str(version), ":old": str(m.Version)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("attachment %s: %w", m.Hash, ErrLost)
	}
	return err
}

// EndWaiting removes a waiting row whose attachment has an outcome.
func (l *Ledger) EndWaiting(ctx context.Context, w Waiting) error {
	return l.remove(ctx, l.tables.Control, waitingPK(w.Corp), w.Key())
}

// Media reads the outcomes of attachments by FileID.Hash; those without one are absent.
func (l *Ledger) Media(ctx context.Context, corp archive.CorpID, fileHashes []string) (map[string]MediaRow, error) {
	keys := make([]item, len(fileHashes))
	for i, h := range fileHashes {
		keys[i] = key(mediaPK(corp), h)
	}
	rows, err := l.fetch(ctx, l.tables.Control, keys)
	if err != nil {
		return nil, err
	}
	out := map[string]MediaRow{}
	for _, it := range rows {
		m := mediaOf(it)
		out[m.Hash] = m
	}
	return out, nil
}

// LostMedia calls f for a corp's attachments that WeCom no longer has, until f returns false. There are few.
func (l *Ledger) LostMedia(ctx context.Context, corp archive.CorpID, f func(MediaRow) bool) error {
	var hashes []string
	if err := l.each(ctx, l.tables.Control, lostPK(corp), bounds{consistent: true}, func(it item) bool {
		hashes = append(hashes, getStr(it, "sk"))
		return true
	}); err != nil {
		return err
	}
	for _, hash := range hashes {
		it, err := l.get(ctx, l.tables.Control, mediaPK(corp), hash)
		if errors.Is(err, ErrAbsent) {
			continue
		}
		if err != nil {
			return err
		}
		if m := mediaOf(it); m.State == Lost && !f(m) {
			return nil
		}
	}
	return nil
}

// Settled lists the outcomes of a corp's attachments that came in a span of time, from inclusive and to exclusive: a day's report must not
// read all that were ever kept.
func (l *Ledger) Settled(ctx context.Context, corp archive.CorpID, from, to time.Time) ([]MediaRow, error) {
	var hashes []string
	seen := map[string]bool{}
	err := l.each(ctx, l.tables.Control, settledPK(corp), bounds{from: millis13(from), to: millis13(to), consistent: true}, func(it item) bool {
		if _, hash, _ := strings.Cut(getStr(it, "sk"), "#"); !seen[hash] {
			seen[hash] = true
			hashes = append(hashes, hash)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	outcomes, err := l.Media(ctx, corp, hashes)
	if err != nil {
		return nil, err
	}
	var rows []MediaRow
	for _, hash := range hashes {
		if m, ok := outcomes[hash]; ok && !m.At.Before(from) && m.At.Before(to) {
			rows = append(rows, m)
		}
	}
	return rows, nil
}

// AllMedia calls f for all of a corp's outcomes.
func (l *Ledger) AllMedia(ctx context.Context, corp archive.CorpID, f func(MediaRow) bool) error {
	return l.MediaFrom(ctx, corp, "", f)
}

// MediaFrom calls f for a corp's outcomes whose hash is not below from, in the order of their hashes, until f returns false.
func (l *Ledger) MediaFrom(ctx context.Context, corp archive.CorpID, from string, f func(MediaRow) bool) error {
	return l.each(ctx, l.tables.Control, mediaPK(corp), bounds{from: from, consistent: true}, func(it item) bool { return f(mediaOf(it)) })
}

func waitingOf(it item) Waiting {
	w := Waiting{
		Corp: archive.CorpID(getStr(it, "corp")), FileID: archive.FileID(getStr(it, "file_id")), Clock: getTime(it, "clock"),
		Announced: getTime(it, "announced"), Announcements: getCount(it, "announcements"),
	}
	if text := getStr(it, "upload"); text != "" {
		var u Upload
		if json.Unmarshal([]byte(text), &u) == nil {
			w.Upload = &u
		}
	}
	return w
}

func mediaOf(it item) MediaRow {
	return MediaRow{
		Corp: archive.CorpID(getStr(it, "corp")), Hash: getStr(it, "sk"), State: getStr(it, "state"), Size: int64(getCount(it, "size")),
		SHA256: getStr(it, "sha256"), MD5: getStr(it, "md5"), Object: getStr(it, "object"), Version: getStr(it, "version"),
		Reason: getStr(it, "reason"), At: getTime(it, "at"),
	}
}
