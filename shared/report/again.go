package report

import (
	"encoding/json"
	"fmt"
)

// partial is facts that can be cut down to what somebody may see.
type partial[F any] interface {
	Within(holds func(departments []int) bool) F
	Quiet() bool
}

// again makes a mail of facts as they are kept.
type again func(kept json.RawMessage, holds func(departments []int) bool, v View) (m Mail, quiet bool, err error)

func againOf[F partial[F]](build func(F, View) (Mail, error)) again {
	return func(kept json.RawMessage, holds func(departments []int) bool, v View) (Mail, bool, error) {
		var f F
		if err := json.Unmarshal(kept, &f); err != nil {
			return Mail{}, false, fmt.Errorf("the facts of the report can't be read")
		}
		within := f.Within(holds)
		m, err := build(within, v)
		return m, within.Quiet(), err
	}
}

// Again makes a report's mail of facts that were kept as JSON, of no more than what holds holds; quiet says that it has no news. It is an error if there is
// no such report.
func Again(k Kind, kept json.RawMessage, holds func(departments []int) bool, v View) (m Mail, quiet bool, err error) {
	build, known := map[Kind]again{
		UserStatus:    againOf(NewUserStatus),
		MissingMobile: againOf(NewMissingMobile),
		NumberChange:  againOf(NewNumberChange),
		DeletedUsers:  againOf(NewDeletedUsers),
		NewUsers:      againOf(NewNewUsers),
		GroupsBreach:  againOf(NewGroupsBreach),
		Maintenance:   againOf(NewMaintenance),
		MissingEmail:  againOf(NewMissingEmail),
		Coverage:      againOf(NewCoverage),
	}[k]
	if !known {
		return Mail{}, false, fmt.Errorf("there is no report %s to make", k)
	}
	return build(kept, holds, v)
}
