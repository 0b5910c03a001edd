package wecomsim

import (
	"encoding/json"
	"slices"
)

func (c *call) read(into any) error {
	if len(c.body) == 0 {
		return nil
	}
	if json.Unmarshal(c.body, into) != nil {
		return refuse(47001)
	}
	return nil
}

func (s *Sim) permitUserList(c *call) (answer, error) {
	var req struct {
		Type int `json:"type"`
	}
	if err := c.read(&req); err != nil {
		return answer{}, err
	}
	if req.Type < 0 || req.Type > 3 {
		return answer{}, refuse(301039)
	}
	ids := []string{}
	for edition := 1; edition <= 3; edition++ {
		if req.Type != 0 && req.Type != edition {
			continue
		}
		for _, id := range c.corp.contacts.Permit[edition] {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return answer{object: object{{"ids", ids}}}, nil
}

func (c *contacts) consent(userid, roomid, external string) Consent {
	for _, x := range c.Consents {
		if x.External == external && equalFold(x.UserID, userid) && x.RoomID == roomid {
			return x
		}
	}
	return Consent{UserID: userid, RoomID: roomid, External: external, Status: agreeByDefault}
}

func (s *Sim) checkSingleAgree(c *call) (answer, error) {
	var req struct {
		Info []struct {
			UserID   string `json:"userid"`
			External string `json:"exteranalopenid"`
		} `json:"info"`
	}
	if err := c.read(&req); err != nil {
		return answer{}, err
	}
	switch {
	case len(req.Info) == 0:
		return answer{}, refuse(301039)
	case len(req.Info) > 100:
		return answer{}, refuse(301060)
	}
	info := []object{}
	for _, pair := range req.Info {
		if c.corp.contacts.member(pair.UserID) == nil || c.corp.contacts.external(pair.External) == nil {
			return answer{}, refuse(301061)
		}
		x := c.corp.contacts.consent(pair.UserID, "", pair.External)
		info = append(info, object{{"status_change_time", x.Changed}, {"userid", pair.UserID}, {"exteranalopenid", x.External}, {"agree_status", x.Status}})
	}
	return answer{object: object{{"agreeinfo", info}}}, nil
}

func (s *Sim) checkRoomAgree(c *call) (answer, error) {
	room, err := c.auditRoom()
	if err != nil {
		return answer{}, err
	}
	info := []object{}
	for _, id := range room.Members {
		if c.corp.contacts.external(id) == nil {
			continue
		}
		x := c.corp.contacts.consent("", room.ID, id)
		info = append(info, object{{"status_change_time", x.Changed}, {"exteranalopenid", id}, {"agree_status", x.Status}})
	}
	return answer{object: object{{"agreeinfo", info}}}, nil
}

func (c *call) auditRoom() (*Room, error) {
	var req struct {
		RoomID string `json:"roomid"`
	}
	if err := c.read(&req); err != nil {
		return nil, err
	}
	if req.RoomID == "" {
		return nil, refuse(301039)
	}
	room := c.corp.contacts.room(req.RoomID)
	switch {
	case room == nil:
		return nil, refuse(40050)
	case room.Kind == RoomOtherCorp:
		return nil, refuse(92002)
	}
	return room, nil
}

func (s *Sim) auditRoom(c *call) (answer, error) {
	room, err := c.auditRoom()
	if err != nil {
		return answer{}, err
	}
	if room.Kind != RoomInternal {
		return answer{}, refuse(301059)
	}
	members := []object{}
	for _, id := range room.Members {
		members = append(members, object{{"memberid", id}, {"jointime", room.CreateTime}})
	}
	return answer{object: object{
		{"roomname", room.Name}, {"creator", room.Owner}, {"room_create_time", room.CreateTime}, {"notice", room.Notice}, {"members", members},
	}}, nil
}

func (s *Sim) robotInfo(c *call) (answer, error) {
	for _, r := range c.corp.contacts.Robots {
		if r.ID == c.query("robot_id") {
			return answer{object: object{{"data", r}}}, nil
		}
	}
	return answer{}, refuse(40058)
}
