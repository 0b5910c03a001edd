package wecomsim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The kinds of DemoEvent.
const (
	EventCorp     = "corp"          // a corp begins: Corp, with its keys in KeyAvailable events of their own
	EventMessages = "messages"      // Messages of them were sent, from FirstSeq to LastSeq
	EventKey      = "key available" // PrivateKey of Version is there: give it to the product
	EventRotated  = "key rotated"   // the corp's messages come under Version from now on; its private key comes later
	EventMember   = "member"        // contacts changed
	EventConsent  = "consent"       // an external contact agrees to being archived, or no longer does
	EventFault    = "fault"         // trouble was planned
)

// DemoEvent is one thing that happened in a step.
type DemoEvent struct {
	Kind       string `json:"kind"`
	Corp       string `json:"corp,omitempty"`
	Text       string `json:"text"` // one line for a person
	Messages   int    `json:"messages,omitempty"`
	FirstSeq   uint64 `json:"first_seq,omitempty"`
	LastSeq    uint64 `json:"last_seq,omitempty"`
	Version    uint32 `json:"publickey_ver,omitempty"`
	PrivateKey string `json:"private_key,omitempty"` // PEM, PKCS#8
}

// DemoStep is a step of a day. Before it is played the clock should be set to At.
type DemoStep struct {
	Step   int         `json:"step"` // from 1
	Name   string      `json:"name"`
	At     time.Time   `json:"at"`
	Played bool        `json:"played"`
	Events []DemoEvent `json:"events,omitempty"`
}

// DemoDay is a day of the demonstration: what has been played of it and what is to come.
type DemoDay struct {
	Day  int    `json:"day"`
	Date string `json:"date"` // UTC, YYYY-MM-DD
	// Corps are the companies with their secrets and keys.
	Corps []DemoCompany `json:"corps"`
	// Begin are the events of the start itself.
	Begin []DemoEvent `json:"begin"`
	Steps []DemoStep  `json:"steps"`
	Done  bool        `json:"done"`
}

// DemoCompany is a company of the demonstration. Keys holds the private keys that are available so far.
type DemoCompany struct {
	Corp    string   `json:"corp"`
	Name    string   `json:"name"`
	Secrets []Secret `json:"secrets"`
	Keys    []Key    `json:"keys"`
}

// DemoPlayed is the answer of a step.
type DemoPlayed struct {
	Day  int       `json:"day"`
	Of   int       `json:"of"` // steps of the day
	Step DemoStep  `json:"step"`
	Next *DemoStep `json:"next,omitempty"`
	Done bool      `json:"done"`
}

// DemoStart asks for a day: 0 is the one that is under way, else the next.
type DemoStart struct {
	Day  int    `json:"day,omitempty"`
	Date string `json:"date,omitempty"` // UTC; "" is the first day whose steps lie ahead of the clock, and after the last one played
}

// DemoPlay asks for a step: 0 is the next. A step that was played already is answered as it was.
type DemoPlay struct {
	Step int `json:"step,omitempty"`
}

// demoState is what is kept of the story.
type demoState struct {
	Day    int           `json:"day"`
	Date   string        `json:"date"`
	Begin  []DemoEvent   `json:"begin"`
	Played [][]DemoEvent `json:"played"`
	// Late are the key versions, by corp, whose private half the story still holds back.
	Late map[string]uint32 `json:"late"`
}

// demoStepDef is a step: from when to when by the day's clock, and what happens.
type demoStepDef struct {
	name     string
	from, at time.Duration
	run      func(d *demoRun) error
}

// demoRun is a step under way.
type demoRun struct {
	s      *Sim
	tx     *bolt.Tx
	step   demoStepDef
	day    int
	start  time.Time
	events []DemoEvent
}

