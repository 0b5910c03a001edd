package main

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- WeCom's messages carry MD5 sums
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/local/simcipher"
	"github.com/wecomvault/wecomvault/shared/wire"
)

// chunk is how much of a file WeCom hands out at a time.
const chunk = 512 << 10

// wecom answers the calls that the library makes, and those about a directory, from what was prepared, so that none of its time is in a figure. It is not the simulator:
// it knows no refusals, and answers whatever is published at once.
type wecom struct {
	server *http.Server
	url    string
	key    *rsa.PrivateKey // every corp's

	mu    sync.Mutex
	corps map[archive.CorpID]*supply
	files map[string]int64 // sdkfileid → size

	departments, designated []byte            // answers about the company whose directory is read
	members                 map[string][]byte // by department
	calls                   atomic.Int64      // about it
}

// supply is one corp's chat data: prepared items, or a pool of them that never ends.
type supply struct {
	first   uint64   // seq of items[0]
	items   [][]byte // elements of chatdata without their beginning, see element
	endless bool     // the items come again and again under new seqs
	hangs   bool     // no answer comes at all
	asked   uint64   // the highest seq that was asked for
}

func startWeCom() (*wecom, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the corps' key: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the library: %w", err)
	}
	w := &wecom{url: "http://" + listener.Addr().String(), key: key, corps: map[archive.CorpID]*supply{}, files: map[string]int64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cgi-bin/gettoken", func(rw http.ResponseWriter, r *http.Request) {
		answer(rw, fmt.Appendf(nil, `{"errcode":0,"errmsg":"ok","access_token":%q,"expires_in":7200}`, "token-"+r.URL.Query().Get("corpid")))
	})
	mux.HandleFunc("POST /cgi-bin/message/getchatdata", w.chatData)
	mux.HandleFunc("POST /cgi-bin/message/getchatmediadata", w.media)
	mux.HandleFunc("/cgi-bin/", w.directory)
	w.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a measurement without a source says nothing
		}
	}()
	return w, nil
}

func (w *wecom) close() error { return w.server.Close() }

func answer(rw http.ResponseWriter, body []byte) {
	rw.Header().Set("Content-Type", "application/json; charset=UTF-8")
	rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = rw.Write(body) // #nosec G705 -- JSON for our own functions; one that is ended does not wait for it
}

// corp makes a corp that has nothing to hand out yet.
func (w *wecom) corp(id archive.CorpID) *supply {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &supply{first: 1}
	w.corps[id] = s
	return s
}

// publish makes items available and returns the seq of the last. What was asked for before is forgotten.
func (w *wecom) publish(s *supply, items [][]byte) archive.Seq {
	w.mu.Lock()
	defer w.mu.Unlock()
	if done := min(s.asked+1-min(s.first, s.asked+1), uint64(len(s.items))); done > 0 && !s.endless {
		s.items, s.first = append([][]byte(nil), s.items[done:]...), s.first+done
	}
	s.items = append(s.items, items...)
	return archive.Seq(s.first + uint64(len(s.items)) - 1)
}

func (w *wecom) chatData(rw http.ResponseWriter, r *http.Request) {
	var question struct{ Seq, Limit uint64 }
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
		answer(rw, []byte(`{"errcode":47001,"errmsg":"data format error"}`))
		return
	}
	w.mu.Lock()
	s := w.corps[archive.CorpID(strings.TrimPrefix(r.URL.Query().Get("access_token"), "token-"))]
	if s == nil {
		w.mu.Unlock()
		answer(rw, []byte(`{"errcode":40013,"errmsg":"invalid corpid"}`))
		return
	}
	if s.hangs {
		w.mu.Unlock()
		<-r.Context().Done()
		return
	}
	var page bytes.Buffer
	page.Grow(2 << 20)
	page.WriteString(`{"errcode":0,"errmsg":"ok","chatdata":[`)
	s.asked = max(s.asked, question.Seq)
	for n := range question.Limit {
		seq := question.Seq + 1 + n
		at := seq - s.first
		if s.endless {
			at %= uint64(len(s.items))
		}
		if at >= uint64(len(s.items)) {
			break
		}
		if n > 0 {
			page.WriteByte(',')
		}
		fmt.Fprintf(&page, `{"seq":%d,"msgid":"%d_bench",`, seq, seq)
		page.Write(s.items[at])
	}
	w.mu.Unlock()
	page.WriteString(`]}`)
	answer(rw, page.Bytes())
}

