package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/house"
)

// marker is the file by which a data folder is known as ours. Whoever uses the folder holds its lock.
const marker = "wecomvault-data"

// form is what the marker holds: the version of the folder's layout.
const form = "1"

// folder is a data folder in use by this program alone.
type folder struct {
	dir  string
	lock *os.File
}

// own makes the data folder if need be and takes it for this program, or says why it can't be used. It waits as long as patience for another
// program to let go.
func own(ctx context.Context, dir string, patience time.Duration) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder %s can't be made: choose another with -data, or make its parent writable: %w", dir, err)
	}
	if err := ours(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, marker), os.O_RDWR, 0o600) // #nosec G304 -- the user names the folder
	if err != nil {
		return nil, unwritable(dir, err)
	}
	held, err := house.Until(ctx, patience, func() (bool, error) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // #nosec G115 -- a descriptor
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil && !held {
		err = inUse(dir)
	}
	f := &folder{dir: dir, lock: lock}
	if err == nil {
		// Left by a run that was killed: whoever listens there now is somebody else.
		err = f.withdraw()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

var errInUse = errors.New("in use by another run of this program")

func inUse(dir string) error {
	return fmt.Errorf("the data folder %s is %w: end that one (Ctrl-C), or choose another folder with -data", dir, errInUse)
}

// ours marks an empty folder, and refuses one that holds something else.
func ours(dir string) error {
	path := filepath.Join(dir, marker)
	text, err := os.ReadFile(path) // #nosec G304 -- the user names the folder
	switch got := strings.TrimSpace(string(text)); {
	case err == nil && got == form:
		return nil
	case err == nil && got != "": // an empty marker is one whose writing was cut short
		return fmt.Errorf("the data folder %s was written by another version of this program (form %q): use that version, or choose another folder with -data", dir, got)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the data folder %s can't be read: choose another with -data: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("the data folder %s can't be read: choose another with -data: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name() != marker {
			return fmt.Errorf("the data folder %s holds other files and no data of ours: choose an empty or new folder with -data. Nothing in it was changed", dir)
		}
	}
	if err := os.WriteFile(path, []byte(form+"\n"), 0o600); err != nil {
		return unwritable(dir, err)
	}
	return nil
}

func unwritable(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the disk that holds the data folder %s is full: free some space and start again, or choose another folder with -data: %w", dir, err)
	}
	return fmt.Errorf("the data folder %s can't be written: make it writable, or choose another with -data: %w", dir, err)
}

// close gives the folder back.
func (f *folder) close() error { return errors.Join(f.withdraw(), f.lock.Close()) }

// address is what a run tells ctl, and the AWS CLI, about itself.
type address struct {
	Endpoint string            `json:"endpoint"`
	WeCom    string            `json:"wecom"` // the simulator, with its control API
	PID      int               `json:"pid"`
	Env      map[string]string `json:"env"`
}

func addressFile(dir string) string { return filepath.Join(dir, "endpoint.json") }

// announce says in the folder where its endpoint is.
func (f *folder) announce(endpoint, wecom string, env map[string]string) error {
	text, err := json.Marshal(address{Endpoint: endpoint, WeCom: wecom, PID: os.Getpid(), Env: env})
	if err != nil {
		return err
	}
	temporary := addressFile(f.dir) + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("say where the endpoint is: %w", unwritable(f.dir, err))
	}
	return os.Rename(temporary, addressFile(f.dir))
}

func (f *folder) withdraw() error {
	err := os.Remove(addressFile(f.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// remember notes through which library the folder's messages came, "" for the simulator's, so that ctl opens them through the same.
func (f *folder) remember(library string) error {
	if err := os.WriteFile(libraryFile(f.dir), []byte(library+"\n"), 0o600); err != nil {
		return fmt.Errorf("note the library: %w", unwritable(f.dir, err))
	}
	return nil
}

func libraryFile(dir string) string { return filepath.Join(dir, "library") }

// remembered is the library of the folder's last run, "" for the simulator's.
func remembered(dir string) string {
	text, err := os.ReadFile(libraryFile(dir))
	if err != nil {
		return "" // never noted
	}
	return strings.TrimSpace(string(text))
}

// announced finds the endpoint of the run that holds the folder. It is of use only while somebody does.
func announced(dir string) (env map[string]string, up bool) {
	text, err := os.ReadFile(addressFile(dir))
	if err != nil {
		return nil, false
	}
	var a address
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, false
	}
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return nil, false
	}
	conn, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return nil, false
	}
	return a.Env, conn.Close() == nil
}

// tight says that little room is left on the disk of the data folder, "" if there is enough: what failed may have failed for that.
func tight(dir string) string {
	const enough = 64 << 20
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return ""
	}
	left := disk.Bavail * uint64(disk.Bsize) // #nosec G115 -- never negative
	if left >= enough {
		return ""
	}
	return fmt.Sprintf("the disk that holds %s is full or nearly so (%d MB are left): free some space and run again. What was archived is intact", dir, left>>20)
}
