package report

// Cause is why a corp's archive needs somebody. The values are stable: watch keeps alarms under them. A cause that this version does not know
// is shown with its word and WeCom's code, never dropped.
type Cause string

// The causes that have texts of their own.
const (
	KeyMissing        Cause = "key-missing"         // messages of a key version that we don't hold
	KeyDoesNotFit     Cause = "key-does-not-fit"    // the key held for a version does not open its messages
	ServiceNotOpened  Cause = "service-not-opened"  // 301053
	ServiceExpired    Cause = "service-expired"     // 301052
	AddressNotTrusted Cause = "address-not-trusted" // 301042, 60020, the library's 10009
	SecretRefused     Cause = "secret-refused"      // 40001, 40013
	AccessForbidden   Cause = "access-forbidden"    // 48002
	CertRefused       Cause = "certificate-refused" // whoever answers in WeCom's place can't prove to be WeCom
	LibraryMissing    Cause = "library-missing"     // Tencent's library can't be loaded
	LibraryDies       Cause = "library-dies"        // it dies on more than a tenth of a batch
	RateLimited       Cause = "rate-limited"        // 45009 for long
	NeverCaughtUp     Cause = "never-caught-up"     // the corp was never fetched to the end
	NotFetching       Cause = "not-fetching"        // no whole batch for long, for no cause of its own
	MessagesAtRisk    Cause = "messages-at-risk"    // whole answers come, and the end of what waits is not reached in time
	NotOpening        Cause = "not-opening"         // batches are kept and not opened
	SetAsideWaiting   Cause = "set-aside"           // items wait for somebody, by reason
	MostlySetAside    Cause = "mostly-set-aside"    // more than half of at least 50 items within 10 minutes
	MediaAtRisk       Cause = "media-at-risk"       // attachments wait and their window ends soon
	MediaLost         Cause = "media-lost"          // WeCom says that they are gone
	ReceiverDead      Cause = "receiver-suppressed" // a receiver gets no mails any more: his address bounced for good, or he complained
	Unaccounted       Cause = "unaccounted"         // fsck found what it could not mend
	ServiceEnding     Cause = "service-ending"      // the end that was entered of what was bought is near, or past; its object is the day
)

// Causes lists the causes that have texts of their own.
func Causes() []Cause {
	return []Cause{
		KeyMissing, KeyDoesNotFit, ServiceNotOpened, ServiceExpired, AddressNotTrusted, SecretRefused, AccessForbidden, CertRefused, LibraryMissing,
		LibraryDies, RateLimited, NeverCaughtUp, NotFetching, MessagesAtRisk, NotOpening, SetAsideWaiting, MostlySetAside, MediaAtRisk, MediaLost, ReceiverDead, Unaccounted, ServiceEnding,
	}
}

// CauseOfCode is the cause that an errcode of WeCom's most often means; ok is false for codes that no cause belongs to.
func CauseOfCode(code int) (c Cause, ok bool) {
	switch code {
	case 301053:
		return ServiceNotOpened, true
	case 301052:
		return ServiceExpired, true
	case 301042, 60020, 10009:
		return AddressNotTrusted, true
	case 40001, 40013:
		return SecretRefused, true
	case 48002:
		return AccessForbidden, true
	case 45009:
		return RateLimited, true
	default:
		return "", false
	}
}

// risk is what a cause's clock counts down to.
type risk int

const (
	riskNone        risk = iota
	riskMessages         // fetching stands still: messages leave WeCom's window
	riskAttachments      // the messages are safe: attachments leave theirs
)

// both is a wording in each language. In all wordings of this file, words in braces stand for the alarm's values.
type both struct{ en, zh string }

func (b both) in(l Language) string { return l.say(b.en, b.zh) }

type causeStep struct {
	text    both
	command string // may hold braces; {ver} makes one command a version seen
}

type causeText struct {
	title    both
	what     both
	often    both // what the cause most often is; a refusal's code does not settle it
	possible both
	risk     risk
	steps    []causeStep
}

var doctor = causeStep{both{"See that it is mended: this alert ends by itself at the next good answer.", "确认已修复：下一次正常应答后，本提醒会自动结束。"}, "vaultctl status -corp {corp}"}

