package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
)

var (
	noon    = time.Date(2031, 1, 2, 12, 0, 0, 0, time.UTC)
	subject = consent.Subject{External: "wm1", Room: "wr1"}
)

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

// polled is an answer at a minute; since -1: it names no time.
func polled(at int, state consent.State, since int) consent.Statement {
	s := consent.Statement{Subject: subject, Source: consent.Poll, State: state, Asked: minute(at), Answered: minute(at).Add(time.Second)}
	if since >= 0 {
		s.Since = minute(since)
	}
	return s
}

func said(at int, state consent.State, archived int) consent.Statement {
	return consent.Statement{Subject: subject, Source: consent.Message, State: state, Since: minute(at).Add(250 * time.Millisecond), Answered: minute(archived), MsgID: "m"}
}

func refused(at int) consent.Statement {
	return consent.Statement{Subject: subject, Source: consent.Poll, Asked: minute(at), Answered: minute(at), Why: "errcode 301059"}
}

// story is a history's changes, each in a line.
func story(h consent.History) string {
	var lines []string
	for _, c := range h.Changes {
		when := "at " + c.At.Sub(noon).String()
		if c.At.IsZero() {
			after := "?"
			if !c.After.IsZero() {
				after = c.After.Sub(noon).String()
			}
			when = fmt.Sprintf("(%s,%s]", after, c.By.Sub(noon))
		}
		lines = append(lines, fmt.Sprintf("%s>%s %s known %s", c.Old, c.New, when, c.Read.Sub(noon)))
	}
	return strings.Join(lines, "\n")
}

func TestWhoAgreedAndSinceWhen(t *testing.T) {
	for name, c := range map[string]struct {
		said  []consent.Statement
		want  string
		state consent.State
	}{
		"nobody was asked": {nil, "", consent.Unknown},
		"WeCom's own time counts": {[]consent.Statement{polled(9, consent.Agreed, 3), polled(20, consent.Agreed, 3)},
			">agree at 3m0s known 9m1s", consent.Agreed},
		"withdrawn, and given again": {[]consent.Statement{polled(9, consent.Agreed, 3), polled(20, consent.Disagreed, 12), polled(30, consent.Agreed, 25)},
			">agree at 3m0s known 9m1s\nagree>disagree at 12m0s known 20m1s\ndisagree>agree at 25m0s known 30m1s", consent.Agreed},
		"an answer without a time lies between two": {[]consent.Statement{polled(1, consent.NotYet, -1), polled(9, consent.NotYet, -1), polled(20, consent.Default, -1)},
			">not-yet (?,1m1s] known 1m1s\nnot-yet>default (9m0s,20m1s] known 20m1s", consent.Default},
		"a message is known before the answer that repeats it": {[]consent.Statement{said(5, consent.Disagreed, 6), polled(9, consent.Disagreed, 5)},
			">disagree at 5m0.25s known 6m0s", consent.Disagreed},
		"an answer is known before the message that it repeats": {[]consent.Statement{said(5, consent.Disagreed, 30), polled(9, consent.Disagreed, 5)},
			">disagree at 5m0.25s known 9m1s", consent.Disagreed},
		"a stale answer takes back nothing": {[]consent.Statement{polled(1, consent.Agreed, 0), said(5, consent.Disagreed, 6), polled(8, consent.Agreed, 0)},
			">agree at 0s known 1m1s\nagree>disagree at 5m0.25s known 6m0s", consent.Disagreed},
		"two at the same instant: the refusal stands": {[]consent.Statement{polled(9, consent.Disagreed, 3), polled(9, consent.Agreed, 3)},
			">agree at 3m0s known 9m1s\nagree>disagree at 3m0s known 9m1s", consent.Disagreed},
		"a refusal to answer changes no state": {[]consent.Statement{polled(1, consent.Agreed, 0), refused(5)}, ">agree at 0s known 1m1s", consent.Agreed},
		"another's word":                       {[]consent.Statement{{Subject: consent.Subject{External: "wm2", Room: "wr1"}, State: consent.Agreed, Since: noon}}, "", consent.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			h := consent.Fold(subject, c.said)
			if diff := cmp.Diff(c.want, story(h)); diff != "" || h.State != c.state {
				t.Errorf("now %q (-want +got)\n%s", h.State, diff)
			}
		})
	}
}

func TestAnUnansweredQuestionIsSaidToBe(t *testing.T) {
	h := consent.Fold(subject, []consent.Statement{polled(1, consent.Agreed, 0), refused(0), refused(7), refused(5)})
	if h.Unreadable != "errcode 301059" || !h.Since.Equal(minute(5)) || !h.Asked.Equal(minute(1)) {
		t.Errorf("%+v", h)
	}
	if h = consent.Fold(subject, []consent.Statement{refused(5), polled(6, consent.NotYet, -1)}); h.Unreadable != "" || !h.Since.IsZero() {
		t.Errorf("answered since: %+v", h)
	}
	if h = consent.Fold(subject, []consent.Statement{refused(5)}); h.State.Open() || h.State == consent.Agreed || h.Unreadable == "" {
		t.Errorf("never answered: %+v", h)
	}
}

func TestConsentIsNotPresumed(t *testing.T) {
	h := consent.Fold(subject, []consent.Statement{polled(1, consent.Agreed, -1), polled(10, consent.Disagreed, -1), polled(20, consent.Agreed, -1)})
	for at, want := range map[int]consent.State{0: consent.Unknown, 1: consent.Unknown, 2: consent.Disagreed, 15: consent.Disagreed, 21: consent.Agreed} {
		if got := h.At(minute(at)); got != want {
			t.Errorf("at minute %d: %q, want %q", at, got, want)
		}
	}
	if !consent.NotYet.Open() || !consent.Disagreed.Open() || consent.Default.Open() || consent.Agreed.Open() || consent.Unknown.Open() {
		t.Error("what is open is not what R6 lists")
	}
	for word, want := range map[string]consent.State{"Agree": consent.Agreed, "Disagree": consent.Disagreed, "Default_Agree": consent.Default, "": consent.NotYet, "Later": consent.NotYet} {
		if got := consent.ParseState(word); got != want {
			t.Errorf("%q is %q", word, got)
		}
	}
}

