package wecomsim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// fullReader says whether a kind reads mobile, email and the other sensitive fields.
func fullReader(kind string) bool { return kind == KindLegacyApp || kind == KindContactsSyncOldIP }

func (s *Sim) visibleDepartments(c *call) ([]Department, map[int]bool, error) {
	sees := c.corp.contacts.sees(c.secret)
	within := sees
	if id := c.query("id"); id != "" {
		n, err := strconv.Atoi(id)
		if err != nil || n < 1 {
			return nil, nil, refuse(60123)
		}
		if c.corp.contacts.department(n) == nil {
			return nil, nil, refuse(60003)
		}
		if !sees[n] {
			return nil, nil, refuse(60011)
		}
		within = c.corp.contacts.below(n)
	}
	list := []Department{}
	for _, d := range c.corp.contacts.Departments {
		if sees[d.ID] && within[d.ID] {
			list = append(list, d)
		}
	}
	return list, sees, nil
}

func (s *Sim) departmentList(c *call) (answer, error) {
	list, _, err := s.visibleDepartments(c)
	if err != nil {
		return answer{}, err
	}
	return answer{object: object{{"department", list}}}, nil
}

func (s *Sim) departmentGet(c *call) (answer, error) {
	n, err := strconv.Atoi(c.query("id"))
	if err != nil {
		return answer{}, refuse(60123)
	}
	d := c.corp.contacts.department(n)
	switch {
	case d == nil:
		return answer{}, refuse(60003)
	case !c.corp.contacts.sees(c.secret)[n]:
		return answer{}, refuse(60011)
	}
	return answer{object: object{{"department", d}}}, nil
}

func (s *Sim) departmentSimpleList(c *call) (answer, error) {
	list, _, err := s.visibleDepartments(c)
	if err != nil {
		return answer{}, err
	}
	ids := []object{}
	for _, d := range list {
		ids = append(ids, object{{"id", d.ID}, {"parentid", d.Parent}, {"order", d.Order}})
	}
	return answer{object: object{{"department_id", ids}}}, nil
}

// membersIn are the members that a caller sees in a department: those who left are gone.
func (c *call) membersIn(fetchChild bool) ([]Member, error) {
	id, err := strconv.Atoi(c.query("department_id"))
	if err != nil {
		return nil, refuse(60123)
	}
	if c.corp.contacts.department(id) == nil {
		return nil, refuse(60003)
	}
	sees := c.corp.contacts.sees(c.secret)
	if !sees[id] {
		return nil, refuse(60011)
	}
	in := map[int]bool{id: true}
	if fetchChild {
		in = c.corp.contacts.below(id)
	}
	var list []Member
	for _, m := range c.corp.contacts.Members {
		if m.Status != 5 && slices.ContainsFunc(m.Department, func(d int) bool { return in[d] && sees[d] }) {
			list = append(list, m)
		}
	}
	return list, nil
}

func (s *Sim) userSimpleList(c *call) (answer, error) {
	members, err := c.membersIn(c.query("fetch_child") == "1")
	if err != nil {
		return answer{}, err
	}
	list := []object{}
	for _, m := range members {
		list = append(list, object{{"userid", m.UserID}, {"name", m.Name}, {"department", m.Department}})
	}
	return answer{object: object{{"userlist", list}}}, nil
}

func (s *Sim) userList(c *call) (answer, error) {
	members, err := c.membersIn(c.query("fetch_child") == "1")
	if err != nil {
		return answer{}, err
	}
	list := []object{}
	for _, m := range members {
		list = append(list, m.shownTo(c.secret.Kind))
	}
	return answer{object: object{{"userlist", list}}}, nil
}

func (s *Sim) userGet(c *call) (answer, error) {
	id := c.query("userid")
	if id == "" || len(id) > 64 {
		return answer{}, refuse(40003)
	}
	m := c.corp.contacts.member(id)
	if m == nil {
		return answer{}, refuse(60111)
	}
	sees := c.corp.contacts.sees(c.secret)
	if !slices.ContainsFunc(m.Department, func(d int) bool { return sees[d] }) {
		return answer{}, refuse(60011)
	}
	return answer{object: m.shownTo(c.secret.Kind)}, nil
}

