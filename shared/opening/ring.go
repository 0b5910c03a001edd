package opening

import (
	"context"
	"crypto/rsa"
	"sync"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// vault is where private keys are kept by version.
type vault interface {
	// Key returns an error that wraps secrets.ErrAbsent for a version that is not held.
	Key(ctx context.Context, corp archive.CorpID, version archive.KeyVersion) (*rsa.PrivateKey, error)
}

// Ring remembers private keys between calls. That a version is absent is not remembered, nor a key that did not fit: it may have been added
// by mistake and replaced since. Safe for concurrent use.
type Ring struct {
	vault vault

	mu   sync.Mutex
	held map[version]*rsa.PrivateKey
}

type version struct {
	corp archive.CorpID
	ver  archive.KeyVersion
}

// NewRing returns an empty ring over a vault.
func NewRing(v vault) *Ring { return &Ring{vault: v, held: map[version]*rsa.PrivateKey{}} }

func (r *Ring) forget(corp archive.CorpID, ver archive.KeyVersion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, version{corp, ver})
}

func (r *Ring) of(ctx context.Context, corp archive.CorpID, ver archive.KeyVersion) (*rsa.PrivateKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key, ok := r.held[version{corp, ver}]; ok {
		return key, nil
	}
	key, err := r.vault.Key(ctx, corp, ver)
	if err != nil {
		return nil, err
	}
	r.held[version{corp, ver}] = key
	return key, nil
}
