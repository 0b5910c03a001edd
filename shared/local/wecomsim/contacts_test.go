package wecomsim_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

var (
	wm  = "wm" + strings.Repeat("A", 30)
	wo  = "wo" + strings.Repeat("B", 30)
	wb  = "wb" + strings.Repeat("C", 30)
	wr1 = "wr" + strings.Repeat("1", 30)
	wr2 = "wr" + strings.Repeat("2", 30)
	wr3 = "wr" + strings.Repeat("3", 30)
	wr4 = "wr" + strings.Repeat("4", 30)
)

// directory is a corp with a little of everything.
func (b *bench) directory() {
	b.Helper()
	b.corp("wwone")
	if err := b.ChangeContacts(b.ctx(), wecomsim.ChangeContacts{
		Corp: "wwone",
		Departments: []wecomsim.Department{
			{ID: 1, Name: "Root", Leaders: []string{"lin"}}, {ID: 2, Name: "Two", Parent: 1}, {ID: 3, Name: "Three", Parent: 2}, {ID: 4, Name: "Four", Parent: 1},
		},
		Members: []wecomsim.Member{
			{UserID: "lin", Name: "林", Department: []int{1}, IsLeaderInDept: []int{1}, Mobile: "19900000001", Email: "lin@one.example", Gender: "2"},
			{UserID: "Wei.Z", Name: "魏", Department: []int{2, 4}, Mobile: "", Status: 4},
			{UserID: "mo", Name: "莫", Department: []int{3}, Status: 2},
			{UserID: "gone", Name: "Gone", Department: []int{3}, Status: 5},
		},
		Externals: []wecomsim.External{
			{ID: wm, Name: "悠然", Type: 1, UnionID: "o1", FollowUsers: []wecomsim.Follow{{UserID: "lin", Remark: "r"}}},
			{ID: wo, Name: "Pat", Type: 2, CorpName: "Northgate", FollowUsers: []wecomsim.Follow{{UserID: "lin"}, {UserID: "mo"}}},
		},
		Robots: []wecomsim.Robot{{ID: wb, Name: "bot", Creator: "lin"}},
		Rooms: []wecomsim.Room{
			{ID: wr1, Kind: wecomsim.RoomInternal, Name: "inside", Owner: "lin", Members: []string{"lin", "mo"}, CreateTime: 1700000000},
			{ID: wr2, Kind: wecomsim.RoomExternal, Name: "outside", Owner: "lin", Members: []string{"lin", wm, wo}},
			{ID: wr3, Kind: wecomsim.RoomWeChat, Members: []string{"lin", wm}},
			{ID: wr4, Kind: wecomsim.RoomOtherCorp, Members: []string{"lin", wm}},
		},
		Permit:   map[int][]string{1: {"lin"}, 3: {"lin", "mo"}},
		Consents: []wecomsim.Consent{{UserID: "lin", External: wm, Status: "Disagree", Changed: 1700000001}, {RoomID: wr2, External: wo, Status: "Agree", Changed: 1700000002}},
	}); err != nil {
		b.Fatal(err)
	}
}

