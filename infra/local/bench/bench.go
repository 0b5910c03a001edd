package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/progress"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// bench is one run.
type bench struct {
	options
	*results
	meter *meter
	wecom *wecom
	out   io.Writer
	began time.Time
	line  *progress.Line // of the part that is being measured
}

// part begins the progress of a part. total is how many units it has, 0 if nothing can be counted. The caller ends it.
func (b *bench) part(what, unit string, total int) *progress.Line {
	b.line = progress.New(os.Stderr, "bench "+what, unit, int64(total))
	return b.line
}

// say tells how far the run is.
func (b *bench) say(format string, args ...any) {
	if b.began.IsZero() {
		b.began = clock.Real()
	}
	out := b.out
	if b.line != nil {
		out = b.line.Beside(out)
	}
	fmt.Fprintf(out, "%6.0f s  %s\n", clock.Real().Sub(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// place is the product over a folder of its own, with fetch invoked each minute as its schedule does.
type place struct {
	*house.House
	ledger *ledger.Ledger
	wecom  *wecom
	stop   context.CancelFunc
	fetch  sync.WaitGroup
}

// open starts the product. Nothing is fetched before the first corp is added and follow is called.
func (b *bench) open(ctx context.Context, name, poll string, more ...func(*house.Options)) (*place, error) {
	data := filepath.Join(b.folders.Data, name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the data: %w", err)
	}
	wiring, err := b.wiring(data)
	if err != nil {
		return nil, err
	}
	options := house.Options{
		Data: data, Template: wiring, Binaries: b.folders.Binaries, NoSync: true,
		Params: map[string]string{
			"WecomUrl": b.wecom.url, "SdkHost": filepath.Join(b.folders.Binaries, "local", "simsdk"), "PollInterval": poll,
			"RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true",
		},
	}
	for _, change := range more {
		change(&options)
	}
	h, err := house.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	p := &place{House: h, ledger: h.Ledger(), wecom: b.wecom, stop: func() {}}
	if err := h.Start(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// mostJobs is the line that says how many environments may work on a queue at a time.
var mostJobs = regexp.MustCompile(`ScalingConfig: \{MaximumConcurrency: \d+\}`)

// wiring copies the template with as many environments for a queue as there are processors here. On Lambda each has a processor of its own; ten
// that share two spend their time on taking turns, which is no cost of the product's.
func (b *bench) wiring(data string) (string, error) {
	text, err := os.ReadFile(b.folders.Template)
	if err != nil {
		return "", fmt.Errorf("read the template: %w", err)
	}
	if !mostJobs.Match(text) {
		return "", fmt.Errorf("%s does not say how many environments work on a queue in the way that bench knows: %s", b.folders.Template, mostJobs)
	}
	text = mostJobs.ReplaceAll(text, fmt.Appendf(nil, "ScalingConfig: {MaximumConcurrency: %d}", max(runtime.NumCPU(), 2)))
	path := filepath.Join(data, "template.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("write the template: %w", err)
	}
	return path, nil
}

func (p *place) close() error {
	p.stop()
	err := p.House.Close() // ends the functions too
	p.fetch.Wait()
	return errors.Join(err, os.RemoveAll(p.Data))
}

// add makes a corp known, with its secret and key.
func (p *place) add(ctx context.Context, id archive.CorpID) (*supply, error) {
	vault := secrets.New(secretsmanager.NewFromConfig(p.Config(house.Operator)), p.Template.Parameters["SecretsPrefix"]).SealWith(p.Template.Outputs["SecretsKeyArn"])
	err := errors.Join(
		vault.PutSecret(ctx, id, secrets.Archive, secrets.NewValue("bench")),
		vault.AddKey(ctx, id, 1, p.wecom.key),
		p.ledger.PutKey(ctx, id, ledger.KeyRow{Version: 1, Added: clock.Now()}),
		p.ledger.PutCorp(ctx, ledger.Corp{ID: id, Name: string(id), Added: clock.Now()}),
	)
	if err != nil {
		return nil, err
	}
	return p.wecom.corp(id), nil
}

// follow invokes fetch now and each minute.
func (p *place) follow(ctx context.Context) {
	ctx, p.stop = context.WithCancel(ctx)
	p.fetch.Go(func() {
		minute := time.NewTicker(time.Minute)
		defer minute.Stop()
		for {
			p.fetch.Go(func() {
				_, _ = p.Host.Invoke(ctx, "FetchFunction", []byte(`{}`)) // what it did not fetch is missed at the end
			})
			select {
			case <-minute.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// patience bounds each wait. Nothing here takes as long, even on a busy machine, unless something stands still.
const patience = 30 * time.Minute

// fetched waits until a corp's cursor stands at a seq.
func (p *place) fetched(ctx context.Context, id archive.CorpID, last archive.Seq) error {
	return p.fetchedTelling(ctx, id, last, func(archive.Seq) {})
}

// fetchedTelling tells at which seq the cursor stands meanwhile.
func (p *place) fetchedTelling(ctx context.Context, id archive.CorpID, last archive.Seq, tell func(archive.Seq)) error {
	ok, err := house.Until(ctx, patience, func() (bool, error) {
		c, err := p.ledger.Cursor(ctx, id)
		if errors.Is(err, ledger.ErrAbsent) {
			return false, nil
		}
		if err == nil {
			tell(c.Seq)
		}
		return c.Seq >= last, err
	})
	if err == nil && !ok {
		err = fmt.Errorf("corp %s was not fetched up to seq %s within %v", id, last, patience)
	}
	return err
}

// idle waits until no job is left in a queue.
func (p *place) idle(ctx context.Context) error {
	ok, err := house.Until(ctx, patience, func() (bool, error) {
		jobs, dead := p.Queued()
		if dead > 0 {
			return false, fmt.Errorf("%d jobs are dead letters", dead)
		}
		return jobs == 0, nil
	})
	if err == nil && !ok {
		err = fmt.Errorf("jobs are left in the queues after %v", patience)
	}
	return err
}

// counted says whether a corp's batches hold so many messages, all of them archived: a benchmark that loses some measures nothing.
func (p *place) counted(ctx context.Context, id archive.CorpID, want int) error {
	archived, pending := 0, 0
	err := p.ledger.Batches(ctx, id, "", func(row ledger.BatchRow) bool {
		archived += row.Archived
		if row.State != ledger.Done {
			pending++
		}
		return true
	})
	if err == nil && (archived != want || pending > 0) {
		err = fmt.Errorf("corp %s has %d of %d messages, and %d batches are pending", id, archived, want, pending)
	}
	return err
}
