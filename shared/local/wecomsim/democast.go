package wecomsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// player writes one step of a day for one corp: it collects messages with their times, and stores them in order of time.
type player struct {
	s        *Sim
	tx       *bolt.Tx
	c        *corp
	day      int
	step     string
	files    int
	r        *rand.Rand
	from, to int64 // ms: the span of the step
	messages []Message
	err      error
}

func (s *Sim) player(tx *bolt.Tx, c *corp, step demoStepDef, day int, dayStart time.Time) *player {
	p := &player{s: s, tx: tx, c: c, day: day, step: step.name, r: demoRand(c.ID+step.name, day)}
	p.from, p.to = ms(dayStart.Add(step.from)), ms(dayStart.Add(step.at))
	// A story that is played early moves back: nobody writes in the future.
	if late := p.to - ms(s.now()); late > 0 {
		p.from, p.to = p.from-late, p.to-late
	}
	return p
}

// at is a moment of the step: 0 is its beginning, 1 its end.
func (p *player) at(part float64) int64 { return p.from + int64(part*float64(p.to-p.from)) }

func (p *player) say(m Message) { p.messages = append(p.messages, m) }

// fail keeps the first error; nil is none.
func (p *player) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// store sends what was collected.
func (p *player) store() (Sent, int, error) {
	if p.err != nil {
		return Sent{}, 0, p.err
	}
	slices.SortStableFunc(p.messages, func(a, b Message) int { return cmp.Compare(a.order(), b.order()) })
	var all Sent
	for _, m := range p.messages {
		sent, err := p.s.sendOne(p.tx, p.c, m)
		if err != nil {
			return Sent{}, 0, err
		}
		first := all.FirstSeq
		if first == 0 {
			first = sent.Seq
		}
		all = sent
		all.FirstSeq = first
	}
	n := len(p.messages)
	p.messages = nil
	return all, n, nil
}

// order is the time that sorts a message; Stored serves messages that claim no time or another.
func (m *Message) order() int64 {
	if m.Stored != 0 {
		return m.Stored
	}
	return m.Time
}

func raw(v any) json.RawMessage {
	b, err := plainJSON(v)
	if err != nil {
		// Every value of the story is a literal of this package.
		panic(err)
	}
	return b
}

// upload keeps an attachment and gives its shown form.
func (p *player) upload(name string, head []byte, size int64) File {
	p.files++
	f, err := newFile(p.c.ID, name, head, fmt.Appendf(nil, "%d %s %d", p.day, p.step, p.files), max(size, int64(len(head))), ms(p.s.now()))
	if err == nil {
		err = saveFile(p.tx, p.c.ID, f)
	}
	if err != nil {
		p.fail(err)
		return File{}
	}
	return f.shown()
}

// refuseFile has every download of a file refused.
func (p *player) refuseFile(id string, code int) {
	b := p.tx.Bucket(bucketFiles).Bucket([]byte(p.c.ID))
	var f file
	if err := json.Unmarshal(b.Get([]byte(id)), &f); err != nil {
		p.fail(err)
		return
	}
	f.Refuse = code
	p.fail(saveFile(p.tx, p.c.ID, f))
}

// scene is a conversation's place with its parties: who plays which role.
type scene struct {
	room    string
	members []string // of the room, "" for a conversation of two
	roles   map[string]string
}

// parts are the sender and the receivers of what a role says.
func (sc *scene) parts(role string) (from string, to []string) {
	from = sc.roles[role]
	if sc.room == "" {
		for _, id := range sc.roles {
			if id != from {
				to = append(to, id)
			}
		}
		return from, to
	}
	for _, id := range sc.members {
		if id != from {
			to = append(to, id)
		}
	}
	return from, to
}

func (p *player) roomScene(room *Room) *scene {
	sc := &scene{room: room.ID, members: room.Members, roles: map[string]string{}}
	var inside, outside []string
	for _, id := range room.Members {
		switch {
		case p.c.contacts.member(id) != nil:
			inside = append(inside, id)
		case p.c.contacts.external(id) != nil:
			outside = append(outside, id)
		}
	}
	p.r.Shuffle(len(inside), func(i, j int) { inside[i], inside[j] = inside[j], inside[i] })
	p.r.Shuffle(len(outside), func(i, j int) { outside[i], outside[j] = outside[j], outside[i] })
	for i, role := range []string{"A", "B", "C"} {
		sc.roles[role] = inside[i%len(inside)]
	}
	for i, role := range []string{"X", "Y"} {
		if len(outside) > 0 {
			sc.roles[role] = outside[i%len(outside)]
		}
	}
	return sc
}

