package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// dawn is when every run begins, by the clock of events: the same for all, so that reports tell of the same day.
var dawn = time.Date(2026, time.March, 10, 8, 0, 0, 0, time.UTC)

// corpus is what WeCom holds before a run begins: all of it, so that pages are cut at the same seqs however often a run is interrupted.
type corpus struct {
	Seed     uint64
	Messages int
	Corps    []company
}

// company is a corp of the corpus with what its admin knows.
type company struct {
	ID, Name string
	Secrets  []wecomsim.Secret
	Keys     []wecomsim.Key // the last one comes late, after the messages under it were set aside
	Items    int
	Never    int // items that can never be opened
	Files    int
	Refused  int // files that WeCom no longer gives
}

// simulatorFile and corpusFile are what a corpus is on disk.
const (
	simulatorFile = "wecomsim.db"
	corpusFile    = "corpus.json"
)

// shape says how large a corpus is made.
type shape struct {
	seed     uint64
	messages int
	page     int // items that WeCom hands out at a time
	corps    int
}

// makeCorpus fills a simulator with messages: the same ones for the same seed, but for keys and cipher texts, which are always new.
func makeCorpus(ctx context.Context, dir string, sh shape) (c corpus, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, fmt.Errorf("make the folder of the corpus: %w", err)
	}
	sim, err := wecomsim.Open(filepath.Join(dir, simulatorFile), clock.Real)
	if err != nil {
		return c, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return c, errors.Join(fmt.Errorf("listen for the simulator: %w", err), sim.Close())
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		err = errors.Join(err, server.Close(), sim.Close())
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	c = corpus{Seed: sh.seed, Messages: sh.messages}
	w := writer{Client: wecomsim.NewClient("http://" + listener.Addr().String()), r: rand.New(rand.NewPCG(sh.seed, 17)), shape: sh} // #nosec G404 -- a seed replays the run
	offset := int64(dawn.Sub(clock.Real()))
	if _, err := w.SetClock(ctx, wecomsim.Clock{OffsetNS: &offset}); err != nil {
		return c, err
	}
	for i := range sh.corps {
		n := sh.messages / sh.corps
		if i == 0 {
			n += sh.messages % sh.corps
		}
		one, err := w.company(ctx, i, n)
		if err != nil {
			return c, fmt.Errorf("make the messages of a corp: %w", err)
		}
		c.Corps = append(c.Corps, one)
	}
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return c, fmt.Errorf("write the corpus: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, corpusFile), b, 0o600); err != nil {
		return c, fmt.Errorf("write the corpus: %w", err)
	}
	return c, nil
}

func readCorpus(dir string) (c corpus, err error) {
	b, err := os.ReadFile(filepath.Join(dir, corpusFile)) // #nosec G304 -- made by this program
	if err != nil {
		return c, fmt.Errorf("read the corpus: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read the corpus: %w", err)
	}
	return c, nil
}

// writer makes one corpus.
type writer struct {
	*wecomsim.Client
	r *rand.Rand
	shape
	corp  string
	sent  int
	total int
	files int
}

const (
	members         = 6
	externals       = 3
	hostOfLatecomer = "member05"
	appAgent        = 1000002 // of the app that writes to members
)

func member(i int) string   { return fmt.Sprintf("member%02d", i) }
func external(i int) string { return fmt.Sprintf("wm%030d", i) }

// company makes one corp: its people, two key versions, and its messages in their order.
func (w *writer) company(ctx context.Context, place, n int) (company, error) {
	id := fmt.Sprintf("wwchaos%d", place+1)
	w.corp, w.sent, w.total, w.files = id, 0, n, 0
	c := company{ID: id, Name: fmt.Sprintf("Company %d", place+1), Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive, Value: "archive-secret-" + id}, {Kind: wecomsim.KindLegacyApp, Value: "contacts-secret-" + id}, {Kind: wecomsim.KindCustomer, Value: "customer-secret-" + id},
		{Kind: wecomsim.KindNewApp, Value: "app-secret-" + id, Agent: appAgent}}}
	made, err := w.AddCorp(ctx, wecomsim.NewCorp{Corp: id, Name: c.Name, Secrets: c.Secrets, PageItems: w.page})
	if err != nil {
		return c, err
	}
	c.Keys = made.Keys
	if err := w.people(ctx, id); err != nil {
		return c, err
	}
	if err := w.odd(ctx, &c); err != nil {
		return c, err
	}
	late := n - max(2, n/8)
	for w.sent < n {
		if w.sent >= late && len(c.Keys) == 1 {
			key, err := w.AddKey(ctx, wecomsim.NewKeyRequest{Corp: id})
			if err != nil {
				return c, err
			}
			c.Keys = append(c.Keys, key)
		}
		if err := w.ordinary(ctx); err != nil {
			return c, err
		}
	}
	account, err := w.Account(ctx, id)
	c.Items, c.Never, c.Files, c.Refused = account.Items, len(account.SetAside), account.Files.Count, account.Files.Refused
	return c, err
}

