package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Run is one report of one corp for one day.
type Run struct {
	Corp    archive.CorpID
	Day     string // YYYY-MM-DD; for alerts the moment they tell of
	Report  string // R1, R7 …
	State   string // RunClaimed or RunDone
	Owner   string
	Until   time.Time // when another may take a claimed run over, by the machine's own time
	Mails   int
	Object  string // where the report's facts are kept; "" until they are
	Version string // version id of the object
	Parts   int    // how many objects hold what attempts read that ended before their facts were whole
	Done    time.Time
}

// The states of a run.
const (
	RunClaimed = "claimed"
	RunDone    = "done"
)

// Key is the run's sort key.
func (r Run) Key() string { return r.Day + "#" + r.Report }

// RunOf reads a run, or returns an error that wraps ErrAbsent.
func (l *Ledger) RunOf(ctx context.Context, corp archive.CorpID, day, report string) (Run, error) {
	it, err := l.get(ctx, l.tables.Control, runPK(corp), day+"#"+report)
	if err != nil {
		return Run{}, err
	}
	return runOf(it), nil
}

// ClaimRun makes owner the one that builds a report, until the given time. ok is false when the run is done or somebody else's claim has
// not run out at now, by the machine's own time. What earlier attempts left, Object, Version and Parts, is r's to bring along.
func (l *Ledger) ClaimRun(ctx context.Context, r Run, now time.Time) (ok bool, err error) {
	it := key(runPK(r.Corp), r.Key())
	it["corp"], it["day"], it["report"], it["state"], it["owner"], it["until"] = str(string(r.Corp)), str(r.Day), str(r.Report), str(RunClaimed), str(r.Owner), when(r.Until)
	it["parts"] = count(r.Parts)
	if r.Object != "" {
		it["object"], it["version"] = str(r.Object), str(r.Version)
	}
	err = l.putNamed(ctx, l.tables.Control, it, "attribute_not_exists(pk) OR #owner = :me AND #state = :claimed OR (#state = :claimed AND #until < :now)",
		map[string]string{"#state": "state", "#until": "until", "#owner": "owner"}, item{":claimed": str(RunClaimed), ":now": when(now), ":me": str(r.Owner)})
	if _, refused := refusedRow(err); refused {
		return false, nil
	}
	return err == nil, err
}

