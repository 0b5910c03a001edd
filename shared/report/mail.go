package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// Mail is a report in one language, ready to be addressed. It can be kept as JSON and read back without loss.
type Mail struct {
	ID          string       `json:"id"` // of this mail to this receiver: [A-Za-z0-9_-], see ID; goes into X-WecomVault-Report-Id
	Kind        Kind         `json:"kind"`
	Language    Language     `json:"language"`
	Subject     string       `json:"subject"`
	Text        string       `json:"text"`
	HTML        string       `json:"html"`
	Attachments []Attachment `json:"attachments,omitempty"`
	Urgent      bool         `json:"urgent,omitempty"`
	State       string       `json:"state,omitempty"`   // of an alert: "began", "changed", "open" or "over", which goes into X-WecomVault-State
	Threads     []string     `json:"threads,omitempty"` // names of the threads it belongs to: [A-Za-z0-9.-]; clients put equal ones together
}

// threadDomain ends the ids that threads are known by. No mail has them as its own id: SES gives every mail a new one, so that a
// thread can only be held together by what its mails refer to.
const threadDomain = "thread.wecomvault.invalid"

// Bytes is the mail as RFC 5322 has it, in 7-bit ASCII with CRLF. from and to are single addresses, with or without a name. Equal
// arguments give equal bytes; the seed goes into the boundaries alone. Nothing in the mail's texts can add a header or a part: line ends
// in header texts are taken out, and what can't be an address or an id is an error.
func (m Mail) Bytes(from, to string, date time.Time, boundarySeed string) ([]byte, error) {
	fromAddr, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("write mail %s: the sender's address can't be read", m.ID)
	}
	toAddr, err := mail.ParseAddress(to)
	if err != nil {
		return nil, fmt.Errorf("write mail %s: the receiver's address can't be read", m.ID)
	}
	if !isToken(m.ID, "_-") {
		return nil, fmt.Errorf("write mail: the report id must be letters, digits, _ and -, at most 128 of them")
	}
	var b bytes.Buffer
	b.Grow(m.room())
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	for _, a := range []struct {
		name string
		addr *mail.Address
	}{{"From", fromAddr}, {"To", toAddr}} {
		value, err := foldAddress(a.name, a.addr)
		if err != nil {
			return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
		}
		header(a.name, value)
	}
	header("Subject", foldText("Subject", m.Subject))
	header("Date", date.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	header("Message-ID", "<"+m.ID+"@report.wecomvault.invalid>") // SES replaces it
	if len(m.Threads) > 0 {
		refs := make([]string, 0, len(m.Threads))
		for _, t := range m.Threads {
			if !isToken(t, ".-") {
				return nil, fmt.Errorf("write mail %s: a thread's name must be letters, digits, dots and dashes", m.ID)
			}
			refs = append(refs, "<"+t+"@"+threadDomain+">")
		}
		header("In-Reply-To", "\r\n "+refs[len(refs)-1])
		header("References", strings.Join(refs, "\r\n "))
		if m.State != "" { // by this older Outlook puts mails together
			header("Thread-Topic", foldText("Thread-Topic", strings.TrimPrefix(m.Subject, "Re: ")))
		}
	}
	header("X-WecomVault-Report-Id", m.ID)
	header("X-WecomVault-Report", foldText("X-WecomVault-Report", string(m.Kind)))
	if m.State != "" {
		header("X-WecomVault-State", foldText("X-WecomVault-State", m.State))
	}
	header("Auto-Submitted", "auto-generated")
	header("X-Auto-Response-Suppress", "OOF, AutoReply")
	header("Content-Language", string(m.Language))
	if m.Urgent {
		header("Importance", "high")
		header("X-Priority", "1 (Highest)")
		header("Priority", "urgent")
	}
	header("MIME-Version", "1.0")

	if len(m.Attachments) == 0 {
		body, kind, err := m.alternative(boundarySeed)
		if err != nil {
			return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
		}
		header("Content-Type", kind)
		b.WriteString("\r\n")
		b.Write(body)
		return b.Bytes(), nil
	}
	boundary := m.boundary(boundarySeed, "mixed")
	header("Content-Type", "multipart/mixed;\r\n boundary=\""+boundary+"\"")
	b.WriteString("\r\n")
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
	}
	body, kind, err := m.alternative(boundarySeed)
	if err != nil {
		return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
	}
	if err := writePart(w, map[string][]string{"Content-Type": {kind}}, body); err != nil {
		return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
	}
	for _, a := range m.Attachments {
		if strings.ContainsAny(a.ContentType, "\r\n") {
			return nil, fmt.Errorf("write mail %s: an attachment's content type is no single line", m.ID)
		}
		head := map[string][]string{
			"Content-Type":              {a.ContentType},
			"Content-Disposition":       {foldFileName(a.Name)},
			"Content-Transfer-Encoding": {"base64"},
		}
		p, err := w.CreatePart(head)
		if err == nil {
			err = writeBase64(p, a.Body)
		}
		if err != nil {
			return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write mail %s: %w", m.ID, err)
	}
	return b.Bytes(), nil
}

