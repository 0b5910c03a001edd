package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Activity finds when people were first and last party to an archived message. It keeps no rows of its own: person rows name the
// conversations of a month, and only the edges of a person's first and last month are read, each conversation once for all of its people.
// So a corp's whole report costs a few reads per person and per conversation of those months, however old the archive is; a row that
// kept each person's latest message would cost a write with every message.
//
// An Activity is one look at the archive: what is archived later may or may not be in it. Safe for concurrent use.
type Activity struct {
	ledger *Ledger
	corp   archive.CorpID

	mu    sync.Mutex
	edges lately[*edge]
	lists lately[[]string] // sorted
}

// An Activity holds so many edges, and participant lists of so many ids in all: those that were asked for last. What it lets go of is read again when it is asked
// for again.
const (
	mostEdges = 60_000
	mostIDs   = 400_000
)

// Activity begins a look at a corp's archive.
func (l *Ledger) Activity(corp archive.CorpID) *Activity {
	return &Activity{ledger: l, corp: corp, edges: lately[*edge]{most: mostEdges}, lists: lately[[]string]{most: mostIDs}}
}

// Of returns the times of the first and the last archived message that a person sent or got; zero if there is none with a time.
func (a *Activity) Of(ctx context.Context, person archive.PartyID) (first, last time.Time, err error) {
	begun, whole, err := a.months(ctx, person, false)
	if err != nil || len(begun) == 0 {
		return time.Time{}, time.Time{}, err
	}
	ended := begun
	if whole {
		slices.Reverse(ended)
	} else if ended, _, err = a.months(ctx, person, true); err != nil {
		return time.Time{}, time.Time{}, err
	}
	if last, err = a.extreme(ctx, person, ended, true); err != nil {
		return time.Time{}, time.Time{}, err
	}
	if whole {
		slices.Reverse(begun)
	}
	first, err = a.extreme(ctx, person, begun, false)
	return first, last, err
}

// personsAtOnce is how many of a person's conversations of months one read takes: most people have fewer in a month, and many in all.
const personsAtOnce = 50

// months is a person's conversations by month from one end, those of the month at that end whole; whole says that they are all.
func (a *Activity) months(ctx context.Context, person archive.PartyID, latest bool) (list []inMonth, whole bool, err error) {
	pk := "person#" + a.corp.KeyPart() + "#" + idPart(string(person))
	// Month 000000 holds messages without a time.
	b := bounds{from: "000001", descending: latest, limit: personsAtOnce, consistent: true}
	add := func(it item) bool {
		month, conversation, _ := strings.Cut(getStr(it, "sk"), "#")
		list = append(list, inMonth{month, conversation})
		return true
	}
	if err := a.ledger.each(ctx, a.ledger.tables.Messages, pk, b, add); err != nil {
		return nil, false, err
	}
	if len(list) < personsAtOnce {
		return list, true, nil
	}
	if month := list[0].month; list[len(list)-1].month == month { // there may be more of it
		list = nil
		err = a.ledger.each(ctx, a.ledger.tables.Messages, pk, bounds{prefix: month + "#", consistent: true}, add)
	}
	return list, false, err
}

// inMonth is a conversation in a month.
type inMonth struct {
	month, conversation string
}

// extreme is a person's last message, or the first, in the month that the list begins with.
func (a *Activity) extreme(ctx context.Context, person archive.PartyID, list []inMonth, latest bool) (time.Time, error) {
	var best time.Time
	for _, c := range list {
		if c.month != list[0].month {
			break
		}
		found, err := a.edge(c.conversation, c.month, latest).of(ctx, person, best)
		if err != nil {
			return time.Time{}, err
		}
		if !found.IsZero() && (best.IsZero() || found.After(best) == latest) {
			best = found
		}
	}
	return best, nil
}

// edge is one end of a conversation's month, read as far as somebody needed it.
type edge struct {
	activity *Activity
	pk       string
	room     string
	all      string // of a conversation without a room: the participant list that is its name, of everybody who has it
	latest   bool

	mu    sync.Mutex
	marks []mark
	from  string // the sort key after which to read on
	done  bool
}

// mark is a message's time and participant list.
type mark struct {
	at      time.Time
	parties string
}

// atOnce is how many message rows one read of an edge takes: nearly always the first row is the one.
const atOnce = 10

