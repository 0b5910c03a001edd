package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func department(id int, leaders ...archive.PartyID) ledger.Held {
	return ledger.Held{Entry: directory.Entry{Kind: directory.KindDepartment, ID: strconv.Itoa(id), At: noon,
		Fields: directory.Fields(directory.Department{Name: "D" + strconv.Itoa(id), Parent: id / 2, Leaders: leaders})}}
}

func person(id string, leads ...int) ledger.Held {
	return ledger.Held{Entry: directory.Entry{Kind: directory.KindMember, ID: id, At: noon,
		Fields: directory.Fields(directory.Member{Name: "N" + id, Listed: true, Departments: []int{2}, Leads: leads, Status: directory.StatusActivated})}}
}

// hold writes an entry's newest state over the one that there is.
func (b bench) hold(h ledger.Held) {
	b.Helper()
	was, err := b.Held(b.Context(), corp, h.Kind, h.ID)
	b.OK(err)
	h.Rev = was.Rev
	b.OK(b.PutHeld(b.Context(), corp, h, "w"))
}

func (b bench) all() (entries []directory.Entry) {
	b.Helper()
	b.OK(b.Entries(b.Context(), corp, "", func(e directory.Entry) bool { entries = append(entries, e); return true }))
	return entries
}

// sameHeads holds the heads by the index against those by everybody.
func (b bench) sameHeads(when string) {
	b.Helper()
	some, err := b.Leadership(b.Context(), corp)
	b.OK(err)
	got, err := directory.Heads(some)
	b.OK(err)
	want, err := directory.Heads(b.all())
	b.OK(err)
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("%s: %s", when, diff)
	}
}

func TestTheIndexOfHeadsSaysWhatAllMembersSay(t *testing.T) {
	b := newBench(t)
	for id := 1; id <= 6; id++ {
		b.hold(department(id))
	}
	b.hold(person("ann", 2))
	b.sameHeads("before the index was ever settled")
	b.OK(b.SettleHeads(t.Context(), corp, b.all()))
	random := rand.New(rand.NewPCG(5, 5))
	for round := range 120 {
		id := string(rune('a' + random.IntN(8)))
		h := person(id, random.Perm(7)[:random.IntN(3)]...)
		switch random.IntN(6) {
		case 0:
			h.Gone = true
		case 1:
			h = department(1+random.IntN(6), archive.PartyID(id))
		case 2:
			h = department(1 + random.IntN(6))
			h.Gone = random.IntN(2) == 0
		}
		b.hold(h)
		if round%10 == 9 {
			b.sameHeads(fmt.Sprint("after change ", round))
		}
	}
}

func TestAWriteOfAStateThatIsLostLeavesNothingThatTheNextSettlingDoesNotMend(t *testing.T) {
	b := newBench(t)
	b.hold(department(1))
	b.hold(person("ann", 1))
	b.hold(person("bob"))
	b.OK(b.SettleHeads(t.Context(), corp, b.all()))
	before := b.all()
	b.Fault(func(q awslocal.FaultRequest) (d awslocal.FaultDecision) {
		if q.Operation == "PutItem" {
			d.Act, d.Status, d.Code = awslocal.Refuse, 400, "AccessDeniedException"
		}
		return d
	})
	for _, h := range []ledger.Held{person("ann"), person("bob", 1)} {
		h.Rev = 1
		if err := b.PutHeld(t.Context(), corp, h, "w"); err == nil {
			t.Fatal("written all the same")
		}
	}
	b.Fault(nil)
	b.OK(b.SettleHeads(t.Context(), corp, before))
	b.sameHeads("after a settling")
	b.hold(person("bob", 1))
	b.OK(b.SettleHeads(t.Context(), corp, before)) // of what was read before bob was written
	b.sameHeads("after a settling of what was read before")
}

// What the index of an earlier version, or of a bug, lacks or has too much.
func TestTheFirstSettlingFindsTheHeadsOfAnEarlierVersion(t *testing.T) {
	b := newBench(t)
	b.hold(department(1))
	b.hold(person("ann", 1))
	b.hold(person("bob"))
	db, table := dynamodb.NewFromConfig(b.Config(rig.Operator)), b.Name("DirectoryTable")
	row := func(id string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "heads#wwtide"}, "sk": &types.AttributeValueMemberS{Value: "member#" + id}}
	}
	_, err := db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: row("ann")})
	b.OK(err)
	for _, id := range []string{"bob", "eve"} {
		it := row(id)
		for name, value := range map[string]string{"kind": "member", "id": id, "fields": person(id, 1).Fields} {
			it[name] = &types.AttributeValueMemberS{Value: value}
		}
		_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: it})
		b.OK(err)
	}
	b.OK(b.SettleHeads(t.Context(), corp, b.all()))
	b.sameHeads("after the first settling")
}

// What a page of receivers costs must not grow with the members: 3,000 of them, 30 heads.
func TestHeadsAreFoundWithoutReadingEverybody(t *testing.T) {
	b := newBench(t)
	var entries []directory.Entry
	for id := 1; id <= 100; id++ {
		entries = append(entries, department(id).Entry)
	}
	for n := range 3000 {
		var leads []int
		if n%100 == 0 {
			leads = []int{n/100 + 1}
		}
		entries = append(entries, person(fmt.Sprintf("u%04d", n), leads...).Entry)
	}
	b.OK(b.PutEntries(t.Context(), corp, entries))
	reads := func() float64 {
		b.Used("DirectoryTable")
		b.sameNumber(30)
		return b.Used("DirectoryTable").Read
	}
	whole := reads()
	b.OK(b.SettleHeads(t.Context(), corp, entries))
	index := reads()
	t.Logf("read units: %g with all members, %g by the index", whole, index)
	if index > whole/5 {
		t.Errorf("%g read units by the index, %g without it", index, whole)
	}
}

func (b bench) sameNumber(want int) {
	b.Helper()
	some, err := b.Leadership(b.Context(), corp)
	b.OK(err)
	heads, err := directory.Heads(some)
	b.OK(err)
	if len(heads) != want {
		b.Errorf("%d heads", len(heads))
	}
}
