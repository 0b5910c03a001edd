package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

const (
	fewFiles  = 300
	smallFile = 200 << 10
	sameFile  = 64 << 20 // what the large file's memory is compared with
)

// attach publishes messages with a file each.
func (b *bench) attach(p *place, s *supply, total *int, n int, size int64) (hashes []string, err error) {
	var items [][]byte
	for range n {
		*total++
		id, sum := b.wecom.file(*total, size)
		file, err := json.Marshal(map[string]any{"sdkfileid": id, "md5sum": sum, "filename": "chart.pdf", "fileext": "pdf", "filesize": size})
		if err != nil {
			return nil, err
		}
		l := text(*total, clock.Now())
		l.Type, l.Text, l.File = "file", nil, file
		item, err := b.wecom.element(l)
		if err != nil {
			return nil, err
		}
		items, hashes = append(items, item), append(hashes, archive.FileID(id).Hash())
	}
	last := p.wecom.publish(s, items)
	return hashes, p.fetched(context.Background(), company, last)
}

// bring attaches files and waits until all are kept.
func (b *bench) bring(ctx context.Context, p *place, s *supply, total *int, n int, size int64) (time.Duration, error) {
	began := clock.Real()
	hashes, err := b.attach(p, s, total, n, size)
	if err != nil {
		return 0, err
	}
	if err := p.idle(ctx); err != nil {
		return 0, err
	}
	took := clock.Real().Sub(began)
	rows, err := p.ledger.Media(ctx, company, hashes)
	if err != nil {
		return 0, err
	}
	kept := 0
	for _, row := range rows {
		if row.State == ledger.Kept && row.Size == size {
			kept++
		}
	}
	if kept != n {
		return 0, fmt.Errorf("%d of %d files of %d bytes were kept", kept, n, size)
	}
	return took, nil
}

// media measures a large file, and a backlog of small ones.
func (b *bench) media(ctx context.Context, p *place, s *supply, total *int) error {
	line := b.part("media", "", 0)
	defer line.Done()
	line.Note(fmt.Sprintf("a file of %d MB", b.size>>20))
	if _, err := b.bring(ctx, p, s, total, 1, sameFile); err != nil {
		return err
	}
	before := b.meter.of("media").Peak
	took, err := b.bring(ctx, p, s, total, 1, b.size)
	if err != nil {
		return err
	}
	peak := b.meter.of("media").Peak
	b.say("a file of %d MB: %.1f s; peak %.1f MB, with a file of %d MB %.1f MB", b.size>>20, took.Seconds(), megabytes(peak), sameFile>>20, megabytes(before))
	empty, err := b.empty(ctx)
	if err != nil {
		return err
	}
	b.set("media-memory", megabytes(peak-empty.peak))
	b.set("file-memory", megabytes(peak-before))
	b.set("file-speed", megabytes(b.size)/took.Seconds())
	line.Note(fmt.Sprintf("%d files of %d KB", fewFiles, smallFile>>10))
	took, err = b.bring(ctx, p, s, total, fewFiles, smallFile)
	if err != nil {
		return err
	}
	rate := fewFiles / took.Seconds()
	b.say("%d files of %d KB: %.1f s", fewFiles, smallFile>>10, took.Seconds())
	b.note("at this pace %.1f million files come in within the media window of %v", rate*p.Windows().Media.Seconds()/1e6, p.Windows().Media)
	b.set("files", rate)
	return nil
}
