// Package sdklog hears what the AWS SDK says by itself, which is otherwise printed raw on standard error. It owns which of that is worth a word;
// where the word goes is the program's. It must not hold back what nobody else tells.
package sdklog

import (
	"context"
	"fmt"

	"github.com/aws/smithy-go/logging"
)

// New is a logger for an aws.Config. warn is given each warning, one line without a secret, from any goroutine.
//
// A call that its own caller has ended is left out: whoever has what he looked for ends the reading of further pages, and the SDK then warns that
// a body could not be read to its end, and that its checksum is another. QUIRK: of a call that was not ended the same words are news: a
// checksum of DynamoDB's that does not fit a whole answer is told here, and is no error of the call.
func New(warn func(text string)) logging.Logger { return logger{warn: warn} }

type logger struct {
	warn  func(string)
	ended func() bool
}

// WithContext is the logger of one call.
func (l logger) WithContext(ctx context.Context) logging.Logger {
	l.ended = func() bool { return ctx.Err() != nil }
	return l
}

// Logf tells warnings. What is of another kind nobody has asked for.
func (l logger) Logf(kind logging.Classification, format string, args ...any) {
	if kind != logging.Warn || l.ended != nil && l.ended() {
		return
	}
	l.warn(fmt.Sprintf(format, args...))
}
