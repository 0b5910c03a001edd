package store_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
)

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheStoreIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "aws.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	db, err = store.Open(path)
	if err != nil {
		t.Fatalf("opening it again: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreInUseSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aws.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), "is in use by a running instance: stop that one") {
		t.Errorf("opening it twice: %v", err)
	}
}

func TestAForeignFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("accounts"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	otherBytes, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"another program's bbolt file": otherBytes,
		"a short text":                 []byte("shopping list: milk\n"),
		"a long text":                  bytes.Repeat([]byte("milk, bread, butter\n"), 5000),
		"zeros":                        make([]byte, 64<<10),
	} {
		path := filepath.Join(dir, "aws.db")
		write(t, path, content)
		db, err := store.Open(path)
		if err == nil {
			_ = db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "is not WeCom Vault's store and was left as it is") {
			t.Errorf("%s: %v", name, err)
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s was changed (%v)", name, err)
		}
	}
}

func TestWhatIsNoFolderSaysSo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), []byte("x"))
	if _, err := store.Open(filepath.Join(dir, "file", "aws.db")); err == nil || !strings.Contains(err.Error(), "is not a folder: choose another with -data") {
		t.Errorf("a file in the folder's place: %v", err)
	}
	if _, err := store.Open(dir); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder in the file's place: %v", err)
	}
}

// killVariable makes this test's program the one that is killed.
const killVariable = "WECOMVAULT_TEST_STORE_KILL"

// TestMain lets the test binary be the process that dies.
func TestMain(m *testing.M) {
	if path := os.Getenv(killVariable); path != "" {
		db, err := store.Open(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for i := 0; ; i++ {
			err := db.Update(func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte("rows"))
				if err != nil {
					return err
				}
				return b.Put(fmt.Appendf(nil, "%08d", i), []byte("x"))
			})
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println(i)
		}
	}
	os.Exit(m.Run())
}

func TestAKilledStoreOpensWithAllThatWasCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "aws.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := -1
	for {
		var i int
		if _, err := fmt.Fscan(out, &i); err != nil {
			break
		}
		last = i
		if i == 200 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || last < 200 {
		t.Fatalf("the child was not killed: %v, last row %d", err, last)
	}
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("rows")).Get(fmt.Appendf(nil, "%08d", last)) == nil {
			t.Errorf("row %d is gone", last)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
