package judge_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/infra/local/judge"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ses"
)

// ask sends one request of SES's query protocol.
func (s *side) ask(ctx context.Context, operation string, in map[string]string) (answer, error) {
	form := url.Values{"Action": {operation}, "Version": {"2010-12-01"}}
	for name, v := range in {
		form.Set(name, v)
	}
	body := form.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	sum := sha256.Sum256([]byte(body))
	if err := s.signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secretKey}, r, hex.EncodeToString(sum[:]), s.service, awstest.Region, time.Now()); err != nil {
		return answer{}, err
	}
	out, said, err := send(s.client, r)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", s.name, operation, err)
	}
	a := answer{Status: out.StatusCode, Body: object{}}
	_, document, err := new(s3Side).parse(xml.NewDecoder(bytes.NewReader(said)))
	m, _ := document.(object)
	inner := func(name string) object {
		if list, ok := m[name].([]any); ok && len(list) > 0 {
			one, _ := list[0].(object)
			return one
		}
		return nil
	}
	if a.Status >= 300 {
		a.Code = fmt.Sprintf("HTTP %d", a.Status)
		if code := first(inner("Error"), "Code"); code != "" {
			a.Code = code
		}
		a.Body["message"] = first(inner("Error"), "Message")
		return a, nil
	}
	if err != nil {
		a.Body["Text"] = string(said)
	}
	if result := inner(operation + "Result"); result != nil {
		a.Body = result
	}
	return a, nil
}

// sesRequest draws a request; addresses are few, so that some are verified.
func sesRequest(g *generator, known []string) (op string, in map[string]string) {
	in = map[string]string{}
	address := func() string { return pick(g, "address", known...) }
	op = pick(g, "operation", "VerifyEmailIdentity", "ListIdentities", "GetIdentityVerificationAttributes", "GetSendQuota", "SendRawEmail", "SendRawEmail", "SendRawEmail", "SendRawEmail")
	switch op {
	case "VerifyEmailIdentity":
		in["EmailAddress"] = address()
	case "ListIdentities":
		if g.oneIn(2, "kind") {
			in["IdentityType"] = pick(g, "of", "EmailAddress", "Domain")
		}
	case "GetIdentityVerificationAttributes":
		for i := range rapid.IntRange(1, 3).Draw(g.t, "how many") {
			in[fmt.Sprintf("Identities.member.%d", i+1)] = address()
		}
	case "SendRawEmail":
		from, to := address(), "boss@there.example"
		head := "From: " + pick(g, "from", from, "\"Vault\" <"+from+">", "=?utf-8?q?=E4=BC=9A?= <"+from+">") + "\r\n"
		switch {
		case g.oneIn(20, "no sender"):
			head = ""
		case g.oneIn(20, "two senders"):
			head += head
		}
		if !g.oneIn(5, "no receiver") {
			head += "To: " + to + "\r\n"
		}
		raw := head + "Subject: a report\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
		in["RawMessage.Data"] = base64.StdEncoding.EncodeToString([]byte(raw))
		if g.oneIn(20, "no mail") {
			in["RawMessage.Data"] = ""
		}
		if g.oneIn(2, "source") {
			in["Source"] = pick(g, "of", from, "Vault <"+from+">", address(), "nobody")
		}
		if g.oneIn(2, "destinations") {
			n := rapid.IntRange(1, 3).Draw(g.t, "receivers")
			if g.oneIn(12, "many") {
				n = pick(g, "how many", 50, 51)
			}
			for i := range n {
				in[fmt.Sprintf("Destinations.member.%d", i+1)] = fmt.Sprintf("r%d@there.example", i)
			}
		}
		if g.oneIn(6, "configuration") {
			in["ConfigurationSetName"] = pick(g, "set", "mails", "none-such")
		}
		if g.oneIn(3, "tag") {
			in["Tags.member.1.Name"], in["Tags.member.1.Value"] = pick(g, "tag's name", "delivery", "delivery", "a b", ""), pick(g, "tag's value", "x-1_2", "x", "a/b")
		}
	}
	return op, in
}

