package main

import (
	"context"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

type byID struct{}

func newNames(*ledger.Ledger, archive.CorpID) names { return byID{} }

func (byID) Party(_ context.Context, id archive.PartyID, _ time.Time) (archive.Party, error) {
	return archive.Party{ID: id, Kind: archive.ParseKind(id)}, nil
}
