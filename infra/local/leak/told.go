package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// hear has WeCom tell of changes, with everything that it may say in an older address's callbacks: names and numbers.
func (p *played) hear(ctx context.Context) error {
	kinds := []string{wecomsim.CallbackContacts, wecomsim.CallbackCustomer, wecomsim.CallbackArchive}
	if err := p.Hear(ctx, p.sim, string(corp), kinds...); err != nil {
		return err
	}
	all, err := p.sim.Callbacks(ctx, string(corp))
	if err != nil {
		return err
	}
	for _, c := range all {
		p.canaries["token of the "+c.Kind+" callback"], p.canaries["key of the "+c.Kind+" callback"] = []byte(c.Token), []byte(c.AESKey)
		c.Full = true
		if _, err := p.sim.SetCallback(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// change lets something happen to people: they are told of by callback, read again, and named in the reports; and enters a receiver by the API.
func (p *played) change(ctx context.Context) error {
	w := p.words
	if err := p.sees(ctx, unheard, w["mobile"]); err != nil {
		return err
	}
	err := p.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: string(corp), Remove: []string{"leaver"},
		Members: []wecomsim.Member{{UserID: "newcomer", Name: w["name"], Department: []int{1}, IsLeaderInDept: []int{0}, Mobile: w["mobile"], Email: "new" + w["address"] + "@wren.example", Status: 1}},
		Change: map[string]json.RawMessage{
			"bo": json.RawMessage(fmt.Sprintf(`{"mobile":%q}`, w["new mobile"])), "cy": json.RawMessage(`{"mobile":"","email":""}`),
		},
		Consents: []wecomsim.Consent{{RoomID: "wr-out", External: "wm-guest", Status: "Disagree", Changed: p.Now().Unix()}, {UserID: "ann", External: "wm-guest", Status: "Agree", Changed: p.Now().Unix()}},
	})
	if err != nil {
		return err
	}
	if _, err := p.sim.Settle(ctx, wecomsim.Settle{Corp: string(corp), Seconds: 60}); err != nil {
		return err
	}
	for range 3 { // under faults: each may fail
		for _, f := range []string{"DirectoryFunction", "ConsentFunction"} {
			if _, err := p.Host.Invoke(ctx, f, []byte(`{}`)); err != nil {
				return err
			}
		}
	}
	if err := p.sees(ctx, unheard, ""); err != nil {
		return err
	}
	all := p.APIURL() + "/v1/corps/" + string(corp) + "/receivers"
	body, err := json.Marshal(map[string]any{"name": w["name"], "address": "entered" + w["address"] + "@wren.example", "language": "zh", "department": 1,
		"reports": []string{"R1", "R2", "R3", "R4", "R5", "R6", "R8", "R12"}})
	if err != nil {
		return err
	}
	for _, r := range []struct {
		method, url string
		body        []byte
	}{
		{http.MethodPost, all, body}, {http.MethodGet, all, nil}, {http.MethodGet, p.APIURL() + "/v1/corps/" + string(corp) + "/mails", nil},
		{http.MethodPost, all, []byte(`{"name":"` + w["name"] + `","address":"` + w["name"] + `"}`)}, // refused, in words that must not be kept
		{http.MethodGet, all + "/" + w["address"], nil},
	} {
		if _, err := p.ask(ctx, r.method, r.url, r.body, ""); err != nil {
			return err
		}
	}
	return nil
}

// ask makes a request of the API until it is answered by anything but an error of its own, and returns how it is. state is what a change is for: "" for
// what needs none.
func (p *played) ask(ctx context.Context, method, url string, body []byte, state string) (status int, err error) {
	for try := 1; ; try++ {
		token, err := p.Token("leak", "admin")
		if err != nil {
			return 0, err
		}
		p.canaries["token for the API"] = []byte(token[len(token)-40:])
		request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		for name, value := range map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json", "Idempotency-Key": "leak", "If-Match": state} {
			if value == "" {
				continue
			}
			request.Header.Set(name, value)
		}
		answer, err := (&http.Client{Timeout: time.Minute}).Do(request)
		if err != nil {
			return 0, err
		}
		said, err := io.ReadAll(answer.Body)
		if closed := answer.Body.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return 0, err
		}
		if answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusTooManyRequests {
			return answer.StatusCode, nil
		}
		if try == 30 {
			return 0, fmt.Errorf("%s of the API: %d, %d bytes", method, answer.StatusCode, len(said))
		}
	}
}

// meant says whether a function is given and answers content by its nature: who asks the API has a token, and API Gateway keeps neither request nor answer.
func meant(r lambdahost.Ran) bool { return r.Function.LogicalID == "ApiFunction" }
