package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/house"
)

// calm lets the week's last hour pass and everything come to rest.
func (w *week) calm(ctx context.Context, t time.Time) error {
	if err := w.setClock(ctx, t); err != nil {
		return err
	}
	w.tick()
	if err := errors.Join(w.caughtUp(ctx), w.settle(ctx), w.look(ctx)); err != nil {
		return err
	}
	w.feel(days)
	// What a failed try hides is looked at again now instead of in half an hour.
	return w.wait(ctx, "that the queues are empty", func() (bool, error) {
		jobs, _ := w.Queued()
		if jobs == 0 {
			return true, nil
		}
		return false, w.Queues.ReleaseInFlight()
	})
}

// entry is a line of vaultctl messages.
type entry struct {
	Seq       uint64 `json:"seq"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
	RawSHA256 string `json:"raw_sha256"`
	Media     []struct {
		State string `json:"state"`
	} `json:"media"`
}

// account holds the archive against the simulator, seq by seq.
func (w *week) account(ctx context.Context) error {
	if _, dead := w.Queued(); dead > 0 {
		w.find("%d jobs are dead letters", dead)
	}
	if res, err := w.Host.Invoke(ctx, "FsckFunction", []byte(`{}`)); err != nil || res.FunctionError != "" {
		w.find("the night's check failed: %s %v", res.Payload, err)
	}
	for _, c := range w.corps {
		w.line.Note("holding the archive of " + string(c.id) + " against what was sent")
		lines, err := w.messages(ctx, c)
		if err != nil {
			return err
		}
		if err := w.compare(ctx, c, lines); err != nil {
			return err
		}
		alarms, err := w.ledger.Alarms(ctx, c.id)
		if err != nil {
			return err
		}
		for _, a := range alarms {
			if a.Open && (a.Cause != "media-lost" || c.filesLost.zero()) {
				w.find("corp %s: at the end an alarm is open: %s", c.id, a.Cause)
			}
		}
		if err := w.reports(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// messages reads all that the archive has of a corp.
func (w *week) messages(ctx context.Context, c *corp) (lines map[uint64]entry, err error) {
	cmd := house.Vaultctl(ctx, w.folders.Binaries, w.Environment(), []string{"messages", "-corp", string(c.id), "-format", "jsonl"})
	cmd.Stderr = w.line
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines = map[uint64]entry{}
	dec := json.NewDecoder(bufio.NewReaderSize(out, 1<<20))
	for {
		var e entry
		if err = dec.Decode(&e); err != nil {
			break
		}
		if old, twice := lines[e.Seq]; twice {
			w.find("seq %d of corp %s is listed twice, as %s and %s", e.Seq, c.id, old.State, e.State)
		}
		lines[e.Seq] = e
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return lines, errors.Join(err, cmd.Wait())
}

// shown is how many findings of one kind are spelt out.
const shown = 5

func (w *week) compare(ctx context.Context, c *corp, lines map[uint64]entry) error {
	var after uint64
	items, archived, lost, files := 0, 0, 0, 0
	var missing, altered []uint64
	for {
		page, err := w.sim.Items(ctx, string(c.id), after, 1000, false)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, it := range page {
			after = it.Seq
			items++
			stored := time.UnixMilli(it.Stored)
			gone := !c.lost.zero() && !stored.Before(c.lost.from) && stored.Before(c.lost.to)
			e, there := lines[it.Seq]
			delete(lines, it.Seq)
			switch {
			case gone && there:
				w.find("seq %d of corp %s is archived, and had left the window", it.Seq, c.id)
			case gone:
				lost++
			case !there || e.State != "archived":
				missing = append(missing, it.Seq)
			case e.RawSHA256 != it.RawSHA256:
				altered = append(altered, it.Seq)
			default:
				archived++
			}
			for _, m := range e.Media {
				if m.State == ledger.Kept {
					files++
				}
			}
		}
	}
	for what, seqs := range map[string][]uint64{"not archived": missing, "not what was sent": altered} {
		if len(seqs) > 0 {
			w.find("corp %s: %d seqs are %s, the first being %v", c.id, len(seqs), what, seqs[:min(shown, len(seqs))])
		}
	}
	if len(lines) > 0 {
		w.find("corp %s: %d seqs are archived that were never sent", c.id, len(lines))
	}
	theirs, err := w.sim.Account(ctx, string(c.id))
	if err != nil {
		return err
	}
	if theirs.Missed != lost {
		w.find("corp %s: %d seqs left the window unfetched by the simulator's own count, %d by the clock", c.id, theirs.Missed, lost)
	}
	if away := c.lost; !away.zero() && lost == 0 {
		w.find("corp %s was away for longer than the window, and nothing was lost: the week proves nothing", c.id)
	}
	kept := 0
	for _, at := range c.sent {
		if c.filesLost.zero() || at.Before(c.filesLost.from) || !at.Before(c.filesLost.to) {
			kept++
		}
	}
	if files != kept {
		w.find("corp %s: %d attachments are kept, not %d of %d", c.id, files, kept, len(c.sent))
	}
	fmt.Fprintf(w.out, "corp %s: %d seqs, %d archived as they were sent, %d left the window while it was away; %d attachments kept\n", c.id, items, archived, lost, files)
	return nil
}

// reports looks whether each noon had its report, and each receiver its mail, once.
func (w *week) reports(ctx context.Context, c *corp) error {
	mails := map[string]int{}
	if err := w.ledger.Mails(ctx, c.id, func(m ledger.MailRow) bool {
		if m.Report == "R1" && m.State == ledger.MailSent {
			mails[m.Day] += m.Attempt
		}
		return true
	}); err != nil {
		return err
	}
	want := len(strings.Split(receivers, ","))
	var days7 []string
	for d := range days {
		days7 = append(days7, w.start.Add(time.Duration(d)*24*time.Hour).Format(time.DateOnly))
	}
	for _, day := range days7 {
		run, err := w.ledger.RunOf(ctx, c.id, day, "R1")
		if err != nil || run.State != ledger.RunDone || mails[day] != want {
			w.find("corp %s: the report of %s is %q with %d mails sent, not %d: %v", c.id, day, run.State, mails[day], want, err)
		}
	}
	for day := range mails {
		if !slices.Contains(days7, day) {
			w.find("corp %s: a report of %s was mailed", c.id, day)
		}
	}
	return nil
}

// verdict prints what was found, and is an error if something was.
func (w *week) verdict() error {
	const first, last = 2, days
	if err := w.vitals.print(w.out, first, last); err != nil {
		w.find("the vitals can't be printed: %v", err)
	}
	for _, g := range w.vitals.grown(first, last) {
		w.find("%s", g)
	}
	fmt.Fprintf(w.out, "%d messages, hours before loss looked at %d times in the metric and in status, at most %.0f %% and %d MB of growth allowed\n", w.said, w.looked, 100*(growth-1), breathMB)
	if len(w.wrong) > 0 {
		fmt.Fprintf(w.out, "Result: %s (exit %d)\n", found(len(w.wrong)), command.Failed)
		return command.Exit(command.Failed)
	}
	fmt.Fprintf(w.out, "Result: the ledger is complete, the hours were right, nothing grew (exit %d)\n", command.Good)
	return nil
}
