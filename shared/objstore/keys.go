package objstore

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The first word of each key, which permissions are given by.
const (
	Batches   = "batches/"
	Segments  = "segments/"
	MediaKeys = "media/"
	Directory = "directory/"
	Reports   = "reports/"
	Mails     = "mails/"
	People    = "people/"
)

// DefaultClass is the retention class of segments as long as there is only one.
const DefaultClass = "default"

// Escape writes a name of any characters as one step of a key: ASCII letters, digits, ".", "_" and "-" stay, every other byte
// becomes "!" and two upper-case hex digits. "!" needs no escaping itself in S3's keys, URLs and tools, unlike "%". Different names
// stay different, and Unescape is the way back.
func Escape(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if c := name[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "!%02X", c)
		}
	}
	return b.String()
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// Unescape reads what Escape wrote, and nothing else.
func Unescape(step string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(step); i++ {
		switch c := step[i]; {
		case isPlain(c):
			b.WriteByte(c)
		case c == '!' && i+2 < len(step):
			n, err := strconv.ParseUint(step[i+1:i+3], 16, 8)
			if err != nil {
				return "", fmt.Errorf("%q is no escaped name", step)
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", fmt.Errorf("%q is no escaped name", step)
		}
	}
	if Escape(b.String()) != step {
		return "", fmt.Errorf("%q is no escaped name", step)
	}
	return b.String(), nil
}

// BatchKey says which batch an object is.
type BatchKey struct {
	Corp        archive.CorpID
	First, Last archive.Seq
	Hash        string // first 32 hex digits of the SHA-256 of the bytes as received
}

// String is the object's key.
func (k BatchKey) String() string {
	return fmt.Sprintf("%scorp=%s/first=%s-last=%s-sha256=%s.json.gz", Batches, Escape(string(k.Corp)), k.First.Key(), k.Last.Key(), k.Hash)
}

var batchPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^batches/corp=([^/]+)/first=([0-9]{20})-last=([0-9]{20})-sha256=([0-9a-f]{32})\.json\.gz$`)
})

// ParseBatchKey reads a batch's key.
func ParseBatchKey(key string) (BatchKey, error) {
	m := batchPattern().FindStringSubmatch(key)
	if m == nil {
		return BatchKey{}, fmt.Errorf("%q is no key of a batch", key)
	}
	corp, err := Unescape(m[1])
	if err != nil {
		return BatchKey{}, fmt.Errorf("%q is no key of a batch: %w", key, err)
	}
	first, err := archive.ParseSeq(m[2])
	if err != nil {
		return BatchKey{}, fmt.Errorf("%q is no key of a batch: %w", key, err)
	}
	last, err := archive.ParseSeq(m[3])
	if err != nil {
		return BatchKey{}, fmt.Errorf("%q is no key of a batch: %w", key, err)
	}
	return BatchKey{Corp: archive.CorpID(corp), First: first, Last: last, Hash: m[4]}, nil
}

// SegmentKey says which slice of a batch's messages an object holds.
type SegmentKey struct {
	Class     string // retention class
	Corp      archive.CorpID
	Day       string // UTC day of the messages, YYYY-MM-DD
	BatchHash string // as in BatchKey
	Slice     string // first 16 hex digits of the SHA-256 of its lines: a run that could open other items writes another slice
}

// String is the object's key.
func (k SegmentKey) String() string {
	return fmt.Sprintf("%sclass=%s/corp=%s/day=%s/%s-%s.jsonl.zst", Segments, Escape(k.Class), Escape(string(k.Corp)), k.Day, k.BatchHash, k.Slice)
}

var segmentPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^segments/class=([^/]+)/corp=([^/]+)/day=([0-9-]{10})/([0-9a-f]{32})-([0-9a-f]{16})\.jsonl\.zst$`)
})

// ParseSegmentKey reads a segment's key.
func ParseSegmentKey(key string) (SegmentKey, error) {
	m := segmentPattern().FindStringSubmatch(key)
	if m == nil {
		return SegmentKey{}, fmt.Errorf("%q is no key of a segment", key)
	}
	class, err := Unescape(m[1])
	if err != nil {
		return SegmentKey{}, fmt.Errorf("%q is no key of a segment: %w", key, err)
	}
	corp, err := Unescape(m[2])
	if err != nil {
		return SegmentKey{}, fmt.Errorf("%q is no key of a segment: %w", key, err)
	}
	k := SegmentKey{Class: class, Corp: archive.CorpID(corp), Day: m[3], BatchHash: m[4], Slice: m[5]}
	return k, k.check()
}

func (k SegmentKey) check() error {
	if _, err := time.Parse(time.DateOnly, k.Day); err != nil {
		return fmt.Errorf("a segment's day %q is not of the form YYYY-MM-DD", k.Day)
	}
	if k.Class == "" || k.Corp == "" || len(k.BatchHash) != 32 || len(k.Slice) != 16 {
		return fmt.Errorf("the key of a segment of corp %q, batch %q, slice %q is not complete", k.Corp, k.BatchHash, k.Slice)
	}
	return nil
}

// MediaKey is the key of the attachment whose sdkfileid has the given hash (archive.FileID.Hash).
func MediaKey(corp archive.CorpID, fileHash string) string {
	return MediaKeys + "corp=" + Escape(string(corp)) + "/" + Escape(fileHash)
}

// DirectoryKey is a key below directory/corp=…/, with each step escaped.
func DirectoryKey(corp archive.CorpID, steps ...string) string {
	return under(Directory+"corp="+Escape(string(corp)), steps)
}

// ConsentKey is a key of WeCom's answers about consent, with each step escaped.
func ConsentKey(corp archive.CorpID, steps ...string) string {
	return under(Directory+"consent/corp="+Escape(string(corp)), steps)
}

// ReportKey is a key below reports/corp=…/day=…/, with each step escaped. The day is YYYY-MM-DD.
func ReportKey(corp archive.CorpID, day string, steps ...string) string {
	return under(Reports+"corp="+Escape(string(corp))+"/day="+Escape(day), steps)
}

// MailKey is a key below mails/corp=…/day=…/, with each step escaped. The day is YYYY-MM-DD.
func MailKey(corp archive.CorpID, day string, steps ...string) string {
	return under(Mails+"corp="+Escape(string(corp))+"/day="+Escape(day), steps)
}

// HRFileKey is the key of a company's own file about its people, whose content has the given SHA-256 in hex: the same file is one object, however often it is
// put into force.
func HRFileKey(corp archive.CorpID, sha256Hex string) string {
	return People + "corp=" + Escape(string(corp)) + "/" + Escape(sha256Hex) + ".csv"
}

func under(prefix string, steps []string) string {
	for _, s := range steps {
		prefix += "/" + Escape(s)
	}
	return prefix
}
