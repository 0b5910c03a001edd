package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// WeCom answers with empty lists, as if everybody had left: over as many readings as it takes each is looked at, nobody is told as gone who is there, and whoever
// is gone is told once.
func TestEmptyListsTellNobodyGoneWhoIsThere(t *testing.T) {
	var changed, empty, away atomic.Int64
	company := large(40, &changed)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case strings.HasSuffix(q.URL.Path, "/user/list") && empty.Load() > 0 && q.URL.Query().Get("department_id") != "1":
			_, _ = io.WriteString(w, `{"errcode":0,"userlist":[]}`)
		case strings.HasSuffix(q.URL.Path, "/user/get") && away.Load() > 0:
			_, _ = io.WriteString(w, `{"errcode":60111,"errmsg":"userid not found"}`)
		case strings.HasSuffix(q.URL.Path, "/user/get"):
			var n int
			_, err := fmt.Sscanf(q.URL.Query().Get("userid"), "u%d", &n)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(raw(map[string]any{"errcode": 0, "userid": fmt.Sprintf("u%06d", n), "name": fmt.Sprint("N", n), "department": []int{n/20 + 1}, "is_leader_in_dept": []int{0},
				"status": 1, "mobile": fmt.Sprint(19900000000 + n), "email": fmt.Sprintf("u%d@large.example", n), "position": "clerk", "main_department": n/20 + 1, "gender": "1"}))
		default:
			company.ServeHTTP(w, q)
		}
	}))
	t.Cleanup(server.Close)
	for _, portion := range []int{0, 7} {
		r := newRig(t)
		r.portion, r.seek = portion, 8
		r.hold(corp, secrets.Contacts, "any")
		r.server = wecom.New(server.URL, &http.Client{Timeout: 10 * time.Second}, clock.Real)
		empty.Store(0)
		away.Store(0)
		r.refreshed(corp)
		for n, step := range []struct {
			empty, away int64
			complete    bool
			gone        int
		}{{1, 0, false, 0}, {0, 0, true, 0}, {1, 1, false, 0}, {1, 1, false, 0}, {1, 1, true, 20}, {1, 1, true, 20}} {
			empty.Store(step.empty)
			away.Store(step.away)
			s := r.refreshed(corp)
			gone := 0
			for _, e := range r.events() {
				if e.What != directory.Left {
					t.Errorf("portions of %d, reading %d: %s of %s", portion, n, e.What, e.ID)
				}
				gone++
			}
			if o := s.Counts.Parts[directory.PartMembers]; o.Complete != step.complete || gone != step.gone {
				t.Errorf("portions of %d, reading %d: members are %+v, and %d are told as gone, want %d", portion, n, o, gone, step.gone)
			}
		}
		r.sameAsKept(t)
	}
}
