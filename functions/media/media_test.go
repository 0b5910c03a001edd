package main

import (
	"bytes"
	"context"
	"crypto/md5" // #nosec G501 -- WeCom's messages carry MD5 sums
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

const (
	self = "MediaFunction"
	corp = archive.CorpID("wwtide")
)

var noon = time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)

// bench is media over the local AWS.
type bench struct {
	*rig.Rig
	ledger *ledger.Ledger // the operator's
}

func newBench(t *testing.T) bench {
	t.Helper()
	r := rig.Start(t, rig.Options{})
	return bench{r, r.Ledger(r.Config(rig.Operator))}
}

func (b bench) fetcher(c aws.Config, library downloader) *fetcher {
	b.Helper()
	return &fetcher{ledger: b.Ledger(c), store: b.Store(c, "ArchiveBucket"), log: slog.New(slog.DiscardHandler), metrics: io.Discard, stack: b.Template.StackName,
		library: func(context.Context, archive.CorpID) (downloader, error) { return library, nil }}
}

// shelf is a library with one file in chunks of half a mebibyte, as the real one hands out.
type shelf struct {
	size  int
	chunk int
	fail  func(index int) error // nil: no trouble at the chunk

	mu    sync.Mutex
	asked []int
	peak  uint64 // of the heap
}

func content(from, to int) []byte {
	data := make([]byte, to-from)
	for i := range data {
		n := from + i
		data[i] = byte(n ^ n>>8 ^ n>>16)
	}
	return data
}

