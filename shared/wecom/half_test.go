package wecom_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

// An answer without what was asked for shows nothing of it: it must not be taken for a department without name and place, or a contact of nobody.
func TestAnAnswerWithoutWhatWasAskedForIsAnError(t *testing.T) {
	for _, body := range []string{`{"errcode":0,"errmsg":"ok"}`, `{"status":"ok"}`, `{"errcode":0,"department":{"id":3,"name":"Other"}}`} {
		s := newServer(t, map[string]func(string) string{"department/get": always(body), "externalcontact/get": always(body)})
		if d, _, err := s.Department(t.Context(), 2); err == nil {
			t.Errorf("%s is the department %+v", body, d)
		}
		if x, _, err := s.External(t.Context(), "wmA"); err == nil {
			t.Errorf("%s is the contact %+v", body, x)
		}
	}
}

// Members who are looked at alone are asked for ahead, too, and heard in their order; that one is not there ends nothing.
func TestManyMembersAreAskedForAhead(t *testing.T) {
	var ids []archive.PartyID
	for i := range 80 {
		ids = append(ids, archive.PartyID(fmt.Sprintf("u%03d", i)))
	}
	s := newServer(t, map[string]func(string) string{"user/get": func(asked string) string {
		q, err := url.ParseQuery(asked)
		if err != nil {
			return err.Error()
		}
		if id := q.Get("userid"); id != "u060" {
			return fmt.Sprintf(`{"errcode":0,"userid":%q}`, id)
		}
		return refusal(60111)
	}})
	stop := s.AheadOf(t.Context(), ids)
	for i, id := range ids {
		m, err := s.Member(t.Context(), id)
		if m.ID != id || wecom.NotThere(err) != (i == 60) || err != nil && i != 60 {
			t.Fatalf("%s is %+v, %v", id, m, err)
		}
	}
	stop()
	if n := s.times("user/get"); n != len(ids) || len(s.kept) != n || s.kept[79].Asked != "userid=u079" {
		t.Errorf("%d questions, %d answers kept", n, len(s.kept))
	}
}
