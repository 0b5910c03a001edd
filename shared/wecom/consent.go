package wecom

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// AgreeStatus is what an external contact said about archiving, in WeCom's words. Words other than these three mean neither yes nor no.
type AgreeStatus string

// The states of consent.
const (
	Agree        AgreeStatus = "Agree"
	Disagree     AgreeStatus = "Disagree"
	DefaultAgree AgreeStatus = "Default_Agree" // never asked, or never answered: archived by the corp's settings, and nobody's yes
)

// Agreement is the consent of an external contact, to one member or in one room.
type Agreement struct {
	Member   archive.PartyID // "" in a room
	External archive.PartyID
	Status   AgreeStatus
	Changed  time.Time // WeCom's time of the last change, to the second; zero if it gives none
}

// Pair is a member and an external contact who talk alone.
type Pair struct {
	Member, External archive.PartyID
}

// The documented limits of the consent calls, per corp. Above a rate WeCom answers 45009 (RateLimited) for the rest of the minute.
const (
	MostPairs                 = 100 // of one call; SingleAgreements makes as many calls as it needs
	MostSingleAgreesPerMinute = 2500
	MostRoomAgreesPerMinute   = 1500
	codeNoSuchPair            = 301061
	callSingleAgree           = "msgaudit/check_single_agree"
	callRoomAgree             = "msgaudit/check_room_agree"
)

type agreement struct {
	Changed  int64           `json:"status_change_time"` // s
	Member   archive.PartyID `json:"userid"`
	External archive.PartyID `json:"exteranalopenid"` // QUIRK: WeCom's own spelling, in requests and answers
	Status   AgreeStatus     `json:"agree_status"`
}

// SingleAgreements reads the consent of external contacts to members, with the archive's secret. missing are pairs that WeCom does not know,
// or for which it gave no answer: of them nothing is known, least of all that they agreed. WeCom refuses all of a call for one unknown pair
// (301061, or that one of its ids is none); then the call is halved until it is found. After an error list and missing hold what was read until then.
func (r *Reader) SingleAgreements(ctx context.Context, pairs []Pair) (list []Agreement, missing []Pair, err error) {
	same := map[Pair][]Pair{} // as it was asked about, in each case of the userid
	var once []Pair
	for _, p := range pairs {
		if same[p.folded()] == nil {
			once = append(once, p)
		}
		if !slices.Contains(same[p.folded()], p) {
			same[p.folded()] = append(same[p.folded()], p)
		}
	}
	for len(once) > 0 {
		some := once[:min(MostPairs, len(once))]
		once = once[len(some):]
		got, none, err := r.singleAgreements(ctx, some)
		for _, a := range got {
			for _, p := range same[Pair{a.Member, a.External}.folded()] {
				a.Member = p.Member
				list = append(list, a)
			}
		}
		for _, p := range none {
			missing = append(missing, same[p.folded()]...)
		}
		if err != nil {
			return list, missing, err
		}
	}
	return list, missing, nil
}

// folded is the pair as it compares: WeCom's userids are the same in any case.
func (p Pair) folded() Pair {
	return Pair{archive.PartyID(strings.ToLower(string(p.Member))), p.External}
}

// lower is the pair in small letters. Ids of external contacts may differ by case alone.
func (p Pair) lower() Pair {
	return Pair{archive.PartyID(strings.ToLower(string(p.Member))), archive.PartyID(strings.ToLower(string(p.External)))}
}

func (r *Reader) singleAgreements(ctx context.Context, pairs []Pair) (list []Agreement, missing []Pair, err error) {
	type asked struct {
		Member   archive.PartyID `json:"userid"`
		External archive.PartyID `json:"exteranalopenid"`
	}
	body := struct {
		Info []asked `json:"info"`
	}{}
	for _, p := range pairs {
		body.Info = append(body.Info, asked(p))
	}
	var answer struct {
		Info []agreement `json:"agreeinfo"`
	}
	err = r.post(ctx, callSingleAgree, body, &answer)
	if NotThere(err) {
		if len(pairs) == 1 {
			return nil, pairs, nil
		}
		list, missing, err = r.singleAgreements(ctx, pairs[:len(pairs)/2])
		if err != nil {
			return list, missing, err
		}
		got, none, err := r.singleAgreements(ctx, pairs[len(pairs)/2:])
		return append(list, got...), append(missing, none...), err
	}
	if err != nil {
		return nil, nil, err
	}
	answered, lower := map[Pair]agreement{}, map[Pair][]agreement{}
	for _, a := range answer.Info {
		answered[Pair{a.Member, a.External}.folded()] = a
		lower[Pair{a.Member, a.External}.lower()] = append(lower[Pair{a.Member, a.External}.lower()], a)
	}
	for _, p := range pairs {
		a, ok := answered[p.folded()]
		if some := lower[p.lower()]; !ok && len(some) == 1 { // an answer in small letters
			a, ok = some[0], true
		}
		if !ok || a.Status == "" {
			missing = append(missing, p)
			continue
		}
		list = append(list, Agreement{Member: p.Member, External: p.External, Status: a.Status, Changed: seconds(a.Changed)})
	}
	return list, missing, nil
}

// RoomAgreements reads the consent of a room's external contacts, with the archive's secret. RoomNotShown(err) says that WeCom shows nothing
// of this room, as of those that were started in WeChat or by another corp. An external contact who is not in the list gave no answer that we know.
func (r *Reader) RoomAgreements(ctx context.Context, room archive.RoomID) ([]Agreement, error) {
	var answer struct {
		Info []agreement `json:"agreeinfo"`
	}
	body := struct {
		ID archive.RoomID `json:"roomid"`
	}{room}
	if err := r.post(ctx, callRoomAgree, body, &answer); err != nil {
		return nil, err
	}
	var list []Agreement
	for _, a := range answer.Info {
		if a.External != "" && a.Status != "" {
			list = append(list, Agreement{External: a.External, Status: a.Status, Changed: seconds(a.Changed)})
		}
	}
	return list, nil
}

// NotThere says whether err is WeCom's word that the one thing asked for, a member, a department or an external contact, does not exist.
func NotThere(err error) bool {
	switch CodeOf(err) {
	case 40003, 46004, 60111, 60003, 60123, 40096, codeNoSuchPair:
		return true
	}
	return false
}

// NotShown says whether err is WeCom's word that the one thing asked for lies outside what this secret sees: it may well be there.
func NotShown(err error) bool {
	switch CodeOf(err) {
	case 60011, 60021:
		return true
	}
	return false
}

// RoomNotShown says whether err is WeCom's word that this one room can't be read, by this call or at all: unknown, started in WeChat or by
// another corp, dismissed, or not internal.
func RoomNotShown(err error) bool {
	switch CodeOf(err) {
	case 40050, 92002, 49008, 301059:
		return true
	}
	return false
}

// ServiceEnded says whether err is WeCom's word that message archiving has expired (301052) or was never opened (301053).
func ServiceEnded(err error) bool {
	return CodeOf(err) == 301052 || CodeOf(err) == 301053
}
