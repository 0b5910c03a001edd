package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Held is the newest state of a department or member, with what tells whether a further look at it has anything new.
type Held struct {
	directory.Entry
	Marks    map[string]string // by list: a mark of what it last said of the entry; a list that lacks it has none
	Restless bool              // it was looked at alone after the last whole list
	Rev      uint64            // how often it was written; 0: never
}

// Helds calls f for the newest state of all of a corp's entries, by kind and id.
func (l *Ledger) Helds(ctx context.Context, corp archive.CorpID, f func(Held) bool) error {
	return l.helds(ctx, corp, bounds{consistent: true}, f)
}

// HeldMembers is Helds for the members from one userid to another, both included.
func (l *Ledger) HeldMembers(ctx context.Context, corp archive.CorpID, first, last string, f func(Held) bool) error {
	return l.helds(ctx, corp, bounds{from: entrySK(directory.KindMember, first), to: entrySK(directory.KindMember, last), consistent: true}, f)
}

// Held is the newest state of one entry; its Rev is 0 and its At zero if there is none.
func (l *Ledger) Held(ctx context.Context, corp archive.CorpID, kind directory.Kind, id string) (Held, error) {
	found := Held{Entry: directory.Entry{Kind: kind, ID: id}}
	sk := entrySK(kind, id)
	err := l.helds(ctx, corp, bounds{from: sk, to: sk, consistent: true}, func(h Held) bool {
		found = h
		return false
	})
	return found, err
}

func (l *Ledger) helds(ctx context.Context, corp archive.CorpID, b bounds, f func(Held) bool) error {
	var bad error
	err := l.each(ctx, l.tables.Directory, directoryPK(corp), b, func(it item) bool {
		h := Held{Entry: entryOf(it), Restless: getBool(it, "restless"), Rev: getNum(it, "rev")}
		if marks := getStr(it, "marks"); marks != "" {
			if bad = json.Unmarshal([]byte(marks), &h.Marks); bad != nil {
				bad = fmt.Errorf("the marks of %s %s of corp %s: %w", h.Kind, h.ID, corp, bad)
				return false
			}
		}
		return f(h)
	})
	if err == nil {
		err = bad
	}
	return err
}

// PutHeld writes the newest state of an entry over the one that was read as Rev; ErrLost says that somebody has written it since. writer is
// a word of the caller's alone, by which it knows its own write again when the answer was lost. The state's place in the history is
// PutHistory's. The index of heads of department is written before it.
func (l *Ledger) PutHeld(ctx context.Context, corp archive.CorpID, h Held, writer string) error {
	marks, err := json.Marshal(h.Marks)
	if err != nil {
		return fmt.Errorf("write the marks of %s %s of corp %s: %w", h.Kind, h.ID, corp, err)
	}
	if err := l.indexHeld(ctx, corp, h); err != nil {
		return err
	}
	it := entryRow(directoryPK(corp), entrySK(h.Kind, h.ID), h.Entry)
	it["marks"], it["restless"], it["rev"], it["writer"] = str(string(marks)), boolean(h.Restless), num(h.Rev+1), str(writer)
	condition, values := "attribute_not_exists(rev)", item(nil)
	if h.Rev > 0 {
		condition, values = "rev = :rev", item{":rev": num(h.Rev)}
	}
	err = l.put(ctx, l.tables.Directory, it, condition, values)
	if row, refused := refusedRow(err); refused {
		if getNum(row, "rev") == h.Rev+1 && getStr(row, "writer") == writer {
			return nil // its own first attempt
		}
		return fmt.Errorf("write %s %s of corp %s: %w", h.Kind, h.ID, corp, ErrLost)
	}
	return err
}

// Life is what is kept of one department or member beside its states: its looks as directory.Pack left them, what WeCom told of it, and the
// keys of the events that may be kept of it.
type Life struct {
	Looks   directory.Packed
	Notices []directory.Notice
	Events  []string // directory.Event.Key
}

