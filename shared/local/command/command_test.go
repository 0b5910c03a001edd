package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestTheExitCodeSaysWhatKindOfEndItWas(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		said string
	}{
		{nil, Good, ""},
		{errors.New("a seq is lost"), Failed, "soak: a seq is lost\n"},
		{errors.Join(errors.New("a seq is lost"), errors.New("and another")), Failed, "soak: a seq is lost\nand another\n"},
		{Exit(Failed), Failed, ""},
		{fmt.Errorf("play: %w", Exit(75)), 75, ""},
		{Misuse("-n %d is no week", 3), Usage, "soak: -n 3 is no week\n"},
	} {
		var said bytes.Buffer
		if got := code("soak", c.err, &said); got != c.code || said.String() != c.said {
			t.Errorf("%v: %d and %q, not %d and %q", c.err, got, said.String(), c.code, c.said)
		}
	}
}

func TestFlagsThatAreNoneEndInUsage(t *testing.T) {
	for _, args := range [][]string{{"-flood"}, {"-h"}, {"word"}, {"-keep", "word"}} {
		set := Flags("soak")
		set.SetOutput(io.Discard)
		var f Folders
		f.Flags(set)
		if got := code("soak", Parse(set, args), io.Discard); got != Usage {
			t.Errorf("%v: %d", args, got)
		}
	}
}

func TestATemporaryFolderIsGoneAndAnyOtherStays(t *testing.T) {
	named := filepath.Join(t.TempDir(), "a", "b")
	for _, c := range []struct {
		folders Folders
		stays   bool
	}{{Folders{}, false}, {Folders{Keep: true}, true}, {Folders{Data: named}, true}} {
		t.Setenv("TMPDIR", t.TempDir())
		f := c.folders
		done, err := f.Open("soak")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(f.Data)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("%+v: %v, %v", c.folders, info, err)
		}
		for _, p := range []string{f.Data, f.Binaries, f.Template} {
			if !filepath.IsAbs(p) {
				t.Errorf("%+v: %s is not whole", c.folders, p)
			}
		}
		if err := done(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(f.Data); (err == nil) != c.stays {
			t.Errorf("%+v: at the end %v", c.folders, err)
		}
	}
}

func TestWhatAnEarlierRunLeftIsNotTakenForThisOnes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.json")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := (&Folders{Data: dir}).Open("chaos")
	if code("chaos", err, io.Discard) != Usage {
		t.Errorf("a folder that is not empty: %v", err)
	}
	done, err := (&Folders{Data: dir, Again: true}).Open("drill")
	if err == nil {
		err = done()
	}
	if _, there := os.Stat(file); err != nil || there != nil {
		t.Errorf("a command that takes it up: %v, %v", err, there)
	}
}

func TestASeedThatWasGivenIsTaken(t *testing.T) {
	if Drawn(7) != 7 {
		t.Error("another was drawn")
	}
	if a, b := Drawn(0), Drawn(0); a == 0 || a == b {
		t.Errorf("%d and %d", a, b)
	}
}
