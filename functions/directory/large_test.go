package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// large answers as WeCom would for a company of so many members, 20 in each department; the first of them have other numbers after a change.
func large(members int, changed *atomic.Int64) http.Handler {
	answer := func(w http.ResponseWriter, name string, value any) {
		b := raw(map[string]any{"errcode": 0, "errmsg": "ok", "expires_in": 7200, name: value})
		_, _ = w.Write(b)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/cgi-bin/gettoken", func(w http.ResponseWriter, _ *http.Request) { answer(w, "access_token", "t") })
	mux.HandleFunc("/cgi-bin/department/list", func(w http.ResponseWriter, _ *http.Request) {
		var list []map[string]any
		for d := range members / 20 {
			list = append(list, map[string]any{"id": d + 1, "name": fmt.Sprint("D", d), "parentid": d / 10, "order": d})
		}
		answer(w, "department", list)
	})
	mux.HandleFunc("/cgi-bin/user/list", func(w http.ResponseWriter, r *http.Request) {
		d, err := strconv.Atoi(r.URL.Query().Get("department_id"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var list []map[string]any
		for n := (d - 1) * 20; n < d*20; n++ {
			mobile := 19900000000 + n
			if n < int(changed.Load()) {
				mobile += 1_000_000
			}
			list = append(list, map[string]any{"userid": fmt.Sprintf("u%06d", n), "name": fmt.Sprint("N", n), "department": []int{d}, "is_leader_in_dept": []int{0}, "status": 1,
				"mobile": strconv.Itoa(mobile), "email": fmt.Sprintf("u%d@large.example", n), "position": "clerk", "main_department": d, "gender": "1"})
		}
		answer(w, "userlist", list)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"errcode":48002,"errmsg":"no"}`)
	})
	return mux
}

// A reading of a large company writes what changed and nothing else. MEMBERS in the environment says how large, for measuring.
func TestAReadingOfALargeCompanyWritesWhatChanged(t *testing.T) {
	slow(t)
	members, err := strconv.Atoi(os.Getenv("MEMBERS"))
	if err != nil {
		members = 400
	}
	var changed atomic.Int64
	server := httptest.NewServer(large(members, &changed))
	t.Cleanup(server.Close)
	r := newRig(t)
	r.hold(corp, secrets.Contacts, "any")
	r.server = wecom.New(server.URL, &http.Client{Timeout: 10 * time.Second}, clock.Real)
	r.budget = 8 * time.Minute
	read := func(name string) map[string]int {
		r.at = r.at.Add(time.Hour)
		before, began := len(r.aws.Calls()), clock.Real()
		r.ok(r.refresh(t.Context(), corp))
		count := map[string]int{}
		for _, c := range r.aws.Calls()[before:] {
			count[c.Operation]++
		}
		b, err := json.Marshal(count)
		r.ok(err)
		t.Logf("%s: %d members, %.1f s, calls %s", name, members, clock.Real().Sub(began).Seconds(), b)
		return count
	}
	read("first")
	if quiet := read("without news"); quiet["PutItem"]+quiet["BatchWriteItem"]+quiet["UpdateItem"] > 2 {
		t.Errorf("without news: %v", quiet)
	}
	changed.Store(int64(members / 100))
	read("one in a hundred has another number")
	if n := len(r.events()); n != members/100 {
		t.Errorf("%d events of %d members with another number", n, members/100)
	}
}
