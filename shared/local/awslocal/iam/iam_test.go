package iam_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
)

const queue = "arn:aws:sqs:us-east-1:000000000000:jobs"

func TestPolicies(t *testing.T) {
	ask := func(action, resource string, context ...string) authz.Request {
		r := authz.Request{Action: action, Resource: resource}
		for i := 0; i+1 < len(context); i += 2 {
			if r.Context == nil {
				r.Context = map[string]string{}
			}
			r.Context[context[i]] = context[i+1]
		}
		return r
	}
	for _, tt := range []struct {
		name      string
		statement string
		request   authz.Request
		want      iam.Decision
	}{
		{"nothing said", `[]`, ask("sqs:SendMessage", queue), iam.NotAllowed},
		{"allowed by name", `{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"` + queue + `"}`, ask("sqs:SendMessage", queue), iam.Allowed},
		{"action in any case", `{"Effect":"Allow","Action":["SQS:sendmessage"],"Resource":["` + queue + `"]}`, ask("sqs:SendMessage", queue), iam.Allowed},
		{"resource in another case", `{"Effect":"Allow","Action":"*","Resource":"` + strings.ToUpper(queue) + `"}`, ask("sqs:SendMessage", queue), iam.NotAllowed},
		{"other action", `{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}`, ask("sqs:ReceiveMessage", queue), iam.NotAllowed},
		{"other queue", `{"Effect":"Allow","Action":"sqs:*","Resource":"` + queue + `"}`, ask("sqs:SendMessage", queue+"2"), iam.NotAllowed},
		{"star spans slashes and colons", `{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/batches/*"}`, ask("s3:GetObject", "arn:aws:s3:::b/batches/corp=1/x:y"), iam.Allowed},
		{"prefix needed", `{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b/batches/*"}`, ask("s3:GetObject", "arn:aws:s3:::b/segments/x"), iam.NotAllowed},
		{"question mark is one character", `{"Effect":"Allow","Action":"*","Resource":"arn:?"}`, ask("a:b", "arn:"), iam.NotAllowed},
		{"explicit deny wins", `[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"}]`, ask("s3:DeleteObject", "arn:aws:s3:::b/k"), iam.Denied},
		{"deny of something else", `[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"}]`, ask("s3:GetObject", "arn:aws:s3:::b/k"), iam.Allowed},
		{"NotAction", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, ask("iam:CreateUser", "x"), iam.NotAllowed},
		{"NotAction of another", `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, ask("s3:GetObject", "x"), iam.Allowed},
		{"NotResource", `{"Effect":"Deny","Action":"*","NotResource":"arn:x*"}`, ask("s3:GetObject", "arn:y"), iam.Denied},
		{"NotResource of this", `{"Effect":"Deny","Action":"*","NotResource":"arn:x*"}`, ask("s3:GetObject", "arn:xy"), iam.NotAllowed},
		{"an empty list matches nothing", `{"Effect":"Allow","Action":[],"Resource":"*"}`, ask("s3:GetObject", "x"), iam.NotAllowed},

		{"StringEquals", cond(`"StringEquals":{"ses:FromAddress":"vault@example.com"}`), ask("a", "r", "ses:FromAddress", "vault@example.com"), iam.Allowed},
		{"StringEquals of another", cond(`"StringEquals":{"ses:FromAddress":"vault@example.com"}`), ask("a", "r", "ses:FromAddress", "other@example.com"), iam.NotAllowed},
		{"StringEquals of nothing", cond(`"StringEquals":{"ses:FromAddress":"vault@example.com"}`), ask("a", "r"), iam.NotAllowed},
		{"key in another case", cond(`"StringEquals":{"SES:fromaddress":"v"}`), ask("a", "r", "ses:FromAddress", "v"), iam.Allowed},
		{"one of several values", cond(`"StringEquals":{"k":["a","b"]}`), ask("a", "r", "k", "b"), iam.Allowed},
		{"every operator must hold", cond(`"StringEquals":{"k":"a"},"StringLike":{"l":"x*"}`), ask("a", "r", "k", "a", "l", "yx"), iam.NotAllowed},
		{"every key must hold", cond(`"StringEquals":{"k":"a","l":"b"}`), ask("a", "r", "k", "a", "l", "c"), iam.NotAllowed},
		{"StringNotEquals", cond(`"StringNotEquals":{"k":["a","b"]}`), ask("a", "r", "k", "b"), iam.NotAllowed},
		{"StringNotEquals of another", cond(`"StringNotEquals":{"k":["a","b"]}`), ask("a", "r", "k", "c"), iam.Allowed},
		{"StringNotEquals of nothing", cond(`"StringNotEquals":{"k":"a"}`), ask("a", "r"), iam.Allowed},
		{"StringEqualsIfExists of nothing", cond(`"StringEqualsIfExists":{"k":"a"}`), ask("a", "r"), iam.Allowed},
		{"StringEqualsIfExists of another", cond(`"StringEqualsIfExists":{"k":"a"}`), ask("a", "r", "k", "b"), iam.NotAllowed},
		{"StringLike", cond(`"StringLike":{"kms:ViaService":"sqs.*.amazonaws.com"}`), ask("a", "r", "kms:ViaService", "sqs.us-east-1.amazonaws.com"), iam.Allowed},
		{"StringEquals takes a star for itself", cond(`"StringEquals":{"k":"a*"}`), ask("a", "r", "k", "ab"), iam.NotAllowed},
		{"StringNotLike", cond(`"StringNotLike":{"k":"a*"}`), ask("a", "r", "k", "ab"), iam.NotAllowed},
		{"ArnLike", cond(`"ArnLike":{"k":"arn:aws:sqs:*:*:jobs"}`), ask("a", "r", "k", queue), iam.Allowed},
		{"Bool", cond(`"Bool":{"aws:SecureTransport":false}`), ask("a", "r", "aws:SecureTransport", "false"), iam.Allowed},
		{"Bool of the other", cond(`"Bool":{"aws:SecureTransport":"false"}`), ask("a", "r", "aws:SecureTransport", "true"), iam.NotAllowed},
		{"Bool of nothing", cond(`"Bool":{"aws:SecureTransport":"false"}`), ask("a", "r"), iam.NotAllowed},
		{"Null true without the key", cond(`"Null":{"s3:if-none-match":"true"}`), ask("a", "r"), iam.Allowed},
		{"Null true with the key", cond(`"Null":{"s3:if-none-match":"true"}`), ask("a", "r", "s3:if-none-match", "*"), iam.NotAllowed},
		{"Null false with the key", cond(`"Null":{"s3:if-none-match":"false"}`), ask("a", "r", "s3:if-none-match", "*"), iam.Allowed},
		{"numbers", cond(`"NumericLessThanEquals":{"s3:max-keys":10}`), ask("a", "r", "s3:max-keys", "9"), iam.Allowed},
		{"numbers too great", cond(`"NumericLessThanEquals":{"s3:max-keys":"10"}`), ask("a", "r", "s3:max-keys", "11"), iam.NotAllowed},
		{"ForAnyValue", cond(`"ForAnyValue:StringLike":{"ses:Recipients":"*@example.com"}`), ask("a", "r", "ses:Recipients", "x@other.example"+iam.MultiValue+"y@example.com"), iam.Allowed},
		{"ForAllValues", cond(`"ForAllValues:StringLike":{"ses:Recipients":"*@example.com"}`), ask("a", "r", "ses:Recipients", "x@other.example"+iam.MultiValue+"y@example.com"), iam.NotAllowed},
		{"ForAllValues of nothing", cond(`"ForAllValues:StringEquals":{"k":"a"}`), ask("a", "r"), iam.Allowed},
		{"ForAnyValue of nothing", cond(`"ForAnyValue:StringNotEquals":{"k":"a"}`), ask("a", "r"), iam.NotAllowed},

		{"everyone", `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`, ask("a", "r"), iam.Denied},
		{"everyone of AWS", `{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"*","Resource":"*"}`, ask("a", "r"), iam.Denied},
		{"a service is not the caller", `{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"*"}`, ask("a", "r"), iam.NotAllowed},
		{"the caller by name", `{"Effect":"Allow","Principal":{"AWS":["arn:x"]},"Action":"*"}`, ask("a", "r", "aws:PrincipalArn", "arn:x"), iam.Allowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := iam.ParseJSON([]byte(`{"Version":"2012-10-17","Statement":` + tt.statement + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Decide(tt.request); got != tt.want {
				t.Errorf("decided %d, want %d", got, tt.want)
			}
			if got := p.Allowed(tt.request); got != (tt.want == iam.Allowed) {
				t.Errorf("Allowed = %v, but decided %d", got, tt.want)
			}
		})
	}
}

func cond(c string) string {
	return `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{` + c + `}}`
}

func TestWhatIsNotKnownIsRefusedWhenRead(t *testing.T) {
	for doc, want := range map[string]string{
		`{"Statement":` + cond(`"StringEqual":{"k":"v"}`) + `}`:                           `unknown condition operator "StringEqual"`,
		`{"Statement":` + cond(`"ForSomeValues:StringEquals":{"k":"v"}`) + `}`:            `unknown condition operator`,
		`{"Statement":` + cond(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`) + `}`:         `unknown condition operator "IpAddress"`,
		`{"Statement":` + cond(`"StringEquals":{"k":{"a":1}}`) + `}`:                      "a string is needed",
		`{"Statement":{"Effect":"Permit","Action":"*","Resource":"*"}}`:                   "must be Allow or Deny",
		`{"Statement":{"Effect":"Allow","Resource":"*"}}`:                                 "exactly one of Action and NotAction",
		`{"Statement":{"Effect":"Allow","Action":"*"}}`:                                   "exactly one of Resource and NotResource",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":"*"}}`: "NotPrincipal",
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"arn:${aws:username}"}}`:  "policy variables",
		`{"Version":"2020-01-01","Statement":[]}`:                                         "unknown policy version",
		`{"Statements":[]}`:  `unknown element "Statements"`,
		`{"Statement":"x"}`:  "must be an object",
		`"x"`:                "must be an object",
		`{"Statement":[]} x`: "followed by something else",
		`{`:                  "no JSON",
	} {
		if _, err := iam.ParseJSON([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
}

func TestSeveralDocumentsCountTogether(t *testing.T) {
	p, err := iam.Parse([]any{
		map[string]any{"Statement": map[string]any{"Effect": "Allow", "Action": "a:*", "Resource": "*"}},
		map[string]any{"Statement": []any{map[string]any{"Effect": "Deny", "Action": []any{"a:b"}, "Resource": "*"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !p.Allowed(authz.Request{Action: "a:c", Resource: "x"}) || p.Allowed(authz.Request{Action: "a:b", Resource: "x"}) {
		t.Error("the second document's Deny does not count")
	}
}

func TestWildcardsAgreeWithRegularExpressions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern")
		resource := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "resource")
		expression := "^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$"
		p := iam.Policies{{Effect: "Allow", Action: []string{"*"}, Resource: []string{pattern}}}
		if got, want := p.Allowed(authz.Request{Action: "a", Resource: resource}), regexp.MustCompile(expression).MatchString(resource); got != want {
			t.Fatal(fmt.Sprintf("%q against %q: %v, want %v", resource, pattern, got, want))
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":` + cond(`"StringEquals":{"k":["a","b"]}`) + `}`))
	f.Add([]byte(`[{"Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"NotAction":[],"NotResource":"x"}]}]`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := iam.ParseJSON(doc)
		if err == nil {
			p.Decide(authz.Request{Action: "a", Resource: "r", Context: map[string]string{"k": "v"}})
		}
	})
}
