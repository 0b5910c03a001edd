package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
)

// Panicking is a caller's configuration with which every call panics, in the goroutine that makes it, whose input names word: what a fault in our own
// code would do to the work on one corp. The panic's value holds "canary".
func Panicking(c aws.Config, word string) aws.Config {
	c.APIOptions = append(slices.Clone(c.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("panicking",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				said, err := json.Marshal(in.Parameters)
				if err != nil {
					said = fmt.Append(nil, in.Parameters) // one with a stream
				}
				if strings.Contains(string(said), word) {
					panic("canary: a call that names " + word)
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.Before)
	})
	return c
}
