package main

import (
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// TestAnAttachmentThatDiffersFromItsMessageSaysHow: what WeCom handed out as the whole file is kept, whatever the message claims.
func TestAnAttachmentThatDiffersFromItsMessageSaysHow(t *testing.T) {
	const md5 = "0cc175b9c0f1b6a831c399e269772661"
	kept := ledger.MediaRow{State: ledger.Kept, Size: 1, SHA256: "ab", MD5: md5}
	lost := ledger.MediaRow{State: ledger.Lost, Reason: "media-expired"}
	for name, c := range map[string]struct {
		claims archive.Media
		row    *ledger.MediaRow
		want   attachment
	}{
		"as claimed":               {archive.Media{Size: 1, MD5: md5}, &kept, attachment{State: "kept", Size: 1, SHA256: "ab"}},
		"claimed in capitals":      {archive.Media{MD5: "0CC175B9C0F1B6A831C399E269772661"}, &kept, attachment{State: "kept", Size: 1, SHA256: "ab"}},
		"nothing claimed":          {archive.Media{}, &kept, attachment{State: "kept", Size: 1, SHA256: "ab"}},
		"another size":             {archive.Media{Size: 2, MD5: md5}, &kept, attachment{State: "kept", Size: 1, SHA256: "ab", Reason: "the message says 2 bytes"}},
		"another md5":              {archive.Media{Size: 1, MD5: "00"}, &kept, attachment{State: "kept", Size: 1, SHA256: "ab", Reason: "the message says md5 00"}},
		"a size beyond all bounds": {archive.Media{Size: 1<<64 - 1}, &kept, attachment{State: "kept", Size: 1, SHA256: "ab", Reason: "the message says 18446744073709551615 bytes"}},
		"lost":                     {archive.Media{Size: 2, MD5: "00"}, &lost, attachment{State: "lost", Reason: "media-expired"}},
		"not in yet":               {archive.Media{Size: 2, Name: "chart.pdf"}, nil, attachment{State: "waiting", Name: "chart.pdf"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.claims.FileID = "f"
			outcomes := map[string]ledger.MediaRow{}
			if c.row != nil {
				outcomes[c.claims.FileID.Hash()] = *c.row
			}
			c.want.FileID = "f"
			if got := attachmentOf(c.claims, outcomes); got != c.want {
				t.Errorf("%+v, not %+v", got, c.want)
			}
		})
	}
}
