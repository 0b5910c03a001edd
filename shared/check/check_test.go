package check_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/check"
)

// ordinary is a message about which there is nothing to say.
func ordinary() archive.Message {
	return archive.Message{Corp: "wwcorp", Seq: 1<<53 + 1, MsgID: "m1", Action: archive.Send, Type: "text", Known: true, From: "ada",
		Time: time.UnixMilli(1795123200001).UTC(), Text: "words"}
}

func TestEachRuleFindsItsCaseAndNoOther(t *testing.T) {
	for want, change := range map[string]func(*archive.Message){
		"":                  func(*archive.Message) {},
		"unknown-type":      func(m *archive.Message) { m.Known, m.Type = false, "hologram" },
		"unknown-action":    func(m *archive.Message) { m.Action = "amend" },
		"no-time":           func(m *archive.Message) { m.Time = time.Time{} },
		"no-sender":         func(m *archive.Message) { m.From = "" },
		"recall-of-nothing": func(m *archive.Message) { m.Action, m.Type = archive.Recall, "revoke" },
		"disagreed":         func(m *archive.Message) { m.Consents = []archive.Consent{{Agree: true}, {Party: "wm1"}} },
		"switch":            func(m *archive.Message) { m.Action, m.Type = archive.Switch, "" },
	} {
		m := ordinary()
		change(&m)
		var got []string
		for _, f := range check.Run(check.Rules(), m) {
			got = append(got, f.Rule)
		}
		if (want == "" && got != nil) || (want != "" && !cmp.Equal(got, []string{want})) {
			t.Errorf("%q: found %v", want, got)
		}
	}
	m := ordinary()
	m.Action, m.RecallOf, m.Consents = archive.Recall, "m0", []archive.Consent{{Agree: true}}
	if got := check.Run(check.Rules(), m); got != nil {
		t.Errorf("a recall that names its message, and an agreement: found %v", got)
	}
}

func TestFindingsComeInTheRulesOrderAndNameTheMessage(t *testing.T) {
	yes := func(archive.Message) bool { return true }
	rules := []check.Rule{{ID: "b", Severity: check.Warning, Match: yes}, {ID: "no", Match: func(archive.Message) bool { return false }}, {ID: "a", Severity: check.Notice, Match: yes}}
	want := []check.Finding{
		{Rule: "b", Severity: check.Warning, Corp: "wwcorp", Seq: 1<<53 + 1, MsgID: "m1"},
		{Rule: "a", Severity: check.Notice, Corp: "wwcorp", Seq: 1<<53 + 1, MsgID: "m1"},
	}
	if diff := cmp.Diff(want, check.Run(rules, ordinary())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRulesAreCompleteAndTheirIDsUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range check.Rules() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r.ID) || seen[r.ID] || r.Title == "" || r.Match == nil || r.Severity == "" {
			t.Errorf("rule %+v is incomplete, or its id is not its own", r)
		}
		seen[r.ID] = true
	}
}