// KeepRun notes what a claimed run has come to, its Object, Version and Parts, so that the next attempt goes on from there. Only the owner of the claim may;
// ErrLost says that somebody else has taken it over.
func (l *Ledger) KeepRun(ctx context.Context, r Run) error {
	_, err := l.update(ctx, l.tables.Control, runPK(r.Corp), r.Key(), "SET #object = :object, version = :version, parts = :parts", "#owner = :me AND #state = :claimed",
		map[string]string{"#state": "state", "#owner": "owner", "#object": "object"},
		item{":object": str(r.Object), ":version": str(r.Version), ":parts": count(r.Parts), ":me": str(r.Owner), ":claimed": str(RunClaimed)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("keep report %s of corp %s: %w", r.Key(), r.Corp, ErrLost)
	}
	return err
}

// FinishRun marks a run done. Only the owner of the claim may; ErrLost says that somebody else has taken it over.
func (l *Ledger) FinishRun(ctx context.Context, r Run) error {
	_, err := l.update(ctx, l.tables.Control, runPK(r.Corp), r.Key(), "SET #state = :done, mails = :mails, #object = :object, version = :version, done_at = :at", "#owner = :me",
		map[string]string{"#state": "state", "#owner": "owner", "#object": "object"},
		item{":done": str(RunDone), ":mails": count(r.Mails), ":object": str(r.Object), ":version": str(r.Version), ":at": when(r.Done), ":me": str(r.Owner)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("finish report %s of corp %s: %w", r.Key(), r.Corp, ErrLost)
	}
	return err
}

// ReleaseRun ends the claim of a run that failed, so that the next attempt need not wait for it to run out. now is the machine's own time.
// A claim that somebody else has taken over, or a run that is done, stays as it is.
func (l *Ledger) ReleaseRun(ctx context.Context, r Run, now time.Time) error {
	_, err := l.update(ctx, l.tables.Control, runPK(r.Corp), r.Key(), "SET #until = :now", "#owner = :me AND #state = :claimed",
		map[string]string{"#state": "state", "#owner": "owner", "#until": "until"}, item{":now": when(now.Add(-time.Millisecond)), ":me": str(r.Owner), ":claimed": str(RunClaimed)})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Runs calls f for a corp's runs, the newest day first.
func (l *Ledger) Runs(ctx context.Context, corp archive.CorpID, f func(Run) bool) error {
	return l.each(ctx, l.tables.Control, runPK(corp), bounds{descending: true, consistent: true}, func(it item) bool { return f(runOf(it)) })
}

func runOf(it item) Run {
	return Run{
		Corp: archive.CorpID(getStr(it, "corp")), Day: getStr(it, "day"), Report: getStr(it, "report"), State: getStr(it, "state"), Owner: getStr(it, "owner"),
		Until: getTime(it, "until"), Mails: getCount(it, "mails"), Object: getStr(it, "object"), Version: getStr(it, "version"), Parts: getCount(it, "parts"), Done: getTime(it, "done_at"),
	}
}

// Alarm is something about a corp that somebody should act on.
type Alarm struct {
	Corp     archive.CorpID
	Cause    string // a stable word, with its object: "no-key:3"
	Open     bool
	Since    time.Time // first seen
	Seen     time.Time // last seen
	Over     time.Time // when it ended
	Affected int       // messages or attachments; 0 if the cause has no count
	Deadline time.Time // when something is lost at the earliest; zero: nothing, or unknown
	Unknown  bool      // the deadline can't be known
	Code     int       // WeCom's errcode or the library's code
	Detail   string    // what a reader needs besides: versions, an address; never content
	Told     string    // fingerprint of what was last mailed; "" nothing yet
	// ToldTo is who was told of this alarm as it is, by AddressID: at most the corp's receivers. nil: written by a version that did not keep it.
	ToldTo map[string]Hearing
}

// Hearing is how one receiver was told of an alarm.
type Hearing struct {
	Mail  string    `json:"mail"`           // Day of the mail; "" if that was not kept
	Again time.Time `json:"again,omitzero"` // the mail did not reach him: from when on he can be told again. Zero: he has heard
}

// Heard says that a receiver was told of an open alarm, or may not be told yet.
func (a Alarm) Heard(address string, now time.Time) bool {
	h, ok := a.ToldTo[AddressID(address)]
	return ok && (h.Again.IsZero() || now.Before(h.Again))
}

// repeated is how long after an alarm's end a mail that says so, and did not arrive, is worth repeating.
const repeated = 3 * 24 * time.Hour

// Lately says that an alarm is over, that this was told, and that it was not long ago.
func (a Alarm) Lately(now time.Time) bool {
	return !a.Open && a.Told == a.Fingerprint() && now.Before(a.Over.Add(repeated))
}

// Missed says that the mail to a receiver that told him of the alarm's end did not arrive, and that another may be tried.
func (a Alarm) Missed(address string, now time.Time) bool {
	h, ok := a.ToldTo[AddressID(address)]
	return ok && a.Lately(now) && !h.Again.IsZero() && !now.Before(h.Again)
}

// lastDay is the time before a deadline from which on an alarm is told once more.
const lastDay = 24 * time.Hour

// Fingerprint changes when receivers should hear of the alarm again: it opened, its extent changed tenfold, its last day began, or it is over.
func (a Alarm) Fingerprint() string {
	size := 0
	for n := a.Affected; n > 0; n /= 10 {
		size++
	}
	last := a.Open && !a.Deadline.IsZero() && a.Deadline.Sub(a.Seen) < lastDay
	return fmt.Sprintf("%t/%s/%d/%t/%s", a.Open, stamp(a.Since), size, last, a.Detail)
}

// PutAlarm writes an alarm, all but what was told of it: that is ToldAlarm's alone, so that a mail that goes out meanwhile is not forgotten.
// Only watch and fsck write alarms, and a repeated write is the same row.
func (l *Ledger) PutAlarm(ctx context.Context, a Alarm) error {
	return l.putAlarm(ctx, alarmPK(a.Corp), a)
}

// PutBreach is PutAlarm for an alarm about a group with members who have not agreed: its Cause is the room's id. Only consent writes these.
func (l *Ledger) PutBreach(ctx context.Context, a Alarm) error {
	return l.putAlarm(ctx, breachPK(a.Corp), a)
}

func (l *Ledger) putAlarm(ctx context.Context, pk string, a Alarm) error {
	_, err := l.update(ctx, l.tables.Control, pk, a.Cause,
		"SET corp = :corp, cause = :cause, #open = :open, since = :since, seen = :seen, #over = :over, affected = :affected, deadline = :deadline, "+
			"#unknown = :unknown, code = :code, detail = :detail", "", map[string]string{"#open": "open", "#over": "over", "#unknown": "unknown"},
		item{":corp": str(string(a.Corp)), ":cause": str(a.Cause), ":open": boolean(a.Open), ":since": when(a.Since), ":seen": when(a.Seen), ":over": when(a.Over),
			":affected": count(a.Affected), ":deadline": when(a.Deadline), ":unknown": boolean(a.Unknown), ":code": count(a.Code), ":detail": str(a.Detail)})
	return err
}

// ToldAlarm records what was mailed of an alarm, and to whom.
func (l *Ledger) ToldAlarm(ctx context.Context, a Alarm, fingerprint string, to map[string]Hearing) error {
	return l.toldAlarm(ctx, alarmPK(a.Corp), a, fingerprint, to)
}

// ToldBreach is ToldAlarm for a group's alarm.
func (l *Ledger) ToldBreach(ctx context.Context, a Alarm, fingerprint string, to map[string]Hearing) error {
	return l.toldAlarm(ctx, breachPK(a.Corp), a, fingerprint, to)
}

func (l *Ledger) toldAlarm(ctx context.Context, pk string, a Alarm, fingerprint string, to map[string]Hearing) error {
	if to == nil {
		to = map[string]Hearing{} // nobody, and not: unknown
	}
	receivers, err := json.Marshal(to)
	if err != nil {
		return fmt.Errorf("write who was told of alarm %s of corp %s: %w", a.Cause, a.Corp, err)
	}
	_, err = l.update(ctx, l.tables.Control, pk, a.Cause, "SET told = :told, told_to = :to", "attribute_exists(pk)", nil,
		item{":told": str(fingerprint), ":to": str(string(receivers))})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Alarms lists a corp's alarms, open and over.
func (l *Ledger) Alarms(ctx context.Context, corp archive.CorpID) ([]Alarm, error) {
	return l.alarms(ctx, corp, alarmPK(corp))
}

// Breaches lists a corp's alarms about groups with members who have not agreed, open and over.
func (l *Ledger) Breaches(ctx context.Context, corp archive.CorpID) ([]Alarm, error) {
	return l.alarms(ctx, corp, breachPK(corp))
}

func (l *Ledger) alarms(ctx context.Context, corp archive.CorpID, pk string) ([]Alarm, error) {
	var alarms []Alarm
	var unreadable error
	err := l.each(ctx, l.tables.Control, pk, bounds{consistent: true}, func(it item) bool {
		a := Alarm{
			Corp: archive.CorpID(getStr(it, "corp")), Cause: getStr(it, "cause"), Open: getBool(it, "open"), Since: getTime(it, "since"), Seen: getTime(it, "seen"),
			Over: getTime(it, "over"), Affected: getCount(it, "affected"), Deadline: getTime(it, "deadline"), Unknown: getBool(it, "unknown"),
			Code: getCount(it, "code"), Detail: getStr(it, "detail"), Told: getStr(it, "told"),
		}
		if to := getStr(it, "told_to"); to != "" {
			if unreadable = json.Unmarshal([]byte(to), &a.ToldTo); unreadable != nil {
				unreadable = fmt.Errorf("read who was told of alarm %s of corp %s: %w", a.Cause, corp, unreadable)
				return false
			}
		}
		alarms = append(alarms, a)
		return true
	})
	return alarms, errors.Join(err, unreadable)
}
