package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// script is what happens in the month, by day, in the order of its times. What it must lead to is in expected.txt.
func script() map[int][]event {
	return map[int][]event{
		1: {
			{"08:00", "both companies are founded", foundBoth},
			{"08:10", "both are enrolled", enrolBoth},
			{"10:00", "everybody says something", talk(harbour, "an zhou lin chen dai fang guo hu jin ma liu kong")},
			{"10:10", "in Lotus Trust too", talk(lotus, "yu wei bai")},
		},
		2: {
			{"09:00", "Peng joins Trading, and has not activated the account", join(inactive(person("peng", "彭博", trading, "+8613800000013", "peng@harbour.example")), true)},
			{"15:00", "the group talks", talkIn(deals, "chen", "an")},
		},
		3: {
			{"11:30", "Dai is deleted", leave(harbour, "dai", wecomsim.LeaveDeleted)},
			{"12:30", "Guo gets another number", set("guo", fields{"mobile": "+85291000077"})},
		},
		4: {
			{"09:00", "Xu joins Lotus Trust", joinLotus(person("xu", "徐来", 1, "+6591000004", "xu@lotus.example"))},
			{"11:30", "Chen's number is removed", set("chen", fields{"mobile": ""})},
		},
		5: {
			{"09:00", "Peng activates the account", set("peng", fields{"status": 1})},
			{"15:00", "the key is changed in WeCom, and two messages come under it", rotate},
		},
		6: {
			{"09:00", "Chen has a number again", set("chen", fields{"mobile": "+8613800000044"})},
			{"10:00", "Bai leaves Lotus Trust", leave(lotus, "bai", wecomsim.LeaveLeft)},
			{"12:30", "Fang's number is removed", set("fang", fields{"mobile": ""})},
		},
		7: {
			{"09:00", "Fang's email is changed", set("fang", fields{"email": "fang.y@harbour.example"})},
			{"15:00", "the new key is given to the archive", giveKey},
		},
		8: {
			{"09:00", "the number of Ma is removed, who never had an email", set("ma", fields{"mobile": ""})},
		},
		9: {
			{"09:00", "Hu becomes head of Research too", set("hu", fields{"is_leader_in_dept": []int{1}})},
			{"15:00", "Sun disagrees in the group", consent("Disagree")},
		},
		10: {
			{"12:30", "Fang has the number again", set("fang", fields{"mobile": "+85291000006"})},
			{"15:00", "the archiving service expires", service(harbour, wecomsim.ServiceExpired)},
		},
		11: {
			{"09:00", "it is renewed", service(harbour, wecomsim.ServiceOpen)},
			{"12:30", "Ma gets an email", set("ma", fields{"email": "ma@harbour.example"})},
		},
		12: {
			{"09:00", "Lin is no head any more", set("lin", fields{"is_leader_in_dept": []int{0}})},
			{"15:00", "Sun agrees", consent("Agree")},
			{"16:00", "an admin of WeCom lets the app see Research alone", visible(research)},
		},
		13: {
			{"09:00", "the email of Ma is removed", set("ma", fields{"email": ""})},
			{"15:00", "our address is taken from WeCom's list", trust(false)},
		},
		14: {
			{"09:00", "it is on the list again", trust(true)},
			{"10:00", "the app may see everybody again", visible(root)},
			{"12:30", "Ma has the number again", set("ma", fields{"mobile": "+85291000010"})},
		},
		15: {
			{"09:00", "Ren joins, and nobody designates him", join(person("ren", "Ren Ke", root, "+8613800000015", "ren@harbour.example"), false)},
		},
		16: {
			{"09:00", "Jin's number is removed", set("jin", fields{"mobile": ""})},
		},
		17: {
			{"09:00", "the Asia Desk moves to Research", move(asia, "Asia Desk", research)},
			{"09:30", "Ren is designated", func(ctx context.Context, w *world) error { return w.designate(ctx, harbour, "ren") }},
		},
		18: {
			{"09:00", "Jin's account is disabled", set("jin", fields{"status": 2})},
			{"15:00", "Lotus Trust closes the archiving service", service(lotus, wecomsim.ServiceNotOpen)},
		},
		19: {
			{"09:00", "it opens it", service(lotus, wecomsim.ServiceOpen)},
			{"09:30", "Kong moves to Trading", set("kong", fields{"department": []int{trading}, "main_department": trading})},
		},
		20: {
			{"09:00", "Qian joins Research", join(person("qian", "钱多", research, "+8613800000020", "qian@harbour.example"), true)},
			{"11:00", "the schedules stand still", still(true)},
			{"15:00", "Hu gets another number", set("hu", fields{"mobile": "+8613800000088"})},
		},
		21: {
			{"08:00", "the schedules run again", still(false)},
			{"15:00", "Zhou's reports go to another address", operate("receivers change -corp " + harbour + " -id h-zhou -address zhou.office@harbour.example")},
		},
		22: {
			{"09:00", "Hu is entered as a receiver for Trading too", operate("receivers add -corp " + harbour + " -address hu@harbour.example -name Hu -department 2 -reports R1,R4 -lang en")},
			{"14:00", "Lin gets another number", set("lin", fields{"mobile": "+8613800000033"})},
			{"16:00", "the directory can't be read", unreadable("department/list", "user/list", "user/simplelist", "user/list_id", "department/simplelist")},
			{"17:00", "Liu is deleted", leave(harbour, "liu", wecomsim.LeaveDeleted)},
		},
		23: {
			{"15:00", "it can be read again", readable},
		},
		25: {
			{"09:00", "the receiver for the Asia Desk is removed", removeReceiver("asia@harbour.example")},
			{"12:30", "Fang gets another number", set("fang", fields{"mobile": "+85291000066"})},
			{"13:30", "and another", set("fang", fields{"mobile": "+85291000067"})},
		},
		26: {
			{"09:00", "Lotus Trust gives a secret that shows all fields", showAll},
			{"09:30", "New Users is switched off", operate("receivers settings -corp " + harbour + " -off R5")},
			{"10:00", "Shen joins Trading", join(person("shen", "Shen Yi", trading, "+8613800000026", "shen@harbour.example"), true)},
		},
		28: {
			{"09:00", "New Users is switched on", operate("receivers settings -corp " + harbour + " -on R5")},
			{"10:00", "Tang joins the Asia Desk", join(person("tang", "唐宁", asia, "+85291000028", "tang@harbour.example"), true)},
		},
		29: {
			{"11:30", "Peng leaves", leave(harbour, "peng", wecomsim.LeaveLeft)},
		},
		30: {
			{"09:00", "Kong becomes head of Trading", set("kong", fields{"is_leader_in_dept": []int{1}})},
		},
	}
}

