package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

// T16: an alert that nobody gets is none: a company has an address for alerts from the first command on.
func TestACompanyHasAnAddressForUrgentAlertsFromTheBeginningAndKeepsOne(t *testing.T) {
	r := rig.Start(t, rig.Options{})
	file := filepath.Join(t.TempDir(), "secret")
	r.OK(os.WriteFile(file, []byte("word"), 0o600))
	var out bytes.Buffer
	p := &program{out: &out, log: io.Discard, actor: "test", ledger: r.Ledger(r.Config(rig.Operator)), vault: r.Secrets(r.Config(rig.Operator))}
	for _, args := range [][]string{{}, {"-report-to", ""}, {"-report-to", " , "}} {
		err := corps(t.Context(), p, append([]string{"add", "-corp", string(tide), "-secret-file", file}, args...))
		if err == nil || !strings.Contains(err.Error(), "urgent alerts") {
			t.Errorf("added with %q: %v", args, err)
		}
		if _, err := p.ledger.Corp(t.Context(), tide); !errors.Is(err, ledger.ErrAbsent) {
			t.Fatalf("it is there: %v", err)
		}
	}
	r.OK(corps(t.Context(), p, []string{"add", "-corp", string(tide), "-secret-file", file, "-report-to", "en:admin@tide.example"}))
	for _, to := range []string{"", ",", " "} {
		if err := corps(t.Context(), p, []string{"set", "-corp", string(tide), "-report-to", to}); err == nil || !strings.Contains(err.Error(), "urgent alerts") {
			t.Errorf("the last one is taken away by %q: %v", to, err)
		}
	}
	c, err := p.ledger.Corp(t.Context(), tide)
	r.OK(err)
	if len(c.ReportTo) != 1 || c.ReportTo[0].Address != "admin@tide.example" {
		t.Errorf("%+v", c.ReportTo)
	}
}
