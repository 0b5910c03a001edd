package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/identity"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

const peopleUsage = "people show -corp ID [-user USERID] | preview -corp ID -file FILE.csv [-empty] | import -corp ID -file FILE.csv|-version N [-over N] [-empty] | versions -corp ID [-version N]: " +
	"who is in a company, with numbers, addresses, their sources and age; the company's own file (userid, name, mobile, email): what it would change, putting it or an earlier version " +
	"into force (-over: only if N is in force; -empty: a file that names nobody is meant), its versions or the file of one. What WeCom shows goes before the file, and that before what members say of themselves"

func people(ctx context.Context, p *program, args []string) error {
	return within(ctx, p, "people", args, command{name: "show", run: peopleShow}, command{name: "preview", run: peoplePreview}, command{name: "import", run: peopleImport},
		command{name: "versions", run: peopleVersions})
}

// files is the bucket of the HR files.
func (p *program) files() (*objstore.Store, error) {
	if p.reports == nil {
		return nil, errors.New("where are the files? Set REPORTS_BUCKET to the stack's output ReportsBucket")
	}
	return p.reports, nil
}

// shelf is where the HR files are.
func (p *program) shelf() (hrfile.Shelf, error) {
	store, err := p.files()
	return hrfile.Shelf{Ledger: p.ledger, Store: store}, err
}

// personPublic is a person as show prints it.
type personPublic struct {
	UserID      archive.PartyID       `json:"userid"`
	Departments []string              `json:"departments"`
	Gone        bool                  `json:"gone"`
	Fields      []identity.FieldState `json:"fields"`
	Values      []identity.Stated     `json:"values,omitempty"` // of one person: all that was ever known
}

