package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/receivers"
)

// read reads a body into a struct. Unknown fields, a second value and a wrong type are refused, each by its name.
func read(body []byte, into any) error {
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	err := in.Decode(into)
	if err == nil {
		if _, end := in.Token(); !errors.Is(end, io.EOF) {
			return malformed("body", "something follows the JSON object", "send one object")
		}
		if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
			return malformed("body", "it is no JSON object", "send one object")
		}
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return malformed(clip(wrongType.Field), "it has another type", "see the description of the API: GET /v1/openapi.json")
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		if plain, err := strconv.Unquote(name); err == nil {
			name = plain
		}
		return malformed(clip(name), "there is no such field here", "leave it out")
	}
	return malformed("body", "it is no JSON object", "send one object as application/json")
}

// refused turns why something is not taken into an answer; other errors stay as they are.
func refused(err error, status int, name, title string) error {
	var r *receivers.Refusal
	if !errors.As(err, &r) {
		return err
	}
	p := newProblem(status, name, title, "")
	for _, x := range r.Problems {
		p.Errors = append(p.Errors, fieldProblem{x.Field, x.Problem, x.Fix})
	}
	return p
}

// invalid is refused for what was entered.
func invalid(err error) error {
	return refused(err, http.StatusUnprocessableEntity, "invalid-field", "The request can't be done as it is")
}

// etag names the state of something by how often it was changed.
func etag(rev int) string { return `"` + strconv.Itoa(rev) + `"` }

// ifMatch is the state that a change is for.
func ifMatch(h http.Header) (rev int, err error) {
	given := h.Get("If-Match")
	if given == "" {
		return 0, unconditional()
	}
	text, quoted := strings.CutPrefix(given, `"`)
	text, closed := strings.CutSuffix(text, `"`)
	rev, err = strconv.Atoi(text)
	if !quoted || !closed || err != nil || rev < 0 || etag(rev) != given {
		return 0, outdated() // no state of ours was ever called so; "*" would be any
	}
	return rev, nil
}