func statements(t *rapid.T) []consent.Statement {
	states := []consent.State{consent.Agreed, consent.Disagreed, consent.Default, consent.NotYet}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) consent.Statement {
		at := rapid.IntRange(0, 8).Draw(t, "at")
		state := rapid.SampledFrom(states).Draw(t, "state")
		switch rapid.IntRange(0, 5).Draw(t, "sort") {
		case 0:
			return refused(at)
		case 1, 2:
			return said(at, states[rapid.IntRange(0, 1).Draw(t, "said")], at+rapid.IntRange(0, 5).Draw(t, "archived"))
		default:
			return polled(at, state, rapid.IntRange(-1, at).Draw(t, "since"))
		}
	}), 0, 10).Draw(t, "statements")
}

func TestStatementsInAnyOrderMakeTheSameHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := statements(t)
		want := consent.Fold(subject, list)
		again := slices.Clone(list)
		if len(list) > 0 {
			again = append(again, rapid.SliceOf(rapid.SampledFrom(list)).Draw(t, "again")...)
		}
		if diff := cmp.Diff(want, consent.Fold(subject, rapid.Permutation(again).Draw(t, "order"))); diff != "" {
			t.Fatalf("another order, another history (-first +second)\n%s", diff)
		}
		keys := map[string]bool{}
		for i, c := range want.Changes {
			if c.New == c.Old || i > 0 && want.Changes[i-1].New != c.Old {
				t.Fatalf("change %d does not follow: %s", i, story(want))
			}
			if keys[c.Key()] {
				t.Fatalf("two changes with the key %s\n%s", c.Key(), story(want))
			}
			keys[c.Key()] = true
		}
		if n := len(want.Changes); n > 0 && want.Changes[n-1].New != want.State {
			t.Fatal("the last change does not lead to now")
		}
	})
}

// However often is asked, the history of one who truly chose is those choices, each at its time.
func TestPollingAndMessagesTellTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []consent.Statement
		var want []string
		choice := []consent.State{consent.Agreed, consent.Disagreed}
		n := rapid.IntRange(1, 6).Draw(t, "choices")
		for i := range n {
			at := 10 * i
			state := choice[i%2]
			if rapid.Bool().Draw(t, "message") {
				list = append(list, said(at, state, at+rapid.IntRange(0, 40).Draw(t, "archived")))
				want = append(want, fmt.Sprint(state, " ", minute(at).Add(250*time.Millisecond).Sub(noon)))
			} else {
				list = append(list, polled(at+rapid.IntRange(1, 9).Draw(t, "asked"), state, at))
				want = append(want, fmt.Sprint(state, " ", minute(at).Sub(noon)))
			}
			for range rapid.IntRange(0, 2).Draw(t, "more polls") {
				list = append(list, polled(at+rapid.IntRange(1, 9).Draw(t, "asked"), state, at))
			}
		}
		var got []string
		for _, c := range consent.Fold(subject, rapid.Permutation(list).Draw(t, "order")).Changes {
			got = append(got, fmt.Sprint(c.New, " ", c.At.Sub(noon)))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-truth +history\n%s", diff)
		}
	})
}

func TestAMessageSpeaksOfItsRoomOrOfItsMember(t *testing.T) {
	m := archive.Message{MsgID: "m1", From: "wm1", To: []archive.PartyID{"ada"}, Time: noon, Consents: []archive.Consent{{Party: "wm1", Agree: true, Time: minute(1)}}}
	want := []consent.Statement{{Subject: consent.Subject{External: "wm1", Member: "ada"}, Source: consent.Message, State: consent.Agreed, Since: minute(1), Answered: minute(2), MsgID: "m1"}}
	if diff := cmp.Diff(want, consent.OfMessage(m, minute(2))); diff != "" {
		t.Errorf("single: -want +got\n%s", diff)
	}
	m.Room, m.To, m.Consents = "wr1", []archive.PartyID{"ada", "bea"}, []archive.Consent{{Party: "wm1"}, {Agree: true}}
	want = []consent.Statement{{Subject: subject, Source: consent.Message, State: consent.Disagreed, Since: noon, Answered: minute(2), MsgID: "m1"}}
	if diff := cmp.Diff(want, consent.OfMessage(m, minute(2))); diff != "" {
		t.Errorf("room: -want +got\n%s", diff)
	}
}

func TestCallsStayWithinWeComsLimit(t *testing.T) {
	var subjects []consent.Subject
	for i := range 250 {
		s := consent.Subject{External: archive.PartyID(fmt.Sprintf("wm%03d", i)), Member: "ada"}
		subjects = append(subjects, s, s, consent.Subject{External: s.External, Room: "wr1"})
	}
	pairs, rooms := consent.Calls(subjects)
	var sizes []int
	seen := map[consent.Subject]bool{}
	for _, call := range pairs {
		sizes = append(sizes, len(call))
		for _, s := range call {
			seen[s] = true
		}
	}
	if !slices.Equal(sizes, []int{100, 100, 50}) || len(seen) != 250 || !slices.Equal(rooms, []archive.RoomID{"wr1"}) {
		t.Errorf("calls of %v, %d subjects, rooms %v", sizes, len(seen), rooms)
	}
}