func (s *shelf) MediaChunk(_ context.Context, index, _ string) (financesdk.Chunk, error) {
	at := 0
	if index != "" {
		var err error
		if at, err = strconv.Atoi(index); err != nil {
			return financesdk.Chunk{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, at)
	if s.fail != nil {
		if err := s.fail(at); err != nil {
			return financesdk.Chunk{}, err
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.peak = max(s.peak, m.HeapInuse)
	step := s.chunk
	if step == 0 {
		step = 512 << 10
	}
	end := min(at+step, s.size)
	c := financesdk.Chunk{Data: content(at, end), Finished: end == s.size}
	if !c.Finished {
		c.Next = strconv.Itoa(end)
	}
	return c, nil
}

// waiting makes an attachment wait and returns its job.
func (b bench) waiting(id archive.CorpID, file archive.FileID) queue.MediaJob {
	b.Helper()
	w := ledger.Waiting{Corp: id, FileID: file, Clock: noon}
	_, err := b.ledger.PutWaiting(b.Context(), id, []ledger.Waiting{w})
	b.OK(err)
	return queue.MediaJob{Corp: id, Waiting: w.Key()}
}

func (b bench) outcome(id archive.CorpID, file archive.FileID) ledger.MediaRow {
	b.Helper()
	rows, err := b.ledger.Media(b.Context(), id, []string{file.Hash()})
	b.OK(err)
	return rows[file.Hash()]
}

func (b bench) waits(id archive.CorpID) (n int) {
	b.Helper()
	b.OK(b.ledger.AllWaiting(b.Context(), id, func(ledger.Waiting) bool { n++; return true }))
	return n
}

// kept checks that a file's bytes are in the archive as they were.
func (b bench) kept(id archive.CorpID, file archive.FileID, size int) {
	b.Helper()
	want := content(0, size)
	sum := md5.Sum(want) // #nosec G401 -- see the import
	row := b.outcome(id, file)
	if row.State != ledger.Kept || row.Size != int64(size) || row.SHA256 != archive.HashHex(want) || row.MD5 != hex.EncodeToString(sum[:]) || row.Reason != "" {
		b.Fatalf("the outcome is %+v", row)
	}
	body, err := b.Store(b.Config(rig.Operator), "ArchiveBucket").OpenMedia(b.Context(), objstore.Object{Key: row.Object, VersionID: row.Version, SHA256: row.SHA256})
	b.OK(err)
	got, err := io.ReadAll(body)
	b.OK(errors.Join(err, body.Close()))
	if !bytes.Equal(got, want) {
		b.Fatal("the bytes are others")
	}
	if n := b.waits(id); n != 0 {
		b.Errorf("%d still wait", n)
	}
}

func TestFilesOfAnySizeAreKeptWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, size := range []int{0, 1, 512 << 10, partSize - 1, partSize, partSize + 1, 2 * partSize, 2*partSize + 5} {
		id, file := archive.CorpID(fmt.Sprint("ww", size)), archive.FileID(fmt.Sprint("f", size))
		job := b.waiting(id, file)
		s := &shelf{size: size}
		b.OK(b.fetcher(b.Config(self), s).fetch(t.Context(), job))
		b.kept(id, file, size)
		// Once more: nothing is asked of WeCom.
		asked := len(s.asked)
		before := b.Rows("ControlTable")
		b.OK(b.fetcher(b.Config(self), s).fetch(t.Context(), job))
		if len(s.asked) != asked {
			t.Errorf("a file of %d bytes was downloaded again", size)
		}
		if diff := cmp.Diff(before, b.Rows("ControlTable")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestALargeFileTakesNoMoreMemoryThanASmallOne(t *testing.T) {
	b := newBench(t)
	peak := map[int]uint64{}
	for _, size := range []int{30 << 20, 120 << 20} {
		id, file := archive.CorpID(fmt.Sprint("ww", size)), archive.FileID(fmt.Sprint("f", size))
		job := b.waiting(id, file)
		runtime.GC()
		s := &shelf{size: size}
		b.OK(b.fetcher(b.Config(self), s).fetch(t.Context(), job))
		if row := b.outcome(id, file); row.State != ledger.Kept || row.Size != int64(size) {
			t.Fatalf("the outcome is %+v", row)
		}
		peak[size] = s.peak
	}
	t.Logf("heap in use at most: %d MiB for 30 MiB, %d MiB for 120 MiB (the local S3's front included)", peak[30<<20]>>20, peak[120<<20]>>20)
	if peak[120<<20] > peak[30<<20]+48<<20 {
		t.Errorf("four times the file takes %d MiB more", (peak[120<<20]-peak[30<<20])>>20)
	}
}

func TestADownloadGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	const size = 3*partSize + 100
	for name, broken := range map[string]func(b bench, s *shelf){
		"the library dies": func(_ bench, s *shelf) {
			s.fail = func(at int) error {
				if at > 2*partSize {
					return errors.New("gone")
				}
				return nil
			}
		},
		"the state of the upload is not saved": func(b bench, _ *shelf) {
			n := 0
			b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if q.Operation == "UpdateItem" {
					if n++; n >= 2 {
						d.Act = awslocal.Refuse
					}
				}
				return d
			})
		},
		"a part is refused": func(b bench, _ *shelf) {
			n := 0
			b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				if q.Operation == "UploadPart" {
					if n++; n >= 3 {
						d.Act = awslocal.Refuse
					}
				}
				return d
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			job := b.waiting(corp, "f")
			s := &shelf{size: size}
			broken(b, s)
			if err := b.fetcher(b.Config(self), s).fetch(t.Context(), job); err == nil {
				t.Fatal("nothing broke")
			}
			w, err := b.ledger.Waiting(t.Context(), corp, job.Waiting)
			b.OK(err)
			if w.Upload == nil || len(w.Upload.Parts) == 0 {
				t.Fatalf("nothing is remembered: %+v", w)
			}
			from := int(w.Upload.Size)
			b.Fault(nil)
			s.fail, s.asked = nil, nil
			b.OK(b.fetcher(b.Config(self), s).fetch(t.Context(), job))
			if s.asked[0] != from || from < partSize {
				t.Errorf("it went on at %d; %d were in", s.asked[0], from)
			}
			b.kept(corp, "f", size)
		})
	}
}

func TestAnUploadThatTheStoreDroppedBeginsAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const size = partSize + 100
	job := b.waiting(corp, "f")
	w, err := b.ledger.Waiting(t.Context(), corp, job.Waiting)
	b.OK(err)
	s := &shelf{size: size, fail: func(at int) error {
		if at >= partSize {
			return errors.New("gone")
		}
		return nil
	}}
	if err := b.fetcher(b.Config(self), s).fetch(t.Context(), job); err == nil {
		t.Fatal("nothing broke")
	}
	w, err = b.ledger.Waiting(t.Context(), corp, w.Key())
	b.OK(err)
	b.OK(b.Store(b.Config(rig.Operator), "ArchiveBucket").AbortMedia(t.Context(), objstore.MediaUpload{Key: objstore.MediaKey(corp, archive.FileID("f").Hash()), UploadID: w.Upload.ID}))
	s.fail = nil
	b.OK(b.fetcher(b.Config(self), s).fetch(t.Context(), job))
	b.kept(corp, "f", size)
}

// TestNoFailedWriteLosesOrDoublesAnything is the fault table, for a file in one piece and for one in parts.
func TestNoFailedWriteLosesOrDoublesAnything(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	writes := []string{"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutItem", "UpdateItem", "DeleteItem"}
	n := 0
	for _, size := range []int{1000, partSize + 100} {
		run := func(nth int, act awslocal.Act) (first error, seen []string, id archive.CorpID) {
			n++
			id = archive.CorpID(fmt.Sprintf("ww%d", n))
			job := b.waiting(id, "f")
			var mu sync.Mutex
			at := 0
			b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
				mu.Lock()
				defer mu.Unlock()
				if q.Caller == self && slices.Contains(writes, q.Operation) {
					seen = append(seen, q.Operation)
					if at++; at == nth {
						d.Act = act
					}
				}
				return d
			})
			s := &shelf{size: size, chunk: 4 << 20}
			first = b.fetcher(b.Once(self), s).fetch(t.Context(), job)
			b.Fault(nil)
			b.OK(b.fetcher(b.Config(self), s).fetch(t.Context(), job))
			return first, seen, id
		}
		_, calls, _ := run(0, awslocal.Pass)
		for nth := range calls {
			for name, act := range map[string]awslocal.Act{"refused": awslocal.Refuse, "done and reported as failed": awslocal.FailAfter, "done and cut": awslocal.CutAfter} {
				failed, _, id := run(nth+1, act)
				if failed == nil {
					t.Errorf("write %d (%s) %s, and nobody noticed", nth+1, calls[nth], name)
				}
				b.kept(id, "f", size)
				if keys := b.Keys("ArchiveBucket", objstore.MediaKey(id, "")); len(keys) != 1 {
					t.Errorf("write %d (%s) %s: the objects are %v", nth+1, calls[nth], name, keys)
				}
			}
		}
		t.Logf("%d bytes: %d writes (%v), each in three ways", size, len(calls), calls)
	}
}

