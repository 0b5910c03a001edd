package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// say sends messages in the simulated WeCom, the last with an attachment.
func (s *scene) say(ctx context.Context, corp archive.CorpID, n int) error {
	file, err := s.sim.AddFile(ctx, wecomsim.NewFile{Corp: string(corp), Name: "tide-table.pdf", Size: 4000})
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]any{"sdkfileid": file.SDKFileID, "filename": "tide-table.pdf", "filesize": 4000, "md5sum": file.MD5})
	if err != nil {
		return err
	}
	all := wecomsim.Messages{Corp: string(corp)}
	for i := range n - 1 {
		all.Messages = append(all.Messages, wecomsim.Message{Corp: string(corp), From: "drill-an", To: []string{"drill-bo"}, Text: fmt.Sprintf("high water at %d", i)})
	}
	all.Messages = append(all.Messages, wecomsim.Message{Corp: string(corp), From: "drill-an", To: []string{"drill-bo"}, Type: "file", Payload: payload})
	_, err = s.sim.SendAll(ctx, all)
	return err
}

// complete holds the account against what WeCom ever handed out: every seq once, archived or set aside as before.
func (s *scene) complete(ctx context.Context, more map[archive.CorpID]int) error {
	now, err := s.account(ctx)
	if err != nil {
		return err
	}
	for _, c := range s.corps {
		rest, ok := strings.CutPrefix(now[c], s.before[c])
		if !ok {
			return fmt.Errorf("corp %s: the account of before is not the beginning of the one of now", c)
		}
		added, seen := 0, map[archive.Seq]bool{}
		for line := range strings.Lines(now[c]) {
			var l struct {
				Seq   archive.Seq `json:"seq"`
				State string      `json:"state"`
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				return err
			}
			if seen[l.Seq] {
				return fmt.Errorf("corp %s: seq %s is there twice", c, l.Seq)
			}
			seen[l.Seq] = true
		}
		for line := range strings.Lines(rest) {
			added++
			if !strings.Contains(line, `"state":"archived"`) {
				return fmt.Errorf("corp %s: not archived: %s", c, line)
			}
		}
		if added != more[c] {
			return fmt.Errorf("corp %s: %d messages were added, want %d", c, added, more[c])
		}
	}
	return nil
}

// purgedQueues: watch finds what is pending and announces it again.
func purgedQueues(ctx context.Context, s *scene) error {
	corp := s.corps[0]
	if err := s.say(ctx, corp, 60); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil { // the queues are read by nobody yet
		return err
	}
	jobs, _ := s.Queued()
	if jobs == 0 {
		return errors.New("no job waits: nothing can be purged")
	}
	client := sqs.NewFromConfig(s.Config(house.Operator))
	for _, output := range []string{"BatchQueueUrl", "MediaQueueUrl"} {
		if _, err := client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String(s.Template.Outputs[output])}); err != nil {
			return err
		}
	}
	if left, _ := s.Queued(); left != 0 {
		return fmt.Errorf("%d jobs are left", left)
	}
	s.breaks("%d jobs purged, a batch of 60 messages is pending", jobs)
	if err := s.Start(); err != nil {
		return err
	}
	s.does("nothing is to be done: watch runs every five minutes (here the clock is moved) and announces what is pending")
	if err := s.watch(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := s.complete(ctx, map[archive.CorpID]int{corp: 60}); err != nil {
		return err
	}
	if _, err := s.must(ctx, "fsck"); err != nil {
		return err
	}
	s.recovered("all 60 messages and the attachment are in")
	return nil
}

// lostKey: what was opened stays; what comes under the lost version can never be opened.
func lostKey(ctx context.Context, s *scene) error {
	corp := s.corps[len(s.corps)-1]
	version, held, err := s.newestKey(ctx, corp)
	if err != nil {
		return err
	}
	if err := s.say(ctx, corp, 20); err != nil { // under the key that is about to be lost
		return err
	}
	if err := s.shut(); err != nil {
		return err
	}
	gone, err := forgetKey(filepath.Join(s.data, "aws.db"), corp, version)
	if err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	s.breaks("the secret with key version %s of corp %s is gone (%d versions were held, %d secret removed); 20 messages under it are on their way", version, corp, held, gone)
	if err := s.Start(); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	out, err := s.must(ctx, "set-aside", "-corp", string(corp), "-reason", "no-key", "-ver", version.String())
	if err != nil {
		return err
	}
	aside := strings.Count(out, "\n")
	if aside != 20 {
		return fmt.Errorf("%d messages are set aside, want 20", aside)
	}
	code, out, err := s.vaultctl(ctx, "replay", "-corp", string(corp), "-from", "batches")
	if err != nil {
		return err
	}
	closed := kinds(out)["seq closed: no-key"]
	if code == 0 || closed == 0 {
		return errors.New("replay from batches does not name what can't be opened again")
	}
	if _, err := s.must(ctx, "replay", "-corp", string(corp), "-from", "segments"); err != nil {
		return err
	}
	// The way on: a new pair, whose public half goes into WeCom's console, which counts its version up.
	public, err := s.must(ctx, "keys", "new", "-corp", string(corp))
	if err != nil {
		return err
	}
	s.does("the public key is pasted into WeCom's console")
	if _, err := s.sim.AddKey(ctx, wecomsim.NewKeyRequest{Corp: string(corp), PublicKey: public}); err != nil {
		return err
	}
	if err := s.say(ctx, corp, 10); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	now, err := s.account(ctx)
	if err != nil {
		return err
	}
	for _, c := range s.corps {
		if !strings.HasPrefix(now[c], s.before[c]) {
			return fmt.Errorf("corp %s: a message that was archived before has changed", c)
		}
	}
	rest := strings.TrimPrefix(now[corp], s.before[corp])
	if n := strings.Count(rest, `"state":"archived"`); n != 10 {
		return fmt.Errorf("%d messages under the new key are archived, want 10", n)
	}
	s.recovered("for ever closed: the %d messages pulled under version %s and not opened before, with 1 attachment once WeCom's window ends; %d opened before stay readable; the next 10, under a new key, are in", aside, version, closed)
	return nil
}