var causeTexts = map[Cause]causeText{
	KeyMissing: {
		title: both{"Key version missing: {seen}", "缺少密钥版本：{seen}"},
		what: both{
			"Messages that cannot be resolved: {n}. They are encrypted under key version {seen}; versions held: {held}. They are archived as received, and open by themselves once the key is added. Attachments named inside them can't be asked for until then, and WeCom keeps attachments for a shorter time than messages: they have a clock of their own.",
			"无法解开的消息数：{n}。这些消息以版本 {seen} 的密钥加密；现有版本：{held}。消息已按接收原样存档，添加密钥后会自动解开。在此之前无法获取其中的附件，而企业微信保留附件的时间比消息短，因此附件另行计时。",
		},
		often:    both{"a new public key was set in WeCom's admin console, and its private key was not added here.", "在企业微信管理后台设置了新的公钥，但对应的私钥尚未添加到这里。"},
		possible: both{"the key pair was made by a former archiving vendor, who alone can open these messages.", "该密钥对由之前的存档服务商生成，只有其能解开这些消息。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"Find the private key (PEM file) whose public key WeCom shows under chat archiving (会话内容存档) as this version, and add it:", "找到与企业微信“会话内容存档”中该版本公钥对应的私钥（PEM 文件），并添加："}, "vaultctl keys add -corp {corp} -ver {ver} -file KEY.pem"},
			{both{"If the private key is lost, make a new pair and paste its public key into WeCom. Messages under the lost version stay archived but closed.", "如私钥已丢失，请生成新的密钥对，并将公钥粘贴到企业微信。以丢失版本加密的消息仍会存档，但无法解开。"}, "vaultctl keys new -corp {corp}"},
		},
	},
	KeyDoesNotFit: {
		title: both{"The key held does not fit version {seen}", "版本 {seen} 的密钥不匹配"},
		what: both{
			"Messages that cannot be resolved: {n}. The key held for version {seen} does not open them. They are archived as received, and open by themselves once the right key is added. Attachments named inside them have a clock of their own.",
			"无法解开的消息数：{n}。现有的版本 {seen} 密钥无法解开这些消息。消息已按接收原样存档，添加正确的密钥后会自动解开。其中的附件另行计时。",
		},
		often:    both{"the file of another version was added under this number.", "以此版本号添加了其他版本的密钥文件。"},
		possible: both{"the public key in WeCom's console was replaced by one whose private key is somewhere else.", "企业微信后台的公钥已被更换，其私钥在别处。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"Compare the public keys in WeCom's admin console with your PEM files, then add the right one. A key that does not open a waiting message is refused.", "将企业微信管理后台的公钥与 PEM 文件核对，然后添加正确的密钥。无法解开等待中消息的密钥会被拒绝。"}, "vaultctl keys add -corp {corp} -ver {ver} -file KEY.pem"},
		},
	},
	ServiceNotOpened: {
		title:    both{"Chat archiving is not opened in WeCom", "企业微信未开启会话内容存档"},
		what:     both{"WeCom refuses to hand out messages: for it, this company has not opened chat archiving. Nothing is captured while this lasts.", "企业微信拒绝交付消息：该企业未开启会话内容存档服务。在此期间不会存档任何内容。"},
		often:    both{"the service was never opened, or was closed by an admin of WeCom.", "服务从未开启，或已被企业微信管理员关闭。"},
		possible: both{"the service has just expired; the secret belongs to another company.", "服务刚刚到期；或密钥属于其他企业。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"In WeCom's admin console (work.weixin.qq.com), open chat archiving (会话内容存档), and give the users to be archived their seats.", "在企业微信管理后台 (work.weixin.qq.com) 开启“会话内容存档”，并设置存档成员。"}, ""},
			doctor,
		},
	},
	ServiceExpired: {
		title:    both{"Chat archiving has expired in WeCom", "企业微信会话内容存档服务已过期"},
		what:     both{"WeCom refuses to hand out messages: the archiving service that was bought has run out. Nothing is captured while this lasts.", "企业微信拒绝交付消息：已购买的会话内容存档服务已到期。在此期间不会存档任何内容。"},
		often:    both{"the order in WeCom ran out and was not renewed.", "企业微信中的订单已到期且未续费。"},
		possible: both{"a trial ended; the renewal is paid but not active yet.", "试用期结束；或已续费但尚未生效。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"Renew the service in WeCom's admin console, under chat archiving (会话内容存档).", "在企业微信管理后台的“会话内容存档”中续费。"}, ""},
			{both{"Enter the new end date here, to be reminded of it: WeCom offers no way to read it.", "请在此录入新的到期日以便提醒：企业微信没有提供可读取到期日的接口。"}, "vaultctl receivers settings -corp {corp} -service-end YYYY-MM-DD"},
			doctor,
		},
	},
	AddressNotTrusted: {
		title: both{"WeCom does not trust our address {address}", "企业微信不信任我们的 IP 地址 {address}"},
		what: both{
			"The IP {address} is not on the list of trusted addresses, so WeCom hands out nothing. Nothing is captured while this lasts.",
			"IP {address} 不在可信 IP 名单中，因此企业微信不交付任何内容。在此期间不会存档任何内容。",
		},
		often:    both{"the address was not added, or was removed, or our outgoing address changed.", "该地址未添加、被移除，或我们的出口地址发生了变化。"},
		possible: both{"a wrong secret, which WeCom can answer in the same way; a change that is less than a minute old.", "密钥错误（企业微信可能返回相同的应答）；或修改未满一分钟、尚未生效。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"In WeCom's admin console, add this to the trusted IPs (可信IP) of chat archiving, and of the app that reads the directory:", "在企业微信管理后台，将以下地址添加到“会话内容存档”以及读取通讯录的应用的可信 IP 中："}, "{egress}"},
			{both{"Wait a minute: WeCom takes that long.", "等待一分钟，企业微信需要该时间生效。"}, ""},
			doctor,
		},
	},
	SecretRefused: {
		title:    both{"WeCom refuses the secret", "企业微信拒绝了密钥 (Secret)"},
		what:     both{"WeCom gives no access token for this company. Nothing is captured while this lasts.", "企业微信不为该企业签发访问凭证。在此期间不会存档任何内容。"},
		often:    both{"the secret was reset in WeCom, or typed wrongly here (40001); the corp id is wrong (40013).", "密钥已在企业微信中重置，或在此处输入有误 (40001)；企业 ID 有误 (40013)。"},
		possible: both{"the secret of another app than chat archiving; an address that is not trusted, which WeCom can answer in the same way.", "使用了“会话内容存档”以外应用的密钥；或 IP 不在可信名单（企业微信可能返回相同的应答）。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"In WeCom's admin console, look up the corp id and the secret of chat archiving (会话内容存档), and set the secret here. Don't try several: WeCom bars an address that repeats wrong ones.", "在企业微信管理后台查看企业 ID 和“会话内容存档”的 Secret，并在此处更新。请勿反复尝试：多次错误会被企业微信封禁 IP。"}, "vaultctl corps set -corp {corp} -secret-file FILE"},
			doctor,
		},
	},
	AccessForbidden: {
		title:    both{"WeCom forbids this secret to read the archive", "企业微信禁止该密钥读取存档"},
		what:     both{"The secret is valid, but not for chat archiving. Nothing is captured while this lasts.", "该密钥有效，但无权读取会话内容存档。在此期间不会存档任何内容。"},
		often:    both{"the secret of a self-built app was set instead of that of chat archiving.", "设置的是自建应用的密钥，而不是“会话内容存档”的密钥。"},
		possible: both{"the permission was withdrawn in WeCom.", "权限已在企业微信中被收回。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"Set the secret shown in WeCom's admin console under chat archiving (会话内容存档).", "请设置企业微信管理后台“会话内容存档”中显示的 Secret。"}, "vaultctl corps set -corp {corp} -secret-file FILE"},
			doctor,
		},
	},
	CertRefused: {
		title:    both{"The server in WeCom's place can't prove that it is WeCom", "对方服务器无法证明其为企业微信"},
		what:     both{"The certificate was refused before anything was sent: neither the secret nor a token has left. Nothing is captured while this lasts.", "在发送任何内容之前证书已被拒绝：密钥和凭证均未泄露。在此期间不会存档任何内容。"},
		often:    both{"a proxy or firewall on the way opens encrypted connections.", "链路中的代理或防火墙会解密加密连接。"},
		possible: both{"a wrong address in the settings; a DNS entry that was changed; an attack.", "配置中的地址有误；DNS 记录被更改；遭受攻击。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"Have WeCom's hosts (qyapi.weixin.qq.com) exempted from inspection on your network path. Don't switch the check off: there is no such switch.", "请在网络链路中将企业微信主机 (qyapi.weixin.qq.com) 设为免检。请勿尝试关闭校验：本产品没有此开关。"}, ""},
			doctor,
		},
	},
	LibraryMissing: {
		title:    both{"Tencent's library can't be loaded", "无法加载腾讯的存档库"},
		what:     both{"Without it no message can be fetched or opened. Nothing is captured while this lasts.", "没有该库就无法拉取或解开消息。在此期间不会存档任何内容。"},
		often:    both{"the layer with the library was not made, or not named in the deployment.", "未制作包含该库的层，或部署时未指定。"},
		possible: both{"a library of another architecture; a file that was cut.", "库的架构不符；或文件不完整。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"Make the layer from the file that you downloaded from WeCom, and deploy with the ARN that it prints:", "用从企业微信下载的文件制作层，并以输出的 ARN 重新部署："}, "make sdk-layer SDK=PATH"},
			doctor,
		},
	},
	LibraryDies: {
		title:    both{"Tencent's library keeps dying", "腾讯的存档库反复崩溃"},
		what:     both{"It died on more than a tenth of a batch. The batch is kept as received and waits; opening has stopped for it.", "该库在处理一个批次超过十分之一的消息时崩溃。该批次已按接收原样保存并等待，解析已暂停。"},
		often:    both{"a new version of the library, or too little memory for it.", "更换了新版本的库，或内存不足。"},
		possible: both{"a batch with many damaged records.", "该批次包含大量损坏的记录。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"Go back to the version of the library that worked, or give the function more memory, then let the batches be tried again:", "恢复之前可用的库版本，或为函数增加内存，然后重新处理："}, "vaultctl redrive -corp {corp}"},
			doctor,
		},
	},
	RateLimited: {
		title:    both{"WeCom limits our rate", "企业微信限制了我们的请求频率"},
		what:     both{"WeCom has answered for long that we ask too often. Fetching goes on at the pace that it allows.", "企业微信持续应答请求过于频繁。将按其允许的速度继续拉取。"},
		often:    both{"another program fetches with the same secret.", "另一个程序正使用同一密钥拉取。"},
		possible: both{"a backlog after a standstill; many companies behind one address.", "停顿后的积压；或多家企业共用同一出口地址。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"Stop other programs that use this secret. If there is none, let the backlog run out and watch the time left above.", "请停止使用该密钥的其他程序。如没有，请等待积压消化，并留意上方的剩余时间。"}, ""},
			doctor,
		},
	},
	NeverCaughtUp: {
		title:    both{"This company was never caught up", "该企业从未追平数据"},
		what:     both{"Since it was set up, WeCom has not once said that nothing more waits. What may already be outside its window can't be told.", "自配置以来，企业微信从未应答“没有更多数据”。无法得知哪些内容可能已超出保留窗口。"},
		often:    both{"the set-up is not finished: secret, trusted address, service or key.", "配置未完成：密钥、可信 IP、服务或私钥。"},
		possible: both{"a large backlog that is still being fetched.", "仍在拉取大量积压。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"See how far it is and what stops it:", "查看进度及阻碍原因："}, "vaultctl status -corp {corp}"},
		},
	},
	NotFetching: {
		title:    both{"No messages are being fetched", "未能拉取消息"},
		what:     both{"No whole answer has come from WeCom for long, and none says why.", "长时间未收到企业微信的完整应答，也没有说明原因。"},
		often:    both{"the network path to WeCom is down.", "通往企业微信的网络中断。"},
		possible: both{"WeCom itself is down; the fetching function is switched off or out of its limits.", "企业微信自身故障；或拉取函数被停用、超出配额。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"See the last answer and when it came:", "查看最后一次应答及其时间："}, "vaultctl status -corp {corp}"},
			{both{"Check the outgoing connection to qyapi.weixin.qq.com, and the fetch function's log and alarms.", "检查到 qyapi.weixin.qq.com 的出口连接，以及 fetch 函数的日志和告警。"}, ""},
		},
	},
	MessagesAtRisk: {
		title:    both{"Fetching is too slow: messages are about to leave WeCom's window", "拉取速度过慢：消息即将超出企业微信的保留窗口"},
		what:     both{"Messages are being fetched, but the end of what waits at WeCom has not been reached for days.", "正在拉取消息，但已多日未能追平企业微信中的待拉取数据。"},
		often:    both{"a backlog after a standstill, larger than WeCom's pace allows in time.", "停顿后的积压过大，按企业微信允许的速度无法及时追平。"},
		possible: both{"another program fetches with the same secret; answers that have to be asked for in small pieces.", "另一个程序正使用同一密钥拉取；或应答过大，只能分小批请求。"},
		risk:     riskMessages,
		steps: []causeStep{
			{both{"Stop other programs that use this secret, and see how fast the cursor moves:", "请停止使用该密钥的其他程序，并查看游标前进的速度："}, "vaultctl status -corp {corp}"},
		},
	},
	NotOpening: {
		title:    both{"Messages are kept but not being opened", "消息已保存，但未被解析"},
		what:     both{"Batches that are archived as received and have not been opened for an hour or more are waiting. Nothing of them is lost; attachments named inside them have a clock of their own.", "部分批次已按接收原样存档，但超过一小时未被解析。消息没有丢失；其中的附件另行计时。"},
		often:    both{"the processing function fails: Tencent's library can't be loaded, or the key store can't be reached.", "处理函数失败：无法加载腾讯的库，或无法访问密钥存储。"},
		possible: both{"a large backlog; the function is switched off or out of its limits.", "积压过大；或函数被停用、超出配额。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"See how much waits, and look into the log of the function process:", "查看等待的数量，并检查 process 函数的日志："}, "vaultctl status -corp {corp}"},
		},
	},
	SetAsideWaiting: {
		title:    both{"Messages are set aside: {reason}", "消息被搁置：{reason}"},
		what:     both{"Messages set aside: {n}. They are archived as received but could not be opened or read. They are tried again by themselves when the reason goes away. Attachments named inside them have a clock of their own.", "被搁置的消息数：{n}。消息已按接收原样存档，但无法解开或读取。原因消除后会自动重试。其中的附件另行计时。"},
		often:    both{"single damaged records; nothing else is held up by them.", "个别损坏的记录，不影响其他消息。"},
		possible: both{"a library that is too old for a new kind of record.", "库版本过旧，不支持新的记录类型。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"List them:", "列出这些消息："}, "vaultctl set-aside -corp {corp}"},
			{both{"Once the reason is gone, put them back to work:", "原因消除后重新处理："}, "vaultctl redrive -corp {corp}"},
		},
	},
	MostlySetAside: {
		title:    both{"More than half of the messages are being set aside: {reason}", "超过一半的消息被搁置：{reason}"},
		what:     both{"Within ten minutes more than half of the messages that came could not be opened or read, all for this reason. Messages so far: {n}. They are archived as received. Attachments named inside them have a clock of their own.", "十分钟内收到的消息有一半以上因该原因无法解开或读取。目前数量：{n}。消息已按接收原样存档。其中的附件另行计时。"},
		often:    both{"a key was changed in WeCom and not added here; a library was replaced.", "企业微信中更换了密钥而未在此添加；或更换了库。"},
		possible: both{"WeCom changed the form of its records.", "企业微信更改了记录格式。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"List them with their key versions:", "列出这些消息及其密钥版本："}, "vaultctl set-aside -corp {corp}"},
			{both{"Once the reason is gone, put them back to work:", "原因消除后重新处理："}, "vaultctl redrive -corp {corp}"},
		},
	},
	MediaAtRisk: {
		title:    both{"Attachments are about to leave WeCom's window", "附件即将超出企业微信的保留窗口"},
		what:     both{"Attachments that wait to be downloaded: {m}. The oldest soon can't be asked for any more.", "等待下载的附件数：{m}。最早的附件即将无法获取。"},
		often:    both{"downloads are held up by one of the other causes in this mail.", "下载被本邮件中的其他原因阻塞。"},
		possible: both{"many large files at once; a slow path to WeCom.", "同时有大量大文件；或到企业微信的链路缓慢。"},
		risk:     riskAttachments,
		steps: []causeStep{
			{both{"Mend the other causes first. Attachments are then asked for again by themselves, within minutes; see what waits:", "请先处理其他原因。之后附件会在几分钟内自动重新获取；查看等待中的附件："}, "vaultctl status -corp {corp}"},
		},
	},
	MediaLost: {
		title:    both{"Attachments are lost", "附件已丢失"},
		what:     both{"Attachments that, WeCom says, have expired or don't exist: {m}. Their messages are archived, and say who sent them and when.", "企业微信表示已过期或不存在的附件数：{m}。所属消息已存档，并注明发送人和时间。"},
		often:    both{"they were asked for after WeCom's window had ended.", "请求时已超出企业微信的保留窗口。"},
		possible: both{"the file was withdrawn by WeCom.", "文件已被企业微信撤下。"},
		risk:     riskNone,
		steps: []causeStep{
			{both{"List the messages; ask their senders for the files if they are needed:", "列出相关消息；如有需要，请向发送人索取文件："}, "vaultctl messages -corp {corp} -format jsonl"},
		},
	},
	ReceiverDead: {
		title:    both{"Receivers get no mails any more", "有接收人已无法收到邮件"},
		what:     both{"Receivers to whom no report and no alert is sent: {r}. Their addresses refused a mail for good, or they called one of ours spam. Mails that were due to them say so and are not sent later.", "不再向其发送报告和提醒的接收人数：{r}。其地址已永久拒收邮件，或将我们的邮件举报为垃圾邮件。应发给他们的邮件会注明该情况，且不会补发。"},
		often:    both{"somebody left, and the mailbox is gone.", "有人离职，邮箱已被删除。"},
		possible: both{"a misspelt address; a mail filter that takes our mails for spam.", "地址拼写错误；或邮件过滤器把我们的邮件当作垃圾邮件。"},
		risk:     riskNone,
		steps: []causeStep{
			{both{"See who it is:", "查看是哪些接收人："}, "vaultctl receivers suppressed -corp {corp}"},
			{both{"If it is an account admin, name all account admins anew, with another address in its place:", "如为账户管理员：重新填写全部账户管理员，并更换该地址："}, "vaultctl corps set -corp {corp} -report-to ADDRESS,ADDRESS"},
			{both{"If it is another receiver, give another address (vaultctl receivers list -corp {corp} shows the ids):", "如为其他接收人：更换其地址（ID 见 vaultctl receivers list -corp {corp}）："}, "vaultctl receivers change -corp {corp} -id ID -address ADDRESS"},
			{both{"If the address works again, let mails go there again:", "如果该地址已恢复，重新允许发送："}, "vaultctl receivers lift -corp {corp} -address ADDRESS"},
		},
	},
	ServiceEnding: {
		title:    both{"Chat archiving in WeCom ends on {reason}", "企业微信会话内容存档将于 {reason} 到期"},
		what:     both{"The service that was bought from WeCom ends on {reason}, as it was entered here. From then on WeCom refuses to hand out messages, and nothing is captured. Reminders come 30, 14, 7 and 1 days before.", "按此处录入的信息，向企业微信购买的服务将于 {reason} 到期。到期后企业微信将拒绝交付消息，不会存档任何内容。到期前 30、14、7、1 天会提醒。"},
		often:    both{"the order in WeCom has not been renewed yet.", "企业微信中的订单尚未续费。"},
		possible: both{"it was renewed, and the new end was not entered here: WeCom offers no way to read it.", "已续费，但未在此录入新的到期日：企业微信没有提供可读取到期日的接口。"},
		risk:     riskNone,
		steps: []causeStep{
			{both{"Renew the service in WeCom's admin console, under chat archiving (会话内容存档).", "在企业微信管理后台的“会话内容存档”中续费。"}, ""},
			{both{"Enter the new end: the reminder then ends by itself.", "录入新的到期日：提醒会自动结束。"}, "vaultctl receivers settings -corp {corp} -service-end YYYY-MM-DD"},
		},
	},
	Unaccounted: {
		title:    both{"The archive and its ledger disagree", "存档与账目不一致"},
		what:     both{"The nightly check found something that it could not mend.", "夜间检查发现了无法自动修复的问题。"},
		often:    both{"a row or an object was removed by hand.", "有记录或对象被人工删除。"},
		possible: both{"an object was altered; a fault of ours.", "对象被篡改；或本产品的缺陷。"},
		risk:     riskNone,
		steps: []causeStep{
			{both{"See what was found, and keep the output as evidence:", "查看发现的问题，并保留输出作为证据："}, "vaultctl fsck -corp {corp}"},
		},
	},
}

var otherCause = causeText{
	title:    both{"The archive needs attention: {cause}", "存档需要关注：{cause}"},
	what:     both{"Something stands in the way of capture that this version of the software has no words for.", "存在妨碍存档的情况，当前软件版本没有对应的说明。"},
	often:    both{"a refusal by WeCom that is new.", "企业微信新增的拒绝原因。"},
	possible: both{"see the code below in WeCom's list of error codes.", "请在企业微信错误码列表中查询下方代码。"},
	risk:     riskMessages,
	steps:    []causeStep{doctor},
}
