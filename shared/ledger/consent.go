package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

// What is kept of consent. In Messages, derived: who talks alone with whom (pair rows) and what messages say (choice rows). In Directory, primary: what
// WeCom answered, where it differs from its answer before; where each subject stands; the changes, by when we found them; and the rounds of asking, which
// say of everything that has no newer answer that WeCom said the same again.

// keepable says whether a subject's ids fit into a key. A message may name anything: what fits none is nobody that WeCom could be asked about.
func keepable(s consent.Subject) bool {
	return len(s.External) <= longestID && len(s.Member) <= longestID && len(s.Room) <= longestID
}

func subjectRow(pk, sk string, s consent.Subject) item {
	it := key(pk, sk)
	for name, id := range map[string]string{"external": string(s.External), "member": string(s.Member), "room": string(s.Room)} {
		if id != "" {
			it[name] = str(id)
		}
	}
	return it
}

func subjectOf(it item) consent.Subject {
	return consent.Subject{External: archive.PartyID(getStr(it, "external")), Member: archive.PartyID(getStr(it, "member")), Room: archive.RoomID(getStr(it, "room"))}
}

// Choice is what an archived message says of one subject.
func choiceRow(corp archive.CorpID, s consent.Statement) item {
	it := subjectRow(choicePK(corp), s.Subject.Key()+"#"+millis13(s.Since)+"#"+string(s.State)+"#"+archive.HashHex([]byte(s.MsgID))[:8], s.Subject)
	it["state"], it["since"], it["msgid"] = str(string(s.State)), when(s.Since), str(clip(string(s.MsgID), 128))
	return it
}

// PutChoices writes what messages say of consent; identical by construction.
func (l *Ledger) PutChoices(ctx context.Context, corp archive.CorpID, said []consent.Statement) error {
	var rows []item
	for _, s := range said {
		if keepable(s.Subject) {
			rows = append(rows, choiceRow(corp, s))
		}
	}
	if err := l.writeEach(ctx, l.tables.Messages, distinct(slices.Values(rows))); err != nil {
		return fmt.Errorf("what messages of corp %s say of consent: %w", corp, err)
	}
	return nil
}

// Choices calls f for what a corp's messages say of consent, by subject and time. When the message was archived is not kept: Answered is its own time.
func (l *Ledger) Choices(ctx context.Context, corp archive.CorpID, f func(consent.Statement) bool) error {
	return l.each(ctx, l.tables.Messages, choicePK(corp), bounds{consistent: true}, func(it item) bool {
		since := getTime(it, "since")
		return f(consent.Statement{Subject: subjectOf(it), Source: consent.Message, State: consent.State(getStr(it, "state")), Since: since, Answered: since,
			MsgID: archive.MsgID(getStr(it, "msgid"))})
	})
}

// Pairs calls f for the members and external contacts whom a corp's messages name as talking alone, by member.
func (l *Ledger) Pairs(ctx context.Context, corp archive.CorpID, f func(member, external archive.PartyID) bool) error {
	return l.each(ctx, l.tables.Messages, pairPK(corp), bounds{consistent: true}, func(it item) bool {
		sk := getStr(it, "sk")
		i := strings.LastIndexByte(sk, '#')
		return i < 0 || f(archive.PartyID(sk[:i]), archive.PartyID(sk[i+1:]))
	})
}

// pairOf is the sort key of the row that says who talks alone; "" if these are not a member and an external contact.
func pairOf(room archive.RoomID, ids []string) string {
	if room != "" || len(ids) != 2 {
		return ""
	}
	external := func(id string) bool { return archive.ParseKind(archive.PartyID(id)) == archive.KindExternal }
	robot := func(id string) bool { return archive.ParseKind(archive.PartyID(id)) == archive.KindRobot }
	a, b := ids[0], ids[1]
	if external(a) {
		a, b = b, a
	}
	if external(a) || !external(b) || robot(a) || len(a) > longestID {
		return ""
	}
	return a + "#" + b
}

