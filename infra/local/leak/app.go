package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

const (
	appAgent = 1000007
	// unheard is the user who has neither a number nor an address in the end.
	unheard = archive.PartyID("cy")
	// answered is by when a function has given up waiting for WeCom's answer to a message.
	answered = 20 * time.Second
)

// giveApp has the operator enter the app that writes to users, by a wrong secret first: it is tried, refused and taken back.
func (p *played) giveApp(ctx context.Context) error {
	for _, kind := range []string{"refused app secret", "app secret"} {
		file := filepath.Join(p.o.folders.Data, strings.ReplaceAll(kind, " ", "-"))
		if err := os.WriteFile(file, []byte(p.words[kind]), 0o600); err != nil {
			return err
		}
		code, said, err := p.Operate(ctx, "corps", "set", "-corp", string(corp), "-app-secret-file", file, "-app-agent", fmt.Sprint(appAgent))
		if err != nil {
			return err
		}
		if refused := code != 0; refused != (kind == "refused app secret") {
			return fmt.Errorf("vaultctl corps set with the %s: exit %d: %s", kind, code, said)
		}
	}
	return nil
}

// sees has the directory read until it shows a member's number, or none: a number is lost only to who has seen it.
func (p *played) sees(ctx context.Context, id archive.PartyID, mobile string) error {
	ok, err := house.Until(ctx, patience, func() (bool, error) {
		h, err := p.ledger.Held(ctx, corp, directory.KindMember, string(id))
		if err != nil {
			return false, err
		}
		if h.Fields != "" {
			m, err := directory.Parse[directory.Member](h.Fields)
			if err != nil || m.MobileReadable && m.Mobile == mobile {
				return err == nil, err
			}
		}
		_, err = p.Host.Invoke(ctx, "DirectoryFunction", []byte(`{}`)) // under faults: it may fail
		return false, err
	})
	if err == nil && !ok {
		err = fmt.Errorf("after %v the directory does not show member %s as WeCom does", patience, id)
	}
	return err
}

// hinderApp breaks what the app asks of WeCom: the address that is asked holds its secret once, and its token then.
func (p *played) hinderApp(ctx context.Context) error {
	for _, f := range []wecomsim.Fault{{API: "gettoken", Kind: wecomsim.FaultReset}, {API: "gettoken", Kind: wecomsim.FaultCut}, {API: "message/send", Kind: wecomsim.FaultReset}} {
		f.Corp, f.Times = string(corp), 1
		if _, err := p.sim.AddFault(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// tellings is how many messages in WeCom are not settled. What waits for an answer that was lost is sent again without waiting for its claim to run out.
func (p *played) tellings(ctx context.Context) (open int, err error) {
	lost := false
	err = p.ledger.Tellings(ctx, corp, func(t ledger.Telling) bool {
		if !t.Settled() {
			open++
			lost = lost || t.State == ledger.MailSending && clock.Real().Sub(t.Asked) > answered
		}
		return true
	})
	if err == nil && lost {
		err = p.EndClaims(ctx)
	}
	return open, err
}

// told is how many users were told in WeCom. The line that names the user, and the one of the lost number, masked or not, become canaries as a whole.
func (p *played) told(ctx context.Context) (n int, err error) {
	number := p.words["mobile"]
	err = p.ledger.Tellings(ctx, corp, func(t ledger.Telling) bool {
		lines := map[string]string{}
		for line := range strings.Lines(t.Text) {
			switch line = strings.TrimSpace(line); {
			case strings.Contains(line, p.words["name"]):
				lines["name in a message in WeCom"] = line
			case strings.Contains(line, number[len(number)-2:]) && strings.Contains(line, number[:3]):
				lines["number in a message in WeCom"] = line
			}
		}
		if t.State == ledger.Told && t.To == unheard && len(lines) == 2 {
			n++
			for kind, line := range lines {
				p.canaries[kind] = []byte(line)
			}
		}
		return true
	})
	return n, err
}

// enter puts a file about people into force and names a room, each refused once in words that must not be kept.
func (p *played) enter(ctx context.Context) error {
	w := p.words
	row := w["name in the HR file"] + "," + w["mobile in the HR file"] + "," + w["address in the HR file"] + "@wren.example\n"
	files, room := p.APIURL()+"/v1/corps/"+string(corp)+"/hr-files", p.APIURL()+"/v1/corps/"+string(corp)+"/rooms/wr-in/name"
	var all []int
	for _, r := range []struct{ method, url, field, text string }{
		{http.MethodPost, files, "file", "userid,name,mobile,email\nann," + row + "ann," + row + w["name in the HR file"] + "," + row},
		{http.MethodPost, files, "file", "userid,name,mobile,email\nann," + row + "newcomer," + w["name in the HR file"] + ",,\n"},
		{http.MethodPut, room, w["entered room name"], w["entered room name"]},
		{http.MethodPut, room, "name", w["entered room name"]},
	} {
		b, err := json.Marshal(map[string]string{r.field: r.text})
		if err != nil {
			return err
		}
		status, err := p.ask(ctx, r.method, r.url, b, `"0"`)
		if err != nil {
			return err
		}
		all = append(all, status)
	}
	for _, url := range []string{files, files + "/1", files + "/" + w["name in the HR file"], room} {
		if _, err := p.ask(ctx, http.MethodGet, url, nil, ""); err != nil {
			return err
		}
	}
	_, inForce, err := p.ledger.HRFileInForce(ctx, corp)
	if err != nil {
		return err
	}
	names, err := p.ledger.RoomNameHistory(ctx, corp, "wr-in")
	if err == nil && (!inForce || len(names) == 0) {
		err = fmt.Errorf("the API took no file about people, or no name of a room: it answered %d", all)
	}
	return err
}
