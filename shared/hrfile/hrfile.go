// Package hrfile owns the versions of a company's own file about its people, content and all: the ledger says which there are, and the bucket of reports has what is
// in them. It puts a file into force that may be; who may do that, and how it is told, is its callers'. What a file says is shared/identity's.
package hrfile

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/identity"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// Recent is how many versions a single person's record is made of: the newest ones.
const Recent = 20

// ErrNobody is a file that names nobody. In force, it would take away all that the file before it gave, as a file does that was cut short.
var ErrNobody = errors.New("the file names nobody: it would take every number and address away that the file in force gives")

// Shelf has a stack's files. Store is the bucket of reports.
type Shelf struct {
	Ledger *ledger.Ledger
	Store  *objstore.Store
}

// Content is the file of a version as it came.
func (s Shelf) Content(ctx context.Context, h ledger.HRFile) ([]byte, error) {
	return s.Store.Get(ctx, objstore.Object{Key: h.Object, VersionID: h.Version, SHA256: h.SHA256})
}

// File is the file of a version, read; of the version 0, which is none, the empty one. The error wraps ledger.ErrAbsent if there is no such version.
func (s Shelf) File(ctx context.Context, corp archive.CorpID, number int) (identity.File, error) {
	if number == 0 {
		return identity.File{}, nil
	}
	h, err := s.Ledger.HRFile(ctx, corp, number)
	if err != nil {
		return identity.File{}, err
	}
	return s.file(ctx, h)
}

func (s Shelf) file(ctx context.Context, h ledger.HRFile) (identity.File, error) {
	content, err := s.Content(ctx, h)
	if err != nil {
		return identity.File{}, err
	}
	file, _ := identity.Parse(content) // it was put into force: what is wrong with it is no more than a warning
	return file, nil
}

// Versions are the newest versions of a corp's file, at most so many, the newest first; of one person alone if there is an id.
func (s Shelf) Versions(ctx context.Context, corp archive.CorpID, most int, id archive.PartyID) ([]identity.Version, error) {
	var rows []ledger.HRFile
	err := s.Ledger.HRFiles(ctx, corp, func(h ledger.HRFile) bool {
		rows = append(rows, h)
		return len(rows) < most
	})
	if err != nil {
		return nil, err
	}
	var out []identity.Version
	for _, h := range rows {
		file, err := s.file(ctx, h)
		if err != nil {
			return nil, err
		}
		if id != "" {
			file = file.Only(id)
		}
		out = append(out, identity.Version{Name: strconv.Itoa(h.Number), At: h.At, File: file})
	}
	return out, nil
}

// Compare holds a new file against the one of a version: what it would change, and whom of it WeCom's directory does not show. It is ErrNobody for a file that names
// nobody, unless that is meant.
func (s Shelf) Compare(ctx context.Context, corp archive.CorpID, base int, next identity.File, nobody bool) (identity.Comparison, error) {
	if len(next.Rows()) == 0 && !nobody {
		return identity.Comparison{}, ErrNobody
	}
	old, err := s.File(ctx, corp, base)
	if err != nil {
		return identity.Comparison{}, err
	}
	ids := map[string]bool{}
	err = s.Ledger.MembersAfter(ctx, corp, "", func(e directory.Entry) bool {
		ids[strings.ToLower(e.ID)] = !e.Gone
		return true
	})
	return identity.Compare(old, next, func(id string) bool { return ids[id] }), err
}

// Put puts a file into force as the version h.Number, whose other fields about the file it fills in. First the file, which is nothing by itself, and then the row that
// puts it into force. ErrLost of the ledger's says that another version is in force than the one before.
func (s Shelf) Put(ctx context.Context, h ledger.HRFile, content []byte) (ledger.HRFile, error) {
	h.SHA256, h.Size = archive.HashHex(content), len(content)
	object, err := s.Store.PutBlob(ctx, objstore.HRFileKey(h.Corp, h.SHA256), "text/csv", content)
	if err != nil {
		return h, err
	}
	h.Object, h.Version = object.Key, object.VersionID
	return s.Ledger.PutHRFile(ctx, h)
}
