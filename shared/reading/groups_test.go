package reading_test

import (
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/reading"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// A group that the list lacks is looked at: that of an owner who left is on no list by owners.
func TestAGroupThatTheListLacksIsGoneIfWeComDoesNotShowIt(t *testing.T) {
	group := func(id string) directory.Entry {
		return directory.Entry{Kind: directory.KindRoom, ID: id, Fields: directory.Fields(directory.Room{Name: "Old", Kind: directory.RoomExternal, Listed: true, Members: []archive.PartyID{"kai", "wmA"}})}
	}
	known := []directory.Entry{group("wrA")}
	for name, c := range map[string]struct {
		get  func(string) string
		gone bool
		name string
	}{
		"its owner left": {always(`{"errcode":0,"group_chat":{"chat_id":"wrA","name":"New","owner":"gone","member_list":[{"userid":"mei","type":1},{"userid":"wmB","type":2}]}}`), false, "New"},
		"dismissed":      {refused(49008), true, "Old"}, "unknown": {refused(40050), true, "Old"}, "not to be asked": {refused(48002), true, "Old"},
		"busy": {refused(-1), false, "Old"}, "limited": {refused(45009), false, "Old"}, "silent": {always(""), false, "Old"},
	} {
		t.Run(name, func(t *testing.T) {
			owners := 0
			read, kept := newCompany(t, map[string]func(string) string{
				"externalcontact/get_follow_user_list": always(`{"errcode":0,"follow_user":["mei"]}`),
				"externalcontact/batch/get_by_user":    always(`{"errcode":0,"external_contact_list":[]}`),
				"externalcontact/groupchat/list": func(asked string) string {
					if owners++; owners == 1 {
						return refused(81017)("")
					}
					return `{"errcode":0,"group_chat_list":[{"chat_id":"wrB"}]}`
				},
				"externalcontact/groupchat/get": func(asked string) string {
					if asked == `{"chat_id":"wrB","need_name":1}` {
						return `{"errcode":0,"group_chat":{"name":"B","owner":"mei","member_list":[{"userid":"mei","type":1}]}}`
					}
					return c.get(asked)
				},
			}).gather(reading.Known{Entries: known}, secrets.Customer)
			if o := read.Parts[directory.PartGroups]; !o.Complete || o.Read != 1 {
				t.Errorf("groups are %+v", o)
			}
			all, _ := after(t, known, read)
			for _, e := range all {
				if e.ID != "wrA" {
					continue
				}
				room, err := directory.Parse[directory.Room](e.Fields)
				if err != nil || e.Gone != c.gone || room.Name != c.name || !room.Listed {
					t.Errorf("the group is %+v, %v", e, err)
				}
			}
			replayed(t, read, kept, known)
		})
	}
}

// Where the customer secret is held and refused, what an app sees that may list groups too is not all: no group is dismissed by it, and no contact gone.
func TestANarrowerListTakesNothingOfWhatTheRefusedSecretShowed(t *testing.T) {
	known := []directory.Entry{
		{Kind: directory.KindRoom, ID: "wrA", Fields: directory.Fields(directory.Room{Name: "A", Kind: directory.RoomExternal, Listed: true})},
		{Kind: directory.KindExternal, ID: "wmA", Fields: directory.Fields(directory.External{Name: "A", Type: 1, Followers: []archive.PartyID{"kai"}})},
	}
	play := map[string]func(string) string{
		"contacts externalcontact/get_follow_user_list": always(`{"errcode":0,"follow_user":[]}`),
		"contacts externalcontact/groupchat/list":       always(`{"errcode":0,"group_chat_list":[]}`),
		"contacts externalcontact/groupchat/get":        refused(40050),
	}
	read, kept := newCompany(t, play).gather(reading.Known{Entries: known}, secrets.Customer, secrets.Contacts)
	all, _ := after(t, known, read)
	for _, e := range all {
		if e.Gone {
			t.Errorf("%s %s is gone", e.Kind, e.ID)
		}
	}
	replayed(t, read, kept, known)
	read, _ = newCompany(t, play).gather(reading.Known{Entries: known}, secrets.Contacts) // it alone is held
	if all, _ = after(t, known, read); len(all) != 2 || !all[0].Gone || !all[1].Gone {
		t.Errorf("by the only secret there is, there are %+v", all)
	}
}
