package report

import (
	"strings"
	"testing"
)

// FuzzParseAlarm: an alarm of any name has a title in each language, and nothing of its texts is left to be filled in.
func FuzzParseAlarm(f *testing.F) {
	for _, c := range append(Causes(), "tide-too-high", "") {
		f.Add(string(c))
		f.Add(string(c) + ":3")
		f.Add(string(c) + ":library-crash")
	}
	f.Add("key-missing:4294967296")
	f.Add("set-aside:{corp}")
	f.Fuzz(func(t *testing.T, cause string) {
		a := ParseAlarm(cause)
		word, _, _ := strings.Cut(cause, ":")
		if string(a.Cause) != word {
			t.Errorf("%q is the alarm %q", cause, a.Cause)
		}
		for _, l := range []Language{English, Chinese} {
			title := a.Title(Corp{ID: "wwtide"}, l)
			if title == "" || !strings.ContainsAny(cause, "{}") && strings.ContainsAny(title, "{}") {
				t.Errorf("%q has the title %q", cause, title)
			}
		}
	})
}
