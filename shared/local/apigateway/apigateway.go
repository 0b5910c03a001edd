// Package apigateway stands in for API Gateway's HTTP APIs: it finds the function of a request by the routes in template.yaml, checks the token as the
// JWT authorizer does, throttles, and speaks to the function in the payload format 2.0. It owns what AWS answers by itself (401, 404, 413, 429, 500);
// it must not know what any function answers.
package apigateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// longestBody is API Gateway's limit of a request.
const longestBody = 10 << 20

// Options say what to serve. All fields but Client and Log are required.
type Options struct {
	Template *template.Template
	// Invoke runs a function by its logical id and waits. failed says that the function ended in an error.
	Invoke func(ctx context.Context, logicalID string, payload []byte) (answer []byte, failed bool, err error)
	Now    func() time.Time // by which tokens run out
	Real   func() time.Time // by which it throttles
	Client *http.Client     // asks issuers for their keys
	Log    *slog.Logger
}

// Gateway serves all HTTP APIs of a template at one address; their routes must not be the same.
type Gateway struct {
	Options
	routes      []route
	authorizers map[string]*authorizer // by API

	mu      sync.Mutex
	buckets map[string]*bucket // by API
}

type route struct {
	template.Route
	function string
	segments []string
}

// New makes a gateway. It is an error if a route would be open to everybody without saying so.
func New(o Options) (*Gateway, error) {
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 1500 * time.Millisecond} // API Gateway's own
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{Options: o, authorizers: map[string]*authorizer{}, buckets: map[string]*bucket{}}
	for _, api := range o.Template.HTTPAPIs {
		for _, a := range api.Authorizers {
			if a.Name == api.Authorizer {
				g.authorizers[api.ID] = newAuthorizer(a, o.Client, o.Now)
			}
		}
		g.buckets[api.ID] = &bucket{burst: float64(api.Burst), rate: api.Rate}
	}
	for _, f := range o.Template.Functions {
		for _, r := range f.Routes {
			if g.authorizers[r.API] == nil && !r.Open {
				return nil, fmt.Errorf("template line %d: route %s %s of %s has no authorizer", f.Line, r.Method, r.Path, f.LogicalID)
			}
			g.routes = append(g.routes, route{r, f.LogicalID, strings.Split(r.Path, "/")})
		}
	}
	return g, nil
}

// bucket lets burst requests through at once and rate a second after that.
type bucket struct {
	burst, rate, tokens float64
	at                  time.Time
}

