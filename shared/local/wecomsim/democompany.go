package wecomsim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The demonstration's two companies. Names, numbers and addresses are invented.
const (
	DemoCorp      = "ww8f3a61c20d94b7e5"
	DemoSmallCorp = "ww17c4e09ab52d6f83"
	// demoSmallFirstSeq lies above what a float64 holds exactly.
	demoSmallFirstSeq = 1<<53 + 1
	// demoLostMobile loses the mobile number in the middle of the first day.
	demoLostMobile = "zhou.minghui"
	demoNewcomers  = 3 // members who join on each later day
)

type person struct{ han, latin string }

var surnames = []person{
	{"王", "wang"}, {"李", "li"}, {"张", "zhang"}, {"刘", "liu"}, {"陈", "chen"}, {"杨", "yang"}, {"黄", "huang"}, {"赵", "zhao"}, {"吴", "wu"},
	{"周", "zhou"}, {"徐", "xu"}, {"孙", "sun"}, {"马", "ma"}, {"朱", "zhu"}, {"胡", "hu"}, {"郭", "guo"}, {"何", "he"}, {"林", "lin"}, {"罗", "luo"},
	{"高", "gao"}, {"郑", "zheng"}, {"梁", "liang"}, {"谢", "xie"}, {"宋", "song"}, {"唐", "tang"}, {"许", "xu"}, {"韩", "han"}, {"冯", "feng"},
	{"邓", "deng"}, {"曹", "cao"}, {"彭", "peng"}, {"曾", "zeng"}, {"萧", "xiao"}, {"田", "tian"}, {"董", "dong"}, {"袁", "yuan"}, {"欧阳", "ouyang"},
}

var givenNames = []person{
	{"明辉", "minghui"}, {"晓雯", "xiaowen"}, {"建国", "jianguo"}, {"思远", "siyuan"}, {"雨桐", "yutong"}, {"志强", "zhiqiang"}, {"静怡", "jingyi"},
	{"浩然", "haoran"}, {"婉清", "wanqing"}, {"子轩", "zixuan"}, {"丽华", "lihua"}, {"俊杰", "junjie"}, {"梦瑶", "mengyao"}, {"国栋", "guodong"},
	{"佳宁", "jianing"}, {"文博", "wenbo"}, {"雪莹", "xueying"}, {"海涛", "haitao"}, {"若曦", "ruoxi"}, {"天佑", "tianyou"}, {"慧敏", "huimin"},
	{"立新", "lixin"}, {"诗涵", "shihan"}, {"宇航", "yuhang"}, {"秀兰", "xiulan"}, {"鹏飞", "pengfei"}, {"芷若", "zhiruo"}, {"永康", "yongkang"},
	{"嘉怡", "jiayi"}, {"卓然", "zhuoran"}, {"岚", "lan"}, {"磊", "lei"}, {"敏", "min"}, {"涛", "tao"}, {"琪", "qi"}, {"峰", "feng"},
}

var englishNames = []string{
	"Alice", "Benedict", "Carmen", "Dominic", "Estelle", "Felix", "Grace", "Howard", "Iris", "Jasper", "Karen", "Leonard", "Miriam", "Nathan",
	"Olivia", "Patrick", "Queenie", "Rupert", "Sylvia", "Terence", "Ursula", "Vincent", "Winnie", "Xavier", "Yvonne", "Zachary",
}

type demoDepartment struct {
	Department
	size  int
	group string // which talks its members have among each other
}

func department(id, parent int, name, english string, size int, group string) demoDepartment {
	return demoDepartment{Department{ID: id, Name: name, NameEn: english, Parent: parent, Order: uint32(100000000 - id), Leaders: []string{}}, size, group} // #nosec G115 -- ids are small
}

var demoDepartments = []demoDepartment{
	department(1, 0, "海岳资产管理", "Haiyue Asset Management", 0, ""),
	department(2, 1, "总裁办公室", "Executive Office", 6, "exec"),
	department(3, 1, "投资管理部", "Investment Management", 4, "invest"),
	department(31, 3, "股票投资组", "Equities", 16, "invest"),
	department(32, 3, "固定收益组", "Fixed Income", 12, "invest"),
	department(33, 3, "集中交易室", "Dealing Desk", 10, "invest"),
	department(34, 3, "研究部", "Research", 14, "invest"),
	department(4, 1, "财富管理部", "Wealth Management", 3, "wealth"),
	department(41, 4, "上海团队", "Shanghai", 18, "wealth"),
	department(42, 4, "香港团队", "Hong Kong", 18, "wealth"),
	department(43, 4, "北京团队", "Beijing", 14, "wealth"),
	department(421, 42, "香港机构客户组", "Hong Kong Institutional", 7, "wealth"),
	department(5, 1, "合规与风控部", "Compliance & Risk", 11, "exec"),
	department(6, 1, "运营部", "Operations", 3, "ops"),
	department(61, 6, "结算组", "Settlements", 12, "ops"),
	department(62, 6, "客户服务组", "Client Service", 12, "ops"),
	department(7, 1, "信息技术部", "Technology", 4, "ops"),
	department(71, 7, "平台组", "Platforms", 10, "ops"),
	department(72, 7, "基础设施组", "Infrastructure", 7, "ops"),
	department(8, 1, "人力资源部", "People", 7, "exec"),
	department(9, 1, "财务部", "Finance", 8, "exec"),
	department(10, 1, "市场部", "Marketing", 7, "exec"),
}

