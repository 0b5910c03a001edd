package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/identity"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// longestFile is how large an HR file may be, in bytes, to come and go over the API: Lambda takes and gives 6 MB, and JSON makes a file longer. Larger ones
// are vaultctl's.
const longestFile = 4 << 20

// longestAnswer is how large an answer may be, in bytes, framed as Lambda takes it: 6 MB, less what stands around a body.
const longestAnswer = 6<<20 - 16<<10

// framed is how long a body is as the JSON string in which it leaves: each quotation mark of a file is four bytes there.
func framed(body []byte) int {
	text, err := json.Marshal(string(body))
	if err != nil {
		return len(body) // a string can be written
	}
	return len(text)
}

// mostListed is how many people and changes an answer about a file names; the numbers beside are whole.
const mostListed = 200

// hrFileAnswer is a version of the HR file as the API shows it.
type hrFileAnswer struct {
	Version int    `json:"version"`
	InForce bool   `json:"in_force"`
	SHA256  string `json:"sha256"`
	Size    int    `json:"size"`
	Rows    int    `json:"rows"`
	By      string `json:"by"`
	At      string `json:"at"`
	From    int    `json:"from,omitempty"` // the version that was put back
	File    string `json:"file,omitempty"` // of a single version
}

func hrFileOf(h ledger.HRFile, newest int) hrFileAnswer {
	return hrFileAnswer{Version: h.Number, InForce: h.Number == newest, SHA256: h.SHA256, Size: h.Size, Rows: h.Rows, By: h.By, At: rfc3339(h.At), From: h.From}
}

// listHRFiles lists the versions of the HR file, the newest first.
func (a *api) listHRFiles(ctx context.Context, c *call) (answer, error) {
	p, err := pageOf(c.query, "hr-files", c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	list := []hrFileAnswer{}
	next, newest := "", 0
	err = a.ledger.HRFiles(ctx, c.corp.ID, func(h ledger.HRFile) bool {
		newest = max(newest, h.Number)
		switch {
		case p.After != "" && fmt.Sprintf("%010d", h.Number) >= p.After:
		case len(list) == p.Limit:
			next = p.next(fmt.Sprintf("%010d", list[len(list)-1].Version), true)
			return false
		default:
			list = append(list, hrFileOf(h, newest))
		}
		return true
	})
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, etag: etag(newest), body: struct {
		Files []hrFileAnswer `json:"files"`
		Next  string         `json:"next,omitempty"`
	}{list, next}}, nil
}

// getHRFile shows a version with its file.
func (a *api) getHRFile(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	number, err := strconv.Atoi(c.segment["version"])
	if err != nil || number < 1 || strconv.Itoa(number) != c.segment["version"] {
		return answer{}, absent("version")
	}
	h, err := a.ledger.HRFile(ctx, c.corp.ID, number)
	if errors.Is(err, ledger.ErrAbsent) {
		return answer{}, absent("version")
	}
	if err != nil {
		return answer{}, err
	}
	newest, _, err := a.ledger.HRFileInForce(ctx, c.corp.ID)
	if err != nil {
		return answer{}, err
	}
	large := newProblem(http.StatusConflict, "too-large-to-show", "The file is too large for an answer", "")
	large.Errors = []fieldProblem{{"version", "it is larger than an answer can be", fmt.Sprintf("show it with vaultctl people versions -corp %s -version %d", c.corp.ID, number)}}
	if h.Size > longestFile {
		return answer{}, large
	}
	content, err := a.files.Content(ctx, h)
	if err != nil {
		return answer{}, err
	}
	out := hrFileOf(h, newest.Number)
	out.File = string(content)
	text, err := textOf(out)
	if err == nil && framed(text) > longestAnswer {
		err = large
	}
	return answer{status: http.StatusOK, body: out, etag: etag(newest.Number)}, err
}

// hrFileBody is a file to be put into force, or the number of an earlier version to be put back.
type hrFileBody struct {
	File    *string `json:"file"`
	Version *int    `json:"version"`
	DryRun  *bool   `json:"dry_run"`

	AllowEmpty *bool `json:"allow_empty"` // a file that names nobody is meant
}

// importAnswer is what putting a file into force came to, or would.
type importAnswer struct {
	DryRun   bool              `json:"dry_run"`
	Version  int               `json:"version"` // which has the file, or would
	Base     int               `json:"base"`    // with which it was compared
	Rows     int               `json:"rows"`
	Gained   int               `json:"gained"`
	Lost     int               `json:"lost"`
	Changed  int               `json:"changed"` // fields, of those who are in both
	GainedOf []archive.PartyID `json:"gained_users"`
	LostOf   []archive.PartyID `json:"lost_users"`
	Changes  []changeAnswer    `json:"changes"`
	Warnings []lineAnswer      `json:"warnings"`
	More     bool              `json:"more"` // the lists name some alone
}

// changeAnswer is one field of one person.
type changeAnswer struct {
	UserID archive.PartyID `json:"userid"`
	Line   int             `json:"line"`
	Field  identity.Field  `json:"field"`
	Old    string          `json:"old"`
	New    string          `json:"new"`
}

// lineAnswer is something about a line of a file.
type lineAnswer struct {
	Line    int    `json:"line"` // 0: the file as a whole
	Column  int    `json:"column,omitempty"`
	Problem string `json:"problem"`
}

