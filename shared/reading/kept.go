package reading

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// The lines among WeCom's answers that are none: what has to be known to read them again. Each has what it says in "asked".
const (
	lineHeld              = "#held"               // the secrets that were held, in order
	lineLooked            = "#looked"             // a look at one entry alone: alone
	lineTold              = "#told"               // what WeCom told of an entry: told
	lineHeard             = "#heard"              // when the answers before it were asked for, and were there
	lineSaid              = "#said"               // what the answers before it were understood to say of consent
	lineUnasked           = "#unasked"            // the rooms that a whole reading took in though no secret may ask for them
	lineSought            = "#sought"             // the members whom a whole reading looked at alone because they were on no list any more, in order
	lineSoughtDepartments = "#sought departments" // likewise
	lineSeeker            = "#seeker"             // the kind of secret that looked at them, if it is another than the one that showed the lists
	lineStay              = "#stay"               // the rooms that a whole reading left on the list of those with external contacts, though the list lacked them
)

type looked struct {
	Who
	Via      string    `json:"via"`
	Asked    time.Time `json:"asked"`
	Answered time.Time `json:"answered"`
	New      bool      `json:"new"` // it said something else than was known, and is part of the history
}

type told struct {
	Who
	At    time.Time         `json:"at"`
	Says  directory.Telling `json:"says"`
	NewID string            `json:"new_id,omitempty"`
}

// Keeper packs WeCom's answers as they come: JSON lines, compressed. The same answers are the same bytes. It is for one goroutine.
type Keeper struct {
	packed bytes.Buffer
	zip    *gzip.Writer
	lines  *json.Encoder
	failed error
	kept   int
}

// NewKeeper returns an empty Keeper.
func NewKeeper() *Keeper {
	k := &Keeper{}
	k.zip = gzip.NewWriter(&k.packed)
	k.lines = json.NewEncoder(k.zip)
	k.lines.SetEscapeHTML(false)
	return k
}

// answers is how many answers were kept so far.
func (k *Keeper) answers() int {
	if k == nil {
		return -1
	}
	return k.kept
}

func (k *Keeper) keep(a wecom.Answer) {
	k.kept++
	if k.failed == nil {
		k.failed = k.lines.Encode(a)
	}
}

// Of keeps the answers that the secret of a kind is given: for wecom.NewReader.
func (k *Keeper) Of(kind secrets.Kind) func(wecom.Answer) {
	return func(a wecom.Answer) {
		a.Via = string(kind)
		k.keep(a)
	}
}

func (k *Keeper) note(line string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		k.failed = errors.Join(k.failed, err)
		return
	}
	k.keep(wecom.Answer{Call: line, Asked: string(b)})
}

// Held keeps which secrets a whole reading had.
func (k *Keeper) Held(readers Readers) {
	var kinds []secrets.Kind
	for _, kind := range order {
		if readers[kind] != nil {
			kinds = append(kinds, kind)
		}
	}
	k.note(lineHeld, kinds)
}

// unasked keeps the rooms that a whole reading took in without any answer of WeCom's.
func (k *Keeper) unasked(rooms []unaskedRoom) {
	if len(rooms) > 0 {
		k.note(lineUnasked, rooms)
	}
}

// sought keeps whom a whole reading looks at alone, which follows from what was known before it.
func (k *Keeper) sought(ids []archive.PartyID) { k.note(lineSought, ids) }

// soughtDepartments is sought of departments.
func (k *Keeper) soughtDepartments(ids []int) { k.note(lineSoughtDepartments, ids) }

// seeker keeps with which secret it looked at them.
func (k *Keeper) seeker(kind secrets.Kind) { k.note(lineSeeker, kind) }

// stay keeps the rooms that the list lacked and that are on it as before.
func (k *Keeper) stay(rooms []archive.RoomID) {
	if len(rooms) > 0 {
		k.note(lineStay, rooms)
	}
}

var order = [...]secrets.Kind{secrets.Archive, secrets.Contacts, secrets.Customer}

// Looked keeps that an entry was looked at alone, by o.Via and when. fresh says that it showed something else than was known.
func (k *Keeper) Looked(w Who, o directory.Observation, fresh bool) {
	k.note(lineLooked, looked{Who: w, Via: o.Via, Asked: o.Asked.UTC(), Answered: o.Answered.UTC(), New: fresh})
}

