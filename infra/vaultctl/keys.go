package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// keyBits is the size that WeCom takes.
const keyBits = 2048

func keys(ctx context.Context, p *program, args []string) error {
	return within(ctx, p, "keys", args, command{name: "list", run: keysList}, command{name: "new", run: keysNew}, command{name: "add", run: keysAdd})
}

func keysList(ctx context.Context, p *program, args []string) error {
	c, err := p.ofCorp(ctx, flags("keys list"), args)
	if err != nil {
		return err
	}
	held, err := p.ledger.Keys(ctx, c.ID)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	for _, k := range held {
		if err := enc.Encode(map[string]any{"publickey_ver": k.Version, "fingerprint": k.Fingerprint, "added": k.Added.Format(time.RFC3339), "proven": k.Proven}); err != nil {
			return err
		}
	}
	return nil
}

// keysNew makes a pair, keeps the private key and prints the public one.
func keysNew(ctx context.Context, p *program, args []string) error {
	f := flags("keys new")
	version := f.Uint("ver", 0, "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	held, err := p.ledger.Keys(ctx, c.ID)
	if err != nil {
		return err
	}
	// WeCom counts up by one with each key that is set in its console.
	ver := archive.KeyVersion(*version) // #nosec G115 -- compared below
	if *version == 0 {
		ver = 1
		if n := len(held); n > 0 {
			ver = held[n-1].Version + 1
		}
	}
	for _, k := range held {
		if k.Version == ver {
			return fmt.Errorf("key version %d of corp %s is held already: it is needed for the messages under it for ever", ver, c.ID)
		}
	}
	if err := p.audit(ctx, "keys new", c.ID, "key version "+ver.String()); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("make a key pair: %w", err)
	}
	if err := p.keep(ctx, c.ID, ver, key, false); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return fmt.Errorf("encode the public key: %w", err)
	}
	if _, err := p.out.Write(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.log, "The private key is kept as version %d and has never left this archive. Paste the public key above into WeCom's console, Message archiving, "+
		"and check that WeCom then shows version %d; if it shows another, run keys new again with -ver.\n", ver, ver)
	return err
}

// keysAdd keeps a private key that was made elsewhere, after it has opened the random key of an item that waits for it.
func keysAdd(ctx context.Context, p *program, args []string) error {
	f := flags("keys add")
	id, file := f.String("corp", "", ""), f.String("file", "", "")
	version, wait := f.Uint("ver", 0, ""), f.Bool("wait", false, "")
	if err := parse(f, args); err != nil {
		return err
	}
	if *version == 0 || *version > 1<<32-1 || *file == "" {
		return &usageError{"keys add: -ver N, the publickey_ver that WeCom's console shows for the key, and -file FILE.pem are needed"}
	}
	c, err := p.known(ctx, *id)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	key, err := secrets.ParseKey(text)
	if err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	ver := archive.KeyVersion(*version)
	tried, err := p.under(ctx, c.ID, ver)
	if err != nil {
		return err
	}
	var proof *archive.ChatData
	for i := range tried {
		if opens(key, tried[i]) {
			proof = &tried[i]
			break
		}
	}
	again, err := p.holds(ctx, c.ID, ver, key)
	if err != nil {
		return err
	}
	if proof == nil && len(tried) > 0 && !again {
		return fmt.Errorf("this key does not open seq %s of corp %s, nor any other tried under key version %d: it is another version's key, or another corp's. Nothing was changed", tried[0].Seq, c.ID, ver)
	}
	if err := p.audit(ctx, "keys add", c.ID, "key version "+ver.String()); err != nil {
		return err
	}
	if !again || proof != nil {
		if err := p.keep(ctx, c.ID, ver, key, proof != nil); err != nil {
			return err
		}
	}
	for _, reason := range []string{reasonNoKey, reasonKeyDoesNotFit} {
		if err := p.redrives.Send(ctx, c.ID, queue.RedriveJob{Corp: c.ID, Reason: reason, KeyVersion: ver}); err != nil {
			return fmt.Errorf("the key is kept, but its messages could not be put back to work now; redrive does it by itself within five minutes: %w", err)
		}
	}
	if again && proof == nil {
		_, err = fmt.Fprintf(p.out, "key version %d of corp %s is held already\n", ver, c.ID)
		return err
	}
	if proof == nil {
		_, err = fmt.Fprintf(p.out, "key version %d of corp %s is kept, untried: no message under it is waiting\n", ver, c.ID)
		return err
	}
	_, err = fmt.Fprintf(p.out, "key version %d of corp %s is kept; it opened seq %s, and the messages that wait for it are put back to work\n", ver, c.ID, proof.Seq)
	if err != nil || !*wait {
		return err
	}
	return p.follow(ctx, c.ID, "", ver, patience)
}

