package report

import (
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/fault"
)

// What is listed and not in order is followed by what to do about it: one step for each kind of thing that is listed, none for others.

// steps is the section of what to do; empty without steps.
func (v View) steps(all []step) section {
	if len(all) == 0 {
		return section{}
	}
	return section{Heading: v.Language.say("What to do", "如何处理"), Steps: all}
}

// userSteps is what to do about what is wrong with users.
func (v View) userSteps(found map[problem]bool) []step {
	l := v.Language
	var all []step
	for p, words := range []both{
		wrongLostMobile: {"Lost the mobile number: the user binds it again in the WeCom app, or an admin enters it in WeCom's admin console: Contacts (通讯录), the user, Edit.",
			"手机号已丢失：由用户在企业微信 App 中重新绑定，或由管理员在管理后台填写：通讯录 > 成员 > 编辑。"},
		wrongDropped: {"No longer designated: put the user back on WeCom's list (admin console, chat archiving, 会话内容存档) if that was not meant. What is written meanwhile can't be fetched later.",
			"已不在存档名单中：如非有意，请重新列入（管理后台 > 会话内容存档）。期间的消息事后无法补取。"},
		wrongNotVisible: {"Not shown by the directory: put the user into the visible range (可见范围) of the app whose secret reads the directory.",
			"通讯录未返回：请将该用户加入读取通讯录的应用的可见范围。"},
		wrongDisabled: {"Disabled: enable the user in WeCom's admin console, or take the user off the list and so free a seat.",
			"已禁用：请在管理后台启用该用户，或将其移出存档名单以释放名额。"},
		wrongNotActivated: {"Not activated: the user signs in to the WeCom app once.", "未激活：用户登录一次企业微信 App。"},
		wrongNothingYet: {"Nothing archived yet: ask the user to send a message, and look the next day. It is also possible that there was nothing to archive.",
			"尚未存档：请用户发一条消息，次日再看；也可能尚无消息。"},
		wrongNoAddress: {"Neither mobile nor email: enter one of them in WeCom's admin console: Contacts (通讯录), the user, Edit.",
			"既无手机号也无邮箱：请在管理后台填写其中一项：通讯录 > 成员 > 编辑。"},
		wrongUnmappedUsers: {"No mailbox: enter the address of the user's mailbox as the email in WeCom.", "未匹配邮箱：请在企业微信中填写该用户的邮箱地址。"},
	} {
		if found[problem(p)] {
			all = append(all, step{Text: words.in(l)})
		}
	}
	return all
}

// numberSteps is what to do about changed numbers.
func (v View) numberSteps(f NumberChangeFacts) []step {
	l := v.Language
	var removed, behind, file, other bool
	for _, r := range f.Rows {
		removed = removed || r.New == ""
		behind = behind || notUpdated(r) == yes
		file = file || r.File != nil
		other = other || len(r.Still) > 0
	}
	var all []step
	if removed {
		all = append(all, step{Text: l.say("Number removed: R2 lists the user each day until there is a number again. Who knows the number enters it in WeCom's admin console: Contacts (通讯录), the user, Edit.",
			"手机号被移除：R2 将每日列出该用户，直至重新有手机号。知道号码者可在管理后台填写：通讯录 > 成员 > 编辑。")})
	}
	if file {
		all = append(all, step{
			Text:    l.say("The HR file holds an old number: correct the line that is named, and hand in the whole file again.", "HR 文件仍为旧手机号：请更正所列的行，并重新提交整个文件。"),
			Command: "vaultctl people import -corp " + shellWord(string(f.Corp.ID)) + " -file FILE.csv",
		})
	}
	if other {
		all = append(all, step{Text: l.say("Something else holds an old number: correct it where the row says.", "其他位置仍为旧手机号：请在所列位置更正。")})
	}
	if behind {
		all = append(all, step{Text: l.say("Archive account not updated yet: nothing, it follows at the next reading of WeCom's directory.", "存档账户尚未更新：无需处理，下次读取通讯录后会更新。")})
	}
	return all
}