// Life reads an entry's life.
func (l *Ledger) Life(ctx context.Context, corp archive.CorpID, kind directory.Kind, id string) (Life, error) {
	var life Life
	var bad error
	err := l.each(ctx, l.tables.Directory, lifePK(corp, kind, id), bounds{consistent: true}, func(it item) bool {
		sort, rest, _ := strings.Cut(getStr(it, "sk"), "#")
		switch sort {
		case "look":
			look := directory.Look{
				Kind: kind, ID: id, Asked: getTime(it, "asked"), Answered: getTime(it, "answered"), Part: directory.Part(getStr(it, "part")), Via: getStr(it, "via"),
				Presence: directory.Presence(getStr(it, "presence")),
			}
			if seen := getStr(it, "seen"); seen != "" {
				bad = json.Unmarshal([]byte(seen), &look.Seen)
			}
			life.Looks.Looks = append(life.Looks.Looks, look)
		case "notice":
			life.Notices = append(life.Notices, directory.Notice{
				Kind: kind, ID: id, At: getTime(it, "at"), Says: directory.Telling(getStr(it, "says")), NewID: getStr(it, "new_id"),
			})
		case "event":
			life.Events = append(life.Events, rest)
		}
		return bad == nil
	})
	if bad != nil {
		return Life{}, fmt.Errorf("a look at %s %s of corp %s: %w", kind, id, corp, bad)
	}
	return life, err
}

// PutLooks keeps looks. Each is a row of its own, whose key is all that it says: again changes nothing.
func (l *Ledger) PutLooks(ctx context.Context, corp archive.CorpID, looks []directory.Look) error {
	rows, err := lookRows(corp, looks)
	if err != nil {
		return err
	}
	if err := l.write(ctx, l.tables.Directory, rows); err != nil {
		return fmt.Errorf("looks of corp %s: %w", corp, err)
	}
	return nil
}

// DropLooks removes looks that the glances repeat.
func (l *Ledger) DropLooks(ctx context.Context, corp archive.CorpID, looks []directory.Look) error {
	rows, err := lookRows(corp, looks)
	if err != nil {
		return err
	}
	if err := l.erase(ctx, l.tables.Directory, rows); err != nil {
		return fmt.Errorf("looks of corp %s: %w", corp, err)
	}
	return nil
}

func lookRows(corp archive.CorpID, looks []directory.Look) ([]item, error) {
	rows := make([]item, 0, len(looks))
	for _, look := range looks {
		it, err := lookRow(corp, look)
		if err != nil {
			return nil, err
		}
		rows = append(rows, it)
	}
	return rows, nil
}

func lookRow(corp archive.CorpID, look directory.Look) (item, error) {
	seen := ""
	if look.Seen != nil {
		b, err := json.Marshal(look.Seen) // names sorted
		if err != nil {
			return nil, fmt.Errorf("write a look at %s %s of corp %s: %w", look.Kind, look.ID, corp, err)
		}
		seen = string(b)
	}
	sk := fmt.Sprintf("look#%s#%s#%s#%s#%s", millis13(look.Asked), millis13(look.Answered), look.Part, look.Via,
		archive.HashHex([]byte(string(look.Presence) + seen))[:8])
	it := key(lifePK(corp, look.Kind, look.ID), sk)
	it["asked"], it["answered"], it["part"], it["via"] = when(look.Asked), when(look.Answered), str(string(look.Part)), str(look.Via)
	it["presence"], it["seen"] = str(string(look.Presence)), str(seen)
	return it, nil
}

// PutNotice keeps what a callback told of.
func (l *Ledger) PutNotice(ctx context.Context, corp archive.CorpID, n directory.Notice) error {
	it := key(lifePK(corp, n.Kind, n.ID), "notice#"+millis13(n.At)+"#"+string(n.Says)+"#"+idPart(n.NewID))
	it["at"], it["says"], it["new_id"] = when(n.At), str(string(n.Says)), str(n.NewID)
	return l.put(ctx, l.tables.Directory, it, "", nil)
}

// Wake says whether a corp's fetch is to be woken now: true at most once in every.
func (l *Ledger) Wake(ctx context.Context, corp archive.CorpID, now time.Time, every time.Duration) (bool, error) {
	it := key(watchPK(corp), "woken")
	it["at"] = when(now)
	// A clock that was set back would else keep it asleep for as long.
	err := l.putNamed(ctx, l.tables.Control, it, "attribute_not_exists(pk) OR #at <= :before OR #at > :now", map[string]string{"#at": "at"},
		item{":before": when(now.Add(-every)), ":now": when(now)})
	if row, refused := refusedRow(err); refused {
		return getStr(row, "at") == stamp(now), nil // its own first attempt, or somebody at the same millisecond
	}
	return err == nil, err
}

