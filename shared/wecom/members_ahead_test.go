package wecom_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wecomvault/wecomvault/shared/wecom"
)

// company answers for so many departments with one member each; refuse says which question, counted from 1, is refused with which errcode.
func company(departments int, refuse func(n int64, department string) int) (map[string]func(string) string, []int) {
	var n atomic.Int64
	ids := make([]int, departments)
	for i := range ids {
		ids[i] = i + 1
	}
	return map[string]func(string) string{"user/list": func(asked string) string {
		q, err := url.ParseQuery(asked)
		if err != nil {
			return err.Error()
		}
		d := q.Get("department_id")
		if code := refuse(n.Add(1), d); code != 0 {
			return refusal(code)
		}
		return `{"errcode":0,"userlist":[{"userid":"u` + d + `"}]}`
	}}, ids
}

func never(int64, string) int { return 0 }

// read reads the departments in order, and says up to which it came.
func (s *server) read(ids []int) (done int, err error) {
	stop := s.Ahead(s.Context(), ids)
	defer stop()
	for i, d := range ids {
		list, full, err := s.MembersOf(s.Context(), d)
		if wecom.CodeOf(err) == 60003 {
			continue
		}
		if err != nil {
			return i, err
		}
		if len(list) != 1 || string(list[0].ID) != fmt.Sprint("u", d) || !full {
			s.Fatalf("department %d has %v", d, list)
		}
	}
	return len(ids), nil
}

func TestManyDepartmentsAreAskedForAheadAndHeardInTheirOrder(t *testing.T) {
	play, ids := company(120, func(_ int64, d string) int {
		if d == "70" {
			return 60003 // dissolved: nobody else is concerned
		}
		return 0
	})
	s := newServer(t, play)
	if done, err := s.read(ids); err != nil || done != len(ids) {
		t.Fatalf("%d departments, %v", done, err)
	}
	if n := s.times("user/list"); n != len(ids) {
		t.Errorf("%d questions about %d departments", n, len(ids))
	}
	for i, a := range s.kept {
		if want := fmt.Sprint("department_id=", i+1); a.Asked != want {
			t.Fatalf("answer %d kept is to %q, want %q", i, a.Asked, want)
		}
	}
	if len(s.kept) != len(ids) {
		t.Errorf("%d answers are kept", len(s.kept))
	}
}

func TestARefusalEndsWhatIsAskedAhead(t *testing.T) {
	for _, code := range []int{60020, 45009, 48002} {
		play, ids := company(2000, func(n int64, _ string) int {
			if n > 60 {
				return code
			}
			return 0
		})
		delete(play, "user/simplelist")
		s := newServer(t, play)
		done, err := s.read(ids)
		if wecom.CodeOf(err) != code || done < 50 || done > 60 {
			t.Errorf("%d: %d departments, %v", code, done, err)
		}
		if n := s.times("user/list"); n > 120 {
			t.Errorf("%d: %d questions: it went on", code, n)
		}
	}
}

// How many calls WeCom takes at the same time is written nowhere. Where it says that these are too many, the rest is read one by one.
func TestWhereWeComTakesFewerAtATimeTheyAreReadOneByOne(t *testing.T) {
	play, ids := company(100, func(n int64, _ string) int {
		if n == 20 {
			return 45033
		}
		return 0
	})
	s := newServer(t, play)
	if done, err := s.read(ids); err != nil || done != len(ids) {
		t.Fatalf("%d departments, %v", done, err)
	}
	if n := s.times("user/list"); n > len(ids)+10 {
		t.Errorf("%d questions about %d departments", n, len(ids))
	}
}

func TestFewDepartmentsAreReadOneAfterTheOther(t *testing.T) {
	play, ids := company(40, never)
	s := newServer(t, play)
	if done, err := s.read(ids); err != nil || done != len(ids) {
		t.Fatalf("%d departments, %v", done, err)
	}
	for i, asked := range s.asked[1:] { // behind the token
		if want := fmt.Sprint("user/list department_id=", i+1); !strings.HasPrefix(asked, want) {
			t.Fatalf("question %d is %q, want %q", i, asked, want)
		}
	}
}
