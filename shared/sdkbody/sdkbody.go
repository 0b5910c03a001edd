// Package sdkbody lets an answer of AWS be read that comes before its request's sender has seen the end of what it sends. It owns how a request's
// body is given to net/http; it must not change what is sent.
package sdkbody

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Plain is for the APIOptions of an aws.Config.
//
// QUIRK: net/http has sent the last byte of a body before it looks whether there is another. If the answer comes in between, which takes a short way or a busy
// processor, smithy-go closes the body, and a closed one answers that look with an error where it is read by WriteTo (v1.28.8, transport/http/internal/io: nothing
// written and io.EOF, which io.Copy doesn't take for an end). net/http then closes the connection under the answer: the call fails with "use of closed network
// connection" though it was done. The SDK tries again; who must not, as for a mail, doesn't know whether it was done. Without WriteTo the look is a
// Read, for which io.EOF is the end.
func Plain(stack *middleware.Stack) error {
	return stack.Deserialize.Add(plain{}, middleware.After)
}

type plain struct{}

func (plain) ID() string { return "PlainRequestBody" }

func (plain) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	if r, ok := in.Request.(*smithyhttp.Request); ok {
		body, seeks := r.GetStream().(io.ReadSeeker)
		if _, writes := body.(io.WriterTo); seeks && writes {
			r, err := r.SetStream(struct{ io.ReadSeeker }{body})
			if err != nil {
				return middleware.DeserializeOutput{}, middleware.Metadata{}, fmt.Errorf("send a request's body: %w", err)
			}
			in.Request = r
		}
	}
	return next.HandleDeserialize(ctx, in)
}
