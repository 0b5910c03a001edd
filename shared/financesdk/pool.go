package financesdk

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// HostOf reads the setting SDK_HOST into Config.Host: the path of a program, which may hold blanks, or a program and its arguments with
// blanks between them. Empty stays empty.
func HostOf(setting string) []string {
	if _, err := os.Stat(setting); err == nil {
		return []string{setting}
	}
	return strings.Fields(setting)
}

// Pool holds one library for each corp from one invocation to the next. Corps never share a child: one that hangs or dies is one corp's
// trouble. Safe for concurrent use.
type Pool struct {
	configure func(archive.CorpID) Config
	log       *slog.Logger

	mu   sync.Mutex
	open map[archive.CorpID]*SDK
}

// NewPool returns an empty pool; configure says how a corp's library is started.
func NewPool(log *slog.Logger, configure func(archive.CorpID) Config) *Pool {
	return &Pool{configure: configure, log: log, open: map[archive.CorpID]*SDK{}}
}

// Of returns a corp's library, started if need be.
func (p *Pool) Of(ctx context.Context, corp archive.CorpID) (*SDK, error) {
	p.mu.Lock()
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

// Wake begins an invocation: time may have stood still since the last one. Children that don't answer are put away and started anew when
// next asked for.
func (p *Pool) Wake(ctx context.Context) {
	p.mu.Lock()
	open := maps.Clone(p.open)
	p.mu.Unlock()
	// All at once: a child that does not answer is waited for, and no corp waits for another.
	var wg sync.WaitGroup
	for corp, sdk := range open {
		wg.Go(func() {
			err := sdk.Wake(ctx)
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
