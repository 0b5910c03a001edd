package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/queue"
)

const self = "FetchFunction"

// bench is fetch over the local AWS, with a library that reads from scripts.
type bench struct {
	*rig.Rig
	ledger *ledger.Ledger // the operator's: it looks, and no fault is planned for it

	mu      sync.Mutex
	scripts map[archive.CorpID]*script
}

func newBench(t *testing.T) *bench {
	t.Helper()
	r := rig.Start(t, rig.Options{})
	return &bench{Rig: r, ledger: r.Ledger(r.Config(rig.Operator)), scripts: map[archive.CorpID]*script{}}
}

// script is one corp's chat data at WeCom, and what else its library answers.
type script struct {
	mu    sync.Mutex
	seqs  []archive.Seq
	page  int                                                                     // most items of one answer
	odd   func(ctx context.Context, after archive.Seq, limit int) ([]byte, error) // asked first; nil, nil: as usual
	asked []int                                                                   // the limits of all calls
}

func (s *script) ChatData(ctx context.Context, after archive.Seq, limit int) ([]byte, error) {
	s.mu.Lock()
	s.asked = append(s.asked, limit)
	odd := s.odd
	s.mu.Unlock()
	if odd != nil {
		if raw, err := odd(ctx, after, limit); raw != nil || err != nil {
			return raw, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []string
	for _, seq := range s.seqs {
		if seq > after && len(items) < min(limit, s.page) {
			items = append(items, fmt.Sprintf(`{"seq":%d,"msgid":"m%d","publickey_ver":1,"encrypt_random_key":"a","encrypt_chat_msg":"b"}`, seq, seq))
		}
	}
	return []byte(`{"errcode":0,"errmsg":"ok","chatdata":[` + strings.Join(items, ",") + `]}`), nil
}

func (s *script) limits() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *script) say(odd func(ctx context.Context, after archive.Seq, limit int) ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odd = odd
}

// corp makes a corp whose n items begin at 2^53 + 1, in answers of at most page.
func (b *bench) corp(id archive.CorpID, n, page int) *script {
	b.Helper()
	s := &script{page: page}
	for i := range n {
		s.seqs = append(s.seqs, archive.Seq(1<<53+1+2*i)) // ascending, not dense
	}
	b.mu.Lock()
	b.scripts[id] = s
	b.mu.Unlock()
	b.OK(b.ledger.PutCorp(b.Context(), ledger.Corp{ID: id, Name: string(id)}))
	return s
}

// fetcher is one process's worth of fetch. Its calls are tried once, so that a planned fault is seen.
func (b *bench) fetcher(config aws.Config) *fetcher {
	b.Helper()
	return &fetcher{
		ledger: b.Ledger(config), store: b.Store(config, "ArchiveBucket"), batches: queue.New[queue.BatchJob](sqs.NewFromConfig(config), b.Name("BatchQueue")),
		library: func(_ context.Context, corp archive.CorpID) (chatData, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.scripts[corp], nil
		},
		log: slog.New(slog.DiscardHandler), poll: 5 * time.Millisecond, metrics: io.Discard, stack: b.Template.StackName, most: 20, dead: 300 * time.Millisecond,
		again: func(context.Context, []archive.CorpID) error { return nil },
	}
}

func (b *bench) cursor(id archive.CorpID) ledger.Cursor {
	b.Helper()
	return rig.Must[ledger.Cursor](b.TB)(b.ledger.Cursor(b.Context(), id))
}

// until follows a corp until its cursor is as wanted, or until following ends with an error. It returns that error.
func (b *bench) until(f *fetcher, id archive.CorpID, what string, reached func(ledger.Cursor) bool) error {
	b.Helper()
	follow := func(ctx context.Context) error {
		_, _, err := f.follow(ctx, id)
		return err
	}
	return b.endedWhen(follow, fmt.Sprintf("corp %s: %s", id, what), func() bool { return reached(b.cursor(id)) })
}

// endedWhen has work go on until a state is reached, or until it ends by itself with an error, which is returned.
func (b *bench) endedWhen(work func(context.Context) error, what string, reached func() bool) error {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	end := time.After(20 * time.Second)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-end:
			b.Fatalf("after 20 s it is not so that %s", what)
		case <-tick.C:
			if reached() {
				cancel()
				<-ended
				return nil
			}
		}
	}
}

