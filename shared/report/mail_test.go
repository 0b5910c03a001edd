package report

import (
	"testing"
)

func writeMail(t *testing.T, m Mail) []byte {
	t.Helper()
	if m.ID == "" {
		m.ID = ID("test", m.Subject)
	}
	raw, err := m.Bytes(`"WeCom Vault" <vault@hailan.example>`, "admin@hailan.example", noon, "seed")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
