package ledger

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// RoomTalk is what the archive alone tells of a room: all that is known of one that WeCom shows nothing of.
type RoomTalk struct {
	Parties     []archive.PartyID // who sent or got a message in it, by id
	First, Last time.Time         // of its archived messages; zero: none has a time
}

// Talk looks rooms up in the archive. It remembers what it has read of persons, so it should live as long as one report. Not for concurrent use.
type Talk struct {
	ledger *Ledger
	corp   archive.CorpID
	months map[archive.PartyID]map[string][2]string // by person and conversation: the first and the last month
}

// Talk begins a look at a corp's rooms.
func (l *Ledger) Talk(corp archive.CorpID) *Talk {
	return &Talk{ledger: l, corp: corp, months: map[archive.PartyID]map[string][2]string{}}
}

// mostAsked is how many of a room's parties are asked after for its months: who came last and who left first are among them in all but odd rooms.
const mostAsked = 20

// Of looks one room up. Its months are those of its members, since a room has no list of its own: for rooms of which few members are archived, as those
// that WeCom does not show are, that is exact.
func (t *Talk) Of(ctx context.Context, room archive.RoomID) (RoomTalk, error) {
	l, corp, conversation := t.ledger, t.corp.KeyPart(), idPart(string(room))
	ids := map[string]bool{}
	err := l.each(ctx, l.tables.Messages, "parts#"+corp+"#"+conversation, bounds{consistent: true}, func(it item) bool {
		for _, id := range getList(it, "ids") {
			ids[id] = true
		}
		return true
	})
	if err != nil || len(ids) == 0 {
		return RoomTalk{}, err
	}
	var talk RoomTalk
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		talk.Parties = append(talk.Parties, archive.PartyID(id))
	}
	first, last := "", ""
	for _, id := range talk.Parties[:min(len(talk.Parties), mostAsked)] {
		months, err := t.of(ctx, id)
		if err != nil {
			return RoomTalk{}, err
		}
		if m, ok := months[conversation]; ok {
			if first == "" || m[0] < first {
				first = m[0]
			}
			last = max(last, m[1])
		}
	}
	if first == "" {
		return talk, nil
	}
	if talk.First, err = t.edge(ctx, conversation, first, false); err != nil {
		return RoomTalk{}, err
	}
	talk.Last, err = t.edge(ctx, conversation, last, true)
	return talk, err
}

// of is the months in which a person talked, by conversation.
func (t *Talk) of(ctx context.Context, person archive.PartyID) (map[string][2]string, error) {
	if months, ok := t.months[person]; ok {
		return months, nil
	}
	months := map[string][2]string{}
	err := t.ledger.each(ctx, t.ledger.tables.Messages, "person#"+t.corp.KeyPart()+"#"+idPart(string(person)), bounds{from: "000001", consistent: true}, func(it item) bool {
		month, conversation, _ := strings.Cut(getStr(it, "sk"), "#")
		m, ok := months[conversation]
		if !ok {
			m[0] = month
		}
		m[1] = month // they come by month
		months[conversation] = m
		return true
	})
	if err == nil {
		t.months[person] = months
	}
	return months, err
}

// edge is the time of the first message of a room's month, or of the last.
func (t *Talk) edge(ctx context.Context, conversation, month string, latest bool) (at time.Time, err error) {
	pk := "msg#" + t.corp.KeyPart() + "#" + conversation + "#" + month
	err = t.ledger.each(ctx, t.ledger.tables.Messages, pk, bounds{descending: latest, limit: 1, consistent: true}, func(it item) bool {
		if ms, bad := strconv.ParseInt(strings.SplitN(getStr(it, "sk"), "#", 2)[0], 10, 64); bad == nil && ms > 0 {
			at = time.UnixMilli(ms).UTC()
		}
		return false
	})
	return at, err
}
