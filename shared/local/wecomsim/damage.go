package wecomsim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
)

// openFile opens the simulator's file and reads all of it once: bbolt notices damage only when it comes upon it, and panics at some. A damaged file is
// left as it is.
func openFile(path string) (db *bolt.DB, err error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0 && info.Size() < 4*int64(os.Getpagesize()):
		return nil, damaged(path, errors.New("it is cut"))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("opening the simulator's file: %w", err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a mapped page that the file does not have
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damaged(path, fmt.Errorf("%v", r))
		}
	}()
	if db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: 2 * time.Second}); err != nil {
		return nil, fmt.Errorf("opening the simulator's file %s: %w", path, err)
	}
	if info, err = os.Stat(path); err == nil {
		err = db.View(func(tx *bolt.Tx) error {
			if info.Size() < tx.Size() {
				return damaged(path, errors.New("it is cut"))
			}
			return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readAll(b) })
		})
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("the simulator's file %s is damaged (%w) and was left as it is", path, err)
}

func readAll(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return readAll(b.Bucket(k))
		}
		return nil
	})
}
