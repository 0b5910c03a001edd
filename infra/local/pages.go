package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/report"
)

//go:embed page
var pageFiles embed.FS

// serve begins to show the mailbox and the status of the local archive.
func (d *day) serve() (*http.Server, error) {
	l, err := awslocal.Listen(d.options.pages)
	if err != nil {
		return nil, err
	}
	d.mailed = "http://" + l.Addr().String() + "/"
	p := &pages{mails: d.Mails, ledger: d.ledger, depths: d.Queues.Depths, now: d.Now, windows: d.Windows(), guide: d.Template.Parameters["GuideUrl"]}
	server := &http.Server{Handler: p.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(d.Log, "pages:", err)
		}
	}()
	return server, nil
}

// pages shows what is in the local archive to the person at the keyboard: its status, and the mails that its functions sent. It reads, and
// changes nothing.
type pages struct {
	mails   post
	ledger  *ledger.Ledger
	depths  func() map[string]sqs.Depth
	now     func() time.Time
	windows ledger.Windows
	guide   string
	heads   heads
}

// post is the mails that were given to SES, the oldest first.
type post interface {
	Mails() ([]ses.Mail, error)
	Raw(id string) ([]byte, error)
}

func (p *pages) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.shown(p.status))
	mux.HandleFunc("GET /mailbox", p.shown(p.mailbox))
	mux.HandleFunc("GET /wecom", p.shown(p.inWeCom))
	mux.HandleFunc("GET /mail/{id}", p.shown(p.mail))
	mux.HandleFunc("GET /mail/{id}/html", p.body)
	mux.HandleFunc("GET /mail/{id}/raw", p.raw)
	mux.HandleFunc("GET /mail/{id}/part/{n}", p.part)
	mux.HandleFunc("GET /page.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pageFiles, "page/page.css") })
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page of another site must not read these by a name that it points here.
		host, _, err := net.SplitHostPort(r.Host)
		if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "these pages answer under a loopback address only", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

var errNoSuchMail = errors.New("there is no such mail")

// shown fills a page's template with what content returns: the template's name and its data.
func (p *pages) shown(content func(*http.Request) (name string, data any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, data, err := content(r)
		if err != nil {
			p.fail(w, err)
			return
		}
		simulated, err := p.simulated(r.Context())
		if err != nil {
			p.fail(w, err)
			return
		}
		var out bytes.Buffer
		if err := pageTemplates.ExecuteTemplate(&out, name, frame{Name: name, Simulated: simulated, Now: p.now(), Guide: p.guide, Data: data}); err != nil {
			p.fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'self'")
		_, _ = w.Write(out.Bytes()) // #nosec G104 G705 -- html/template has escaped it; a reader that went away needs no answer
	}
}

// simulated says whether any company here is an invented one.
func (p *pages) simulated(ctx context.Context) (bool, error) {
	corps, err := p.ledger.Corps(ctx)
	return slices.ContainsFunc(corps, func(c ledger.Corp) bool { return c.Simulated }), err
}

func (p *pages) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, errNoSuchMail) || errors.Is(err, ses.ErrNotFound) {
		http.Error(w, "There is no such mail.", http.StatusNotFound)
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError) // the reader is the operator, on the operator's own machine
}

// frame is what every page has.
type frame struct {
	Name      string
	Simulated bool
	Now       time.Time
	Guide     string // where the guide is; "" if nobody shows it
	Data      any
}

var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"moment": func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
	},
	"titled": func(title string, f frame) map[string]any { return map[string]any{"Title": title, "Frame": f} },
	"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"size": func(n int) string {
		switch {
		case n < 1<<10:
			return strconv.Itoa(n) + " B"
		case n < 1<<20:
			return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
		default:
			return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
		}
	},
}).ParseFS(pageFiles, "page/*.html"))

// shownMail is one mail's page.
type shownMail struct {
	listed
	Message *message
	Thread  []listed // the mails to the same receivers that refer to the same matter, this one included; nil if it is alone
}

