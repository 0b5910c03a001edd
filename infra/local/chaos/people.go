package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/report"
)

// The members to whom something happens in the middle of each run's day.
const (
	headOfDesk  = "member00" // is mailed as such
	renumbered  = "member01"
	leaves      = "leaver"
	mobileLost  = "member02"
	unreachable = "member03"
	joins       = "newcomer"
	newHead     = "member04"
	refusing    = 1 // of the external contacts; in the room "wroutside"
)

// changes are what happens to a company's people between two readings of its directory, all at one moment: it may be asked for again.
func changes(corp string) wecomsim.ChangeContacts {
	field := func(text string) json.RawMessage { return json.RawMessage(text) }
	return wecomsim.ChangeContacts{
		Corp: corp, Remove: []string{leaves},
		Members: []wecomsim.Member{{UserID: joins, Name: "New Person", Department: []int{2}, IsLeaderInDept: []int{0}, Mobile: "13900000099", Email: joins + "@" + corp + ".example", Status: 1}},
		Change: map[string]json.RawMessage{
			renumbered:  field(`{"mobile":"13800007777"}`),
			mobileLost:  field(`{"mobile":""}`),
			unreachable: field(`{"mobile":"","email":""}`),
			newHead:     field(`{"is_leader_in_dept":[1]}`),
		},
		Consents: []wecomsim.Consent{{RoomID: "wroutside", External: external(refusing), Status: "Disagree", Changed: dawn.Add(-time.Minute).Unix()}},
	}
}

// hear gives WeCom the addresses for its callbacks; what is refused meanwhile is tried again, as an admin would.
func (p *player) hear(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		for {
			err := p.Hear(ctx, p.sim, c.ID, wecomsim.CallbackContacts, wecomsim.CallbackArchive)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return err
			}
			rest(ctx, 500*time.Millisecond)
		}
	}
	return nil
}

// change has people join, leave and change in each company, and waits until WeCom has told of it and everybody named was looked at again.
func (p *player) change(ctx context.Context) error {
	for _, c := range p.corpus.Corps {
		// Repeated: the simulator may be killed at any moment.
		for {
			err := p.sim.ChangeContacts(ctx, changes(c.ID))
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return err
			}
			rest(ctx, 200*time.Millisecond)
		}
	}
	for _, c := range p.corpus.Corps {
		for {
			_, err := p.sim.Settle(ctx, wecomsim.Settle{Corp: c.ID})
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return err
			}
			rest(ctx, 200*time.Millisecond)
		}
	}
	return p.settle(ctx, nil)
}

// consent has WeCom asked about consent until nobody waits for an answer.
func (p *player) consent(ctx context.Context) error {
	if err := p.invoked(ctx, "ConsentFunction", `{}`); err != nil {
		return err
	}
	return p.settle(ctx, func() (string, error) {
		for _, c := range p.corpus.Corps {
			open, err := p.ledger.Breaches(ctx, archive.CorpID(c.ID))
			if err != nil {
				return "", err
			}
			i := slices.IndexFunc(open, func(a ledger.Alarm) bool { return a.Open && a.Cause == "wroutside" })
			if i < 0 || open[i].Told != open[i].Fingerprint() {
				_, _, err := p.invoke(ctx, "ConsentFunction", `{}`)
				return "a group with a member who disagreed is not told of", err
			}
		}
		return "", nil
	})
}

// again has the directory and consent read as the hourly schedules would before noon, and what they lead to done.
func (p *player) again(ctx context.Context) error {
	began := p.Now()
	for _, c := range p.corpus.Corps {
		for {
			if err := p.invoked(ctx, "DirectoryFunction", `{}`); err != nil {
				return err
			}
			ok := false
			err := p.ledger.Snapshots(ctx, archive.CorpID(c.ID), func(s ledger.Snapshot) bool {
				ok = !s.At.Before(began)
				for _, part := range s.Counts.Parts {
					ok = ok && part.Complete
				}
				return false
			})
			if err != nil {
				return err
			}
			if ok {
				break
			}
		}
	}
	return p.consent(ctx)
}

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
		all := p.APIURL() + "/v1/corps/" + c.ID + "/receivers"
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
			if err := p.put(ctx, all+"/"+made.ID, b, func(r receiver) bool { return len(r.Reports) == len(b.Reports) }); err != nil {
				return err
			}
		}
		edit := map[string]string{"language": "en"}
		if err := p.put(ctx, all+"/h-"+headOfDesk, edit, func(r receiver) bool { return r.Language == "en" }); err != nil {
			return err
		}
	}
	return nil
}

// receiver is as much of the API's answer as is looked at.
type receiver struct {
	ID       string        `json:"id"`
	Language string        `json:"language"`
	Reports  []report.Kind `json:"reports"`
	etag     string
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

// outdated is the error of a request whose ETag is of the past: what it asked for may have been done by a try that was not answered.
const outdated = "the API answered 412"

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
			return r, fmt.Errorf("%s", outdated)
		case status >= http.StatusMultipleChoices:
			return r, fmt.Errorf("the API answered %d to %s %s: %s", status, method, url, text)
		default:
			r.etag = etag
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
