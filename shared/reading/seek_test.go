package reading_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// staff is so many members of department 1, and that department.
func staff(n int) (known []directory.Entry) {
	known = append(known, directory.Entry{Kind: directory.KindDepartment, ID: "1", Fields: directory.Fields(directory.Department{Name: "Tide"})})
	for i := range n {
		known = append(known, member(fmt.Sprintf("u%04d", i), 1))
	}
	return known
}

// emptied plays a company whose lists show nobody.
func emptied(get func(string) string) map[string]func(string) string {
	return map[string]func(string) string{
		"department/list": always(oneDepartment), "user/list": always(`{"errcode":0,"userlist":[]}`), "user/get": get, "msgaudit/get_permit_user_list": always(`{"errcode":0,"ids":[]}`),
	}
}

// replayed asks that what was kept of a reading comes to the same.
func replayed(t *testing.T, read directory.Reading, kept []byte, known []directory.Entry) {
	t.Helper()
	at := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
	again, err := reading.Replay(t.Context(), reading.Record{Corp: "wwtide", Asked: at, Answered: at, Object: "x", Counts: directory.Counts{Parts: read.Parts}}, kept)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := after(t, known, read)
	from, _ := after(t, known, again)
	text := func(list []directory.Entry) string {
		lines := make([]string, len(list))
		for i, e := range list {
			lines[i] = fmt.Sprintf("%+v", e)
		}
		slices.Sort(lines)
		return fmt.Sprint(lines)
	}
	if text(all) != text(from) {
		t.Errorf("read again from what was kept it is\n%s, and was\n%s", text(from), text(all))
	}
}

// left says how many of those who were there are gone.
func left(t *testing.T, known []directory.Entry, read directory.Reading) int {
	t.Helper()
	_, members := after(t, known, read)
	return len(known) - 1 - len(members)
}

// Of more members who are missing than there is time for, each is looked at before any is gone, by as many readings as it takes.
func TestNobodyIsGoneBeforeEachWhoIsMissingWasLookedAt(t *testing.T) {
	c := newCompany(t, emptied(refused(60111)))
	known, next := staff(40), reading.Known{}
	for n, want := range []struct {
		asked, gone int
		why         string
	}{{15, 0, reading.Missing}, {30, 0, reading.Missing}, {40, 40, ""}} {
		read, kept := c.gather(reading.Known{Entries: known, Most: 15, Sought: next.Sought, Doubted: next.Doubted}, secrets.Contacts)
		o := read.Parts[directory.PartMembers]
		if o.Why != want.why || o.Complete != (want.why == "") || left(t, known, read) != want.gone || c.asked(secrets.Contacts, "user/get") != want.asked {
			t.Errorf("reading %d: members are %+v, %d gone, after %d looks", n, o, left(t, known, read), c.asked(secrets.Contacts, "user/get"))
		}
		replayed(t, read, kept, known)
		next = reading.Known{Sought: o.Next, Doubted: o.Why == reading.Missing}
	}
}

// WeCom gave half an answer: a look shows those whom the list lacks.
func TestByHalfAListNobodyIsGone(t *testing.T) {
	there := func(asked string) string {
		return fmt.Sprintf(`{"errcode":0,"userid":%q,"name":"Kai","department":[1],"is_leader_in_dept":[0],"status":1}`, number(t, asked, "userid"))
	}
	known := staff(40)
	for name, k := range map[string]reading.Known{"all are looked at": {}, "some are": {Most: 15}, "the last are": {Sought: "u0030", Doubted: true}} {
		t.Run(name, func(t *testing.T) {
			k.Entries = known
			read, kept := newCompany(t, emptied(there)).gather(k, secrets.Contacts)
			o := read.Parts[directory.PartMembers]
			if o.Complete != (name == "all are looked at") || o.Next != "" || left(t, known, read) != 0 {
				t.Errorf("members are %+v, and %d are gone", o, left(t, known, read))
			}
			replayed(t, read, kept, known)
		})
	}
}

// A look that fails leaves the rest to the next reading, which goes on behind those who were looked at.
func TestTheNextReadingGoesOnWhereALookFailed(t *testing.T) {
	n := 0
	c := newCompany(t, emptied(func(string) string {
		if n++; n == 8 {
			return refused(45009)("")
		}
		return refused(60111)("")
	}))
	known := staff(20)
	read, _ := c.gather(reading.Known{Entries: known}, secrets.Contacts)
	if o := read.Parts[directory.PartMembers]; o.Complete || o.Next != "u0006" || left(t, known, read) != 0 {
		t.Errorf("members are %+v", o)
	}
	read, _ = c.gather(reading.Known{Entries: known, Sought: "u0006"}, secrets.Contacts)
	if o := read.Parts[directory.PartMembers]; !o.Complete || left(t, known, read) != 20 || n != 8+13 {
		t.Errorf("members are %+v, after %d looks", o, n)
	}

	// Where one was there, the list is not to be believed: nobody of it is left out next time.
	n = 0
	c = newCompany(t, emptied(func(asked string) string {
		if n++; n == 3 {
			return fmt.Sprintf(`{"errcode":0,"userid":%q,"name":"Kai","department":[1],"status":1}`, number(t, asked, "userid"))
		}
		return refused(map[bool]int{true: 45009, false: 60111}[n == 8])("")
	}))
	read, _ = c.gather(reading.Known{Entries: known}, secrets.Contacts)
	if o := read.Parts[directory.PartMembers]; o.Complete || o.Next != "" || left(t, known, read) != 0 {
		t.Errorf("members are %+v", o)
	}
}

