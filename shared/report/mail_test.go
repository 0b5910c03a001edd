package report

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func writeMail(t *testing.T, m Mail) []byte {
	t.Helper()
	if m.ID == "" {
		m.ID = ID("test", m.Subject)
	}
	raw, err := m.Bytes(`"WeCom Vault" <vault@hailan.example>`, "admin@hailan.example", noon, "seed")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// parsed is a mail as somebody else reads it.
type parsed struct {
	Header  map[string]string `json:"header"`
	Subject string            `json:"subject"`
	From    string            `json:"from"`
	To      string            `json:"to"`
	Shape   []string          `json:"shape"` // content types from the outside in, in order
	Text    string            `json:"text"`
	HTML    string            `json:"html"`
	Files   []string          `json:"files"`
	Bodies  []string          `json:"bodies"` // base64
	Answers string            `json:"answers"`
	Refers  []string          `json:"refers"`
	Charset []string          `json:"charset"` // of the text parts and the files that have one
	Defects []string          `json:"defects"`
}

// readWithGo reads a mail with the standard library.
func readWithGo(t interface{ Fatal(...any) }, raw []byte) parsed {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	words := new(mime.WordDecoder)
	p := parsed{Header: map[string]string{}}
	for name, values := range m.Header {
		p.Header[name] = strings.Join(values, "\n")
	}
	if p.Subject, err = words.DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	p.Answers, p.Refers = m.Header.Get("In-Reply-To"), strings.Fields(m.Header.Get("References"))
	for _, a := range []struct {
		header string
		into   *string
	}{{"From", &p.From}, {"To", &p.To}} {
		list, err := m.Header.AddressList(a.header)
		if err != nil || len(list) != 1 {
			t.Fatal(a.header, list, err)
		}
		*a.into = list[0].Name + "|" + list[0].Address
	}
	var walk func(header map[string][]string, body io.Reader)
	get := func(h map[string][]string, name string) string { return mail.Header(h).Get(name) }
	walk = func(header map[string][]string, body io.Reader) {
		kind, params, err := mime.ParseMediaType(get(header, "Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		p.Shape = append(p.Shape, kind)
		if strings.HasPrefix(kind, "multipart/") {
			parts := multipart.NewReader(body, params["boundary"])
			for {
				part, err := parts.NextRawPart()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				walk(part.Header, part)
			}
		}
		if charset := params["charset"]; charset != "" {
			p.Charset = append(p.Charset, charset)
		}
		switch get(header, "Content-Transfer-Encoding") {
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		disposition, params, err := mime.ParseMediaType(get(header, "Content-Disposition"))
		switch {
		case err == nil && disposition == "attachment":
			p.Files, p.Bodies = append(p.Files, params["filename"]), append(p.Bodies, base64.StdEncoding.EncodeToString(content))
		case kind == "text/plain":
			p.Text = strings.ReplaceAll(string(content), "\r\n", "\n")
		case kind == "text/html":
			p.HTML = strings.ReplaceAll(string(content), "\r\n", "\n")
		}
	}
	walk(m.Header, m.Body)
	return p
}

const pythonReader = `
import sys, json, base64, email, email.policy
def read(raw):
    m = email.message_from_bytes(raw, policy=email.policy.default)
    out = {"header": {}, "shape": [], "defects": [], "text": "", "html": "", "files": [], "bodies": []}
    out["subject"] = str(m["Subject"])
    for k in ("From", "To"):
        a = m[k].addresses
        assert len(a) == 1, a
        out[k.lower()] = a[0].display_name + "|" + a[0].addr_spec
    out["answers"], out["refers"] = str(m["In-Reply-To"] or "").strip(), str(m["References"] or "").split()
    out["charset"] = [p.get_content_charset() for p in m.walk() if p.get_content_charset()]
    for k in m.keys():
        out["defects"] += [k + ": " + repr(d) for d in m[k].defects]
    for p in m.walk():
        out["shape"].append(p.get_content_type())
        out["defects"] += [repr(d) for d in p.defects]
        if p.is_multipart(): continue
        if p.get_content_disposition() == "attachment":
            out["files"].append(p.get_filename())
            out["bodies"].append(base64.b64encode(p.get_payload(decode=True)).decode())
        elif p.get_content_type() == "text/plain": out["text"] = p.get_content().replace("\r\n", "\n")
        elif p.get_content_type() == "text/html": out["html"] = p.get_content().replace("\r\n", "\n")
    return out
for line in sys.stdin: print(json.dumps(read(base64.b64decode(line))))
`

// checkWithPython holds that Python's own reader of mails reads ours as they were meant.
func checkWithPython(t *testing.T, mails []Mail) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("python3 is missing: it is the second reader of our mails")
		}
		t.Skip("python3 is missing")
	}
	var in, stderr bytes.Buffer
	for _, m := range mails {
		in.WriteString(base64.StdEncoding.EncodeToString(m.mustBytes(t)) + "\n")
	}
	cmd := exec.Command(python, "-c", pythonReader) // #nosec G204 -- our own program
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	read := json.NewDecoder(bytes.NewReader(out))
	for _, m := range mails {
		var p parsed
		if err := read.Decode(&p); err != nil {
			t.Fatal(err)
		}
		checkParsed(t, m, p)
	}
}

func sampleMails(t *testing.T) []Mail {
	t.Helper()
	var mails []Mail
	for _, v := range views() {
		r1, r7 := userStatus(t, sampleFacts(), v), maintenance(t, sampleTrouble(), v)
		r1.ID, r7.ID = ID("a", string(v.Language)), ID("b", string(v.Language))
		mails = append(mails, r1, r7)
	}
	mails[0].Subject = strings.Repeat("海岚 tea & ", 30) + "end" // long, in two scripts
	mails[0].Attachments[0].Name = strings.Repeat("很长的名字", 30) + ` "quoted" 50%.html`
	mails[2].Subject = strings.TrimSpace(strings.Repeat("a plain subject that goes on ", 12))
	return mails
}

const (
	fromBox = `"海岚 \"Vault\", 存档" <vault@hailan.example>`
	toBox   = `"O'Neil, 李 (Ops)" <ops+r1@mail.hailan.example>`
)

func (m Mail) mustBytes(t interface{ Fatal(...any) }) []byte {
	raw, err := m.Bytes(fromBox, toBox, noon, "seed")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func checkParsed(t *testing.T, m Mail, p parsed) {
	t.Helper()
	shape := []string{"multipart/alternative", "text/plain", "text/html"}
	want := parsed{Subject: m.Subject, From: `海岚 "Vault", 存档|vault@hailan.example`, To: "O'Neil, 李 (Ops)|ops+r1@mail.hailan.example", Text: m.Text, HTML: m.HTML}
	if len(m.Attachments) > 0 {
		shape = append([]string{"multipart/mixed"}, shape...)
	}
	for _, a := range m.Attachments {
		kind, _, _ := strings.Cut(a.ContentType, ";")
		shape = append(shape, kind)
		want.Files, want.Bodies = append(want.Files, a.Name), append(want.Bodies, base64.StdEncoding.EncodeToString(a.Body))
	}
	want.Shape = shape
	want.Charset = []string{"utf-8", "utf-8"}
	for _, a := range m.Attachments {
		if strings.Contains(a.ContentType, "charset=utf-8") {
			want.Charset = append(want.Charset, "utf-8")
		}
	}
	for _, thread := range m.Threads {
		want.Answers = "<" + thread + "@" + threadDomain + ">"
		want.Refers = append(want.Refers, want.Answers)
	}
	if len(p.Refers) == 0 {
		p.Refers = nil
	}
	p.Header = nil
	if len(p.Defects) == 0 {
		p.Defects = nil
	}
	if len(p.Files) == 0 {
		p.Files, p.Bodies = nil, nil
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("read back differently (-want +got):\n%s", diff)
	}
}

func TestMailReadsBackWithGo(t *testing.T) {
	for _, m := range sampleMails(t) {
		checkParsed(t, m, readWithGo(t, m.mustBytes(t)))
	}
}

func TestMailReadsBackWithPython(t *testing.T) { checkWithPython(t, sampleMails(t)) }

func TestMailKeepsToTheLine(t *testing.T) {
	for _, m := range sampleMails(t) {
		raw := m.mustBytes(t)
		if bytes.Count(raw, []byte("\n")) != bytes.Count(raw, []byte("\r\n")) {
			t.Error("a line ends without CRLF")
		}
		inHeader := true
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if line == "" {
				inHeader = false
			}
			if len(line) > 78 && !(inHeader && strings.HasPrefix(line, " <")) {
				t.Errorf("a line of %d characters: %q", len(line), line)
			}
			for i := range len(line) {
				if line[i] >= utf8.RuneSelf || (line[i] < ' ' && line[i] != '\t') {
					t.Fatalf("byte %#x in %q", line[i], line)
				}
			}
		}
	}
}

func TestMailIsTheSameForTheSame(t *testing.T) {
	for i, m := range sampleMails(t) {
		if !bytes.Equal(m.mustBytes(t), sampleMails(t)[i].mustBytes(t)) {
			t.Errorf("mail %d differs when it is built again", i)
		}
		other, err := m.Bytes(fromBox, toBox, noon, "another seed")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(m.mustBytes(t), other) {
			t.Error("the seed changes nothing")
		}
	}
}

func TestUrgentMailSaysSoAndNamesItsThreads(t *testing.T) {
	m := maintenance(t, sampleTrouble(), views()[0])
	m.ID = "alert-1"
	p := readWithGo(t, m.mustBytes(t))
	for name, want := range map[string]string{
		"Importance": "high", "X-Priority": "1 (Highest)", "X-Wecomvault-Report-Id": "alert-1", "X-Wecomvault-Report": "R7", "Auto-Submitted": "auto-generated",
		"Date": "Wed, 18 Mar 2026 12:00:00 +0000", "Mime-Version": "1.0",
	} {
		if p.Header[name] != want {
			t.Errorf("%s: %q, want %q", name, p.Header[name], want)
		}
	}
	for _, thread := range m.Threads {
		if !strings.Contains(p.Header["References"], "<"+thread+"@") {
			t.Errorf("References lack %s: %q", thread, p.Header["References"])
		}
	}
	calm := userStatus(t, sampleFacts(), views()[0])
	calm.ID = "r1-1"
	for _, name := range []string{"Importance", "X-Priority", "Priority", "References", "In-Reply-To"} {
		if v, ok := readWithGo(t, calm.mustBytes(t)).Header[name]; ok {
			t.Errorf("R1 has %s: %q", name, v)
		}
	}
}

func TestMailSurvivesJSON(t *testing.T) {
	for _, want := range sampleMails(t) {
		raw, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Mail
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhatIsNoAddressOrIDIsRefused(t *testing.T) {
	good := Mail{ID: "x", Subject: "s", Text: "t", HTML: "h"}
	for _, c := range []struct {
		name     string
		m        Mail
		from, to string
	}{
		{"two receivers", good, "a@x.example", "b@x.example, c@x.example"},
		{"a header in the receiver", good, "a@x.example", "b@x.example\r\nBcc: c@x.example"},
		{"a header in the sender's name", good, "\"a\r\nBcc: c@x.example\" <a@x.example>", "b@x.example"},
		{"no receiver", good, "a@x.example", ""},
		{"a domain without a dot", good, "a@x.example", "b@localhost"},
		{"a header in the id", Mail{ID: "x\r\nBcc: c@x.example"}, "a@x.example", "b@x.example"},
		{"no id", Mail{}, "a@x.example", "b@x.example"},
		{"a header in a thread", Mail{ID: "x", Threads: []string{"t>\r\nBcc: c@x.example"}}, "a@x.example", "b@x.example"},
		{"a header in the attachment's type", Mail{ID: "x", Attachments: []Attachment{{Name: "n", ContentType: "text/html\r\nBcc: c@x.example"}}}, "a@x.example", "b@x.example"},
	} {
		if raw, err := c.m.Bytes(c.from, c.to, noon, ""); err == nil {
			t.Errorf("%s: written as\n%s", c.name, raw)
		} else if strings.Contains(err.Error(), "x.example") {
			t.Errorf("%s: the error names an address: %v", c.name, err)
		}
	}
}

func TestNoTextCanAddAHeaderOrAPart(t *testing.T) {
	plain := Mail{ID: "x", Subject: "s", Text: "t", HTML: "h", Attachments: []Attachment{{Name: "n.html", ContentType: "text/html; charset=utf-8", Body: []byte("b")}}}
	want := readWithGo(t, plain.mustBytes(t))
	names := func(p parsed) []string {
		var out []string
		for n := range p.Header {
			out = append(out, n)
		}
		slices.Sort(out)
		return out
	}
	check := func(t interface {
		Fatal(...any)
		Errorf(string, ...any)
	}, evil string) {
		m := plain
		m.Subject, m.Text, m.HTML = evil, evil, evil
		m.Attachments = []Attachment{{Name: evil, ContentType: plain.Attachments[0].ContentType, Body: []byte(evil)}}
		got := readWithGo(t, m.mustBytes(t))
		if diff := cmp.Diff(names(want), names(got)); diff != "" {
			t.Errorf("%q changes the headers: %s", evil, diff)
		}
		if diff := cmp.Diff(want.Shape, got.Shape); diff != "" {
			t.Errorf("%q changes the parts: %s", evil, diff)
		}
		if wantSubject := clean(evil); got.Subject != wantSubject {
			t.Errorf("%q comes back as the subject %q, want %q", evil, got.Subject, wantSubject)
		}
		if body, err := base64.StdEncoding.DecodeString(got.Bodies[0]); err != nil || string(body) != evil {
			t.Errorf("%q comes back as the attachment %q", evil, body)
		}
	}
	for _, evil := range append(hostile(), "--=_", "\r\n--x--\r\n", "=?utf-8?q?a?= =?utf-8?q?b?=", strings.Repeat("x", 300), "a "+strings.Repeat("y", 70)) {
		check(t, evil)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.String().Draw(t, "text")) })
}

func TestIDsTellListsApart(t *testing.T) {
	seen := map[string]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"a", "b", ""}, {"a\n1:b"}, {"b", "a"}} {
		id := ID(parts...)
		if !isToken(id, "_-") || seen[id] != "" {
			t.Errorf("%q has the id %s, as has %s", parts, id, seen[id])
		}
		seen[id] = fmt.Sprintf("%q", parts)
	}
}