func (w *wecom) media(rw http.ResponseWriter, r *http.Request) {
	var question struct {
		FileID string `json:"fileid"`
	}
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
		answer(rw, []byte(`{"errcode":47001,"errmsg":"data format error"}`))
		return
	}
	w.mu.Lock()
	size, ok := w.files[question.FileID]
	w.mu.Unlock()
	var first, last int64
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil || !ok || first%16 != 0 {
		answer(rw, []byte(`{"errcode":301048,"errmsg":"no such file"}`))
		return
	}
	sealed := simcipher.SealedSize(size)
	last = min(last, sealed-1, first+chunk-1)
	part := make([]byte, last+1-first)
	if over := last + 1 - size; over > 0 {
		copy(part[max(0, size-first):], simcipher.Padding(size)[max(0, first-size):])
	}
	if err := simcipher.XORFile(question.FileID, first, part); err != nil {
		answer(rw, []byte(`{"errcode":301039,"errmsg":"bad range"}`))
		return
	}
	rw.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, sealed))
	rw.Header().Set("Content-Length", strconv.Itoa(len(part)))
	rw.WriteHeader(http.StatusPartialContent)
	_, _ = rw.Write(part) // a function that is ended does not wait for it
}

// file makes a file of so many zeros, and what a message says of it.
func (w *wecom) file(n int, size int64) (id, md5sum string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "file %d of %d bytes", n, size))
	id = base64.StdEncoding.EncodeToString(bytes.Repeat(sum[:], 12))
	h := md5.New() // #nosec G401 -- see the import
	zeros := make([]byte, 1<<20)
	for rest := size; rest > 0; rest -= int64(len(zeros)) {
		_, _ = h.Write(zeros[:min(rest, int64(len(zeros)))]) // a hash refuses nothing
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[id] = size
	return id, hex.EncodeToString(h.Sum(nil))
}

// letter is what is in a message.
type letter struct {
	MsgID  string          `json:"msgid"`
	Action string          `json:"action"`
	From   string          `json:"from"`
	To     []string        `json:"tolist"`
	Room   string          `json:"roomid"`
	Time   int64           `json:"msgtime"`
	Type   string          `json:"msgtype"`
	Text   *letterText     `json:"text,omitempty"`
	File   json.RawMessage `json:"file,omitempty"`
}

type letterText struct {
	Content string `json:"content"`
}

var words = strings.Fields(`harbour ledger the crane is booked until noon please move berth four to the afternoon and tell the pilot the tide
table for Thursday 潮汐表 already 确认 is in the folder quay lamp invoice copy 请 see attached rope winch thanks 收到 will do`)

// text is the n-th message of a company of 400 people, who talk in pairs and in 40 rooms.
func text(n int, at time.Time) letter {
	var content strings.Builder
	for i := range 12 + n%40 {
		content.WriteString(words[(n*7+i*(3+n%5))%len(words)])
		content.WriteByte(' ')
	}
	l := letter{MsgID: strconv.Itoa(n) + "_bench", Action: "send", From: "hand" + strconv.Itoa(n%400), Time: at.UnixMilli(), Type: "text", Text: &letterText{Content: content.String()}}
	if n%3 == 0 {
		l.Room = "wrbench" + strconv.Itoa(n%40)
		for i := range 6 {
			l.To = append(l.To, "hand"+strconv.Itoa((n%40)*7+i))
		}
	} else {
		l.To = []string{"hand" + strconv.Itoa((n%400+1)%400)}
	}
	return l
}

// seal closes n letters as WeCom does, on all processors.
func (w *wecom) seal(n int, letterOf func(i int) letter) ([][]byte, error) {
	items, errs := make([][]byte, n), make([]error, n)
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		wg.Go(func() {
			for i := worker; i < n; i += workers {
				items[i], errs[i] = w.element(letterOf(i))
			}
		})
	}
	wg.Wait()
	return items, errors.Join(errs...)
}

// element is an item of chat data behind its seq and msgid.
func (w *wecom) element(l letter) ([]byte, error) {
	raw, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	return w.sealed(raw)
}

// told is an element, and the message that the archive will make of it, but for its seq.
func (w *wecom) told(corp archive.CorpID, l letter) (archive.Message, []byte, error) {
	raw, err := json.Marshal(l)
	if err != nil {
		return archive.Message{}, nil, fmt.Errorf("encode a message: %w", err)
	}
	m, err := wire.Decode(corp, archive.ChatData{}, raw)
	if err != nil {
		return archive.Message{}, nil, err
	}
	item, err := w.sealed(raw)
	return m, item, err
}

func (w *wecom) sealed(raw []byte) ([]byte, error) {
	key, err := simcipher.NewKey()
	if err != nil {
		return nil, err
	}
	envelope, err := simcipher.Seal(key, raw)
	if err != nil {
		return nil, err
	}
	block, err := rsa.EncryptPKCS1v15(rand.Reader, &w.key.PublicKey, []byte(key)) //nolint:staticcheck // WeCom's padding
	if err != nil {
		return nil, fmt.Errorf("seal a random key: %w", err)
	}
	return fmt.Appendf(nil, `"publickey_ver":1,"encrypt_random_key":%q,"encrypt_chat_msg":%q}`, base64.StdEncoding.EncodeToString(block), envelope), nil
}
