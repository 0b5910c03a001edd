package directory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// histories is where the states of entries are kept.
type histories interface {
	// EntryHistory lists all states of an entry, the oldest first; none if it was never seen.
	EntryHistory(ctx context.Context, corp archive.CorpID, kind Kind, id string) ([]Entry, error)
}

// Names resolves the ids of one corp to the names that they had at a time. It remembers what it has read, so it should live as long as one
// answer or report, not longer. Safe for concurrent use.
type Names struct {
	store histories
	corp  archive.CorpID

	mu   sync.Mutex
	read map[nameKey][]Entry
}

type nameKey struct {
	kind Kind
	id   string
}

// NewNames returns the names of a corp; store is the ledger.
func NewNames(store histories, corp archive.CorpID) *Names {
	return &Names{store: store, corp: corp, read: map[nameKey][]Entry{}}
}

func (n *Names) history(ctx context.Context, kind Kind, id string) ([]Entry, error) {
	key := nameKey{kind, id}
	n.mu.Lock()
	history, known := n.read[key]
	n.mu.Unlock()
	if known {
		return history, nil
	}
	history, err := n.store.EntryHistory(ctx, n.corp, kind, id)
	if err != nil {
		return nil, fmt.Errorf("names of corp %s: %w", n.corp, err)
	}
	n.mu.Lock()
	n.read[key] = history
	n.mu.Unlock()
	return history, nil
}

// Party is a party with its name at a time, or before the directory was first read, with its first. A party that no directory knows keeps its
// id, with the kind that the id tells.
func (n *Names) Party(ctx context.Context, id archive.PartyID, at time.Time) (archive.Party, error) {
	// A userid is free-form and may look like the others, so what looks external may be a member.
	order := []Kind{KindMember, KindExternal}
	switch archive.ParseKind(id) {
	case archive.KindRobot:
		order = []Kind{KindRobot, KindMember}
	case archive.KindExternal:
		order = []Kind{KindExternal, KindMember}
	}
	for _, kind := range order {
		history, err := n.history(ctx, kind, string(id))
		if err != nil {
			return archive.Party{}, err
		}
		if len(history) > 0 {
			return Party(id, history, at)
		}
	}
	return archive.Party{ID: id, Kind: archive.ParseKind(id)}, nil
}

// Party is the party that a history of the kind member, external or robot describes at a time. What the state of that time does not know, a
// name or which kind of external contact, is taken from the first later state that does: a secret added later names earlier parties.
func Party(id archive.PartyID, history []Entry, at time.Time) (archive.Party, error) {
	p := archive.Party{ID: id, Kind: archive.ParseKind(id)}
	for i, e := range from(history, at) {
		state, err := partyOf(id, e)
		if err != nil {
			return p, err
		}
		if i == 0 || p.Kind == archive.KindExternal {
			p.Kind = state.Kind
		}
		if p.Name == "" {
			p.Name = state.Name
		}
		if p.Name != "" && p.Kind != archive.KindExternal {
			break
		}
	}
	return p, nil
}

func partyOf(id archive.PartyID, e Entry) (archive.Party, error) {
	p := archive.Party{ID: id}
	switch e.Kind {
	case KindMember:
		m, err := Parse[Member](e.Fields)
		if err != nil {
			return p, fmt.Errorf("member %s: %w", id, err)
		}
		p.Name, p.Kind = m.Name, archive.KindMember
	case KindExternal:
		x, err := Parse[External](e.Fields)
		if err != nil {
			return p, fmt.Errorf("external contact %s: %w", id, err)
		}
		p.Name, p.Kind = x.Name, archive.KindExternal
		switch x.Type {
		case TypeWeChat:
			p.Kind = archive.KindWeChat
		case TypeCompany:
			p.Kind = archive.KindCompany
		}
	case KindRobot:
		r, err := Parse[Robot](e.Fields)
		if err != nil {
			return p, fmt.Errorf("robot %s: %w", id, err)
		}
		p.Name, p.Kind = r.Name, archive.KindRobot
	default:
		return p, fmt.Errorf("a %s is no party", e.Kind)
	}
	return p, nil
}

// Room is a room as it was at a time; ok is false if it was never seen. What WeCom did not show then is taken from when it first did.
func (n *Names) Room(ctx context.Context, id archive.RoomID, at time.Time) (room Room, ok bool, err error) {
	history, err := n.history(ctx, KindRoom, string(id))
	if err != nil {
		return Room{}, false, err
	}
	for i, e := range from(history, at) {
		state, err := Parse[Room](e.Fields)
		if err != nil {
			return Room{}, false, fmt.Errorf("room %s: %w", id, err)
		}
		if i == 0 || state.Shown() {
			room, ok = state, true
		}
		if room.Shown() {
			break
		}
	}
	return room, ok, nil
}
