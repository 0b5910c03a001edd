package main

import (
	"context"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// unsent is the mails and messages in WeCom that were given up and that nobody has settled, as R12 tells of them.
func (r *reporter) unsent(ctx context.Context, corp archive.CorpID) ([]report.Unsent, error) {
	all, err := r.ledger.GivenUps(ctx, corp)
	var out []report.Unsent
	for _, g := range all {
		out = append(out, report.Unsent{To: g.To, InWeCom: g.InWeCom, Report: g.Report, Day: g.Day, At: g.At, Doubt: strings.HasPrefix(g.Reason, ledger.GivenUpUnknown), Planned: !g.Again.IsZero()})
	}
	return out, err
}
