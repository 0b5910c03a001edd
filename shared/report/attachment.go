package report

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
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

const (
	typeHTML = "text/html; charset=utf-8"
	typeCSV  = "text/csv; charset=utf-8; header=present"
	typeZip  = "application/zip"
)

// Zipped says that the attachment was packed because of its size.
func (a Attachment) Zipped() bool { return a.ContentType == typeZip }

// maxAttached is the most that is attached to a mail, before base64. SES's first API takes 10 MB after base64, which makes 4 of 3 bytes and
// adds line ends; files of this size leave room for the two other parts.
const maxAttached = 7_000_000

// file is an attachment before it is written. Each call of write writes the same bytes.
type file struct {
	name, contentType string
	write             func(io.Writer) error
}

var errTooLarge = errors.New("too large to mail")

// bounded takes bytes up to its room, so that a page too large to mail is given up while it is written, not when it fills the memory.
type bounded struct {
	kept bytes.Buffer
	room int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > b.room {
		return 0, errTooLarge
	}
	return b.kept.Write(p)
}

// attach makes attachments of a page and its table as CSV. What would not pass SES is packed: the CSV first, then both into one file; of a company so large
// that even this does not pass, the CSV goes alone.
func attach(name string, page, csv file) ([]Attachment, error) {
	whole, err := plain(page, maxAttached)
	switch {
	case err == nil:
		room := maxAttached - len(whole.Body)
		rows, err := plain(csv, room)
		if errors.Is(err, errTooLarge) {
			rows, err = zipped(csv.name+".zip", room, csv)
		}
		if !errors.Is(err, errTooLarge) {
			return []Attachment{whole, rows}, err
		}
	case !errors.Is(err, errTooLarge):
		return nil, err
	}
	both, err := zipped(name+".zip", maxAttached, page, csv)
	if errors.Is(err, errTooLarge) {
		both, err = zipped(csv.name+".zip", maxAttached, csv)
	}
	if err != nil {
		return nil, fmt.Errorf("attach %d bytes at most: %w", maxAttached, err)
	}
	return []Attachment{both}, nil
}

func plain(f file, room int) (Attachment, error) {
	b := &bounded{room: room}
	err := f.write(b)
	return Attachment{Name: f.name, ContentType: f.contentType, Body: b.kept.Bytes()}, err
}

func zipped(name string, room int, files ...file) (Attachment, error) {
	b := &bounded{room: room}
	z := zip.NewWriter(b)
	for _, f := range files {
		// The header carries no time: equal files must give equal bytes.
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate})
		if err != nil {
			return Attachment{}, err
		}
		if err := f.write(w); err != nil {
			return Attachment{}, err
		}
	}
	if err := z.Close(); err != nil {
		return Attachment{}, err
	}
	return Attachment{Name: name, ContentType: typeZip, Body: b.kept.Bytes()}, nil
}

// attachedNote says what is attached.
func attachedNote(l Language, all []Attachment) []string {
	const (
		page = iota
		csv
	)
	has := [2]bool{}
	packed := false
	for _, a := range all {
		has[page] = has[page] || a.ContentType == typeHTML || a.Zipped() && !strings.HasSuffix(a.Name, ".csv.zip")
		has[csv] = has[csv] || a.ContentType == typeCSV || a.Zipped()
		packed = packed || a.Zipped()
	}
	var out []string
	if has[page] {
		out = append(out, l.say("The attached page works without a network: open it in a browser to sort, filter, search and print.",
			"所附网页可离线使用：在浏览器中打开，即可排序、筛选、搜索和打印。"))
	}
	if has[csv] {
		out = append(out, l.say("The attached CSV holds the same rows for a spreadsheet.", "所附 CSV 为相同内容，供电子表格使用。"))
	}
	if !has[page] && has[csv] {
		out = append(out, l.say("The page that usually goes with it would be too large to mail.", "通常随附的网页因过大无法通过邮件发送。"))
	}
	if packed {
		out = append(out, l.say("What ends in .zip is packed because of its size.", "因文件较大，以 .zip 结尾的文件已压缩。"))
	}
	return out
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
