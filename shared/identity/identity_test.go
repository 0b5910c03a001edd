package identity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/identity"
)

var noon = time.Date(2031, 1, 2, 12, 0, 0, 0, time.UTC)

func hour(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

// shown is a member in a snapshot; mobile "?" is hidden, and nil observations of it make it gone.
func shown(at int, mobile string) directory.Observation {
	m := directory.Member{Name: "Ada", Listed: true, Departments: []int{2}, Status: 1, Mobile: mobile, MobileReadable: true}
	if mobile == "?" {
		m.Mobile, m.MobileReadable = "", false
	}
	return observed(at, directory.ReadMember{ID: "ada", Member: m})
}

func observed(at int, members ...directory.ReadMember) directory.Observation {
	return directory.Observation{Asked: hour(at), Answered: hour(at).Add(time.Minute), Reading: directory.Reading{Members: members,
		Parts: map[directory.Part]directory.Outcome{directory.PartMembers: {Complete: true, Via: "contacts"}}}}
}

func history(observations ...directory.Observation) directory.History {
	var looks []directory.Look
	var glances []directory.Glance
	for _, o := range observations {
		l, g := o.Looks()
		looks, glances = append(looks, l...), append(glances, g...)
	}
	return directory.Fold(directory.KindMember, "ada", directory.Unpack(directory.KindMember, "ada", directory.Pack(directory.KindMember, "ada", looks, glances), glances), nil)
}

func version(t *testing.T, name string, at int, mobile string) identity.Version {
	t.Helper()
	return identity.Version{Name: name, At: hour(at), File: parsed(t, "userid,mobile\nADA,"+mobile+"\n")}
}

func said(at int, mobile string) identity.Said {
	return identity.Said{Field: identity.Mobile, Value: mobile, At: hour(at)}
}

// mobiles is a record's numbers, each in a line: the last digit, its source, from when to when, and whether it is the best.
func mobiles(r identity.Record) string {
	best, ok := r.Best(identity.Mobile)
	var lines []string
	for _, v := range r.Values[identity.Mobile] {
		to := "-"
		if !v.To.IsZero() {
			to = fmt.Sprint(v.To.Sub(noon).Hours())
		}
		line := fmt.Sprintf("%s %s %v..%s seen %v", v.Value[len(v.Value)-1:], v.Source, v.From.Sub(noon).Hours(), to, v.Seen.Sub(noon).Hours())
		if ok && v == best {
			line += " best"
		}
		lines = append(lines, line)
	}
	return strings.Join(append(lines, string(r.WeCom[identity.Mobile])), "\n")
}

func TestARecordSaysWhoGaveANumberAndWhen(t *testing.T) {
	file, own := []identity.Version{version(t, "1", 1, "13900000007"), version(t, "2", 3, "13900000008")}, []identity.Said{said(2, "13900000009")}
	for name, c := range map[string]struct {
		seen  []directory.Observation
		files []identity.Version
		own   []identity.Said
		want  string
	}{
		"nothing": {nil, nil, nil, "unread"},
		"WeCom goes before the file, and the file before the member": {[]directory.Observation{shown(0, "13900000001"), shown(4, "13900000001")}, file, own,
			"1 wecom 0..- seen 4 best\n8 hr-file 3..- seen 3\n7 hr-file 1..3 seen 1\n9 member 2..- seen 2\nshown"},
		"an old number is kept": {[]directory.Observation{shown(0, "13900000001"), shown(1, "13900000002"), shown(4, "13900000002")}, nil, nil,
			"2 wecom 1..- seen 4 best\n1 wecom 0..1 seen 0\nshown"},
		"what WeCom shows to be gone gives way":        {[]directory.Observation{shown(0, "13900000001"), shown(1, "")}, file, nil, "1 wecom 0..1 seen 0\n8 hr-file 3..- seen 3 best\n7 hr-file 1..3 seen 1\nempty"},
		"what WeCom hides now counts, as old as it is": {[]directory.Observation{shown(0, "13900000001"), shown(1, "?")}, file[:1], nil, "1 wecom 0..- seen 0 best\n7 hr-file 1..- seen 1\nhidden"},
		"hidden always: the file and the member":       {[]directory.Observation{shown(0, "?"), shown(1, "?")}, nil, own, "9 member 2..- seen 2 best\nhidden"},
		"who left":                                     {[]directory.Observation{shown(0, "13900000001"), observed(1)}, nil, nil, "1 wecom 0..0 seen 0\ngone"},
		"taken back by its member":                     {nil, nil, append(own, said(5, "")), "9 member 2..5 seen 2\nunread"},
		"out of the file":                              {nil, append(file, identity.Version{Name: "3", At: hour(6)}), nil, "8 hr-file 3..6 seen 3\n7 hr-file 1..3 seen 1\nunread"},
		"the same number in the next version":          {nil, []identity.Version{file[0], version(t, "2", 5, "+86 139 0000 0007")}, nil, "7 hr-file 1..- seen 5 best\nunread"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, mobiles(identity.Of("ada", history(c.seen...), c.files, c.own))); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestAnOldNumberGoesOnMatching(t *testing.T) {
	r := identity.Of("ada", history(shown(0, "13900000001"), shown(1, "13900000002")), nil, []identity.Said{said(2, "+86 139 0000 0002"), {Field: identity.Email, Value: "Ada@X.example", At: noon}})
	for number, want := range map[string]string{"139-0000-0001": "wecom false", "+8613900000002": "wecom true", "13900000003": " false"} {
		v, ok := r.Match(identity.Mobile, number)
		if got := fmt.Sprint(v.Source, " ", v.Current); got != want || ok != (v.Value != "") {
			t.Errorf("%s: %s", number, got)
		}
	}
	if _, ok := r.Match(identity.Email, "ada@x.example"); !ok {
		t.Error("an address is told apart by case")
	}
	if d := r.Differ(identity.Mobile); d != nil {
		t.Errorf("sources that agree differ: %+v", d)
	}
	r = identity.Of("ada", history(shown(0, "13900000001")), nil, []identity.Said{said(2, "13900000003")})
	if d := r.Differ(identity.Mobile); len(d) != 2 || d[0].Source != identity.WeCom {
		t.Errorf("sources that differ: %+v", d)
	}
}

func TestNumbersAreTheSameHoweverWritten(t *testing.T) {
	for written, want := range map[string]string{
		"13900000001": "+8613900000001", "+86 139-0000-0001": "+8613900000001", "0086 139 0000 0001": "+8613900000001", "+852 5123 4567": "+85251234567",
		"51234567": "51234567", "": "", " x ": "x", "+0123456789": "+0123456789", "+1234567": "+1234567", "١٣٩٠٠٠٠٠٠٠١": "١٣٩٠٠٠٠٠٠٠١", "+": "+", "00": "00",
	} {
		if got := identity.Normal(written); got != want {
			t.Errorf("%q is %q, want %q", written, got, want)
		}
		if got := identity.Normal(identity.Normal(written)); got != identity.Normal(written) {
			t.Errorf("%q is %q the second time", written, got)
		}
	}
}

func TestARecordIsTheSameInAnyOrder(t *testing.T) {
	files := []identity.Version{version(t, "1", 1, "13900000001"), version(t, "2", 2, "13900000002"), version(t, "3", 3, ""), version(t, "4", 4, "13900000001")}
	own := []identity.Said{said(0, "13900000005"), said(1, ""), said(2, "13900000005"), said(2, "13900000006")}
	seen := history(shown(0, "13900000001"), shown(1, ""), shown(2, "13900000002"))
	want := identity.Of(archive.PartyID("ada"), seen, files, own)
	rapid.Check(t, func(t *rapid.T) {
		got := identity.Of("ada", seen, rapid.Permutation(files).Draw(t, "files"), rapid.Permutation(own).Draw(t, "own"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}