type fields = map[string]any

// deed is what an event does.
type deed = func(ctx context.Context, w *world) error

// join lets somebody join Harbour Finance; designated says that an admin of WeCom puts the person on the list of users to archive at once.
func join(m wecomsim.Member, designated bool) deed {
	return func(ctx context.Context, w *world) error {
		if _, err := w.sim.ChangeMember(ctx, wecomsim.MemberChange{Corp: harbour, UserID: m.UserID, Join: &m}); err != nil || !designated {
			return err
		}
		return w.designate(ctx, harbour, m.UserID)
	}
}

func joinLotus(m wecomsim.Member) deed {
	return func(ctx context.Context, w *world) error {
		if _, err := w.sim.ChangeMember(ctx, wecomsim.MemberChange{Corp: lotus, UserID: m.UserID, Join: &m}); err != nil {
			return err
		}
		return w.designate(ctx, lotus, m.UserID)
	}
}

func inactive(m wecomsim.Member) wecomsim.Member {
	m.Status = 4
	return m
}

// designate puts a member on WeCom's list of users to archive.
func (w *world) designate(ctx context.Context, corp, id string) error {
	w.permit[archive.CorpID(corp)] = append(w.permit[archive.CorpID(corp)], id)
	return w.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: corp, Permit: map[int][]string{1: w.permit[archive.CorpID(corp)]}})
}

// set changes fields of a member of Harbour Finance.
func set(id string, f fields) deed {
	return func(ctx context.Context, w *world) error { return w.member(ctx, harbour, id, f) }
}

// leave lets a member go, who is then on no list any more.
func leave(corp, id, how string) deed {
	return func(ctx context.Context, w *world) error {
		if _, err := w.sim.ChangeMember(ctx, wecomsim.MemberChange{Corp: corp, UserID: id, Leave: how}); err != nil {
			return err
		}
		left := slices.DeleteFunc(w.permit[archive.CorpID(corp)], func(s string) bool { return s == id })
		w.permit[archive.CorpID(corp)] = left
		return w.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: corp, Permit: map[int][]string{1: left}})
	}
}

// talk lets each of the members write to the first.
func talk(corp, members string) deed {
	return func(ctx context.Context, w *world) error {
		all := strings.Fields(members)
		n := wecomsim.Messages{Corp: corp}
		for i, id := range all {
			n.Messages = append(n.Messages, wecomsim.Message{From: id, To: []string{all[(i+1)%len(all)]}, Text: "早上好 good morning"})
		}
		_, err := w.sim.SendAll(ctx, n)
		return err
	}
}

// talkIn lets members of Harbour Finance write in a group.
func talkIn(room string, members ...string) deed {
	return func(ctx context.Context, w *world) error {
		n := wecomsim.Messages{Corp: harbour}
		for _, id := range members {
			n.Messages = append(n.Messages, wecomsim.Message{From: id, To: []string{"chen", "an", li, sun}, Room: room, Text: "合同 the contract"})
		}
		_, err := w.sim.SendAll(ctx, n)
		return err
	}
}