func TestEachKindOfSecretReadsWhatItMay(t *testing.T) {
	b := newBench(t)
	b.directory()
	apis := []struct{ method, path, body string }{
		{"GET", "department/list", ""}, {"GET", "department/get?id=2", ""}, {"GET", "department/simplelist", ""}, {"GET", "user/get?userid=lin", ""},
		{"GET", "user/list?department_id=1", ""}, {"GET", "user/simplelist?department_id=1", ""}, {"POST", "user/list_id", "{}"},
		{"GET", "externalcontact/list?userid=lin", ""}, {"POST", "msgaudit/get_permit_user_list", "{}"},
	}
	want := map[string][]int{
		wecomsim.KindLegacyApp:         {0, 0, 0, 0, 0, 0, 48002, 48002, 48002},
		wecomsim.KindNewApp:            {0, 0, 0, 0, 0, 0, 48002, 48002, 48002},
		wecomsim.KindContactsSyncOldIP: {0, 0, 0, 0, 0, 0, 0, 48002, 48002},
		wecomsim.KindContactsSyncNewIP: {48009, 48009, 0, 48009, 48009, 48009, 0, 48002, 48002},
		wecomsim.KindCustomer:          {0, 0, 0, 0, 0, 0, 48002, 0, 48002},
		wecomsim.KindArchive:           {0, 0, 0, 0, 0, 0, 48002, 48002, 0},
	}
	for kind, codes := range want {
		for i, a := range apis {
			if r := b.api("wwone", kind, a.method, a.path, a.body); r.ErrCode != codes[i] {
				t.Errorf("%s, %s: %d, want %d", kind, a.path, r.ErrCode, codes[i])
			}
		}
		r := b.api("wwone", kind, "GET", "user/get?userid=LIN", "")
		if r.ErrCode != 0 {
			continue
		}
		var u map[string]any
		if err := json.Unmarshal(r.raw, &u); err != nil {
			t.Fatal(err)
		}
		full := kind == wecomsim.KindLegacyApp || kind == wecomsim.KindContactsSyncOldIP
		_, mobile := u["mobile"]
		_, email := u["email"]
		if mobile != full || email != full || (u["gender"] == "2") != full || u["name"] != "林" {
			t.Errorf("%s reads %v", kind, u)
		}
	}
	must(b.ChangeCorp(b.ctx(), wecomsim.ChangeCorp{Corp: "wwone", Secret: &wecomsim.Secret{Kind: wecomsim.KindNewApp, Value: "secret-new_app", Callable: true, Departments: []int{2}}}))(b)
	for path, want := range map[string]int{
		"externalcontact/list?userid=lin": 0, "department/get?id=3": 0, "department/get?id=4": 60011, "department/get?id=1": 60011, "user/get?userid=Wei.Z": 0, "user/get?userid=lin": 60011,
	} {
		if r := b.api("wwone", wecomsim.KindNewApp, "GET", path, ""); r.ErrCode != want {
			t.Errorf("a callable app of department 2, %s: %d, want %d", path, r.ErrCode, want)
		}
	}
	must(b.ChangeCorp(b.ctx(), wecomsim.ChangeCorp{Corp: "wwone", Trusted: &wecomsim.Trusted{On: true}}))(b)
	if r := b.api("wwone", wecomsim.KindLegacyApp, "GET", "department/list", ""); r.ErrCode != 60020 {
		t.Errorf("from an untrusted address: %s", r.raw)
	}
}

// fetch reads an answer into a map.
func (b *bench) fetch(kind, method, path, body string) map[string]any {
	b.Helper()
	r := b.api("wwone", kind, method, path, body)
	if r.ErrCode != 0 {
		b.Fatalf("%s %s: %s", path, body, r.raw)
	}
	var m map[string]any
	if err := json.Unmarshal(r.raw, &m); err != nil {
		b.Fatal(err)
	}
	return m
}