// demoSteps is the story of a day. The first one has it all; the later ones are ordinary.
func demoSteps(day int) []demoStepDef {
	hour := func(h float64) time.Duration { return time.Duration(h * float64(time.Hour)) }
	if day == 1 {
		return []demoStepDef{
			{"morning", hour(1), hour(2.5), func(d *demoRun) error {
				return errors.Join(
					d.play(DemoCorp, 0, 1, (*player).everyday, (*player).contactsKinds),
					d.play(DemoSmallCorp, 0, 0.2, (*player).everyday))
			}},
			{"before lunch", hour(2.5), hour(4.5), func(d *demoRun) error {
				return errors.Join(
					d.play(DemoCorp, 2, 0.45, (*player).officeKinds, (*player).large),
					d.play(DemoSmallCorp, 2, 0.1),
					d.loseMobile(), d.joiners(), d.lives())
			}},
			{"the key is renewed", hour(4.5), hour(6.5), func(d *demoRun) error {
				return errors.Join(d.rotate(DemoCorp), d.play(DemoCorp, 1, 0.2, (*player).everyday))
			}},
			{"afternoon", hour(6.5), hour(8), func(d *demoRun) error {
				return errors.Join(
					d.play(DemoCorp, 3, 0.15, (*player).oddities, (*player).mishaps),
					d.play(DemoSmallCorp, 1, 0.1),
					d.changeOfMind(), d.customers(), d.trouble())
			}},
			{"the late key arrives", hour(8), hour(9), func(d *demoRun) error {
				return errors.Join(d.lateKey(DemoCorp), d.play(DemoCorp, 4, 0.1))
			}},
			{"evening", hour(9), hour(10.5), func(d *demoRun) error {
				return errors.Join(d.play(DemoCorp, 5, 0.15, (*player).everyday), d.play(DemoSmallCorp, 3, 0.1))
			}},
		}
	}
	return []demoStepDef{
		{"morning", hour(1), hour(3), func(d *demoRun) error {
			return errors.Join(d.joiners(), d.play(DemoCorp, day, 0.3, (*player).everyday), d.play(DemoSmallCorp, day, 0.15))
		}},
		{"midday", hour(3), hour(6), func(d *demoRun) error {
			return errors.Join(d.loseMobile(), d.lives(), d.play(DemoCorp, day+3, 0.25, (*player).contactsKinds), d.changeOfMind(), d.customers())
		}},
		{"evening", hour(6), hour(10.5), func(d *demoRun) error {
			return errors.Join(d.play(DemoCorp, day+5, 0.25, (*player).everyday, (*player).officeKinds), d.play(DemoSmallCorp, day+1, 0.15, (*player).everyday))
		}},
	}
}

// demoLines is how many lines of talk a share of 1 is.
const demoLines = 300

// play has the people of a corp talk, about share × demoLines lines, beginning with another talk for each turn, and plays kinds besides.
func (d *demoRun) play(corp string, turn int, share float64, kinds ...func(*player)) error {
	c, err := d.s.corpNamed(corp)
	if err != nil {
		return err
	}
	p := d.s.player(d.tx, c, d.step, d.day, d.start)
	zh, en := talks(talkZh), talks(talkEn)
	for i := 0; len(p.messages) < int(share*demoLines); i++ {
		list, at := zh, i/2
		if i%2 == 1 {
			list = en
		}
		p.perform(list[(at+turn*5)%len(list)])
	}
	for _, k := range kinds {
		k(p)
	}
	sent, n, err := p.store()
	if err != nil {
		return fmt.Errorf("playing %s for corp %s: %w", d.step.name, corp, err)
	}
	d.happened(DemoEvent{
		Kind: EventMessages, Corp: corp, Messages: n, FirstSeq: sent.FirstSeq, LastSeq: sent.Seq,
		Text: fmt.Sprintf("%s: %d messages, seq %d to %d", c.Name, n, sent.FirstSeq, sent.Seq),
	})
	return nil
}

func (d *demoRun) happened(e DemoEvent) { d.events = append(d.events, e) }

func (d *demoRun) keyEvent(c *corp, k Key) {
	d.happened(DemoEvent{
		Kind: EventKey, Corp: c.ID, Version: k.Version, PrivateKey: k.Private, Text: fmt.Sprintf("%s: the private key of version %d is there", c.Name, k.Version),
	})
}

// rotate makes a new key pair whose private half stays with an administrator who is at lunch.
func (d *demoRun) rotate(corp string) error {
	c, err := d.s.corpNamed(corp)
	if err != nil {
		return err
	}
	k, err := c.newKey(0, "")
	if err != nil {
		return err
	}
	if d.s.self.Demo.Late == nil {
		d.s.self.Demo.Late = map[string]uint32{}
	}
	d.s.self.Demo.Late[corp] = k.Version
	d.happened(DemoEvent{
		Kind: EventRotated, Corp: corp, Version: k.Version,
		Text: fmt.Sprintf("%s: the key was renewed in the console, messages come under version %d; its private key is still with the administrator", c.Name, k.Version),
	})
	return nil
}

func (d *demoRun) lateKey(corp string) error {
	c, err := d.s.corpNamed(corp)
	if err != nil {
		return err
	}
	late := d.s.self.Demo.Late[corp]
	delete(d.s.self.Demo.Late, corp)
	for _, k := range c.Keys {
		if k.Version == late {
			d.keyEvent(c, k)
		}
	}
	return nil
}