// demoRand is a source that depends on nothing but what it is for.
func demoRand(purpose string, day int) *rand.Rand {
	return rand.New(rand.NewPCG(hash64("demo", purpose, day), 20)) // #nosec G404 -- a story, no secret
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// demoID makes an id of 32 characters as WeCom's external ids, robots and rooms have them.
func demoID(prefix string, parts ...any) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewPCG(hash64(append([]any{prefix}, parts...)...), 7)) // #nosec G404 -- an invented id
	b := []byte(prefix + "Hy7kBgAA")
	for len(b) < 32 {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

// nameBook hands out people, each userid once.
type nameBook struct {
	r     *rand.Rand
	taken map[string]bool
	n     int
}

func (n *nameBook) member(domain string) Member {
	for {
		s, g := pick(n.r, surnames), pick(n.r, givenNames)
		m := Member{Name: s.han + g.han, UserID: s.latin + "." + g.latin, Alias: pick(n.r, englishNames), Gender: []string{"1", "2"}[n.r.IntN(2)]}
		switch n.r.IntN(6) {
		case 0: // a colleague who goes by an English name
			m.Name = m.Alias + " " + strings.ToUpper(s.latin[:1]) + s.latin[1:]
			m.UserID = m.Alias + strings.ToUpper(s.latin[:1]) + s.latin[1:]
		case 1: // an id of digits
			m.UserID = fmt.Sprintf("%08d", 10210000+n.n)
		}
		if n.taken[strings.ToLower(m.UserID)] {
			continue
		}
		n.taken[strings.ToLower(m.UserID)] = true
		n.n++
		local := s.latin + "." + g.latin
		if n.taken["@"+local] {
			local += fmt.Sprint(n.n)
		}
		n.taken["@"+local] = true
		m.Email = local + "@" + domain
		m.BizMail = local + "@corp." + domain
		m.Mobile = fmt.Sprintf("199%08d", hash64("mobile", m.UserID)%100000000)
		m.Status = 1
		return m
	}
}

// demoContacts is the large company as it is on the first morning.
func demoContacts(founded int64) contacts {
	r := demoRand("contacts", 0)
	names := &nameBook{r: r, taken: map[string]bool{demoLostMobile: true}}
	var k contacts
	for _, d := range demoDepartments {
		for i := range d.size {
			m := names.member("haiyue.example")
			if d.ID == 41 && i == 1 {
				m.UserID, m.Name, m.Email = demoLostMobile, "周明辉", "zhou.minghui@haiyue.example"
			}
			m.Department, m.IsLeaderInDept, m.MainDepartment = []int{d.ID}, []int{0}, d.ID
			m.Position = pick(r, []string{"经理", "高级经理", "助理", "Associate", "Vice President", "专员"})
			m.Telephone, m.Address = fmt.Sprintf("021-5550%04d", r.IntN(10000)), "上海市浦东新区海岳路88号"
			switch n := r.IntN(40); {
			case i == 0:
				m.IsLeaderInDept[0], m.Position = 1, "负责人"
			case m.UserID == demoLostMobile:
			case n < 3:
				m.Status = 4
			case n == 3:
				m.Status = 2
			case n == 4:
				m.Mobile = "" // signed up by email
			case n == 5:
				m.Mobile, m.Email = "", ""
			}
			// Heads of a team belong to the department above it too.
			if i == 0 && d.Parent > 1 {
				m.Department, m.IsLeaderInDept = append(m.Department, d.Parent), append(m.IsLeaderInDept, 0)
			}
			if i > 0 && len(k.Members) > 0 {
				head := k.Members[len(k.Members)-i]
				m.DirectLeader = []string{head.UserID}
			}
			k.Members = append(k.Members, m)
			if i == 0 {
				d.Leaders = []string{m.UserID}
			}
		}
		k.Departments = append(k.Departments, d.Department)
	}
	k.Departments[0].Leaders = []string{k.Members[0].UserID}
	var permitted []string
	for i, m := range k.Members {
		// Not everybody has a seat: back office partly, and who is disabled.
		if m.Status != 2 && (m.Department[0] < 60 || i%3 != 0) {
			permitted = append(permitted, m.UserID)
		}
	}
	k.Permit = map[int][]string{3: permitted}
	k.demoOutside(r, founded)
	k.demoRooms(r, founded)
	return k
}

var clientNames = []string{
	"沈先生", "悠然", "Tracy 🌿", "老蔡", "木子李", "海阔天空", "Mr. Pan", "夏天的风", "阿May", "贺女士", "K.K.", "云淡风轻", "方总", "小鱼儿", "Jonathan L.",
	"陆太", "平安喜乐", "大山", "Vivian苏", "茶语", "钟老师", "星河", "Eason", "麦田", "倪小姐", "老船长", "Summer", "江南", "石头", "晴空",
}

var companies = []struct{ short, full string }{
	{"启明托管", "启明托管银行股份有限公司"}, {"Northgate", "Northgate Securities (HK) Ltd."}, {"远帆保险", "远帆人寿保险股份有限公司"},
	{"Larch & Moss", "Larch & Moss Advisory Pte. Ltd."}, {"天衡律所", "天衡（上海）律师事务所"}, {"恒岭实业", "恒岭实业集团有限公司"},
}

func (c *contacts) demoOutside(r *rand.Rand, founded int64) {
	var hosts []Member
	for _, m := range c.Members {
		if m.Status == 1 && (m.Department[0]/10 == 4 || m.Department[0] == 421 || m.Department[0] == 62) {
			hosts = append(hosts, m)
		}
	}
	follow := func(x *External, n int) {
		for range n {
			m := pick(r, hosts)
			if slices.ContainsFunc(x.FollowUsers, func(f Follow) bool { return f.UserID == m.UserID }) {
				continue
			}
			x.FollowUsers = append(x.FollowUsers, Follow{UserID: m.UserID, Remark: x.Name + "-客户", CreateTime: founded + r.Int64N(86400*200), AddWay: pick(r, []int{1, 2, 3, 6, 16})})
			status := "Agree"
			switch r.IntN(12) {
			case 0:
				status = agreeByDefault
			case 1:
				status = "Disagree"
			}
			c.Consents = append(c.Consents, Consent{UserID: m.UserID, External: x.ID, Status: status, Changed: founded + r.Int64N(86400*200)})
		}
	}
	for i, name := range clientNames {
		x := External{ID: demoID("wm", "client", i), Name: name, Type: 1, Gender: r.IntN(3), UnionID: "o" + demoID("6", "union", i)[:27]}
		follow(&x, 1+i%2)
		c.Externals = append(c.Externals, x)
	}
	for i, company := range companies {
		for j := range 3 {
			s, g := pick(r, surnames), pick(r, givenNames)
			x := External{
				ID: demoID("wo", "partner", i, j), Name: s.han + g.han, Type: 2, Gender: 1 + r.IntN(2), Position: pick(r, []string{"客户经理", "Director", "合伙人", "交易员"}),
				CorpName: company.short, CorpFullName: company.full,
			}
			follow(&x, 1)
			c.Externals = append(c.Externals, x)
		}
	}
	for i, name := range []string{"运维小助手", "晨会提醒", "Reconciliation Bot"} {
		c.Robots = append(c.Robots, Robot{ID: demoID("wb", "robot", i), Name: name, Creator: c.Members[len(c.Members)-20-i].UserID})
	}
}

// demoRoomKeys says which room a talk's "room KEY" means, from which departments its members come, and its name.
var demoRoomKeys = []struct {
	key, name   string
	departments []int
}{
	{"morning", "投资晨会", []int{3, 31, 32}},
	{"dealing", "Dealing & Execution 交易执行", []int{33, 31}},
	{"settle", "结算-托管沟通（内部）", []int{61, 33}},
	{"compliance", "合规通知与答疑", []int{5, 41, 42, 43}},
	{"risk", "风险限额监控", []int{5, 31, 32}},
	{"research", "Research drafts", []int{34, 31}},
	{"it", "系统变更公告", []int{7, 71, 72}},
	{"hr", "入职与行政", []int{8, 2}},
	{"marketing", "市场活动", []int{10, 4}},
	{"finance", "报销与预算", []int{9, 2, 10}},
	{"nameless", "", []int{62}},
}

func demoRoomID(key string) string { return demoID("wr", "room", key) }

func (c *contacts) demoRooms(r *rand.Rand, founded int64) {
	for _, def := range demoRoomKeys {
		room := Room{ID: demoRoomID(def.key), Kind: RoomInternal, Name: def.name, CreateTime: founded + r.Int64N(86400*300)}
		for _, m := range c.Members {
			if m.Status == 1 && slices.Contains(def.departments, m.Department[0]) && len(room.Members) < 14 {
				room.Members = append(room.Members, m.UserID)
			}
		}
		room.Owner = room.Members[0]
		if def.key == "it" {
			room.Members = append(room.Members, c.Robots[0].ID)
		}
		if def.key == "morning" {
			room.Members, room.Notice = append(room.Members, c.Robots[1].ID), "每日九点，缺席请提前说明"
		}
		c.Rooms = append(c.Rooms, room)
	}
	for i, name := range []string{"海岳客户服务一群", "海岳客户服务二群", "机构客户交流群", "Haiyue x Northgate", "开户资料沟通", "高净值客户专属"} {
		room := Room{ID: demoRoomID(fmt.Sprint("out", i)), Kind: RoomExternal, Name: name, CreateTime: founded + r.Int64N(86400*300), Notice: "本群聊天内容按规定存档"}
		c.fillOutroom(&room, i*4)
		c.Rooms = append(c.Rooms, room)
	}
	for _, odd := range []struct{ key, kind string }{{"wechat", RoomWeChat}, {"othercorp", RoomOtherCorp}} {
		room := Room{ID: demoRoomID(odd.key), Kind: odd.kind, Name: "周末徒步", CreateTime: founded}
		c.fillOutroom(&room, 9)
		c.Rooms = append(c.Rooms, room)
	}
}

// fillOutroom puts four external contacts and the members who know them into a room.
func (c *contacts) fillOutroom(room *Room, from int) {
	add := func(id string) {
		if !slices.Contains(room.Members, id) {
			room.Members = append(room.Members, id)
		}
	}
	for j := range 4 {
		x := c.Externals[(from+j*7)%len(c.Externals)]
		add(x.FollowUsers[0].UserID)
		add(x.ID)
		status := "Agree"
		if j == 3 && from == 4 {
			status = "Disagree"
		}
		c.Consents = append(c.Consents, Consent{RoomID: room.ID, External: x.ID, Status: status, Changed: room.CreateTime + 60})
	}
	room.Owner = room.Members[0]
}

// demoSmallContacts is the small company's.
func demoSmallContacts(founded int64) contacts {
	r := demoRand("small contacts", 0)
	names := &nameBook{r: r, taken: map[string]bool{}}
	k := contacts{Departments: []Department{
		{ID: 1, Name: "云雀贸易", NameEn: "Skylark Trading", Leaders: []string{}, Order: 1},
		{ID: 2, Name: "采购部", NameEn: "Purchasing", Parent: 1, Leaders: []string{}, Order: 2},
		{ID: 3, Name: "物流部", NameEn: "Logistics", Parent: 1, Leaders: []string{}, Order: 3},
	}}
	for i := range 14 {
		m := names.member("skylark.example")
		d := 1 + i%3
		m.Department, m.IsLeaderInDept, m.MainDepartment = []int{d}, []int{0}, d
		if i < 3 {
			m.IsLeaderInDept[0] = 1
			k.Departments[i].Leaders = []string{m.UserID}
		}
		k.Members = append(k.Members, m)
	}
	for i := range 6 {
		x := External{ID: demoID("wm", "small client", i), Name: clientNames[len(clientNames)-1-i], Type: 1}
		x.FollowUsers = []Follow{{UserID: k.Members[i].UserID, CreateTime: founded, AddWay: 1}}
		k.Externals = append(k.Externals, x)
	}
	room := Room{ID: demoRoomID("small"), Kind: RoomInternal, Name: "Purchasing & Logistics", CreateTime: founded}
	out := Room{ID: demoRoomID("small out"), Kind: RoomExternal, Name: "云雀供应商群", CreateTime: founded, Owner: k.Members[0].UserID}
	var ids []string
	for i, m := range k.Members {
		ids = append(ids, m.UserID)
		if i < 8 {
			room.Members = append(room.Members, m.UserID)
		}
	}
	room.Owner = room.Members[0]
	out.Members = []string{k.Members[0].UserID, k.Members[1].UserID, k.Externals[0].ID, k.Externals[1].ID}
	k.Rooms = []Room{room, out}
	k.Permit = map[int][]string{2: ids}
	return k
}

// demoJoiners are the members who join on a later day.
func demoJoiners(day int, taken []Member) []Member {
	names := &nameBook{r: demoRand("joiners", day), taken: map[string]bool{}, n: 1000 * day}
	for _, m := range taken {
		names.taken[strings.ToLower(m.UserID)] = true
	}
	var list []Member
	for i := range demoNewcomers {
		m := names.member("haiyue.example")
		d := []int{41, 42, 34}[i%3]
		m.Department, m.IsLeaderInDept, m.MainDepartment, m.Status, m.Position = []int{d}, []int{0}, d, 4, "实习生"
		list = append(list, m)
	}
	return list
}

func demoFounded(day time.Time) int64 { return day.AddDate(-1, 0, 0).Unix() }
