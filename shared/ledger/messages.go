package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/derived"
)

// longestText is how many bytes of text a message row holds; with the other attributes a row stays within one write unit. Longer texts are
// read from the segment.
const longestText = 300

// People remembers which participant lists and person rows are written, so that a warm process writes each once. The zero value is ready.
// Safe for concurrent use.
type People struct {
	mu    sync.Mutex
	known map[string]struct{}
}

// enough keeps the memory of a long-lived process small; forgetting costs a read.
const enough = 50_000

func (p *People) knows(k string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.known[k]
	return ok
}

func (p *People) learn(keys []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) > enough {
		p.known = map[string]struct{}{}
	}
	for _, k := range keys {
		p.known[k] = struct{}{}
	}
}

// PutMessages writes the derived rows of messages of one batch: the message, its participant list, its persons, its room, its recall. Each
// row is a function of the message and of the batch's key alone, so that writing it again changes nothing. A seq that comes again with another
// text, in a batch that overlaps, gets a row of its own: the first stays. One write unit a message, and more only for people and conversations
// not seen this month, and for rooms and robots never seen.
func (l *Ledger) PutMessages(ctx context.Context, batchKey string, messages []archive.Message, people *People) error {
	var recalls []item
	maybe := map[string]item{} // rows that may be there already
	for i := range messages {
		m := &messages[i]
		peopleOf(m, func(pk, sk string, ids []string) {
			k := pk + "\x00" + sk
			if maybe[k] != nil || people.knows(k) {
				return
			}
			maybe[k] = key(pk, sk)
			if ids != nil {
				maybe[k]["ids"] = list(ids)
			}
		})
		if m.RecallOf != "" {
			recalls = append(recalls, recallRow(batchKey, m))
		}
	}
	fresh, err := l.unwritten(ctx, maybe)
	if err != nil {
		return err
	}
	// A message's row is made when it is its turn: those of a whole batch are several megabytes.
	rows := func(yield func(item) bool) {
		for i := range messages {
			if !yield(messageRow(batchKey, &messages[i])) {
				return
			}
		}
		for _, it := range append(fresh, recalls...) {
			if !yield(it) {
				return
			}
		}
	}
	// A table refuses the same key twice in one call; a batch that holds a msgid and seq twice can't be, but a repeated recall can.
	if err := l.writeEach(ctx, l.tables.Messages, distinct(rows)); err != nil {
		return fmt.Errorf("messages of batch %s: %w", batchKey, err)
	}
	learnt := make([]string, 0, len(maybe))
	for k := range maybe {
		learnt = append(learnt, k)
	}
	people.learn(learnt)
	return nil
}

func recallRow(batchKey string, m *archive.Message) item {
	it := key(recallPK(m.Corp), idPart(string(m.RecallOf))+"#"+m.Seq.Key())
	if len(m.RecallOf) > longestID {
		it["of"] = str(string(m.RecallOf))
	}
	it["msgid"], it["seq"], it["time"], it["batch"] = str(string(m.MsgID)), num(uint64(m.Seq)), when(m.Time), str(batchKey)
	return it
}

func (l *Ledger) unwritten(ctx context.Context, maybe map[string]item) ([]item, error) {
	if len(maybe) == 0 {
		return nil, nil
	}
	keys := make([]item, 0, len(maybe))
	for _, it := range maybe {
		keys = append(keys, item{"pk": it["pk"], "sk": it["sk"]})
	}
	there, err := l.fetch(ctx, l.tables.Messages, keys)
	if err != nil {
		return nil, err
	}
	written := map[string]bool{}
	for _, it := range there {
		written[getStr(it, "pk")+"\x00"+getStr(it, "sk")] = true
	}
	var fresh []item
	for k, it := range maybe {
		if !written[k] {
			fresh = append(fresh, it)
		}
	}
	return fresh, nil
}

// distinct leaves out rows whose key came before.
func distinct(rows iter.Seq[item]) iter.Seq[item] {
	return func(yield func(item) bool) {
		seen := map[string]bool{}
		for it := range rows {
			k := getStr(it, "pk") + "\x00" + getStr(it, "sk")
			if seen[k] {
				continue
			}
			seen[k] = true
			if !yield(it) {
				return
			}
		}
	}
}

// monthOf is the month under which a message's row and its persons' stand.
func monthOf(m *archive.Message) string {
	if m.Time.IsZero() {
		return "000000"
	}
	return m.Time.UTC().Format("200601")
}

func messageRow(batchKey string, m *archive.Message) item {
	corp, conversation, month := m.Corp.KeyPart(), idPart(m.Conversation()), monthOf(m)
	message := key("msg#"+corp+"#"+conversation+"#"+month, millis13(m.Time)+"#"+m.Seq.Key()+"#"+m.RawSHA256()[:8])
	message["msgid"], message["action"], message["batch"] = str(clip(string(m.MsgID), 128)), str(clip(string(m.Action), 32)), str(batchKey)
	if m.Type != "" {
		message["type"] = str(clip(m.Type, 64))
	}
	if m.From != "" {
		message["from"] = str(clip(string(m.From), 64))
	}
	if m.RecallOf != "" {
		message["recall_of"] = str(clip(string(m.RecallOf), 128))
	}
	if !m.Known {
		message["unknown"] = boolean(true)
	}
	if n := len(m.Media); n > 0 {
		message["media"] = count(n)
	}
	if m.Text != "" && len(m.Text) <= longestText {
		message["text"] = str(m.Text)
	}
	if ids := archive.SortedParties(m.From, m.To); len(ids) > 0 {
		message["parties"] = str(archive.PartiesHash(ids))
	}
	return message
}

