package report

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Attachment is a file that goes with a mail.
type Attachment struct {
	Name        string `json:"name"` // as people see it; may hold any letter
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

// Zipped says that the attachment was packed because of its size.
func (a *Attachment) Zipped() bool { return a != nil && a.ContentType == "application/zip" }

// maxPage is the largest page that is attached as it is. SES's first API takes 10 MB after base64, which makes 4 of 3 bytes and
// adds line ends; a page of this size leaves room for the two other parts.
const maxPage = 7_000_000

// attach makes an attachment of a page: as it is, or packed if it would not pass SES.
func attach(page []byte, name string) (*Attachment, error) {
	if len(page) <= maxPage {
		return &Attachment{Name: name + ".html", ContentType: "text/html; charset=utf-8", Body: page}, nil
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	// The header carries no time: equal pages must give equal bytes.
	w, err := z.CreateHeader(&zip.FileHeader{Name: name + ".html", Method: zip.Deflate})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(page); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if b.Len() > maxPage {
		return nil, fmt.Errorf("the page is too large to mail even when packed: %d bytes", b.Len())
	}
	return &Attachment{Name: name + ".zip", ContentType: "application/zip", Body: b.Bytes()}, nil
}

// fileWord makes a word that every file system takes: letters and digits of any script, the rest as single dashes.
func fileWord(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if s := strings.Trim(clip(b.String(), 40), "-…"); s != "" {
		return s
	}
	return "corp"
}

// trimFloat writes a number with at most one decimal.
func trimFloat(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}
