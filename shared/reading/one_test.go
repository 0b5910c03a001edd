package reading_test

import (
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// Who comes back under a userid may be somebody else: what was known of the other is not said of him.
func TestWhoComesBackHasNotTheMobileOfWhoLeft(t *testing.T) {
	was := directory.Member{Name: "Kai", Listed: true, Departments: []int{1}, Status: 1, Mobile: "19912340001", MobileReadable: true, Email: "kai@tide.example", EmailReadable: true}
	now := directory.Member{Name: "Kaito", Departments: []int{1}, Status: 4}
	at := time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)
	for _, gone := range []bool{true, false} {
		before := directory.Entry{Kind: directory.KindMember, ID: "kai", Fields: directory.Fields(was), Gone: gone}
		o := directory.Observation{Asked: at, Answered: at, Via: string(secrets.Archive), Reading: directory.Reading{Members: []directory.ReadMember{{ID: "kai", Member: now}}}}
		e, changed, err := reading.Becomes(before, o)
		if err != nil || !changed {
			t.Fatal(changed, err)
		}
		m, err := directory.Parse[directory.Member](e.Fields)
		if err != nil || m.MobileReadable == gone || m.EmailReadable == gone || (m.Mobile+m.Email == "") != gone || !m.Listed || e.Gone {
			t.Errorf("gone before %t: %+v, %v", gone, m, err)
		}
	}
}
