package financesdk

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
)

// HostOf reads the setting SDK_HOST into Config.Host: the path of a program, which may hold blanks, or a program and its arguments with
// blanks between them. Empty stays empty.
func HostOf(setting string) []string {
	if _, err := os.Stat(setting); err == nil {
		return []string{setting}
	}
	return strings.Fields(setting)
}

// idle is how many invocations in a row may leave a library alone before it is put away. A child is resident with 20 MB or more: an environment
// that met a new corp with each job would otherwise end for want of memory.
const idle = 2

// Pool holds one library for each corp from one invocation to the next, as long as it is asked for. Corps never share a child: one that hangs or
// dies is one corp's trouble. Safe for concurrent use.
type Pool struct {
	configure func(archive.CorpID) Config
	log       *slog.Logger

	mu    sync.Mutex
	open  map[archive.CorpID]*SDK
	wakes int                    // invocations so far
	asked map[archive.CorpID]int // in which of them each open library was last asked for
}

// NewPool returns an empty pool; configure says how a corp's library is started.
func NewPool(log *slog.Logger, configure func(archive.CorpID) Config) *Pool {
	return &Pool{configure: configure, log: log, open: map[archive.CorpID]*SDK{}, asked: map[archive.CorpID]int{}}
}

// Of returns a corp's library, started if need be.
func (p *Pool) Of(ctx context.Context, corp archive.CorpID) (*SDK, error) {
	p.mu.Lock()
	p.asked[corp] = p.wakes
	sdk := p.open[corp]
	p.mu.Unlock()
	if sdk != nil {
		return sdk, nil
	}
	// Started outside the lock: a library that takes long to load delays its own corp only.
	sdk, err := Start(ctx, p.configure(corp))
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.open[corp]; other != nil {
		p.closeOne(corp, sdk)
		return other, nil
	}
	p.open[corp] = sdk
	return sdk, nil
}

// Decrypt opens items with the library of a corp, as SDK.Decrypt does.
func (p *Pool) Decrypt(ctx context.Context, corp archive.CorpID, items []Item) ([]Result, error) {
	sdk, err := p.Of(ctx, corp)
	if err != nil {
		return nil, err
	}
	return sdk.Decrypt(ctx, items)
}

// Wake begins an invocation: time may have stood still since the last one. Children that don't answer are put away and started anew when
// next asked for, and so are those that the last invocations did not ask for: nobody may be using a library from before.
func (p *Pool) Wake(ctx context.Context) {
	p.mu.Lock()
	p.wakes++
	for corp, sdk := range p.open {
		if p.wakes-p.asked[corp] > idle {
			p.closeOne(corp, sdk)
			delete(p.open, corp)
		}
	}
	maps.DeleteFunc(p.asked, func(corp archive.CorpID, _ int) bool { return p.open[corp] == nil })
	open := maps.Clone(p.open)
	p.mu.Unlock()
	// All at once: a child that does not answer is waited for, and no corp waits for another.
	var wg sync.WaitGroup
	for corp, sdk := range open {
		wg.Go(func() {
			err := wake(ctx, sdk)
			if err == nil {
				return
			}
			p.log.WarnContext(ctx, "library put away", slog.String("corp", string(corp)), slog.String("error", err.Error()))
			p.mu.Lock()
			if p.open[corp] == sdk {
				delete(p.open, corp)
			}
			p.mu.Unlock()
			p.closeOne(corp, sdk)
		})
	}
	wg.Wait()
}

// wake is Wake in a goroutine of its own: what a child says must not end more than the child.
func wake(ctx context.Context, sdk *SDK) (err error) {
	defer fault.Catch(&err)
	return sdk.Wake(ctx)
}

// Close ends all children.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for corp, sdk := range p.open {
		p.closeOne(corp, sdk)
		delete(p.open, corp)
	}
}

func (p *Pool) closeOne(corp archive.CorpID, sdk *SDK) {
	if err := sdk.Close(); err != nil {
		p.log.Warn("library did not close", slog.String("corp", string(corp)), slog.String("error", err.Error()))
	}
}