// peopleOf calls add for the keys of the rows that a message shares with others: its participant list, which holds ids, its persons and robots,
// who talks alone in it, its room.
func peopleOf(m *archive.Message, add func(pk, sk string, ids []string)) {
	corp, conversation, month := m.Corp.KeyPart(), idPart(m.Conversation()), monthOf(m)
	if ids := archive.SortedParties(m.From, m.To); len(ids) > 0 {
		room := idPart(string(m.Room))
		if room == "" {
			room = "-"
		}
		add("parts#"+corp+"#"+room, archive.PartiesHash(ids), ids)
		for _, id := range ids {
			add("person#"+corp+"#"+idPart(id), month+"#"+conversation, nil)
			if archive.ParseKind(archive.PartyID(id)) == archive.KindRobot {
				add(robotPK(m.Corp), id, nil)
			}
		}
		if pair := pairOf(m.Room, ids); pair != "" {
			add(pairPK(m.Corp), pair, nil)
		}
	}
	if m.Room != "" && len(m.Room) <= longestID {
		add(roomPK(m.Corp), string(m.Room), nil)
	}
}

// Rooms calls f for the rooms that a corp's messages name, by id: WeCom has no list of all of them.
func (l *Ledger) Rooms(ctx context.Context, corp archive.CorpID, f func(archive.RoomID) bool) error {
	return l.each(ctx, l.tables.Messages, roomPK(corp), bounds{consistent: true}, func(it item) bool { return f(archive.RoomID(getStr(it, "sk"))) })
}

// Robots calls f for the robots that are parties of a corp's messages, by id.
func (l *Ledger) Robots(ctx context.Context, corp archive.CorpID, f func(archive.PartyID) bool) error {
	return l.each(ctx, l.tables.Messages, robotPK(corp), bounds{consistent: true}, func(it item) bool { return f(archive.PartyID(getStr(it, "sk"))) })
}

// clip keeps hostile ids from making a row larger than a write unit; the segment has them whole.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// PutDerived writes what follows from a batch's opened items: PutMessages, what the rules found, and what the messages say of consent. Identical by
// construction.
func (l *Ledger) PutDerived(ctx context.Context, b BatchRow, rows derived.Rows, people *People) error {
	if err := l.PutMessages(ctx, b.Key(), rows.Messages, people); err != nil {
		return err
	}
	if err := l.PutFindings(ctx, b.Corp, rows.Findings); err != nil {
		return err
	}
	return l.PutChoices(ctx, b.Corp, rows.Consents)
}

// PutFindings writes what the rules found; identical by construction.
func (l *Ledger) PutFindings(ctx context.Context, corp archive.CorpID, findings []derived.Finding) error {
	rows := make([]item, 0, len(findings))
	for _, f := range findings {
		rows = append(rows, findingRow(corp, f))
	}
	if err := l.writeEach(ctx, l.tables.Messages, distinct(slices.Values(rows))); err != nil {
		return fmt.Errorf("findings of corp %s: %w", corp, err)
	}
	return nil
}

func findingRow(corp archive.CorpID, f derived.Finding) item {
	it := key("finding#"+corp.KeyPart()+"#"+f.Time.UTC().Format("20060102"), f.Rule+"#"+f.Seq.Key())
	it["severity"], it["msgid"], it["seq"], it["time"] = str(string(f.Severity)), str(string(f.MsgID)), num(uint64(f.Seq)), when(f.Time)
	return it
}

// Recall is one recall of a message.
type Recall struct {
	Of    archive.MsgID
	MsgID archive.MsgID
	Seq   archive.Seq
	Time  time.Time
}

// Recalls calls f for all of a corp's recalls, by recalled msgid.
func (l *Ledger) Recalls(ctx context.Context, corp archive.CorpID, f func(Recall) bool) error {
	return l.each(ctx, l.tables.Messages, recallPK(corp), bounds{consistent: true}, func(it item) bool {
		sk := getStr(it, "sk")
		of := sk
		if i := strings.LastIndexByte(sk, '#'); i >= 0 {
			of = sk[:i]
		}
		if long := getStr(it, "of"); long != "" {
			of = long
		}
		return f(Recall{Of: archive.MsgID(of), MsgID: archive.MsgID(getStr(it, "msgid")), Seq: archive.Seq(getNum(it, "seq")), Time: getTime(it, "time")})
	})
}

// HasMessages returns those of the given messages whose row is missing: fsck compares segments with rows.
func (l *Ledger) HasMessages(ctx context.Context, batchKey string, messages []archive.Message) (missing []archive.Message, err error) {
	byKey := map[string]*archive.Message{}
	var keys []item
	for i := range messages {
		row := messageRow(batchKey, &messages[i])
		k := getStr(row, "pk") + "\x00" + getStr(row, "sk")
		if _, dup := byKey[k]; !dup {
			keys = append(keys, item{"pk": row["pk"], "sk": row["sk"]})
		}
		byKey[k] = &messages[i]
	}
	rows, err := l.fetch(ctx, l.tables.Messages, keys)
	if err != nil {
		return nil, err
	}
	for _, it := range rows {
		delete(byKey, getStr(it, "pk")+"\x00"+getStr(it, "sk"))
	}
	for _, m := range byKey {
		missing = append(missing, *m)
	}
	return missing, nil
}