func (w *writer) people(ctx context.Context, corp string) error {
	n := wecomsim.ChangeContacts{Corp: corp, Departments: []wecomsim.Department{{ID: 1, Name: "All"}, {ID: 2, Name: "Desk", Parent: 1, Leaders: []string{headOfDesk}}, {ID: 3, Name: "Back office", Parent: 1}}, Permit: map[int][]string{}}
	for i := range members {
		n.Members = append(n.Members, wecomsim.Member{UserID: member(i), Name: fmt.Sprintf("Person %d", i), Department: []int{2 + i%2}, IsLeaderInDept: []int{0},
			Mobile: fmt.Sprintf("1380000%04d", i), Email: member(i) + "@" + corp + ".example", Status: 1 + i%2*3})
		n.Permit[1] = append(n.Permit[1], member(i))
	}
	n.Members[0].IsLeaderInDept[0] = 1
	n.Members = append(n.Members, wecomsim.Member{UserID: leaves, Name: "Leaving Person", Department: []int{2}, IsLeaderInDept: []int{0}, Mobile: "13800000098", Status: 1})
	for i := range externals {
		host := member(i)
		if i == latecomer {
			host = hostOfLatecomer
		}
		n.Externals = append(n.Externals, wecomsim.External{ID: external(i), Name: fmt.Sprintf("Customer %d", i), Type: 1, FollowUsers: []wecomsim.Follow{{UserID: host}}})
	}
	n.Rooms = []wecomsim.Room{
		{ID: "wrinside", Kind: wecomsim.RoomInternal, Name: "Desk", Owner: member(0), Members: []string{member(0), member(1), member(2)}},
		outside(latecomer),
	}
	n.Consents = append(n.Consents, wecomsim.Consent{UserID: hostOfLatecomer, External: external(latecomer), Status: "Disagree", Changed: dawn.Add(-2 * time.Hour).Unix()})
	// Each with a time of its own, so that what is told of it has one order; what has no time comes in the order in which it was found.
	for i := range 2 {
		n.Consents = append(n.Consents, wecomsim.Consent{RoomID: "wroutside", External: external(i), Status: "Agree", Changed: dawn.Add(-time.Hour).Unix() + int64(i)})
		for j := range members {
			n.Consents = append(n.Consents, wecomsim.Consent{UserID: member(j), External: external(i), Status: "Agree", Changed: dawn.Unix() - 100*int64(i+1) - int64(j)})
		}
	}
	return w.ChangeContacts(ctx, n)
}

// outside is the room with the first so many external contacts.
func outside(n int) wecomsim.Room {
	r := wecomsim.Room{ID: "wroutside", Kind: wecomsim.RoomExternal, Name: "Customers", Owner: member(0), Members: []string{member(0)}}
	for i := range n {
		r.Members = append(r.Members, external(i))
	}
	return r
}

// next fills in who speaks to whom, and when: a second after the one before.
func (w *writer) next(m wecomsim.Message) wecomsim.Message {
	m.Corp, m.From = w.corp, member(w.r.IntN(members))
	switch w.r.IntN(4) {
	case 0:
		m.To, m.Room = []string{member(0), member(1), member(2)}, "wrinside"
	case 1:
		m.To, m.Room = []string{member(0), external(0), external(refusing)}, "wroutside"
	case 2:
		m.To = []string{external(w.r.IntN(2))}
	default:
		m.To = []string{member(w.r.IntN(members))}
	}
	at := dawn.Add(-time.Hour).Add(time.Duration(float64(50*time.Minute) * float64(w.sent) / float64(w.total)))
	m.Time, m.Stored = at.UnixMilli(), at.UnixMilli()
	m.Count = max(m.Count, 1)
	w.sent += m.Count
	return m
}

func (w *writer) send(ctx context.Context, m wecomsim.Message) (wecomsim.Sent, error) {
	return w.Send(ctx, w.next(m))
}

// file sends a message with an attachment.
func (w *writer) file(ctx context.Context, size int64, refuse int) error {
	w.files++
	f, err := w.AddFile(ctx, wecomsim.NewFile{Corp: w.corp, Name: fmt.Sprintf("file%d.pdf", w.files), Size: size, Refuse: refuse, Stored: dawn.Add(-time.Hour).UnixMilli()})
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]any{"md5sum": f.MD5, "filename": f.Name, "fileext": "pdf", "filesize": f.Size, "sdkfileid": f.SDKFileID})
	if err != nil {
		return err
	}
	_, err = w.send(ctx, wecomsim.Message{Type: "file", Payload: payload})
	return err
}

// odd sends what every corp has once: an item that never opens, one that ends the library, a file in parts, one in one piece, one that WeCom refuses, a
// message taken back, a type that nobody knows.
func (w *writer) odd(ctx context.Context, c *company) error {
	first, err := w.send(ctx, wecomsim.Message{Text: "The first one is taken back."})
	if err != nil {
		return err
	}
	for _, m := range []wecomsim.Message{
		{Text: "Nobody has this key.", Fate: wecomsim.FateUndecryptable},
		{Text: "This one ends the library.", Fate: wecomsim.FateCrashing},
		{Type: "something_new", Payload: json.RawMessage(`{"depth":3}`)},
	} {
		if _, err := w.send(ctx, m); err != nil {
			return err
		}
	}
	if _, err := w.Recall(ctx, wecomsim.Recall{Corp: w.corp, MsgID: first.MsgID, From: member(0), To: []string{member(1)}, Time: dawn.Add(-30 * time.Minute).UnixMilli()}); err != nil {
		return err
	}
	w.sent++
	for _, f := range []struct {
		size   int64
		refuse int
	}{{9 << 20, 0}, {1500, 0}, {1000, 301048}} {
		if err := w.file(ctx, f.size, f.refuse); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) ordinary(ctx context.Context) error {
	left := w.total - w.sent
	if w.r.IntN(20) == 0 {
		return w.file(ctx, 200+int64(w.r.IntN(40_000)), 0)
	}
	text := fmt.Sprintf("Message %d of %d: %x", w.sent, w.total, w.r.Uint64())
	_, err := w.send(ctx, wecomsim.Message{Text: text, Count: 1 + w.r.IntN(min(4, left))})
	return err
}
