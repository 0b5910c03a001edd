package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/derived"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

const corp = archive.CorpID("wwgranary")

// house is fsck over real adapters, with its own role for the ledger and the queues. The bucket is a versioned one without locks, so that a
// test can do what Object Lock forbids.
type house struct {
	*rig.Rig
	*checker
	op    *ledger.Ledger
	s3    *s3.Client
	disk  string // where the bucket's files are
	at    time.Time
	log   bytes.Buffer
	seq   archive.Seq
	chain ledger.Link
	rows  []ledger.BatchRow
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{Rig: rig.Start(t, rig.Options{}), at: time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC), disk: filepath.Join(t.TempDir(), "s3")}
	store := s3test.Start(t, s3front.Config{DataDir: h.disk}, s3front.Bucket{Name: "archive", Versioned: true})
	h.op, h.s3 = h.Ledger(h.Config(rig.Operator)), s3.New(store.Client.Options(), func(o *s3.Options) {
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported // as LoadDefaultConfig sets it
	})
	c := h.Config("FsckFunction")
	h.checker = &checker{
		ledger: h.Ledger(c), store: objstore.New(h.s3, "archive"), batches: queue.New[queue.BatchJob](sqs.NewFromConfig(c), h.Name("BatchQueue")),
		media: queue.New[queue.MediaJob](sqs.NewFromConfig(c), h.Name("MediaQueue")), log: slog.New(slog.NewTextHandler(&h.log, nil)),
		metrics: telemetry.NewMetrics(&h.log, h.Template.StackName, "fsck"), now: func() time.Time { return h.at }, second: time.Millisecond,
	}
	h.OK(h.op.PutCorp(t.Context(), ledger.Corp{ID: corp, Added: h.at}))
	return h
}

// chat is a batch as WeCom hands it out, of n items after the corp's last seq. version makes cipher texts differ.
func (h *house) chat(first archive.Seq, n int, version string) (raw []byte, items []archive.ChatData) {
	h.Helper()
	type one struct {
		Seq    archive.Seq   `json:"seq"`
		MsgID  archive.MsgID `json:"msgid"`
		Ver    int           `json:"publickey_ver"`
		Key    string        `json:"encrypt_random_key"`
		Cipher string        `json:"encrypt_chat_msg"`
	}
	var all []one
	for i := range n {
		seq := first + archive.Seq(i) // #nosec G115 -- small
		all = append(all, one{seq, archive.MsgID("m" + seq.String()), 1, "key of " + seq.String(), "sealed " + version + seq.String()})
	}
	raw, err := json.Marshal(map[string]any{"errcode": 0, "errmsg": "ok", "chatdata": all})
	h.OK(err)
	batch, err := archive.ParseBatch(raw, first-1)
	h.OK(err)
	return raw, batch.Items
}

// pull keeps a batch of n items as fetch does, and moves the cursor over it.
func (h *house) pull(n int) ledger.BatchRow {
	h.Helper()
	raw, _ := h.chat(h.seq+1, n, "")
	b := h.record(h.seq+1, h.seq+archive.Seq(n), raw, h.chain) // #nosec G115 -- small
	h.advance(b)
	return b
}

func (h *house) record(first, last archive.Seq, raw []byte, after ledger.Link) ledger.BatchRow {
	h.Helper()
	batch, err := archive.ParseBatch(raw, first-1)
	h.OK(err)
	object, err := objstore.New(h.s3, "archive").PutBatch(h.Context(), corp, first, last, raw)
	h.OK(err)
	b, err := h.op.PutBatch(h.Context(), ledger.BatchRow{
		Corp: corp, First: first, Last: last, Items: len(batch.Items), SHA256: object.SHA256, Size: len(raw), Object: object.Key, Version: object.VersionID,
		Pulled: h.at, CaughtUp: h.at.Add(-time.Minute), Prev: after.Hash, Link: after.Next(object.SHA256), After: min(h.seq, first-1), AfterKnown: true,
	})
	h.OK(err)
	h.rows = append(h.rows, b)
	return b
}

