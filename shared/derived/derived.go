// Package derived says what follows from the opened items of a batch: which messages have rows, what the rules find in them, which
// attachments are to be brought in, and what they say of consent. It is a function of those items and of the batch's times, and of nothing else, so that process, fsck and
// replay come to the same. It must not open an item, store anything, or know who asks.
package derived

import (
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/check"
	"github.com/wecomvault/wecomvault/shared/consent"
)

// Batch is what of a batch's row has a say in what follows from its items.
type Batch struct {
	Pulled   time.Time // stands in for the time of a message that has none, and is when what its messages say of consent was known
	CaughtUp time.Time // when the attachments of a message without a time began to age at the earliest; zero: unknown
}

// Finding is what a rule found, with the time under which it is listed.
type Finding struct {
	check.Finding
	Time time.Time
}

// File is an attachment that a message names.
type File struct {
	ID    archive.FileID
	Clock time.Time // when it began to age; zero: unknown
}

// Rows is what follows from opened items, in their order.
type Rows struct {
	Messages []archive.Message
	Findings []Finding
	Files    []File // one that is named twice is there twice
	Consents []consent.Statement
}

// Of derives the rows of items that were opened.
func Of(b Batch, opened []archive.SegmentItem) Rows {
	rows := Rows{Messages: make([]archive.Message, len(opened))}
	rules := check.Rules()
	for i, o := range opened {
		m := o.Message
		rows.Messages[i] = m
		for _, f := range check.Run(rules, m) {
			rows.Findings = append(rows.Findings, Finding{Finding: f, Time: orElse(m.Time, b.Pulled)})
		}
		rows.Consents = append(rows.Consents, consent.OfMessage(m, b.Pulled)...)
		for _, media := range m.Media {
			rows.Files = append(rows.Files, File{ID: media.FileID, Clock: orElse(m.Time, b.CaughtUp)})
		}
	}
	return rows
}

func orElse(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}
