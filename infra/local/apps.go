package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// app gives the archive the app by which a company of the story writes to its members, once the functions are up: its secret is tried before it is kept.
func (d *day) app(ctx context.Context, c wecomsim.DemoCompany) error {
	row, err := d.ledger.Corp(ctx, archive.CorpID(c.Corp))
	if err != nil || row.App != 0 {
		return err
	}
	i := slices.IndexFunc(c.Secrets, func(s wecomsim.Secret) bool { return s.Agent != 0 })
	if i < 0 {
		return nil
	}
	return d.withSecret(c.Secrets[i].Value, func(path string) error {
		return d.operate(ctx, "corps", "set", "-corp", c.Corp, "-app-secret-file", path, "-app-agent", strconv.Itoa(c.Secrets[i].Agent))
	})
}

// countTellings is how many messages in WeCom were told.
func (d *day) countTellings(ctx context.Context) (int, error) {
	told := 0
	for _, corp := range d.corps {
		if err := d.ledger.Tellings(ctx, corp, func(t ledger.Telling) bool {
			if t.State == ledger.Told {
				told++
			}
			return true
		}); err != nil {
			return 0, err
		}
	}
	return told, nil
}

// shownTelling is a message in WeCom as the page shows it.
type shownTelling struct {
	ledger.Telling
	Company string
	Lines   []string
}

// Settled is when it was told or refused, zero until then.
func (s shownTelling) Settled() time.Time {
	if s.Telling.Settled() {
		return s.At
	}
	return time.Time{}
}

// inWeCom is the page of messages in WeCom, the newest day first.
func (p *pages) inWeCom(r *http.Request) (string, any, error) {
	corps, err := p.ledger.Corps(r.Context())
	if err != nil {
		return "", nil, err
	}
	var all []shownTelling
	for _, c := range corps {
		err := p.ledger.Tellings(r.Context(), c.ID, func(t ledger.Telling) bool {
			all = append(all, shownTelling{Telling: t, Company: c.Name, Lines: strings.Split(t.Text, "\n")})
			return true
		})
		if err != nil {
			return "", nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b shownTelling) int { return strings.Compare(b.Day, a.Day) })
	return "wecom", all, nil
}
