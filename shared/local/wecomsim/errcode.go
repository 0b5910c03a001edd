package wecomsim

import "fmt"

// The errcodes that the simulator answers, with WeCom's own text for them.
var errTexts = map[int]string{
	-1:     "system busy",
	40001:  "invalid credential",
	40003:  "invalid UserID",
	40008:  "invalid message type",
	40013:  "invalid corpid",
	40014:  "invalid access_token",
	40050:  "chatid not exist",
	40056:  "invalid agentid",
	40058:  "invalid parameter",
	40096:  "invalid external userid",
	41001:  "access_token missing",
	41002:  "corpid missing",
	41004:  "corpsecret missing",
	42001:  "access_token expired",
	44004:  "text content is empty",
	45009:  "api freq out of limit",
	47001:  "data format error",
	48002:  "api forbidden",
	48009:  "no permission of contacts sync assistant for this api",
	49008:  "group chat has been dismissed",
	50003:  "app is disabled",
	60003:  "department not found",
	60011:  "no privilege to access/modify contact/party/agent",
	60020:  "not allow to access from your ip",
	60111:  "userid not found",
	60123:  "invalid department id",
	81013:  "user & party & tag all invalid",
	82001:  "all receivers empty",
	84061:  "not external contact",
	84074:  "no permission",
	92002:  "cross-corp call is not allowed",
	301002: "agent not allowed",
	301039: "request parameter error",
	301042: "ip white list limit, request ip not in white list",
	301048: "file of this sdkfileid does not exist or has expired",
	301052: "msgaudit service expired",
	301053: "msgaudit service not open",
	301058: "request data size exceeds limit, reduce limit",
	301059: "not an internal group chat, no data provided",
	301060: "more than 100 params",
	301061: "userid or external_userid not exist",
	701008: "unlicensed userid",
}

// refusal is an errcode on its way to the answer.
type refusal struct {
	code int
	list string // the name of a list that stands empty in the refusal, "" for none
	more object // what else stands in it
}

func (e *refusal) Error() string { return fmt.Sprintf("errcode %d", e.code) }

func refuse(code int) error { return &refusal{code: code} }

// errmsg decorates a text as WeCom does: with a hint that differs on each answer, the address it saw and a link.
func (s *Sim) errmsg(code int) string {
	text, ok := errTexts[code]
	if !ok {
		text = "error"
	}
	n := s.hints.Add(1)
	return fmt.Sprintf("%s, hint: [%d_%d_%08x], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d",
		text, s.Now().Unix(), n%1000, n*2654435761&0xffffffff, s.callerIP(), code)
}

func (s *Sim) refusalObject(e *refusal) object {
	o := object{{"errcode", e.code}, {"errmsg", s.errmsg(e.code)}}
	if e.list != "" {
		o = append(o, field{e.list, []int{}})
	}
	return append(o, e.more...)
}