func (h *house) advance(b ledger.BatchRow) {
	h.Helper()
	ctx := h.Context()
	seen := rig.Must[ledger.Cursor](h.TB)(h.op.AskLease(ctx, corp, "fetcher"))
	lease, cursor, err := h.op.TakeLease(ctx, corp, "fetcher", seen)
	h.OK(err)
	_, err = h.op.Advance(ctx, lease, cursor.Seq, b.Last, b.Link, ledger.Poll{CaughtUp: cursor.CaughtUp, LastWhole: cursor.LastWhole})
	h.OK(err)
	h.OK(h.op.Release(ctx, lease))
	h.seq, h.chain = b.Last, b.Link
}

// said is when the message of a seq was sent.
func said(seq archive.Seq) time.Time {
	return time.Date(2031, 5, 6, 8, 0, 0, 0, time.UTC).Add(time.Duration(seq) * time.Second) // #nosec G115 -- small
}

// messages are what the items of a batch say.
func (h *house) messages(b ledger.BatchRow) []archive.SegmentItem {
	h.Helper()
	raw, err := objstore.New(h.s3, "archive").Batch(h.Context(), objstore.Object{Key: b.Object, VersionID: b.Version})
	h.OK(err)
	batch, err := archive.ParseBatch(raw, b.First-1)
	h.OK(err)
	var items []archive.SegmentItem
	for _, it := range batch.Items {
		items = append(items, archive.SegmentItem{Index: it.Index, Decoder: 1, Message: archive.Message{
			Corp: corp, Seq: it.Seq, MsgID: it.MsgID, KeyVersion: it.KeyVersion, Action: archive.Send, Type: "file", Time: said(it.Seq), From: "ana", To: []archive.PartyID{"ben"},
			Media: []archive.Media{{FileID: archive.FileID("file of " + it.Seq.String()), Kind: "file"}}, Known: true, Raw: []byte("opened " + it.Seq.String()),
		}})
	}
	for i := range items { // one takes another back, in a way that isn't known
		if m := &items[i].Message; m.Seq == 4 {
			m.RecallOf, m.Known = "m1", false
		}
	}
	return items
}

// open does to a batch what process does: all items but the last aside many are archived.
func (h *house) open(b ledger.BatchRow, aside int) {
	h.Helper()
	ctx := h.Context()
	items := h.messages(b)
	opened := items[:len(items)-aside]
	var rows []ledger.Aside
	for _, it := range items[len(opened):] {
		rows = append(rows, ledger.Aside{Corp: corp, Reason: "no-key", KeyVersion: 1, Seq: it.Message.Seq, Batch: b.Key(), Index: it.Index, Since: h.at, Clock: b.CaughtUp})
	}
	segment := ""
	if len(opened) > 0 {
		segment = h.stored(b, opened)
	}
	_, err := h.op.ClaimSlot(ctx, b, "run")
	h.OK(err)
	h.OK(h.op.SetAside(ctx, b, "run", rows, nil))
	h.OK(h.op.FinishBatch(ctx, b, "run", len(opened), aside, segment))
}

// stored writes a segment and what follows from it, and returns the segment's key.
func (h *house) stored(b ledger.BatchRow, opened []archive.SegmentItem) string {
	h.Helper()
	lines, err := archive.EncodeSegment(opened)
	h.OK(err)
	object, err := objstore.New(h.s3, "archive").PutSegment(h.Context(), objstore.SegmentKey{Class: "default", Corp: corp, Day: "2031-05-06", BatchHash: b.SHA256[:32], Slice: archive.HashHex(lines)[:16]}, lines)
	h.OK(err)
	for _, it := range opened {
		h.keep(it.Message.Media[0].FileID)
	}
	h.OK(h.op.PutDerived(h.Context(), b, derived.Of(derived.Batch{Pulled: b.Pulled, CaughtUp: b.CaughtUp}, opened), &ledger.People{}))
	return object.Key
}

// keep is an attachment that has come in.
func (h *house) keep(id archive.FileID) {
	h.Helper()
	content := []byte("content of " + string(id))
	object, err := objstore.New(h.s3, "archive").PutMedia(h.Context(), corp, id.Hash(), content)
	h.OK(err)
	h.OK(h.op.SettleMedia(h.Context(), ledger.Waiting{Corp: corp, FileID: id, Clock: h.at}, ledger.MediaRow{
		Corp: corp, Hash: id.Hash(), State: ledger.Kept, Size: object.Size, SHA256: object.SHA256, Object: object.Key, Version: object.VersionID, At: h.at,
	}))
}

