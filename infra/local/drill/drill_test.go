package main

import (
	"os"
	"strings"
	"testing"
)

func TestEachDrillIsASectionOfTheBook(t *testing.T) {
	text, err := os.ReadFile("../../../docs/recover.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range drills() {
		if d.run == nil || d.what == "" || seen[d.name] {
			t.Errorf("drill %q is not complete, or there twice", d.name)
		}
		seen[d.name] = true
		if strings.Count(string(text), "\n## "+d.section+"\n") != 1 {
			t.Errorf("docs/recover.md has no section %q, which drill %s plays", d.section, d.name)
		}
	}
}

func TestADrillThatIsNotThereIsRefused(t *testing.T) {
	if _, err := parse([]string{"-only", "key,flood"}); err == nil || !strings.Contains(err.Error(), "flood") {
		t.Errorf("-only flood: %v", err)
	}
	if o, err := parse([]string{"-only", "key,region"}); err != nil || o.only != "key,region" {
		t.Errorf("-only key,region: %+v, %v", o, err)
	}
}
