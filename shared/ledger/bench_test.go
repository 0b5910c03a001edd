package ledger_test

import (
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

const corp = archive.CorpID("wwtide")

// noon is some moment: the ledger takes every time from its callers.
var noon = time.Date(2031, 5, 6, 12, 0, 0, 0, time.UTC)

// bench is a ledger over the real SDK and a fresh local DynamoDB.
type bench struct {
	*rig.Rig
	*ledger.Ledger
}

func newBench(t *testing.T) bench {
	t.Helper()
	r := rig.Start(t, rig.Options{})
	return bench{r, r.Ledger(r.Config(rig.Operator))}
}

// loseAnswer makes the next call of an operation take effect and be reported as failed, so that the SDK sends it again.
func (b bench) loseAnswer(operation string) {
	var once sync.Once
	b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == operation {
			once.Do(func() { d.Act = awslocal.FailAfter })
		}
		return d
	})
}

// batch is a batch's row as fetch makes it.
func batch(id archive.CorpID, first, last archive.Seq, prev ledger.Link) ledger.BatchRow {
	sum := archive.HashHex([]byte(first.Key() + last.Key()))
	return ledger.BatchRow{Corp: id, First: first, Last: last, Items: int(last-first) + 1, SHA256: sum, Size: 10, Object: "batches/" + sum, Version: "v1", Pulled: noon, CaughtUp: noon.Add(-time.Minute),
		Prev: prev.Hash, Link: prev.Next(sum)}
}
