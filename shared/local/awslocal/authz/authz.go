// Package authz carries the caller of a local AWS request to the service that serves it, and asks that caller's policies
// whether an action is allowed. It owns the seam between the front, which knows who calls, and the services, which know what is
// asked for; it evaluates nothing itself.
package authz

import (
	"context"
	"fmt"
)

// Request is one permission question in IAM's words.
type Request struct {
	Action   string            // for example "dynamodb:PutItem"
	Resource string            // a full ARN
	Context  map[string]string // condition keys, for example "ses:FromAddress"; nil if none
}

// Caller is the principal behind a request. Allowed must be safe for concurrent use.
type Caller struct {
	Name    string // the function's logical id, or "operator"
	Allowed func(Request) bool
}

// DeniedError says that the caller's policies do not allow the request; services answer it as AWS's AccessDenied.
type DeniedError struct {
	Caller  string
	Request Request
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("%s is not authorized to perform: %s on resource: %s because no identity-based policy allows the action",
		e.Caller, e.Request.Action, e.Request.Resource)
}

type contextKey struct{}

// NewContext returns a context that carries the caller.
func NewContext(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// Check asks the caller in the context for every request and returns the first *DeniedError. A context without a caller is
// denied everything, so that a service can't be reached around the front by accident.
func Check(ctx context.Context, requests ...Request) error {
	c, _ := ctx.Value(contextKey{}).(*Caller)
	for _, r := range requests {
		if c == nil {
			return &DeniedError{Caller: "nobody", Request: r}
		}
		if !c.Allowed(r) {
			return &DeniedError{Caller: c.Name, Request: r}
		}
	}
	return nil
}

// Everything returns a caller that may do anything: the operator of the local data, and tests.
func Everything(name string) *Caller {
	return &Caller{Name: name, Allowed: func(Request) bool { return true }}
}
