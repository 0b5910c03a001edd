package wire_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/wire"
)

var update = flag.Bool("update", false, "write the .golden files from what Decode says now")

// reading is what a golden file shows of a message: all of it but its bytes.
type reading struct {
	MsgID    archive.MsgID
	Action   archive.Action
	Type     string
	Known    bool
	Time     string
	From     archive.PartyID
	To       []archive.PartyID
	Room     archive.RoomID
	Text     []string
	Media    []archive.Media
	RecallOf archive.MsgID
	Consents []archive.Consent
}

func read(m archive.Message) reading {
	return reading{m.MsgID, m.Action, m.Type, m.Known, stamp(m.Time), m.From, m.To, m.Room, strings.Split(m.Text, "\n"), m.Media, m.RecallOf, m.Consents}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02T15:04:05.000Z07:00")
}

func decode(t testing.TB, raw string) archive.Message {
	t.Helper()
	m, err := wire.Decode("wwcorp", archive.ChatData{Seq: 7, KeyVersion: 2}, []byte(raw))
	if err != nil {
		t.Fatalf("decode %q: %v", raw, err)
	}
	if string(m.Raw) != raw {
		t.Fatalf("raw is %q, want %q", m.Raw, raw)
	}
	return m
}

func fixtures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/types/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	return files
}

func TestEveryTypeReadsAsItsGoldenFileSays(t *testing.T) {
	for _, file := range fixtures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(read(decode(t, string(raw))), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := strings.TrimSuffix(file, ".json") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEveryTypeHasAFixture(t *testing.T) {
	for _, info := range wire.Types() {
		raw, err := os.ReadFile("testdata/types/" + info.Name + ".json")
		if err != nil {
			t.Error(err)
			continue
		}
		if m := decode(t, string(raw)); !m.Known {
			t.Errorf("%s is not known", info.Name)
		}
	}
}

func TestFieldsThatMakeTextAreThoseOfTypes(t *testing.T) {
	for _, info := range wire.Types() {
		if info.Name == "switch" {
			continue
		}
		fields := info.Text
		if slices.Equal(fields, []string{"*"}) {
			fields = []string{"anything", "at_all"}
		}
		for _, f := range fields {
			raw := fmt.Sprintf(`{"action":"send","msgtype":%q,"payload":{%q:"words","md5sum":"0f","sdkfileid":"file","url_of_picurl":"p"}}`, info.Name, f)
			if m := decode(t, raw); m.Text != "words" || !m.Known {
				t.Errorf("%s: field %s makes the text %q", info.Name, f, m.Text)
			}
		}
	}
}

// TestPackageCommentListsTheTypes keeps the table that people read in step with the one that the program gives.
func TestPackageCommentListsTheTypes(t *testing.T) {
	source, err := os.ReadFile("wire.go")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^//\t(\w+(?:, \w+)*) {2,}(\S.*?) {2,}(published sample|other parsers|single source)$`)
	var got []string
	for _, r := range row.FindAllStringSubmatch(string(source), -1) {
		for _, name := range strings.Split(r[1], ", ") {
			words := regexp.MustCompile(` \(.*\)|,? ?(and )?each item.*|^none$`).ReplaceAllString(r[2], "")
			got = append(got, fmt.Sprintf("%s [%s] %s", name, strings.ReplaceAll(words, "every field that looks like words", "*"), r[3]))
		}
	}
	var want []string
	for _, info := range wire.Types() {
		want = append(want, fmt.Sprintf("%s [%s] %s", info.Name, strings.Join(info.Text, ", "), info.Evidence))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-Types() +package comment:\n%s", diff)
	}
}
