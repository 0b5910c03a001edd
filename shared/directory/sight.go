package directory

import (
	"maps"
	"slices"
	"time"
)

// Opener is something that could show what the secrets that are held hide. WeCom's answers don't say when an app was made or which addresses it
// knows, so it is a list of what to try, the surest first.
type Opener string

// The openers.
const (
	// OldSync is the contacts-sync secret (通讯录同步), asked from an address that WeCom knew before 15 August 2022, 10:00 in China.
	OldSync Opener = "contacts-sync-known-address"
	// OldApp is the secret of a self-built app made before 20 June 2022, 20:00 in China, whose visible range holds the member.
	OldApp Opener = "self-built-app-before-2022-06-20"
	// AnyApp is the secret of any self-built app whose visible range holds the member or department.
	AnyApp Opener = "self-built-app"
	// ArchiveSecret is the secret for archiving: only it lists who is designated.
	ArchiveSecret Opener = "archive"
	// OwnConsent is the member's own consent on a page of ours (OAuth2, snsapi_privateinfo), where an admin has opened the field for it.
	OwnConsent Opener = "member-consent"
	// HRFile is the company's own file: it says what the company knows, not what WeCom does.
	HRFile Opener = "hr-file"
)

// Openers is what could show a field, the surest first.
func Openers(f Field) []Opener {
	switch f {
	case FieldMobile, FieldEmail:
		return []Opener{OldSync, OldApp, OwnConsent, HRFile}
	case FieldDesignated, FieldEditions:
		return []Opener{ArchiveSecret}
	default:
		return []Opener{AnyApp, OldSync}
	}
}

// Unseen is a field that the newest looks at some entries did not show.
type Unseen struct {
	Field   Field
	Via     string // the kind of secret of those looks; "" for a field that nobody was ever asked for
	N       int    // how many entries: of these the field is unknown now, neither there nor lost
	Once    int    // of these, those for which an older look showed it
	Since   time.Time
	Openers []Opener
}

// Blindness sums up over entries that are there which of the given fields are unknown now, by field and source. Since is the oldest of the newest
// looks that did not show it.
func Blindness(histories []History, fields ...Field) []Unseen {
	type key struct {
		field Field
		via   string
	}
	sums := map[key]*Unseen{}
	for _, h := range histories {
		if !h.Here {
			continue
		}
		for _, f := range fields {
			k, known := h.Now[f]
			if known && k.Blind == "" && !k.Seen.IsZero() {
				continue
			}
			at := key{f, k.Blind}
			if sums[at] == nil {
				sums[at] = &Unseen{Field: f, Via: k.Blind, Since: k.BlindAt, Openers: Openers(f)}
			}
			sums[at].N++
			sums[at].Since = earlier(sums[at].Since, k.BlindAt)
			if !k.Seen.IsZero() {
				sums[at].Once++
			}
		}
	}
	var list []Unseen
	for _, f := range fields {
		for _, at := range slices.SortedFunc(maps.Keys(sums), func(a, b key) int {
			if a.via < b.via {
				return -1
			}
			return 1
		}) {
			if at.field == f {
				list = append(list, *sums[at])
			}
		}
	}
	return list
}

// State is what a member's history says of now, in the form that entries hold. A field that is unknown now is not readable; what is known is as old as Now
// says.
func (h History) State() Member {
	readable := func(f Field) (string, bool) {
		k := h.Now[f]
		return k.Value, !k.Seen.IsZero() && k.Blind == ""
	}
	one := func(f Field) int { return append(Numbers(h.Now[f].Value), 0)[0] }
	m := Member{
		Name: h.Now[FieldName].Value, Listed: h.Here, Departments: Numbers(h.Now[FieldDepartments].Value), Leads: Numbers(h.Now[FieldLeads].Value),
		DirectLeaders: partiesOf(h.Now[FieldDirectLeaders].Value), MainDepartment: one(FieldMainDepartment), Position: h.Now[FieldPosition].Value,
		Status: one(FieldStatus), Designated: h.Now[FieldDesignated].Value == "true", Editions: Numbers(h.Now[FieldEditions].Value),
	}
	if m.Mobile, m.MobileReadable = readable(FieldMobile); !m.MobileReadable {
		m.Mobile = ""
	}
	if m.Email, m.EmailReadable = readable(FieldEmail); !m.EmailReadable {
		m.Email = ""
	}
	m.DesignatedKnown = !h.Now[FieldDesignated].Seen.IsZero()
	return m
}

// Place is what a department's history says of now, in the form that entries hold.
func (h History) Place() Department {
	one := func(f Field) int { return append(Numbers(h.Now[f].Value), 0)[0] }
	return Department{
		Name: h.Now[FieldName].Value, NameEn: h.Now[FieldNameEn].Value, Parent: one(FieldParent), Order: int64(one(FieldOrder)),
		Leaders: partiesOf(h.Now[FieldLeaders].Value),
	}
}

// Lost says whether a member who is there had a value in the field and, by a look that shows the field, has none now; since is between when and
// when it went.
func (h History) Lost(f Field) (since Event, lost bool) {
	k, known := h.Now[f]
	if !h.Here || !known || k.Seen.IsZero() || k.Value != "" {
		return Event{}, false
	}
	removed := map[Field]Change{FieldMobile: MobileRemoved, FieldEmail: EmailRemoved}[f]
	for _, e := range slices.Backward(h.Events) {
		if e.What == removed {
			return e, true
		}
		if e.What == Joined {
			break
		}
	}
	return Event{}, false
}
