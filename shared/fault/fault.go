// Package fault owns the one question about failed work: what becomes of it. Whoever meets an error classifies it; only lambdas
// acts on the class. It must not know any outside system.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is what becomes of failed work.
type Kind int

const (
	// Retryable work may succeed later with the same input. Everything unclassified is retryable: dropping work for want of
	// a classification would lose messages.
	Retryable Kind = iota
	// Permanent work has a final, known outcome that has been recorded.
	Permanent
	// Poison is input that can't be right, or can't be opened yet; it is set aside.
	Poison
)

func (k Kind) String() string {
	switch k {
	case Permanent:
		return "permanent"
	case Poison:
		return "poison"
	default:
		return "retryable"
	}
}

// Reason is a short, stable word for why work failed: a table key and a metric, never a sentence and never content.
type Reason string

// Error is a classified failure.
type Error struct {
	Kind   Kind
	Reason Reason
	Err    error // never nil
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s): %v", e.Reason, e.Kind, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// New classifies err. A nil err stays nil.
func New(kind Kind, reason Reason, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Reason: reason, Err: err}
}

// Newf classifies a new error in fmt.Errorf's form.
func Newf(kind Kind, reason Reason, format string, args ...any) error {
	return &Error{Kind: kind, Reason: reason, Err: fmt.Errorf(format, args...)}
}

// KindOf is the class of the outermost classified error in err's chain, and Retryable for anything else.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Retryable
}

// ReasonOf is the reason of the outermost classified error in err's chain, and "" for anything else.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// Denied says whether err is AWS's word that we may not do this, or not with the key that seals it: a permission, a key or a policy was changed,
// and no repetition helps until somebody changes it back. It reads the error code that AWS's errors carry.
func Denied(err error) bool {
	var e interface{ ErrorCode() string }
	if !errors.As(err, &e) {
		return false
	}
	code := strings.ToLower(e.ErrorCode())
	for _, word := range []string{"accessdenied", "kms", "decryptionfailure", "authorizationerror", "unauthorized", "unrecognizedclient", "invalidclienttokenid"} {
		if strings.Contains(code, word) {
			return true
		}
	}
	return false
}