// holds says whether this very key is held as a version. Adding it again is no mistake, even while damaged items wait that no key opens.
func (p *program) holds(ctx context.Context, corp archive.CorpID, ver archive.KeyVersion, key *rsa.PrivateKey) (bool, error) {
	held, err := p.ledger.Keys(ctx, corp)
	if err != nil {
		return false, err
	}
	print, err := fingerprint(key)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(held, func(k ledger.KeyRow) bool { return k.Version == ver && k.Fingerprint == print }), nil
}

func fingerprint(key *rsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("encode the public key: %w", err)
	}
	return archive.HashHex(der), nil
}

// The reasons, of functions/process, that a key can mend.
const (
	reasonNoKey         = "no-key"
	reasonKeyDoesNotFit = "key-does-not-fit"
)

// samples is how many waiting items a key is tried on: one alone could be damaged.
const samples = 20

// under finds items that are set aside for want of the right key of a version.
func (p *program) under(ctx context.Context, corp archive.CorpID, ver archive.KeyVersion) ([]archive.ChatData, error) {
	waiting := map[string][]archive.Seq{} // by batch
	n := 0
	for _, reason := range []string{reasonNoKey, reasonKeyDoesNotFit} {
		err := p.ledger.Asides(ctx, corp, reason, ver, func(a ledger.Aside) bool {
			waiting[a.Batch] = append(waiting[a.Batch], a.Seq)
			n++
			return n < samples
		})
		if err != nil {
			return nil, err
		}
	}
	var items []archive.ChatData
	for key, seqs := range waiting {
		row, err := p.ledger.Batch(ctx, corp, key)
		if err != nil {
			return nil, err
		}
		raw, err := p.store.Batch(ctx, objstore.Object{Key: row.Object, VersionID: row.Version, SHA256: row.SHA256})
		if err != nil {
			return nil, err
		}
		batch, err := archive.ParseBatch(raw, row.First-1)
		if err != nil {
			return nil, err
		}
		for _, item := range batch.Items {
			if slices.Contains(seqs, item.Seq) {
				items = append(items, item)
			}
		}
	}
	return items, nil
}

func opens(key *rsa.PrivateKey, item archive.ChatData) bool {
	block, err := base64.StdEncoding.DecodeString(item.EncryptRandomKey)
	if err != nil {
		return false
	}
	_, err = rsa.DecryptPKCS1v15(nil, key, block) //nolint:staticcheck // WeCom offers no other padding
	return err == nil
}

// keep stores a key and its row. Another key that was never proven under the version gives way to a proven one: it was the wrong one.
func (p *program) keep(ctx context.Context, corp archive.CorpID, ver archive.KeyVersion, key *rsa.PrivateKey, proven bool) error {
	err := p.vault.AddKey(ctx, corp, ver, key)
	if errors.Is(err, secrets.ErrExists) && proven {
		err = p.vault.ReplaceKey(ctx, corp, ver, key)
	}
	if errors.Is(err, secrets.ErrExists) {
		return fmt.Errorf("another key is held as version %d of corp %s, and there is no message to tell which is right. Nothing was changed", ver, corp)
	}
	if err != nil {
		return err
	}
	print, err := fingerprint(key)
	if err != nil {
		return err
	}
	return p.ledger.PutKey(ctx, corp, ledger.KeyRow{Version: ver, Fingerprint: print, Added: clock.Now(), Proven: proven})
}
