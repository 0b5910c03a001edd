package wecom

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Room is a group.
type Room struct {
	ID      archive.RoomID
	Name    string // "" if the group has none
	Owner   archive.PartyID
	Created time.Time // zero if not given
	Members []RoomMember
}

// RoomMember is a party of a group. What the call that was used does not tell is zero.
type RoomMember struct {
	ID       archive.PartyID
	Name     string // as the group's list shows it, at the time of the call
	External bool
	WeChat   bool // certainly a user of WeChat
}

// MostOwners is how many owners GroupChats takes at once.
const MostOwners = 100

// GroupChats lists the ids of the groups with external contacts, of all owners or of those given. Errcode 81017 says that there are too
// many to list without owners.
func (r *Reader) GroupChats(ctx context.Context, owners []archive.PartyID) ([]archive.RoomID, error) {
	const call = "externalcontact/groupchat/list"
	type filter struct {
		Owners []archive.PartyID `json:"userid_list"`
	}
	body := struct {
		Status int     `json:"status_filter"`
		Owner  *filter `json:"owner_filter,omitempty"`
		Cursor string  `json:"cursor"`
		Limit  int     `json:"limit"`
	}{Limit: 1000}
	if len(owners) > 0 {
		body.Owner = &filter{owners}
	}
	var ids []archive.RoomID
	err := pages(call, func(cursor string) (string, error) {
		var answer struct {
			Next string `json:"next_cursor"`
			List []struct {
				ID archive.RoomID `json:"chat_id"`
			} `json:"group_chat_list"`
		}
		body.Cursor = cursor
		if err := r.post(ctx, call, body, &answer); err != nil {
			return "", err
		}
		for _, row := range answer.List {
			ids = append(ids, row.ID)
		}
		return answer.Next, nil
	})
	return ids, err
}

// GroupChat reads a group with external contacts, with the names of its members. Errcode 49008 says that it was dismissed.
func (r *Reader) GroupChat(ctx context.Context, id archive.RoomID) (Room, error) {
	var answer struct {
		Chat struct {
			Name    string          `json:"name"`
			Owner   archive.PartyID `json:"owner"`
			Created int64           `json:"create_time"` // s
			Members []struct {
				ID      archive.PartyID `json:"userid"`
				Type    int             `json:"type"` // 1 member, 2 external
				UnionID string          `json:"unionid"`
				Name    string          `json:"name"`
			} `json:"member_list"`
		} `json:"group_chat"`
	}
	body := struct {
		ID       archive.RoomID `json:"chat_id"`
		NeedName int            `json:"need_name"`
	}{id, 1}
	if err := r.post(ctx, callGroupChat, body, &answer); err != nil {
		return Room{}, err
	}
	room := Room{ID: id, Name: answer.Chat.Name, Owner: answer.Chat.Owner, Created: seconds(answer.Chat.Created)}
	for _, m := range answer.Chat.Members {
		// QUIRK: a unionid is shown for users of WeChat alone; without one an external member may be either.
		room.Members = append(room.Members, RoomMember{ID: m.ID, Name: m.Name, External: m.Type == 2, WeChat: m.Type == 2 && m.UnionID != ""})
	}
	return room, nil
}

// AuditRoom reads an internal group with the secret of the archive. Errcode 301059 says that it has external members.
func (r *Reader) AuditRoom(ctx context.Context, id archive.RoomID) (Room, error) {
	var answer struct {
		Name    string          `json:"roomname"`
		Creator archive.PartyID `json:"creator"`
		Created int64           `json:"room_create_time"` // s
		Members []struct {
			ID archive.PartyID `json:"memberid"`
		} `json:"members"`
	}
	body := struct {
		ID archive.RoomID `json:"roomid"`
	}{id}
	if err := r.post(ctx, callAuditRoom, body, &answer); err != nil {
		return Room{}, err
	}
	room := Room{ID: id, Name: answer.Name, Owner: answer.Creator, Created: seconds(answer.Created)}
	for _, m := range answer.Members {
		room.Members = append(room.Members, RoomMember{ID: m.ID})
	}
	return room, nil
}

// The editions of message archiving that a member can be designated under. AnyEdition asks for all of them.
const (
	AnyEdition        = 0
	OfficeEdition     = 1
	ServiceEdition    = 2
	EnterpriseEdition = 3
)

// Permitted lists the members whose messages are archived under an edition.
func (r *Reader) Permitted(ctx context.Context, edition int) ([]archive.PartyID, error) {
	var answer struct {
		IDs []archive.PartyID `json:"ids"`
	}
	body := struct {
		Type int `json:"type,omitempty"`
	}{edition}
	err := r.post(ctx, "msgaudit/get_permit_user_list", body, &answer)
	return answer.IDs, err
}

// Robot is a robot of the corp.
type Robot struct {
	ID      archive.PartyID `json:"robot_id"`
	Name    string          `json:"name"`
	Creator archive.PartyID `json:"creator_userid"`
}

// Robot reads a robot.
func (r *Reader) Robot(ctx context.Context, id archive.PartyID) (Robot, error) {
	var answer struct {
		Data Robot `json:"data"`
	}
	err := r.get(ctx, callRobot, url.Values{"robot_id": {string(id)}}, &answer)
	if answer.Data.ID == "" {
		answer.Data.ID = id
	}
	return answer.Data, err
}

// latest is the last second that a time in JSON can have.
const latest = 253402300799

// seconds is a time that WeCom gives in seconds. One that it can't have meant, such as a number of milliseconds, is not given: a single room
// must not keep the whole directory from being written.
func seconds(s int64) time.Time {
	if s <= 0 || s > latest {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

const (
	callGroupChat = "externalcontact/groupchat/get"
	callAuditRoom = "msgaudit/groupchat/get"
	callRobot     = "msgaudit/get_robot_info"
)

// AskedOfRoom is the room of which an answer is; audit says that it was asked for with the secret of the archive. ok is false for any other answer.
func AskedOfRoom(a Answer) (id archive.RoomID, audit, ok bool) {
	if a.Call != callGroupChat && a.Call != callAuditRoom {
		return "", false, false
	}
	var body struct {
		Chat archive.RoomID `json:"chat_id"`
		Room archive.RoomID `json:"roomid"`
	}
	err := json.Unmarshal([]byte(a.Asked), &body)
	id = cmp.Or(body.Room, body.Chat)
	return id, a.Call == callAuditRoom, err == nil && id != ""
}

// AskedOfRobot is the robot of which an answer is. ok is false for any other answer.
func AskedOfRobot(a Answer) (id archive.PartyID, ok bool) {
	if a.Call != callRobot {
		return "", false
	}
	query, err := url.ParseQuery(a.Asked)
	id = archive.PartyID(query.Get("robot_id"))
	return id, err == nil && id != ""
}
