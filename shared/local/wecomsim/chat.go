package wecomsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

// What leaves WeCom's reach, by the simulator's clock, and how it is cut.
const (
	ChatWindow  = 5 * 24 * time.Hour // after which chat data is no longer handed out
	MediaWindow = 3 * 24 * time.Hour // after which a file is gone: 301048
	LargestPage = 1000               // items
	MediaChunk  = 524288             // bytes of the sealed object
)

func (s *Sim) getChatData(c *call) (answer, error) {
	var req struct {
		Seq   json.Number `json:"seq"`
		Limit json.Number `json:"limit"`
	}
	// encrypt_sign is not checked: how it is made is the library's own affair.
	if json.Unmarshal(c.body, &req) != nil {
		return answer{}, refuse(47001)
	}
	seq, err := strconv.ParseUint(req.Seq.String(), 10, 64)
	if err != nil {
		return answer{}, refuse(301039)
	}
	limit, err := strconv.Atoi(req.Limit.String())
	if err != nil || limit < 1 || limit > LargestPage {
		return answer{}, refuse(301039)
	}
	if most := c.corp.PageItems; most > 0 {
		limit = min(limit, most)
	}
	oldest := ms(s.now().Add(-ChatWindow))
	var page []json.RawMessage
	var seqs []uint64
	size := 0
	if err := s.eachItem(c.corp.ID, seq, func(seq uint64, it item) bool {
		if it.Stored < oldest {
			return true
		}
		page, seqs = append(page, it.Element), append(seqs, seq)
		size += len(it.Element)
		return len(page) < limit
	}); err != nil {
		return answer{}, err
	}
	if c.corp.PageBytes > 0 && size > c.corp.PageBytes && len(page) > 1 {
		return answer{}, refuse(301058)
	}
	if len(page) == 0 {
		c.corp.EmptyPages++
		// QUIRK: an empty page may lack chatdata altogether.
		if c.corp.EmptyPages%2 == 0 {
			return answer{}, nil
		}
		return answer{object: object{{"chatdata", []int{}}}}, nil
	}
	if c.corp.markServed(seqs) {
		if err := s.db.Update(func(tx *bolt.Tx) error { return saveCorp(tx, c.corp) }); err != nil {
			return answer{}, err
		}
	}
	return answer{object: object{{"chatdata", page}}}, nil
}

// mediaPart is a range of a sealed object.
type mediaPart struct {
	bytes       []byte
	first, size int64
}

func (m *mediaPart) write(w http.ResponseWriter) {
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", m.first, m.first+int64(len(m.bytes))-1, m.size))
	w.Header().Set("Accept-Ranges", "bytes")
	writeBytes(w, http.StatusPartialContent, "application/octet-stream", m.bytes)
}

func (s *Sim) getChatMediaData(c *call) (answer, error) {
	var req struct {
		FileID string `json:"fileid"`
	}
	if json.Unmarshal(c.body, &req) != nil {
		return answer{}, refuse(47001)
	}
	f, err := s.readFile(c.corp.ID, req.FileID)
	if err != nil || ms(s.now().Add(-MediaWindow)) > f.Stored {
		return answer{}, refuse(301048)
	}
	if f.Refuse != 0 {
		return answer{}, refuse(f.Refuse)
	}
	size := simcipher.SealedSize(f.Size)
	first, last, ok := parseRange(c.r.Header.Get("Range"), size)
	if !ok {
		return answer{}, refuse(301039)
	}
	// A range may be any; what seals it works from multiples of 16.
	from := first - first%16
	part := make([]byte, last+1-from)
	if err := f.read(from, part); err != nil {
		return answer{}, err
	}
	if err := simcipher.XORFile(f.ID, from, part); err != nil {
		return answer{}, err
	}
	if last == size-1 && !f.Fetched {
		f.Fetched = true
		if err := s.db.Update(func(tx *bolt.Tx) error { return saveFile(tx, c.corp.ID, f) }); err != nil {
			return answer{}, err
		}
	}
	return answer{media: &mediaPart{bytes: part[first-from:], first: first, size: size}}, nil
}

// parseRange reads "bytes=a-b", clipped to size and to one chunk; an absent header asks for the first chunk.
func parseRange(header string, size int64) (first, last int64, ok bool) {
	if header == "" {
		return 0, min(size, MediaChunk) - 1, true
	}
	spec, ok := strings.CutPrefix(strings.TrimSpace(header), "bytes=")
	if !ok {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(spec, "-")
	if !ok {
		return 0, 0, false
	}
	first, err := strconv.ParseInt(a, 10, 64)
	if err != nil || first < 0 || first >= size {
		return 0, 0, false
	}
	last = size - 1
	if b != "" {
		if last, err = strconv.ParseInt(b, 10, 64); err != nil || last < first {
			return 0, 0, false
		}
	}
	return first, min(last, size-1, first+MediaChunk-1), true
}
