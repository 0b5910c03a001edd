package wecomsim

import "strings"

// talk is one conversation of the demonstration: where it happens and who says what. Roles A, B and C are members of the company, X and Y
// are outside it. {fund}, {client}, {amount}, {date}, {code} and {place} are filled in anew each time.
type talk struct {
	where string
	lines []line
}

type line struct{ role, text string }

// talks reads the conversations of one language.
func talks(text string) []talk {
	var list []talk
	for _, row := range strings.Split(text, "\n") {
		row = strings.TrimSpace(row)
		switch where, isHead := strings.CutPrefix(row, "@"); {
		case row == "":
		case isHead:
			list = append(list, talk{where: where})
		default:
			role, said, _ := strings.Cut(row, " ")
			t := &list[len(list)-1]
			t.lines = append(t.lines, line{role, said})
		}
	}
	return list
}

// The places: "room KEY" is a room of the company, "dm KEY" two members of departments, "out" a member and an external contact, "outroom"
// a customer group.

const talkZh = `
@room morning
A 各位早，今天的晨会改到九点十分，会议室A
B 收到，我从外面赶回来，可能晚两分钟
C 昨晚外盘的要点我已经整理好了，发在共享盘“晨会”目录
A 辛苦了。{fund}昨天的申购数据出来了吗？
C 出来了，净申购{amount}万，主要是机构
B 比上周多了不少
A 是的，会上请运营说一下备付金的安排
B 好的，我和结算对过，没有问题
A [OK]

@room dealing
A {code} 现在卖一还有多少量？
B 两千手左右，挂得比较散
A 那我们分三笔做，别一下打穿
B 明白，第一笔先四百手
B 第一笔成了，均价比昨收低一分钱，可以接受
A 继续第二笔
C 提醒一下，{fund}今天的个股上限还剩{amount}万
A 够用，第三笔做完就停
B 全部完成，成交回报已经导出
C 收到，我这边核对
C 核对无误，已留痕

@room settle
A {fund}{date}的交收指令，托管行退了一笔
B 什么原因？
A 账户名称少了一个“有限”，对方模板旧了
B 请对方重出，我们这边不能改
A 已经打电话了，说半小时内补
C 截止时间是下午三点，注意一下
A 补来了，我已经复核，B 请你授权
B 授权完成
A 托管行确认收妥，谢谢各位

@room compliance
A 提醒各团队：{date}起客户沟通一律使用企业微信，私人微信不再作为工作渠道
B 香港团队已经通知到人
C 上海这边还有两位同事没激活，今天会处理
A 没激活的同事请在本周内完成，名单我会在日报里看
B 客户如果坚持用个人微信怎么办？
A 请对方扫你的企业微信名片，加完之后补一条说明
C 明白
A 另外{client}的适当性材料月底到期，请客户经理跟进
C 已经约了周四见面

@room risk
A {fund}单一发行人比例到了8.6%，离上限很近
B 是{code}涨上来的，被动的
A 被动超限也要在十个交易日内调回，先报备
B 好，我写说明
C 需要我这边停掉新的买入指令吗？
A 先停
C 已经停了，系统里设了禁买
A 谢谢，下午我再看一次数

@room it
A 晚上十点到十一点升级行情网关，影响约五分钟
B 影响夜盘吗？
A 不影响，夜盘走备线
C 请把回退步骤也发一下
A 在工单 IT-{amount} 里，步骤三
B 我来值守
A 好，完成以后在群里说一声

@room hr
A 六位新同事下周一入职，名单已发各部门负责人
B 请确认工位和电脑
C IT 已经备好五台，还差一台在路上
A 企业微信账号由我这边开，手机号请各位提前提供
B 财富上海有一位没有国内手机号，可以用邮箱注册吗？
A 可以，先用邮箱，存档不受影响
C 最后一台今天下午到

@room marketing
A 季度策略会定在{date}，地点{place}
B 邀请函中英文各一版，我今天出稿
C 嘉宾名单里{client}还没有回复
A 我晚点打电话确认
B 初稿好了，麻烦合规看一下措辞
A “稳健增值”四个字不要用，换成“长期持有”
B 已改

@room finance
A 本月差旅报销周五截止，逾期并到下月
B {place}那趟的住宿发票还没开出来
A 让酒店开电子的，发邮箱就行
C 我有一笔{amount}元的会议费，需要附签到表吗？
A 需要，扫描件也可以
C 好的，下午交

@dm invest
A {code}的调研纪要写完了吗？
B 写完了，晚点发你。核心是产能爬坡比预期慢一个季度
A 那我们的盈利预测要下调？
B 下调大概6%，但估值已经反映
A 管理层口径呢？
B 说二季度满产，我觉得偏乐观
A 行，周会上讨论，先不动仓位
B 同意

@dm invest
A 方便电话吗？{fund}的再平衡有点问题
B 十分钟后，在楼下
A 不急，先给你数：目标权重改了之后现金多出{amount}万
B 先放七天逆回购，等明天会上定
A 好
B 顺便看下{code}的流动性

@dm wealth
A {client}想把到期的那笔转成{fund}，风险等级匹配吗？
B 查过了，C4，可以
A 冷静期怎么算？
B 签约后24小时，回访电话会打
A 客户下周出国，回访能提前约吗？
B 可以，我跟客服说，约明天上午
A 多谢

@dm ops
A 昨天那笔手工指令的复核人写的是你，对吗？
B 是我，单号{code}-{amount}
A 稽核要看截图
B 晚上发你，存档系统里也能查到聊天记录
A 对，那就不用另外截了

@dm exec
A 董事会材料第三部分需要更新数据，截至{date}
B 今天下班前给您
A 另外{client}的拜访安排在周三下午
B 车已经订好，材料打印了十份
A 好，附一页我们去年的服务总结
B 明白

@out
X 你好，我想问一下{fund}现在还能申购吗？
A 您好，可以的，目前正常开放，单日单户上限是{amount}万
X 手续费怎么算
A 前端按档位收取，具体比例在产品页第四页，我把链接发您
X 好的，我看一下
A 有任何不明白的地方随时问我。按规定提醒您：投资有风险，历史业绩不代表未来
X 知道啦，谢谢
A 不客气 [微笑]

@out
A {client}您好，上次您问的季度报告今天披露了，给您发一份
X 太好了，我先看看
X 前十大里怎么少了一只？
A 三季度调出的，原因在管理人报告里有说明，第十二页
X 看到了
X 那现在加仓合适吗
A 这个要结合您的风险承受能力，我不能给具体买卖建议，可以约时间把您的配置一起过一遍
X 那就周五下午吧
A 好的，周五三点，{place}见

@out
X 我身份证快到期了，需要去你们那里更新吗？
A 不用跑，手机客户端“我的—资料”里上传正反面就可以
X 上传了，提示审核中
A 我帮您催一下运营，一般一个工作日
X 好
A 已经通过了，您刷新看看
X 看到了，效率真高

@out
X 昨天的赎回什么时候到账？
A 您是{fund}，T+3，预计{date}到账
X 能不能快一点，我这边急用
A 理解，这个时间是托管行和登记机构决定的，我没法提前，不过可以帮您盯着
X 行吧，到了告诉我一声
A 一定

@outroom
A 各位好，我是本群的客户经理，以后{fund}的公告都会发在这里
X 收到
Y 好的
A 按照监管要求，本群聊天内容会被存档，进群时大家已经同意，再提醒一次
X 没问题
Y 上周的路演材料可以补发吗？
A 可以，我现在发文件
Y 谢谢
X 分红方式在哪里改？
A 客户端“持仓—分红设置”，{date}前改的按新方式

@outroom
X 今天净值出了吗
A 预计晚上九点更新
Y 最近波动好大呀
A 是的，主要是{code}所在的板块调整，管理人的看法我整理了三点，稍后发到群里
A 一、基本面没有变化；二、仓位略有下降；三、继续分散
Y 辛苦
X 收到，谢谢整理
`