// Told keeps what WeCom told.
func (k *Keeper) Told(n directory.Notice) {
	k.note(lineTold, told{Who: Who{n.Kind, n.ID}, At: n.At.UTC(), Says: n.Says, NewID: n.NewID})
}

// Heard keeps when the answers so far were asked for, and were there.
func (k *Keeper) Heard(asked, answered time.Time) {
	k.note(lineHeard, map[string]time.Time{"asked": asked.UTC(), "answered": answered.UTC()})
}

// said is what an answer was understood to say of one subject's consent.
type said struct {
	External archive.PartyID `json:"external,omitempty"`
	Member   archive.PartyID `json:"member,omitempty"`
	Room     archive.RoomID  `json:"room,omitempty"`
	State    consent.State   `json:"state"`
	Since    time.Time       `json:"since,omitzero"`
	Asked    time.Time       `json:"asked"`
	Answered time.Time       `json:"answered"`
	Why      string          `json:"why,omitempty"`
}

// Said keeps what the answers so far were understood to say of consent, and what was therefore so until the asking before.
func (k *Keeper) Said(statements []consent.Statement) {
	list := make([]said, len(statements))
	for i, s := range statements {
		list[i] = said{s.Subject.External, s.Subject.Member, s.Subject.Room, s.State, s.Since.UTC(), s.Asked.UTC(), s.Answered.UTC(), s.Why}
	}
	k.note(lineSaid, list)
}

// Bytes ends the keeping.
func (k *Keeper) Bytes() ([]byte, error) {
	if err := errors.Join(k.failed, k.zip.Close()); err != nil {
		return nil, fmt.Errorf("pack WeCom's answers: %w", err)
	}
	return k.packed.Bytes(), nil
}

// opened is what a Keeper kept.
type opened struct {
	by                map[secrets.Kind][]wecom.Answer
	held              []secrets.Kind
	looked            []looked
	told              []told
	said              []said
	sought            []archive.PartyID
	seeker            secrets.Kind
	soughtDepartments []int

	rooms   []archive.RoomID        // of which WeCom was asked, in order
	audited map[archive.RoomID]bool // of these, those that the archive's secret was asked for
	robots  []archive.PartyID
	unasked []unaskedRoom
	stay    []archive.RoomID
}

func open(kept []byte) (opened, error) {
	o := opened{by: map[secrets.Kind][]wecom.Answer{}, audited: map[archive.RoomID]bool{}}
	zip, err := gzip.NewReader(bytes.NewReader(kept))
	if err != nil {
		return o, fmt.Errorf("WeCom's answers that were kept can't be unpacked: %w", err)
	}
	lines := json.NewDecoder(bufio.NewReader(zip))
	for {
		var a wecom.Answer
		err := lines.Decode(&a)
		if errors.Is(err, io.EOF) {
			return o, nil
		}
		if err == nil {
			err = o.add(a)
		}
		if err != nil {
			return o, errors.New("WeCom's answers that were kept are not in the form in which they were written")
		}
	}
}

func (o *opened) add(a wecom.Answer) error {
	switch a.Call {
	case lineHeld:
		return json.Unmarshal([]byte(a.Asked), &o.held)
	case lineLooked:
		var l looked
		err := json.Unmarshal([]byte(a.Asked), &l)
		o.looked = append(o.looked, l)
		return err
	case lineTold:
		var t told
		err := json.Unmarshal([]byte(a.Asked), &t)
		o.told = append(o.told, t)
		return err
	case lineHeard:
		return nil
	case lineSaid:
		var list []said
		err := json.Unmarshal([]byte(a.Asked), &list)
		o.said = append(o.said, list...)
		return err
	case lineSought:
		return json.Unmarshal([]byte(a.Asked), &o.sought)
	case lineSoughtDepartments:
		return json.Unmarshal([]byte(a.Asked), &o.soughtDepartments)
	case lineSeeker:
		return json.Unmarshal([]byte(a.Asked), &o.seeker)
	case lineStay:
		return json.Unmarshal([]byte(a.Asked), &o.stay)
	case lineUnasked:
		return json.Unmarshal([]byte(a.Asked), &o.unasked)
	default:
		o.by[secrets.Kind(a.Via)] = append(o.by[secrets.Kind(a.Via)], a)
		return o.outside(a)
	}
}

// unaskedRoom is a room of which no secret may ask.
type unaskedRoom struct {
	ID       archive.RoomID `json:"id"`
	External bool           `json:"external,omitempty"`
}

