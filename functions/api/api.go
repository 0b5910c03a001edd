package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/access"
	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/guide"
	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/lambdas"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/preview"
)

// description is the API in OpenAPI 3.1. A test holds each operation against it.
//
//go:embed openapi.json
var description []byte

// longestBody is how large a request's body may be, in bytes.
const longestBody = 64 << 10

// api answers requests.
//
// The order: is there a checked token of our issuer and audience; is there such an operation; does the person know the corp; do the roles allow the
// action, and with how much of the corp; can the request be read. A request that changes something or shows people is in the audit stream before
// anything is done, and its outcome is there before the answer is sent. What lies outside a person's reach is as if it were not there.
type api struct {
	ledger   *ledger.Ledger
	previews preview.Desk
	files    hrfile.Shelf
	log      *slog.Logger
	count    func(figure string, n float64)
	flush    func() error

	issuer, audience, roleClaim string

	windows   ledger.Windows
	mailsRead int // how many mails a page is looked for among: whoever is shown few of many gets shorter pages, and the way on
	// membersRead is the same of a page of people.
	membersRead int
	perMinute   int // requests of one person
	now         func() time.Time
	real        func() time.Time
}

// operation is one method of one path.
type operation struct {
	id, method, path string
	action           access.Action // "": every role
	change           bool          // it needs a body or If-Match, and is audited
	people           bool          // its answer names people: it is audited
	public           bool          // no token is needed: it tells nothing of any company
	longest          int           // how large its body may be, in bytes; 0: longestBody
	run              func(ctx context.Context, c *call) (answer, error)
}

// call is a request that may be done.
type call struct {
	person  access.Person
	corp    ledger.Corp
	reach   access.Reach
	segment map[string]string // of the path, by its name in the operation's
	query   url.Values
	header  http.Header
	body    []byte
	object  string // what the audit stream calls that which is asked for
}

// answer is what a request comes to.
type answer struct {
	status         int
	body           any
	etag, location string
	after          int    // seconds to wait before asking again; 0: none
	page           []byte // of the guide, in the place of a body
}

