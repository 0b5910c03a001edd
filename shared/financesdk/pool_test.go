package financesdk_test

import (
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/financesdk"
)

func TestEachCorpHasAChildOfItsOwnAndNoneWaitsForAnother(t *testing.T) {
	t.Parallel()
	lib := standin(t, "")
	pool := financesdk.NewPool(slog.New(slog.DiscardHandler), func(corp archive.CorpID) financesdk.Config {
		return financesdk.Config{Lib: lib, Corp: corp, HangAfter: time.Second}
	})
	t.Cleanup(pool.Close)
	corps := []archive.CorpID{"wwa", "wwb", "wwc", "wwd"}
	children := map[int]archive.CorpID{}
	for _, corp := range corps {
		// Two ask at once for the same corp: one library comes of it.
		var wg sync.WaitGroup
		var got [2]*financesdk.SDK
		for i := range got {
			wg.Go(func() {
				sdk, err := pool.Of(t.Context(), corp)
				if err != nil {
					t.Error(err)
				}
				got[i] = sdk
			})
		}
		wg.Wait()
		if got[0] != got[1] {
			t.Fatalf("corp %s has two libraries", corp)
		}
		children[got[0].Child()] = corp
	}
	if len(children) != len(corps) {
		t.Fatalf("%d corps share %d children", len(corps), len(children))
	}
	for pid := range children {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	pool.Wake(t.Context())
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("four children that do not answer were waited for one after the other: %v", took)
	}
	for _, corp := range corps {
		sdk, err := pool.Of(t.Context(), corp)
		if err != nil {
			t.Fatal(err)
		}
		if _, stopped := children[sdk.Child()]; stopped {
			t.Errorf("corp %s still has its stopped child", corp)
		}
		results, err := sdk.Decrypt(t.Context(), items(2, nil))
		if err != nil {
			t.Fatal(err)
		}
		want(t, results, 2, nil)
	}
}
