package reading_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// What was read of the contacts of some members takes nothing of what is known of those of the others.
func TestWhoseContactsCouldNotBeReadKeepsThem(t *testing.T) {
	var members []string
	for i := range 101 {
		members = append(members, fmt.Sprintf("%q", fmt.Sprintf("u%04d", i)))
	}
	x := directory.External{Name: "A", Type: 1, Followers: []archive.PartyID{"u0000", "u0001", "u0100"}}
	known := []directory.Entry{{Kind: directory.KindExternal, ID: "wmA", Fields: directory.Fields(x)}}
	list := func(unlicensed string) string {
		return `{"errcode":0,"external_contact_list":[{"external_contact":{"external_userid":"wmA","name":"A","type":1},"follow_info":{"userid":"u0000"}}],"fail_info":{"unlicensed_userid_list":[` + unlicensed + `]}}`
	}
	for name, c := range map[string]struct {
		first, second string
		want          string
	}{
		"limited, and it had gone": {list(""), refused(45009)(""), "[u0000]"},
		"limited":                  {list(""), refused(45009)(""), "[u0000 u0100]"},
		"silent":                   {list(""), "", "[u0000 u0100]"},
		"unlicensed":               {list(`"u0001"`), `{"errcode":0,"external_contact_list":[]}`, "[u0000 u0001]"},
		"all read":                 {list(""), `{"errcode":0,"external_contact_list":[]}`, "[u0000]"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			read, kept := newCompany(t, map[string]func(string) string{
				"externalcontact/get_follow_user_list": always(`{"errcode":0,"follow_user":[` + strings.Join(members, ",") + `]}`),
				"externalcontact/batch/get_by_user": func(string) string {
					if calls++; calls == 1 {
						return c.first
					}
					return c.second
				},
				"externalcontact/groupchat/list": always(`{"errcode":0,"group_chat_list":[]}`),
			}).gather(reading.Known{Entries: known}, secrets.Customer)
			known := slices.Clone(known)
			known[0].Gone = name == "limited, and it had gone"
			all, _ := after(t, known, read)
			for _, e := range all {
				got, err := directory.Parse[directory.External](e.Fields)
				if err != nil || fmt.Sprint(got.Followers) != c.want {
					t.Errorf("it is followed by %v, want %s", got.Followers, c.want)
				}
			}
			replayed(t, read, kept, known)
		})
	}
}
