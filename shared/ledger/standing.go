package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

// mostChanges is how many changes a standing lists, the newest; older ones have their rows, which nothing can disprove any more.
const mostChanges = 200

// After is where a subject stands after all that was said about it. words names the messages among that. A change that was found before keeps when that
// was, and found says it of one that is new; one that does not follow any more is to be dropped.
func (s Standing) After(said []consent.Statement, words string, found func(consent.Change) time.Time) Standing {
	h := consent.Fold(s.Subject, said)
	after := Standing{Subject: s.Subject, State: h.State, Unread: h.Since, Messages: words, Rev: s.Rev}
	for _, st := range said {
		if st.Source == consent.Poll && st.Asked.After(after.Answer.Asked) {
			after.Answer = st
		}
	}
	if s.Subject.External == "" {
		return after // whether a room is shown is no change of anybody's consent
	}
	before := map[string]time.Time{}
	for _, c := range s.Changes {
		before[c.Key()] = c.Found
	}
	follows := map[string]bool{}
	for _, c := range h.Changes {
		follows[c.Key()] = true
		at, ok := before[c.Key()]
		if !ok {
			at = found(c).UTC().Truncate(time.Millisecond)
		}
		after.Changes = append(after.Changes, ConsentChange{Change: c, Found: at})
	}
	after.Changes = after.Changes[max(0, len(after.Changes)-mostChanges):]
	for _, c := range append(slices.Clone(s.Changes), s.Drop...) {
		if !follows[c.Key()] {
			after.Drop = append(after.Drop, c)
		}
	}
	after.Owed = true
	return after
}

// Says says whether a standing need not be written again as after. That WeCom said the same at another time is the round's to tell.
func (s Standing) Says(after Standing) bool {
	return s.Rev > 0 && !s.Owed && s.State == after.State && s.Messages == after.Messages && s.Unread.Equal(after.Unread) && !Differs(s.Answer, after.Answer) &&
		len(after.Drop) == 0 && slices.EqualFunc(s.Changes, after.Changes, func(a, b ConsentChange) bool {
		return a.Key() == b.Key() && a.Old == b.Old && a.Read.Equal(b.Read)
	})
}

// Differs says whether an answer of WeCom's says something else than the one before.
func Differs(before, now consent.Statement) bool {
	return before.Asked.IsZero() != now.Asked.IsZero() || before.State != now.State || before.Why != now.Why || !before.Since.Equal(now.Since)
}

// Words names the messages about a subject up to and with one, words being the name up to the one before it, in the order of Choices.
func Words(words string, s consent.Statement) string {
	return archive.HashHex(fmt.Appendf(nil, "%s %d %s %s", words, s.Since.UnixMilli(), s.State, s.MsgID))[:16]
}
