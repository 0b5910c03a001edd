package ledger_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

func hrFile(number int, content string) ledger.HRFile {
	sum := archive.HashHex([]byte(content))
	return ledger.HRFile{Corp: corp, Number: number, SHA256: sum, Object: "people/" + sum, Version: "v-" + content, Size: len(content), Rows: 1, By: "test", At: noon.Add(time.Duration(number) * time.Hour)}
}

// A8: a new version each time, and the same file put into force again is the same version.
func TestAnHRFileIsOneVersionHoweverOftenItIsPutIntoForce(t *testing.T) {
	b := newBench(t)
	if _, ok, err := b.HRFileInForce(t.Context(), corp); ok || err != nil {
		t.Errorf("a company that never handed in a file has one: %v", err)
	}
	put := func(h ledger.HRFile) ledger.HRFile {
		t.Helper()
		kept, err := b.PutHRFile(t.Context(), h)
		b.OK(err)
		return kept
	}
	first := put(hrFile(1, "a"))
	if diff := cmp.Diff(hrFile(1, "a"), first); diff != "" {
		t.Error(diff)
	}
	later := hrFile(1, "a")
	later.At, later.By = later.At.Add(time.Hour), "another"
	if again := put(later); again != first {
		t.Errorf("repeated, it is %+v", again)
	}
	if same := put(hrFile(2, "a")); same != first {
		t.Errorf("a file that is in force becomes %+v", same)
	}
	b.loseAnswer("PutItem")
	second := put(hrFile(2, "b"))
	b.Fault(nil)
	back := hrFile(3, "a")
	back.From = 1
	third := put(back)
	if again := put(hrFile(2, "b")); again != second {
		t.Errorf("repeated after a later version, it is %+v", again)
	}
	for name, h := range map[string]ledger.HRFile{"on a version of the past": hrFile(2, "c"), "on a version that never was": hrFile(5, "c")} {
		if _, err := b.PutHRFile(t.Context(), h); !errors.Is(err, ledger.ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var all []ledger.HRFile
	b.OK(b.HRFiles(t.Context(), corp, func(h ledger.HRFile) bool { all = append(all, h); return true }))
	if diff := cmp.Diff([]ledger.HRFile{third, second, first}, all); diff != "" || third.From != 1 {
		t.Errorf("the newest first (-want +got):\n%s", diff)
	}
	one, err := b.HRFile(t.Context(), corp, 2)
	if one != second || err != nil {
		t.Errorf("version 2 is %+v, %v", one, err)
	}
	if _, err := b.HRFile(t.Context(), corp, 4); !errors.Is(err, ledger.ErrAbsent) {
		t.Errorf("a version that never was: %v", err)
	}
}

func TestOfTwoWhoPutDifferentFilesIntoForceOneIsTold(t *testing.T) {
	b := newBench(t)
	outcomes := make(chan error, 2)
	for _, content := range []string{"a", "b"} {
		go func() {
			_, err := b.PutHRFile(t.Context(), hrFile(1, content))
			outcomes <- err
		}()
	}
	lost := 0
	for range 2 {
		if err := <-outcomes; errors.Is(err, ledger.ErrLost) {
			lost++
		} else {
			b.OK(err)
		}
	}
	if lost != 1 {
		t.Errorf("%d of two were told that another was first", lost)
	}
}

func TestMembersAreReadFromAnyOfThemOn(t *testing.T) {
	b := newBench(t)
	var entries []directory.Entry
	for _, id := range []string{"ann", "ann.b", "anna", "Zed", "bob"} {
		entries = append(entries, directory.Entry{Kind: directory.KindMember, ID: id, At: noon, Fields: directory.Fields(directory.Member{Name: id})})
	}
	entries = append(entries, directory.Entry{Kind: directory.KindDepartment, ID: "1", At: noon, Fields: directory.Fields(directory.Department{})},
		directory.Entry{Kind: directory.KindRoom, ID: "r", At: noon, Fields: directory.Fields(directory.Room{})})
	b.OK(b.PutEntries(t.Context(), corp, entries))
	for after, want := range map[string][]string{"": {"Zed", "ann", "ann.b", "anna", "bob"}, "ann": {"ann.b", "anna", "bob"}, "anm": {"ann", "ann.b", "anna", "bob"}, "bob": nil, "zzz": nil} {
		var got []string
		b.OK(b.MembersAfter(t.Context(), corp, after, func(e directory.Entry) bool { got = append(got, e.ID); return true }))
		if !slices.Equal(got, want) {
			t.Errorf("after %q come %v, want %v", after, got, want)
		}
	}
}