func (a *api) operations() []operation {
	return []operation{
		{id: "getDescription", method: http.MethodGet, path: "/v1/openapi.json", run: a.describe},
		{id: "listCorps", method: http.MethodGet, path: "/v1/corps", run: a.listCorps},
		{id: "getCorp", method: http.MethodGet, path: "/v1/corps/{corp}", action: access.ReadCorp, run: a.getCorp},
		{id: "getSettings", method: http.MethodGet, path: "/v1/corps/{corp}/settings", action: access.ReadSettings, people: true, run: a.getSettings},
		{id: "changeSettings", method: http.MethodPut, path: "/v1/corps/{corp}/settings", action: access.ChangeSettings, change: true, people: true, run: a.changeSettings},
		{id: "listDepartments", method: http.MethodGet, path: "/v1/corps/{corp}/departments", action: access.ReadDepartments, run: a.listDepartments},
		{id: "listReports", method: http.MethodGet, path: "/v1/corps/{corp}/reports", action: access.ReadReports, run: a.listReports},
		{id: "previewReport", method: http.MethodPost, path: "/v1/corps/{corp}/reports/{report}/preview", action: access.PreviewReports, people: true, run: a.previewReport},
		{id: "getPreview", method: http.MethodGet, path: "/v1/corps/{corp}/reports/{report}/preview", action: access.PreviewReports, people: true, run: a.getPreview},
		{id: "listReceivers", method: http.MethodGet, path: "/v1/corps/{corp}/receivers", action: access.ReadReceivers, people: true, run: a.listReceivers},
		{id: "getReceiver", method: http.MethodGet, path: "/v1/corps/{corp}/receivers/{receiver}", action: access.ReadReceivers, people: true, run: a.getReceiver},
		{id: "addReceiver", method: http.MethodPost, path: "/v1/corps/{corp}/receivers", action: access.ChangeReceivers, change: true, people: true, run: a.addReceiver},
		{id: "changeReceiver", method: http.MethodPut, path: "/v1/corps/{corp}/receivers/{receiver}", action: access.ChangeReceivers, change: true, people: true, run: a.changeReceiver},
		{id: "removeReceiver", method: http.MethodDelete, path: "/v1/corps/{corp}/receivers/{receiver}", action: access.ChangeReceivers, change: true, run: a.removeReceiver},
		{id: "listMails", method: http.MethodGet, path: "/v1/corps/{corp}/mails", action: access.ReadMails, people: true, run: a.listMails},
		{id: "listPeople", method: http.MethodGet, path: "/v1/corps/{corp}/people", action: access.ReadPeople, people: true, run: a.listPeople},
		{id: "getPerson", method: http.MethodGet, path: "/v1/corps/{corp}/people/{userid}", action: access.ReadPeople, people: true, run: a.getPerson},
		{id: "listHRFiles", method: http.MethodGet, path: "/v1/corps/{corp}/hr-files", action: access.ReadHRFiles, people: true, run: a.listHRFiles},
		{id: "importHRFile", method: http.MethodPost, path: "/v1/corps/{corp}/hr-files", action: access.ImportHRFiles, change: true, people: true,
			longest: longestFile + longestFile/4, run: a.importHRFile},
		{id: "getHRFile", method: http.MethodGet, path: "/v1/corps/{corp}/hr-files/{version}", action: access.ReadHRFiles, people: true, run: a.getHRFile},
		{id: "listSuppressions", method: http.MethodGet, path: "/v1/corps/{corp}/suppressions", action: access.ReadReceivers, people: true, run: a.listSuppressions},
		{id: "getSuppression", method: http.MethodGet, path: "/v1/corps/{corp}/suppressions/{suppression}", action: access.ReadReceivers, people: true, run: a.getSuppression},
		{id: "liftSuppression", method: http.MethodDelete, path: "/v1/corps/{corp}/suppressions/{suppression}", action: access.ChangeReceivers, change: true, run: a.liftSuppression},
		{id: "getRoomName", method: http.MethodGet, path: "/v1/corps/{corp}/rooms/{room}/name", action: access.ReadSettings, people: true, run: a.getRoomName},
		{id: "nameRoom", method: http.MethodPut, path: "/v1/corps/{corp}/rooms/{room}/name", action: access.ChangeSettings, change: true, people: true, run: a.nameRoom},
		{id: "unnameRoom", method: http.MethodDelete, path: "/v1/corps/{corp}/rooms/{room}/name", action: access.ChangeSettings, change: true, run: a.unnameRoom},
		{id: "getGuidePage", method: http.MethodGet, path: "/guide/{language}/{page}", public: true, run: a.guidePage},
		{id: "getStatus", method: http.MethodGet, path: "/v1/corps/{corp}/status", action: access.ReadStatus, run: a.getStatus},
	}
}

// ServeHTTP answers one request.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := a.real()
	operation, corp, out, err := a.serve(r)
	var p *problem
	switch {
	case errors.As(err, &p):
		own := *p
		own.RequestID = lambdas.RequestID(r.Context())
		p = &own
	case err != nil:
		a.log.ErrorContext(r.Context(), "request failed", slog.String("operation", operation), slog.String("corp", string(corp)), slog.String("error", err.Error()))
		a.count("RequestsFailed", 1)
		lambdas.Failed(r.Context(), err)
		p = internal()
		p.RequestID = lambdas.RequestID(r.Context())
	}
	status := out.status
	if p != nil {
		status = p.Status
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			a.count("RequestsRefused", 1)
		}
	}
	a.count("Requests", 1)
	if err := a.write(w, out, p); err != nil {
		a.log.ErrorContext(r.Context(), "answer can't be written", slog.String("operation", operation), slog.String("error", err.Error()))
	}
	a.log.InfoContext(r.Context(), "request", slog.String("operation", operation), slog.String("corp", string(corp)), slog.Int("status", status),
		slog.String("request", lambdas.RequestID(r.Context())), slog.Duration("took", a.real().Sub(began)))
	if err := a.flush(); err != nil {
		a.log.WarnContext(r.Context(), "metrics can't be written", slog.String("error", err.Error()))
	}
}