// loseMobile takes a member's number away: on the first day from the one whose name is known, later from another.
func (d *demoRun) loseMobile() error {
	c, err := d.s.corpNamed(DemoCorp)
	if err != nil {
		return err
	}
	m := c.contacts.member(demoLostMobile)
	if d.day > 1 {
		r := demoRand("mobile", d.day)
		for m = &c.contacts.Members[r.IntN(len(c.contacts.Members))]; m.Mobile == "" || m.Status != 1; {
			m = &c.contacts.Members[r.IntN(len(c.contacts.Members))]
		}
	}
	m.Mobile = ""
	d.happened(DemoEvent{Kind: EventMember, Corp: DemoCorp, Text: fmt.Sprintf("%s: a member has no mobile number any more", c.Name)})
	return nil
}

// joiners are invited, and those of the day before activate.
func (d *demoRun) joiners() error {
	c, err := d.s.corpNamed(DemoCorp)
	if err != nil {
		return err
	}
	k := &c.contacts
	for _, m := range demoJoiners(d.day, k.Members) {
		k.Members = append(k.Members, m)
		k.Permit[3] = append(k.Permit[3], m.UserID)
	}
	for i := range k.Members {
		if m := &k.Members[i]; m.Position == "实习生" && m.Status == 4 && i < len(k.Members)-demoNewcomers {
			m.Status = 1
		}
	}
	d.happened(DemoEvent{Kind: EventMember, Corp: DemoCorp, Text: fmt.Sprintf("%s: %d people have joined", c.Name, demoNewcomers)})
	return nil
}

// trouble is what passes by itself: a cut answer and a token that dies early.
func (d *demoRun) trouble() error {
	c, err := d.s.corpNamed(DemoCorp)
	if err != nil {
		return err
	}
	d.s.faultN++
	d.s.faults = append(d.s.faults, &Fault{ID: d.s.faultN, Corp: DemoCorp, API: "message/getchatdata", Kind: FaultCut, Times: 1})
	for i := range c.Tokens {
		if a := c.secretOfKind(KindArchive); a != nil && c.Tokens[i].Secret == a.Value {
			c.Tokens[i].Dead = 40014
		}
	}
	d.happened(DemoEvent{Kind: EventFault, Corp: DemoCorp, Text: fmt.Sprintf("%s: one answer is cut in the middle, and the token dies early", c.Name)})
	return nil
}

func (s *Sim) routeDemo() {
	control(s, "POST /sim/demo/start", s.demoStart)
	control(s, "POST /sim/demo/step", s.demoStep)
	s.control("GET /sim/demo", func(*http.Request) (any, error) {
		if s.self.Demo.Day == 0 {
			return nil, asked("no day has been started")
		}
		return s.demoDay(), nil
	})
}

// demoDay shows the day that is under way.
func (s *Sim) demoDay() DemoDay {
	st := s.self.Demo
	d := DemoDay{Day: st.Day, Date: st.Date, Begin: st.Begin}
	for _, id := range []string{DemoCorp, DemoSmallCorp} {
		c := s.corps[id]
		company := DemoCompany{Corp: id, Name: c.Name, Secrets: c.Secrets}
		for _, k := range c.Keys {
			if k.Version != st.Late[id] {
				company.Keys = append(company.Keys, k)
			}
		}
		d.Corps = append(d.Corps, company)
	}
	start := st.start()
	for i, def := range demoSteps(st.Day) {
		step := DemoStep{Step: i + 1, Name: def.name, At: start.Add(def.at)}
		if i < len(st.Played) {
			step.Played, step.Events = true, st.Played[i]
		}
		d.Steps = append(d.Steps, step)
	}
	d.Done = len(st.Played) == len(d.Steps)
	return d
}

func (st demoState) start() time.Time {
	t, err := time.Parse(time.DateOnly, st.Date)
	if err != nil {
		return time.Time{}
	}
	return t
}

func (s *Sim) demoStart(n DemoStart) (DemoDay, error) {
	st := s.self.Demo
	underWay := st.Day > 0 && len(st.Played) < len(demoSteps(st.Day))
	switch {
	case underWay && (n.Day == 0 || n.Day == st.Day):
		return s.demoDay(), nil
	case n.Day != 0 && n.Day == st.Day:
		return s.demoDay(), nil
	case underWay:
		return DemoDay{}, asked("day %d is under way", st.Day)
	case n.Day != 0 && n.Day != st.Day+1:
		return DemoDay{}, asked("the next day is %d", st.Day+1)
	}
	date, err := s.demoDate(n.Date)
	if err != nil {
		return DemoDay{}, err
	}
	next := demoState{Day: st.Day + 1, Date: date.Format(time.DateOnly), Late: st.Late, Begin: []DemoEvent{}}
	err = s.inOne(func(tx *bolt.Tx) error {
		if next.Day == 1 {
			begin, err := s.demoFound(date)
			if err != nil {
				return err
			}
			next.Begin = begin
		}
		s.self.Demo = next
		return nil
	})
	if err != nil {
		return DemoDay{}, err
	}
	return s.demoDay(), nil
}

