// Command simlambda is the simulated WeCom as a Lambda function, for `make prove-aws` and nothing else: WeCom's side is its function URL, and
// control comes by invocations that IAM lets through, never by the URL. It holds simulated data only, in one environment's temporary
// folder: an environment that Lambda replaces takes the story with it, which each answer's Incarnation shows.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

func main() {
	log := telemetry.NewLogger(os.Stdout, "simlambda")
	sim, err := wecomsim.Open("/tmp/wecomsim.db", time.Now)
	if err != nil {
		log.Error("open the simulator", slog.String("error", err.Error()))
		os.Exit(1)
	}
	lambdas.Run(lambdas.Function{Log: log, Call: answer(sim, rand.Text())})
}

// request is an event: of the function URL (payload 2.0), or a control call, which has Control.
type request struct {
	Path    string            `json:"rawPath"`
	Query   string            `json:"rawQueryString"`
	Headers map[string]string `json:"headers"`
	Context struct {
		HTTP struct {
			Method string `json:"method"`
		} `json:"http"`
	} `json:"requestContext"`
	Body    string   `json:"body"`
	Encoded bool     `json:"isBase64Encoded"`
	Control *control `json:"control"`
}

type control struct {
	Method string `json:"method"`
	URI    string `json:"uri"`
	Body   []byte `json:"body"`
}

// response is the answer to both.
type response struct {
	Status      int               `json:"statusCode"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        string            `json:"body"`
	Encoded     bool              `json:"isBase64Encoded"`
	Incarnation string            `json:"incarnation,omitempty"`
}

// incarnationHeader is the incarnation in answers of the URL, where only headers may be added.
const incarnationHeader = "X-Simulator-Incarnation"

func answer(sim http.Handler, incarnation string) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, event []byte) (any, error) {
		var in request
		if err := json.Unmarshal(event, &in); err != nil {
			return nil, errors.New("the event is no request")
		}
		r, err := in.http(ctx)
		if err != nil {
			return response{Status: http.StatusBadRequest}, nil //nolint:nilerr // the caller's mistake is told to the caller
		}
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		sim.ServeHTTP(w, r)
		out := response{
			Status: w.status, Body: base64.StdEncoding.EncodeToString(w.body.Bytes()), Encoded: true,
			Headers: map[string]string{incarnationHeader: incarnation},
		}
		for _, name := range []string{"Content-Type", "Content-Range"} {
			if v := w.header.Get(name); v != "" {
				out.Headers[name] = v
			}
		}
		if in.Control != nil {
			out.Incarnation = incarnation
		}
		return out, nil
	}
}

// http is the request that the simulator sees. Only a control call comes from "this machine", which is what the simulator asks of one.
func (in request) http(ctx context.Context) (*http.Request, error) {
	if in.Control != nil {
		r, err := http.NewRequestWithContext(ctx, in.Control.Method, "http://simulator"+in.Control.URI, bytes.NewReader(in.Control.Body))
		if err == nil {
			r.RemoteAddr = "127.0.0.1:1"
		}
		return r, err
	}
	body := []byte(in.Body)
	if in.Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return nil, err
		}
	}
	u := url.URL{Scheme: "http", Host: "simulator", Path: in.Path, RawQuery: in.Query}
	r, err := http.NewRequestWithContext(ctx, in.Context.HTTP.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range in.Headers {
		if !strings.EqualFold(name, "host") {
			r.Header.Set(name, value)
		}
	}
	r.RemoteAddr = "192.0.2.1:1" // an address of nobody: never this machine
	return r, nil
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *recorder) WriteHeader(status int)      { w.status = status }
