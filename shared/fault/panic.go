package fault

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// mostFrames is how much of a stack is told.
const mostFrames = 16

// Catch makes an error of a panic, as Died says it, when it is deferred. Whoever starts a goroutine defers it there: a panic that nobody catches ends the
// process, and the runtime prints its value.
func Catch(err *error) {
	if r := recover(); r != nil {
		*err = Died(r)
	}
}

// Died is a panic as an error: what kind of value it had and where it was. Never the value, which may be anything: a message's text, a secret.
// What the runtime itself panics with names indexes and types only, and is told.
func Died(r any) error {
	what := fmt.Sprintf("panic with a value of type %T", r)
	if e, ok := r.(runtime.Error); ok {
		what = "panic: " + e.Error()
	}
	counters := make([]uintptr, 64)
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters)])
	var where []string
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "runtime.") && len(where) < mostFrames {
			where = append(where, fmt.Sprintf("%s (%s:%d)", frame.Function, filepath.Base(frame.File), frame.Line))
		}
		if !more {
			return fmt.Errorf("%s, at %s", what, strings.Join(where, " < "))
		}
	}
}
