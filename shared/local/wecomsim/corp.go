package wecomsim

import (
	"crypto/rsa"
	"slices"
	"time"
)

// The kinds of secret. What a token may read depends on the kind of the secret that it was taken with.
const (
	KindArchive           = "archive"              // message archiving: chat data, media, msgaudit; user/get without sensitive fields
	KindCustomer          = "customer"             // customer contact: externalcontact; user/get without sensitive fields
	KindLegacyApp         = "legacy_app"           // a self-built app made before 2022-06-20: all fields
	KindNewApp            = "new_app"              // a self-built app made after: no mobile, email, address …
	KindContactsSyncOldIP = "contacts_sync_old_ip" // contacts sync from an address known before 2022-08-15: all fields
	KindContactsSyncNewIP = "contacts_sync_new_ip" // contacts sync from a newer address: ids alone, else 48009
)

var kinds = []string{KindArchive, KindCustomer, KindLegacyApp, KindNewApp, KindContactsSyncOldIP, KindContactsSyncNewIP}

// The states of a corp's archiving service.
const (
	ServiceOpen    = "open"
	ServiceExpired = "expired"  // 301052
	ServiceNotOpen = "not open" // 301053
)

// Secret is one secret of a corp.
type Secret struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
	// Departments bounds what the secret sees of the contacts; empty is all.
	Departments []int `json:"departments,omitempty"`
	// Callable says that the app is listed as one that may call externalcontact.
	Callable bool `json:"callable,omitempty"`
	// KnownIPs are the addresses from which a secret of contacts sync was used before 2022-08-15: from these it reads all fields, from others
	// ids alone. None: its kind says which it is.
	KnownIPs []string `json:"known_ips,omitempty"`
	// Agent is the AgentId of a self-built app, which it needs for writing to members; 0: it has none.
	Agent    int  `json:"agent,omitempty"`
	Disabled bool `json:"disabled,omitempty"`
}

// Key is one version of a corp's key pair. Private is "" if the pair was made elsewhere.
type Key struct {
	Version uint32 `json:"version"`
	Public  string `json:"public_key"`            // PEM, PKIX
	Private string `json:"private_key,omitempty"` // PEM, PKCS#8
}

// Trusted is a corp's list of trusted addresses.
type Trusted struct {
	On  bool     `json:"on"`
	IPs []string `json:"ips"`
	// Answer is what an untrusted caller gets: 0 is WeCom's mixture (301042 from the archive's own calls, 60020 from the
	// others); else the errcode, on every call; gettoken answers it only when it is 40001 or 60020.
	Answer int `json:"answer,omitempty"`
}

// Department is a department as department/get shows it.
type Department struct {
	ID      int      `json:"id"`
	Name    string   `json:"name"`
	NameEn  string   `json:"name_en,omitempty"`
	Leaders []string `json:"department_leader"`
	Parent  int      `json:"parentid"`
	Order   uint32   `json:"order"`
}

// Member is a member of the corp with all that a full reader sees. Status: 1 activated, 2 disabled, 4 not activated, 5 left.
type Member struct {
	UserID         string   `json:"userid"`
	Name           string   `json:"name"`
	Alias          string   `json:"alias,omitempty"`
	Department     []int    `json:"department"`
	IsLeaderInDept []int    `json:"is_leader_in_dept,omitempty"`
	DirectLeader   []string `json:"direct_leader,omitempty"`
	Position       string   `json:"position,omitempty"`
	Mobile         string   `json:"mobile"`
	Gender         string   `json:"gender,omitempty"`
	Email          string   `json:"email"`
	BizMail        string   `json:"biz_mail,omitempty"`
	Telephone      string   `json:"telephone,omitempty"`
	Address        string   `json:"address,omitempty"`
	MainDepartment int      `json:"main_department,omitempty"`
	Status         int      `json:"status"`
	Unlicensed     bool     `json:"unlicensed,omitempty"` // no licence for calls of the API: apps can't write to the member
}

// Follow is one member's relation to an external contact.
type Follow struct {
	UserID      string `json:"userid"`
	Remark      string `json:"remark,omitempty"`
	Description string `json:"description,omitempty"`
	CreateTime  int64  `json:"createtime,omitempty"` // s
	AddWay      int    `json:"add_way,omitempty"`
}

// External is an external contact. Type: 1 WeChat user, 2 user of another company's WeCom.
type External struct {
	ID           string   `json:"external_userid"`
	Name         string   `json:"name"`
	Type         int      `json:"type"`
	Position     string   `json:"position,omitempty"`
	CorpName     string   `json:"corp_name,omitempty"`
	CorpFullName string   `json:"corp_full_name,omitempty"`
	Gender       int      `json:"gender,omitempty"`
	UnionID      string   `json:"unionid,omitempty"`
	FollowUsers  []Follow `json:"follow_user,omitempty"`
}

// Robot is a robot of the corp.
type Robot struct {
	ID      string `json:"robot_id"`
	Name    string `json:"name"`
	Creator string `json:"creator_userid"`
}

// The kinds of room.
const (
	RoomInternal   = "internal"
	RoomExternal   = "external"   // a customer group: externalcontact/groupchat
	RoomWeChat     = "wechat"     // started in WeChat: can't be looked up anywhere
	RoomOtherCorp  = "other corp" // started by another corp: 92002
	RoomDismissed  = "dismissed"  // 49008
	agreeByDefault = "Default_Agree"
)

// Room is a group.
type Room struct {
	ID         string   `json:"roomid"`
	Kind       string   `json:"kind"`
	Name       string   `json:"name"`
	Owner      string   `json:"owner"`
	Notice     string   `json:"notice,omitempty"`
	CreateTime int64    `json:"create_time,omitempty"` // s
	Members    []string `json:"members"`               // userids, external ids, robots
}

