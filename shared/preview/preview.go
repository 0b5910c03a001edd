// Package preview owns how somebody who may look at a report before noon comes to it: the function report is asked to make it as the noon run would, and its mail is
// written of what report keeps. It makes no report itself, mails nothing, and does not judge who may see what: its callers do.
package preview

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

const (
	// Fresh is for how long a preview is shown once it is made, to whoever asks, in any department: the reading of a large company costs as much as a noon's.
	Fresh = 5 * time.Minute
	// Patience is after what time one that was asked for and is not made counts as lost.
	Patience = 10 * time.Minute
	// unannounced is after what time the job of one that was asked for counts as never sent, if nobody noted that it was: who asked died before.
	unannounced = 15 * time.Second
)

// zone is shown beside UTC, as in the mails: WeCom's companies keep China's time.
var zone = time.FixedZone("UTC+8", 8*60*60)

// Desk is where previews are asked for. Reports is the function's queue, and Store the bucket of reports.
type Desk struct {
	Ledger  *ledger.Ledger
	Store   *objstore.Store
	Reports *queue.Queue[queue.ReportJob]
	Guide   string // where mails link the guide; "": nowhere
}

// State is how far a preview is.
type State int

// None is none that was asked for lately; Making one that report is at; Made one that can be shown.
const (
	None State = iota
	Making
	Made
)

// Look says how far the preview of a report is that was asked for last.
func (d Desk) Look(ctx context.Context, corp archive.CorpID, kind report.Kind, now time.Time) (ledger.Preview, State, error) {
	p, err := d.Ledger.Preview(ctx, corp, string(kind))
	if errors.Is(err, ledger.ErrAbsent) {
		return p, None, nil
	}
	if err != nil {
		return p, None, err
	}
	age := now.Sub(p.Asked)
	if p.Made.After(p.Asked) { // that of a very large company is made for longer than it is fresh
		age = now.Sub(p.Made)
	}
	switch {
	case p.Object != "" && age < Fresh:
		return p, Made, nil
	case p.Object == "" && age < Patience:
		return p, Making, nil
	}
	return p, None, nil
}

// Ask has the preview of a report made, unless one is made or being made.
func (d Desk) Ask(ctx context.Context, corp archive.CorpID, kind report.Kind, now time.Time) (ledger.Preview, State, error) {
	last, state, err := d.Look(ctx, corp, kind, now)
	if err == nil && state == Making && !last.Announced && now.Sub(last.Asked) > unannounced {
		return last, state, d.announce(ctx, last)
	}
	if err != nil || state != None {
		return last, state, err
	}
	var id [6]byte
	if _, err := rand.Read(id[:]); err != nil {
		return last, None, fmt.Errorf("name a preview: %w", err)
	}
	p := ledger.Preview{Corp: corp, Report: string(kind), ID: hex.EncodeToString(id[:]), Asked: now.UTC().Truncate(time.Millisecond)}
	if err := d.Ledger.AskPreview(ctx, p, last.ID); errors.Is(err, ledger.ErrLost) {
		return d.Look(ctx, corp, kind, now) // somebody else was first
	} else if err != nil {
		return p, None, err
	}
	return p, Making, d.announce(ctx, p)
}

// announce has report make a preview. A job that comes twice is made once, unless both are at work.
func (d Desk) announce(ctx context.Context, p ledger.Preview) error {
	if err := d.Reports.Send(ctx, p.Corp, queue.ReportJob{Corp: p.Corp, Report: p.Report, Preview: p.ID}); err != nil {
		return errors.Join(err, d.Ledger.ForgetPreview(ctx, p)) // or nobody could ask again for a while
	}
	return d.Ledger.AnnouncePreview(ctx, p)
}

// Mail is the mail that a receiver of a scope would get of a preview that is made, and whether it has no news. departments are the names of those that the scope
// is confined to; none for the whole company.
func (d Desk) Mail(ctx context.Context, p ledger.Preview, scope directory.Scope, departments []string, language report.Language) (report.Mail, bool, error) {
	text, err := d.Store.Get(ctx, objstore.Object{Key: p.Object, VersionID: p.Version})
	if err != nil {
		return report.Mail{}, false, err
	}
	var kept struct {
		Facts json.RawMessage `json:"facts"`
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return report.Mail{}, false, fmt.Errorf("preview of report %s of corp %s: what is kept of it can't be read", p.Report, p.Corp)
	}
	return report.Again(report.Kind(p.Report), kept.Facts, scope.HoldsAny, report.View{Language: language, Zone: zone, Mask: true, Departments: departments, Preview: true,
		GuideURL: d.Guide})
}