func TestTheDirectoryIsReadable(t *testing.T) {
	b := newBench(t)
	b.directory()
	app, customer, archive := wecomsim.KindLegacyApp, wecomsim.KindCustomer, wecomsim.KindArchive
	sync := wecomsim.KindContactsSyncNewIP
	if n := len(b.fetch(app, "GET", "department/list", "")["department"].([]any)); n != 4 {
		t.Errorf("%d departments", n)
	}
	if n := len(b.fetch(app, "GET", "department/list?id=2", "")["department"].([]any)); n != 2 {
		t.Errorf("%d departments below 2", n)
	}
	if n := len(b.fetch(app, "GET", "user/list?department_id=2&fetch_child=1", "")["userlist"].([]any)); n != 2 {
		t.Errorf("%d members below 2, of which one has left", n)
	}
	page := b.fetch(sync, "POST", "user/list_id", `{"limit":3}`)
	if n := len(page["dept_user"].([]any)); n != 3 || page["next_cursor"] == "" {
		t.Errorf("%v", page)
	}
	rest := b.fetch(sync, "POST", "user/list_id", fmt.Sprintf(`{"limit":3,"cursor":%q}`, page["next_cursor"]))
	if n := len(rest["dept_user"].([]any)); n != 1 || rest["next_cursor"] != "" {
		t.Errorf("%v", rest)
	}
	x := b.fetch(customer, "GET", "externalcontact/get?external_userid="+wo, "")
	if c := x["external_contact"].(map[string]any); c["corp_name"] != "Northgate" || c["type"] != 2.0 || len(x["follow_user"].([]any)) != 2 {
		t.Errorf("%v", x)
	}
	if c := b.fetch(customer, "GET", "externalcontact/get?external_userid="+wm, "")["external_contact"].(map[string]any); c["unionid"] != "o1" || c["corp_name"] != nil {
		t.Errorf("%v", c)
	}
	by := b.fetch(customer, "POST", "externalcontact/batch/get_by_user", `{"userid_list":["lin","mo"],"limit":2}`)
	if len(by["external_contact_list"].([]any)) != 2 || by["next_cursor"] == "" {
		t.Errorf("%v", by)
	}
	chat := b.fetch(customer, "POST", "externalcontact/groupchat/get", fmt.Sprintf(`{"chat_id":%q,"need_name":1}`, wr2))["group_chat"].(map[string]any)
	if m := chat["member_list"].([]any)[1].(map[string]any); chat["name"] != "outside" || m["type"] != 2.0 || m["name"] != "悠然" {
		t.Errorf("%v", chat)
	}
	if ids := b.fetch(archive, "POST", "msgaudit/get_permit_user_list", "{}")["ids"]; !cmp.Equal(ids, []any{"lin", "mo"}) {
		t.Errorf("%v", ids)
	}
	if ids := b.fetch(archive, "POST", "msgaudit/get_permit_user_list", `{"type":1}`)["ids"]; !cmp.Equal(ids, []any{"lin"}) {
		t.Errorf("%v", ids)
	}
	agree := b.fetch(archive, "POST", "msgaudit/check_single_agree", fmt.Sprintf(`{"info":[{"userid":"lin","exteranalopenid":%q},{"userid":"mo","exteranalopenid":%q}]}`, wm, wo))["agreeinfo"].([]any)
	if agree[0].(map[string]any)["agree_status"] != "Disagree" || agree[1].(map[string]any)["agree_status"] != "Default_Agree" {
		t.Errorf("%v", agree)
	}
	if n := len(b.fetch(archive, "POST", "msgaudit/check_room_agree", fmt.Sprintf(`{"roomid":%q}`, wr2))["agreeinfo"].([]any)); n != 2 {
		t.Errorf("%d externals agreed or not", n)
	}
	room := b.fetch(archive, "POST", "msgaudit/groupchat/get", fmt.Sprintf(`{"roomid":%q}`, wr1))
	if room["roomname"] != "inside" || room["creator"] != "lin" || len(room["members"].([]any)) != 2 {
		t.Errorf("%v", room)
	}
	if bot := b.fetch(archive, "GET", "msgaudit/get_robot_info?robot_id="+wb, "")["data"].(map[string]any); bot["name"] != "bot" {
		t.Errorf("%v", bot)
	}
}