// coverageSteps is what to do about what is not covered.
func (v View) coverageSteps(f CoverageFacts) []step {
	l := v.Language
	corp := shellWord(string(f.Corp.ID))
	has := map[Lack]bool{}
	for _, r := range f.Rows {
		has[r.What] = has[r.What] || r.What != ConsentChange || r.refusal()
	}
	var all []step
	has[LackBeyondSeats] = has[LackBeyondSeats] || !f.Part && f.Company != nil && f.Company.Seats.short()
	for _, a := range []struct {
		what  Lack
		words both
	}{
		{LackSilent, both{"Nothing archived: ask the user to send a message, and look the next day.", "没有存档：请用户发一条消息，次日再看。"}},
		{LackDropped, both{"No longer designated: put the user back on WeCom's list (admin console, chat archiving, 会话内容存档) if that was not meant. What is written meanwhile can't be fetched later.",
			"已不在存档名单中：如非有意，请重新列入（管理后台 > 会话内容存档）。期间的消息事后无法补取。"}},
		{LackBeyondSeats, both{"More users on WeCom's list than seats: buy seats, or take users off the list.", "名单人数超出购买人数：请增购，或将部分用户移出名单。"}},
		{LackNotDesignated, both{"Should be designated: add the user to WeCom's list (admin console, chat archiving, 会话内容存档).", "应列入存档名单：请将用户列入（管理后台 > 会话内容存档）。"}},
		{ConsentChange, both{"Refused, or not answered yet: ask the contact, or talk where everybody has agreed. R6 names the groups concerned.", "不同意或尚未表态：请与对方沟通，或改在所有人均已同意的会话中交流。R6 会列出相关的群。"}},
		{MediaExpiring, both{"An attachment is not in yet: it is asked for again by itself. vaultctl doctor says what holds it up.", "附件尚未下载：系统会自动重新获取。vaultctl doctor 会说明受阻的原因。"}},
		{MediaGone, both{"An attachment is lost: ask its sender for the file.", "附件已丢失：请向发送人索取文件。"}},
	} {
		if has[a.what] {
			all = append(all, step{Text: a.words.in(l)})
		}
	}
	c := f.Company
	if f.Part || c == nil {
		return all
	}
	if c.Capture != nil && len(c.Capture.SetAsideOpen) > 0 {
		all = append(all, step{Text: l.say("Messages are set aside: list them with their reasons.", "有消息被搁置：列出这些消息及原因。"), Command: "vaultctl set-aside -corp " + corp})
	}
	if len(c.Unreached) > 0 {
		all = append(all, step{Text: l.say("A receiver is not reached: look up the id, then give an address or another department.", "有接收人无法送达：先查看其 ID，再更改邮箱或部门。"), Command: "vaultctl receivers list -corp " + corp},
			step{Text: l.say("With that id:", "使用该 ID："), Command: "vaultctl receivers change -corp " + corp + " -id ID -address ADDRESS"})
	}
	if c.Seats == nil {
		all = append(all, step{
			Text:    l.say("Enter what was bought from WeCom, to be told when seats or time run out.", "请录入向企业微信购买的内容，以便在人数不足或临近到期时提醒。"),
			Command: "vaultctl receivers settings -corp " + corp + " -edition NAME -seats N -service-end YYYY-MM-DD",
		})
	}
	return all
}

// asideWords is why messages are set aside, in words behind the ledger's own; the word alone where there are none.
func asideWords(l Language, r fault.Reason) string {
	word := clip(string(r), 60)
	words := map[fault.Reason]both{
		"no-key":           {"the private key of their version is not held", "未持有其密钥版本的私钥"},
		"key-does-not-fit": {"the key held for their version does not open them", "所持该版本的密钥无法解开"},
		"unreadable-item":  {"a field is missing, or is not as WeCom documents it", "字段缺失或与企业微信文档不符"},
		"undecodable-json": {"opened, and not in a form that can be read", "已解开，但格式无法读取"},
		"library-crash":    {"Tencent's library died on exactly these", "腾讯的存档库在处理时崩溃"},
		"library-hang":     {"Tencent's library hung on exactly these", "腾讯的存档库在处理时无响应"},
		"too-large":        {"larger than can be taken", "超出可处理的大小"},
		"missing":          {"found to be neither archived nor set aside", "检查时发现既未存档也未搁置"},
	}[r].in(l)
	if code, is := strings.CutPrefix(string(r), "sdk-"); is {
		if n, err := strconv.Atoi(code); err == nil {
			words = l.sayf("Tencent's library refused them with code %d", "腾讯的存档库拒绝处理，代码 %d", n)
		}
	}
	if words == "" {
		return word
	}
	return word + l.say(" (", "（") + words + l.say(")", "）")
}

// lostWords is why an attachment is lost, in words.
func lostWords(l Language, why string) string {
	switch why {
	case "media-expired":
		return l.say("WeCom does not keep it any more", "企业微信已不再保留")
	case "no-such-file":
		return l.say("WeCom says that there is no such file", "企业微信表示没有该文件")
	default:
		return clip(why, 60)
	}
}