// outside notes of which room or robot WeCom was asked.
func (o *opened) outside(a wecom.Answer) error {
	if robot, ok := wecom.AskedOfRobot(a); ok {
		o.robots = append(o.robots, robot)
	}
	if room, audit, ok := wecom.AskedOfRoom(a); ok {
		if !slices.Contains(o.rooms[max(0, len(o.rooms)-1):], room) { // the second question of a room follows the first
			o.rooms = append(o.rooms, room)
		}
		o.audited[room] = o.audited[room] || audit
	}
	return nil
}

// Record is what is kept of one reading of the whole directory beside the answers, which it may share with the reading before: it is written when all that
// follows from the reading is.
type Record struct {
	Corp     archive.CorpID   `json:"corp"`
	Asked    time.Time        `json:"asked"`
	Answered time.Time        `json:"answered"`
	Object   string           `json:"object"` // the answers; "": no secret was held
	Version  string           `json:"version,omitempty"`
	Counts   directory.Counts `json:"counts"`
	Alone    []Who            `json:"alone,omitempty"` // those of whom it was a look alone, on no complete list, that showed something new
}

// steps of the keys below a corp's directory.
const (
	snapshots = "snapshots"
	again     = "again"
)

// Snapshots and Again are what the keys of a corp's records, and of its looks at single entries, begin with.
func Snapshots(corp archive.CorpID) string { return objstore.DirectoryKey(corp, snapshots) + "/" }

// Again is what the keys of looks at single entries begin with.
func Again(corp archive.CorpID) string { return objstore.DirectoryKey(corp, again) + "/" }

// AnswersKey is where the answers of a whole reading are kept, AgainKey where those of looks at one entry are.
func AnswersKey(corp archive.CorpID, kept []byte) string {
	return objstore.DirectoryKey(corp, archive.HashHex(kept)[:32]+".jsonl.gz")
}

// AgainKey is where the answers of looks at one entry are kept.
func AgainKey(corp archive.CorpID, kept []byte) string {
	return objstore.DirectoryKey(corp, again, archive.HashHex(kept)[:32]+".jsonl.gz")
}

// Written is a record's key and content.
func (r Record) Written() (key string, content []byte, err error) {
	r.Asked, r.Answered = r.Asked.UTC(), r.Answered.UTC()
	content, err = json.Marshal(r)
	if err != nil {
		return "", nil, fmt.Errorf("write the record of a reading of corp %s: %w", r.Corp, err)
	}
	name := fmt.Sprintf("%013d-%s.json", max(r.Asked.UnixMilli(), 0), archive.HashHex(content)[:16])
	return objstore.DirectoryKey(r.Corp, snapshots, r.Asked.Format(time.DateOnly), name), content, nil
}

// ParseRecord reads what Written wrote.
func ParseRecord(content []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(content, &r); err != nil || r.Asked.IsZero() || r.Answered.Before(r.Asked) || strings.TrimSpace(string(r.Corp)) == "" {
		return r, errors.New("it is no record of a reading")
	}
	return r, nil
}

// listed are the parts of which missing means gone.
var listed = [...]directory.Part{directory.PartDepartments, directory.PartMembers, directory.PartDesignated, directory.PartExternals, directory.PartGroups}

// Replay reads a directory out of the answers to a whole reading again. It fails if they are not those of the record.
func Replay(ctx context.Context, r Record, kept []byte) (directory.Reading, error) {
	o := opened{}
	if r.Object != "" {
		var err error
		if o, err = open(kept); err != nil {
			return directory.Reading{}, err
		}
	}
	readers := Readers{}
	for _, kind := range o.held {
		readers[kind] = wecom.NewReplay(o.by[kind])
	}
	g := newGathering(readers, Known{Robots: o.robots})
	g.sought, g.seeker, g.soughtDepartments = o.sought, o.seeker, o.soughtDepartments
	g.people(ctx)
	g.externals(ctx)
	g.robotsSeen(ctx)
	g.roomsAgain(ctx, o)
	if err := ctx.Err(); err != nil {
		return directory.Reading{}, err
	}
	for _, part := range listed {
		want, got := r.Counts.Parts[part], g.Parts[part]
		if want.Complete && (!got.Complete || got.Read != want.Read || got.Via != want.Via) {
			return directory.Reading{}, fmt.Errorf("the answers that were kept show %d %s by the secret %q, and %d were read by %q: they are not whole", got.Read, part, got.Via, want.Read, want.Via)
		}
	}
	g.Parts = r.Counts.Parts
	return g.Reading, nil
}
