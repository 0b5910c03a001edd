package wecomsim_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// writer is a corp with two apps that may write to two members.
func (b *bench) writer() {
	b.Helper()
	b.corp("wwone")
	for kind, agent := range map[string]int{wecomsim.KindNewApp: 1000007, wecomsim.KindLegacyApp: 1000008} {
		must(b.ChangeCorp(b.ctx(), wecomsim.ChangeCorp{Corp: "wwone", Secret: &wecomsim.Secret{Kind: kind, Value: "secret-" + kind, Agent: agent}}))(b)
	}
	if err := b.ChangeContacts(b.ctx(), wecomsim.ChangeContacts{Corp: "wwone", Departments: []wecomsim.Department{{ID: 1, Name: "All"}}, Members: []wecomsim.Member{
		{UserID: "lin", Name: "Lin", Department: []int{1}, Status: 1}, {UserID: "mo", Name: "Mo", Department: []int{1}, Status: 1}}}); err != nil {
		b.Fatal(err)
	}
}

// writes has an app write so many texts, each of its own, and returns how many of them the members see.
func (b *bench) writes(token string, agent int, to string, n int) (seen int) {
	b.Helper()
	before := len(must(b.Written(b.ctx(), "wwone"))(b))
	for i := range n {
		r := b.ask("POST", "/cgi-bin/message/send?access_token="+token, fmt.Sprintf(`{"touser":%q,"msgtype":"text","agentid":%d,"text":{"content":"text %d"},"enable_duplicate_check":1,"duplicate_check_interval":1800}`,
			to, agent, before+i))
		if r.ErrCode != 0 || !bytes.Contains(r.raw, []byte(`"msgid":"sim-`)) {
			b.Fatalf("text %d: %s", i, r.raw) // what is dropped is answered as what is not
		}
	}
	for _, w := range must(b.Written(b.ctx(), "wwone"))(b)[before:] {
		if !w.Dropped {
			seen++
		}
	}
	return seen
}

// WeCom's documentation: an app may write to one member 30 times a minute; what is more is dropped, and answered like the rest.
func TestTextsBeyondThoseThatAMemberMayGetAreDroppedInSilence(t *testing.T) {
	b := newBench(t)
	b.writer()
	app, other := b.token("wwone", wecomsim.KindNewApp), b.token("wwone", wecomsim.KindLegacyApp)
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %d are seen, want %d", what, got, want)
		}
	}
	check("in a minute", b.writes(app, 1000007, "lin", 32), 30)
	check("to another member", b.writes(app, 1000007, "mo", 1), 1)
	check("by another app", b.writes(other, 1000008, "lin", 1), 1)
	check("to both", b.writes(app, 1000007, "lin|mo", 1), 1) // the other one's
	b.pass(59 * time.Second)
	check("in the same minute", b.writes(app, 1000007, "lin", 1), 0)
	b.pass(time.Minute)
	check("in the next", b.writes(app, 1000007, "lin", 1), 1)
}