// alternative is the text part and the HTML part, the better one last.
func (m Mail) alternative(seed string) (body []byte, contentType string, err error) {
	boundary := m.boundary(seed, "alternative")
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, "", err
	}
	for _, p := range []struct{ kind, text string }{{"text/plain; charset=utf-8", m.Text}, {"text/html; charset=utf-8", m.HTML}} {
		encoding, encoded, err := encodeText(p.text)
		if err != nil {
			return nil, "", err
		}
		head := map[string][]string{
			"Content-Type":              {p.kind},
			"Content-Language":          {string(m.Language)},
			"Content-Transfer-Encoding": {encoding},
		}
		if err := writePart(w, head, encoded); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return b.Bytes(), "multipart/alternative;\r\n boundary=\"" + boundary + "\"", nil
}

// boundary depends on everything that it separates, so that nobody who writes a name can foresee it.
func (m Mail) boundary(seed, level string) string {
	h := sha256.New()
	for _, s := range []string{seed, level, m.ID, m.Subject, m.Text, m.HTML} {
		fmt.Fprintf(h, "%d:%s\n", len(s), s)
	}
	return "=_" + hex.EncodeToString(h.Sum(nil))[:40]
}

func writePart(w *multipart.Writer, head map[string][]string, body []byte) error {
	p, err := w.CreatePart(head)
	if err != nil {
		return err
	}
	_, err = p.Write(body)
	return err
}

// encodeText picks the shorter of the two encodings: quoted-printable for mostly Latin text, base64 for mostly Chinese.
func encodeText(s string) (encoding string, body []byte, err error) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	high := 0
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf || s[i] == '=' {
			high++
		}
	}
	if high*6 > len(s) {
		return "base64", base64Lines([]byte(strings.ReplaceAll(s, "\n", "\r\n"))), nil
	}
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.ReplaceAll(s, "\n", "\r\n"))); err != nil {
		return "", nil, err
	}
	if err := w.Close(); err != nil {
		return "", nil, err
	}
	return "quoted-printable", b.Bytes(), nil
}

// lineBytes is how many bytes a line of base64 holds, which is then 76 characters long.
const lineBytes = 57

func base64Lines(raw []byte) []byte {
	var b bytes.Buffer
	b.Grow(base64Room(len(raw)))
	_ = writeBase64(&b, raw) // a bytes.Buffer takes everything
	return b.Bytes()
}

// base64Room is how many bytes so many have as lines of base64.
func base64Room(n int) int { return base64.StdEncoding.EncodedLen(n) + 2*(n/lineBytes+1) }

