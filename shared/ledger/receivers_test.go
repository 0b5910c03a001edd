package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

func TestAReceiverChangesOnlyFromTheRevThatWasRead(t *testing.T) {
	b := newBench(t)
	row := receivers.Row{ID: "r-0102", Address: "an@lake.example", Language: "en", Department: 1, Reports: []report.Kind{"R1"}, Added: noon}
	rev, err := b.PutReceiver(t.Context(), corp, row)
	b.OK(err)
	if _, err := b.PutReceiver(t.Context(), corp, receivers.Row{ID: "r-0102", Address: "other@lake.example"}); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("made twice: %v", err)
	}
	row.Rev, row.Name = rev, "An"
	next, err := b.PutReceiver(t.Context(), corp, row)
	b.OK(err)
	stale := row
	stale.Name = "Bo"
	if _, err := b.PutReceiver(t.Context(), corp, stale); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("changed from a rev of the past: %v", err)
	}
	if again, err := b.PutReceiver(t.Context(), corp, row); err != nil || again != next {
		t.Errorf("its own first attempt, whose answer was lost, is %d, %v", again, err)
	}
	if err := b.RemoveReceiver(t.Context(), corp, row.ID, rev); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("removed at a rev of the past: %v", err)
	}
	name := "Head"
	edit := receivers.Edit{User: "liu", Name: &name}
	edit.Rev, err = b.PutEdit(t.Context(), corp, edit)
	b.OK(err)
	entered, edits, err := b.Receivers(t.Context(), corp)
	b.OK(err)
	row.Rev = next
	if diff := cmp.Diff([]receivers.Row{row}, entered) + cmp.Diff([]receivers.Edit{edit}, edits); diff != "" {
		t.Error(diff)
	}
	b.OK(b.RemoveReceiver(t.Context(), corp, row.ID, next))
	b.OK(b.RemoveReceiver(t.Context(), corp, row.ID, next))
	if entered, _, err = b.Receivers(t.Context(), corp); err != nil || len(entered) != 0 {
		t.Errorf("after the removal %+v, %v", entered, err)
	}
}

func TestALostAnswerOfAChangeIsNoConflict(t *testing.T) {
	b := newBench(t)
	b.OK(b.PutCorp(t.Context(), ledger.Corp{ID: corp, Name: "Lake", Added: noon}))
	for _, operation := range []string{"PutItem", "UpdateItem", "DeleteItem"} {
		b.loseAnswer(operation)
		var err error
		switch operation {
		case "PutItem":
			_, err = b.PutReceiver(t.Context(), corp, receivers.Row{ID: "r-1", Address: "a@lake.example"})
		case "UpdateItem":
			_, err = b.ChangeCorp(t.Context(), ledger.Corp{ID: corp, Name: "Lake", Added: noon, Settings: receivers.Settings{Language: "en"}})
		default:
			err = b.RemoveReceiver(t.Context(), corp, "r-1", 1)
		}
		if err != nil {
			t.Errorf("%s: %v", operation, err)
		}
	}
}

func TestSettingsChangeOnlyFromTheRevThatWasReadAndSurviveTheCompanysOwnChange(t *testing.T) {
	b := newBench(t)
	c := ledger.Corp{ID: corp, Name: "Lake", Added: noon, ReportTo: []ledger.Receiver{{Address: "an@lake.example", Language: "zh"}}}
	if _, err := b.ChangeCorp(t.Context(), c); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("a company that is not there: %v", err)
	}
	b.OK(b.PutCorp(t.Context(), c))
	c.Settings = receivers.Settings{Operations: "ops@lake.example"}.Turned(report.NewUsers, true, "an", noon)
	rev, err := b.ChangeCorp(t.Context(), c)
	b.OK(err)
	other := c
	other.Settings.Operations = "x@lake.example"
	if _, err := b.ChangeCorp(t.Context(), other); !errors.Is(err, ledger.ErrLost) {
		t.Errorf("changed from a rev of the past: %v", err)
	}
	c.ReportTo = append(c.ReportTo, ledger.Receiver{Address: "bo@lake.example", Language: "en"}.WithReports([]report.Kind{"R1", "R7"}), ledger.Receiver{Address: "co@lake.example"}.WithReports([]report.Kind{}))
	b.OK(b.PutCorp(t.Context(), c))
	c.Settings.Rev = rev
	got, err := b.Corp(t.Context(), corp)
	b.OK(err)
	if diff := cmp.Diff(c, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := []receivers.AdminRow{{Address: "an@lake.example", Language: "zh"}, {Address: "bo@lake.example", Language: "en", Reports: []report.Kind{"R1", "R7"}}, {Address: "co@lake.example", Reports: []report.Kind{}}}
	if diff := cmp.Diff(want, got.Admins()); diff != "" {
		t.Error(diff)
	}
}

// TestACompanyAsTheFirstVersionWroteItIsReadWithItsReceiversAsAdmins is the row as that version put it: no settings, no rev, receivers of two fields.
func TestACompanyAsTheFirstVersionWroteItIsReadWithItsReceiversAsAdmins(t *testing.T) {
	b := newBench(t)
	table := b.Name("ControlTable")
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	_, err := dynamodb.NewFromConfig(b.Config(rig.Operator)).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
		"pk": text("corps"), "sk": text(corp.KeyPart()), "corp": text(string(corp)), "name": text("Lake"), "added": text("2026-03-01T00:00:00.000Z"),
		"report_to": text(`[{"address":"an@lake.example","language":"zh"}]`), "simulated": &types.AttributeValueMemberBOOL{Value: true},
	}})
	b.OK(err)
	c, err := b.Corp(t.Context(), corp)
	b.OK(err)
	want := ledger.Corp{ID: corp, Name: "Lake", Simulated: true, Added: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), ReportTo: []ledger.Receiver{{Address: "an@lake.example", Language: "zh"}}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	company := receivers.Company{Admins: c.Admins(), Settings: c.Settings}
	defaults := receivers.AdminDefaults()
	for _, k := range report.Kinds() {
		l := receivers.Route(company, k, noon)
		if slices.Contains(defaults, k) {
			if len(l) != 1 || l[0].Departments[0] != 1 {
				t.Errorf("%s goes to %+v", k, l)
			}
		} else if len(l) != 0 {
			t.Errorf("%s goes to %+v, and nobody asked for it", k, l)
		}
	}
	rev, err := b.ChangeCorp(t.Context(), c)
	b.OK(err)
	if rev != 1 {
		t.Errorf("its first rev is %d", rev)
	}
}