// archived fills the archive: five batches that are done, in the third of which an item is set aside.
func (h *house) archived() []ledger.BatchRow {
	h.Helper()
	for i := range 5 {
		h.at = h.at.Add(time.Minute)
		b := h.pull(3)
		aside := 0
		if i == 2 {
			aside = 1
		}
		h.open(b, aside)
	}
	h.at = h.at.Add(24 * time.Hour)
	return h.rows
}

// forget removes rows from a table whose keys begin so, as nobody should be able to. It returns how many.
func (h *house) forget(table, pk, sk string) int {
	h.Helper()
	client, name := dynamodb.NewFromConfig(h.Config(rig.Operator)), h.Name(table)
	n := 0
	for key := range h.Rows(table) {
		p, s, _ := strings.Cut(key, " ")
		if strings.HasPrefix(p, pk) && strings.HasPrefix(s, sk) {
			_, err := client.DeleteItem(h.Context(), &dynamodb.DeleteItemInput{TableName: &name, Key: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: p}, "sk": &types.AttributeValueMemberS{Value: s}}})
			h.OK(err)
			n++
		}
	}
	return n
}

// burn deletes an object's version.
func (h *house) burn(key, version string) {
	h.Helper()
	in := &s3.DeleteObjectInput{Bucket: aws.String("archive"), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	_, err := h.s3.DeleteObject(h.Context(), in)
	h.OK(err)
}

// tamper changes the bytes of an object behind S3's back.
func (h *house) tamper(key string, change func([]byte) []byte) {
	h.Helper()
	n := 0
	h.OK(filepath.WalkDir(h.disk, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, key) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		return os.WriteFile(path, change(content), 0o600)
	}))
	if n == 0 {
		h.Fatalf("no file on disk is %s", key)
	}
}

// found are a check's findings as "kind state object".
func (h *house) found() []string {
	h.Helper()
	a, err := h.run(h.Context(), Call{Corp: corp, Full: true})
	h.OK(err)
	if a.Next != "" {
		h.Errorf("the check ended at %s", a.Next)
	}
	out := []string{}
	for _, f := range a.Findings {
		if f.Corp != corp || f.Sentence == "" {
			h.Errorf("finding %+v", f)
		}
		out = append(out, fmt.Sprintf("%s %s %s", f.Kind, f.State, f.Object))
	}
	slices.Sort(out)
	return out
}

// work does what process does with the jobs that were enqueued: everything opens.
func (h *house) work() {
	h.Helper()
	for _, body := range h.Take("BatchQueue") {
		job, err := queue.Decode[queue.BatchJob](body)
		h.OK(err)
		b, err := h.op.Batch(h.Context(), corp, job.Batch)
		h.OK(err)
		switch {
		case b.State == ledger.Pending && job.Reason == "":
			if b.Slot != "" {
				for _, a := range rig.Must[[]ledger.Aside](h.TB)(h.op.AsidesOf(h.Context(), corp, b.Key())) {
					_, err := h.op.ClaimSlot(h.Context(), b, "run")
					h.OK(err)
					h.OK(h.op.SetAside(h.Context(), b, "run", nil, []ledger.Aside{a}))
				}
			}
			h.open(b, 0)
		case b.State == ledger.Done && job.Reason != "":
			closed := rig.Must[[]ledger.Aside](h.TB)(h.op.AsidesIn(h.Context(), b, job.Reason, job.KeyVersion))
			var opened []archive.SegmentItem
			for _, it := range h.messages(b) {
				if slices.ContainsFunc(closed, func(a ledger.Aside) bool { return a.Seq == it.Message.Seq }) {
					opened = append(opened, it)
				}
			}
			h.OK(h.op.CloseAside(h.Context(), b, closed, h.stored(b, opened), nil))
		}
	}
}

// alarms are the causes of the open alarms.
func (h *house) alarms() []string {
	h.Helper()
	open := []string{}
	for _, a := range rig.Must[[]ledger.Alarm](h.TB)(h.op.Alarms(h.Context(), corp)) {
		if a.Open {
			open = append(open, a.Cause)
		}
	}
	slices.Sort(open)
	return open
}
