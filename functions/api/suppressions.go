package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/receivers"
)

// suppressionAnswer is an address to which no mail goes any more.
type suppressionAnswer struct {
	ID      string `json:"id"`
	Address string `json:"address"`
	Reason  string `json:"reason"` // bounced or complained
	Detail  string `json:"detail,omitempty"`
	Since   string `json:"since"`
	Day     string `json:"day,omitempty"` // of the mail that told, as the list of mails has it
	Report  string `json:"report,omitempty"`
	ETag    string `json:"etag"`
}

func suppressionOf(s ledger.Suppression) suppressionAnswer {
	day, rest, _ := strings.Cut(s.Mail, "#")
	report, _, _ := strings.Cut(rest, "#")
	return suppressionAnswer{ID: ledger.AddressID(s.Address), Address: s.Address, Reason: string(s.Reason), Detail: s.Detail, Since: rfc3339(s.Since), Day: day, Report: report,
		ETag: suppressionETag(s)}
}

// suppressionETag names a suppression by when it began: the same address may be suppressed again.
func suppressionETag(s ledger.Suppression) string { return etag(int(s.Since.UnixMilli())) }

// suppressions are those that stand, by id; for who reaches only departments, those of the addresses of receivers within them.
func (a *api) suppressions(ctx context.Context, c *call) ([]ledger.Suppression, error) {
	all, err := a.ledger.Suppressions(ctx, c.corp.ID)
	if err != nil {
		return nil, err
	}
	if !c.reach.All() {
		x, err := a.roll(ctx, c)
		if err != nil {
			return nil, err
		}
		mine := map[string]bool{}
		for _, r := range x.seen {
			mine[receivers.Mailbox(r.Address)] = true
		}
		all = slices.DeleteFunc(all, func(s ledger.Suppression) bool { return !mine[receivers.Mailbox(s.Address)] })
	}
	slices.SortFunc(all, func(x, y ledger.Suppression) int {
		return cmp.Compare(ledger.AddressID(x.Address), ledger.AddressID(y.Address))
	})
	return all, nil
}

// suppression is the one that the path names.
func (a *api) suppression(ctx context.Context, c *call) (ledger.Suppression, error) {
	all, err := a.suppressions(ctx, c)
	if err != nil {
		return ledger.Suppression{}, err
	}
	i := slices.IndexFunc(all, func(s ledger.Suppression) bool { return ledger.AddressID(s.Address) == c.segment["suppression"] })
	if i < 0 {
		return ledger.Suppression{}, absent("suppression")
	}
	return all[i], nil
}

func (a *api) listSuppressions(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "suppressions", c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	all, err := a.suppressions(ctx, c)
	if err != nil {
		return answer{}, err
	}
	some, next := cut(p, all, func(s ledger.Suppression) string { return ledger.AddressID(s.Address) })
	list := make([]suppressionAnswer, 0, len(some))
	for _, s := range some {
		list = append(list, suppressionOf(s))
	}
	return answer{status: http.StatusOK, body: struct {
		Suppressions []suppressionAnswer `json:"suppressions"`
		Next         string              `json:"next,omitempty"`
	}{list, next}}, nil
}

func (a *api) getSuppression(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	s, err := a.suppression(ctx, c)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: suppressionOf(s), etag: suppressionETag(s)}, nil
}

// liftSuppression lets mails go to an address again, from the next one on: what was refused meanwhile is not sent later.
func (a *api) liftSuppression(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	seen, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	s, err := a.suppression(ctx, c)
	if err != nil {
		return answer{}, err
	}
	if etag(seen) != suppressionETag(s) {
		return answer{}, outdated()
	}
	err = a.ledger.LiftRead(ctx, s, a.now())
	if errors.Is(err, ledger.ErrLost) {
		return answer{}, outdated()
	}
	return answer{status: http.StatusNoContent}, err
}
