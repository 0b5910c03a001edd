package wecom_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// simulated is a simulated WeCom with a corp whose group has a member who disagreed.
type simulated struct {
	*testing.T
	control *wecomsim.Client
	client  *wecom.Client
	corp    wecomsim.Corp
}

var (
	customer = "wm" + strings.Repeat("c", 30)
	refuser  = "wm" + strings.Repeat("r", 30)
	silent   = "wm" + strings.Repeat("s", 30)
	group    = archive.RoomID("wr" + strings.Repeat("g", 30))
	foreign  = archive.RoomID("wr" + strings.Repeat("f", 30))
)

func newSimulated(t *testing.T) *simulated {
	t.Helper()
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "sim.db"), clock.Real)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(sim)
	t.Cleanup(func() {
		web.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &simulated{T: t, control: wecomsim.NewClient(web.URL), client: wecom.New(web.URL, &http.Client{Timeout: 5 * time.Second}, clock.Real)}
	s.corp, err = s.control.AddCorp(t.Context(), wecomsim.NewCorp{Corp: "wwconsent", Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive}, {Kind: wecomsim.KindCustomer}, {Kind: wecomsim.KindLegacyApp, Departments: []int{2}}, {Kind: wecomsim.KindContactsSyncNewIP},
	}})
	if err != nil {
		t.Fatal(err)
	}
	follow := []wecomsim.Follow{{UserID: "Ren"}, {UserID: "song"}}
	if err := s.control.ChangeContacts(t.Context(), wecomsim.ChangeContacts{
		Corp:        "wwconsent",
		Departments: []wecomsim.Department{{ID: 1, Name: "All"}, {ID: 2, Name: "Desk", Parent: 1, Leaders: []string{"Ren"}}, {ID: 3, Name: "Floor", Parent: 2}},
		Members: []wecomsim.Member{
			{UserID: "Ren", Name: "Ren", Department: []int{2}, Email: "ren@one.example", BizMail: "ren@mail.example"}, {UserID: "song", Name: "Song", Department: []int{1}},
		},
		Externals: []wecomsim.External{
			{ID: customer, Name: "C", Type: 1, FollowUsers: follow}, {ID: refuser, Name: "R", Type: 1, FollowUsers: follow[:1]}, {ID: silent, Name: "S", Type: 1, FollowUsers: follow[:1]},
		},
		Rooms: []wecomsim.Room{
			{ID: string(group), Kind: wecomsim.RoomExternal, Name: "Group", Owner: "Ren", Members: []string{"Ren", customer, refuser, silent}},
			{ID: string(foreign), Kind: wecomsim.RoomOtherCorp, Members: []string{"Ren", customer}},
		},
		Consents: []wecomsim.Consent{
			{UserID: "Ren", External: customer, Status: "Agree", Changed: 1900000001}, {UserID: "Ren", External: refuser, Status: "Disagree", Changed: 1900000002},
			{RoomID: string(group), External: customer, Status: "Agree", Changed: 1900000003}, {RoomID: string(group), External: refuser, Status: "Disagree", Changed: 1900000004},
		},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *simulated) reader(kind string) *wecom.Reader {
	tokens := s.client.Tokens("wwconsent", func(context.Context) (string, error) { return s.corp.Secret(kind), nil })
	return wecom.NewReader(tokens, time.Millisecond, nil)
}

func (s *simulated) calls(api string) int {
	s.Helper()
	a, err := s.control.Account(s.Context(), "wwconsent")
	if err != nil {
		s.Fatal(err)
	}
	return a.Calls[api]
}

func TestConsentIsReadOfPairsAndOfGroups(t *testing.T) {
	s := newSimulated(t)
	r := s.reader(wecomsim.KindArchive)
	list, missing, err := r.SingleAgreements(t.Context(), []wecom.Pair{
		{"ren", archive.PartyID(customer)}, {"Ren", archive.PartyID(refuser)}, {"Ren", archive.PartyID(customer)}, {"Ren", archive.PartyID(silent)},
	})
	want := []wecom.Agreement{ // each as it was asked about
		{Member: "ren", External: archive.PartyID(customer), Status: wecom.Agree, Changed: time.Unix(1900000001, 0).UTC()},
		{Member: "Ren", External: archive.PartyID(customer), Status: wecom.Agree, Changed: time.Unix(1900000001, 0).UTC()},
		{Member: "Ren", External: archive.PartyID(refuser), Status: wecom.Disagree, Changed: time.Unix(1900000002, 0).UTC()},
		{Member: "Ren", External: archive.PartyID(silent), Status: wecom.DefaultAgree},
	}
	if diff := cmp.Diff(want, list); err != nil || len(missing) > 0 || diff != "" {
		t.Errorf("%v, missing %v, -want +got\n%s", err, missing, diff)
	}
	list, err = r.RoomAgreements(t.Context(), group)
	want = []wecom.Agreement{
		{External: archive.PartyID(customer), Status: wecom.Agree, Changed: time.Unix(1900000003, 0).UTC()},
		{External: archive.PartyID(refuser), Status: wecom.Disagree, Changed: time.Unix(1900000004, 0).UTC()},
		{External: archive.PartyID(silent), Status: wecom.DefaultAgree},
	}
	if diff := cmp.Diff(want, list); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	if _, err := r.RoomAgreements(t.Context(), foreign); !wecom.RoomNotShown(err) || wecom.NotThere(err) || r.Dead() != nil {
		t.Errorf("a room of another corp: %v, dead: %v", err, r.Dead())
	}
	if _, err := r.RoomAgreements(t.Context(), group); err != nil {
		t.Errorf("after a room that is not shown: %v", err)
	}
}

func TestUnknownPairsDoNotHideTheOthers(t *testing.T) {
	s := newSimulated(t)
	var externals []wecomsim.External
	var pairs []wecom.Pair
	for i := range 250 {
		id := fmt.Sprintf("wm%030d", i)
		if i != 7 && i != 130 {
			externals = append(externals, wecomsim.External{ID: id, Type: 1, FollowUsers: []wecomsim.Follow{{UserID: "Ren"}}})
		}
		pairs = append(pairs, wecom.Pair{Member: "Ren", External: archive.PartyID(id)})
	}
	if err := s.control.ChangeContacts(t.Context(), wecomsim.ChangeContacts{Corp: "wwconsent", Externals: externals}); err != nil {
		t.Fatal(err)
	}
	list, missing, err := s.reader(wecomsim.KindArchive).SingleAgreements(t.Context(), pairs)
	if err != nil || len(list) != 248 {
		t.Fatalf("%d, %v", len(list), err)
	}
	if diff := cmp.Diff([]wecom.Pair{pairs[7], pairs[130]}, missing); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	// Three calls, and for each unknown pair two halves of 100, 50, 25, 13 (12), 7 (6), 4 (3), 2.
	if n := s.calls("msgaudit/check_single_agree"); n > 3+2*14 {
		t.Errorf("%d calls", n)
	}
}

func TestNoCallOfConsentIsAboveWeComsLimit(t *testing.T) {
	most := 0
	s := newServer(t, map[string]func(string) string{"msgaudit/check_single_agree": func(asked string) string {
		var body struct {
			Info []struct {
				Member   string `json:"userid"`
				External string `json:"exteranalopenid"`
			} `json:"info"`
		}
		if err := json.Unmarshal([]byte(asked), &body); err != nil {
			t.Error(err)
		}
		most = max(most, len(body.Info))
		return `{"errcode":0,"agreeinfo":[{"userid":"a","exteranalopenid":"x0","agree_status":"Agree","status_change_time":0},{"userid":"a","exteranalopenid":"x1","agree_status":""}]}`
	}})
	var pairs []wecom.Pair
	for i := range 201 {
		pairs = append(pairs, wecom.Pair{Member: "a", External: archive.PartyID(fmt.Sprint("x", i))})
	}
	list, missing, err := s.SingleAgreements(t.Context(), pairs)
	if err != nil || most != wecom.MostPairs || s.times("msgaudit/check_single_agree") != 3 {
		t.Errorf("%v, at most %d pairs, asked %d times", err, most, s.times("msgaudit/check_single_agree"))
	}
	// Only one pair has an answer: of what was left out, or has no state, nothing is known.
	if len(list) != 1 || len(missing) != 200 || !slices.Contains(missing, pairs[1]) {
		t.Errorf("%v and %d missing", list, len(missing))
	}
	if list, missing, err := s.SingleAgreements(t.Context(), nil); err != nil || list != nil || missing != nil || s.times("msgaudit/check_single_agree") != 3 {
		t.Errorf("of nobody: %v %v %v", list, missing, err)
	}
}

func TestWhatWasReadStaysWhenALaterCallOfConsentFails(t *testing.T) {
	answer := func(asked string) string { return asked }
	n := 0
	s := newServer(t, map[string]func(string) string{"msgaudit/check_single_agree": func(asked string) string {
		if n++; n > 1 {
			return refusal(45009)
		}
		var body struct {
			Info []map[string]string `json:"info"`
		}
		if err := json.Unmarshal([]byte(asked), &body); err != nil {
			t.Error(err)
		}
		for _, p := range body.Info {
			p["agree_status"] = "Disagree"
		}
		b, err := json.Marshal(map[string]any{"agreeinfo": body.Info})
		if err != nil {
			t.Error(err)
		}
		return answer(string(b))
	}})
	var pairs []wecom.Pair
	for i := range 150 {
		pairs = append(pairs, wecom.Pair{Member: "a", External: archive.PartyID(fmt.Sprint("x", i))})
	}
	list, missing, err := s.SingleAgreements(t.Context(), pairs)
	if !wecom.RateLimited(err) || len(list) != 100 || len(missing) != 0 || list[99].Status != wecom.Disagree {
		t.Errorf("%d, %d missing, %v", len(list), len(missing), err)
	}
}

func TestConsentOfAnEndedServiceIsUnknown(t *testing.T) {
	s := newSimulated(t)
	expired := wecomsim.ServiceExpired
	if _, err := s.control.ChangeCorp(t.Context(), wecomsim.ChangeCorp{Corp: "wwconsent", Service: &expired}); err != nil {
		t.Fatal(err)
	}
	r := s.reader(wecomsim.KindArchive)
	list, missing, err := r.SingleAgreements(t.Context(), []wecom.Pair{{"Ren", archive.PartyID(customer)}})
	if !wecom.ServiceEnded(err) || list != nil || missing != nil {
		t.Errorf("%v %v %v", list, missing, err)
	}
	if _, err := r.RoomAgreements(t.Context(), group); !wecom.ServiceEnded(err) {
		t.Error(err)
	}
	if _, _, err := s.reader(wecomsim.KindCustomer).SingleAgreements(t.Context(), []wecom.Pair{{"Ren", archive.PartyID(customer)}}); !wecom.Denied(err) {
		t.Errorf("with another secret: %v", err)
	}
}

func TestOneDepartmentAndOneContactAreReadAgain(t *testing.T) {
	s := newSimulated(t)
	app, ids, customers := s.reader(wecomsim.KindLegacyApp), s.reader(wecomsim.KindContactsSyncNewIP), s.reader(wecomsim.KindCustomer)
	d, named, err := app.Department(t.Context(), 2)
	if err != nil || !named || d.Name != "Desk" || d.Parent != 1 || len(d.Leaders) != 1 {
		t.Errorf("%+v %v %v", d, named, err)
	}
	d, named, err = ids.Department(t.Context(), 2)
	if err != nil || named || d.Name != "" || d.ID != 2 || d.Parent != 1 {
		t.Errorf("by ids alone: %+v %v %v", d, named, err)
	}
	if _, _, err := app.Department(t.Context(), 1); !wecom.NotShown(err) || wecom.NotThere(err) {
		t.Errorf("above what the app sees: %v", err)
	}
	for name, r := range map[string]*wecom.Reader{"app": app, "ids": ids} {
		if _, _, err := r.Department(t.Context(), 77); !wecom.NotThere(err) || wecom.NotShown(err) {
			t.Errorf("%s: a department that is not there: %v", name, err)
		}
	}
	below, named, err := ids.Below(t.Context(), 2)
	if err != nil || named || len(below) != 2 || below[1].Parent != 2 {
		t.Errorf("%+v %v %v", below, named, err)
	}
	x, followers, err := customers.External(t.Context(), archive.PartyID(customer))
	if diff := cmp.Diff([]archive.PartyID{"Ren", "song"}, followers); err != nil || x.Name != "C" || diff != "" {
		t.Errorf("%+v %v %s", x, err, diff)
	}
	if _, _, err := customers.External(t.Context(), "wmnobody"); !wecom.NotThere(err) {
		t.Errorf("a contact that is not there: %v", err)
	}
	if _, err := app.Member(t.Context(), "nobody"); !wecom.NotThere(err) {
		t.Errorf("a member who is not there: %v", err)
	}
	if _, err := app.Member(t.Context(), "song"); !wecom.NotShown(err) {
		t.Errorf("a member out of sight: %v", err)
	}
	if _, err := ids.Member(t.Context(), "Ren"); !wecom.Denied(err) {
		t.Errorf("a member, by ids alone: %v", err)
	}
	m, err := app.Member(t.Context(), "Ren")
	if err != nil || m.Email == nil || *m.Email != "ren@one.example" || *m.BizMail != "ren@mail.example" {
		t.Errorf("%+v %v", m, err)
	}
}

func TestADepartmentThatIsLeftOutOfItsAnswerIsAnError(t *testing.T) {
	s := newServer(t, map[string]func(string) string{"department/simplelist": always(`{"department_id":[{"id":5,"parentid":1,"order":1}]}`)})
	if d, _, err := s.Department(t.Context(), 4); err == nil || d.ID != 0 {
		t.Errorf("%+v", d)
	}
}

// TestAnIDThatWeComFindsOddDoesNotHideTheOthers: it has more codes than one for a pair that it does not know, and refuses the whole call for each.
func TestAnIDThatWeComFindsOddDoesNotHideTheOthers(t *testing.T) {
	for _, code := range []int{301061, 40096, 40003, 60111} {
		s := newServer(t, map[string]func(string) string{"msgaudit/check_single_agree": func(asked string) string {
			var body struct {
				Info []map[string]any `json:"info"`
			}
			if err := json.Unmarshal([]byte(asked), &body); err != nil {
				t.Error(err)
			}
			for _, pair := range body.Info {
				if pair["exteranalopenid"] == "odd" {
					return refusal(code)
				}
				pair["agree_status"] = "Agree"
			}
			answer, err := json.Marshal(map[string]any{"errcode": 0, "agreeinfo": body.Info})
			if err != nil {
				t.Error(err)
			}
			return string(answer)
		}})
		pairs := []wecom.Pair{{Member: "kai", External: "a"}, {Member: "kai", External: "odd"}, {Member: "kai", External: "b"}}
		list, missing, err := s.SingleAgreements(t.Context(), pairs)
		if err != nil || len(list) != 2 || len(missing) != 1 || missing[0] != pairs[1] {
			t.Errorf("%d: read are %v, missing %v: %v", code, list, missing, err)
		}
	}
}

// An answer in small letters is of the pair that was asked about, unless it may be of another; one whom the answer does not name has not been heard of.
func TestAnAnswerInSmallLettersIsOfWhomWasAskedAbout(t *testing.T) {
	upper, other := archive.PartyID("wmABcdefghijklmnopqrstuvwxyz1234"), archive.PartyID("wmQUIET")
	r := wecom.NewReplay([]wecom.Answer{{Call: "msgaudit/check_single_agree",
		Asked:  `{"info":[{"userid":"Ren","exteranalopenid":"` + string(upper) + `"},{"userid":"Ren","exteranalopenid":"` + string(other) + `"}]}`,
		Answer: json.RawMessage(`{"agreeinfo":[{"userid":"ren","exteranalopenid":"` + strings.ToLower(string(upper)) + `","agree_status":"Disagree"}]}`)}})
	list, missing, err := r.SingleAgreements(t.Context(), []wecom.Pair{{Member: "Ren", External: upper}, {Member: "Ren", External: other}})
	if err != nil || len(list) != 1 || list[0].External != upper || list[0].Member != "Ren" || list[0].Status != wecom.Disagree || len(missing) != 1 || missing[0].External != other {
		t.Errorf("%+v, missing %+v, %v", list, missing, err)
	}
}