func (p *pages) mail(r *http.Request) (string, any, error) {
	m, msg, err := p.read(r)
	if err != nil {
		return "", nil, err
	}
	page := shownMail{listed: listed{Mail: m, To: strings.Join(m.Destinations, ", ")}, Message: msg}
	all, err := p.listed()
	if err != nil {
		return "", nil, err
	}
	if i := slices.IndexFunc(all, func(l listed) bool { return l.ID == m.ID }); i >= 0 {
		page.listed = all[i]
	}
	for _, l := range all {
		if l.To == page.To && l.inThreadOf(page.listed) {
			page.Thread = append(page.Thread, l)
		}
	}
	if len(page.Thread) < 2 {
		page.Thread = nil
	}
	return "mail", page, nil
}

// read reads the mail that a request names.
func (p *pages) read(r *http.Request) (ses.Mail, *message, error) {
	all, err := p.mails.Mails()
	if err != nil {
		return ses.Mail{}, nil, err
	}
	i := slices.IndexFunc(all, func(m ses.Mail) bool { return m.ID == r.PathValue("id") })
	if i < 0 {
		return ses.Mail{}, nil, errNoSuchMail
	}
	raw, err := p.mails.Raw(all[i].ID)
	if err != nil {
		return ses.Mail{}, nil, err
	}
	msg, err := parseMessage(raw)
	return all[i], msg, err
}

