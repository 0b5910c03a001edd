package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/simcipher"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/opening"
	"github.com/wecomvault/wecomvault/shared/queue"
)

const self = "ProcessFunction"

var noon = time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)

// pair is a key pair of the tests; making one takes a moment.
var pair = [3]func() *rsa.PrivateKey{sync.OnceValue(newPair), sync.OnceValue(newPair), sync.OnceValue(newPair)}

func newPair() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// bench is process over the local AWS, with the simulated library in a child as in life.
type bench struct {
	*rig.Rig
	ledger *ledger.Ledger // the operator's
	pool   *financesdk.Pool
	asked  atomic.Bool // the library that hangs was asked, in this attempt
	runs   int
	mu     sync.Mutex
}

func newBench(t *testing.T) *bench {
	t.Helper()
	r := rig.Start(t, rig.Options{})
	simsdk := rig.Program(t, "infra/local/simsdk")
	log := slog.New(slog.DiscardHandler)
	b := &bench{Rig: r, ledger: r.Ledger(r.Config(rig.Operator)), pool: financesdk.NewPool(log, func(corp archive.CorpID) financesdk.Config {
		return financesdk.Config{Host: []string{simsdk}, Corp: corp, Log: log}
	})}
	t.Cleanup(b.pool.Close)
	return b
}

// processor is one process's worth of process.
func (b *bench) processor(c aws.Config) *processor {
	b.Helper()
	return &processor{
		ledger: b.Ledger(c), store: b.Store(c, "ArchiveBucket"), media: queue.New[queue.MediaJob](sqs.NewFromConfig(c), b.Name("MediaQueue")),
		opener: opening.New(opening.NewRing(b.Secrets(c)), b.pool.Decrypt), proven: &proofs{}, people: &ledger.People{}, log: slog.New(slog.DiscardHandler), metrics: io.Discard, stack: b.Template.StackName,
		rest: time.Second,
		run: func() (string, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.runs++
			return fmt.Sprintf("run%d", b.runs), nil
		},
	}
}

// item is one item of chat data as WeCom would hand it out.
type item struct {
	seq     archive.Seq
	msgid   string
	version int
	key     *rsa.PublicKey // the random key is encrypted for it
	raw     string         // what is in it
	fields  map[string]any // replace the element's own
}

func text(seq archive.Seq, content string) item {
	return item{seq: seq, msgid: fmt.Sprintf("m%d", seq), version: 1, key: &pair[0]().PublicKey, raw: fmt.Sprintf(
		`{"msgid":"m%d","action":"send","from":"an","tolist":["bo"],"roomid":"wrpier","msgtime":%d,"msgtype":"text","text":{"content":%q}}`, seq, noon.UnixMilli()+int64(seq), content)}
}

func file(seq archive.Seq, id string) item {
	it := text(seq, "")
	it.raw = fmt.Sprintf(`{"msgid":"m%d","action":"send","from":"an","tolist":["bo"],"roomid":"wrpier","msgtime":%d,"msgtype":"file","file":{"md5sum":"0a","filename":"chart.pdf","fileext":"pdf","filesize":3,"sdkfileid":%q}}`,
		seq, noon.UnixMilli()+int64(seq), id)
	return it
}

// chatData seals items into an answer of WeCom's.
func (b *bench) chatData(items ...item) []byte {
	b.Helper()
	elements := make([]map[string]any, 0, len(items))
	for _, it := range items {
		key := rig.Must[string](b.TB)(simcipher.NewKey())
		block := rig.Must[[]byte](b.TB)(rsa.EncryptPKCS1v15(rand.Reader, it.key, []byte(key))) //nolint:staticcheck // WeCom's padding
		e := map[string]any{"seq": it.seq, "msgid": it.msgid, "publickey_ver": it.version, "encrypt_random_key": base64.StdEncoding.EncodeToString(block),
			"encrypt_chat_msg": rig.Must[string](b.TB)(simcipher.Seal(key, []byte(it.raw)))}
		for k, v := range it.fields {
			e[k] = v
		}
		elements = append(elements, e)
	}
	return rig.Must[[]byte](b.TB)(json.Marshal(map[string]any{"errcode": 0, "errmsg": "ok", "chatdata": elements}))
}

