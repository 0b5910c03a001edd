package report

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
)

// Reported is an event that a report told of: as much of it as later ones need to know it again. A further observation may narrow the time of what happened, and so
// make another event of it: what happened to the same member, to the same effect, within the same time, is told once.
type Reported struct {
	What  string `json:"w"`           // names member, change, old and new value: 16 hex digits
	After int64  `json:"a,omitempty"` // Unix milliseconds, like By; 0: since when is not known
	By    int64  `json:"b"`
}

// ReportedOf is an event as it is known again.
func ReportedOf(e directory.Event) Reported {
	r := Reported{What: ID(string(e.Kind), e.ID, string(e.What), strconv.Itoa(e.Department), e.Old, e.New)[:16], By: e.By.UnixMilli()}
	if !e.After.IsZero() {
		r.After = e.After.UnixMilli()
	}
	return r
}

// ReportedAs is what happened, or was found, at one time and has a name of its own: it is known again by its name alone.
func ReportedAs(at time.Time, name ...string) Reported {
	return Reported{What: ID(name...)[:16], By: at.UnixMilli()}
}

// Same says whether two are the same happening: it may have been at one time that both allow.
func (r Reported) Same(o Reported) bool {
	return r.What == o.What && (r.By == o.By || r.After < o.By && o.After < r.By)
}

// Compare orders them by time.
func (r Reported) Compare(o Reported) int {
	return cmp.Or(cmp.Compare(r.By, o.By), cmp.Compare(r.After, o.After), strings.Compare(r.What, o.What))
}
