package sqs

import (
	"iter"
	"slices"
	"time"
)

// inTurn yields a queue's messages in the order in which they are offered to a receiver. Without groups it is that of their arrival (or its
// reverse). With groups it is a fair queue's: the group goes first that has the fewest messages in flight, the oldest message among equals, so
// that one group's backlog does not make the others wait.
//
// QUIRK: SQS promises less: it holds a group back once it is a noisy neighbour, by its own measure.
func (s *Service) inTurn(q *queue, now time.Time) iter.Seq[uint64] {
	seqs := q.seqs
	if s.order == Reverse {
		seqs = slices.Clone(seqs)
		slices.Reverse(seqs)
	}
	var groups []string // in the order of their first message
	waiting, inFlight := map[string][]uint64{}, map[string]int{}
	for _, seq := range seqs {
		m := q.messages[seq]
		g := m.fixed.Group
		if _, known := waiting[g]; !known {
			groups = append(groups, g)
		}
		waiting[g] = append(waiting[g], seq)
		if m.state.InFlight && m.state.VisibleAt > now.UnixNano() {
			inFlight[g]++
		}
	}
	if len(groups) < 2 {
		return slices.Values(seqs)
	}
	return func(yield func(uint64) bool) {
		for {
			next := ""
			found := false
			for _, g := range groups {
				if len(waiting[g]) == 0 {
					continue
				}
				if !found || inFlight[g] < inFlight[next] || inFlight[g] == inFlight[next] && s.before(waiting[g][0], waiting[next][0]) {
					next, found = g, true
				}
			}
			if !found {
				return
			}
			seq := waiting[next][0]
			waiting[next] = waiting[next][1:]
			if m := q.messages[seq]; m != nil && m.state.VisibleAt <= now.UnixNano() {
				inFlight[next]++
			}
			if !yield(seq) {
				return
			}
		}
	}
}

// before says which of two messages is offered first, all else equal.
func (s *Service) before(a, b uint64) bool {
	if s.order == Reverse {
		return a > b
	}
	return a < b
}
