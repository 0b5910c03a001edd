package lambdas

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// Token is what API Gateway's authorizer found in a token that it has checked: its claims, each as text, whatever it was.
type Token map[string]string

type contextKey int

const (
	tokenKey contextKey = iota
	requestIDKey
	failuresKey
)

// TokenOf is the checked token of a request that Function.HTTP answers. ok is false where no authorizer has checked one: such a request
// must be refused, since an authorizer may be lost in a deployment and nobody be told.
func TokenOf(ctx context.Context) (t Token, ok bool) {
	t, ok = ctx.Value(tokenKey).(Token)
	return t, ok
}

// RequestID is by what a request is found in the API's log; "" if it has none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// Failed says that a request was answered with an error of ours, so that it is told in the metrics as failed runs are. It counts within Function.HTTP.
func Failed(ctx context.Context, err error) {
	if all, ok := ctx.Value(failuresKey).(*[]error); ok && err != nil {
		*all = append(*all, err)
	}
}

// WithToken is a context whose request has a checked token: for tests of an http.Handler without Lambda.
func WithToken(ctx context.Context, t Token) context.Context {
	return context.WithValue(ctx, tokenKey, t)
}

// answer answers an event of an HTTP API in the payload format 2.0.
func (f Function) answer(ctx context.Context, event []byte) (any, error) {
	var in events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(event, &in); err != nil || in.Version != "2.0" || in.RequestContext.HTTP.Method == "" {
		err := errors.New("the event is no request of an HTTP API in the payload format 2.0")
		f.Log.ErrorContext(ctx, "request refused", slog.String("error", err.Error()))
		return nil, err
	}
	r, err := request(ctx, in)
	if err != nil {
		f.Log.WarnContext(ctx, "request refused", slog.String("error", err.Error()))
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest, Headers: map[string]string{"content-type": "application/problem+json"},
			Body: `{"type":"urn:wecomvault:problem:malformed","title":"The request can't be read","status":400}`}, nil
	}
	w := &recorder{header: http.Header{}}
	var failures []error
	f.HTTP.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), failuresKey, &failures)))
	if len(failures) > 0 {
		f.tell(ctx, failures, 0)
	}
	return w.response(), nil
}

// request makes of an event what net/http would have made of the request.
func request(ctx context.Context, in events.APIGatewayV2HTTPRequest) (*http.Request, error) {
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return nil, errors.New("the body is no base64")
		}
	}
	path := in.RawPath
	// QUIRK: a stage that has a name stands before the path; $default does not.
	if stage := in.RequestContext.Stage; stage != "" && stage != "$default" {
		path = strings.TrimPrefix(path, "/"+stage)
	}
	u, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") {
		return nil, errors.New("the path can't be read")
	}
	u.RawQuery = in.RawQueryString
	ctx = context.WithValue(ctx, requestIDKey, in.RequestContext.RequestID)
	if a := in.RequestContext.Authorizer; a != nil && a.JWT != nil && len(a.JWT.Claims) > 0 {
		ctx = WithToken(ctx, a.JWT.Claims)
	}
	r, err := http.NewRequestWithContext(ctx, in.RequestContext.HTTP.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the method or the path can't be read")
	}
	for k, v := range in.Headers {
		r.Header.Set(k, v) // several values of one name come joined with commas
	}
	r.Host = in.RequestContext.DomainName
	return r, nil
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

func (w *recorder) response() events.APIGatewayV2HTTPResponse {
	w.WriteHeader(http.StatusOK)
	out := events.APIGatewayV2HTTPResponse{StatusCode: w.status, Headers: map[string]string{}}
	for k, v := range w.header {
		out.Headers[strings.ToLower(k)] = strings.Join(v, ", ")
	}
	if utf8.Valid(w.body.Bytes()) {
		out.Body = w.body.String()
	} else {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(w.body.Bytes()), true
	}
	return out
}