// newestKey is the newest version of a corp's keys, and how many are held.
func (s *scene) newestKey(ctx context.Context, corp archive.CorpID) (archive.KeyVersion, int, error) {
	keys, err := s.ledger.Keys(ctx, corp)
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("corp %s holds no key", corp)
	}
	if err != nil {
		return 0, 0, err
	}
	return keys[len(keys)-1].Version, len(keys), nil
}

// forgetKey removes a private key from the local secrets: their endpoint refuses to, as the product's permissions do.
func forgetKey(path string, corp archive.CorpID, version archive.KeyVersion) (n int, err error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("secretsmanager"))
		var names [][]byte
		err := b.ForEach(func(k, _ []byte) error {
			if name := string(k); strings.Contains(name, string(corp)) && strings.Contains(name, "key") && strings.HasSuffix(name, "/"+version.String()) {
				names = append(names, k)
			}
			return nil
		})
		n = len(names)
		for _, k := range names {
			err = errors.Join(err, b.Delete(k))
		}
		return err
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("%d secrets are key version %s of corp %s", n, version, corp)
	}
	return n, err
}

// cursorBack: what comes again is kept again, and nothing is doubled.
func cursorBack(ctx context.Context, s *scene) error {
	pulled := 0
	for _, corp := range s.corps {
		c, err := s.ledger.Cursor(ctx, corp)
		if err != nil {
			return err
		}
		to := c.Seq - min(c.Seq, 100)
		if err := s.moveCursor(ctx, corp, to); err != nil {
			return err
		}
		pulled += int(c.Seq - to) // #nosec G115 -- 100
	}
	s.breaks("the cursors of %d corps are moved back by 100 seqs", len(s.corps))
	rows, err := s.rowCount(ctx)
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	s.does("nothing is to be done: fetch pulls them again, in batches that overlap")
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := s.sound(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "replay", "-from", "batches"); err != nil {
		return err
	}
	after, err := s.rowCount(ctx)
	if err != nil {
		return err
	}
	if after <= rows {
		return fmt.Errorf("there were %d batches and there are %d: nothing came again", rows, after)
	}
	s.recovered("%d batches more, overlapping; every message once, as before", after-rows)
	return nil
}

func (s *scene) rowCount(ctx context.Context) (n int, err error) {
	for _, c := range s.corps {
		err = errors.Join(err, s.ledger.Batches(ctx, c, "", func(ledger.BatchRow) bool { n++; return true }))
	}
	return n, err
}

// cursorForward: the stretch that was jumped over is named, and comes in once the cursor is set back.
func cursorForward(ctx context.Context, s *scene) error {
	corp := s.corps[0]
	c, err := s.ledger.Cursor(ctx, corp)
	if err != nil {
		return err
	}
	if err := s.say(ctx, corp, 30); err != nil {
		return err
	}
	if err := s.moveCursor(ctx, corp, c.Seq+20); err != nil {
		return err
	}
	s.breaks("the cursor of corp %s is moved from %s to %s, and fetch goes on from there", corp, c.Seq, c.Seq+20)
	if err := s.Start(); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	code, out, err := s.vaultctl(ctx, "fsck", "-corp", string(corp))
	if err != nil {
		return err
	}
	if n := kinds(out)["gap"]; code == 0 || n != 1 {
		return fmt.Errorf("fsck names %d gaps", n)
	}
	s.does("the cursor is set back to %s, which fsck names", c.Seq)
	if err := s.moveCursor(ctx, corp, c.Seq); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "fsck"); err != nil {
		return err
	}
	if _, err := s.must(ctx, "replay"); err != nil {
		return err
	}
	if err := s.complete(ctx, map[archive.CorpID]int{corp: 30}); err != nil {
		return err
	}
	s.recovered("all 30 messages are in, each once")
	return nil
}