func (a *api) write(w http.ResponseWriter, out answer, p *problem) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body := out.body
	if p != nil {
		out.status, body = p.Status, p
		h.Set("Content-Type", "application/problem+json")
		if p.Status == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", "Bearer")
		}
		if p.allow != "" {
			h.Set("Allow", p.allow)
		}
		if p.after > 0 {
			h.Set("Retry-After", strconv.Itoa(p.after))
		}
	} else if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if p == nil && out.etag != "" {
		h.Set("ETag", out.etag)
	}
	if p == nil && out.location != "" {
		h.Set("Location", out.location)
	}
	if p == nil && out.after > 0 {
		h.Set("Retry-After", strconv.Itoa(out.after))
	}
	if p == nil && out.page != nil {
		h.Set("Content-Type", guide.ContentType)
		h.Set("Content-Security-Policy", guide.Policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "public, max-age=3600")
		w.WriteHeader(out.status)
		_, err := w.Write(out.page)
		return err
	}
	text, err := textOf(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return fmt.Errorf("write the answer: %w", err)
	}
	w.WriteHeader(out.status)
	_, err = w.Write(text)
	return err
}

// textOf is an answer's body as it goes out; none of nil.
func textOf(body any) ([]byte, error) {
	var text bytes.Buffer
	if body == nil {
		return nil, nil
	}
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(body)
	return text.Bytes(), err
}

// serve finds out what is asked for, whether it may be, and does it. operation and corp are for the log, as far as they are known.
func (a *api) serve(r *http.Request) (name string, corp archive.CorpID, out answer, err error) {
	if op, segments, err := a.find(r.Method, r.URL.Path); err == nil && op.public {
		out, err = op.run(r.Context(), &call{segment: segments})
		return op.id, "", out, err
	}
	person, err := a.person(r.Context())
	if err != nil {
		return "", "", out, err
	}
	if err := a.throttle(r.Context(), person); err != nil {
		return "", "", out, err
	}
	op, segments, err := a.find(r.Method, r.URL.Path)
	if err != nil {
		return "", "", out, err
	}
	c := &call{person: person, segment: segments, header: r.Header}
	if c.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return op.id, "", out, malformed("query", "it can't be read", "escape it as RFC 3986 says")
	}
	if op.action != "" {
		if err := a.admit(r.Context(), op, c); err != nil {
			return op.id, c.corp.ID, out, err
		}
	} else if len(person.Grants) == 0 {
		return op.id, "", out, forbidden(a.roleClaim, "any role")
	}
	if c.body, err = bodyOf(r, op); err != nil {
		return op.id, c.corp.ID, out, err
	}
	out, err = a.audited(r.Context(), op, c)
	return op.id, c.corp.ID, out, err
}

// person is who asks, by the token that API Gateway has checked. Issuer and audience are compared once more: whatever stands before this function
// tomorrow, tokens of others are nothing here.
func (a *api) person(ctx context.Context) (access.Person, error) {
	token, ok := lambdas.TokenOf(ctx)
	if !ok || token["iss"] != a.issuer || token["sub"] == "" {
		return access.Person{}, unauthorized()
	}
	audience := token["aud"]
	if audience == "" {
		audience = token["client_id"] // of Cognito's access tokens
	}
	if !slices.Contains(access.Values(audience), a.audience) {
		return access.Person{}, unauthorized()
	}
	return access.Read(token["sub"], token[a.roleClaim]), nil
}

// throttle refuses somebody who asks too often. API Gateway throttles all together; without a share of their own, one person's loop would be everybody's.
func (a *api) throttle(ctx context.Context, p access.Person) error {
	now := a.now()
	within, err := a.ledger.Asks(ctx, a.issuer+" "+p.Subject, now, a.perMinute)
	if err != nil {
		return err
	}
	if within {
		return nil
	}
	a.count("RequestsThrottled", 1)
	next := now.UTC().Truncate(time.Minute).Add(time.Minute)
	return tooMany(a.perMinute, int(next.Sub(now).Seconds())+1)
}

