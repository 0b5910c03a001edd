package financesdk

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
	"github.com/wecomvault/wecomvault/shared/financesdk/gateway"
)

// Reasons of an Error that are no return code.
const (
	ReasonCrash  fault.Reason = "library-crash" // the child died
	ReasonHang   fault.Reason = "library-hang"  // the child made no progress and was killed
	ReasonNoHost fault.Reason = "no-host"       // the child's program could not be started
)

// Error is a call that failed. It never holds content, a token or a secret.
type Error struct {
	Op      string       // "start", "wake", "chat data", "decrypt" or "media"
	Code    int          // what the library returned; 0 if it returned nothing
	ErrCode int          // WeCom's errcode as the gateway saw it; 0 if none
	Kind    fault.Kind   // what becomes of the work
	Reason  fault.Reason // a stable word
	Err     error        // what happened

	seen gateway.Seen
}

func (e *Error) Error() string {
	text := "finance sdk: " + e.Op + ": " + e.Err.Error()
	if e.ErrCode != 0 {
		text += fmt.Sprintf(" (WeCom answered errcode %d)", e.ErrCode)
	}
	if e.seen.Err != nil {
		text += fmt.Sprintf(" (%v)", e.seen.Err)
	}
	return text
}

// Unwrap makes the class visible to fault, and the gateway's error to errors.Is and As.
func (e *Error) Unwrap() []error {
	chain := []error{&fault.Error{Kind: e.Kind, Reason: e.Reason, Err: e.Err}}
	if e.seen.Err != nil {
		chain = append(chain, e.seen.Err)
	}
	return chain
}

// refused makes the error of a return code other than 0. A refusal that is final for a file is permanent; what the gateway saw decides
// before the code, which hides some reasons.
func (s *SDK) refused(op string, code int32, seen gateway.Seen) *Error {
	e := &Error{
		Op: op, Code: int(code), ErrCode: seen.ErrCode, seen: seen,
		Reason: fault.Reason(fmt.Sprintf("sdk-%d", code)), Err: fmt.Errorf("the library returned %d (%s)", code, codeWord(int(code))),
	}
	if op != "media" {
		return e
	}
	switch cause := e.cause(); {
	case cause == CauseMediaExpired:
		e.Kind, e.Reason = fault.Permanent, "media-expired"
	case cause == CauseNoSuchFile:
		e.Kind, e.Reason = fault.Permanent, "no-such-file"
	}
	// 10000, a bad argument, is the library's word about the call and not WeCom's about the file: such a file waits, it is not lost.
	return e
}

// codeWord is the vendor's header in a few words.
func codeWord(code int) string {
	switch code {
	case 10000:
		return "bad argument"
	case 10001:
		return "network error"
	case 10002:
		return "answer could not be read"
	case 10003:
		return "system error"
	case 10004:
		return "wrong key"
	case 10005:
		return "no such file"
	case 10006:
		return "decryption failed"
	case 10007:
		return "no key of this version"
	case 10008:
		return "unreadable key"
	case 10009:
		return "untrusted address"
	case 10010:
		return "data expired"
	case 10011:
		return "certificate refused"
	case frames.CodeNoBuffer:
		return "it gave no buffer"
	case frames.CodeTooLarge:
		return "its answer is too large"
	default:
		return "a code that its header does not name"
	}
}

// refusal is the errcode of a refusal that came as chat data, 0 if raw is none.
func refusal(raw []byte) int {
	const longestRefusal = 64 << 10
	var answer struct {
		ErrCode int `json:"errcode"`
	}
	if len(raw) > longestRefusal || json.Unmarshal(raw, &answer) != nil {
		return 0
	}
	return answer.ErrCode
}

// CauseKind is a stable word for a cause.
type CauseKind string

// The causes.
const (
	CauseUnknown            CauseKind = "unknown"
	CauseBadSecret          CauseKind = "bad-secret"
	CauseUntrustedIP        CauseKind = "untrusted-ip"
	CauseBadCertificate     CauseKind = "bad-certificate"
	CauseCertificateRefused CauseKind = "certificate-refused"
	CauseServiceExpired     CauseKind = "service-expired"
	CauseServiceNotOpened   CauseKind = "service-not-opened"
	CauseNoToken            CauseKind = "no-token"
	CauseDeadToken          CauseKind = "dead-token"
	CauseRateLimited        CauseKind = "rate-limited"
	CausePageTooLarge       CauseKind = "page-too-large"
	CauseMediaExpired       CauseKind = "media-expired"
	CauseNoSuchFile         CauseKind = "no-such-file"
	CauseRefused            CauseKind = "refused"
	CauseNotWhole           CauseKind = "not-whole"
	CauseNetwork            CauseKind = "network"
	CauseLibraryMissing     CauseKind = "library-missing"
	CauseNotALibrary        CauseKind = "not-a-library"
	CauseWrongArchitecture  CauseKind = "wrong-architecture"
	CauseLibraryNotLoadable CauseKind = "library-not-loadable"
	CauseChildDied          CauseKind = "child-died"
	CauseHang               CauseKind = "hang"
	CauseLibraryDiesOften   CauseKind = "library-dies-often"
	CauseUnopenable         CauseKind = "unopenable"
	CauseNoHost             CauseKind = "no-host"
)

