package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	gomessage "github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
)

// message is a mail as a reader shows it. It is read by a library that shares nothing with the one that wrote it.
type message struct {
	Headers     []headerLine
	Text, HTML  string
	Attachments []attachment
}

type headerLine struct{ Name, Value string }

type attachment struct {
	Name string
	Type string
	Body []byte
}

// Viewable says whether a browser may show the attachment in its sandbox.
func (a attachment) Viewable() bool {
	return strings.HasPrefix(a.Type, "text/html") || strings.HasPrefix(a.Type, "text/plain")
}

func headersOf(raw []byte) textproto.Header {
	h, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return textproto.Header{}
	}
	return h
}

func parseMessage(raw []byte) (*message, error) {
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil && !gomessage.IsUnknownCharset(err) {
		return nil, fmt.Errorf("read the mail: %w", err)
	}
	m := &message{}
	fields := r.Header.Fields()
	for fields.Next() {
		value, err := fields.Text()
		if err != nil {
			value = fields.Value()
		}
		m.Headers = append(m.Headers, headerLine{fields.Key(), value})
	}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil && !gomessage.IsUnknownCharset(err) {
			return nil, fmt.Errorf("read a part of the mail: %w", err)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return nil, fmt.Errorf("read a part of the mail: %w", err)
		}
		switch h := part.Header.(type) {
		case *mail.InlineHeader:
			if kind, _, err := h.ContentType(); err == nil && kind == "text/html" {
				m.HTML += string(body)
			} else {
				m.Text += string(body)
			}
		case *mail.AttachmentHeader:
			name, err := h.Filename()
			if err != nil || name == "" {
				name = "attachment"
			}
			m.Attachments = append(m.Attachments, attachment{Name: name, Type: h.Get("Content-Type"), Body: body})
		}
	}
}
