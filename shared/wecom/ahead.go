package wecom

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
)

// WeCom takes 10,000 calls of one kind in a minute from a company, and 20,000 from an address. A reading stays well below, so that single looks at what WeCom
// told of, and other companies' readings, find room beside it.
const (
	// fewCalls is up to how many calls are made one after the other.
	fewCalls = 50
	// callsAtOnce is how many calls are under way at the same time. How many WeCom allows it does not say: where these are too many (45033), it goes on one by one.
	callsAtOnce = 8
	// unheard is how many answers may wait to be taken.
	unheard = 4 * callsAtOnce
	// callEvery is the pause between the beginnings of two calls: 6,000 a minute.
	callEvery = 10 * time.Millisecond
)

// tooManyAtOnce is WeCom's errcode for calls that were under way at the same time.
const tooManyAtOnce = 45033

// ahead is calls that are made before they are asked for.
type ahead struct {
	call    string
	ctx     context.Context // the calls', which end before the Reader does
	cancel  context.CancelFunc
	answers map[string]chan foreseen
	room    chan struct{}
}

type foreseen struct {
	raw json.RawMessage
	err error
}

// Ahead has MembersOf's answers for these departments asked for before it is called, several at a time: 5,000 departments one after the other would take longer than a
// function may run. What WeCom says is heeded, and kept, in the order in which MembersOf is called; the first refusal ends what is not yet under way. The caller calls
// stop before the Reader is used for anything else than these calls.
func (r *Reader) Ahead(ctx context.Context, departments []int) (stop func()) {
	queries := make([]url.Values, len(departments))
	for i, d := range departments {
		queries[i] = url.Values{"department_id": {strconv.Itoa(d)}}
	}
	return r.askAhead(ctx, membersCall, queries)
}

// AheadOf does for Member and these members what Ahead does for MembersOf.
func (r *Reader) AheadOf(ctx context.Context, members []archive.PartyID) (stop func()) {
	queries := make([]url.Values, len(members))
	for i, id := range members {
		queries[i] = url.Values{"userid": {string(id)}}
	}
	return r.askAhead(ctx, memberCall, queries)
}

func (r *Reader) askAhead(ctx context.Context, call string, queries []url.Values) (stop func()) {
	if r.kept != nil || r.dead != nil || len(queries) <= fewCalls {
		return func() {}
	}
	a := &ahead{call: call, answers: make(map[string]chan foreseen, len(queries)), room: make(chan struct{}, unheard)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	type question struct {
		query  url.Values
		answer chan foreseen
	}
	questions := make([]question, len(queries))
	for i, query := range queries {
		q := question{query, make(chan foreseen, 1)}
		questions[i], a.answers[q.query.Encode()] = q, q.answer
	}
	next := make(chan question)
	var all sync.WaitGroup
	all.Go(func() {
		defer close(next)
		turn := time.NewTicker(callEvery)
		defer turn.Stop()
		for _, q := range questions {
			select { // until an answer is taken
			case a.room <- struct{}{}:
			case <-a.ctx.Done():
				return
			}
			select {
			case <-turn.C:
			case <-a.ctx.Done():
				return
			}
			select {
			case next <- q:
			case <-a.ctx.Done():
				return
			}
		}
	})
	for range callsAtOnce {
		all.Go(func() {
			for q := range next {
				var f foreseen
				f.err = func() (err error) {
					defer fault.Catch(&err)
					return r.tried(a.ctx, func() error { return r.tokens.call(a.ctx, http.MethodGet, prefix+call, q.query, nil, &f.raw) })
				}()
				if a.ctx.Err() != nil {
					continue // it may have failed for that
				}
				if CodeOf(f.err) != tooManyAtOnce {
					q.answer <- f
				}
				if RateLimited(f.err) {
					a.cancel()
				}
			}
		})
	}
	r.ahead = a
	return func() {
		a.cancel()
		all.Wait()
		r.ahead = nil
	}
}

// foreseen is the answer to a question that was asked ahead; known is false if none comes, and the question is to be asked.
func (r *Reader) foreseen(call, asked string) (f foreseen, known bool) {
	if r.ahead == nil || call != r.ahead.call {
		return f, false
	}
	answer, is := r.ahead.answers[asked]
	if !is {
		return f, false
	}
	delete(r.ahead.answers, asked) // the same question again is another one
	select {
	case f = <-answer:
	case <-r.ahead.ctx.Done():
		select {
		case f = <-answer:
		default:
			return f, false
		}
	}
	<-r.ahead.room
	return f, true
}

// enough ends what was asked ahead when no such call is worth making any more.
func (r *Reader) enough(call string) {
	if r.ahead != nil && (r.dead != nil || r.denied[call] != nil) {
		r.ahead.cancel()
	}
}