func some[T any](all []T) (list []T, more bool) {
	list = append([]T{}, all[:min(len(all), mostListed)]...)
	return list, len(all) > mostListed
}

func comparisonOf(x identity.Comparison, warnings []identity.Problem) importAnswer {
	out := importAnswer{Rows: x.Rows, Gained: len(x.Gained), Lost: len(x.Lost), Changed: len(x.Changed)}
	var more [4]bool
	out.GainedOf, more[0] = some(x.Gained)
	out.LostOf, more[1] = some(x.Lost)
	changes, cut := some(x.Changed)
	more[2] = cut
	out.Changes = []changeAnswer{}
	for _, ch := range changes {
		out.Changes = append(out.Changes, changeAnswer{ch.UserID, ch.Line, ch.Field, ch.Old, ch.New})
	}
	lines, cut := some(append(warnings, x.Unknown...))
	more[3] = cut
	out.Warnings = []lineAnswer{}
	for _, p := range lines {
		out.Warnings = append(out.Warnings, lineAnswer{p.Line, p.Column, p.Text()})
	}
	out.More = more[0] || more[1] || more[2] || more[3]
	return out
}

// unusable is a file that can't be put into force, with each line that is wrong.
func unusable(problems []identity.Problem) error {
	p := newProblem(http.StatusUnprocessableEntity, "invalid-field", "The file can't be put into force as it is", "Nothing of it was taken.")
	for _, x := range problems {
		if !x.Warning() && len(p.Errors) < mostListed {
			p.Errors = append(p.Errors, fieldProblem{"file", x.Text(), "mend the line, and send the whole file again"})
		}
	}
	return p
}

// importHRFile puts a file into force as the next version, or says what that would change. What was done already is answered as it was: the version that
// follows the one of If-Match has this file.
func (a *api) importHRFile(ctx context.Context, c *call) (answer, error) {
	if err := onlyQuery(c.query); err != nil {
		return answer{}, err
	}
	base, err := ifMatch(c.header)
	if err != nil {
		return answer{}, err
	}
	var body hrFileBody
	if err := read(c.body, &body); err != nil {
		return answer{}, err
	}
	content, from, err := a.handedIn(ctx, c.corp.ID, body)
	if err != nil {
		return answer{}, err
	}
	next, problems := identity.Parse(content)
	if !identity.Usable(problems) {
		return answer{}, unusable(problems)
	}
	compared, err := a.files.Compare(ctx, c.corp.ID, base, next, value(body.AllowEmpty))
	switch {
	case errors.Is(err, ledger.ErrAbsent):
		return answer{}, outdated()
	case errors.Is(err, hrfile.ErrNobody):
		return answer{}, wrong(fieldProblem{"file", err.Error(), "send all rows, or allow_empty: true if nobody shall be in it"})
	case err != nil:
		return answer{}, err
	}
	out := comparisonOf(compared, problems)
	out.Base, out.Version, out.DryRun = base, base+1, value(body.DryRun)
	if out.DryRun {
		c.object = "preview of version " + strconv.Itoa(base+1)
		newest, _, err := a.ledger.HRFileInForce(ctx, c.corp.ID)
		if err == nil && newest.Number != base {
			err = outdated()
		}
		return answer{status: http.StatusOK, body: out, etag: etag(base)}, err
	}
	c.object = "version " + strconv.Itoa(base+1)
	kept, err := a.files.Put(ctx, ledger.HRFile{Corp: c.corp.ID, Number: base + 1, Rows: out.Rows, By: "api:" + clip(c.person.Subject), At: a.now(), From: from}, content)
	if errors.Is(err, ledger.ErrLost) {
		return answer{}, outdated()
	}
	if err != nil {
		return answer{}, err
	}
	out.Version = kept.Number
	return answer{status: http.StatusCreated, body: out, etag: etag(kept.Number), location: "/v1/corps/" + string(c.corp.ID) + "/hr-files/" + strconv.Itoa(kept.Number)}, nil
}

// handedIn is the file of a request: its own, or that of an earlier version.
func (a *api) handedIn(ctx context.Context, corp archive.CorpID, body hrFileBody) (content []byte, from int, err error) {
	switch {
	case (body.File == nil) == (body.Version == nil):
		return nil, 0, wrong(fieldProblem{"file", "neither a file nor a version is given, or both", "give file for a new one, or version to put an earlier one back"})
	case body.File != nil:
		if len(*body.File) > longestFile {
			return nil, 0, wrong(fieldProblem{"file", fmt.Sprintf("it has more than %d bytes", longestFile), "put it into force with vaultctl people import"})
		}
		// What was no UTF-8 has become this character on its way here.
		if strings.ContainsRune(*body.File, utf8.RuneError) {
			return nil, 0, wrong(fieldProblem{"file", "this was not UTF-8 (GBK, perhaps)", "save the file as \"CSV UTF-8\""})
		}
		return []byte(*body.File), 0, nil
	}
	h, err := a.ledger.HRFile(ctx, corp, *body.Version)
	if errors.Is(err, ledger.ErrAbsent) {
		return nil, 0, wrong(fieldProblem{"version", "there is no such version", "choose one of the list of versions"})
	}
	if err != nil {
		return nil, 0, err
	}
	content, err = a.files.Content(ctx, h)
	return content, h.Number, err
}
