package lambdahost

import (
	"context"
	"testing"
)

// What a warm invocation costs on top of the function: thaw, two requests, freeze.
func BenchmarkWarmInvocation(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		if _, err := h.Invoke(context.Background(), "WorkFunction", []byte(`{}`)); err != nil {
			b.Fatal(err)
		}
	}
}
