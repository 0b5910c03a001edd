package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	gomessage "github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// inWeCom stands in a letter's and an expectation's place of a report: it is a message in WeCom, whose receiver is a userid.
const inWeCom = "WeCom"

// letter is a mail as its receiver has it, or a message in WeCom as its member sees it.
type letter struct {
	Day     int // of the month; 1 is the first
	At      time.Time
	To      string
	Report  string
	Urgent  bool
	Subject string
	Text    string
	Rows    []string // the CSV's userids, sorted; nil: it has none
	Attempt string   // it may be a double, and says so
}

// mailbox reads every mail that SES was given, oldest first.
func mailbox(s *ses.Service) ([]letter, error) {
	all, err := s.Mails()
	if err != nil {
		return nil, fmt.Errorf("list the mails: %w", err)
	}
	letters := make([]letter, 0, len(all))
	for _, m := range all {
		raw, err := s.Delivered(m.ID)
		if err != nil {
			return nil, fmt.Errorf("read mail %s: %w", m.ID, err)
		}
		l, err := read(raw)
		if err != nil {
			return nil, fmt.Errorf("read mail %s: %w", m.ID, err)
		}
		if len(m.Destinations) != 1 || m.Destinations[0] != l.To {
			return nil, fmt.Errorf("mail %s says that it is for %s and was sent to %v", m.ID, l.To, m.Destinations)
		}
		l.At = m.Accepted.UTC()
		l.Day = dayOf(l.At)
		letters = append(letters, l)
	}
	return letters, nil
}

// shown is what members see that the companies' apps wrote to them, as the simulated WeCom has it.
func (w *world) shown(ctx context.Context) ([]letter, error) {
	var all []letter
	for _, corp := range w.corps {
		written, err := w.sim.Written(ctx, string(corp))
		if err != nil {
			return nil, err
		}
		for _, m := range written {
			if !m.Dropped {
				all = append(all, seen(m))
			}
		}
	}
	return all, nil
}

// seen is a message in WeCom as its member sees it.
func seen(m wecomsim.Written) letter {
	l := letter{Day: dayOf(m.At), At: m.At.UTC(), To: m.To, Report: inWeCom, Text: m.Text}
	if strings.Contains(m.Text, "sent again") {
		l.Attempt = "again"
	}
	return l
}

// read takes a mail apart. The library shares nothing with what wrote it.
func read(raw []byte) (letter, error) {
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		return letter{}, err
	}
	l := letter{Report: r.Header.Get("X-Wecomvault-Report"), Attempt: r.Header.Get("X-Wecomvault-Attempt"), Urgent: strings.EqualFold(r.Header.Get("Importance"), "high")}
	if l.Subject, err = r.Header.Subject(); err != nil {
		return l, fmt.Errorf("subject: %w", err)
	}
	to, err := r.Header.AddressList("To")
	if err != nil || len(to) != 1 {
		return l, fmt.Errorf("%d receivers: %w", len(to), err)
	}
	l.To = to[0].Address
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return l, nil
		}
		if err != nil && !gomessage.IsUnknownCharset(err) {
			return l, err
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return l, err
		}
		switch h := part.Header.(type) {
		case *mail.InlineHeader:
			if kind, _, err := h.ContentType(); err == nil && kind == "text/plain" {
				l.Text += string(body)
			}
		case *mail.AttachmentHeader:
			if kind, _, err := h.ContentType(); err == nil && kind == "text/csv" {
				if l.Rows, err = userids(body); err != nil {
					return l, fmt.Errorf("the attached table: %w", err)
				}
			}
		}
	}
}

// userids are what stands in a table's column of accounts, sorted. In the table of groups an account stands in parentheses behind its name.
func userids(body []byte) ([]string, error) {
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil {
		return nil, err
	}
	ids := []string{}
	column := -1
	for i, row := range rows {
		if i == 0 {
			column = slices.IndexFunc(row, func(head string) bool { return slices.Contains(accounts, head) })
			continue
		}
		if column >= 0 {
			ids = append(ids, row[column])
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// accounts are the heads of the columns in which a table names whom a row is about.
var accounts = []string{"Userid", "账号 (userid)", "Contact id", "联系人 ID"}