// PutAnswers records what WeCom answered about subjects; identical whenever it is written again.
func (l *Ledger) PutAnswers(ctx context.Context, corp archive.CorpID, answers []consent.Statement) error {
	rows := make([]item, 0, len(answers))
	for _, s := range answers {
		it := subjectRow(consentPK(corp), s.Subject.Key()+"#"+millis13(s.Asked)+"#"+string(s.State), s.Subject)
		it["state"], it["since"], it["asked"], it["answered"], it["why"] = str(string(s.State)), when(s.Since), when(s.Asked), when(s.Answered), str(s.Why)
		rows = append(rows, it)
	}
	if err := l.writeEach(ctx, l.tables.Directory, distinct(slices.Values(rows))); err != nil {
		return fmt.Errorf("answers about consent of corp %s: %w", corp, err)
	}
	return nil
}

func answerOf(it item) consent.Statement {
	return consent.Statement{Subject: subjectOf(it), Source: consent.Poll, State: consent.State(getStr(it, "state")), Since: getTime(it, "since"),
		Asked: getTime(it, "asked"), Answered: getTime(it, "answered"), Why: getStr(it, "why")}
}

// Answers calls f for what WeCom answered about a corp's subjects, by subject and time.
func (l *Ledger) Answers(ctx context.Context, corp archive.CorpID, f func(consent.Statement) bool) error {
	return l.each(ctx, l.tables.Directory, consentPK(corp), bounds{consistent: true}, func(it item) bool { return f(answerOf(it)) })
}

