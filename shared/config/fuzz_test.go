package config_test

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/config"
)

// FuzzFill: a setting is what was written, or an error; never half of it.
func FuzzFill(f *testing.F) {
	for _, text := range []string{"", "1", "-1", "true", "TRUE", "5s", "1h30m", "9223372036854775808", "x", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s struct {
			Text  string        `env:"TEXT" optional:"true"`
			Flag  bool          `env:"FLAG" optional:"true"`
			Count int           `env:"COUNT" optional:"true"`
			Pause time.Duration `env:"PAUSE" default:"3s"`
		}
		for _, name := range []string{"TEXT", "FLAG", "COUNT", "PAUSE"} {
			err := config.Fill(&s, func(asked string) string {
				if asked == name {
					return text
				}
				return ""
			})
			if err == nil && name == "TEXT" && s.Text != text || err == nil && name != "PAUSE" && s.Pause != 3*time.Second {
				t.Errorf("%s=%q gives %+v", name, text, s)
			}
		}
	})
}
