package financesdk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk"
)

// items makes n good items; each bad one is replaced.
func items(n int, bad map[int]string) []financesdk.Item {
	list := make([]financesdk.Item, n)
	for i := range list {
		list[i] = financesdk.Item{Key: []byte("key-of-the-item"), Msg: sealed("key-of-the-item", fmt.Sprintf(`{"n":%d}`, i))}
		if msg, ok := bad[i]; ok {
			list[i].Msg = msg
		}
	}
	return list
}

// want checks that every item but the bad ones was opened, in its place, and that each bad one has its reason.
func want(t *testing.T, results []financesdk.Result, n int, reasons map[int]fault.Reason) {
	t.Helper()
	if len(results) != n {
		t.Fatalf("%d results for %d items", len(results), n)
	}
	for i, r := range results {
		reason, bad := reasons[i]
		switch {
		case bad && (fault.ReasonOf(r.Err) != reason || r.Raw != nil):
			t.Errorf("item %d: %v with %d bytes, want the reason %s", i, r.Err, len(r.Raw), reason)
		case !bad && r.Err != nil:
			t.Errorf("item %d: %v", i, r.Err)
		case !bad && string(r.Raw) != fmt.Sprintf(`{"n":%d}`, i):
			t.Errorf("item %d is %q", i, r.Raw)
		}
	}
}

func TestAFatalItemIsNamedAndTheOthersAreOpened(t *testing.T) {
	for name, tc := range map[string]struct {
		script, msg string
		reason      fault.Reason
	}{
		"abort on a short record": {"", "short", financesdk.ReasonCrash},
		"abort on an empty one":   {"", "", financesdk.ReasonCrash},
		"segfault":                {"decrypt id=FATAL segv\n", "FATAL-message", financesdk.ReasonCrash},
		"exit":                    {"decrypt id=FATAL exit 0\n", "FATAL-message", financesdk.ReasonCrash},
		"hang":                    {"decrypt id=FATAL hang\n", "FATAL-message", financesdk.ReasonHang},
		"a process left behind":   {"decrypt id=FATAL fork\ndecrypt id=FATAL abort\n", "FATAL-message", financesdk.ReasonCrash},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tc.script)
			places := []int{0, 7, 299}
			if tc.reason == financesdk.ReasonHang {
				places = []int{7} // each takes twice HangAfter
			}
			bad, reasons := map[int]string{}, map[int]fault.Reason{}
			for _, i := range places {
				bad[i], reasons[i] = tc.msg, tc.reason
			}
			results, err := s.Decrypt(t.Context(), items(300, bad))
			if err != nil {
				t.Fatal(err)
			}
			want(t, results, 300, reasons)
			if k := fault.KindOf(results[7].Err); k != fault.Poison {
				t.Errorf("it is %v, want poison", k)
			}
		})
	}
}

func TestAnItemThatOnlyCrashedOnceIsOpened(t *testing.T) {
	s := start(t, "decrypt id="+strings.TrimPrefix(sealed("key-of-the-item", `{"n":3}`), "standin-v1:")+",once abort\n")
	results, err := s.Decrypt(t.Context(), items(10, nil))
	if err != nil {
		t.Fatal(err)
	}
	want(t, results, 10, nil)
}

func TestReturnCodesOfAnItemAreItsOwn(t *testing.T) {
	var script strings.Builder
	bad, reasons, kinds := map[int]string{}, map[int]fault.Reason{}, map[int]fault.Kind{}
	poison := map[int]bool{10000: true, 10004: true, 10006: true, 10007: true, 10008: true}
	for code := 10000; code <= 10011; code++ {
		i := code - 10000
		fmt.Fprintf(&script, "decrypt id=RETURN-%d code %d\n", code, code)
		bad[i] = fmt.Sprintf("RETURN-%d", code)
		reasons[i] = fault.Reason(fmt.Sprintf("decrypt-%d", code))
		kinds[i] = fault.Retryable
		if poison[code] {
			kinds[i] = fault.Poison
		}
	}
	s := start(t, script.String())
	results, err := s.Decrypt(t.Context(), items(20, bad))
	if err != nil {
		t.Fatal(err)
	}
	want(t, results, 20, reasons)
	for i, kind := range kinds {
		if got := fault.KindOf(results[i].Err); got != kind {
			t.Errorf("%s is %v, want %v", reasons[i], got, kind)
		}
	}
}

