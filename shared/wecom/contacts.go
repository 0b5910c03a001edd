package wecom

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// Department is a department as WeCom gives it. Name and what follows are absent where only ids are shown.
type Department struct {
	ID      int               `json:"id"`
	Parent  int               `json:"parentid"`
	Order   int64             `json:"order"` // larger comes first
	Name    string            `json:"name"`
	NameEn  string            `json:"name_en"`
	Leaders []archive.PartyID `json:"department_leader"`
}

// Departments lists the departments that the secret sees. Without the right to read names it lists ids alone, and named is false.
func (r *Reader) Departments(ctx context.Context) (list []Department, named bool, err error) {
	return r.departments(ctx, nil)
}

// Below lists a department and all that lies under it, as far as the secret sees them, like Departments. NotThere(err) says that there is
// none, NotShown(err) that the secret does not see it.
func (r *Reader) Below(ctx context.Context, id int) (list []Department, named bool, err error) {
	return r.departments(ctx, url.Values{"id": {strconv.Itoa(id)}})
}

func (r *Reader) departments(ctx context.Context, query url.Values) (list []Department, named bool, err error) {
	var full struct {
		List []Department `json:"department"`
	}
	err = r.get(ctx, "department/list", query, &full)
	if err == nil {
		return full.List, true, nil
	}
	if !Denied(err) {
		return nil, false, err
	}
	var ids struct {
		List []Department `json:"department_id"`
	}
	if err := r.get(ctx, "department/simplelist", query, &ids); err != nil {
		return nil, false, err
	}
	return ids.List, false, nil
}

// Department reads one department. Without the right to read names it gives its place alone, and named is false. NotThere(err) says that
// there is none, NotShown(err) that the secret does not see it.
func (r *Reader) Department(ctx context.Context, id int) (d Department, named bool, err error) {
	query := url.Values{"id": {strconv.Itoa(id)}}
	var full struct {
		Department Department `json:"department"`
	}
	err = r.get(ctx, "department/get", query, &full)
	if err == nil && full.Department.ID != id {
		return Department{}, false, fmt.Errorf("wecom department/get answered without the department %d that was asked for", id)
	}
	if err == nil {
		return full.Department, true, nil
	}
	if !Denied(err) {
		return Department{}, false, err
	}
	const call = "department/simplelist"
	var ids struct {
		List []Department `json:"department_id"`
	}
	if err := r.get(ctx, call, query, &ids); err != nil {
		return Department{}, false, err
	}
	for _, d := range ids.List {
		if d.ID == id {
			return d, false, nil
		}
	}
	return Department{}, false, fmt.Errorf("wecom %s answered without the department %d that was asked for", call, id)
}

// Member is a member as WeCom gives it. What the secret may not see is nil: WeCom leaves it out.
type Member struct {
	ID             archive.PartyID   `json:"userid"`
	Name           string            `json:"name"`
	Departments    []int             `json:"department"`
	Leads          []int             `json:"is_leader_in_dept"` // 1 or 0, in the order of Departments
	DirectLeaders  []archive.PartyID `json:"direct_leader"`
	MainDepartment int               `json:"main_department"`
	Position       string            `json:"position"`
	Status         int               `json:"status"` // 1 activated, 2 disabled, 4 not activated, 5 left; 0 not shown
	Mobile         *string           `json:"mobile"`
	Email          *string           `json:"email"` // the contact's address; biz_mail is another account and is not read

	// What a reader of sensitive fields sees of nearly every member.
	BizMail *string `json:"biz_mail"`
	QRCode  *string `json:"qr_code"`
	Avatar  *string `json:"avatar"`
	Address *string `json:"address"`
	Gender  string  `json:"gender"`
}

// ShowsSensitive says whether an answer with these members came to a secret that sees mobiles and addresses. An empty field alone would not
// tell hidden from empty; a QR code, which every member has, does.
func ShowsSensitive(members []Member) bool {
	for i := range members {
		m := &members[i]
		for _, field := range []*string{m.Mobile, m.Email, m.BizMail, m.QRCode, m.Avatar, m.Address} {
			if field != nil && *field != "" {
				return true
			}
		}
		if m.Gender != "" && m.Gender != "0" {
			return true
		}
	}
	return false
}

const (
	membersCall = "user/list"
	memberCall  = "user/get"
)

// MembersOf lists the direct members of a department with all that the secret may see; full is false if that is ids, names and
// departments alone.
func (r *Reader) MembersOf(ctx context.Context, department int) (list []Member, full bool, err error) {
	query := url.Values{"department_id": {strconv.Itoa(department)}}
	var answer struct {
		List []Member `json:"userlist"`
	}
	err = r.get(ctx, membersCall, query, &answer)
	if err == nil {
		return answer.List, true, nil
	}
	if !Denied(err) {
		return nil, false, err
	}
	if err := r.get(ctx, "user/simplelist", query, &answer); err != nil {
		return nil, false, err
	}
	return answer.List, false, nil
}