// sesEssence leaves out what no two sides can have in common.
func sesEssence(a answer) any {
	if a.Code != "" {
		return a.Code
	}
	body, _ := without(a.Body, "MessageId", "VerificationToken", "SentLast24Hours", "Max24HourSend", "MaxSendRate", "Text", "ResponseMetadata").(object)
	out := object{}
	for k, v := range body {
		if v = stripped(v); v != nil {
			out[k] = v
		}
	}
	return out
}

// TestSESAnswersAsTheJudgesDo compares the operations of SES v1 that the product uses, and the names of its refusals.
func TestSESAnswersAsTheJudgesDo(t *testing.T) {
	for _, name := range []string{judge.Ministack, judge.Moto} {
		t.Run(name, func(t *testing.T) {
			local := ours(t, nil)
			local.SES.SetConfigurationSets("mails")
			local.SES.SetQuota(ses.Quota{PerDay: 1_000_000, PerSecond: 1_000_000})
			us := newSide("ours", local.URL, "ses", "", "")
			theirs := newSide(name, start(t, name).URL, "ses", "", "")
			for _, s := range []*side{theirs} {
				if _, err := s.ask(t.Context(), "CreateConfigurationSet", map[string]string{"ConfigurationSet.Name": "mails"}); err != nil {
					t.Fatal(err)
				}
			}
			account := newAccount(name)
			histories := 0
			repeat(t, budget(t, 4*time.Second), func(r *rapid.T) {
				histories++
				g := &generator{t: r}
				known := []string{fmt.Sprintf("a%d@here.example", histories), fmt.Sprintf("b%d@here.example", histories), fmt.Sprintf("A%d@here.example", histories)}
				for range rapid.IntRange(1, 15).Draw(r, "requests") {
					op, in := sesRequest(g, known)
					x := exchange{op: op, request: text(in)}
					for _, one := range []struct {
						s *side
						a *answer
					}{{us, &x.ours}, {theirs, &x.theirs}} {
						a, err := one.s.ask(context.Background(), op, in)
						if err != nil {
							r.Fatal(err)
						}
						*one.a = a
					}
					account.count(x)
					if diff := gocmp.Diff(sesEssence(x.theirs), sesEssence(x.ours)); diff != "" && account.explain(sesDifferences, x) == "" {
						account.unexplained(t, r, diff, x)
					}
				}
			})
			account.report(t)
		})
	}
}

var sesDifferences = []difference{
	{judges: "ministack moto", theirs: "HTTP 500", why: "the judge fails in itself"},
	{judges: "ministack moto", op: "GetIdentityVerificationAttributes", ours: "ok", theirs: "ok",
		when: func(e exchange) bool {
			return len(text(e.theirs.Body)) > len(text(e.ours.Body))
		},
		why: "the judges call addresses verified that nobody has verified, or name one twice; by the API reference only identities of the account are in the answer"},
	{judges: "ministack moto", op: "ListIdentities", ours: "ok", theirs: "ok", when: func(e exchange) bool { return len(text(e.theirs.Body)) > len(text(e.ours.Body)) },
		why: "the judges list what was never verified but sent from, or both kinds where one is asked for"},
	{judges: "ministack moto", op: "SendRawEmail", ours: "InvalidParameterValue", theirs: "MessageRejected", why: "two mistakes in one request: a mail or an address that can't be read, and a sender that is not verified"},
	{judges: "ministack moto", op: "SendRawEmail", ours: "InvalidParameterValue", theirs: "ok",
		why: "the judges take a mail of no bytes, without From or with two, tags whose letters the API reference of MessageTag rules out, and more than 50 receivers"},
	{judges: "ministack moto", op: "SendRawEmail", ours: "ConfigurationSetDoesNotExist", theirs: "ok", why: "the judges take a configuration set that does not exist"},
	{judges: "ministack moto", op: "SendRawEmail", ours: "MessageRejected", theirs: "ok", why: "the judges look at one of the two senders; by SES's guide both the envelope's and the header's must be verified"},
	{judges: "ministack moto", op: "SendRawEmail", ours: "ConfigurationSetDoesNotExist", theirs: "MessageRejected", why: "two mistakes in one request"},
	{judges: "moto", op: "SendRawEmail", ours: "ok", theirs: "MessageRejected", when: requestHas("member.50"), why: "moto refuses 50 receivers of the call with those of the header; the limit is 50 receivers of the mail, and where the call names some those count"},
}
