package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// wechatGroup makes a room that messages name and WeCom shows nothing of.
func (d *desk) wechatGroup() string {
	d.Helper()
	d.n++
	room := fmt.Sprint("wr-group-", d.n)
	d.OK(d.operator.PutMessages(d.Context(), "b", []archive.Message{{Corp: corp, Seq: archive.Seq(d.n), MsgID: archive.MsgID(fmt.Sprint("m", d.n)), Room: archive.RoomID(room), From: "ann",
		To: []archive.PartyID{"wo-ext"}, Time: noon, Type: "text", Action: archive.Send, Known: true}}, &ledger.People{}))
	return room
}

// T13: a group that was made in WeChat gets a name from an admin; WeCom's own goes before it, and what was entered is kept.
func TestAnAdminNamesAGroupOfWhichWeComTellsNoName(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	room := d.wechatGroup()
	place := "/v1/corps/wwreed/rooms/" + room + "/name"
	x := d.ask(token, "GET", place, "")
	if x.StatusCode != http.StatusOK || x.body["from"] != "none" || x.Header.Get("ETag") != `"0"` {
		t.Fatalf("%d %s", x.StatusCode, x.text)
	}
	x = d.ask(token, "PUT", place, `{"name":" 织工  Weavers\u202e "}`, "If-Match", `"0"`)
	if x.StatusCode != http.StatusOK || x.body["name"] != "织工 Weavers" || x.body["from"] != "entered" || x.body["by"] != "api:person-7" || x.body["at"] != "2033-03-01T12:00:00Z" || x.Header.Get("ETag") != `"1"` {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	for _, c := range []struct {
		method, place, body, etag string
		want                      int
	}{
		{"PUT", place, `{"name":"Late"}`, `"0"`, http.StatusPreconditionFailed},
		{"PUT", place, `{"name":"Late"}`, "", http.StatusPreconditionRequired},
		{"PUT", place, `{"name":"Ahead"}`, `"2"`, http.StatusPreconditionFailed},
		{"PUT", place, `{"name":" "}`, `"1"`, http.StatusUnprocessableEntity},
		{"PUT", place, `{}`, `"1"`, http.StatusUnprocessableEntity},
		{"PUT", place, `{"name":"` + strings.Repeat("n", 121) + `"}`, `"1"`, http.StatusUnprocessableEntity},
		{"DELETE", place, "", `"0"`, http.StatusPreconditionFailed},
		{"GET", "/v1/corps/wwreed/rooms/wr-never-seen/name", "", "", http.StatusNotFound},
		{"PUT", "/v1/corps/wwreed/rooms/wr-never-seen/name", `{"name":"N"}`, `"0"`, http.StatusNotFound},
		{"GET", "/v1/corps/wwreed/rooms/" + strings.Repeat("r", 3000) + "/name", "", "", http.StatusNotFound},
	} {
		headers := []string{}
		if c.etag != "" {
			headers = []string{"If-Match", c.etag}
		}
		if x := d.ask(token, c.method, c.place, c.body, headers...); x.StatusCode != c.want {
			t.Errorf("%s %s %s: %d %s", c.method, c.body, c.etag, x.StatusCode, x.text)
		}
	}
	d.OK(d.operator.PutEntries(t.Context(), corp, []directory.Entry{{Kind: directory.KindRoom, ID: room, At: noon, Fields: directory.Fields(directory.Room{Name: "WeCom's own", Listed: true})}}))
	if x := d.ask(token, "GET", place, ""); x.body["name"] != "WeCom's own" || x.body["from"] != "wecom" || x.body["entered_name"] != "织工 Weavers" {
		t.Errorf("once WeCom shows a name: %s", x.text)
	}
	if x := d.ask(token, "DELETE", place, "", "If-Match", `"1"`); x.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "DELETE", place, "", "If-Match", `"2"`); x.StatusCode != http.StatusNotFound {
		t.Errorf("what is taken away can't be taken away: %d %s", x.StatusCode, x.text)
	}
	x = d.ask(token, "GET", place, "")
	if history := x.list("history"); len(history) != 2 || history[0]["name"] != "织工 Weavers" || history[1]["name"] != "" || x.body["entered_name"] != "" {
		t.Errorf("%s", x.text)
	}
	entered := 0
	for _, row := range d.Rows("AuditTable") {
		if strings.Contains(row, "action=api nameRoom") && strings.Contains(row, "object="+room) && strings.Contains(row, "outcome=done") {
			entered++
		}
	}
	if entered != 1 {
		t.Errorf("%d entries of the audit stream say that it was entered", entered)
	}
}