// peopleShow shows numbers and addresses, so that it is audited first.
func peopleShow(ctx context.Context, p *program, args []string) error {
	f := flags("people show")
	user := f.String("user", "", "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	object := "people"
	if *user != "" {
		object = "person " + *user
	}
	if err := p.audit(ctx, "people show", c.ID, object); err != nil {
		return err
	}
	var departments []directory.Entry
	err = p.ledger.Entries(ctx, c.ID, directory.KindDepartment, func(e directory.Entry) bool { departments = append(departments, e); return true })
	if err != nil {
		return err
	}
	names, err := directory.DepartmentNames(departments)
	if err != nil {
		return err
	}
	looked, err := p.ledger.MembersRead(ctx, c.ID)
	if err != nil {
		return err
	}
	shelf, err := p.shelf()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(p.out)
	tell := func(e directory.Entry, record func(m directory.Member) (identity.Record, error), values bool) error {
		m, err := directory.Parse[directory.Member](e.Fields)
		if err != nil {
			return fmt.Errorf("member %s of corp %s: %w", e.ID, c.ID, err)
		}
		r, err := record(m)
		if err != nil {
			return err
		}
		out := personPublic{UserID: r.UserID, Departments: departmentNames(m.Departments, names, c), Gone: e.Gone || m.Status == directory.StatusLeft, Fields: r.States()}
		if values {
			out.Values = r.Stated()
		}
		return enc.Encode(out)
	}
	if *user == "" {
		files, err := shelf.Versions(ctx, c.ID, 1, "")
		if err != nil {
			return err
		}
		var failed error
		err = p.ledger.MembersAfter(ctx, c.ID, "", func(e directory.Entry) bool {
			failed = tell(e, func(m directory.Member) (identity.Record, error) {
				return identity.OfState(archive.PartyID(e.ID), m, e.Gone, identity.Seen(e, looked), files, nil), nil
			}, false)
			return failed == nil
		})
		return errors.Join(err, failed)
	}
	held, err := p.ledger.Held(ctx, c.ID, directory.KindMember, *user)
	if err != nil {
		return err
	}
	if held.At.IsZero() {
		return fmt.Errorf("WeCom's directory has never shown a userid %q: vaultctl people show -corp %s lists those there are", *user, c.ID)
	}
	files, err := shelf.Versions(ctx, c.ID, hrfile.Recent, archive.PartyID(*user))
	if err != nil {
		return err
	}
	return tell(held.Entry, func(m directory.Member) (identity.Record, error) {
		h, _, kept, err := p.ledger.MemberHistory(ctx, c.ID, archive.PartyID(*user))
		if !kept {
			return identity.OfState(archive.PartyID(*user), m, held.Gone, identity.Seen(held.Entry, looked), files, nil), err
		}
		return identity.Of(archive.PartyID(*user), h, files, nil), err
	}, true)
}

// comparisonPublic is what a file would change, or has changed.
type comparisonPublic struct {
	Rows    int               `json:"rows"`
	Gained  []archive.PartyID `json:"gained"`
	Lost    []archive.PartyID `json:"lost"`
	Changed []changePublic    `json:"changed"`
	Warning []string          `json:"warnings"`
}

type changePublic struct {
	UserID archive.PartyID `json:"userid"`
	Line   int             `json:"line"`
	Field  identity.Field  `json:"field"`
	Old    string          `json:"old"`
	New    string          `json:"new"`
}

// handedIn is a file that may be put into force over a version, and what that would come to.
type handedIn struct {
	content []byte
	base    ledger.HRFile // the zero one: there was none
	from    int           // the version whose file it is; 0: it is a new one
	public  comparisonPublic
}

// compare reads a file, of the disk or of an earlier version, and holds it against the one in force. Nothing of a file with a line that is wrong is taken.
func (p *program) compare(ctx context.Context, shelf hrfile.Shelf, corp archive.CorpID, path string, version, over int, nobody bool) (handedIn, error) {
	var in handedIn
	newest, _, err := p.ledger.HRFileInForce(ctx, corp)
	if err != nil {
		return in, err
	}
	if in.base = newest; over >= 0 && over != newest.Number {
		in.base = ledger.HRFile{Number: over}
		if over > 0 {
			if in.base, err = p.hrFile(ctx, corp, over); err != nil {
				return in, err
			}
		}
	}
	switch {
	case version > 0:
		h, err := p.hrFile(ctx, corp, version)
		if err != nil {
			return in, err
		}
		in.from = version
		if in.content, err = shelf.Content(ctx, h); err != nil {
			return in, err
		}
	default:
		if in.content, err = os.ReadFile(path); err != nil { // #nosec G304 -- the operator names it
			return in, err
		}
	}
	next, problems := identity.Parse(in.content)
	if !identity.Usable(problems) {
		lines := []string{"nothing of the file was taken; mend these lines and hand in the whole file again:"}
		for _, x := range problems {
			if !x.Warning() {
				lines = append(lines, "  "+x.Text())
			}
		}
		return in, errors.New(strings.Join(lines, "\n"))
	}
	x, err := shelf.Compare(ctx, corp, in.base.Number, next, nobody)
	if errors.Is(err, hrfile.ErrNobody) {
		return in, fmt.Errorf("%w: hand in all rows, or say -empty if nobody shall be in it", err)
	}
	if err != nil {
		return in, err
	}
	in.public = comparisonPublic{Rows: x.Rows, Gained: append([]archive.PartyID{}, x.Gained...), Lost: append([]archive.PartyID{}, x.Lost...), Changed: []changePublic{}, Warning: []string{}}
	for _, ch := range x.Changed {
		in.public.Changed = append(in.public.Changed, changePublic{ch.UserID, ch.Line, ch.Field, ch.Old, ch.New})
	}
	for _, w := range append(problems, x.Unknown...) {
		in.public.Warning = append(in.public.Warning, w.Text())
	}
	return in, nil
}

func (p *program) hrFile(ctx context.Context, corp archive.CorpID, number int) (ledger.HRFile, error) {
	h, err := p.ledger.HRFile(ctx, corp, number)
	if errors.Is(err, ledger.ErrAbsent) {
		return h, fmt.Errorf("there is no version %d: vaultctl people versions -corp %s lists those there are", number, corp)
	}
	return h, err
}

func peoplePreview(ctx context.Context, p *program, args []string) error {
	f := flags("people preview")
	path, nobody := f.String("file", "", ""), f.Bool("empty", false, "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if *path == "" {
		return &usageError{"people preview: -file FILE is needed"}
	}
	shelf, err := p.shelf()
	if err != nil {
		return err
	}
	if err := p.audit(ctx, "people preview", c.ID, "hr file"); err != nil {
		return err
	}
	in, err := p.compare(ctx, shelf, c.ID, *path, 0, -1, *nobody)
	if err != nil {
		return err
	}
	return json.NewEncoder(p.out).Encode(struct {
		Base int `json:"base"`
		comparisonPublic
	}{in.base.Number, in.public})
}

// peopleImport puts a file into force. Again, after an answer that was lost, it finds its version there.
func peopleImport(ctx context.Context, p *program, args []string) error {
	f := flags("people import")
	path, version, over, nobody := f.String("file", "", ""), f.Int("version", 0, ""), f.Int("over", -1, ""), f.Bool("empty", false, "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if (*path == "") == (*version <= 0) {
		return &usageError{"people import: either -file FILE or -version N is needed"}
	}
	shelf, err := p.shelf()
	if err != nil {
		return err
	}
	if err := p.audit(ctx, "people import", c.ID, "hr file"); err != nil {
		return err
	}
	in, err := p.compare(ctx, shelf, c.ID, *path, *version, *over, *nobody)
	if err != nil {
		return err
	}
	kept, err := shelf.Put(ctx, ledger.HRFile{Corp: c.ID, Number: in.base.Number + 1, Rows: in.public.Rows, By: p.actor, At: clock.Now(), From: in.from}, in.content)
	if errors.Is(err, ledger.ErrLost) {
		return fmt.Errorf("another version than %d is in force: look at it with vaultctl people versions -corp %s, then repeat the command", in.base.Number, c.ID)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(p.out).Encode(struct {
		Version int `json:"version"`
		Base    int `json:"base"`
		comparisonPublic
	}{kept.Number, in.base.Number, in.public})
}

// versionPublic is a version of the HR file as versions prints it.
type versionPublic struct {
	Version int    `json:"version"`
	InForce bool   `json:"in_force"`
	Rows    int    `json:"rows"`
	SHA256  string `json:"sha256"`
	Size    int    `json:"size"`
	By      string `json:"by"`
	At      string `json:"at"`
	From    int    `json:"from,omitempty"`
}

// peopleVersions lists the versions, or prints the file of one as it came.
func peopleVersions(ctx context.Context, p *program, args []string) error {
	f := flags("people versions")
	version := f.Int("version", 0, "")
	c, err := p.ofCorp(ctx, f, args)
	if err != nil {
		return err
	}
	if *version > 0 {
		if err := p.audit(ctx, "people versions", c.ID, fmt.Sprintf("hr file %d", *version)); err != nil {
			return err
		}
		h, err := p.hrFile(ctx, c.ID, *version)
		if err != nil {
			return err
		}
		shelf, err := p.shelf()
		if err != nil {
			return err
		}
		content, err := shelf.Content(ctx, h)
		if err != nil {
			return err
		}
		_, err = p.out.Write(content)
		return err
	}
	enc := json.NewEncoder(p.out)
	newest := 0
	var failed error
	err = p.ledger.HRFiles(ctx, c.ID, func(h ledger.HRFile) bool {
		newest = max(newest, h.Number)
		failed = enc.Encode(versionPublic{h.Number, h.Number == newest, h.Rows, h.SHA256, h.Size, h.By, rfc3339(h.At), h.From})
		return failed == nil
	})
	return errors.Join(err, failed)
}
