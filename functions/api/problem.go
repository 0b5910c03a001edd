package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/wecomvault/wecomvault/shared/access"
)

// problem is an answer that says what is wrong and what to do (RFC 9457). It never holds the text of an error of the program's.
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
	Errors    []fieldProblem `json:"errors,omitempty"`

	allow string // the methods that there are, of a 405
	after int    // seconds to wait, of a 429
}

// fieldProblem is what is wrong with one field, and how to mend it.
type fieldProblem struct {
	Field   string `json:"field"`   // its name in the body, the query or the header; "departments[2]" within a list
	Problem string `json:"problem"` // what is wrong
	Fix     string `json:"fix"`     // what to do
}

func (p *problem) Error() string { return p.Type }

func newProblem(status int, name, title, detail string) *problem {
	return &problem{Type: "urn:wecomvault:problem:" + name, Title: title, Status: status, Detail: detail}
}

// wrong is a request whose fields can't be.
func wrong(all ...fieldProblem) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "invalid-field", "The request can't be done as it is", "")
	p.Errors = all
	return p
}

// malformed is a request that can't be read.
func malformed(field, what, fix string) *problem {
	p := newProblem(http.StatusBadRequest, "malformed", "The request can't be read", "")
	p.Errors = []fieldProblem{{field, what, fix}}
	return p
}

func unauthorized() *problem {
	return newProblem(http.StatusUnauthorized, "no-token", "A checked token is needed", "Send the header Authorization: Bearer with a token of the issuer and audience that this API was set up with.")
}

func forbidden(claim string, action access.Action) *problem {
	return newProblem(http.StatusForbidden, "not-allowed", "Your roles do not allow this",
		fmt.Sprintf("It needs %s; the claim %s of your token has the roles. Whoever administers your identity provider can grant another.", action, claim))
}

// absent is also what somebody is told who may not know whether there is such a thing.
func absent(what string) *problem {
	return newProblem(http.StatusNotFound, "not-found", "There is no such "+what, "Or none that your roles let you see.")
}

func wrongMethod(allowed []string) *problem {
	p := newProblem(http.StatusMethodNotAllowed, "method", "This path has other methods", "It knows "+strings.Join(allowed, ", ")+".")
	p.allow = strings.Join(allowed, ", ")
	return p
}

func tooLarge(longest int) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large", fmt.Sprintf("A body may have %d bytes.", longest))
}

func tooMany(perMinute, after int) *problem {
	p := newProblem(http.StatusTooManyRequests, "too-many", "Too many requests", fmt.Sprintf("One person may make %d in a minute. Wait %d seconds, as Retry-After says.", perMinute, after))
	p.after = after
	return p
}

func wrongType() *problem {
	p := newProblem(http.StatusUnsupportedMediaType, "media-type", "The body has to be JSON", "")
	p.Errors = []fieldProblem{{"Content-Type", "it does not say application/json", "send Content-Type: application/json"}}
	return p
}

func unconditional() *problem {
	p := newProblem(http.StatusPreconditionRequired, "if-match", "A change needs If-Match", "It keeps you from undoing what somebody else has changed meanwhile.")
	p.Errors = []fieldProblem{{"If-Match", "it is not given", "read the resource and send its ETag as If-Match"}}
	return p
}

func outdated() *problem {
	p := newProblem(http.StatusPreconditionFailed, "changed", "Somebody else has changed this meanwhile", "")
	p.Errors = []fieldProblem{{"If-Match", "it is not the ETag that the resource has now", "read the resource again, and decide again"}}
	return p
}

func internal() *problem {
	return newProblem(http.StatusInternalServerError, "internal", "The API has failed", "What was asked for may have been done or not: read it again. The log of the function has the cause, by the request id.")
}
