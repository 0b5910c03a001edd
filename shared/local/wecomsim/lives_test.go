package wecomsim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func TestWhatHappensToAMemberIsRemembered(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	a.set(wecomsim.CallbackContacts, false)
	at := map[int]int64{}
	live := func(n wecomsim.MemberChange) {
		b.Helper()
		n.Corp = "wwone"
		c := must(b.Client.ChangeMember(b.ctx(), n))(b)
		at[c.ID] = b.sim.Now().UnixMilli()
		a.settled() // a request under way would be of yesterday
		must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "24h"}))(b)
	}
	live(wecomsim.MemberChange{UserID: "new", Join: &wecomsim.Member{Name: "N", Department: []int{4}, Mobile: "19900000009", Status: 4}})
	live(wecomsim.MemberChange{UserID: "new", Fields: raw(`{"status":1}`)})
	live(wecomsim.MemberChange{UserID: "LIN", Fields: raw(`{"mobile":"","email":"lin@two.example"}`)})
	live(wecomsim.MemberChange{UserID: "lin", Fields: raw(`{"name":"林"}`)})
	live(wecomsim.MemberChange{UserID: "mo", Fields: raw(`{"userid":"mo.li","is_leader_in_dept":[1]}`)})
	live(wecomsim.MemberChange{UserID: "mo.li", Leave: wecomsim.LeaveLeft})
	live(wecomsim.MemberChange{UserID: "new", Leave: wecomsim.LeaveDeleted})
	live(wecomsim.MemberChange{UserID: "mo.li", Join: &wecomsim.Member{Name: "莫", Department: []int{3}}})
	b.stop()
	b.start()
	type row struct {
		UserID, What, Fields string
		Told                 int
	}
	var rows []row
	for _, c := range must(b.Changes(b.ctx(), "wwone", 0))(b) {
		var fields []string
		for _, f := range c.Fields {
			if c.What == "joined" && f.Field != "mobile" && f.Field != "status" || c.What == "deleted" && f.Field != "mobile" {
				continue
			}
			fields = append(fields, f.Field+" "+string(f.From)+">"+string(f.To))
		}
		rows = append(rows, row{c.UserID, c.What, strings.Join(fields, ", "), len(c.Deliveries)})
		if c.At != at[c.ID] {
			t.Errorf("%+v happened at %d", c, at[c.ID])
		}
	}
	want := []row{
		{"new", "joined", `mobile null>"19900000009", status null>4`, 1},
		{"new", "changed", `status 4>1`, 0}, // not told to a newer address
		{"LIN", "changed", `email "lin@one.example">"lin@two.example", mobile "19900000001">""`, 0},
		{"lin", "nothing", "", 0},
		{"mo.li", "renamed", `is_leader_in_dept null>[1], userid "mo">"mo.li"`, 1},
		{"mo.li", "left", `status 2>5`, 1},
		{"new", "deleted", `mobile "19900000009">null`, 1},
		{"mo.li", "joined", `status 5>1`, 1},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got := a.take(); len(got) != 5 || got[4] != "change_contact create_user mo.li III" {
		t.Errorf("told: %q", got)
	}
	if list := must(b.Changes(b.ctx(), "wwone", 6))(b); len(list) != 2 || list[0].ID != 7 {
		t.Errorf("after 6: %v", list)
	}
	for path, want := range map[string]int{"user/get?userid=new": 60111, "user/get?userid=mo": 60111, "user/get?userid=MO.LI": 0} {
		if r := b.api("wwone", wecomsim.KindLegacyApp, "GET", path, ""); r.ErrCode != want {
			t.Errorf("%s: %d", path, r.ErrCode)
		}
	}
}

func TestARenamedMemberIsRenamedEverywhere(t *testing.T) {
	b := newBench(t)
	b.directory()
	must(b.ChangeMember(b.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: "lin", Fields: raw(`{"userid":"lin2"}`)}))(b)
	for _, c := range []struct{ kind, method, path, body, want string }{
		{wecomsim.KindArchive, "POST", "msgaudit/get_permit_user_list", "{}", `["lin2","mo"]`},
		{wecomsim.KindArchive, "POST", "msgaudit/check_single_agree", `{"info":[{"userid":"lin2","exteranalopenid":"` + wm + `"}]}`, "Disagree"},
		{wecomsim.KindArchive, "POST", "msgaudit/groupchat/get", `{"roomid":"` + wr1 + `"}`, `"creator":"lin2"`},
		{wecomsim.KindCustomer, "GET", "externalcontact/list?userid=lin2", "", wm},
		{wecomsim.KindLegacyApp, "GET", "department/get?id=1", "", `["lin2"]`},
	} {
		if r := b.api("wwone", c.kind, c.method, c.path, c.body); !strings.Contains(string(r.raw), c.want) || strings.Contains(string(r.raw), `"lin"`) {
			t.Errorf("%s: %s", c.path, r.raw)
		}
	}
}