// shownTo is the member as a kind of secret reads it. What is hidden is absent, but gender, which is "0".
func (m *Member) shownTo(kind string) object {
	order := make([]int, len(m.Department))
	leads := m.IsLeaderInDept
	if leads == nil {
		leads = make([]int, len(m.Department))
	}
	direct := m.DirectLeader
	if direct == nil {
		direct = []string{}
	}
	gender := "0"
	if fullReader(kind) && m.Gender != "" {
		gender = m.Gender
	}
	o := object{
		{"userid", m.UserID}, {"name", m.Name}, {"department", m.Department}, {"order", order}, {"position", m.Position},
		{"gender", gender}, {"is_leader_in_dept", leads}, {"direct_leader", direct}, {"telephone", m.Telephone}, {"alias", m.Alias},
		{"main_department", m.MainDepartment}, {"extattr", object{{"attrs", []int{}}}}, {"status", m.Status},
	}
	if fullReader(kind) {
		o = append(o, object{
			{"mobile", m.Mobile}, {"email", m.Email}, {"biz_mail", m.BizMail}, {"address", m.Address},
			{"avatar", "https://wework.qpic.cn/wwpic/simulated/0"}, {"thumb_avatar", "https://wework.qpic.cn/wwpic/simulated/100"},
			{"qr_code", "https://open.work.weixin.qq.com/wwopen/userQRCode?vcode=simulated"},
		}...)
	}
	return o
}

func (s *Sim) userListID(c *call) (answer, error) {
	var req struct {
		Cursor string `json:"cursor"`
		Limit  *int   `json:"limit"`
	}
	if err := c.read(&req); err != nil {
		return answer{}, err
	}
	limit := 10000
	if req.Limit != nil {
		limit = *req.Limit
	}
	if limit < 1 || limit > 10000 {
		return answer{}, refuse(40058)
	}
	rows := []object{}
	for _, m := range c.corp.contacts.Members {
		if m.Status == 5 {
			continue
		}
		for _, d := range m.Department {
			rows = append(rows, object{{"userid", m.UserID}, {"department", d}})
		}
	}
	page, next, err := pageOf(rows, req.Cursor, limit)
	if err != nil {
		return answer{}, err
	}
	return answer{object: object{{"next_cursor", next}, {"dept_user", page}}}, nil
}

// pageOf cuts one page out of rows; the cursor is opaque to its caller.
func pageOf[T any](rows []T, cursor string, limit int) ([]T, string, error) {
	from := 0
	if cursor != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(cursor, "simcursor-"))
		if err != nil || n < 0 || n > len(rows) {
			return nil, "", refuse(40058)
		}
		from = n
	}
	to := min(from+limit, len(rows))
	next := ""
	if to < len(rows) {
		next = "simcursor-" + strconv.Itoa(to)
	}
	return rows[from:to], next, nil
}

func (s *Sim) followUsers(c *call) (answer, error) {
	ids := []string{}
	for _, x := range c.corp.contacts.Externals {
		for _, f := range x.FollowUsers {
			if !slices.Contains(ids, f.UserID) {
				ids = append(ids, f.UserID)
			}
		}
	}
	return answer{object: object{{"follow_user", ids}}}, nil
}

func (c *contacts) followedBy(userid string) []External {
	var list []External
	for _, x := range c.Externals {
		if slices.ContainsFunc(x.FollowUsers, func(f Follow) bool { return equalFold(f.UserID, userid) }) {
			list = append(list, x)
		}
	}
	return list
}

func (s *Sim) externalList(c *call) (answer, error) {
	if c.corp.contacts.member(c.query("userid")) == nil {
		return answer{}, refuse(40003)
	}
	ids := []string{}
	for _, x := range c.corp.contacts.followedBy(c.query("userid")) {
		ids = append(ids, x.ID)
	}
	if len(ids) == 0 {
		return answer{}, refuse(84061)
	}
	return answer{object: object{{"external_userid", ids}}}, nil
}

// shown is the external_contact of an external contact: which fields it has depends on its type.
func (x *External) shown() object {
	o := object{
		{"external_userid", x.ID}, {"name", x.Name}, {"type", x.Type}, {"avatar", "https://wx.qlogo.cn/mmhead/simulated/0"}, {"gender", x.Gender},
	}
	if x.Type == 2 {
		return append(o, object{
			{"position", x.Position}, {"corp_name", x.CorpName}, {"corp_full_name", x.CorpFullName},
			{"external_profile", object{{"external_attr", []int{}}}},
		}...)
	}
	if x.UnionID != "" {
		o = append(o, field{"unionid", x.UnionID})
	}
	return o
}

func (s *Sim) externalGet(c *call) (answer, error) {
	x := c.corp.contacts.external(c.query("external_userid"))
	if x == nil {
		return answer{}, refuse(40096)
	}
	if len(x.FollowUsers) == 0 {
		return answer{}, refuse(84061)
	}
	page, next, err := pageOf(x.FollowUsers, c.query("cursor"), 500)
	if err != nil {
		return answer{}, err
	}
	follows := []object{}
	for _, f := range page {
		follows = append(follows, append(f.shown(), field{"tags", []int{}}))
	}
	o := object{{"external_contact", x.shown()}, {"follow_user", follows}}
	if next != "" {
		o = append(o, field{"next_cursor", next})
	}
	return answer{object: o}, nil
}

