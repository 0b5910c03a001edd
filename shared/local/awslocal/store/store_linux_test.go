package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
)

// mount makes a file system of its own, since root may write into any folder; it skips where mounting is not allowed.
func mount(t *testing.T, options string, flags uintptr) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFolderThatCantBeWrittenSaysSo(t *testing.T) {
	dir := mount(t, "size=1m", syscall.MS_RDONLY)
	for _, path := range []string{filepath.Join(dir, "aws.db"), filepath.Join(dir, "new", "aws.db")} {
		if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), "can't be written: change its owner or mode") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAFullDiskSaysSoAndKeepsWhatItHas(t *testing.T) {
	dir := mount(t, "size=1m", 0)
	path := filepath.Join(dir, "aws.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string) error {
		return db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("rows"))
			if err != nil {
				return err
			}
			return b.Put([]byte(key), make([]byte, 20<<10))
		})
	}
	kept := 0
	for ; ; kept++ {
		if err := put(fmt.Sprint(kept)); err != nil {
			if text := store.Explain(path, err).Error(); !strings.Contains(text, "is full: free some space") {
				t.Errorf("a write on the full disk: %v", text)
			}
			break
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rest"), nil)
	fill(t, filepath.Join(dir, "rest"))
	db, err = store.Open(path)
	if err != nil {
		t.Fatalf("a full disk is no reason not to read: %v", err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bbolt.Tx) error {
		if got := tx.Bucket([]byte("rows")).Stats().KeyN; got != kept {
			t.Errorf("%d rows after the disk was full, want %d", got, kept)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(filepath.Join(dir, "second", "aws.db")); err == nil || !strings.Contains(err.Error(), "is full: free some space") {
		t.Errorf("a new store on a full disk: %v", err)
	}
}

// fill writes until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for {
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return
		}
	}
}
