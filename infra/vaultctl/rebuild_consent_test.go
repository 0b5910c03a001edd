package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/reading"
)

// answered is what consent leaves of an answer of WeCom's: the bucket's object, the row, and where the subject stands.
func (r *registry) answered(subject consent.Subject, state consent.State, since, asked time.Time, why string) {
	r.Helper()
	ctx := r.Context()
	s := consent.Statement{Subject: subject, Source: consent.Poll, State: state, Since: since, Asked: asked, Answered: asked.Add(time.Second), Why: why}
	keeper := reading.NewKeeper()
	keeper.Said([]consent.Statement{s})
	kept, err := keeper.Bytes()
	r.OK(err)
	_, err = r.p.store.PutBlob(ctx, objstore.ConsentKey(tide, asked.Format(time.DateOnly), fmt.Sprintf("%d-%s", asked.UnixMilli(), archive.HashHex(kept)[:8])), "application/gzip", kept)
	r.OK(err)
	r.OK(r.p.ledger.PutAnswers(ctx, tide, []consent.Statement{s}))
	before, err := r.p.ledger.StandingOf(ctx, tide, subject)
	r.OK(err)
	said, err := r.p.ledger.Said(ctx, tide, subject)
	r.OK(err)
	after, err := r.p.ledger.PutStanding(ctx, tide, before.After(said, "", func(c consent.Change) time.Time { return c.Read }))
	r.OK(err)
	r.OK(r.p.ledger.SettleStanding(ctx, tide, after))
}

// register runs rebuild consent and returns its differences, each as a line, and its account.
func (r *registry) register(args ...string) (found []string, sum registered, failed error) {
	r.Helper()
	r.out.Reset()
	failed = rebuild(r.Context(), r.p, append([]string{"consent", "-corp", string(tide)}, args...))
	lines := slices.Collect(strings.Lines(r.out.String()))
	for i, line := range lines {
		if i == len(lines)-1 {
			r.OK(json.Unmarshal([]byte(line), &sum))
			break
		}
		var d dissent
		r.OK(json.Unmarshal([]byte(line), &d))
		found = append(found, d.Kind+" "+d.What+" "+d.State)
	}
	slices.Sort(found)
	return found, sum, failed
}

// consents is the rows of consent, without how often each was written.
func (r *registry) consents() map[string]string {
	r.Helper()
	rows := map[string]string{}
	for k, v := range r.Rows("DirectoryTable", "rev") {
		if strings.HasPrefix(k, "consent") {
			rows[k] = v
		}
	}
	return rows
}

func TestALostRecordOfConsentIsMadeAnewOfTheAnswers(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	pair, group := consent.Subject{Member: "an", External: "wmtern"}, consent.Subject{Room: "wrlock", External: "wmtern"}
	r.answered(pair, consent.Agreed, noon.Add(-time.Hour), noon, "")
	r.answered(consent.Subject{Room: "wrlock"}, consent.Shown, time.Time{}, noon, "")
	r.answered(group, consent.NotYet, time.Time{}, noon, consent.LeftOut)
	r.answered(pair, consent.Disagreed, noon.Add(2*time.Hour), noon.Add(3*time.Hour), "")
	r.answered(group, consent.Agreed, noon.Add(4*time.Hour), noon.Add(5*time.Hour), "")
	r.answered(pair, consent.Unknown, time.Time{}, noon.Add(6*time.Hour), "errcode 301061")
	whole := r.consents()
	if found, sum, err := r.register(); err != nil || len(found) > 0 || sum.Answers != 6 || sum.Subjects != 3 {
		t.Errorf("%v %+v %v", found, sum, err)
	}
	lose := func(begins string) {
		if r.lose(`{"Value":"`+begins) == 0 {
			t.Fatalf("no row begins with %s", begins)
		}
	}
	for _, c := range []struct {
		lost []string
		want []string
	}{
		{[]string{"consentchange#"}, []string{"consentchange missing mended", "consentchange missing mended"}},
		{[]string{"consentnow#"}, []string{"consentnow missing mended", "consentnow missing mended", "consentnow missing mended"}},
		{[]string{"consent#"}, slices.Repeat([]string{"consent missing mended"}, 6)},
		{[]string{"consent#", "consentnow#", "consentchange#"}, append(slices.Repeat([]string{"consent missing mended"}, 6), slices.Repeat([]string{"consentnow missing mended"}, 3)...)},
	} {
		for _, begins := range c.lost {
			lose(begins)
		}
		if _, sum, err := r.register(); err == nil || sum.Differences != len(c.want) || sum.Mended > 0 {
			t.Errorf("%v are lost: %+v %v", c.lost, sum, err)
		}
		found, sum, err := r.register("-mend")
		if diff := cmp.Diff(c.want, found); err != nil || diff != "" || sum.Mended != len(c.want) {
			t.Errorf("%v are lost: %+v, %v, -want +got\n%s", c.lost, sum, err, diff)
		}
		if diff := cmp.Diff(whole, r.consents()); diff != "" {
			t.Errorf("%v were lost: -before +mended\n%s", c.lost, diff)
		}
	}
	// A message that consent has not counted in yet is its to count in, and to tell of.
	r.OK(r.p.ledger.PutChoices(context.Background(), tide, []consent.Statement{{Subject: group, Source: consent.Message, State: consent.Disagreed, Since: noon.Add(7 * time.Hour), MsgID: "m1"}}))
	if found, _, err := r.register("-mend"); err != nil || len(found) > 0 {
		t.Errorf("a message: %v %v", found, err)
	}
	// What only the ledger has stays.
	r.OK(r.p.ledger.PutAnswers(t.Context(), tide, []consent.Statement{{Subject: pair, Source: consent.Poll, State: consent.Unknown, Asked: noon.Add(6*time.Hour + time.Minute), Why: "errcode 301061"}}))
	if found, _, err := r.register("-mend"); err == nil || !slices.Contains(found, "consent extra open") {
		t.Errorf("a row of the ledger's: %v %v", found, err)
	}
}
