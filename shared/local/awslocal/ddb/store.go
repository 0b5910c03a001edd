package ddb

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// The file's layout, below one top-level bucket:
//
//	tables      table name → schema, JSON
//	data        a bucket per table: "items" (key → item), and "index/NAME" (index key + table key → projected item)
//	tokens      client request token → hash of the request and time
//	token-ages  time + token → nothing: the tokens in order of age
var (
	topBucket    = []byte("ddb")
	tablesBucket = []byte("tables")
	dataBucket   = []byte("data")
	tokensBucket = []byte("tokens")
	agesBucket   = []byte("token-ages")
	itemsBucket  = []byte("items")
)

// store is the bbolt file and the one writer that serves everybody who waits to write.
type store struct {
	db      *bbolt.DB
	schemas *sync.Map // table name → *cachedSchema

	mu      sync.Mutex
	waiting []*job
	running bool
}

type cachedSchema struct {
	raw   string
	table *table
}

func (st *store) prepare() error {
	return st.db.Update(func(tx *bbolt.Tx) error {
		top, err := tx.CreateBucketIfNotExists(topBucket)
		if err != nil {
			return err
		}
		for _, name := range [][]byte{tablesBucket, dataBucket, tokensBucket, agesBucket} {
			if _, err := top.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

func bucket(tx *bbolt.Tx, name []byte) *bbolt.Bucket { return tx.Bucket(topBucket).Bucket(name) }

// job is a write that waits for its turn. work must either refuse before it writes anything, or write everything; it may run more than once.
type job struct {
	work     func(*bbolt.Tx) error
	done     chan error
	panicked any
}

const maxJobs = 256 // writers that share one commit

// write runs work in a transaction and returns after the commit. All that wait at a moment share one commit and thus one sync of the disk.
func (st *store) write(work func(*bbolt.Tx) error) error {
	j := &job{work: work, done: make(chan error, 1)}
	st.mu.Lock()
	st.waiting = append(st.waiting, j)
	start := !st.running
	st.running = true
	st.mu.Unlock()
	if start {
		go st.commitAll()
	}
	err := <-j.done
	if j.panicked != nil {
		panic(j.panicked)
	}
	return err
}

// commitAll works until nobody waits.
func (st *store) commitAll() {
	for {
		st.mu.Lock()
		n := min(len(st.waiting), maxJobs)
		if n == 0 {
			st.running = false
			st.mu.Unlock()
			return
		}
		jobs := st.waiting[:n:n]
		st.waiting = st.waiting[n:]
		st.mu.Unlock()
		st.commit(jobs)
	}
}

// commit writes the jobs in one transaction. A job whose writes fail is taken out and the others begin again without it.
func (st *store) commit(jobs []*job) {
	for len(jobs) > 0 {
		results := make([]error, len(jobs))
		failed := -1
		err := st.db.Update(func(tx *bbolt.Tx) error {
			for i, j := range jobs {
				err := j.run(tx)
				results[i] = err
				if err != nil && asRefusal(err) == nil {
					failed = i
					return err
				}
			}
			return nil
		})
		if failed >= 0 {
			jobs[failed].done <- err
			jobs = append(jobs[:failed:failed], jobs[failed+1:]...)
			continue
		}
		for i, j := range jobs {
			if err != nil {
				results[i] = fmt.Errorf("commit: %w", err)
			}
			j.done <- results[i]
		}
		return
	}
}

var errPanicked = errors.New("the operation panicked")

func (j *job) run(tx *bbolt.Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			j.panicked = fmt.Sprintf("%v\n%s", r, debug.Stack())
			err = errPanicked
		}
	}()
	return j.work(tx)
}

// table finds a table's schema, or answers notFound.
func (st *store) table(tx *bbolt.Tx, name string) (*table, error) {
	raw := bucket(tx, tablesBucket).Get([]byte(name))
	if raw == nil {
		return nil, notFound("")
	}
	if held, ok := st.schemas.Load(name); ok {
		if c, ok := held.(*cachedSchema); ok && c.raw == string(raw) {
			return c.table, nil
		}
	}
	t := &table{}
	if err := json.Unmarshal(raw, t); err != nil {
		return nil, fmt.Errorf("schema of table %s: %w", name, err)
	}
	st.schemas.Store(name, &cachedSchema{raw: string(raw), table: t})
	return t, nil
}

func (t *table) save(tx *bbolt.Tx) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("schema of table %s: %w", t.Name, err)
	}
	return bucket(tx, tablesBucket).Put([]byte(t.Name), raw)
}

func (t *table) items(tx *bbolt.Tx) *bbolt.Bucket {
	return bucket(tx, dataBucket).Bucket([]byte(t.Name)).Bucket(itemsBucket)
}

func (ix *index) entries(tx *bbolt.Tx, t *table) *bbolt.Bucket {
	return bucket(tx, dataBucket).Bucket([]byte(t.Name)).Bucket(ix.bucketName())
}

func (ix *index) bucketName() []byte { return []byte("index/" + ix.Name) }

// item reads one item; nil if there is none.
func (t *table) item(tx *bbolt.Tx, key []byte) (attr.Item, error) {
	raw := t.items(tx).Get(key)
	if raw == nil {
		return nil, nil
	}
	it, err := attr.Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return it, nil
}

// change is one checked write: from old to new, either of which may be nil for "no item". Without writes it is only a check.
type change struct {
	table    *table
	key      []byte
	old, new attr.Item
	writes   bool
}

// apply writes the item and its index entries.
func (c *change) apply(tx *bbolt.Tx) error {
	if !c.writes {
		return nil
	}
	items := c.table.items(tx)
	var err error
	switch {
	case c.new != nil:
		err = items.Put(c.key, c.new.Encode())
	case c.old != nil:
		err = items.Delete(c.key)
	}
	if err != nil {
		return err
	}
	for i := range c.table.Indexes {
		ix := &c.table.Indexes[i]
		before, after := ix.entryKey(c.table, c.old), ix.entryKey(c.table, c.new)
		entries := ix.entries(tx, c.table)
		if before != nil && string(before) != string(after) {
			if err := entries.Delete(before); err != nil {
				return err
			}
		}
		if after != nil {
			if err := entries.Put(after, ix.projected(c.table, c.new).Encode()); err != nil {
				return err
			}
		}
	}
	return nil
}