// Contacts sync from a new address may list ids alone, and look at nobody. Another secret may; where none may, two readings have to say the same of many.
func TestWhomTheListsSecretMayNotLookAtAnotherIsAskedFor(t *testing.T) {
	known := staff(600)
	there := func(asked string) string {
		switch id := number(t, asked, "userid"); {
		case id < "u0020":
			return fmt.Sprintf(`{"errcode":0,"userid":%q,"name":"Kai","department":[7],"is_leader_in_dept":[0],"status":1}`, id)
		case id < "u0030":
			return refused(60011)("")
		}
		return refused(60111)("")
	}
	play := func(rows string, get func(string) string) map[string]func(string) string {
		return map[string]func(string) string{
			"contacts department/list": refused(48009), "contacts department/simplelist": always(lists), "contacts user/list": refused(48009), "contacts user/simplelist": refused(48009),
			"contacts user/list_id": always(rows), "contacts user/get": refused(48009),
			"archive department/list": always(oneDepartment), "archive user/list": always(`{"errcode":0,"userlist":[]}`), "archive user/get": get,
			"archive msgaudit/get_permit_user_list": always(`{"errcode":0,"ids":[]}`),
		}
	}
	const nobody = `{"errcode":0,"dept_user":[]}`
	t.Run("by another secret", func(t *testing.T) {
		some := known[:41]
		read, kept := newCompany(t, play(nobody, there)).gather(reading.Known{Entries: some}, secrets.Archive, secrets.Contacts)
		_, members := after(t, some, read)
		if o := read.Parts[directory.PartMembers]; !o.Complete || len(members) != 20 {
			t.Errorf("members are %+v, and %d are there", o, len(members))
		}
		if m := members["u0003"]; fmt.Sprint(m.Departments) != "[1]" || m.Status != 1 || m.Name != "Kai" {
			t.Errorf("what the other secret does not show of him is as it was, and he is %+v", m)
		}
		replayed(t, read, kept, some)
	})
	t.Run("by none", func(t *testing.T) {
		c := newCompany(t, play(nobody, refused(48002)))
		read, kept := c.gather(reading.Known{Entries: known}, secrets.Archive, secrets.Contacts)
		if o := read.Parts[directory.PartMembers]; o.Complete || o.Why != reading.Missing || left(t, known, read) != 0 {
			t.Errorf("at first members are %+v, and %d are gone", o, left(t, known, read))
		}
		replayed(t, read, kept, known)
		read, kept = c.gather(reading.Known{Entries: known, Doubted: true}, secrets.Archive, secrets.Contacts)
		if o := read.Parts[directory.PartMembers]; !o.Complete || left(t, known, read) != 600 {
			t.Errorf("then members are %+v, and %d are gone", o, left(t, known, read))
		}
		replayed(t, read, kept, known)
	})
}

// One answer lists all departments. One that it lacks is looked at, and is there if WeCom shows it.
func TestADepartmentIsNotGoneByHalfAnAnswer(t *testing.T) {
	known := append(staff(1), directory.Entry{Kind: directory.KindDepartment, ID: "2", Fields: directory.Fields(directory.Department{Name: "Deck", Parent: 1})})
	for name, c := range map[string]struct {
		get            func(string) string
		gone, complete bool
	}{
		"there":   {always(`{"errcode":0,"department":{"id":2,"name":"Deck","parentid":1}}`), false, true},
		"deleted": {refused(60003), true, true}, "out of range": {refused(60011), true, true}, "not to be asked": {refused(48002), true, true},
		"limited": {refused(45009), false, false}, "silent": {always(""), false, false}, "nobody's": {always(`{"ok":true}`), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			play := emptied(refused(60111))
			play["department/get"] = c.get
			play["user/list"] = always(`{"errcode":0,"userlist":[{"userid":"u0000","name":"Kai","department":[1],"status":1}]}`)
			read, kept := newCompany(t, play).gather(reading.Known{Entries: known}, secrets.Contacts)
			if o := read.Parts[directory.PartDepartments]; o.Complete != c.complete || read.Parts[directory.PartMembers].Complete != c.complete {
				t.Errorf("departments are %+v, members %+v", o, read.Parts[directory.PartMembers])
			}
			all, _ := after(t, known, read)
			for _, e := range all {
				if e.Kind == directory.KindDepartment && e.ID == "2" && e.Gone != c.gone {
					t.Errorf("it is gone: %t", e.Gone)
				}
			}
			replayed(t, read, kept, known)
		})
	}
}

// Where the answer lacks more departments than are looked at, one that is there shows that it was half of it.
func TestOfManyDepartmentsThatAreMissingTheFirstTell(t *testing.T) {
	known := staff(1)
	for i := range 600 {
		known = append(known, directory.Entry{Kind: directory.KindDepartment, ID: fmt.Sprint(i + 2), Fields: directory.Fields(directory.Department{Name: "Deck", Parent: 1})})
	}
	for there, complete := range map[string]bool{"500": false, "": true} {
		play := emptied(refused(60111))
		play["department/get"] = func(asked string) string {
			if number(t, asked, "id") == there {
				return `{"errcode":0,"department":{"id":500,"name":"Deck","parentid":1}}`
			}
			return refused(60003)("")
		}
		read, kept := newCompany(t, play).gather(reading.Known{Entries: known}, secrets.Contacts)
		if o := read.Parts[directory.PartDepartments]; o.Complete != complete || read.Parts[directory.PartMembers].Complete != complete {
			t.Errorf("with %q departments are %+v, members %+v", there, o, read.Parts[directory.PartMembers])
		}
		replayed(t, read, kept, known)
	}
}
