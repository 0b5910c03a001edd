package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
)

// seqLine is what the account reads of a line of vaultctl messages.
type seqLine struct {
	Seq       uint64 `json:"seq"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
	Type      string `json:"msgtype"`
	RawSHA256 string `json:"raw_sha256"`
	Media     []struct {
		FileID string `json:"sdkfileid"`
		State  string `json:"state"`
	} `json:"media"`
}

// count is the account of one corp.
type count struct {
	corp                archive.CorpID
	seqs, archived      int
	pending             int
	aside               map[string]int // by reason
	media               map[string]int // by state, each file once
	lost                []string       // what is unaccounted for
	waits               []string       // what waits for the operator
	simSeqs, simAside   int            // the simulator's own count; -1 where there is none
	simFiles, simNoFile int
}

// account prints what became of everything that was handed out, compares it with the simulator's own count, and returns the exit code.
func (d *day) account(ctx context.Context) (int, error) {
	var lost []string
	waits := slices.Clone(d.notes)
	fmt.Fprintln(d.out, "\nThe account of the day, and of those before it")
	sent, err := d.countMails(ctx)
	if err != nil {
		return exitLost, err
	}
	for _, corp := range d.corps {
		c, err := d.count(ctx, corp)
		if err != nil {
			return exitLost, err
		}
		c.print(d.out)
		if d.library == "" { // else the simulator knows nothing of the corp
			told, err := d.tellings(ctx, corp)
			if err != nil {
				return exitLost, err
			}
			if said := told.String(); said != "" {
				fmt.Fprintf(d.out, "    WeCom told: %s\n", said)
			}
		}
		lost, waits = append(lost, c.lost...), append(waits, c.waits...)
	}
	inWeCom, err := d.countTellings(ctx)
	if err != nil {
		return exitLost, err
	}
	fmt.Fprintf(d.out, "  mails sent %d, messages in WeCom %d\n", sent, inWeCom)
	jobs, dead := d.Queued()
	if jobs > 0 {
		waits = append(waits, some(jobs, "job is", "jobs are")+" still in the queues")
	}
	if dead > 0 {
		waits = append(waits, some(dead, "job is", "jobs are")+" in dead-letter queues: the logs in "+filepath.Join(d.Data, "logs")+" say why")
	}
	if full := tight(d.Data); full != "" && len(lost)+len(waits) > 0 {
		waits = append(waits, full)
	}
	for _, l := range lost {
		fmt.Fprintln(d.out, "  UNACCOUNTED FOR:", l)
	}
	for _, w := range waits {
		fmt.Fprintln(d.out, "  waits for you:", w)
	}
	switch {
	case len(lost) > 0:
		fmt.Fprintf(d.out, "Result: %s unaccounted for (exit %d)\n", some(len(lost), "thing is", "things are"), exitLost)
		return exitLost, nil
	case len(waits) > 0:
		fmt.Fprintf(d.out, "Result: every seq is accounted for, %s for the operator (exit %d)\n", some(len(waits), "thing waits", "things wait"), exitWaiting)
		return exitWaiting, nil
	}
	fmt.Fprintf(d.out, "Result: every seq is archived or set aside as it should be, nothing waits (exit %d)\n", exitAccounted)
	return exitAccounted, nil
}

func (d *day) countMails(ctx context.Context) (int, error) {
	sent := 0
	for _, corp := range d.corps {
		if err := d.ledger.Mails(ctx, corp, func(m ledger.MailRow) bool {
			if m.State == ledger.MailSent {
				sent++
			}
			return true
		}); err != nil {
			return 0, err
		}
	}
	return sent, nil
}

// count reads the archive's account of a corp as any outside check would: from the operator's command.
func (d *day) count(ctx context.Context, corp archive.CorpID) (count, error) {
	c := count{corp: corp, aside: map[string]int{}, media: map[string]int{}, simSeqs: -1}
	files := map[string]string{}
	lines := map[uint64]seqLine{}
	code, err := d.vaultctlLines(ctx, []string{"messages", "-corp", string(corp), "-format", "jsonl"}, func(text []byte) error {
		var l seqLine
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("a line of vaultctl messages can't be read: %w", err)
		}
		lines[l.Seq] = l
		c.seqs++
		switch l.State {
		case "archived":
			c.archived++
		case "set aside":
			c.aside[l.Reason]++
		default:
			c.pending++
			if l.Reason != "" {
				c.lost = append(c.lost, fmt.Sprintf("seq %d of corp %s: %s", l.Seq, corp, l.Reason))
			}
		}
		for _, m := range l.Media {
			files[m.FileID] = m.State
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	if code != 0 {
		return c, fmt.Errorf("vaultctl messages ended with %d", code)
	}
	for _, state := range files {
		c.media[state]++
	}
	if c.pending > 0 && len(c.lost) == 0 {
		c.waits = append(c.waits, fmt.Sprintf("%s of corp %s pulled and kept, and not opened yet%s", some(c.pending, "message", "messages"), corp, d.why("process")))
	}
	if n := c.media["waiting"]; n > 0 {
		c.waits = append(c.waits, fmt.Sprintf("%s of corp %s %s not in yet%s", some(n, "attachment", "attachments"), corp, isAre(n), d.why("media")))
	}
	if d.library != "" {
		c.setAside(c.aside)
		return c, nil
	}
	return c, d.compare(ctx, &c, lines)
}

// compare holds the archive's account against the simulator's, seq by seq.
func (d *day) compare(ctx context.Context, c *count, lines map[uint64]seqLine) error {
	theirs, err := d.sim.Account(ctx, string(c.corp))
	if err != nil {
		return err
	}
	_, gaveUp := d.gaveUp[c.corp]
	never := map[uint64]string{}
	unwanted := map[string]int{} // set aside against the story, by reason
	for _, a := range theirs.SetAside {
		never[a.Seq] = a.Fate
	}
	c.simSeqs, c.simAside, c.simFiles, c.simNoFile = theirs.Items, len(theirs.SetAside), theirs.Files.Count, theirs.Files.Refused
	var after uint64
	for {
		items, err := d.sim.Items(ctx, string(c.corp), after, 1000, false)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			break
		}
		for _, it := range items {
			after = it.Seq
			l, ok := lines[it.Seq]
			switch {
			case !ok && gaveUp:
				// It waits at WeCom: said with the corp that was given up.
			case !ok:
				c.lost = append(c.lost, fmt.Sprintf("seq %d of corp %s was never archived", it.Seq, c.corp))
			case l.State == "archived" && l.RawSHA256 != it.RawSHA256:
				c.lost = append(c.lost, fmt.Sprintf("seq %d of corp %s: what is archived is not what was sent", it.Seq, c.corp))
			case l.State == "set aside" && never[it.Seq] == "":
				unwanted[l.Reason]++
			}
			delete(lines, it.Seq)
		}
	}
	c.setAside(unwanted)
	if n := c.media["lost"] - theirs.Files.Refused - theirs.Files.Gone; n > 0 {
		c.lost = append(c.lost, fmt.Sprintf("%s of corp %s lost, though WeCom has it", some(n, "attachment", "attachments"), c.corp))
	}
	seen := c.media["kept"] + c.media["lost"] + c.media["waiting"]
	if n := theirs.Files.Count - seen; n > 0 && !gaveUp && c.pending == 0 && len(unwanted) == 0 {
		c.lost = append(c.lost, fmt.Sprintf("%s of corp %s never asked for", some(n, "attachment", "attachments"), c.corp))
	}
	for seq := range lines {
		c.lost = append(c.lost, fmt.Sprintf("seq %d of corp %s is archived and was never sent", seq, c.corp))
	}
	return nil
}

// setAside notes messages whose reason somebody has to look at.
func (c *count) setAside(byReason map[string]int) {
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		c.waits = append(c.waits, fmt.Sprintf("%s of corp %s %s set aside: %s", some(byReason[reason], "message", "messages"), c.corp, isAre(byReason[reason]), reason))
	}
}

func (c count) print(out io.Writer) {
	aside := 0
	var reasons []string
	for _, r := range slices.Sorted(maps.Keys(c.aside)) {
		aside += c.aside[r]
		reasons = append(reasons, fmt.Sprintf("%s %d", r, c.aside[r]))
	}
	fmt.Fprintf(out, "  corp %s\n    seqs pulled %d, archived %d, set aside %d", c.corp, c.seqs, c.archived, aside)
	if aside > 0 {
		fmt.Fprintf(out, " (%s)", strings.Join(reasons, ", "))
	}
	fmt.Fprintf(out, ", pending %d\n    attachments kept %d, waiting %d, lost %d\n", c.pending, c.media["kept"], c.media["waiting"], c.media["lost"])
	if c.simSeqs >= 0 {
		fmt.Fprintf(out, "    the simulator's own count: %d seqs, of which %d can never be opened; %d attachments, of which %d are refused\n", c.simSeqs, c.simAside, c.simFiles, c.simNoFile)
	}
}

// some counts things in words.
func some(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// why is the last error of this run in a function's log, with a colon before it; "" if there is none.
func (d *day) why(function string) string {
	text, err := os.ReadFile(filepath.Join(d.Data, "logs", d.Template.StackName+"-"+function+".log"))
	if err != nil {
		return "" // the function has never run
	}
	for _, row := range slices.Backward(bytes.Split(text, []byte("\n"))) {
		var entry struct {
			Time  time.Time `json:"timestamp"`
			Level string    `json:"level"`
			Error string    `json:"error"`
		}
		if json.Unmarshal(row, &entry) != nil || entry.Error == "" || entry.Level != "ERROR" {
			continue
		}
		if entry.Time.Before(d.began) {
			break
		}
		return ": " + entry.Error
	}
	return ""
}

// vaultctlLines runs the operator's command and calls f for each line it prints.
func (d *day) vaultctlLines(ctx context.Context, args []string, f func([]byte) error) (int, error) {
	cmd := house.Vaultctl(ctx, d.binaries, d.Environment(), args)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := bufio.NewReaderSize(out, 1<<20)
	var failed error
	for failed == nil {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			failed = f(text)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				failed = err
			}
			break
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), failed
	}
	return 0, errors.Join(failed, err)
}