const talkEn = `
@room dealing
A Morning. What do we have in {code} before the open?
B Two orders, both for {fund}, {amount}k shares in total
A Work them with the volume, please, no more than fifteen percent
B Will do. First clip is in
C Pre-trade check is green, limits are fine until lunch
B Done at 11:20, average a touch under VWAP
A Nice. Book it and send the fills to settlements
C Fills received, allocations match

@room settle
A The counterparty says they never got our confirmation for {date}
B It left at 16:02, I can see it in the queue
A They checked spam and found it. All good
C Can we ask them to whitelist us? That is the third time
A Asked. Their IT will do it this week
B Thanks. Closing ticket {amount}

@room compliance
A Reminder that the quarterly attestation is due on {date}
B Hong Kong is at 94%, six people to go
A Please send me the names today
B Sent. Two of them are on leave until Monday
C Are contractors in scope?
A If they talk to clients, yes
C Understood, I will add four people
A And please nobody use voice messages for order instructions. Text only

@room it
A Heads-up: the file gateway will be restarted at 19:00 Hong Kong time
B Any impact on the report run?
A None expected, the run starts at 20:00
C I will keep an eye on the queue
A Restarted, all green
C Queue is at zero, nothing lost

@room research
A Draft of the sector note is in the folder, comments by five please
B The margin table on page 3 still has the old numbers for {code}
A Good catch, fixing
C Can we say something about inventories? Clients keep asking
A Added a paragraph. {amount} days, down from the peak
B Reads well now
A Off to compliance then

@dm invest
A Have you seen the {code} numbers?
B Just reading. Revenue in line, cash flow better than I had
A Guidance is cautious though
B It always is in the first half. I would not cut
A Fine, let us talk after the call
B The call is at four, dial-in is in the calendar

@dm wealth
A {client} asks whether the statement can come in English
B Yes, there is a switch in the profile, I can set it
A Please do. From this month on?
B From the next one, {date}
A Perfect, thank you

@dm wealth
A Could you cover my meeting with {client} on {date}? I am at the dentist
B Sure. Anything I should know?
A They will ask about {fund} and fees. The deck is in the folder
B Do they want to meet at {place} or at ours?
A At ours, room Magnolia
B Done, got it in my diary

@dm ops
A Reconciliation break on {fund}, {amount} units
B That is the switch from yesterday, it was booked twice
A Can you reverse the second leg?
B Reversed. Please refresh
A Clean now, thanks

@dm exec
A The regulator moved our call to {date}, 10:00
B I will tell legal and move the pre-meeting
A Please also pull last year's correspondence
B It is in the archive, I will export it this afternoon

@out
X Hi, this is about the invoice you sent on {date}
A Good morning! Which number is it?
X {code}-{amount}
A Found it. The address is still the old one, I will have it reissued
X Great, our accounts team cannot book it otherwise
A You will have it by tomorrow noon
X Thanks a lot

@out
A Good afternoon, following up on our chat at {place}: are you still interested in the mandate?
X Yes, we are. The board meets on {date}
A Then I would suggest sending the proposal two days before
X Works for us. Please include the fee table for {fund}
A Of course. Do you prefer PDF or slides?
X PDF please. And one page on how you archive our conversations
A Happy to. Everything here is recorded and kept, as you agreed when we connected
X Good to know

@out
X Could you resend the link? It says expired
A Sure, here is a fresh one, valid for seven days
X Works now. The upload was {amount} MB, is that ok?
A It is, up to two hundred
X Great, all documents are in
A Received, we will come back to you by {date}

@outroom
A Welcome everyone. This group is for the onboarding of {client}
X Thanks for setting it up
Y Hello all
A First item: the account opening form, two signatures on page 5
X One of our directors is travelling, is an electronic signature fine?
A It is, with the certificate attached
Y I will arrange it today
A Second item: the list of authorised traders
X Will send by {date}
A Then we are on track

@outroom
X Is the cut-off for {fund} still 15:00?
A It is. Anything later gets the next day's price
Y We have a subscription coming, about {amount}k
A Noted, please mark it with the reference {code}
Y Sent
A I can see it. Confirmation tomorrow morning
`