// Cause is why a call failed, for the operator.
type Cause struct {
	Kind     CauseKind
	ErrCode  int    // WeCom's, 0 if none
	IP       string // the address that WeCom says it was asked from, "" if it did not say
	Sentence string // what happened and what to do
}

// Final says that trying again helps only after somebody has changed something: the secret, the trusted addresses, a certificate, the
// library's file.
func (c Cause) Final() bool {
	switch c.Kind {
	case CauseBadSecret, CauseUntrustedIP, CauseBadCertificate, CauseCertificateRefused,
		CauseLibraryMissing, CauseNotALibrary, CauseWrongArchitecture, CauseLibraryNotLoadable, CauseNoHost:
		return true
	default:
		return false
	}
}

// Explain says why err happened. It knows the errors of this package, archive's of a batch, and any error that says by ErrCode() int and
// ErrMsg() string how WeCom answered.
func Explain(err error) Cause {
	var e *Error
	if errors.As(err, &e) {
		c := Cause{Kind: e.cause(), ErrCode: e.ErrCode, IP: e.seen.FromIP}
		if own := (&ownSentence{}); errors.As(e.Err, &own) {
			c.Sentence = own.sentence
		}
		return c.worded()
	}
	var refused *archive.RefusalError
	if errors.As(err, &refused) {
		return Cause{Kind: causeOfErrCode(refused.Code), ErrCode: refused.Code, IP: gateway.FromIP(refused.Message)}.worded()
	}
	var coded interface{ ErrCode() int }
	if errors.As(err, &coded) && coded.ErrCode() != 0 {
		c := Cause{Kind: causeOfErrCode(coded.ErrCode()), ErrCode: coded.ErrCode()}
		var worded interface{ ErrMsg() string }
		if errors.As(err, &worded) {
			c.IP = gateway.FromIP(worded.ErrMsg())
		}
		return c.worded()
	}
	return Cause{Kind: causeOfErr(err)}.worded()
}

// cause judges by what is most certain first: how WeCom answered, why it did not, what the library returned.
func (e *Error) cause() CauseKind {
	if e.ErrCode != 0 {
		return causeOfErrCode(e.ErrCode)
	}
	if e.seen.Err != nil {
		if k := causeOfErr(e.seen.Err); k != CauseUnknown {
			return k
		}
		if e.seen.Path == gateway.PathToken {
			return CauseNoToken
		}
	}
	switch e.Reason {
	case ReasonCrash:
		return CauseChildDied
	case ReasonHang:
		return CauseHang
	case ReasonNoHost, frames.WordVersion, frames.WordUnsupported:
		return CauseNoHost
	case "library-dies-often":
		return CauseLibraryDiesOften
	case "empty-answer":
		return CauseNotWhole
	case "media-no-next":
		return CauseNetwork
	case frames.WordMissing:
		return CauseLibraryMissing
	case frames.WordNotALibrary:
		return CauseNotALibrary
	case frames.WordWrongArchitecture:
		return CauseWrongArchitecture
	case frames.WordLoad, frames.WordNoHandle, frames.WordInit:
		return CauseLibraryNotLoadable
	}
	if e.seen.Refused {
		return CauseCertificateRefused
	}
	if e.Op == "decrypt" {
		switch e.Code {
		case 10000, 10004, 10006, 10007, 10008:
			return CauseUnopenable
		}
	}
	switch e.Code {
	case 10001, 10002, 10003:
		return CauseNetwork
	case 10005:
		return CauseNoSuchFile
	case 10009:
		return CauseUntrustedIP
	case 10010:
		return CauseMediaExpired
	case 10011:
		return CauseCertificateRefused
	default:
		return CauseUnknown
	}
}

func causeOfErr(err error) CauseKind {
	var certificate *tls.CertificateVerificationError
	var network net.Error
	var op *net.OpError
	switch {
	case errors.As(err, &certificate):
		return CauseBadCertificate
	case errors.Is(err, archive.ErrNotWhole):
		return CauseNotWhole
	case errors.As(err, &network), errors.As(err, &op), errors.Is(err, context.DeadlineExceeded):
		return CauseNetwork
	default:
		return CauseUnknown
	}
}

func causeOfErrCode(code int) CauseKind {
	switch code {
	case 0:
		return CauseUnknown
	case 40001, 40013, 48002:
		return CauseBadSecret
	case 301042, 60020:
		return CauseUntrustedIP
	case 301052:
		return CauseServiceExpired
	case 301053:
		return CauseServiceNotOpened
	case 40014, 41001, 42001:
		return CauseDeadToken
	case 45009:
		return CauseRateLimited
	case 301058:
		return CausePageTooLarge
	case 301048:
		return CauseMediaExpired
	default:
		return CauseRefused
	}
}