// writeBase64 writes lines of base64. An attachment of megabytes is never there twice.
func writeBase64(w io.Writer, raw []byte) error {
	line := make([]byte, 0, 78)
	for {
		some := raw[:min(len(raw), lineBytes)]
		raw = raw[len(some):]
		line = append(base64.StdEncoding.AppendEncode(line[:0], some), '\r', '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
		if len(raw) == 0 {
			return nil
		}
	}
}

// room is how many bytes the mail has at most, about.
func (m Mail) room() int {
	n := 8<<10 + base64Room(len(m.Text)) + base64Room(len(m.HTML))
	for _, a := range m.Attachments {
		n += base64Room(len(a.Body)) + 1<<10
	}
	return n
}

// isToken says whether s is 1 to 128 ASCII letters, digits and characters of extra.
func isToken(s, extra string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(extra, r) {
			return false
		}
	}
	return true
}

// lineLimit is RFC 5322's advice for a header line, without CRLF; RFC 2047 allows 76 where an encoded word stands.
const lineLimit = 76

// foldText writes unstructured header text: ASCII is folded at spaces, anything else becomes encoded words.
func foldText(name, text string) string {
	text = clean(text)
	if isPlain(text) && !strings.Contains(text, "=?") && longestWord(text) < lineLimit-len(name)-2 {
		var b strings.Builder
		width := len(name) + 2
		for i, word := range strings.Split(text, " ") {
			switch {
			case i == 0:
			case width+1+len(word) > lineLimit:
				b.WriteString("\r\n ")
				width = 1
			default:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(word)
			width += len(word)
		}
		return b.String()
	}
	return encodedWords(text, len(name)+2)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func longestWord(s string) int {
	longest := 0
	for _, w := range strings.Split(s, " ") {
		longest = max(longest, len(w))
	}
	return longest
}

// encodedWords writes text as RFC 2047 words of whole characters, each on a line of its own; used is what stands on the first line.
func encodedWords(text string, used int) string {
	var words []string
	var chunk []byte
	room := func() int { return (min(lineLimit-1, lineLimit-used) - len("=?UTF-8?B??=")) / 4 * 3 }
	for _, r := range text {
		if len(chunk) > 0 && len(chunk)+utf8.RuneLen(r) > room() {
			words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString(chunk)+"?=")
			chunk = chunk[:0]
			used = 1
		}
		chunk = utf8.AppendRune(chunk, r)
	}
	words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString(chunk)+"?=")
	return strings.Join(words, "\r\n ")
}

// foldAddress writes one mailbox. The address goes on a line of its own where it would not fit.
func foldAddress(name string, a *mail.Address) (string, error) {
	if err := checkAddress(a.Address); err != nil {
		return "", err
	}
	display := clip(a.Name, 120)
	addr := "<" + a.Address + ">"
	switch {
	case display == "":
		return a.Address, nil
	case isPlain(display) && !strings.Contains(display, "=?"):
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(display) + `"`
		if len(name)+2+len(quoted) <= lineLimit {
			if len(name)+2+len(quoted)+1+len(addr) <= lineLimit {
				return quoted + " " + addr, nil
			}
			return quoted + "\r\n " + addr, nil
		}
	}
	return encodedWords(display, len(name)+2) + "\r\n " + addr, nil
}

// foldFileName writes the disposition of an attachment. A name that is not plain is given twice: as encoded words, which the mail programs
// that know no RFC 2231 read (old Outlook among them), and by RFC 2231, in pieces.
func foldFileName(file string) string {
	file = clean(strings.NewReplacer("/", "-", `\`, "-").Replace(file))
	const start = "attachment;\r\n filename=\""
	if isPlain(file) && !strings.Contains(file, `"`) && !strings.Contains(file, "=?") && len(file) <= 60 {
		return start + file + `"`
	}
	out := start + encodedWords(file, len(` filename="`)+1) + `"`
	escaped := percent(file)
	first := "UTF-8''"
	for i := 0; escaped != ""; i++ {
		n := min(len(escaped), 50)
		for n < len(escaped) && (escaped[n-1] == '%' || (n > 1 && escaped[n-2] == '%')) {
			n-- // an escaped byte stays in one piece
		}
		out += fmt.Sprintf(";\r\n filename*%d*=%s%s", i, first, escaped[:n])
		escaped, first = escaped[n:], ""
	}
	return out
}

// percent escapes every byte that RFC 2231 does not let stand for itself.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