func (a *Activity) edge(conversation, month string, latest bool) *edge {
	pk := "msg#" + a.corp.KeyPart() + "#" + conversation + "#" + month
	k := pk + "#" + strconv.FormatBool(latest)
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.edges.get(k)
	if !ok {
		e = &edge{activity: a, pk: pk, room: conversation, latest: latest}
		if strings.HasPrefix(conversation, "p:") {
			e.room, e.all = "-", conversation[len("p:"):]
		}
		a.edges.put(k, e, 1)
	}
	return e
}

// of is the message nearest to the edge that a person is party to; zero if none is better than best.
func (e *edge) of(ctx context.Context, person archive.PartyID, best time.Time) (time.Time, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := 0; ; i++ {
		for i == len(e.marks) {
			if e.done {
				return time.Time{}, nil
			}
			if err := e.more(ctx); err != nil {
				return time.Time{}, err
			}
		}
		m := e.marks[i]
		if !best.IsZero() && m.at.After(best) != e.latest {
			return time.Time{}, nil
		}
		if m.parties == e.all {
			return m.at, nil
		}
		in, err := e.activity.party(ctx, e.room, m.parties, person)
		if err != nil {
			return time.Time{}, err
		}
		if in {
			return m.at, nil
		}
	}
}

// more reads on. Of the rows only the key and the participants are asked for: no text leaves the table.
func (e *edge) more(ctx context.Context) error {
	l := e.activity.ledger
	in := &dynamodb.QueryInput{
		TableName: &l.tables.Messages, KeyConditionExpression: aws.String("pk = :pk"), ExpressionAttributeValues: item{":pk": str(e.pk)},
		ProjectionExpression: aws.String("sk, parties"), ScanIndexForward: aws.Bool(!e.latest), ConsistentRead: aws.Bool(true),
		Limit: aws.Int32(atOnce),
	}
	if e.from != "" {
		in.ExclusiveStartKey = key(e.pk, e.from)
	}
	out, err := l.db.Query(ctx, in)
	if err != nil {
		return fmt.Errorf("list %s: %w", e.pk, err)
	}
	for _, it := range out.Items {
		ms, err := strconv.ParseInt(strings.SplitN(getStr(it, "sk"), "#", 2)[0], 10, 64)
		if list := getStr(it, "parties"); err == nil && ms > 0 && list != "" {
			e.marks = append(e.marks, mark{time.UnixMilli(ms).UTC(), list})
			if list == e.all {
				e.from, e.done = "", true // this one is everybody's who has the conversation: nobody asks for those behind it
				return nil
			}
		}
	}
	e.from, e.done = getStr(out.LastEvaluatedKey, "sk"), len(out.LastEvaluatedKey) == 0
	return nil
}

// party says whether a person is on a participant list.
func (a *Activity) party(ctx context.Context, room, hash string, person archive.PartyID) (bool, error) {
	pk := "parts#" + a.corp.KeyPart() + "#" + room
	a.mu.Lock()
	ids, ok := a.lists.get(pk + "#" + hash)
	a.mu.Unlock()
	if !ok {
		it, err := a.ledger.get(ctx, a.ledger.tables.Messages, pk, hash)
		if err != nil && !errors.Is(err, ErrAbsent) {
			return false, err
		}
		ids = getList(it, "ids")
		slices.Sort(ids)
		a.mu.Lock()
		a.lists.put(pk+"#"+hash, ids, 1+len(ids))
		a.mu.Unlock()
	}
	_, in := slices.BinarySearch(ids, string(person))
	return in, nil
}

// lately keeps what was asked for last, up to a weight of most. The caller locks it.
type lately[V any] struct {
	most       int
	young, old map[string]weighed[V]
	weight     int // of the young
}

type weighed[V any] struct {
	v      V
	weight int
}

func (l *lately[V]) get(name string) (V, bool) {
	w, ok := l.young[name]
	if !ok {
		if w, ok = l.old[name]; ok {
			l.put(name, w.v, w.weight)
		}
	}
	return w.v, ok
}

func (l *lately[V]) put(name string, v V, weight int) {
	if l.young == nil || l.weight+weight > l.most/2 {
		l.young, l.old, l.weight = map[string]weighed[V]{}, l.young, 0
	}
	if _, there := l.young[name]; !there {
		l.weight += weight
	}
	l.young[name] = weighed[V]{v, weight}
}
