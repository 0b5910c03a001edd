package wecom

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTheClockIsHeldAgainstWeComsAtEachAnswer(t *testing.T) {
	now := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
	date := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", date)
		_, _ = w.Write([]byte(`{"errcode":40001,"errmsg":"invalid credential"}`))
	}))
	t.Cleanup(server.Close)
	c := New(server.URL, server.Client(), func() time.Time { return now })
	if _, known := c.Ahead(); known {
		t.Error("known before any answer")
	}
	said := ""
	tokens := c.Tokens("wwclock", func(context.Context) (string, error) { said += "s"; return said, nil }) // one that was refused is not said again at once
	for _, ahead := range []time.Duration{0, 2 * time.Minute, -time.Hour} {
		date = now.Add(-ahead).Format(http.TimeFormat)
		if _, err := tokens.Token(t.Context(), true); CodeOf(err) != 40001 { // a refusal has a date too
			t.Fatal(err)
		}
		if d, known := c.Ahead(); !known || d != ahead {
			t.Errorf("ahead by %v, %v, want %v", d, known, ahead)
		}
	}
	date = "yesterday"
	if _, err := tokens.Token(t.Context(), true); CodeOf(err) != 40001 {
		t.Fatal(err)
	}
	if d, known := c.Ahead(); !known || d != -time.Hour {
		t.Errorf("after a date that can't be read: %v, %v", d, known)
	}
}
