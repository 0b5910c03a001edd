package wecomsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"strings"
)

// picture is a small real JPEG.
func (p *player) picture() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 160, 120))
	base := uint8(p.r.IntN(200)) // #nosec G115 -- below 200
	for y := range 120 {
		for x := range 160 {
			img.Set(x, y, color.RGBA{R: base + uint8(x/4), G: uint8(y * 2), B: 255 - base, A: 255}) // #nosec G115 -- within a byte
		}
	}
	var b bytes.Buffer
	p.fail(jpeg.Encode(&b, img, nil))
	return b.Bytes()
}

// sticker is a small real GIF.
func (p *player) sticker() []byte {
	img := image.NewPaletted(image.Rect(0, 0, 48, 48), color.Palette{color.White, color.RGBA{R: 240, G: 180, A: 255}})
	for y := range 48 {
		for x := range 48 {
			if (x-24)*(x-24)+(y-24)*(y-24) < 400 {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	var b bytes.Buffer
	p.fail(gif.Encode(&b, img, nil))
	return b.Bytes()
}

// heads are how files of a kind begin; what follows is noise.
var heads = map[string]string{
	"pdf": "%PDF-1.7\n%simulated\n", "docx": "PK\x03\x04simulated", "xlsx": "PK\x03\x04simulated", "pptx": "PK\x03\x04simulated", "zip": "PK\x03\x04simulated",
	"amr": "#!AMR\n", "mp4": "\x00\x00\x00\x18ftypmp42", "silk": "#!SILK_V3", "txt": "", "csv": "",
}

func (p *player) document(name string, size int64) File {
	return p.upload(name, []byte(heads[name[strings.LastIndexByte(name, '.')+1:]]), size)
}

func ext(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func filePayload(f File) object {
	return object{{"md5sum", f.MD5}, {"filename", f.Name}, {"fileext", ext(f.Name)}, {"filesize", f.Size}, {"sdkfileid", f.SDKFileID}}
}

func imagePayload(f File) object {
	return object{{"md5sum", f.MD5}, {"filesize", f.Size}, {"sdkfileid", f.SDKFileID}}
}

// in says something of a type in a scene.
func (p *player) in(sc *scene, role, msgtype string, at float64, payload any) *Message {
	from, to := sc.parts(role)
	m := Message{From: from, To: to, Room: sc.room, Type: msgtype, Time: p.at(at)}
	if payload != nil {
		m.Payload = raw(payload)
	}
	p.messages = append(p.messages, m)
	return &p.messages[len(p.messages)-1]
}

// text is the content of a part that carries JSON inside a string.
func text(v any) string { return string(raw(v)) }

// everyday are the types that come every day.
func (p *player) everyday() {
	out, room := p.outside(), p.roomNamed("marketing")
	pic := p.upload("", p.picture(), 0)
	p.in(out, "X", "image", 0.12, imagePayload(pic))
	p.in(room, "A", "image", 0.33, imagePayload(p.upload("", p.picture(), 0)))
	voice := p.document("voice.amr", int64(3000+p.r.IntN(9000)))
	p.in(out, "X", "voice", 0.14, object{{"md5sum", voice.MD5}, {"voice_size", voice.Size}, {"play_length", 4 + p.r.IntN(50)}, {"sdkfileid", voice.SDKFileID}})
	p.in(room, "B", "file", 0.41, filePayload(p.document("活动预算表（第2版）.xlsx", int64(20000+p.r.IntN(40000)))))
	p.in(p.roomNamed("research"), "A", "file", 0.44, filePayload(p.document("sector-note-draft.docx", int64(30000+p.r.IntN(40000)))))
	p.in(out, "A", "link", 0.5, object{
		{"title", "季度报告披露公告"}, {"description", "点击查看全文与管理人观点"}, {"link_url", "https://www.haiyue.example/notice/2026q1?from=wework&id=7"},
		{"image_url", "https://www.haiyue.example/img/q1.png"},
	})
	sticker := p.upload("", p.sticker(), 0)
	p.in(p.pair("wealth"), "A", "emotion", 0.52, object{
		{"type", 1}, {"width", 48}, {"height", 48}, {"imagesize", sticker.Size}, {"md5sum", sticker.MD5}, {"sdkfileid", sticker.SDKFileID},
	})
	p.in(p.pair("exec"), "A", "voiptext", 0.6, object{{"callduration", 61 + p.r.IntN(900)}, {"invitetype", 2}}).Key = "info"
	if robot := p.c.contacts.Robots; len(robot) > 1 && p.step == "morning" {
		sc := p.roomNamed("morning")
		sc.roles["R"] = robot[1].ID
		p.in(sc, "R", "markdown", 0.02, object{{"content", "**晨会提醒** 九点，会议室A\n> 请提前五分钟到场\n[议程](https://wiki.haiyue.example/morning)"}}).Key = "info"
	}
	// A message that is taken back a little later.
	sc := p.pair("invest")
	m := p.in(sc, "B", "text", 0.70, object{{"content", "刚才那个数不对，我撤回重发"}})
	m.MsgID = fmt.Sprintf("77120%014d_%d", hash64("recall", p.c.ID, p.day)%100000000000000, m.Time)
	p.recallOf(sc, "B", m.MsgID, 0.705)
}

func (p *player) recallOf(sc *scene, role, msgid string, at float64) {
	from, to := sc.parts(role)
	m, err := recallOf(Recall{MsgID: msgid, From: from, To: to, Room: sc.room, Time: p.at(at)})
	p.fail(err)
	p.say(m)
}

// contactsKinds are the types around people, places and money.
func (p *player) contactsKinds() {
	out := p.outside()
	outroom := p.outroom()
	external := p.c.contacts.external(out.roles["X"])
	p.in(out, "X", "agree", 0.01, object{{"userid", external.ID}, {"agree_time", p.at(0.01)}})
	refuser := p.outside()
	p.in(refuser, "X", "disagree", 0.015, object{{"userid", refuser.roles["X"]}, {"disagree_time", p.at(0.015)}})
	p.in(p.pair("wealth"), "A", "card", 0.2, object{{"corpname", "微信联系人"}, {"userid", external.ID}})
	p.in(p.pair("wealth"), "B", "card", 0.21, object{{"corpname", "海岳资产管理"}, {"userid", p.c.contacts.Members[3].UserID}})
	p.in(out, "A", "location", 0.25, object{
		{"longitude", 121.498586}, {"latitude", 31.239637}, {"address", "上海市浦东新区海岳路88号3层"}, {"title", "海岳资产管理（前台）"}, {"zoom", 16},
	})
	p.in(out, "A", "weapp", 0.27, object{
		{"title", "请先阅读服务须知"}, {"description", "同意后开始聊天"}, {"username", "gh_simulated@app"}, {"displayname", "海岳服务"},
	})
	p.in(p.roomNamed("hr"), "A", "redpacket", 0.3, object{{"type", 2}, {"wish", "开工大吉"}, {"totalcnt", 20}, {"totalamount", 20000}})
	p.in(p.roomNamed("hr"), "B", "redpacket", 0.31, object{{"type", 3}, {"wish", "Well done, team"}, {"totalcnt", 1}, {"totalamount", 8800}})
	p.in(outroom, "X", "external_redpacket", 0.33, object{{"type", 1}, {"wish", "恭喜发财，大吉大利"}, {"totalcnt", 2}, {"totalamount", 600}}).Key = "redpacket"
	p.in(outroom, "A", "sphfeed", 0.36, object{{"feed_type", 4}, {"sph_name", "海岳投教"}, {"feed_desc", "三分钟看懂再平衡 #投资者教育"}})
	movie := p.document("clip.mp4", 1_400_000)
	p.in(outroom, "X", "video", 0.4, object{{"md5sum", movie.MD5}, {"filesize", movie.Size}, {"play_length", 18}, {"sdkfileid", movie.SDKFileID}})
	sticker := p.upload("", p.sticker(), 0)
	p.in(out, "X", "emotion", 0.42, object{
		{"type", 2}, {"width", 48}, {"height", 48}, {"imagesize", sticker.Size}, {"md5sum", sticker.MD5}, {"sdkfileid", sticker.SDKFileID},
	})
	// An employee changes to another company's account: no sender, no receivers, no msgtime.
	p.say(Message{Action: "switch", From: p.c.contacts.Members[8].UserID, Time: p.at(0.45)})
	// The msgtime of some images is 0.
	zero := p.in(p.pair("wealth"), "B", "image", 0.5, imagePayload(p.upload("", p.picture(), 0)))
	zero.Stored, zero.Time = zero.Time, -1
}

// officeKinds are the types of the working day.
func (p *player) officeKinds() {
	ops, it, exec := p.roomNamed("settle"), p.roomNamed("it"), p.roomNamed("finance")
	start := p.to/1000 + 7200
	p.in(ops, "A", "todo", 0.05, object{{"title", "待办：补件"}, {"content", "请在三点前补齐托管行回执"}})
	flat := p.in(ops, "B", "todo", 0.06, nil)
	flat.Extra = map[string]json.RawMessage{"title": raw("待办：复核"), "content": raw("Second check of the manual instruction")}
	p.in(it, "A", "vote", 0.08, object{{"votetitle", "发布窗口投票"}, {"voteitem", []string{"周四 22:00", "周六 10:00", "下周再说"}}, {"votetype", 101}, {"voteid", "20260318001"}})
	flat = p.in(it, "B", "vote", 0.09, nil)
	flat.Extra = map[string]json.RawMessage{
		"votetitle": raw("发布窗口投票"), "voteitem": raw([]string{"周六 10:00"}), "votetype": raw(102), "voteid": raw("20260318001"),
	}
	p.in(exec, "A", "collect", 0.12, object{
		{"room_name", "报销与预算"}, {"creator", exec.roles["A"]}, {"create_time", msTime(p.at(0.12)).Format("2006-01-02 15:04:05")}, {"title", "团建报名"},
		{"details", []object{
			{{"id", json.Number("11101571002822706744")}, {"ques", "姓名"}, {"type", "Text"}}, {{"id", 2}, {"ques", "人数"}, {"type", "Number"}},
			{{"id", 3}, {"ques", "到达日期"}, {"type", "Date"}}, {{"id", 4}, {"ques", "集合时间"}, {"type", "Time"}},
		}},
	})
	meeting := func(kind int, status any) object {
		o := object{
			{"topic", "Weekly risk review 风险周会"}, {"starttime", start}, {"endtime", start + 3600}, {"address", "会议室B"}, {"remarks", "bring the limit sheet"},
			{"meetingtype", kind}, {"meetingid", json.Number("11101571002822706744")},
		}
		if status != nil {
			o = append(o, field{"status", status})
		}
		return o
	}
	risk := p.roomNamed("risk")
	p.in(risk, "A", "meeting", 0.2, meeting(101, nil))
	p.in(risk, "B", "meeting", 0.21, meeting(102, 1))
	p.in(risk, "C", "meeting", 0.215, meeting(102, 2))
	p.in(risk, "A", "meeting_notification", 0.22, object{{"content", "会议将在十分钟后开始"}, {"meeting_id", json.Number("1210342560")}, {"notification_type", 1}}).Key = "info"
	p.in(exec, "B", "docmsg", 0.25, object{{"title", "二季度预算（在线表格）"}, {"link_url", "https://doc.haiyue.example/sheet/q2"}, {"doc_creator", exec.roles["A"]}}).Key = "doc"
	p.in(it, "C", "news", 0.28, object{{"item", []object{
		{{"title", "变更公告：行情网关"}, {"description", "今晚 22:00–23:00"}, {"url", "https://it.haiyue.example/change/311"}, {"picurl", "https://it.haiyue.example/p/311.png"}},
		{{"title", "Status page"}, {"description", "all green"}, {"url", "https://status.haiyue.example"}, {"picurl", ""}},
	}}}).Key = "info"
	if robots := p.c.contacts.Robots; len(robots) > 0 {
		it.roles["R"] = robots[0].ID
		p.in(it, "R", "markdown", 0.3, object{{"content", "磁盘使用率 **81%** <font color=\"warning\">node-07</font>，请处理"}}).Key = "info"
	}
	p.in(exec, "A", "calendar", 0.32, object{
		{"title", "预算评审"}, {"creatorname", "财务部"}, {"attendeename", []string{"陈婉清", "Olivia Lam"}}, {"starttime", start}, {"endtime", start + 5400},
		{"place", "Room Magnolia"}, {"remarks", "请带上纸质版"},
	})
	p.in(p.pair("ops"), "A", "qydiskfile", 0.34, object{{"filename", "结算手册-2026.pdf"}}).Key = "info"
	p.in(p.pair("exec"), "A", "note", 0.36, object{{"items", []object{
		{{"type", "text"}, {"content", "会议记录：一、预算口径；二、时间表"}}, {{"type", "text"}, {"content", "Action: circulate by Friday"}},
	}}}).Key = "info"
	p.in(p.roomNamed("hr"), "A", "solitaire", 0.38, object{
		{"title", "午餐接龙"}, {"example", "姓名 + 口味"}, {"items", []string{"1. 晓雯 不辣", "2. Felix, vegetarian", "3. 立新 微辣"}},
	})
	p.calls()
	p.mixtures()
}

// calls are calls with and without recordings.
func (p *player) calls() {
	sc := p.roomNamed("dealing")
	record := p.document("call.mp4", 260_000)
	s := p.at(0.45) / 1000
	m := p.in(sc, "A", "meeting_voice_call", 0.45, object{
		{"endtime", s + 1320}, {"sdkfileid", record.SDKFileID},
		{"demofiledata", []object{{{"filename", "限额表.xlsx"}, {"demooperator", sc.roles["B"]}, {"starttime", s + 60}, {"endtime", s + 600}}}},
		{"sharescreendata", []object{{{"share", sc.roles["A"]}, {"starttime", s + 700}, {"endtime", s + 1100}}}},
	})
	m.Extra = map[string]json.RawMessage{"voiceid": raw("grb8a4c48a3c094a70982c518d55e40557")}
	doc := p.document("开户流程.pdf", 44_006)
	out := p.outside()
	m = p.in(out, "A", "voip_doc_share", 0.47, object{{"filename", doc.Name}, {"md5sum", doc.MD5}, {"filesize", doc.Size}, {"sdkfileid", doc.SDKFileID}})
	m.Extra = map[string]json.RawMessage{"voipid": raw("gr2751c98b19300571f8afb3b74514bd32")}
	for i, invite := range []int{1, 2, 3, 4} {
		p.in(p.pair("invest"), "A", "voiptext", 0.48+float64(i)/100, object{{"callduration", 9 + 130*i}, {"invitetype", invite}}).Key = "info"
	}
}

// mixtures are messages made of messages.
func (p *player) mixtures() {
	pic, doc := p.upload("", p.picture(), 0), p.document("路演材料.pptx", 180_000)
	p.in(p.roomNamed("marketing"), "A", "mixed", 0.55, object{{"item", []object{
		{{"type", "text"}, {"content", text(object{{"content", "邀请函第一版，看下配色 "}})}},
		{{"type", "image"}, {"content", text(imagePayload(pic))}},
		{{"type", "text"}, {"content", text(object{{"content", " Deadline is Friday."}})}},
	}}})
	voice := p.document("voice.amr", 2_000)
	at := p.at(0.5) / 1000
	inner := object{{"title", "沈先生的聊天记录"}, {"item", []object{
		{{"type", "ChatRecordText"}, {"msgtime", at - 900}, {"content", text(object{{"content", "合同扫描件在这里"}})}, {"from_chatroom", false}},
		{{"type", "ChatRecordFile"}, {"msgtime", at - 890}, {"content", text(filePayload(p.document("合同-扫描件.pdf", 90_210)))}, {"from_chatroom", false}},
	}}}
	record := object{{"title", "群聊的聊天记录"}, {"item", []object{
		{{"type", "ChatRecordText"}, {"msgtime", at - 600}, {"content", text(object{{"content", "请看上周的路演材料"}})}, {"from_chatroom", true}},
		{{"type", "ChatRecordFile"}, {"msgtime", at - 590}, {"content", text(filePayload(doc))}, {"from_chatroom", true}},
		{{"type", "ChatRecordImage"}, {"msgtime", at - 580}, {"content", text(imagePayload(p.upload("", p.picture(), 0)))}, {"from_chatroom", true}},
		{{"type", "ChatRecordVideo"}, {"msgtime", at - 570}, {"content", text(imagePayload(p.document("v.mp4", 60_000)))}, {"from_chatroom", true}},
		{{"type", "ChatRecordLink"}, {"msgtime", at - 560}, {"content", text(object{{"title", "公告"}, {"description", "全文"}, {"link_url", "https://www.haiyue.example/n/9"}})}, {"from_chatroom", true}},
		{{"type", "ChatRecordLocation"}, {"msgtime", at - 550}, {"content", text(object{{"address", "中环皇后大道"}, {"title", "香港办公室"}, {"longitude", 114.1}, {"latitude", 22.28}, {"zoom", 15}})}, {"from_chatroom", true}},
		{{"type", "ChatRecordMixed"}, {"msgtime", at - 540}, {"content", text(object{{"item", []object{
			{{"type", "text"}, {"content", text(object{{"content", "图文混排 in a record"}})}},
			{{"type", "image"}, {"content", text(imagePayload(p.upload("", p.picture(), 0)))}},
		}}})}, {"from_chatroom", true}},
		{{"type", "ChatRecordVoice"}, {"msgtime", at - 535}, {"content", text(object{{"md5sum", voice.MD5}, {"voice_size", voice.Size}, {"play_length", 3}, {"sdkfileid", voice.SDKFileID}})}, {"from_chatroom", true}},
		{{"type", "chatrecord"}, {"msgtime", at - 530}, {"content", text(inner)}, {"from_chatroom", false}},
	}}}
	p.in(p.outside(), "A", "chatrecord", 0.6, record)
	p.in(p.pair("wealth"), "A", "chatrecord", 0.62, inner)
}

// oddities are what a decoder must live with.
func (p *player) oddities() {
	sc := p.pair("ops")
	// Numbers that come as strings.
	doc := p.document("对账单.csv", 18_181)
	p.in(sc, "A", "file", 0.1, object{{"md5sum", doc.MD5}, {"filename", doc.Name}, {"fileext", "csv"}, {"filesize", fmt.Sprint(doc.Size)}, {"sdkfileid", doc.SDKFileID}})
	// Raw control bytes inside a string, which JSON forbids.
	from, to := sc.parts("B")
	id := fmt.Sprintf("3301%015d_%d", hash64("control", p.day)%1000000000000000, p.at(0.15))
	p.say(Message{MsgID: id, Time: p.at(0.15), Raw: fmt.Sprintf(
		"{\"msgid\":%q,\"action\":\"send\",\"from\":%q,\"tolist\":[%q],\"roomid\":\"\",\"msgtime\":%d,\"msgtype\":\"text\",\"text\":{\"content\":\"第一行\x01\n第二行\x0b tab\there\"}}",
		id, from, to[0], p.at(0.15))})
	// A quotation inside a reply, in both clients' forms.
	p.in(sc, "A", "text", 0.17, object{{"content", "这是一条引用/回复消息：\n\"" + from + "：\n对账单收到\"\n------\n好的，谢谢"}})
	p.in(p.outside(), "X", "text", 0.18, object{{"content", "「海岳客服：预计三天到账」\n- - - - - - - - - - - - - - -\n还没到呢"}})
	// One message under two seqs.
	twice := p.in(p.pair("invest"), "A", "text", 0.3, object{{"content", "同一条消息，两个序号 / one message, two seqs"}})
	twice.MsgID = fmt.Sprintf("5500%015d_%d", hash64("twice", p.day)%1000000000000000, p.at(0.3))
	again := *twice
	again.Stored = p.at(0.4)
	p.say(again)
	// A recall of a message that never came, and one that is faster than what it recalls.
	p.recallOf(p.pair("exec"), "A", fmt.Sprintf("1482233913065688%d_%d", p.day, p.at(0)-86400000), 0.45)
	fast := p.roomNamed("settle")
	early := fmt.Sprintf("6600%015d_%d", hash64("early", p.day)%1000000000000000, p.at(0.52))
	p.recallOf(fast, "A", early, 0.5)
	p.in(fast, "A", "text", 0.52, object{{"content", "发错群了 / wrong group"}}).MsgID = early
	// A type that nobody has described.
	p.in(p.pair("wealth"), "B", "hologram", 0.6, object{{"title", "产品三维演示"}, {"frames", 24}, {"scene_url", "https://www.haiyue.example/holo/1"}})
}

// mishaps are what must be set aside or is lost.
func (p *player) mishaps() {
	lost := p.document("会议录像（已过期）.mp4", 800_000)
	p.refuseFile(lost.SDKFileID, 301048)
	p.in(p.roomNamed("marketing"), "C", "file", 0.2, filePayload(lost))
	a := p.in(p.pair("invest"), "A", "text", 0.4, object{{"content", "nobody will ever read this: its random key belongs to a foreign key"}})
	a.Fate = FateUndecryptable
	b := p.in(p.pair("ops"), "B", "text", 0.6, object{{"content", "the library dies before it could read this"}})
	b.Fate = FateCrashing
}

// large is the attachment of 30 MB.
func (p *player) large() {
	p.in(p.outroom(), "A", "file", 0.3, filePayload(p.document("2026年度策略会-完整材料.pdf", 30<<20)))
}