func (s *Sim) demoDate(wanted string) (time.Time, error) {
	last := s.self.Demo.start()
	if wanted != "" {
		date, err := time.Parse(time.DateOnly, wanted)
		if err != nil {
			return time.Time{}, asked("date %q is not of the form 2006-01-02", wanted)
		}
		if !date.After(last) {
			return time.Time{}, asked("date %s is not after the last day, %s", wanted, last.Format(time.DateOnly))
		}
		return date, nil
	}
	now := s.now()
	date := now.Truncate(24 * time.Hour)
	// The clock never has to go back: a day whose first step is over is not begun any more.
	if now.After(date.Add(demoSteps(s.self.Demo.Day + 1)[0].at)) {
		date = date.AddDate(0, 0, 1)
	}
	if next := last.AddDate(0, 0, 1); s.self.Demo.Day > 0 && next.After(date) {
		date = next
	}
	return date, nil
}

// demoFound makes the two companies.
func (s *Sim) demoFound(day time.Time) ([]DemoEvent, error) {
	d := demoRun{s: s}
	for _, n := range []struct {
		corp     NewCorp
		contacts contacts
	}{
		{NewCorp{Corp: DemoCorp, Name: "海岳资产管理 Haiyue Asset Management", FirstSeq: 1, PageBytes: 200_000, Secrets: []Secret{
			{Kind: KindArchive}, {Kind: KindCustomer}, {Kind: KindLegacyApp}, {Kind: KindNewApp, Agent: 1000007},
		}}, demoContacts(demoFounded(day))},
		{NewCorp{Corp: DemoSmallCorp, Name: "云雀贸易 Skylark Trading", FirstSeq: demoSmallFirstSeq, Secrets: []Secret{
			{Kind: KindArchive}, {Kind: KindNewApp},
		}}, demoSmallContacts(demoFounded(day))},
	} {
		if s.corps[n.corp.Corp] != nil {
			return nil, asked("corp %s is there already: it belongs to the demonstration", n.corp.Corp)
		}
		c, err := s.newCorp(n.corp)
		if err != nil {
			return nil, err
		}
		c.contacts = n.contacts
		s.corps[c.ID] = c
		d.happened(DemoEvent{Kind: EventCorp, Corp: c.ID, Text: fmt.Sprintf("%s: %d members, %d external contacts, %d rooms",
			c.Name, len(c.contacts.Members), len(c.contacts.Externals), len(c.contacts.Rooms))})
		d.keyEvent(c, c.Keys[0])
	}
	return d.events, nil
}

func (s *Sim) demoStep(n DemoPlay) (DemoPlayed, error) {
	st := s.self.Demo
	if st.Day == 0 {
		return DemoPlayed{}, asked("no day has been started")
	}
	defs := demoSteps(st.Day)
	if n.Step == 0 {
		n.Step = len(st.Played) + 1
	}
	switch {
	case n.Step >= 1 && n.Step <= len(st.Played):
		return s.demoPlayed(n.Step), nil
	case n.Step > len(defs):
		return DemoPlayed{}, asked("day %d is done: it has %d steps", st.Day, len(defs))
	case n.Step != len(st.Played)+1:
		return DemoPlayed{}, asked("the next step is %d", len(st.Played)+1)
	}
	run := demoRun{s: s, step: defs[n.Step-1], day: st.Day, start: st.start()}
	faults := slices.Clone(s.faults)
	err := s.inOne(func(tx *bolt.Tx) error {
		run.tx = tx
		if err := run.step.run(&run); err != nil {
			return err
		}
		s.self.Demo.Played = append(s.self.Demo.Played, run.events)
		return nil
	})
	if err != nil {
		s.faults = faults
		return DemoPlayed{}, err
	}
	return s.demoPlayed(n.Step), nil
}

func (s *Sim) demoPlayed(step int) DemoPlayed {
	day := s.demoDay()
	p := DemoPlayed{Day: day.Day, Of: len(day.Steps), Step: day.Steps[step-1], Done: step == len(day.Steps)}
	if step < len(day.Steps) {
		p.Next = &day.Steps[step]
	}
	return p
}

// inOne runs a change of anything in one transaction, so that a kill leaves all of it or nothing. After an error memory is read
// anew from the file.
func (s *Sim) inOne(change func(tx *bolt.Tx) error) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		for _, c := range s.corps {
			if err := errors.Join(saveCorp(tx, c), s.saveContacts(tx, c)); err != nil {
				return err
			}
		}
		return s.saveSelf(tx)
	})
	if err != nil {
		s.corps = map[string]*corp{}
		return errors.Join(err, s.open())
	}
	return nil
}
