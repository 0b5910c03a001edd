package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/report"
)

// body is a receiver as the API is given one.
type body struct {
	Name       string        `json:"name"`
	Address    string        `json:"address"`
	Language   string        `json:"language"`
	Department int           `json:"department"`
	Reports    []report.Kind `json:"reports"`
}

// receivers enters two receivers by the API, one for the whole company and one for a department, changes one of them, and edits a head of department. Each
// request is made again until it is answered, as a careful client does: with the same idempotency key, or with the ETag of what is there then.
func (p *player) receivers(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		all := p.corpURL(c.ID) + "/receivers"
		for i, b := range []body{
			{"Whole Company", "whole@" + c.ID + ".example", "en", directory.Root, report.Kinds()},
			{"Desk", "desk@" + c.ID + ".example", "zh", 2, []report.Kind{report.UserStatus}},
		} {
			made, err := p.ask(ctx, http.MethodPost, all, b, "Idempotency-Key", fmt.Sprintf("chaos-%d", i))
			if err != nil {
				return err
			}
			if i == 0 {
				continue
			}
			b.Reports = []report.Kind{report.UserStatus, report.MissingMobile, report.NumberChange, report.DeletedUsers, report.NewUsers, report.GroupsBreach, report.MissingEmail}
			if err := p.put(ctx, all+"/"+made.ID, b, func(r receiver) bool { return len(r.kinds()) == len(b.Reports) }); err != nil {
				return err
			}
		}
		edit := map[string]string{"language": "en"}
		if err := p.put(ctx, all+"/h-"+headOfDesk, edit, func(r receiver) bool { return r.Language == "en" }); err != nil {
			return err
		}
		if err := p.decide(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// decide enters a receiver and takes it away again, changes the company's settings, and enters one whose address is dead.
func (p *player) decide(ctx context.Context, corp string) error {
	all := p.corpURL(corp) + "/receivers"
	gone, err := p.ask(ctx, http.MethodPost, all, body{"Gone Soon", "gone@" + corp + ".example", "en", directory.Root, []report.Kind{report.UserStatus}}, "Idempotency-Key", "chaos-gone")
	if err != nil {
		return err
	}
	if err := p.remove(ctx, all+"/"+gone.ID); err != nil {
		return err
	}
	control := "control@" + corp + ".example"
	if err := p.put(ctx, p.corpURL(corp)+"/settings", map[string]string{"control": control}, func(r receiver) bool { return r.Control == control }); err != nil {
		return err
	}
	_, err = p.ask(ctx, http.MethodPost, all, body{"Dead Address", deadAddress(corp), "en", directory.Root, []report.Kind{report.UserStatus}}, "Idempotency-Key", "chaos-dead")
	return err
}

// deadAddress is one that the simulated SES lets bounce for good.
func deadAddress(corp string) string { return "bounce@" + corp + ".example" }

func (p *player) corpURL(corp string) string { return p.APIURL() + "/v1/corps/" + corp }

// The company's own file, and the one that takes its place: a number that WeCom hides from nobody, and one of somebody whom WeCom does not know.
var hrFiles = []string{
	"userid,name,mobile,email\n" + headOfDesk + ",Person Zero,13700000000,zero@hr.example\nnobody,Not There,13700000001,\n",
	"userid,name,mobile,email\n" + headOfDesk + ",Person Zero,13700000002,zero@hr.example\n" + renumbered + ",Person One,13700000003,\n",
}

// files puts the company's own file into force, another one after it, and the first one back; and has the API show what it shows of people, mails and the day.
func (p *player) files(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		all := p.corpURL(c.ID) + "/hr-files"
		for n, b := range []map[string]any{{"file": hrFiles[0]}, {"file": hrFiles[1]}, {"version": 1}} {
			for {
				now, err := p.ask(ctx, http.MethodGet, all, nil)
				if err != nil {
					return err
				}
				if len(now.Files) > n { // a try that was not answered
					break
				}
				if _, err := p.ask(ctx, http.MethodPost, all, b, "If-Match", now.etag); err == nil {
					break
				} else if err.Error() != outdated {
					return err
				}
			}
		}
		for _, path := range []string{"", "/people", "/people/" + headOfDesk, "/departments", "/mails", "/status", "/hr-files/1"} {
			if _, err := p.ask(ctx, http.MethodGet, p.corpURL(c.ID)+path, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// lift waits until SES has said that the dead address is dead, has the API show a mail as it would be today, and lets mails go to the address again.
func (p *player) lift(ctx context.Context) error {
	err := p.settle(ctx, func() (string, error) {
		for _, c := range p.corpus.Corps {
			if done, err := p.lifted(ctx, c.ID); err != nil || done {
				return "", err
			}
			if _, err := p.ledger.SuppressionOf(ctx, archive.CorpID(c.ID), deadAddress(c.ID)); errors.Is(err, ledger.ErrAbsent) {
				return "a dead address is not suppressed", nil
			} else if err != nil {
				return "", err
			}
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	for _, c := range p.corpus.Corps {
		for made := false; !made; { // it is made beside the requests
			r, err := p.ask(ctx, http.MethodPost, p.corpURL(c.ID)+"/reports/"+string(report.UserStatus)+"/preview", map[string]any{"department": directory.Root})
			if err != nil {
				return err
			}
			if made = r.State == "made"; !made {
				rest(ctx, 500*time.Millisecond)
			}
		}
		if done, err := p.lifted(ctx, c.ID); err != nil {
			return err
		} else if done {
			continue
		}
		list, err := p.ask(ctx, http.MethodGet, p.corpURL(c.ID)+"/suppressions", nil)
		if err != nil {
			return err
		}
		for _, s := range list.Suppressions {
			if err := p.remove(ctx, p.corpURL(c.ID)+"/suppressions/"+s.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// lifted says whether the dead address was suppressed and is no more.
func (p *player) lifted(ctx context.Context, corp string) (bool, error) {
	s, err := p.ledger.SuppressionOf(ctx, archive.CorpID(corp), deadAddress(corp))
	if errors.Is(err, ledger.ErrAbsent) {
		return !s.Lifted.IsZero(), nil
	}
	return false, err
}

// remove takes away what a URL names, unless it is gone already.
func (p *player) remove(ctx context.Context, url string) error {
	for {
		now, err := p.ask(ctx, http.MethodGet, url, nil)
		if err == nil {
			_, err = p.ask(ctx, http.MethodDelete, url, nil, "If-Match", now.etag)
		}
		switch {
		case err == nil, err.Error() == notThere:
			return nil
		case ctx.Err() != nil:
			return err
		case err.Error() != outdated:
			return err
		}
	}
}

// receiver is as much of the API's answer as is looked at.
type receiver struct {
	ID           string          `json:"id"`
	Language     string          `json:"language"`
	Control      string          `json:"control"`
	State        string          `json:"state"`   // of a preview
	Reports      json.RawMessage `json:"reports"` // a receiver's names, or a company's switches
	Files        []any           `json:"files"`
	Suppressions []struct{ ID string }
	etag         string
}

// kinds are a receiver's reports.
func (r receiver) kinds() (all []report.Kind) {
	if json.Unmarshal(r.Reports, &all) != nil {
		return nil
	}
	return all
}

// put changes a receiver unless it is as it should be.
func (p *player) put(ctx context.Context, url string, b any, done func(receiver) bool) error {
	for {
		now, err := p.ask(ctx, http.MethodGet, url, nil)
		if err != nil || done(now) {
			return err
		}
		switch _, err := p.ask(ctx, http.MethodPut, url, b, "If-Match", now.etag); {
		case err == nil, ctx.Err() != nil:
			return err
		case err.Error() != outdated:
			return err
		}
	}
}

// outdated is the error of a request whose ETag is of the past, notThere of one for what is not there: what it asked for may have been done by a try that was
// not answered.
const (
	outdated = "the API answered 412"
	notThere = "the API answered 404"
)

// ask asks the API until it answers with anything but an error of its own.
func (p *player) ask(ctx context.Context, method, url string, b any, header ...string) (receiver, error) {
	var r receiver
	var sent []byte
	if b != nil {
		var err error
		if sent, err = json.Marshal(b); err != nil {
			return r, err
		}
	}
	for {
		token, err := p.Token("chaos", "admin")
		if err != nil {
			return r, err
		}
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(sent))
		if err != nil {
			return r, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		status, text, etag := once(req)
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case status == 0 || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
			rest(ctx, 300*time.Millisecond)
		case status == http.StatusPreconditionFailed:
			return r, errors.New(outdated)
		case status == http.StatusNotFound:
			return r, errors.New(notThere)
		case status >= http.StatusMultipleChoices:
			return r, fmt.Errorf("the API answered %d to %s %s: %s", status, method, url, text)
		default:
			r.etag = etag
			if method != http.MethodGet {
				if err := p.isAudited(ctx, method, url); err != nil {
					return r, err
				}
			}
			if len(text) == 0 {
				return r, nil
			}
			return r, json.Unmarshal(text, &r)
		}
	}
}

// once makes a request; status is 0 if there is no whole answer.
func once(req *http.Request) (status int, text []byte, etag string) {
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(req)
	if err != nil {
		return 0, nil, ""
	}
	defer func() { _ = response.Body.Close() }() // it was read, or is of no use
	if text, err = io.ReadAll(response.Body); err != nil {
		return 0, nil, ""
	}
	return response.StatusCode, text, response.Header.Get("ETag")
}