// ownSentence is a sentence that was made where more was known than here.
type ownSentence struct{ sentence string }

func (o *ownSentence) Error() string { return o.sentence }

func failedError(f *frames.Failed) *Error {
	return &Error{Op: "start", Code: int(f.Code), Reason: fault.Reason(f.Word), Err: &ownSentence{sentence: f.Sentence}}
}

func (c Cause) worded() Cause {
	if c.Sentence == "" {
		c.Sentence = c.sentence()
	}
	return c
}

func (c Cause) sentence() string {
	const console = "in WeCom's admin console under 管理工具 › 会话内容存档"
	from := ""
	if c.IP != "" {
		from = " (it was asked from " + c.IP + ")"
	}
	switch c.Kind {
	case CauseBadSecret:
		switch c.ErrCode {
		case 40013:
			return "WeCom does not know this corp id (errcode 40013): compare it with 我的企业 › 企业ID in the admin console and correct it"
		case 48002:
			return "WeCom says that the secret may not read the archive (errcode 48002): it belongs to another app; take the secret shown " + console
		default:
			return "WeCom refuses the corp's archive secret (errcode 40001)" + from + ": take the secret shown " + console + ", store it for this corp, and see that this address is on the list of trusted IPs there"
		}
	case CauseUntrustedIP:
		ip := "this address"
		if c.IP != "" {
			ip = c.IP
		}
		code := ""
		if c.ErrCode != 0 {
			code = fmt.Sprintf(" (errcode %d)", c.ErrCode)
		}
		return "WeCom does not trust the address it is asked from" + code + ": add " + ip + " to the trusted IPs " + console + "; it counts after a minute"
	case CauseBadCertificate:
		return "whoever answers in WeCom's place has a certificate that does not verify, so nothing was sent: look for an intercepting proxy on the way to " + gateway.Host + ", or wrong roots (SSL_CERT_FILE) or a wrong address in WECOM_URL"
	case CauseCertificateRefused:
		return "the library refuses the gateway's certificate, so this version of it seems to verify certificates: use version 3.0 (20250205), or, knowing that the library then holds the corp's secret, set GiveTheSecretToTheLibrary"
	case CauseServiceExpired:
		return "the corp's archive service has expired (errcode 301052): renew it " + console + "; WeCom keeps messages for a few days only"
	case CauseServiceNotOpened:
		return "the corp's archive service is not opened (errcode 301053): open it " + console + " and choose the members to be archived"
	case CauseNoToken:
		return "there is no access token for this corp: one is asked for again; if this stays, see that its archive secret is stored, and look into the log"
	case CauseDeadToken:
		return fmt.Sprintf("WeCom did not take the access token (errcode %d): a new one is fetched by itself; if this stays, check the secret and the trusted IPs %s", c.ErrCode, console)
	case CauseRateLimited:
		return "WeCom limits the number of calls (errcode 45009): it is asked again after a pause; if this stays, look for another program that uses the same secret"
	case CausePageTooLarge:
		return "the batch is too large for WeCom (errcode 301058): it is asked for again with half the limit"
	case CauseMediaExpired:
		return "WeCom no longer has this file: it was asked for too late, and can't be had any more"
	case CauseNoSuchFile:
		return "there is no file of this id: the library refuses it, so it can't be had"
	case CauseRefused:
		return fmt.Sprintf("WeCom refuses with errcode %d%s: look it up at https://open.work.weixin.qq.com/devtool/query?e=%d", c.ErrCode, from, c.ErrCode)
	case CauseNotWhole:
		return "WeCom's answer was empty, cut or something else than a batch: it is thrown away and asked for again; if this stays, look for a proxy on the way"
	case CauseNetwork:
		return "WeCom could not be reached or did not answer in time: it is asked again; if this stays, check the way to " + gateway.Host + ":443"
	case CauseLibraryMissing, CauseNotALibrary, CauseWrongArchitecture, CauseLibraryNotLoadable:
		return "Tencent's library can't be used: check the path, the architecture and the version of its file"
	case CauseChildDied:
		return "Tencent's library ended its process: it is started again and the call repeated; nothing is lost"
	case CauseHang:
		return "Tencent's library did not come back and was ended: it is started again and the call repeated; nothing is lost"
	case CauseLibraryDiesOften:
		return "Tencent's library dies on more than a tenth of a batch: the batch stays as it is; check the version of the library and the memory of the function"
	case CauseUnopenable:
		return "Tencent's library can't open this message: it is set aside; check that the private key belongs to the message's key version"
	case CauseNoHost:
		return "the program that carries Tencent's library can't be started: check SDK_HOST"
	default:
		return "the cause is not known: see the log"
	}
}
