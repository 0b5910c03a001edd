package wecomsim_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// A damaged file is said to be and left as it is: what a former day told must not be guessed.
func TestADamagedFileIsSaidAndLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wecomsim.db")
	sim, err := wecomsim.Open(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	client := wecomsim.NewClient(server.URL)
	ctx := context.Background()
	for i := range 6 {
		if _, err := client.AddCorp(ctx, wecomsim.NewCorp{Corp: fmt.Sprintf("wwlong%d", i), Name: strings.Repeat("long ", 2000)}); err != nil {
			t.Fatal(err)
		}
	}
	server.Close()
	if err := sim.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	garbled := bytes.Clone(whole)
	for i := len(garbled) / 3; i < 2*len(garbled)/3; i++ {
		garbled[i] ^= 0x5a
	}
	for how, content := range map[string][]byte{"cut": whole[:len(whole)/2], "cut short": whole[:100], "garbled": garbled} {
		broken := filepath.Join(t.TempDir(), "wecomsim.db")
		if err := os.WriteFile(broken, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if sim, err := wecomsim.Open(broken, time.Now); err == nil || !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), broken) {
			t.Errorf("%s: %v", how, err)
			if sim != nil {
				_ = sim.Close()
			}
		}
		if left, err := os.ReadFile(broken); err != nil || !bytes.Equal(left, content) {
			t.Errorf("%s: the file was changed (%v)", how, err)
		}
	}
	again, err := wecomsim.Open(path, time.Now)
	if err != nil {
		t.Fatalf("the whole file: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
