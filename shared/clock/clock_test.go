package clock_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
)

func TestOffsetIsHonouredOnlyOnALoopbackEndpoint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	if err := os.WriteFile(file, []byte("3600000000000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(clock.FileVariable, file)
	for endpoint, want := range map[string]time.Duration{
		"http://127.0.0.1:4566":                    time.Hour,
		"http://[::1]:4566":                        time.Hour,
		"https://dynamodb.us-east-1.amazonaws.com": 0,
		"http://127.0.0.1.example.com":             0,
		"":                                         0,
	} {
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		ahead := clock.Now().Sub(clock.Real())
		if diff := (ahead - want).Abs(); diff > time.Minute {
			t.Errorf("endpoint %q: Now is %v ahead of real time, want %v", endpoint, ahead, want)
		}
	}
}