func TestAChangeThatCanNotBeIsRefused(t *testing.T) {
	b := newBench(t)
	b.directory()
	for name, n := range map[string]wecomsim.MemberChange{
		"nothing":          {UserID: "lin"},
		"two things":       {UserID: "lin", Leave: wecomsim.LeaveLeft, Fields: raw(`{"mobile":""}`)},
		"nobody":           {UserID: "nobody", Leave: wecomsim.LeaveLeft},
		"joins twice":      {UserID: "lin", Join: &wecomsim.Member{Name: "x", Department: []int{1}}},
		"leaves oddly":     {UserID: "lin", Leave: "flies"},
		"another's userid": {UserID: "lin", Fields: raw(`{"userid":"MO"}`)},
		"no userid":        {UserID: "lin", Fields: raw(`{"userid":""}`)},
		"odd fields":       {UserID: "lin", Fields: raw(`{"department":"one"}`)},
	} {
		n.Corp = "wwone"
		if c, err := b.ChangeMember(b.ctx(), n); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if list := must(b.Changes(b.ctx(), "wwone", 0))(b); len(list) != 0 {
		t.Errorf("remembered all the same: %v", list)
	}
	for _, id := range []int{1, 2, 3} {
		if err := b.ChangeContacts(b.ctx(), wecomsim.ChangeContacts{Corp: "wwone", RemoveDepartments: []int{id}}); err == nil {
			t.Errorf("department %d was removed with all that is in it", id)
		}
	}
}

func TestConsentIsGivenAndTakenBack(t *testing.T) {
	b := newBench(t)
	b.directory()
	a := b.address()
	a.set(wecomsim.CallbackCustomer, false)
	state := func(external string) string {
		b.Helper()
		var got struct {
			Info []struct {
				Status  string `json:"agree_status"`
				Changed int64  `json:"status_change_time"`
			} `json:"agreeinfo"`
		}
		r := b.api("wwone", wecomsim.KindArchive, "POST", "msgaudit/check_single_agree", `{"info":[{"userid":"Lin","exteranalopenid":"`+external+`"}]}`)
		if err := json.Unmarshal(r.raw, &got); err != nil || len(got.Info) != 1 {
			b.Fatalf("%s %v", r.raw, err)
		}
		return got.Info[0].Status + " " + time.Unix(got.Info[0].Changed, 0).UTC().Format("01-02 15:04")
	}
	if got := state(wo); got != "Default_Agree 01-01 00:00" {
		t.Error(got)
	}
	say := func(status, room, user string) {
		b.Helper()
		must(b.ChangeConsent(b.ctx(), wecomsim.ConsentChange{Corp: "wwone", UserID: user, RoomID: room, External: wo, Status: status, Message: true}))(b)
	}
	say("Agree", "", "lin")
	if got := state(wo); got != "Agree 03-02 01:00" {
		t.Error(got)
	}
	a.settled()
	must(b.SetClock(b.ctx(), wecomsim.Clock{Advance: "26h"}))(b)
	say("Disagree", "", "lin")
	if got := state(wo); got != "Disagree 03-03 03:00" {
		t.Error(got)
	}
	say("Disagree", wr2, "")
	r := b.api("wwone", wecomsim.KindArchive, "POST", "msgaudit/check_room_agree", `{"roomid":"`+wr2+`"}`)
	if !strings.Contains(string(r.raw), `"exteranalopenid":"`+wo+`","agree_status":"Disagree"`) || !strings.Contains(string(r.raw), `"exteranalopenid":"`+wm+`","agree_status":"Default_Agree"`) {
		t.Errorf("%s", r.raw)
	}
	if got := a.take(); len(got) != 1 || got[0] != "change_external_contact msg_audit_approved lin "+wo {
		t.Errorf("told: %q", got)
	}
	items := must(b.Items(b.ctx(), "wwone", 0, 10, true))(b)
	if len(items) != 3 || items[0].Type != "agree" || items[2].Type != "disagree" || !strings.Contains(string(items[2].Raw), `"roomid":"`+wr2+`"`) || !strings.Contains(string(items[1].Raw), `"disagree_time":`) {
		t.Errorf("%+v", items)
	}
	for _, n := range []wecomsim.ConsentChange{{UserID: "lin", RoomID: wr2, Status: "Agree"}, {Status: "Agree"}, {UserID: "lin", Status: "Maybe"}} {
		n.Corp, n.External = "wwone", wo
		if _, err := b.ChangeConsent(b.ctx(), n); err == nil {
			t.Errorf("%+v was taken", n)
		}
	}
}

func TestContactsSyncReadsByTheAddressItIsUsedFrom(t *testing.T) {
	b := newBench(t)
	b.directory()
	must(b.ChangeCorp(b.ctx(), wecomsim.ChangeCorp{Corp: "wwone", Secret: &wecomsim.Secret{
		Kind: wecomsim.KindContactsSyncOldIP, Value: "secret-" + wecomsim.KindContactsSyncOldIP, KnownIPs: []string{"203.0.113.24", "203.0.113.25"},
	}}))(b)
	read := func() (codes []int) {
		for _, path := range []string{"user/get?userid=lin", "user/list?department_id=1", "department/get?id=1", "department/simplelist"} {
			codes = append(codes, b.api("wwone", wecomsim.KindContactsSyncOldIP, "GET", path, "").ErrCode)
		}
		return codes
	}
	if diff := cmp.Diff([]int{0, 0, 0, 0}, read()); diff != "" {
		t.Errorf("from a known address: %s", diff)
	}
	if err := b.Call(b.ctx(), "POST", "/sim/self", wecomsim.Self{CallerIP: "203.0.113.99"}, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{48009, 48009, 48009, 0}, read()); diff != "" {
		t.Errorf("from a new address: %s", diff)
	}
}

func TestEmailAndBizMailAreTwoFields(t *testing.T) {
	b := newBench(t)
	b.directory()
	must(b.ChangeMember(b.ctx(), wecomsim.MemberChange{Corp: "wwone", UserID: "lin", Fields: raw(`{"email":"","biz_mail":"lin@exmail.example"}`)}))(b)
	u := b.fetch(wecomsim.KindLegacyApp, "GET", "user/get?userid=lin", "")
	if u["email"] != "" || u["biz_mail"] != "lin@exmail.example" {
		t.Errorf("%v", u)
	}
	u = b.fetch(wecomsim.KindNewApp, "GET", "user/get?userid=lin", "")
	if _, shown := u["biz_mail"]; shown {
		t.Errorf("a newer app sees %v", u)
	}
}