// ran is one invocation for all corps, which is ended when a state is reached.
func (b *bench) ran(f *fetcher, what string, reached func() bool) {
	b.Helper()
	b.OK(b.endedWhen(func(ctx context.Context) error { return f.run(ctx, nil) }, what, reached))
}

// again tells whether a corp is caught up anew, since this was called.
func (b *bench) again(id archive.CorpID) func() bool {
	before := b.cursor(id).CaughtUp
	return func() bool {
		c := b.cursor(id)
		return caughtUp(c) && c.CaughtUp.After(before)
	}
}

func caughtUp(c ledger.Cursor) bool { return c.Empties > 0 && c.Trouble == nil }

// catchUp follows a corp until WeCom has nothing more.
func (b *bench) catchUp(id archive.CorpID) {
	b.Helper()
	anew := b.again(id)
	b.OK(b.until(b.fetcher(b.Config(self)), id, "it is caught up", func(ledger.Cursor) bool { return anew() }))
}

// state is what fetching left behind, without times and versions.
type state struct {
	Seq     archive.Seq
	Chain   ledger.Link
	Batches []ledger.BatchRow
	Objects []string
	Jobs    []string // batches announced, each once
}

func (b *bench) state(id archive.CorpID, jobs map[archive.CorpID]map[string]int) state {
	b.Helper()
	c := b.cursor(id)
	s := state{Seq: c.Seq, Chain: c.Chain}
	b.OK(b.ledger.Batches(b.Context(), id, "", func(row ledger.BatchRow) bool {
		row.Corp, row.Version, row.Pulled, row.CaughtUp = "", "", time.Time{}, time.Time{}
		row.Object = strings.ReplaceAll(row.Object, string(id), "CORP")
		s.Batches = append(s.Batches, row)
		return true
	}))
	for _, k := range b.Keys("ArchiveBucket", "batches/corp="+string(id)+"/") {
		s.Objects = append(s.Objects, strings.ReplaceAll(k, string(id), "CORP"))
	}
	s.Jobs = slices.Sorted(maps.Keys(jobs[id]))
	return s
}

// jobs takes all jobs out of the queue and counts them by corp and batch.
func (b *bench) jobs() map[archive.CorpID]map[string]int {
	b.Helper()
	jobs := map[archive.CorpID]map[string]int{}
	for _, body := range b.Take("BatchQueue") {
		var job queue.BatchJob
		b.OK(json.Unmarshal([]byte(body), &job))
		if jobs[job.Corp] == nil {
			jobs[job.Corp] = map[string]int{}
		}
		jobs[job.Corp][job.Batch]++
	}
	return jobs
}

// unbroken checks that a corp's chain leads from the cursor back to its beginning without a gap, and that the batches on it hold each of its
// items once. A batch beside the chain, from a fetcher that slept past its lease, is legal.
func (b *bench) unbroken(id archive.CorpID, want []archive.Seq) {
	b.Helper()
	byLink := map[ledger.Link]ledger.BatchRow{}
	b.OK(b.ledger.Batches(b.Context(), id, "", func(row ledger.BatchRow) bool {
		byLink[row.Link] = row
		return true
	}))
	c := b.cursor(id)
	last, link, items := c.Seq, c.Chain, 0
	for link.N > 0 {
		row, ok := byLink[link]
		prev := ledger.Link{N: link.N - 1, Hash: row.Prev}
		if !ok || row.Last > last || prev.Next(row.SHA256) != link {
			b.Fatalf("corp %s: the chain breaks at %+v before seq %v: %+v", id, link, last, row)
		}
		link, last = prev, row.First-1
		items += row.Items
	}
	if items != len(want) || len(want) > 0 && c.Seq != want[len(want)-1] {
		b.Errorf("corp %s: the chain holds %d items up to seq %v, and WeCom had %d", id, items, c.Seq, len(want))
	}
}
