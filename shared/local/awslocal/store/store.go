// Package store opens the one file in which the local AWS services keep their state. It owns the lock, the file's modes and the
// sentences for what can be wrong with it; it must not know what the services keep.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long Open waits for another process to let go: long enough for one that is just ending.
const lockTimeout = time.Second

// mark is the bucket that says whose file this is.
const mark = "wecomvault"

// form is the version of the layout, in the mark's "form".
const form = "1"

// Open opens or makes the file, for this process alone, in a folder of mode 0700 that it makes if need be. Every commit is on disk
// when it returns. A program whose run can be repeated may set NoSync on the answer: a kill loses nothing then either, but a power cut
// may. The errors are sentences for the person at the keyboard.
func Open(path string) (*bbolt.DB, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, Explain(path, err)
	}
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a file: choose another data folder with -data", path)
		}
		// An empty file is one whose making was interrupted, and may be begun anew. Anything else must already be a store: bbolt
		// would tell a foreign file only by chance.
		if info.Size() > 0 && info.Size() < int64(os.Getpagesize()) {
			return nil, foreign(path, errors.New("too small"))
		}
		if info.Size() > 0 && info.Size() < smallest*int64(os.Getpagesize()) {
			return nil, damaged(path, errors.New("it is cut"))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, Explain(path, err)
	}
	options := *bbolt.DefaultOptions
	options.Timeout = lockTimeout
	db, err := openFile(path, &options)
	if err != nil {
		return nil, err
	}
	if err := whole(db, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := db.Update(claim); err != nil {
		return nil, errors.Join(Explain(path, err), db.Close())
	}
	return db, nil
}

// openFile opens a file that may be damaged in any way: bbolt panics at some of them.
func openFile(path string, options *bbolt.Options) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damaged(path, fmt.Errorf("%v", r))
		}
	}()
	if db, err = bbolt.Open(path, 0o600, options); err != nil {
		return nil, Explain(path, err)
	}
	return db, nil
}

// smallest is how many pages bbolt's smallest file has.
const smallest = 4

// whole reads everything in the store once. bbolt notices damage only when it comes upon it, and a cut file would end the program then.
func whole(db *bbolt.DB, path string) (err error) {
	info, err := os.Stat(path)
	if err != nil {
		return Explain(path, err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a mapped page that the disk can't give
	defer func() {
		if r := recover(); r != nil {
			err = damaged(path, fmt.Errorf("%v", r))
		}
	}()
	return db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return damaged(path, errors.New("it is cut"))
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readAll(b) })
	})
}

func readAll(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return readAll(b.Bucket(k))
		}
		return nil
	})
}

func damaged(path string, err error) error {
	return fmt.Errorf("%s is damaged (%w) and was left as it is: put it back from a copy, or begin anew in another folder with -data", path, err)
}

var errForeign = errors.New("it holds another program's data")

// claim marks a new file as ours, and refuses one that something else has filled.
func claim(tx *bbolt.Tx) error {
	if b := tx.Bucket([]byte(mark)); b != nil {
		if got := string(b.Get([]byte("form"))); got != form {
			return fmt.Errorf("%w of form %q, and this program knows only form %q", errForeign, got, form)
		}
		return nil
	}
	if name, _ := tx.Cursor().First(); name != nil {
		return errForeign
	}
	b, err := tx.CreateBucket([]byte(mark))
	if err != nil {
		return err
	}
	return b.Put([]byte("form"), []byte(form))
}

// Explain turns an error of opening or writing the store at path into a sentence for the person at the keyboard.
func Explain(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%s is in use by a running instance: stop that one (Ctrl-C), or choose another data folder with -data: %w", path, err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum), errors.Is(err, errForeign):
		return foreign(path, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk that holds %s is full: free some space and start again; what was already stored is intact: %w", path, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder %s can't be written: change its owner or mode, or choose another with -data: %w", filepath.Dir(path), err)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("the data folder %s is not a folder: choose another with -data: %w", filepath.Dir(path), err)
	}
	return fmt.Errorf("opening %s: %w", path, err)
}

func foreign(path string, err error) error {
	return fmt.Errorf("%s is not WeCom Vault's store and was left as it is: choose another data folder with -data, or move that file away: %w", path, err)
}