// MemberIDs lists the ids of all members with their departments: all that some secrets may see.
func (r *Reader) MemberIDs(ctx context.Context) ([]Member, error) {
	const call = "user/list_id"
	at := map[archive.PartyID]int{}
	var list []Member
	err := pages(call, func(cursor string) (string, error) {
		var answer struct {
			Next string `json:"next_cursor"`
			Rows []struct {
				ID         archive.PartyID `json:"userid"`
				Department int             `json:"department"`
			} `json:"dept_user"`
		}
		body := struct {
			Cursor string `json:"cursor"`
			Limit  int    `json:"limit"`
		}{cursor, 10000}
		if err := r.post(ctx, call, body, &answer); err != nil {
			return "", err
		}
		for _, row := range answer.Rows {
			i, known := at[row.ID]
			if !known {
				i = len(list)
				at[row.ID] = i
				list = append(list, Member{ID: row.ID})
			}
			list[i].Departments = append(list[i].Departments, row.Department)
		}
		return answer.Next, nil
	})
	return list, err
}

// Member reads one member. NotThere(err) says that there is none, NotShown(err) that the secret does not see it, Denied(err) that it may not
// read any: then MemberIDs is what it may.
func (r *Reader) Member(ctx context.Context, id archive.PartyID) (Member, error) {
	m := Member{}
	err := r.get(ctx, memberCall, url.Values{"userid": {string(id)}}, &m)
	if err == nil && m.ID == "" {
		err = fmt.Errorf("wecom %s answered without the member who was asked for", memberCall)
	}
	if m.ID == "" {
		m.ID = id
	}
	return m, err
}

// External is an external contact. Corp is "" for a WeChat user.
type External struct {
	ID       archive.PartyID `json:"external_userid"`
	Name     string          `json:"name"`
	Type     int             `json:"type"` // 1 WeChat user, 2 user of another company
	Corp     string          `json:"corp_name"`
	CorpFull string          `json:"corp_full_name"`
	Position string          `json:"position"`

	Follower archive.PartyID `json:"-"` // the member whose contact it is; ExternalsOf alone fills it
}

// External reads one external contact and the members whose contact it is. Errcode 84061 says that it is nobody's any more.
func (r *Reader) External(ctx context.Context, id archive.PartyID) (External, []archive.PartyID, error) {
	const call = "externalcontact/get"
	x := External{ID: id}
	var followers []archive.PartyID
	err := pages(call, func(cursor string) (string, error) {
		var answer struct {
			Contact External `json:"external_contact"`
			Follow  []struct {
				ID archive.PartyID `json:"userid"`
			} `json:"follow_user"`
			Next string `json:"next_cursor"`
		}
		query := url.Values{"external_userid": {string(id)}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := r.get(ctx, call, query, &answer); err != nil {
			return "", err
		}
		if cursor == "" && answer.Contact.ID == "" {
			return "", fmt.Errorf("wecom %s answered without the contact who was asked for", call)
		}
		if cursor == "" {
			x = answer.Contact
		}
		for _, f := range answer.Follow {
			followers = append(followers, f.ID)
		}
		return answer.Next, nil
	})
	return x, followers, err
}

// FollowUsers lists the members who have external contacts.
func (r *Reader) FollowUsers(ctx context.Context) ([]archive.PartyID, error) {
	var answer struct {
		List []archive.PartyID `json:"follow_user"`
	}
	err := r.get(ctx, "externalcontact/get_follow_user_list", nil, &answer)
	return answer.List, err
}

// MostFollowers is how many members ExternalsOf takes at once.
const MostFollowers = 100

// ExternalsOf lists the external contacts of members, one row per contact and member. unlicensed are members whose contacts WeCom won't
// show for want of a licence.
func (r *Reader) ExternalsOf(ctx context.Context, members []archive.PartyID) (list []External, unlicensed []archive.PartyID, err error) {
	const call = "externalcontact/batch/get_by_user"
	err = pages(call, func(cursor string) (string, error) {
		var answer struct {
			Next string `json:"next_cursor"`
			List []struct {
				Contact External `json:"external_contact"`
				Follow  struct {
					ID archive.PartyID `json:"userid"`
				} `json:"follow_info"`
			} `json:"external_contact_list"`
			Failed struct {
				Unlicensed []archive.PartyID `json:"unlicensed_userid_list"`
			} `json:"fail_info"`
		}
		body := struct {
			Members []archive.PartyID `json:"userid_list"`
			Cursor  string            `json:"cursor"`
			Limit   int               `json:"limit"`
		}{members, cursor, 100}
		if err := r.post(ctx, call, body, &answer); err != nil {
			return "", err
		}
		for _, row := range answer.List {
			row.Contact.Follower = row.Follow.ID
			list = append(list, row.Contact)
		}
		unlicensed = append(unlicensed, answer.Failed.Unlicensed...)
		return answer.Next, nil
	})
	switch CodeOf(err) {
	case 84061: // none of them has a contact
		return nil, nil, nil
	case 701008:
		return nil, members, nil
	}
	return list, unlicensed, err
}
