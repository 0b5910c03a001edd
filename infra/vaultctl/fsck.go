package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// asked is what the function fsck is asked, and answered what it answers.
type asked struct {
	Corp archive.CorpID `json:"corp"`
	From string         `json:"from"`
	Full bool           `json:"full"`
}

type answered struct {
	Findings []json.RawMessage `json:"findings"`
	Untold   int               `json:"untold"`
	Batches  int               `json:"batches"`
	Seqs     int               `json:"seqs"`
	Media    int               `json:"media"`
	Next     string            `json:"next"`
}

// fsck has the function fsck check the archive against its ledger, and prints each finding as one JSON object a line.
func fsck(ctx context.Context, p *program, args []string) error {
	f := flags("fsck")
	id := f.String("corp", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	if p.check == "" {
		return errors.New("FSCK_FUNCTION is not set: it names the function, as the stack's output FsckFunction has it")
	}
	var all []ledger.Corp
	if *id != "" {
		c, err := p.known(ctx, *id)
		if err != nil {
			return err
		}
		all = []ledger.Corp{c}
	} else {
		var err error
		if all, err = p.ledger.Corps(ctx); err != nil {
			return err
		}
	}
	open := 0
	for _, c := range all {
		n, err := p.fsckCorp(ctx, c.ID)
		if err != nil {
			return err
		}
		open += n
	}
	if open > 0 {
		return fmt.Errorf("%d findings need somebody", open)
	}
	return nil
}

// fsckCorp checks one corp, in as many invocations as it takes, and returns how many findings stay open.
func (p *program) fsckCorp(ctx context.Context, corp archive.CorpID) (open int, err error) {
	if err := p.audit(ctx, "fsck", corp, "all"); err != nil {
		return 0, err
	}
	total, err := p.seqs(ctx, corp)
	if err != nil {
		return 0, err
	}
	line := p.progress("fsck of corp "+string(corp), "seqs", total)
	defer line.Done()
	var batches, seqs, media int
	for q := (asked{Corp: corp, Full: true}); ; {
		a, err := p.askFsck(ctx, q)
		if err != nil {
			return open, err
		}
		for _, text := range a.Findings {
			var finding struct {
				State string `json:"state"`
			}
			if err := json.Unmarshal(text, &finding); err != nil {
				return open, fmt.Errorf("a finding can't be read: %w", err)
			}
			if finding.State == "open" {
				open++
			}
			if _, err := fmt.Fprintf(p.out, "%s\n", text); err != nil {
				return open, err
			}
		}
		batches, seqs, media = batches+a.Batches, seqs+a.Seqs, media+a.Media
		line.Set(int64(seqs), total)
		line.Note(fmt.Sprintf("%s, %s so far", plural(media, "attachment"), plural(open, "open finding")))
		if a.Untold > 0 {
			open++ // too many to name: some may be open
			if _, err := fmt.Fprintf(line, "corp %s: %d more findings are in the log of the function\n", corp, a.Untold); err != nil {
				return open, err
			}
		}
		if a.Next == "" {
			line.Done()
			_, err := fmt.Fprintf(p.log, "corp %s: %d batches with %d seqs and %d attachments were checked, %d findings need somebody\n", corp, batches, seqs, media, open)
			return open, err
		}
		q.From = a.Next
	}
}

func (p *program) askFsck(ctx context.Context, q asked) (answered, error) {
	payload, err := json.Marshal(q)
	if err != nil {
		return answered{}, err
	}
	out, err := p.functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &p.check, Payload: payload})
	if err != nil {
		return answered{}, fmt.Errorf("call %s: %w", p.check, err)
	}
	if out.FunctionError != nil {
		return answered{}, fmt.Errorf("%s failed (%s): see its log", p.check, aws.ToString(out.FunctionError))
	}
	var a answered
	if err := json.Unmarshal(out.Payload, &a); err != nil {
		return answered{}, fmt.Errorf("the answer of %s can't be read: %w", p.check, err)
	}
	return a, nil
}