// Said lists all that was ever said about one subject: WeCom's answers, and messages.
func (l *Ledger) Said(ctx context.Context, corp archive.CorpID, subject consent.Subject) ([]consent.Statement, error) {
	var all []consent.Statement
	prefix := bounds{prefix: subject.Key() + "#", consistent: true}
	err := l.each(ctx, l.tables.Directory, consentPK(corp), prefix, func(it item) bool {
		if s := answerOf(it); s.Subject == subject {
			all = append(all, s)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	err = l.each(ctx, l.tables.Messages, choicePK(corp), prefix, func(it item) bool {
		if since := getTime(it, "since"); subjectOf(it) == subject {
			all = append(all, consent.Statement{Subject: subject, Source: consent.Message, State: consent.State(getStr(it, "state")), Since: since, Answered: since,
				MsgID: archive.MsgID(getStr(it, "msgid"))})
		}
		return true
	})
	return all, err
}

// ConsentChange is a change of consent, with when we found it: the day of reports that it belongs to.
type ConsentChange struct {
	consent.Change
	Found time.Time
}

func (c ConsentChange) sk() string { return millis13(c.Found) + "#" + c.Change.Key() }

func changePK(corp archive.CorpID, found time.Time) string {
	return "consentchange#" + corp.KeyPart() + "#" + found.UTC().Format("20060102")
}

func changeRow(pk string, s consent.Subject, c ConsentChange) item {
	it := subjectRow(pk, c.sk(), s)
	it["old"], it["new"], it["at"], it["after"], it["by"] = str(string(c.Old)), str(string(c.New)), when(c.At), when(c.After), when(c.By)
	it["read"], it["found"], it["source"], it["msgid"] = when(c.Read), when(c.Found), str(string(c.Source)), str(string(c.MsgID))
	return it
}

func changeOfRow(it item) ConsentChange {
	return ConsentChange{Found: getTime(it, "found"), Change: consent.Change{Subject: subjectOf(it), Old: consent.State(getStr(it, "old")), New: consent.State(getStr(it, "new")),
		At: getTime(it, "at"), After: getTime(it, "after"), By: getTime(it, "by"), Read: getTime(it, "read"), Source: consent.Source(getStr(it, "source")),
		MsgID: archive.MsgID(getStr(it, "msgid"))}}
}

// Standing is where one subject stands: what follows from all that was said about it, and what of that WeCom answered last.
type Standing struct {
	Subject  consent.Subject
	State    consent.State
	Changes  []ConsentChange   // the oldest first
	Answer   consent.Statement // WeCom's newest answer that was kept; zero: it was never asked
	Unread   time.Time         // since when WeCom's answer is a refusal; zero: it is not, or it was never asked
	Messages string            // names the messages that were counted in
	Owed     bool              // Changes and Drop are still to be written out
	Drop     []ConsentChange   // changes that are disproved
	Rev      int               // 0: there is no row yet
}

// change is a change as the row of a standing keeps it.
type change struct {
	Old    consent.State  `json:"o,omitempty"`
	New    consent.State  `json:"n,omitempty"`
	At     int64          `json:"a,omitempty"` // ms, like all here; 0: none
	After  int64          `json:"f,omitempty"`
	By     int64          `json:"b,omitempty"`
	Read   int64          `json:"r,omitempty"`
	Found  int64          `json:"t,omitempty"`
	Source consent.Source `json:"s,omitempty"`
	MsgID  archive.MsgID  `json:"m,omitempty"`
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func packChanges(list []ConsentChange) (string, error) {
	out := make([]change, len(list))
	for i, c := range list {
		out[i] = change{c.Old, c.New, unixMilli(c.At), unixMilli(c.After), unixMilli(c.By), unixMilli(c.Read), unixMilli(c.Found), c.Source, c.MsgID}
	}
	b, err := json.Marshal(out)
	return string(b), err
}

func unpackChanges(s consent.Subject, text string) ([]ConsentChange, error) {
	var packed []change
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &packed); err != nil {
		return nil, errors.New("the changes of a consent are no list of changes")
	}
	var list []ConsentChange
	for _, c := range packed {
		list = append(list, ConsentChange{Found: ofMilli(c.Found), Change: consent.Change{Subject: s, Old: c.Old, New: c.New, At: ofMilli(c.At), After: ofMilli(c.After),
			By: ofMilli(c.By), Read: ofMilli(c.Read), Source: c.Source, MsgID: c.MsgID}})
	}
	return list, nil
}

// Standings calls f for where a corp's subjects stand, by subject; those in rooms alone if rooms is true.
func (l *Ledger) Standings(ctx context.Context, corp archive.CorpID, rooms bool, f func(Standing) bool) error {
	if rooms {
		return l.standings(ctx, corp, "room#", f)
	}
	return l.standings(ctx, corp, "", f)
}

// StandingsIn is Standings of one room alone.
func (l *Ledger) StandingsIn(ctx context.Context, corp archive.CorpID, room archive.RoomID, f func(Standing) bool) error {
	return l.standings(ctx, corp, consent.Subject{Room: room}.Key(), func(s Standing) bool { return s.Subject.Room != room || f(s) })
}

func (l *Ledger) standings(ctx context.Context, corp archive.CorpID, prefix string, f func(Standing) bool) error {
	var bad error
	err := l.each(ctx, l.tables.Directory, standingPK(corp), bounds{prefix: prefix, consistent: true}, func(it item) bool {
		var s Standing
		if s, bad = standingOf(it); bad != nil {
			bad = fmt.Errorf("consent of corp %s: %w", corp, bad)
			return false
		}
		return f(s)
	})
	return errors.Join(err, bad)
}

// StandingOf reads where one subject stands; one that nothing was ever said about has the zero Rev.
func (l *Ledger) StandingOf(ctx context.Context, corp archive.CorpID, subject consent.Subject) (Standing, error) {
	it, err := l.get(ctx, l.tables.Directory, standingPK(corp), subject.Key())
	if errors.Is(err, ErrAbsent) {
		return Standing{Subject: subject}, nil
	}
	if err != nil {
		return Standing{}, err
	}
	return standingOf(it)
}

func standingOf(it item) (Standing, error) {
	s := Standing{Subject: subjectOf(it), State: consent.State(getStr(it, "state")), Unread: getTime(it, "unread"), Messages: getStr(it, "heard"),
		Owed: getBool(it, "owed"), Rev: getCount(it, "rev")}
	s.Answer = consent.Statement{Subject: s.Subject, Source: consent.Poll, State: consent.State(getStr(it, "answer")), Since: getTime(it, "since"),
		Asked: getTime(it, "asked"), Answered: getTime(it, "answered"), Why: getStr(it, "why")}
	if s.Answer.Asked.IsZero() {
		s.Answer = consent.Statement{}
	}
	var err, bad error
	s.Changes, err = unpackChanges(s.Subject, getStr(it, "changes"))
	s.Drop, bad = unpackChanges(s.Subject, getStr(it, "drop"))
	return s, errors.Join(err, bad)
}

// PutStanding records where a subject stands, if the row is still the one of s.Rev, and returns it with its new one. ErrLost says that another has
// written it meanwhile: what was said is to be read again. Its changes are owed until SettleStanding.
func (l *Ledger) PutStanding(ctx context.Context, corp archive.CorpID, s Standing) (Standing, error) {
	changes, err := packChanges(s.Changes)
	if err != nil {
		return s, fmt.Errorf("write a consent of corp %s: %w", corp, err)
	}
	drop, err := packChanges(s.Drop)
	if err != nil {
		return s, fmt.Errorf("write a consent of corp %s: %w", corp, err)
	}
	it := subjectRow(standingPK(corp), s.Subject.Key(), s.Subject)
	it["state"], it["unread"], it["heard"], it["owed"], it["rev"] = str(string(s.State)), when(s.Unread), str(s.Messages), boolean(s.Owed), count(s.Rev+1)
	it["answer"], it["since"], it["asked"], it["answered"], it["why"] = str(string(s.Answer.State)), when(s.Answer.Since), when(s.Answer.Asked), when(s.Answer.Answered), str(s.Answer.Why)
	it["changes"], it["drop"] = str(changes), str(drop)
	condition, values := "attribute_not_exists(pk)", item(nil)
	if s.Rev > 0 {
		condition, values = "rev = :rev", item{":rev": count(s.Rev)}
	}
	err = l.put(ctx, l.tables.Directory, it, condition, values)
	if row, refused := refusedRow(err); refused {
		if there, bad := standingOf(row); bad != nil || !sameStanding(there, s) {
			return s, fmt.Errorf("consent of corp %s: %w", corp, ErrLost)
		}
		err = nil // our own first attempt, whose answer was lost
	}
	s.Rev++
	return s, err
}

// sameStanding says whether a row is what writing s would have made of it.
func sameStanding(there, s Standing) bool {
	a, err := packChanges(append(slices.Clone(there.Changes), there.Drop...))
	b, bad := packChanges(append(slices.Clone(s.Changes), s.Drop...))
	return err == nil && bad == nil && a == b && there.Rev == s.Rev+1 && there.State == s.State && there.Messages == s.Messages && there.Owed == s.Owed &&
		there.Answer.Asked.Equal(s.Answer.Asked) && there.Answer.State == s.Answer.State
}

// SettleStanding writes a standing's changes out, removes those that are disproved, and says that nothing is owed any more. What was settled by
// another meanwhile stays.
func (l *Ledger) SettleStanding(ctx context.Context, corp archive.CorpID, s Standing) error {
	if !s.Owed {
		return nil
	}
	for _, c := range s.Drop {
		for _, pk := range []string{lateChangePK(corp), changePK(corp, c.Found)} {
			if err := l.remove(ctx, l.tables.Directory, pk, c.sk()); err != nil {
				return err
			}
		}
	}
	rows := make([]item, len(s.Changes))
	for i, c := range s.Changes {
		rows[i] = changeRow(changePK(corp, c.Found), s.Subject, c)
	}
	if err := l.write(ctx, l.tables.Directory, rows); err != nil {
		return fmt.Errorf("changes of consent of corp %s: %w", corp, err)
	}
	_, err := l.update(ctx, l.tables.Directory, standingPK(corp), s.Subject.Key(), "SET owed = :no, #drop = :none", "rev = :rev", map[string]string{"#drop": "drop"},
		item{":no": boolean(false), ":none": str(""), ":rev": count(s.Rev)})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// ConsentChanges calls f for the changes of consent that were found from one time up to, and not with, another, the first found first.
func (l *Ledger) ConsentChanges(ctx context.Context, corp archive.CorpID, from, to time.Time, f func(ConsentChange) bool) error {
	more := true
	for day := from.UTC().Truncate(24 * time.Hour); more && day.Before(to); day = day.AddDate(0, 0, 1) {
		err := l.each(ctx, l.tables.Directory, changePK(corp, day), bounds{consistent: true}, func(it item) bool {
			c := changeOfRow(it)
			if !c.Found.Before(from) && c.Found.Before(to) {
				more = f(c)
			}
			return more
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// The kinds of round: what the keys of their subjects begin with.
const (
	RoundOfPairs = "member"
	RoundOfRooms = "room"
)

// Round is one round of asking WeCom about subjects of one kind: from one subject on, in the order of their keys and round the end, as far as the time
// was enough.
type Round struct {
	Corp  archive.CorpID
	Kind  string
	At    time.Time // when it began
	Until time.Time
	From  string // the key of the subject that was asked about first; "" the first of all
	Next  string // the key of the first that was not asked about any more; "": all were
	Asked int    // subjects asked about; a room counts once
	Wrong int    // of them, those of which WeCom shows nothing
	Why   string // why it broke off: "errcode 301053", "out of time"; "" if it did not
}

// Covers says whether the round asked about the subject with this key, or about its room.
func (r Round) Covers(subject string) bool {
	if !strings.HasPrefix(subject, r.Kind+"#") {
		return false
	}
	switch {
	case r.Next == "":
		return r.Why == ""
	case r.From < r.Next:
		return subject >= r.From && subject < r.Next
	case r.From == r.Next:
		return false
	default:
		return subject >= r.From || subject < r.Next
	}
}

// PutRound records a round.
func (l *Ledger) PutRound(ctx context.Context, r Round) error {
	it := key(roundPK(r.Corp), r.Kind+"#"+millis13(r.At))
	it["kind"], it["at"], it["until"], it["from"], it["next"] = str(r.Kind), when(r.At), when(r.Until), str(r.From), str(r.Next)
	it["asked"], it["wrong"], it["why"] = count(r.Asked), count(r.Wrong), str(r.Why)
	return l.put(ctx, l.tables.Directory, it, "", nil)
}

// Rounds calls f for a corp's rounds of asking of one kind, the newest first.
func (l *Ledger) Rounds(ctx context.Context, corp archive.CorpID, kind string, f func(Round) bool) error {
	return l.rounds(ctx, corp, kind, 0, f)
}

// LastRound is a corp's newest round of asking of one kind; the zero Round if there was none.
func (l *Ledger) LastRound(ctx context.Context, corp archive.CorpID, kind string) (last Round, err error) {
	err = l.rounds(ctx, corp, kind, 1, func(r Round) bool {
		last = r
		return false
	})
	return last, err
}

func (l *Ledger) rounds(ctx context.Context, corp archive.CorpID, kind string, limit int, f func(Round) bool) error {
	return l.each(ctx, l.tables.Directory, roundPK(corp), bounds{prefix: kind + "#", descending: true, consistent: true, limit: limit}, func(it item) bool {
		return f(Round{Corp: corp, Kind: getStr(it, "kind"), At: getTime(it, "at"), Until: getTime(it, "until"), From: getStr(it, "from"), Next: getStr(it, "next"),
			Asked: getCount(it, "asked"), Wrong: getCount(it, "wrong"), Why: getStr(it, "why")})
	})
}
