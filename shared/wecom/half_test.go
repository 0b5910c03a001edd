package wecom_test

import (
	"testing"
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