// body shows a mail's HTML part, as a mail reader would: no scripts, nothing loaded.
func (p *pages) body(w http.ResponseWriter, r *http.Request) {
	_, msg, err := p.read(r)
	if err != nil {
		p.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'")
	_, _ = w.Write([]byte(msg.HTML)) // #nosec G104 G705 -- sandboxed by its policy
}

func (p *pages) raw(w http.ResponseWriter, r *http.Request) {
	raw, err := p.mails.Raw(r.PathValue("id"))
	if err != nil {
		p.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(raw) // #nosec G104 G705 -- plain text, never sniffed
}

// part shows an attachment in a sandbox of its own, in which its scripts may run but reach nothing; ?download gives it as a file.
func (p *pages) part(w http.ResponseWriter, r *http.Request) {
	_, msg, err := p.read(r)
	if err != nil {
		p.fail(w, err)
		return
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 || n >= len(msg.Attachments) {
		p.fail(w, errNoSuchMail)
		return
	}
	a := msg.Attachments[n]
	disposition := "inline"
	if r.URL.Query().Has("download") || !a.Viewable() {
		disposition = "attachment"
	}
	w.Header().Set("Content-Type", a.Type)
	w.Header().Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": a.Name}))
	w.Header().Set("Content-Security-Policy", "sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:")
	_, _ = w.Write(a.Body) // #nosec G104 G705 -- sandboxed by its policy
}

// corpStatus is the state of one company.
type corpStatus struct {
	ledger.Corp
	Cursor                      ledger.Cursor
	Messages, Media             string // the two clocks, in words
	MessagesBad, MediaBad       bool
	Batches, Archived, SetAside int
	Pending                     int // items, and the batches that hold them
	PendingBatches              int
	Reasons                     []named
	Kept, Waiting, Lost         int
	Alarms                      []alarmLine
	Over                        int
	Mails                       []named      // by state
	Reports                     []ledger.Run // of the newest noon
	Keys                        []ledger.KeyRow
}

type named struct {
	Name string
	N    int
}

type alarmLine struct {
	ledger.Alarm
	Sentence string
}

// queueDepth is a queue together with its dead letters.
type queueDepth struct {
	Name    string
	Waiting int
	InWork  int
	Dead    int
}

type statusPage struct {
	Corps  []corpStatus
	Queues []queueDepth
	Jobs   int
	Dead   int
}

func (p *pages) status(r *http.Request) (string, any, error) {
	var page statusPage
	corps, err := p.ledger.Corps(r.Context())
	if err != nil {
		return "", nil, err
	}
	for _, c := range corps {
		s, err := p.corpStatus(r.Context(), c)
		if err != nil {
			return "", nil, err
		}
		page.Corps = append(page.Corps, s)
	}
	all := map[string]*queueDepth{}
	for name, depth := range p.depths() {
		queue := strings.TrimSuffix(strings.TrimPrefix(name, "wecomvault-"), deadLetters)
		q, ok := all[queue]
		if !ok {
			q = &queueDepth{Name: queue}
			all[queue] = q
		}
		if strings.HasSuffix(name, deadLetters) {
			q.Dead = depth.Visible + depth.InFlight + depth.Delayed
			page.Dead += q.Dead
		} else {
			q.Waiting, q.InWork = depth.Visible+depth.Delayed, depth.InFlight
			page.Jobs += q.Waiting + q.InWork
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		page.Queues = append(page.Queues, *all[name])
	}
	return "status", page, nil
}

// deadLetters ends the names of queues that hold what was received too often.
const deadLetters = "DeadLetters"

func (p *pages) corpStatus(ctx context.Context, c ledger.Corp) (corpStatus, error) {
	s := corpStatus{Corp: c}
	var err error
	if s.Cursor, err = p.ledger.Cursor(ctx, c.ID); err != nil {
		return s, err
	}
	now := p.now()
	clocks, err := p.ledger.Clocks(ctx, c.ID, p.windows, now)
	if err != nil {
		return s, err
	}
	s.Messages, s.MessagesBad = p.clockText(clocks.Messages, now)
	s.Media, s.MediaBad = p.clockText(clocks.Media, now)
	reasons, mails := map[string]int{}, map[string]int{}
	alarms, err := p.ledger.Alarms(ctx, c.ID)
	for _, a := range alarms {
		if a.Open {
			s.Alarms = append(s.Alarms, alarmLine{a, alarmSentence(c, a)})
		} else {
			s.Over++
		}
	}
	keys, keysErr := p.ledger.Keys(ctx, c.ID)
	s.Keys = keys
	err = errors.Join(err, keysErr,
		p.ledger.Batches(ctx, c.ID, "", func(b ledger.BatchRow) bool {
			s.Batches++
			s.Archived += b.Archived
			s.SetAside += b.SetAside
			if b.State == ledger.Pending {
				s.Pending += b.Items
				s.PendingBatches++
			}
			return true
		}),
		p.ledger.Asides(ctx, c.ID, "", 0, func(a ledger.Aside) bool { reasons[a.Reason]++; return true }),
		p.ledger.AllWaiting(ctx, c.ID, func(ledger.Waiting) bool { s.Waiting++; return true }),
		p.ledger.AllMedia(ctx, c.ID, func(m ledger.MediaRow) bool {
			if m.State == ledger.Kept {
				s.Kept++
			} else {
				s.Lost++
			}
			return true
		}),
		p.ledger.Mails(ctx, c.ID, func(m ledger.MailRow) bool { mails[m.State]++; return true }),
		p.ledger.Runs(ctx, c.ID, func(run ledger.Run) bool {
			switch {
			case len(run.Day) > len(time.DateOnly): // an alert's, by the moment
				return true
			case len(s.Reports) > 0 && s.Reports[0].Day != run.Day:
				return false
			}
			s.Reports = append(s.Reports, run)
			return true
		}),
	)
	slices.SortFunc(s.Reports, func(a, b ledger.Run) int { // R2 before R12
		return cmp.Or(cmp.Compare(len(a.Report), len(b.Report)), strings.Compare(a.Report, b.Report))
	})
	s.Reasons, s.Mails = counted(reasons), counted(mails)
	return s, err
}

func counted(m map[string]int) []named {
	var out []named
	for name, n := range m {
		out = append(out, named{name, n})
	}
	slices.SortFunc(out, func(a, b named) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// clockText is a clock in words that claim no more than is known. bad asks for attention.
func (p *pages) clockText(c ledger.Clock, now time.Time) (text string, bad bool) {
	days := func(d time.Duration) string { return strconv.FormatFloat(d.Hours()/24, 'f', -1, 64) }
	kept := fmt.Sprintf("if WeCom keeps chats %s days and media %s", days(p.windows.Messages), days(p.windows.Media))
	switch left := c.Ends.Sub(now); {
	case c.Idle:
		return "nothing waits", false
	case c.Unknown:
		return "unknown: never caught up, so the time left can't be counted", true
	case left <= 0:
		return "none left, " + kept, true
	default:
		return fmt.Sprintf("at least %d hours, %s", int(left/time.Hour), kept), left < 24*time.Hour
	}
}

// alarmSentence says what an alarm is about in one line; the R7 mail has it all.
func alarmSentence(c ledger.Corp, a ledger.Alarm) string {
	text := report.ParseAlarm(a.Cause).Title(report.Corp{ID: c.ID, Name: c.Name}, report.English)
	if a.Affected > 0 {
		text += fmt.Sprintf(" (%d affected)", a.Affected)
	}
	return text
}