// Consent is what an external contact said about archiving, to one member ("userid") or in a room ("roomid").
type Consent struct {
	UserID   string `json:"userid,omitempty"`
	RoomID   string `json:"roomid,omitempty"`
	External string `json:"exteranalopenid"` // QUIRK: WeCom's own spelling
	Status   string `json:"agree_status"`    // Agree, Disagree or Default_Agree
	Changed  int64  `json:"status_change_time"`
}

// corp is what is kept of a corp besides its contacts and its chat data.
type corp struct {
	ID       string   `json:"corp"`
	Name     string   `json:"name"`
	Secrets  []Secret `json:"secrets"`
	Keys     []Key    `json:"keys"`
	Tokens   []token  `json:"tokens"`
	FirstSeq uint64   `json:"first_seq"`
	NextSeq  uint64   `json:"next_seq"`
	Served   []span   `json:"served"` // seqs that an answer has carried, as merged ranges
	Service  string   `json:"service"`
	Trusted  Trusted  `json:"trusted"`
	// PageBytes is the size above which a page is refused with 301058; 0 is none.
	PageBytes int `json:"page_bytes"`
	// PageItems is the most that one answer holds; 0 is none.
	PageItems int `json:"page_items,omitempty"`
	// TokenSeconds is what expires_in says.
	TokenSeconds int `json:"token_seconds"`
	// Callbacks are the addresses that events are sent to, Notified is when the last msgaudit_notify was due, in ms.
	Callbacks  []Callback `json:"callbacks,omitempty"`
	Notified   int64      `json:"notified,omitempty"`
	MsgCount   uint64
	EmptyPages uint64

	contacts contacts
	renamed  map[string]string // userid → the one before, until the contacts are saved
	told     []int             // deliveries of the last save of the contacts
	public   map[uint32]*rsa.PublicKey
}

// contacts is what the directory reads of a corp.
type contacts struct {
	Departments []Department     `json:"departments"`
	Members     []Member         `json:"members"`
	Externals   []External       `json:"externals"`
	Robots      []Robot          `json:"robots"`
	Rooms       []Room           `json:"rooms"`
	Permit      map[int][]string `json:"permit"` // by edition: 1 office, 2 service, 3 enterprise
	Consents    []Consent        `json:"consents"`
}

// span is a closed range of seqs.
type span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func (c *corp) secretOfKind(kind string) *Secret {
	for i := range c.Secrets {
		if c.Secrets[i].Kind == kind {
			return &c.Secrets[i]
		}
	}
	return nil
}

func (c *corp) currentKey() *Key {
	if len(c.Keys) == 0 {
		return nil
	}
	return &c.Keys[len(c.Keys)-1]
}

func (c *contacts) member(id string) *Member {
	for i := range c.Members {
		if equalFold(c.Members[i].UserID, id) {
			return &c.Members[i]
		}
	}
	return nil
}

func (c *contacts) external(id string) *External {
	for i := range c.Externals {
		if c.Externals[i].ID == id {
			return &c.Externals[i]
		}
	}
	return nil
}

func (c *contacts) room(id string) *Room {
	for i := range c.Rooms {
		if c.Rooms[i].ID == id {
			return &c.Rooms[i]
		}
	}
	return nil
}

func (c *contacts) department(id int) *Department {
	for i := range c.Departments {
		if c.Departments[i].ID == id {
			return &c.Departments[i]
		}
	}
	return nil
}

// below is the department and everything under it.
func (c *contacts) below(id int) map[int]bool {
	in := map[int]bool{id: true}
	for grew := true; grew; {
		grew = false
		for _, d := range c.Departments {
			if in[d.Parent] && !in[d.ID] {
				in[d.ID], grew = true, true
			}
		}
	}
	return in
}

// sees is the set of departments that a secret may see.
func (c *contacts) sees(s *Secret) map[int]bool {
	in := map[int]bool{}
	for _, d := range c.Departments {
		in[d.ID] = len(s.Departments) == 0
	}
	for _, id := range s.Departments {
		for d := range c.below(id) {
			in[d] = true
		}
	}
	return in
}

// markServed notes that an answer carried the seqs from first to last and says whether that was new.
func (c *corp) markServed(seqs []uint64) bool {
	if len(seqs) == 0 {
		return false
	}
	had := len(c.Served)
	before := slices.Clone(c.Served)
	for _, seq := range seqs {
		c.Served = addSeq(c.Served, seq)
	}
	return had != len(c.Served) || !slices.Equal(before, c.Served)
}

func addSeq(spans []span, seq uint64) []span {
	for i := len(spans) - 1; i >= 0; i-- {
		switch s := &spans[i]; {
		case seq >= s.First && seq <= s.Last:
			return spans
		case seq == s.Last+1:
			s.Last = seq
			if i+1 < len(spans) && spans[i+1].First == seq+1 {
				s.Last = spans[i+1].Last
				spans = slices.Delete(spans, i+1, i+2)
			}
			return spans
		case seq > s.Last:
			if i+1 < len(spans) && spans[i+1].First == seq+1 {
				spans[i+1].First = seq
				return spans
			}
			return slices.Insert(spans, i+1, span{seq, seq})
		}
	}
	if len(spans) > 0 && spans[0].First == seq+1 {
		spans[0].First = seq
		return spans
	}
	return slices.Insert(spans, 0, span{seq, seq})
}

func ms(t time.Time) int64 { return t.UnixMilli() }
