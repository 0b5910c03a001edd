package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/report"
)

// moments are what a report says of when it was made: times, and the hours that are left from then.
var moments = []*regexp.Regexp{
	regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?Z?`),
	regexp.MustCompile(`[(（]?[0-9]{2}:[0-9]{2} UTC(\+|&#43;)08:00[)）]?`),
	regexp.MustCompile(`"[ab]":[0-9]{13}\b`),    // between which readings something happened
	regexp.MustCompile(`data-v="[0-9]{10}"`),    // a time by which a page sorts
	regexp.MustCompile(`<mobile-[0-9a-f]{32}@`), // the thread of a loss, by when it was
	regexp.MustCompile(`(at least|至少|不少于) ?[0-9]+ ?(hours|小时)`),
}

// wordOf is that WeCom told of something at a moment within those between which it was found to have happened: of clocks that are minutes apart it may be
// without them. That what WeCom told is kept, and looked at, is seen in the lives.
var wordOf = regexp.MustCompile(`; WeCom told of it at \(moment\) UTC ?\(moment\)|；企业微信于 \(moment\) UTC ?\(moment\) 通知|,?"told":\[[^\]]*\]`)

// withoutMoments replaces what depends on when a text was made.
func withoutMoments(b []byte) []byte {
	for _, m := range moments {
		b = m.ReplaceAll(b, []byte("(moment)"))
	}
	return wordOf.ReplaceAll(b, nil)
}

// inAnyOrder is a text's pieces, sorted: what has no time of its own comes in the order in which it was found, in the facts of a report and in R12's mails.
func inAnyOrder(b []byte) []byte {
	parts := strings.FieldsFunc(string(b), func(r rune) bool { return strings.ContainsRune("<\n{}", r) })
	slices.Sort(parts)
	return []byte(strings.Join(parts, "\n"))
}

// normalMail is a mail as its reader has it: its headers, and its parts decoded, without moments and without the boundaries between parts,
// which are made of them.
func normalMail(raw []byte) ([]byte, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read a mail: %w", err)
	}
	var out bytes.Buffer
	err = normalPart(&out, m.Header, m.Body)
	if m.Header.Get("X-WecomVault-Report") == string(report.Coverage) {
		return inAnyOrder(out.Bytes()), err
	}
	return out.Bytes(), err
}

func normalPart(out *bytes.Buffer, header map[string][]string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(strings.Join(header["Content-Type"], ""))
	if err != nil {
		return fmt.Errorf("read the type of a mail's part: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name != "Content-Type" {
			fmt.Fprintf(out, "%s: %s\n", name, withoutMoments([]byte(strings.Join(header[name], ", "))))
		}
	}
	fmt.Fprintf(out, "%s\n\n", kind)
	if !strings.HasPrefix(kind, "multipart/") {
		switch strings.ToLower(strings.Join(header["Content-Transfer-Encoding"], "")) {
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return fmt.Errorf("read a mail's part: %w", err)
		}
		_, err = out.Write(withoutMoments(b))
		return err
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a mail's parts: %w", err)
		}
		if err := normalPart(out, p.Header, p); err != nil {
			return err
		}
	}
}