func (f *Follow) shown() object {
	return object{
		{"userid", f.UserID}, {"remark", f.Remark}, {"description", f.Description}, {"createtime", f.CreateTime},
		{"remark_mobiles", []string{}}, {"add_way", f.AddWay}, {"oper_userid", f.UserID},
	}
}

func (s *Sim) externalByUser(c *call) (answer, error) {
	var req struct {
		Users  []string `json:"userid_list"`
		Cursor string   `json:"cursor"`
		Limit  *int     `json:"limit"`
	}
	if err := c.read(&req); err != nil {
		return answer{}, err
	}
	limit := 50
	if req.Limit != nil {
		limit = *req.Limit
	}
	if len(req.Users) == 0 || len(req.Users) > 100 || limit < 1 || limit > 100 {
		return answer{}, refuse(40058)
	}
	rows := []object{}
	for _, id := range req.Users {
		if c.corp.contacts.member(id) == nil {
			return answer{}, refuse(40003)
		}
		for _, x := range c.corp.contacts.followedBy(id) {
			for _, f := range x.FollowUsers {
				if equalFold(f.UserID, id) {
					rows = append(rows, object{{"external_contact", x.shown()}, {"follow_info", append(f.shown(), field{"tag_id", []int{}})}})
				}
			}
		}
	}
	if len(rows) == 0 {
		return answer{}, refuse(84061)
	}
	page, next, err := pageOf(rows, req.Cursor, limit)
	if err != nil {
		return answer{}, err
	}
	return answer{object: object{{"external_contact_list", page}, {"next_cursor", next}}}, nil
}

func (s *Sim) groupChatList(c *call) (answer, error) {
	var req struct {
		Status int `json:"status_filter"`
		Owner  struct {
			Users []string `json:"userid_list"`
		} `json:"owner_filter"`
		Cursor string `json:"cursor"`
		Limit  *int   `json:"limit"`
	}
	if err := c.read(&req); err != nil {
		return answer{}, err
	}
	if req.Limit == nil || *req.Limit < 1 || *req.Limit > 1000 || len(req.Owner.Users) > 100 {
		return answer{}, refuse(40058)
	}
	rows := []object{}
	for _, r := range c.corp.contacts.Rooms {
		if r.Kind != RoomExternal || req.Status > 0 {
			continue
		}
		if len(req.Owner.Users) > 0 && !slices.Contains(req.Owner.Users, r.Owner) {
			continue
		}
		rows = append(rows, object{{"chat_id", r.ID}, {"status", 0}})
	}
	page, next, err := pageOf(rows, req.Cursor, *req.Limit)
	if err != nil {
		return answer{}, err
	}
	o := object{{"group_chat_list", page}}
	if next != "" {
		o = append(o, field{"next_cursor", next})
	}
	return answer{object: o}, nil
}

func (s *Sim) groupChatGet(c *call) (answer, error) {
	var req struct {
		ChatID   string      `json:"chat_id"`
		NeedName json.Number `json:"need_name"`
	}
	if err := c.read(&req); err != nil {
		return answer{}, err
	}
	r := c.corp.contacts.room(req.ChatID)
	switch {
	case r == nil || r.Kind == RoomInternal || r.Kind == RoomWeChat:
		// QUIRK: a group that was started in WeChat can't be looked up anywhere; with which errcode is not known.
		return answer{}, refuse(40050)
	case r.Kind == RoomOtherCorp:
		return answer{}, refuse(92002)
	case r.Kind == RoomDismissed:
		return answer{}, refuse(49008)
	}
	named := req.NeedName == "1"
	members := []object{}
	for _, id := range r.Members {
		o := object{{"userid", id}, {"type", 1}, {"join_time", r.CreateTime}, {"join_scene", 1}, {"group_nickname", ""}}
		name := ""
		if m := c.corp.contacts.member(id); m != nil {
			name = m.Name
		} else if x := c.corp.contacts.external(id); x != nil {
			name = x.Name
			o[1].value = 2
			o = append(o, field{"invitor", object{{"userid", r.Owner}}})
			if x.UnionID != "" {
				o = append(o, field{"unionid", x.UnionID})
			}
		} else if strings.HasPrefix(id, "wm") || strings.HasPrefix(id, "wo") {
			o[1].value = 2
		}
		if named {
			o = append(o, field{"name", name})
		}
		members = append(members, o)
	}
	return answer{object: object{{"group_chat", object{
		{"chat_id", r.ID}, {"name", r.Name}, {"owner", r.Owner}, {"create_time", r.CreateTime}, {"notice", r.Notice},
		{"member_list", members}, {"admin_list", []object{{{"userid", r.Owner}}}}, {"member_version", "1"},
	}}}}, nil
}