// find is the operation of a method and a path.
func (a *api) find(method, path string) (operation, map[string]string, error) {
	var others []string
	for _, op := range a.operations() {
		segments, ok := match(op.path, path)
		switch {
		case ok && op.method == method:
			return op, segments, nil
		case ok:
			others = append(others, op.method)
		}
	}
	if len(others) > 0 {
		return operation{}, nil, wrongMethod(others)
	}
	return operation{}, nil, absent("path")
}

func match(pattern, path string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	segments := map[string]string{}
	for i, w := range want {
		if name, ok := strings.CutPrefix(w, "{"); ok && have[i] != "" {
			segments[strings.TrimSuffix(name, "}")] = have[i]
		} else if w != have[i] {
			return nil, false
		}
	}
	return segments, true
}

// longestCorp is more than any corp's id has, and less than what no key can hold.
const longestCorp = 64

// admit reads the corp and judges the roles. To who has no role at a corp it does not exist.
func (a *api) admit(ctx context.Context, op operation, c *call) error {
	id := archive.CorpID(c.segment["corp"])
	if !c.person.Knows(id) || len(id) > longestCorp {
		return absent("corp")
	}
	if c.reach = c.person.Reach(op.action, id); c.reach.None() {
		if op.change {
			if err := a.audit(ctx, op, c, "not allowed"); err != nil {
				return err
			}
		}
		return forbidden(a.roleClaim, op.action)
	}
	corp, err := a.ledger.Corp(ctx, id)
	if errors.Is(err, ledger.ErrAbsent) {
		return absent("corp")
	}
	c.corp = corp
	return err
}

func bodyOf(r *http.Request, op operation) ([]byte, error) {
	longest := cmp.Or(op.longest, longestBody)
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(longest)+1))
	if err != nil {
		return nil, malformed("body", "it can't be read", "send it again")
	}
	if len(body) > longest {
		return nil, tooLarge(longest)
	}
	if op.method != http.MethodPost && op.method != http.MethodPut {
		return nil, nil // what nobody asks for is not read
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, wrongType()
	}
	return body, nil
}

// audited does what is asked for, between an entry that says that it begins and one that says how it ended.
func (a *api) audited(ctx context.Context, op operation, c *call) (answer, error) {
	if !op.change && !op.people {
		return op.run(ctx, c)
	}
	if err := a.audit(ctx, op, c, "begun"); err != nil {
		return answer{}, err
	}
	out, err := op.run(ctx, c)
	if !op.change {
		return out, err
	}
	outcome := "done"
	var p *problem
	switch {
	case errors.As(err, &p):
		outcome = "refused: " + strings.TrimPrefix(p.Type, "urn:wecomvault:problem:")
	case err != nil:
		outcome = "failed"
	}
	unseen := a.audit(ctx, op, c, outcome)
	if unseen != nil && p != nil {
		return answer{}, unseen // nor is a refusal told before the audit stream has it
	}
	return out, errors.Join(err, unseen)
}

// longestWord is how much of what a caller gives the audit stream keeps.
const longestWord = 256

func (a *api) audit(ctx context.Context, op operation, c *call, outcome string) error {
	object := c.object
	if object == "" {
		object = c.segment["receiver"] + c.segment["report"] + c.segment["userid"] + c.segment["version"] + c.segment["suppression"] + c.segment["room"] // a path has one of them at most
	}
	short := func(s string) string { return strings.ToValidUTF8(s[:min(len(s), longestWord)], "") }
	return a.ledger.Audit(ctx, ledger.AuditEntry{At: a.now(), Actor: "api:" + short(c.person.Subject), Action: "api " + op.id,
		Corp: archive.CorpID(short(c.segment["corp"])), Object: short(object), Outcome: outcome})
}

// describe answers with the description of the API.
func (a *api) describe(_ context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: json.RawMessage(description)}, nil
}

// guidePage shows a page of the guide to whoever comes: links in mails lead there.
func (a *api) guidePage(_ context.Context, c *call) (answer, error) {
	page, ok, err := guide.Page(c.segment["language"], c.segment["page"])
	if err == nil && !ok {
		err = absent("page")
	}
	return answer{status: http.StatusOK, page: page}, err
}
