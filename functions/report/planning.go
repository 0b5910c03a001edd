package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/report"
)

// planUnit is how many bytes of a mail count as one of the atOnce mails that are kept and planned at the same time, so that a few mails with a whole company
// attached do not fill the memory.
const planUnit = 1 << 20

// planning keeps and plans the mails of a run, several at a time. A mail is planned once its bytes are kept.
type planning struct {
	*reporter
	run  ledger.Run
	made made
	room chan struct{} // as many as are under way, a large mail as several
	all  sync.WaitGroup

	mu     sync.Mutex
	rows   []ledger.MailRow
	failed error
}

// planMails keeps each mail and plans it, and then the messages in WeCom. An address that is given twice for the same gets one mail.
func (r *reporter) planMails(ctx context.Context, run ledger.Run, m made) ([]ledger.MailRow, []ledger.Telling, error) {
	p := &planning{reporter: r, run: run, made: m, room: make(chan struct{}, atOnce)}
	seen := map[string]bool{}
	var tellings []ledger.Telling
	earlier, err := r.plannedBefore(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	err = m.each(func(out outgoing) error {
		if out.user != "" {
			tellings = append(tellings, ledger.Telling{Corp: run.Corp, Day: run.Day, Report: out.report, To: out.user, Text: out.text, At: r.now()})
			return nil
		}
		row := ledger.MailRow{Corp: run.Corp, Day: cmp.Or(out.day, run.Day), Report: out.report, To: out.to, At: r.now()}
		if seen[row.Key()] {
			return nil
		}
		seen[row.Key()] = true
		if planned, there := earlier[row.Key()]; there {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.rows = append(p.rows, planned)
			return nil
		}
		if r.ending(ctx) {
			return errUnfinished
		}
		return p.begin(ctx, row, out)
	})
	p.all.Wait()
	if err == nil {
		err = p.failed
	}
	if err == nil {
		err = r.planTellings(ctx, tellings)
	}
	return p.rows, tellings, err
}

// plannedBefore is the mails that earlier attempts at a noon's run have planned, by key: they are not made again. Nothing is planned before facts are kept.
func (r *reporter) plannedBefore(ctx context.Context, run ledger.Run) (map[string]ledger.MailRow, error) {
	if run.Object == "" || len(run.Day) != len(time.DateOnly) {
		return nil, nil
	}
	planned := map[string]ledger.MailRow{}
	err := r.ledger.Mails(ctx, run.Corp, func(m ledger.MailRow) bool {
		if m.Day == run.Day {
			planned[m.Key()] = m
		}
		return m.Day >= run.Day
	})
	return planned, err
}

// begin plans a mail beside others, as soon as there is room for it. What failed for one before ends the plan.
func (p *planning) begin(ctx context.Context, row ledger.MailRow, out outgoing) error {
	mail, err := out.mail()
	if err != nil {
		return err
	}
	units := min(1+weight(mail)/planUnit, atOnce)
	for range units { // nobody else asks for room
		p.room <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed
	}
	place := len(p.rows)
	p.rows = append(p.rows, row)
	p.all.Go(func() {
		err := p.plan(ctx, &row, out, mail)
		for range units {
			<-p.room
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rows[place] = row
		if err != nil && p.failed == nil {
			p.failed = err
		}
	})
	return nil
}

func weight(m report.Mail) int {
	n := len(m.HTML) + len(m.Text)
	for _, a := range m.Attachments {
		n += len(a.Body)
	}
	return n
}

func (p *planning) plan(ctx context.Context, row *ledger.MailRow, out outgoing, mail report.Mail) (err error) {
	defer fault.Catch(&err) // it runs in a goroutine
	noon := p.made.noon
	mail.ID = report.ID(string(p.run.Corp), row.Report, row.Day, out.to)
	raw, err := mail.Bytes(p.from, out.to, noon, mail.ID)
	if err != nil {
		return err
	}
	name := p.made.name + strings.TrimPrefix(out.report, p.run.Report)
	if out.day != "" {
		name = out.day[len(time.DateOnly)+1:] + "-" + out.report
	}
	object, _, err := p.keep(ctx, objstore.MailKey(p.run.Corp, noon.Format(time.DateOnly), name, archive.HashHex([]byte(out.to))[:16]+".eml"), "message/rfc822", raw)
	if err != nil {
		return err
	}
	row.Object, row.Version = object.Key, object.VersionID
	return p.ledger.PlanMail(ctx, *row)
}

// sendJobs asks mail to send mails. What was sent before something failed may be sent again.
func (r *reporter) sendJobs(ctx context.Context, rows []ledger.MailRow) error {
	for some := range slices.Chunk(rows, 10*atOnce) {
		err := inParallel(len(some), func(i int) error {
			return r.mails.Send(ctx, some[i].Corp, queue.MailJob{Corp: some[i].Corp, Mail: some[i].Key()})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
