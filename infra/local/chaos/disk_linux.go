package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
)

// disk is a small file system of its own.
type disk struct{ dir string }

// mountSmall mounts one over a folder. errors.ErrUnsupported: it can't be done here.
func mountSmall(dir string, size int64) (disk, error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		return disk{}, errors.Join(errors.ErrUnsupported, err)
	}
	return disk{dir}, nil
}

func (d disk) unmount() error {
	if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the small file system: %w", err)
	}
	return nil
}

// staysFull is how long it stays full before it grows.
const staysFull = 5 * time.Second

// growOnceFull makes the file system larger some time after it was full, and returns how long it was full; 0 if it never was.
func (d disk) growOnceFull(ctx context.Context, size int64) time.Duration {
	var since time.Time
	for ctx.Err() == nil {
		var s syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &s); err != nil {
			return 0
		}
		if since.IsZero() && s.Bfree < 16 {
			since = clock.Real()
		}
		if !since.IsZero() && clock.Real().Sub(since) > staysFull {
			if err := syscall.Mount("", d.dir, "", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
				return 0
			}
			return clock.Real().Sub(since)
		}
		rest(ctx, 20*time.Millisecond)
	}
	return 0
}