// kept keeps an answer as fetch does.
func (b *bench) kept(id archive.CorpID, raw []byte, pulled time.Time) ledger.BatchRow {
	b.Helper()
	batch := rig.Must[archive.Batch](b.TB)(archive.ParseBatch(raw, 0))
	o := rig.Must[objstore.Object](b.TB)(b.Store(b.Config(rig.Operator), "ArchiveBucket").PutBatch(b.Context(), id, batch.First(), batch.Last(), raw))
	return rig.Must[ledger.BatchRow](b.TB)(b.ledger.PutBatch(b.Context(), ledger.BatchRow{
		Corp: id, First: batch.First(), Last: batch.Last(), Items: len(batch.Items), SHA256: o.SHA256, Size: len(raw), Object: o.Key, Version: o.VersionID,
		Pulled: pulled, CaughtUp: pulled.Add(-time.Minute), Link: ledger.Link{}.Next(o.SHA256),
	}))
}

func (b *bench) batch(id archive.CorpID, items ...item) ledger.BatchRow {
	b.Helper()
	return b.kept(id, b.chatData(items...), noon)
}

func (b *bench) hold(id archive.CorpID, version int, key *rsa.PrivateKey) {
	b.Helper()
	b.OK(b.Secrets(b.Config(rig.Operator)).AddKey(b.Context(), id, archive.KeyVersion(version), key))
}

func (b *bench) row(row ledger.BatchRow) ledger.BatchRow {
	b.Helper()
	return rig.Must[ledger.BatchRow](b.TB)(b.ledger.Batch(b.Context(), row.Corp, row.Key()))
}

func job(row ledger.BatchRow) queue.BatchJob { return queue.BatchJob{Corp: row.Corp, Batch: row.Key()} }

// reasons is why which seq of a batch is set aside.
func (b *bench) reasons(row ledger.BatchRow) map[archive.Seq]string {
	b.Helper()
	out := map[archive.Seq]string{}
	for _, a := range rig.Must[[]ledger.Aside](b.TB)(b.ledger.AsidesOf(b.Context(), row.Corp, row.Key())) {
		if _, double := out[a.Seq]; double {
			b.Errorf("seq %v is set aside twice", a.Seq)
		}
		out[a.Seq] = a.Reason
	}
	return out
}

// archived reads the messages out of a batch's segments.
func (b *bench) archived(row ledger.BatchRow) map[archive.Seq]archive.Message {
	b.Helper()
	out := map[archive.Seq]archive.Message{}
	for _, key := range b.row(row).Segments {
		lines := rig.Must[[]byte](b.TB)(b.Store(b.Config(rig.Operator), "ArchiveBucket").Segment(b.Context(), objstore.Object{Key: key}))
		for _, it := range rig.Must[[]archive.SegmentItem](b.TB)(archive.DecodeSegment(row.Corp, lines)) {
			out[it.Message.Seq] = it.Message
		}
	}
	return out
}

// state is everything that a corp has in both tables and its segments, without what differs from run to run: why a batch was given up once too.
func (b *bench) state(id archive.CorpID) map[string]string {
	b.Helper()
	out := map[string]string{}
	same := func(s string) string { return strings.ReplaceAll(s, string(id), "CORP") }
	for _, table := range []string{"ControlTable", "MessagesTable"} {
		for k, v := range b.Rows(table, "since", "slot", "version", "failure") {
			if pk, _, _ := strings.Cut(k, " "); slices.Contains(strings.Split(pk, "#"), string(id)) {
				out[same(k)] = same(v)
			}
		}
	}
	for _, k := range b.Keys("ArchiveBucket", "segments/class=default/corp="+string(id)+"/") {
		out[same(k)] = "an object"
	}
	return out
}
