package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

func TestSuppressedReceiverIsShownMaskedAndLiftedWithAnAuditEntry(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	var out bytes.Buffer
	p := &program{out: &out, log: io.Discard, actor: "test", ledger: r.Ledger(r.Config(rig.Operator))}
	ctx := t.Context()
	r.OK(p.ledger.PutCorp(ctx, ledger.Corp{ID: tide, Added: noon, ReportTo: []ledger.Receiver{{Address: "gone@tide.example", Language: "en"}}}))
	m := ledger.MailRow{Corp: tide, Day: "2031-05-06", Report: "R1", To: "gone@tide.example", At: noon}
	r.OK(p.ledger.PlanMail(ctx, m))
	for range 2 { // the second claim is of one whose sender died
		if _, err := p.ledger.ClaimMail(ctx, m, "x", noon.AddDate(0, 0, 1), noon); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := p.ledger.TookMail(ctx, tide, m.Key(), "ses-1", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ledger.SetFate(ctx, m, ledger.Bounced, "permanent-noemail", noon); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ledger.Suppress(ctx, ledger.Suppression{Corp: tide, Address: m.To, Reason: ledger.Bounced, Detail: "permanent-noemail", Mail: m.Key(), Since: noon}); err != nil {
		t.Fatal(err)
	}
	s, err := p.state(ctx, ledger.Corp{ID: tide})
	r.OK(err)
	text, err := json.Marshal(s)
	r.OK(err)
	for _, want := range []string{`"mail_fates":{"bounced":1}`, `"possible_doubles":1`, `"suppressed":[{"receiver":"g***@tide.example","id":"` + ledger.AddressID(m.To) + `","reason":"bounced","detail":"permanent-noemail","since":"2031-05-06T12:00:00Z"}]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("status lacks %s in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "gone@") {
		t.Errorf("status shows the whole address:\n%s", text)
	}
	r.OK(receivers(ctx, p, []string{"suppressed", "-corp", string(tide)}))
	if !strings.Contains(out.String(), `"address":"gone@tide.example"`) {
		t.Errorf("it lists %s", out.String())
	}
	if err := receivers(ctx, p, []string{"lift", "-corp", string(tide), "-address", "other@tide.example"}); err == nil || !strings.Contains(err.Error(), "is not suppressed") {
		t.Errorf("lifting what stands nowhere: %v", err)
	}
	r.OK(receivers(ctx, p, []string{"lift", "-corp", string(tide), "-address", "Gone@tide.example"}))
	if _, err := p.ledger.SuppressionOf(ctx, tide, m.To); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("it stands: %v", err)
	}
	audit := r.Rows("AuditTable")
	if len(audit) != 3 {
		t.Errorf("audit: %v", audit)
	}
	for _, row := range audit {
		if strings.Contains(row, "@") || !strings.Contains(row, "action=receivers ") {
			t.Errorf("audit entry %s", row)
		}
	}
	for _, wrong := range [][]string{nil, {"drop"}, {"lift", "-corp", string(tide)}, {"suppressed"}} {
		var usage *usageError
		if err := receivers(ctx, p, wrong); !errors.As(err, &usage) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestMaskLeavesNoWholeName(t *testing.T) {
	for address, want := range map[string]string{"gone@tide.example": "g***@tide.example", "g@tide.example": "***@tide.example", "潮水@tide.example": "潮***@tide.example", "": "***@"} {
		if got := mask(address); got != want {
			t.Errorf("%q is shown as %q, want %q", address, got, want)
		}
	}
}