// rotate changes the key of Harbour Finance in WeCom; the archive does not get it.
func rotate(ctx context.Context, w *world) error {
	k, err := w.sim.AddKey(ctx, wecomsim.NewKeyRequest{Corp: harbour})
	if err != nil {
		return err
	}
	w.key = &k
	return talk(harbour, "zhou lin")(ctx, w)
}

// giveKey gives the archive the key that came last.
func giveKey(ctx context.Context, w *world) error { return w.holdKey(ctx, harbour, *w.key) }

// consent is what Sun says of being archived in the group.
func consent(status string) deed {
	return func(ctx context.Context, w *world) error {
		_, err := w.sim.ChangeConsent(ctx, wecomsim.ConsentChange{Corp: harbour, RoomID: deals, External: sun, Status: status})
		return err
	}
}

func service(corp, state string) deed {
	return func(ctx context.Context, w *world) error {
		_, err := w.sim.ChangeCorp(ctx, wecomsim.ChangeCorp{Corp: corp, Service: &state})
		w.unheard[archive.CorpID(corp)] = state != wecomsim.ServiceOpen
		return err
	}
}

// trust says whether our address is on the list of Harbour Finance.
func trust(ours bool) deed {
	return func(ctx context.Context, w *world) error {
		if err := w.sim.Call(ctx, "POST", "/sim/self", wecomsim.Self{CallerIP: ourAddress}, nil); err != nil {
			return err
		}
		list := &wecomsim.Trusted{On: true, IPs: []string{"198.51.100.7"}}
		if ours {
			list.IPs = append(list.IPs, ourAddress)
		}
		_, err := w.sim.ChangeCorp(ctx, wecomsim.ChangeCorp{Corp: harbour, Trusted: list})
		w.unheard[harbour] = !ours
		return err
	}
}

// visible says which department of Harbour Finance its app may see, with all below it.
func visible(department int) deed {
	return func(ctx context.Context, w *world) error {
		app := wecomsim.Secret{Kind: wecomsim.KindNewApp, Value: harbourApp, Agent: harbourAgent, Departments: []int{department}}
		_, err := w.sim.ChangeCorp(ctx, wecomsim.ChangeCorp{Corp: harbour, Secret: &app})
		return err
	}
}

const ourAddress = "203.0.113.24"

// move puts a department of Harbour Finance below another.
func move(id int, name string, below int) deed {
	return func(ctx context.Context, w *world) error {
		return w.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: harbour, Departments: []wecomsim.Department{{ID: id, Name: name, Parent: below}}})
	}
}

// still stops the schedules, or lets them run again.
func still(stands bool) deed {
	return func(_ context.Context, w *world) error {
		w.still = stands
		return nil
	}
}

// operate is the operator's command.
func operate(line string) deed {
	return func(ctx context.Context, w *world) error { return w.operate(ctx, strings.Fields(line)...) }
}

// removeReceiver removes the receiver who was entered at an address.
func removeReceiver(address string) deed {
	return func(ctx context.Context, w *world) error {
		_, said, err := w.Operate(ctx, "receivers", "list", "-corp", harbour)
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(said, "\n") {
			var r struct{ ID, Address, Source string }
			if json.Unmarshal([]byte(line), &r) == nil && r.Address == address && r.Source == "entered" {
				return w.operate(ctx, "receivers", "remove", "-corp", harbour, "-id", r.ID)
			}
		}
		return nil // the mails that still come say so
	}
}

// unreadable has calls of Harbour Finance refused until readable: WeCom is busy.
func unreadable(apis ...string) deed {
	return func(ctx context.Context, w *world) error {
		for _, api := range apis {
			if _, err := w.sim.AddFault(ctx, wecomsim.Fault{Corp: harbour, API: api, Kind: wecomsim.FaultCode, ErrCode: -1}); err != nil {
				return err
			}
		}
		return nil
	}
}

func readable(ctx context.Context, w *world) error { return w.sim.LiftFaults(ctx) }

// showAll gives the archive another secret for the contacts of Lotus Trust: of an app that is shown numbers and addresses.
func showAll(ctx context.Context, w *world) error {
	s := wecomsim.Secret{Kind: wecomsim.KindLegacyApp, Value: "lotus-allfields-23456789abcdef0123456789a"}
	if _, err := w.sim.ChangeCorp(ctx, wecomsim.ChangeCorp{Corp: lotus, Secret: &s}); err != nil {
		return err
	}
	return w.withFile(s.Value, func(path string) error {
		return w.operate(ctx, "corps", "set", "-corp", lotus, "-contacts-secret-file", path)
	})
}