// active are the members who may write: activated, and in one of the groups of departments.
func (p *player) active(group string) []string {
	in := map[int]bool{}
	for _, d := range demoDepartments {
		in[d.ID] = group == "" || d.group == group
	}
	var ids []string
	for _, m := range p.c.contacts.Members {
		if m.Status == 1 && (in[m.Department[0]] || p.c.ID != DemoCorp) {
			ids = append(ids, m.UserID)
		}
	}
	return ids
}

func (p *player) pair(group string) *scene {
	ids := p.active(group)
	i := p.r.IntN(len(ids))
	j := (i + 1 + p.r.IntN(len(ids)-1)) % len(ids)
	return &scene{roles: map[string]string{"A": ids[i], "B": ids[j]}}
}

func (p *player) outside() *scene {
	x := p.c.contacts.Externals[p.r.IntN(len(p.c.contacts.Externals))]
	return &scene{roles: map[string]string{"A": x.FollowUsers[0].UserID, "X": x.ID}}
}

func (p *player) outroom() *scene {
	var rooms []*Room
	for i := range p.c.contacts.Rooms {
		if r := &p.c.contacts.Rooms[i]; r.Kind != RoomInternal {
			rooms = append(rooms, r)
		}
	}
	return p.roomScene(pick(p.r, rooms))
}

func (p *player) roomNamed(key string) *scene {
	room := p.c.contacts.room(demoRoomID(key))
	if room == nil {
		room = &p.c.contacts.Rooms[0]
	}
	return p.roomScene(room)
}

func (p *player) stage(where string) *scene {
	kind, key, _ := strings.Cut(where, " ")
	switch kind {
	case "room":
		return p.roomNamed(key)
	case "dm":
		return p.pair(key)
	case "out":
		return p.outside()
	default:
		return p.outroom()
	}
}

// perform plays a talk at some moment of the step. Each time its blanks are filled in anew.
func (p *player) perform(t talk) {
	sc := p.stage(t.where)
	r := p.r
	words := strings.NewReplacer(
		"{fund}", pick(r, []string{"海岳稳进一号", "海岳成长精选", "Haiyue Asia Income", "海岳添利", "Haiyue Global Select"}),
		"{client}", pick(r, []string{"恒岭实业", "Larch & Moss", "沈先生", "远帆人寿", "Northgate", "贺女士"}),
		"{amount}", fmt.Sprint(20+r.IntN(900)),
		"{date}", msTime(p.to).AddDate(0, 0, 3+r.IntN(12)).Format("1月2日"),
		"{code}", pick(r, []string{"600519.X", "0700.X", "HY2031", "000858.X", "9988.X", "BOND-27"}),
		"{place}", pick(r, []string{"外滩茶室", "the Harbour View", "国金中心", "Queen's Road office", "西湖宾馆"}),
	)
	if !strings.ContainsFunc(t.lines[0].text, func(c rune) bool { return c >= 0x4e00 && c < 0xa000 }) {
		words = strings.NewReplacer(
			"{fund}", pick(r, []string{"Haiyue Asia Income", "Haiyue Global Select"}), "{client}", pick(r, []string{"Larch & Moss", "Northgate", "Mr. Pan"}),
			"{amount}", fmt.Sprint(20+r.IntN(900)), "{date}", msTime(p.to).AddDate(0, 0, 3+r.IntN(12)).Format("2 January"),
			"{code}", pick(r, []string{"0700.X", "9988.X", "BOND-27", "HY2031"}), "{place}", pick(r, []string{"the Harbour View", "our Queen's Road office"}),
		)
	}
	at := p.at(r.Float64() * 0.9)
	for _, l := range t.lines {
		from, to := sc.parts(l.role)
		p.say(Message{From: from, To: to, Room: sc.room, Text: words.Replace(l.text), Time: min(at, p.to)})
		at += 4000 + r.Int64N(70000)
	}
}
