package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// The two companies. WeCom shows all fields of the first one's members, and of the second one's neither numbers nor addresses. Everything in them is invented.
const (
	harbour = "wwmonthharbour"
	lotus   = "wwmonthlotus"
)

// The app by which Harbour Finance writes to its members. Lotus Trust has none.
const (
	harbourApp   = "harbour-app-0123456789abcdef0123456789abcde"
	harbourAgent = 1000011
)

// The departments of Harbour Finance.
const (
	root     = 1
	trading  = 2
	research = 3
	asia     = 4 // below trading
)

// The group of Harbour Finance with customers, and these.
const (
	deals = "wrDEALS000000000000000000000000"
	li    = "wmLI0000000000000000000000000000"
	sun   = "wmSUN000000000000000000000000000"
)

var names = map[string]string{li: "Li", sun: "孙悦"}

// person is a member of Harbour Finance with what a member needs.
func person(id, name string, department int, mobile, email string) wecomsim.Member {
	return wecomsim.Member{UserID: id, Name: name, Department: []int{department}, MainDepartment: department, IsLeaderInDept: []int{0}, Mobile: mobile, Email: email, Status: 1}
}

// found founds both companies in the simulated WeCom, and enrols them as their admins would.
func foundBoth(ctx context.Context, w *world) error {
	for _, n := range []wecomsim.NewCorp{{Corp: harbour, Name: "Harbour Finance", Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive}, {Kind: wecomsim.KindCustomer}, {Kind: wecomsim.KindLegacyApp}, {Kind: wecomsim.KindNewApp, Value: harbourApp, Agent: harbourAgent},
	}}, {Corp: lotus, Name: "Lotus Trust", Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive, Value: "lotus-archive-0123456789abcdef0123456789ab"}, {Kind: wecomsim.KindCustomer, Value: "lotus-customer-123456789abcdef0123456789a"},
		{Kind: wecomsim.KindNewApp, Value: "lotus-contacts-123456789abcdef0123456789a"},
	}}} {
		if _, err := w.sim.AddCorp(ctx, n); err != nil {
			return err
		}
	}
	zhou := person("zhou", "周海", trading, "+8613800000002", "zhou@harbour.example")
	zhou.IsLeaderInDept = []int{1}
	lin := person("lin", "林岚", research, "+8613800000003", "lin@harbour.example")
	lin.IsLeaderInDept = []int{1}
	members := []wecomsim.Member{
		person("an", "An Ping", root, "+8613800000001", "an@harbour.example"), zhou, lin,
		person("chen", "陈晨", trading, "+8613800000004", "chen@harbour.example"),
		person("dai", "Dai Lu", trading, "+8613800000005", "dai@harbour.example"),
		person("fang", "方媛", asia, "+85291000006", "fang@harbour.example"),
		person("guo", "Guo Wei", asia, "+85291000007", "guo@harbour.example"),
		person("hu", "胡静", research, "+8613800000008", "hu@harbour.example"),
		person("jin", "Jin Bo", research, "+8613800000009", "jin@harbour.example"),
		person("ma", "马超", asia, "+85291000010", ""),
		person("liu", "Liu Yi", root, "+8613800000011", "liu@harbour.example"),
		person("kong", "孔明", research, "+8613800000012", "kong@harbour.example"),
	}
	change := wecomsim.ChangeContacts{Corp: harbour, Members: members, Departments: []wecomsim.Department{
		{ID: root, Name: "Harbour Finance"}, {ID: trading, Name: "Trading", Parent: root}, {ID: research, Name: "Research", Parent: root},
		{ID: asia, Name: "Asia Desk", Parent: trading},
	}}
	for _, m := range members {
		w.permit[harbour] = append(w.permit[harbour], m.UserID)
	}
	change.Permit = map[int][]string{1: w.permit[harbour]}
	// A group with two customers, who have both agreed.
	for _, id := range []string{li, sun} {
		change.Externals = append(change.Externals, wecomsim.External{ID: id, Name: names[id], Type: 1, FollowUsers: []wecomsim.Follow{{UserID: "chen", CreateTime: 1_800_000_000}}})
		change.Consents = append(change.Consents, wecomsim.Consent{RoomID: deals, External: id, Status: "Agree", Changed: 1_800_000_000},
			wecomsim.Consent{UserID: "chen", External: id, Status: "Agree", Changed: 1_800_000_000})
	}
	change.Rooms = []wecomsim.Room{{ID: deals, Kind: wecomsim.RoomExternal, Name: "Deals", Owner: "chen", Members: []string{"chen", "an", li, sun}, CreateTime: 1_800_000_000}}
	if err := w.sim.ChangeContacts(ctx, change); err != nil {
		return err
	}
	members = []wecomsim.Member{
		person("yu", "Yu Min", 1, "+6591000001", "yu@lotus.example"), person("wei", "韦安", 1, "+6591000002", "wei@lotus.example"),
		person("bai", "Bai Ke", 1, "+6591000003", "bai@lotus.example"),
	}
	w.permit[lotus] = []string{"yu", "wei", "bai"}
	return w.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{
		Corp: lotus, Departments: []wecomsim.Department{{ID: 1, Name: "Lotus Trust"}}, Members: members, Permit: map[int][]string{1: w.permit[lotus]},
	})
}

// enrolBoth adds the companies to the archive and says who gets which reports.
func enrolBoth(ctx context.Context, w *world) error {
	if err := w.enrol(ctx, harbour, wecomsim.KindLegacyApp, "en:admin@harbour.example"); err != nil {
		return err
	}
	if err := w.enrol(ctx, lotus, wecomsim.KindNewApp, "zh:admin@lotus.example"); err != nil {
		return err
	}
	err := w.withFile(harbourApp, func(path string) error {
		return w.operate(ctx, "corps", "set", "-corp", harbour, "-app-secret-file", path, "-app-agent", strconv.Itoa(harbourAgent))
	})
	if err != nil {
		return err
	}
	if err := w.look(ctx); err != nil { // departments must be known before somebody can be named for one
		return err
	}
	for _, line := range []string{
		"receivers settings -corp " + harbour + " -operations ops@harbour.example -control control@harbour.example -lang zh",
		"receivers add -corp " + harbour + " -address boss@harbour.example -name Boss -department 1 -reports R2,R3,R4,R5,R6,R8 -lang en",
		"receivers add -corp " + harbour + " -address trading@harbour.example -name Trading -department 2 -reports R1,R3,R4,R5 -lang zh",
		"receivers add -corp " + harbour + " -address asia@harbour.example -name Asia -department 4 -reports R1,R2,R5,R8 -lang en",
		"receivers add -corp " + lotus + " -address watch@lotus.example -name Watch -department 1 -reports R2,R3,R4,R5,R8 -lang en",
	} {
		if err := w.operate(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}