func TestALibraryThatDiesOftenStopsTheCall(t *testing.T) {
	s := start(t, "")
	bad := map[int]string{}
	for i := range 8 {
		bad[i*2] = "short"
	}
	_, err := s.Decrypt(t.Context(), items(79, bad))
	if got := mustFail(t, err); got.Reason != "library-dies-often" || fault.KindOf(err) != fault.Retryable {
		t.Fatalf("%v, %v", got, fault.KindOf(err))
	}
	// Exactly a tenth is not more than a tenth.
	results, err := s.Decrypt(t.Context(), items(80, bad))
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[int]fault.Reason{}
	for i := range bad {
		reasons[i] = financesdk.ReasonCrash
	}
	want(t, results, 80, reasons)
}

func TestSevenFatalItemsOfSevenAreSetAside(t *testing.T) {
	s := start(t, "")
	bad, reasons := map[int]string{}, map[int]fault.Reason{}
	for i := range 7 {
		bad[i], reasons[i] = "", financesdk.ReasonCrash
	}
	results, err := s.Decrypt(t.Context(), items(7, bad))
	if err != nil {
		t.Fatal(err)
	}
	want(t, results, 7, reasons)
}

func TestManyItemsTakeManyQuestions(t *testing.T) {
	s := start(t, "decrypt * print noise on both outputs\n")
	results, err := s.Decrypt(t.Context(), items(1000, nil))
	if err != nil {
		t.Fatal(err)
	}
	want(t, results, 1000, nil)
}

func TestNothingGivenIsAnEmptyResult(t *testing.T) {
	for _, action := range []string{"null", "negative", "empty"} {
		s := start(t, "decrypt * "+action+"\n")
		results, err := s.Decrypt(t.Context(), items(2, nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil || len(r.Raw) != 0 {
				t.Errorf("%s: %v, %q", action, r.Err, r.Raw)
			}
		}
	}
}

func TestNoItemsNeedNoLibrary(t *testing.T) {
	s := start(t, "")
	results, err := s.Decrypt(t.Context(), nil)
	if err != nil || len(results) != 0 {
		t.Fatalf("%v, %v", results, err)
	}
}

func TestALeakingLibraryIsReplaced(t *testing.T) {
	s := start(t, "decrypt nth=200 leak 150\n", func(c *financesdk.Config) { c.MaxRSS = 100 << 20 })
	first := s.Child()
	for range 3 {
		results, err := s.Decrypt(t.Context(), items(256, nil))
		if err != nil {
			t.Fatal(err)
		}
		want(t, results, 256, nil)
		if err := s.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.Child() == first {
			t.Fatal("the child that grew is still there")
		}
		first = s.Child()
	}
}

// Whoever has no time left keeps what was found out: the hang of an item costs twice HangAfter, and need not be found again.
func TestResultsUntilTheTimeWasUpAreReturned(t *testing.T) {
	bad := map[int]string{}
	for i := range 7 {
		bad[10*i] = "FATAL-message"
	}
	s := start(t, "decrypt id=FATAL hang\n", func(c *financesdk.Config) { c.HangAfter = 200 * time.Millisecond })
	for patience := time.Second; ; patience += 500 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		results, err := s.Decrypt(ctx, items(100, bad))
		cancel()
		if err == nil {
			t.Fatal("there was time for all")
		}
		if len(results) != 100 {
			continue // not even begun
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if results[0].Err != nil {
			if fault.ReasonOf(results[0].Err) != financesdk.ReasonHang || results[60].Err != nil || results[60].Raw != nil {
				t.Errorf("%v, %v", results[0].Err, results[60])
			}
			return
		}
	}
}