func TestOnlyWeComsOwnWordMakesAFileLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := 0
	for name, c := range map[string]struct {
		err    error
		reason string // "" it goes on waiting
	}{
		"10010":                  {&financesdk.Error{Op: "media", Code: 10010, Err: errors.New("x")}, "media-expired"},
		"301048":                 {&financesdk.Error{Op: "media", Code: 10003, ErrCode: 301048, Err: errors.New("x")}, "media-expired"},
		"10005":                  {&financesdk.Error{Op: "media", Code: 10005, Err: errors.New("x")}, "no-such-file"},
		"10000":                  {&financesdk.Error{Op: "media", Code: 10000, Err: errors.New("x")}, ""},
		"10001":                  {&financesdk.Error{Op: "media", Code: 10001, Err: errors.New("x")}, ""},
		"10002":                  {&financesdk.Error{Op: "media", Code: 10002, Err: errors.New("x")}, ""},
		"10003":                  {&financesdk.Error{Op: "media", Code: 10003, Err: errors.New("x")}, ""},
		"10009":                  {&financesdk.Error{Op: "media", Code: 10009, ErrCode: 301042, Err: errors.New("x")}, ""},
		"a dead token":           {&financesdk.Error{Op: "media", Code: 10003, ErrCode: 40014, Err: errors.New("x")}, ""},
		"the service is expired": {&financesdk.Error{Op: "media", Code: 10003, ErrCode: 301052, Err: errors.New("x")}, ""},
		"a dead child":           {&financesdk.Error{Op: "media", Reason: financesdk.ReasonCrash, Err: errors.New("x")}, ""},
		"anything":               {errors.New("x"), ""},
	} {
		n++
		id := archive.CorpID(fmt.Sprintf("ww%d", n))
		job := b.waiting(id, "f")
		s := &shelf{size: 10, fail: func(int) error { return c.err }}
		err := b.fetcher(b.Config(self), s).fetch(t.Context(), job)
		row := b.outcome(id, "f")
		if c.reason == "" {
			if err == nil || row.State != "" || b.waits(id) != 1 {
				t.Errorf("%s: %+v, %v", name, row, err)
			}
			continue
		}
		if err != nil || row.State != ledger.Lost || row.Reason != c.reason || b.waits(id) != 0 {
			t.Errorf("%s: %+v, %v", name, row, err)
		}
	}
}

func TestALibraryThatStandsStillIsLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	job := b.waiting(corp, "f")
	if err := b.fetcher(b.Config(self), still{}).fetch(t.Context(), job); err == nil || !strings.Contains(err.Error(), "same index") {
		t.Errorf("the error is %v", err)
	}
	if b.waits(corp) != 1 {
		t.Error("it waits no more")
	}
}

type still struct{}

func (still) MediaChunk(_ context.Context, index, _ string) (financesdk.Chunk, error) {
	if index == "" {
		return financesdk.Chunk{Data: []byte("x"), Next: "1"}, nil
	}
	return financesdk.Chunk{Data: []byte("x"), Next: index}, nil
}

func TestOneFileThatTwoMessagesNameIsDownloadedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := &shelf{size: 100}
	one := b.waiting(corp, "f")
	two := ledger.Waiting{Corp: corp, FileID: "f", Clock: noon.Add(time.Hour)}
	_, err := b.ledger.PutWaiting(t.Context(), corp, []ledger.Waiting{two})
	b.OK(err)
	f := b.fetcher(b.Config(self), s)
	b.OK(f.fetch(t.Context(), one))
	b.OK(f.fetch(t.Context(), queue.MediaJob{Corp: corp, Waiting: two.Key()}))
	if len(s.asked) != 1 {
		t.Errorf("it was asked for %d times", len(s.asked))
	}
	b.kept(corp, "f", 100)
}

// TestARealDownload goes through the simulated library and WeCom: 30 MB in ranges, with the connection reset on the way, and a file that WeCom
// has no more.
func TestARealDownload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := rig.StartWeCom(t)
	b.Company(w, corp)
	simsdk := rig.Program(t, "infra/local/simsdk")
	log := slog.New(slog.DiscardHandler)
	c := b.Config(self)
	server := wecom.New(w.URL, &http.Client{Timeout: 5 * time.Second}, clock.Real)
	pool := financesdk.NewPool(log, func(id archive.CorpID) financesdk.Config {
		return financesdk.Config{Host: []string{simsdk}, Corp: id, Upstream: w.URL, Token: server.Tokens(id, b.Secrets(c).Reader(id, secrets.Archive)).Token, Log: log}
	})
	t.Cleanup(pool.Close)
	library, err := pool.Of(t.Context(), corp)
	b.OK(err)
	large := rig.Must[wecomsim.File](t)(w.AddFile(t.Context(), wecomsim.NewFile{Corp: string(corp), Name: "atlas.bin", Size: 30 << 20}))
	job := b.waiting(corp, archive.FileID(large.SDKFileID))
	_, err = w.AddFault(t.Context(), wecomsim.Fault{Corp: string(corp), API: "message/getchatmediadata", Kind: wecomsim.FaultReset, Skip: 25, Times: 1})
	b.OK(err)
	f := b.fetcher(c, library)
	if err := f.fetch(t.Context(), job); err == nil {
		t.Error("the reset was not noticed")
	}
	b.OK(f.fetch(t.Context(), job))
	row := b.outcome(corp, archive.FileID(large.SDKFileID))
	if row.State != ledger.Kept || row.Size != large.Size || row.MD5 != large.MD5 {
		t.Errorf("the outcome is %+v; WeCom had %+v", row, large)
	}
	gone := rig.Must[wecomsim.File](t)(w.AddFile(t.Context(), wecomsim.NewFile{Corp: string(corp), Name: "old.bin", Size: 100, Refuse: 301048}))
	b.OK(f.fetch(t.Context(), b.waiting(corp, archive.FileID(gone.SDKFileID))))
	if row := b.outcome(corp, archive.FileID(gone.SDKFileID)); row.State != ledger.Lost || row.Reason != "media-expired" {
		t.Errorf("the outcome is %+v", row)
	}
}
