package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// storm plays a large corpus undisturbed and in a storm, and compares.
func (o options) storm(ctx context.Context, out io.Writer) error {
	corpus := filepath.Join(o.folders.Data, "storm-corpus")
	began := clock.Real()
	made, err := makeCorpus(ctx, corpus, shape{seed: o.seed, messages: o.messages, page: min(max(o.messages/80, 8), 200), corps: 3})
	if err != nil {
		return err
	}
	items, never, files := 0, 0, 0
	for _, c := range made.Corps {
		items, never, files = items+c.Items, never+c.Never, files+c.Files
	}
	fmt.Fprintf(out, "the storm: %d messages of %d corps, %d of which never open, %d attachments, made in %v\n", items, len(made.Corps), never, files, clock.Real().Sub(began).Round(time.Second))
	began = clock.Real()
	base, err := o.undisturbed(ctx, out, "calm", corpus)
	if err != nil {
		return err
	}
	calm := clock.Real().Sub(began)
	r, err := o.newRun("storm", corpus)
	if err != nil {
		return err
	}
	r.Storm = &weather{Seed: o.seed, Gap: time.Second, Ends: clock.Real().Add(20*time.Second + time.Duration(o.messages)*30*time.Millisecond)}
	if o.away > 0 {
		fmt.Fprintf(out, "  the store is away for %v at the beginning (-away 0 leaves that out)\n", o.away)
		r.Storm.Away = clock.Real().Add(o.away)
		r.Patience += o.away
		r.Storm.Ends = r.Storm.Ends.Add(o.away)
	} else {
		fmt.Fprintf(out, "  the store is away for %v at a time; -away 5m keeps it away for longer at the beginning, as from %d messages on\n", shortAway, longFrom)
	}
	began = clock.Real()
	line := progress.New(os.Stderr, "the storm", "messages fetched", 0)
	defer line.Done()
	out = line.Beside(out)
	c := &child{run: r, out: out, line: line}
	got, err := c.toTheEnd(ctx)
	line.Done()
	fmt.Fprintf(out, "the storm: calm %v, stormy %v; the endpoints were started %d times\n", calm.Round(time.Second), clock.Real().Sub(began).Round(time.Second), c.starts)
	events := counted(filepath.Join(r.Data, eventsFile))
	for _, name := range slices.Sorted(maps.Keys(events)) {
		fmt.Fprintf(out, "  %4d × %s\n", events[name], name)
	}
	if err != nil {
		return err
	}
	if took := clock.Real().Sub(began); took < o.away {
		return fmt.Errorf("the storm was over after %v, before the store had been away for %v", took.Round(time.Second), o.away)
	}
	fmt.Fprintf(out, "  hidden jobs made visible %d times, lost announcements looked for %d times, %d mails possibly double, each marked and counted; %d segments that no batch names and that hold nothing of their own\n",
		got.Notes.Released, got.Notes.Nudges, len(got.Doubles), got.Notes.Segments)
	return told(out, "the storm", compare(base.state, got))
}

// counted counts the lines of a file.
func counted(path string) map[string]int {
	out := map[string]int{}
	b, err := os.ReadFile(path) // #nosec G304 -- of a run
	if err != nil {
		return out
	}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if l != stampKey {
			out[l]++
		}
	}
	return out
}

// fullDisk plays a run on a file system that is too small, which grows once it was full for a while.
func (o options) fullDisk(ctx context.Context, out io.Writer) (err error) {
	corpus := filepath.Join(o.folders.Data, "full-corpus")
	if _, err := makeCorpus(ctx, corpus, shape{seed: o.seed, messages: 200, page: 10, corps: 2}); err != nil {
		return err
	}
	base, err := o.undisturbed(ctx, io.Discard, "roomy", corpus)
	if err != nil {
		return err
	}
	needs, err := sizeOf(filepath.Join(o.folders.Data, "roomy"))
	if err != nil {
		return err
	}
	r, err := o.newRun("full", corpus)
	if err != nil {
		return err
	}
	disk, err := mountSmall(r.Data, needs*6/10)
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Fprintln(out, "full disk: SKIPPED, a file system of its own can't be mounted here:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.unmount()) }()
	ctx, cancel := context.WithCancel(ctx)
	var growing sync.WaitGroup
	defer growing.Wait()
	defer cancel()
	full := time.Duration(0)
	growing.Go(func() { full = disk.growOnceFull(ctx, needs*3) })
	line := progress.New(os.Stderr, "the full disk", "messages fetched", 0)
	defer line.Done()
	c := &child{run: r, out: line.Beside(out), line: line, stubborn: true}
	got, err := c.toTheEnd(ctx)
	cancel()
	growing.Wait()
	if err != nil {
		return err
	}
	if full == 0 {
		return errors.New("full disk: it was never full, so nothing was shown")
	}
	fmt.Fprintf(out, "full disk: %d MB where %d are needed, full for %v, then made larger; the endpoints were started %d times\n", needs*6/10>>20, needs>>20, full.Round(time.Second), c.starts)
	return told(out, "full disk", compare(base.state, got))
}

// sizeOf is what the files of a folder take.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure a run's files: %w", err)
	}
	return n, nil
}