// PutEvents keeps events: first their keys with the entry, then the events by their day, so that no event is kept that its entry does not know
// of. Again changes nothing.
func (l *Ledger) PutEvents(ctx context.Context, corp archive.CorpID, events []directory.Event) error {
	var keys, rows []item
	for _, e := range events {
		keys = append(keys, eventKeyRow(corp, e))
		rows = append(rows, eventRow(corp, e))
	}
	for _, some := range [][]item{keys, rows} {
		if err := l.write(ctx, l.tables.Directory, some); err != nil {
			return fmt.Errorf("events of corp %s: %w", corp, err)
		}
	}
	return nil
}

// DropEvents removes events that a history does not hold any more, in the other order than PutEvents.
func (l *Ledger) DropEvents(ctx context.Context, corp archive.CorpID, events []directory.Event) error {
	var keys, rows []item
	for _, e := range events {
		keys = append(keys, eventKeyRow(corp, e))
		rows = append(rows, eventRow(corp, e))
	}
	for _, some := range [][]item{rows, keys} {
		if err := l.erase(ctx, l.tables.Directory, some); err != nil {
			return fmt.Errorf("events of corp %s: %w", corp, err)
		}
	}
	return nil
}

// KeptEvents reads the events that are kept of those with the given keys, in no order.
func (l *Ledger) KeptEvents(ctx context.Context, corp archive.CorpID, keys []string) ([]directory.Event, error) {
	wanted := make([]item, 0, len(keys))
	for _, k := range keys {
		pk, err := eventPKOf(corp, k)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, key(pk, k))
	}
	rows, err := l.fetch(ctx, l.tables.Directory, wanted)
	if err != nil {
		return nil, fmt.Errorf("events of corp %s: %w", corp, err)
	}
	events := make([]directory.Event, 0, len(rows))
	for _, it := range rows {
		events = append(events, eventOf(it))
	}
	return events, nil
}

// Events calls f for the events of a corp that had happened by a time in [from, to), by that time: directory.Event.In. It costs a query a day.
func (l *Ledger) Events(ctx context.Context, corp archive.CorpID, from, to time.Time, f func(directory.Event) bool) error {
	more := true
	for day := from.UTC().Truncate(24 * time.Hour); more && day.Before(to); day = day.AddDate(0, 0, 1) {
		// All keys of the end's own millisecond are longer than its 13 digits, and so beyond.
		err := l.each(ctx, l.tables.Directory, eventPK(corp, day), bounds{from: millis13(from), to: millis13(to), consistent: true}, func(it item) bool {
			more = f(eventOf(it))
			return more
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func eventRow(corp archive.CorpID, e directory.Event) item {
	it := key(eventPK(corp, e.By), e.Key())
	it["kind"], it["id"], it["what"], it["department"] = str(string(e.Kind)), str(e.ID), str(string(e.What)), count(e.Department)
	it["old"], it["new"], it["how"], it["via"] = str(e.Old), str(e.New), str(string(e.How)), str(e.Via)
	it["after"], it["by"], it["recorded"] = when(e.After), when(e.By), when(e.Recorded)
	told := make([]string, 0, len(e.Told))
	for _, t := range e.Told {
		told = append(told, stamp(t))
	}
	it["told"] = list(told)
	return it
}

func eventOf(it item) directory.Event {
	e := directory.Event{
		Kind: directory.Kind(getStr(it, "kind")), ID: getStr(it, "id"), What: directory.Change(getStr(it, "what")), Department: getCount(it, "department"),
		Old: getStr(it, "old"), New: getStr(it, "new"), How: directory.Departure(getStr(it, "how")), Via: getStr(it, "via"),
		After: getTime(it, "after"), By: getTime(it, "by"), Recorded: getTime(it, "recorded"),
	}
	for _, text := range getList(it, "told") {
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			e.Told = append(e.Told, t.UTC())
		}
	}
	return e
}

func eventKeyRow(corp archive.CorpID, e directory.Event) item {
	return key(lifePK(corp, e.Kind, e.ID), "event#"+e.Key())
}

// erase removes rows, 25 a call, and repeats what DynamoDB did not take.
func (l *Ledger) erase(ctx context.Context, table string, rows []item) error {
	keys := map[string]types.WriteRequest{} // one call may not name a row twice
	for _, it := range rows {
		keys[getStr(it, "pk")+" "+getStr(it, "sk")] = types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: item{"pk": it["pk"], "sk": it["sk"]}}}
	}
	var requests []types.WriteRequest
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		requests = append(requests, keys[k])
	}
	for some := range slices.Chunk(requests, mostWrites) {
		if err := l.writeBatch(ctx, table, some); err != nil {
			return err
		}
	}
	return nil
}
