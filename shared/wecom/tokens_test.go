package wecom_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// turnstile is a WeCom that knows one secret and counts how often it is asked for a token.
type turnstile struct {
	mu     sync.Mutex
	secret string // that is right
	dead   string // the token that is dead
	tokens int
	busy   func()
	asked  int // gettoken
}

func (s *turnstile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.busy != nil && !strings.HasSuffix(r.URL.Path, "gettoken") {
		s.busy()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	switch {
	case strings.HasSuffix(r.URL.Path, "gettoken"):
		s.asked++
		if q.Get("corpsecret") != s.secret {
			_, _ = fmt.Fprint(w, `{"errcode":40001,"errmsg":"refused"}`)
			return
		}
		s.tokens++
		_, _ = fmt.Fprintf(w, `{"errcode":0,"access_token":"token %d","expires_in":7200}`, s.tokens)
	case q.Get("access_token") == s.dead:
		_, _ = fmt.Fprint(w, `{"errcode":40014,"errmsg":"refused"}`)
	default:
		_, _ = fmt.Fprint(w, `{"errcode":0,"department":[{"id":1}]}`)
	}
}

// TestARefusedSecretIsNotSaidForEachJob: WeCom bans the address of who repeats a wrong secret, for an hour and for all corps behind it.
func TestARefusedSecretIsNotSaidForEachJob(t *testing.T) {
	s := &turnstile{secret: "right"}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	now, held := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC), "wrong"
	client := wecom.New(web.URL, &http.Client{Timeout: 5 * time.Second}, func() time.Time { return now })
	tokens := client.Tokens("wwcorp", func(context.Context) (string, error) { return held, nil })
	job := func() int {
		_, _, err := wecom.NewReader(tokens, time.Millisecond, nil).Departments(t.Context())
		return wecom.CodeOf(err)
	}
	for range 40 {
		if code := job(); code != 40001 {
			t.Fatalf("a job with a wrong secret is answered %d", code)
		}
	}
	if s.asked != 1 {
		t.Errorf("a wrong secret was said %d times for 40 jobs", s.asked)
	}
	now = now.Add(5 * time.Minute)
	if job(); s.asked != 2 {
		t.Errorf("after five minutes it was said %d times in all", s.asked)
	}
	held = "right"
	if code := job(); code != 0 || s.asked != 3 {
		t.Errorf("the right secret is answered %d, and was said after %d others", code, s.asked-1)
	}
}

// TestATokenThatDiesIsRenewedOnceForAllWhoHadIt: WeCom counts how often it is asked for one.
func TestATokenThatDiesIsRenewedOnceForAllWhoHadIt(t *testing.T) {
	s := &turnstile{secret: "right"}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	client := wecom.New(web.URL, &http.Client{Timeout: 5 * time.Second}, clock.Real)
	tokens := client.Tokens("wwcorp", func(context.Context) (string, error) { return "right", nil })
	if _, err := tokens.Token(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	const jobs = 8
	var here, all sync.WaitGroup
	here.Add(jobs)
	first := make(chan struct{}, jobs) // each job's first call waits for all others', so that all have the dead token
	for range jobs {
		first <- struct{}{}
	}
	s.dead = "token 1"
	s.busy = func() {
		select {
		case <-first:
			here.Done()
			here.Wait()
		default:
		}
	}
	codes := make([]int, jobs)
	for i := range jobs {
		all.Go(func() {
			_, _, err := wecom.NewReader(tokens, time.Millisecond, nil).Departments(t.Context())
			codes[i] = wecom.CodeOf(err)
			if err != nil && codes[i] == 0 {
				codes[i] = -99
			}
		})
	}
	all.Wait()
	for _, code := range codes {
		if code != 0 {
			t.Errorf("the jobs were answered %v", codes)
			break
		}
	}
	if s.asked != 2 {
		t.Errorf("a token was asked for %d times, once at first and once for the dead one is enough", s.asked)
	}
}

// TestARedirectIsNotFollowed: the URL holds the secret or the token, and would go to wherever it points, as its Referer.
func TestARedirectIsNotFollowed(t *testing.T) {
	for _, call := range []string{"gettoken", "department/list"} {
		var mu sync.Mutex
		var got []string
		elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.URL.String()+" "+r.Referer())
			_, _ = fmt.Fprint(w, `{"errcode":0,"access_token":"token of another","department":[{"id":1}]}`)
		}))
		t.Cleanup(elsewhere.Close)
		web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, call) {
				http.Redirect(w, r, elsewhere.URL+"/login", http.StatusFound)
				return
			}
			_, _ = fmt.Fprint(w, `{"errcode":0,"access_token":"token-of-the-corp","expires_in":7200}`)
		}))
		t.Cleanup(web.Close)
		client := wecom.New(web.URL, web.Client(), clock.Real)
		tokens := client.Tokens("wwcorp", func(context.Context) (string, error) { return secret, nil })
		_, _, err := wecom.NewReader(tokens, time.Millisecond, nil).Departments(t.Context())
		if !errors.Is(err, wecom.ErrNoAnswer) || strings.Contains(fmt.Sprint(err), secret) || strings.Contains(fmt.Sprint(err), elsewhere.URL) {
			t.Errorf("%s: %v", call, err)
		}
		if len(got) > 0 {
			t.Errorf("%s: somebody else heard %q", call, got)
		}
	}
}