func (b *bucket) take(now time.Time) bool {
	if b.rate <= 0 {
		return true
	}
	if b.at.IsZero() {
		b.tokens = b.burst
	} else {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// find is the route of a request, the most exact one first, as API Gateway chooses: no names before names before {rest+}, a method before ANY.
func (g *Gateway) find(method, path string) (route, map[string]string, bool) {
	var best route
	var values map[string]string
	score := -1
	for _, r := range g.routes {
		if r.Method != "ANY" && r.Method != method {
			continue
		}
		v, s := r.match(path)
		if r.Method != "ANY" {
			s = s*2 + 1
		} else {
			s *= 2
		}
		if v != nil && s > score {
			best, values, score = r, v, s
		}
	}
	return best, values, score >= 0
}

func (r route) match(path string) (values map[string]string, score int) {
	have := strings.Split(path, "/")
	values = map[string]string{}
	for i, want := range r.segments {
		if i >= len(have) {
			return nil, 0
		}
		name, named := strings.CutPrefix(want, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case named && strings.HasSuffix(name, "+"):
			values[strings.TrimSuffix(name, "+")] = strings.Join(have[i:], "/")
			return values, score + 1
		case named && have[i] != "":
			values[name] = have[i]
			score += 2
		case want == have[i]:
			score += 3
		default:
			return nil, 0
		}
	}
	if len(have) != len(r.segments) {
		return nil, 0
	}
	return values, score
}

// say answers in API Gateway's own words.
func say(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(map[string]string{"message": message}); err != nil {
		return // the caller has gone
	}
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.ToLower(rand.Text()[:15]) + "="
	w.Header().Set("Apigw-Requestid", id)
	rt, values, ok := g.find(r.Method, r.URL.Path)
	if !ok {
		say(w, http.StatusNotFound, "Not Found")
		return
	}
	g.mu.Lock()
	within := g.buckets[rt.API].take(g.Real())
	g.mu.Unlock()
	if !within {
		say(w, http.StatusTooManyRequests, "Too Many Requests")
		return
	}
	var claims map[string]string
	if a := g.authorizers[rt.API]; !rt.Open {
		var err error
		if claims, err = a.check(r.Context(), r.Header.Get("Authorization")); err != nil {
			g.Log.InfoContext(r.Context(), "token refused", slog.String("request", id), slog.String("reason", err.Error()))
			w.Header().Set("WWW-Authenticate", `Bearer scope="" error="invalid_token"`)
			say(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, longestBody+1))
	if err != nil || len(body) > longestBody {
		say(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	payload, err := g.event(r, id, rt, values, claims, body)
	if err != nil {
		say(w, http.StatusBadRequest, "Bad Request")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), rt.Timeout)
	defer cancel()
	answer, failed, err := g.Invoke(ctx, rt.function, payload)
	if errors.Is(err, context.DeadlineExceeded) {
		say(w, http.StatusServiceUnavailable, "Service Unavailable")
		return
	}
	if err != nil || failed || !pass(w, answer) {
		say(w, http.StatusInternalServerError, "Internal Server Error")
	}
}

// event is a request in the payload format 2.0.
func (g *Gateway) event(r *http.Request, id string, rt route, values, claims map[string]string, body []byte) ([]byte, error) {
	headers := map[string]string{"host": r.Host}
	for name, all := range r.Header {
		if name != "Cookie" {
			headers[strings.ToLower(name)] = strings.Join(all, ",")
		}
	}
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	authorizer := map[string]any(nil)
	if claims != nil {
		authorizer = map[string]any{"jwt": map[string]any{"claims": claims, "scopes": nil}}
	}
	at := g.Now()
	context := map[string]any{
		"accountId": g.Template.AccountID, "apiId": rt.API, "domainName": r.Host, "domainPrefix": rt.API, "requestId": id, "routeKey": rt.Method + " " + rt.Path,
		"stage": "$default", "time": at.UTC().Format("02/Jan/2006:15:04:05 +0000"), "timeEpoch": at.UnixMilli(),
		"http": map[string]any{"method": r.Method, "path": r.URL.Path, "protocol": r.Proto, "sourceIp": source, "userAgent": r.UserAgent()},
	}
	if authorizer != nil {
		context["authorizer"] = authorizer
	}
	query := map[string]string{}
	for name, all := range r.URL.Query() {
		query[name] = strings.Join(all, ",")
	}
	event := map[string]any{"version": "2.0", "routeKey": rt.Method + " " + rt.Path, "rawPath": r.URL.EscapedPath(), "rawQueryString": r.URL.RawQuery,
		"headers": headers, "requestContext": context, "isBase64Encoded": false}
	if len(query) > 0 {
		event["queryStringParameters"] = query
	}
	if len(values) > 0 {
		event["pathParameters"] = values
	}
	if cookies := r.Header.Values("Cookie"); len(cookies) > 0 {
		event["cookies"] = cookies
	}
	if len(body) > 0 {
		event["body"] = string(body)
		if !text(r.Header.Get("Content-Type")) {
			event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(body), true
		}
	}
	return json.Marshal(event)
}

// text says whether API Gateway hands a body over as it is.
func text(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasPrefix(kind, "text/") || slices.Contains([]string{"application/json", "application/javascript", "application/xml"}, kind))
}

// pass hands a function's answer on; it says false of one that API Gateway could not read.
func pass(w http.ResponseWriter, answer []byte) bool {
	var out struct {
		StatusCode      int               `json:"statusCode"`
		Headers         map[string]string `json:"headers"`
		Body            string            `json:"body"`
		IsBase64Encoded bool              `json:"isBase64Encoded"`
		Cookies         []string          `json:"cookies"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return false
	}
	body := []byte(out.Body)
	if out.StatusCode == 0 { // QUIRK: an answer without a status is the body itself
		out.StatusCode, body = http.StatusOK, answer
		w.Header().Set("Content-Type", "application/json")
	}
	if out.StatusCode < 100 || out.StatusCode > 599 {
		return false
	}
	if out.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(out.Body); err != nil {
			return false
		}
	}
	for name, value := range out.Headers {
		w.Header().Set(name, value)
	}
	for _, c := range out.Cookies {
		w.Header().Add("Set-Cookie", c)
	}
	w.WriteHeader(out.StatusCode)
	if _, err := w.Write(body); err != nil {
		return true // the caller has gone
	}
	return true
}
