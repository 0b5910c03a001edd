package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/config"
)

type settings struct {
	Table  string        `env:"TABLE"`
	Pause  time.Duration `env:"PAUSE" default:"5s"`
	Corps  int           `env:"CORPS" default:"20"`
	Trial  bool          `env:"TRIAL"`
	Host   string        `env:"HOST" optional:"true"`
	Unread string
}

func TestEverythingMissingIsReportedAtOnce(t *testing.T) {
	env := map[string]string{"PAUSE": "five", "CORPS": "many"}
	err := config.Fill(&settings{}, func(k string) string { return env[k] })
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"TABLE is not set", "TRIAL is not set", "PAUSE", "CORPS"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "HOST") {
		t.Errorf("the optional HOST is reported: %v", err)
	}
}

func TestFillReadsEachType(t *testing.T) {
	env := map[string]string{"TABLE": "control", "PAUSE": "90s", "TRIAL": "true"}
	var got settings
	if err := config.Fill(&got, func(k string) string { return env[k] }); err != nil {
		t.Fatal(err)
	}
	want := settings{Table: "control", Pause: 90 * time.Second, Corps: 20, Trial: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}