func TestTheDirectoryRefuses(t *testing.T) {
	b := newBench(t)
	b.directory()
	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`{"userid":"lin","exteranalopenid":%q}`, wm)
	}
	for _, c := range []struct {
		kind, method, path, body string
		want                     int
	}{
		{wecomsim.KindLegacyApp, "GET", "department/list?id=99", "", 60003},
		{wecomsim.KindLegacyApp, "GET", "department/list?id=x", "", 60123},
		{wecomsim.KindLegacyApp, "GET", "user/list?department_id=99", "", 60003},
		{wecomsim.KindLegacyApp, "GET", "user/get?userid=nobody", "", 60111},
		{wecomsim.KindLegacyApp, "GET", "user/get", "", 40003},
		{wecomsim.KindContactsSyncNewIP, "POST", "user/list_id", `{"limit":10001}`, 40058},
		{wecomsim.KindContactsSyncNewIP, "POST", "user/list_id", `{"cursor":"zzz"}`, 40058},
		{wecomsim.KindCustomer, "GET", "externalcontact/list?userid=Wei.Z", "", 84061},
		{wecomsim.KindCustomer, "GET", "externalcontact/get?external_userid=wmnobody", "", 40096},
		{wecomsim.KindCustomer, "POST", "externalcontact/batch/get_by_user", `{"userid_list":["lin"],"limit":101}`, 40058},
		{wecomsim.KindCustomer, "POST", "externalcontact/groupchat/list", `{}`, 40058},
		{wecomsim.KindCustomer, "POST", "externalcontact/groupchat/get", fmt.Sprintf(`{"chat_id":%q}`, wr3), 40050},
		{wecomsim.KindCustomer, "POST", "externalcontact/groupchat/get", fmt.Sprintf(`{"chat_id":%q}`, wr4), 92002},
		{wecomsim.KindArchive, "POST", "msgaudit/groupchat/get", fmt.Sprintf(`{"roomid":%q}`, wr2), 301059},
		{wecomsim.KindArchive, "POST", "msgaudit/groupchat/get", fmt.Sprintf(`{"roomid":%q}`, wr3), 301059},
		{wecomsim.KindArchive, "POST", "msgaudit/groupchat/get", fmt.Sprintf(`{"roomid":%q}`, wr4), 92002},
		{wecomsim.KindArchive, "POST", "msgaudit/groupchat/get", `{}`, 301039},
		{wecomsim.KindArchive, "POST", "msgaudit/check_single_agree", `{"info":[` + strings.Join(many, ",") + `]}`, 301060},
		{wecomsim.KindArchive, "POST", "msgaudit/check_single_agree", `{"info":[{"userid":"nobody","exteranalopenid":"x"}]}`, 301061},
		{wecomsim.KindArchive, "POST", "msgaudit/get_permit_user_list", `{"type":9}`, 301039},
	} {
		if r := b.api("wwone", c.kind, c.method, c.path, c.body); r.ErrCode != c.want {
			t.Errorf("%s %.80s: %d, want %d", c.path, c.body, r.ErrCode, c.want)
		}
	}
}

func TestContactsChangeFieldByField(t *testing.T) {
	b := newBench(t)
	b.directory()
	if err := b.ChangeContacts(b.ctx(), wecomsim.ChangeContacts{
		Corp: "wwone", Change: map[string]json.RawMessage{"lin": json.RawMessage(`{"mobile":"","status":2}`)}, Remove: []string{"mo", wr1},
	}); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.start()
	u := b.fetch(wecomsim.KindLegacyApp, "GET", "user/get?userid=lin", "")
	if u["mobile"] != "" || u["status"] != 2.0 || u["email"] != "lin@one.example" {
		t.Errorf("%v", u)
	}
	for path, want := range map[string]int{"user/get?userid=mo": 60111} {
		if r := b.api("wwone", wecomsim.KindLegacyApp, "GET", path, ""); r.ErrCode != want {
			t.Errorf("%s: %s", path, r.raw)
		}
	}
}

func TestTheSimulatorSharesNoCodeWithTheProduct(t *testing.T) {
	allowed := []string{"github.com/wecomvault/wecomvault/shared/local/simcipher", "go.etcd.io/bbolt"}
	for _, folder := range []string{".", "../simcipher"} {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), folder+"/"+f.Name(), nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range parsed.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				if strings.Contains(path, ".") && !slices.Contains(allowed, path) {
					t.Errorf("%s imports %s: the simulator and the product must not share a misunderstanding", f.Name(), path)
				}
			}
		}
	}
}
