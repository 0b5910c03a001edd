package apigateway_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/apigateway"
	"github.com/wecomvault/wecomvault/shared/local/openid"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

const page = `Transform: AWS::Serverless-2016-10-31
Parameters:
  Issuer: {Type: String}
Resources:
  Door:
    Type: AWS::Serverless::HttpApi
    Properties:
      StageName: $default
      FailOnWarnings: true
      Auth:
        DefaultAuthorizer: Tokens
        Authorizers:
          Tokens:
            IdentitySource: $request.header.Authorization
            JwtConfiguration: {issuer: !Ref Issuer, audience: [harbour, quay]}
      DefaultRouteSettings: {ThrottlingRateLimit: 1, ThrottlingBurstLimit: 60}
  Own: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
  EchoFunction:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: .
      Architectures: [arm64]
      Role: !GetAtt Own.Arn
      Events:
        All: {Type: HttpApi, Properties: {ApiId: !Ref Door, Method: ANY, Path: '/v1/{proxy+}', PayloadFormatVersion: '2.0'}}
        One: {Type: HttpApi, Properties: {ApiId: !Ref Door, Method: GET, Path: '/v1/boats/{boat}', PayloadFormatVersion: '2.0'}}
`

// door is a gateway before a function that keeps its last event.
type door struct {
	*testing.T
	issuer *openid.Issuer
	url    string
	now    time.Time
	event  map[string]any
	answer string
	failed bool
	err    error
	calls  int
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{T: t, now: time.Date(2033, 3, 1, 12, 0, 0, 0, time.UTC), answer: `{"statusCode":204}`}
	var issuer http.Handler
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { issuer.ServeHTTP(w, r) }))
	t.Cleanup(keys.Close)
	var err error
	if d.issuer, err = openid.New(keys.URL, func() time.Time { return d.now }); err != nil {
		t.Fatal(err)
	}
	issuer = d.issuer
	tmpl, err := template.Parse("page.yaml", []byte(page), map[string]string{"Issuer": keys.URL})
	if err != nil {
		t.Fatal(err)
	}
	g, err := apigateway.New(apigateway.Options{Template: tmpl, Now: func() time.Time { return d.now }, Real: func() time.Time { return d.now },
		Invoke: func(_ context.Context, id string, payload []byte) ([]byte, bool, error) {
			d.calls++
			d.event = map[string]any{"function": id}
			if err := json.Unmarshal(payload, &d.event); err != nil {
				t.Error(err)
			}
			return []byte(d.answer), d.failed, d.err
		}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

func (d *door) token(claims map[string]any) string {
	d.Helper()
	all := map[string]any{"sub": "ann", "aud": "harbour"}
	for k, v := range claims {
		all[k] = v
	}
	text, err := d.issuer.Token(all)
	if err != nil {
		d.Fatal(err)
	}
	return text
}

func (d *door) ask(method, path, token, contentType, body string) (*http.Response, string) {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		d.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.Fatal(err)
	}
	return response, string(text)
}

// signed is a token with a header and a signature of the test's choice.
func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOnlyATokenThatCountsPasses(t *testing.T) {
	d := newDoor(t)
	good := d.token(nil)
	parts := strings.Split(good, ".")
	var header struct{ Kid string }
	raw, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	word := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"iss": d.issuer.URL(), "sub": "ann", "aud": "harbour", "iat": d.now.Unix(), "exp": d.now.Add(time.Hour).Unix()}
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"good":                             {good, true},
		"good for the other audience":      {d.token(map[string]any{"aud": []string{"x", "quay"}}), true},
		"good by client_id":                {d.token(map[string]any{"aud": nil, "client_id": "quay"}), true},
		"none at all":                      {"", false},
		"no token":                         {"abc", false},
		"run out":                          {d.token(map[string]any{"exp": d.now.Unix()}), false},
		"never runs out":                   {d.token(map[string]any{"exp": nil}), false},
		"not yet":                          {d.token(map[string]any{"nbf": d.now.Add(time.Minute).Unix()}), false},
		"issued tomorrow":                  {d.token(map[string]any{"iat": d.now.Add(24 * time.Hour).Unix()}), false},
		"of another issuer":                {d.token(map[string]any{"iss": "https://issuer.example"}), false},
		"of an issuer with a slash more":   {d.token(map[string]any{"iss": d.issuer.URL() + "/"}), false},
		"for another audience":             {d.token(map[string]any{"aud": "anchor"}), false},
		"for nobody":                       {d.token(map[string]any{"aud": nil}), false},
		"for a part of the audience":       {d.token(map[string]any{"aud": "harbour quay"}), false},
		"client_id does not replace aud":   {d.token(map[string]any{"aud": "anchor", "client_id": "quay"}), false},
		"signed by another with our kid":   {signed(t, jose.RS256, other, header.Kid, claims), false},
		"signed by another with its kid":   {signed(t, jose.RS256, other, "own", claims), false},
		"without a kid":                    {signed(t, jose.RS256, other, "", claims), false},
		"claims changed":                   {parts[0] + "." + word(map[string]any{"iss": d.issuer.URL(), "sub": "eve", "aud": "harbour", "exp": d.now.Add(time.Hour).Unix()}) + "." + parts[2], false},
		"without a signature":              {parts[0] + "." + parts[1] + ".", false},
		"algorithm none":                   {word(map[string]any{"alg": "none", "kid": header.Kid}) + "." + word(claims) + ".", false},
		"algorithm None":                   {word(map[string]any{"alg": "None", "kid": header.Kid}) + "." + word(claims) + ".", false},
		"none with a signature":            {word(map[string]any{"alg": "none", "kid": header.Kid}) + "." + parts[1] + "." + parts[2], false},
		"HMAC with the public key's bytes": {signed(t, jose.HS256, []byte(strings.Repeat("k", 64)), header.Kid, claims), false},
		"PS256, which AWS takes not":       {signed(t, jose.PS256, other, header.Kid, claims), false},
		"two tokens":                       {good + " " + good, false},
	} {
		before := d.calls
		response, text := d.ask(http.MethodGet, "/v1/x", c.token, "", "")
		want := http.StatusUnauthorized
		if c.ok {
			want = http.StatusNoContent
		}
		if response.StatusCode != want || (d.calls > before) != c.ok {
			t.Errorf("%s: %d %s, the function was called: %t", name, response.StatusCode, text, d.calls > before)
		}
		if !c.ok && (text != `{"message":"Unauthorized"}`+"\n" || response.Header.Get("WWW-Authenticate") == "") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestTokensOfANewKeyAndOfTheOldOnePass(t *testing.T) {
	d := newDoor(t)
	old := d.token(nil)
	if r, _ := d.ask(http.MethodGet, "/v1/x", old, "", ""); r.StatusCode != http.StatusNoContent {
		t.Fatal(r.Status)
	}
	if err := d.issuer.Rotate(); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{d.token(nil), old} {
		if r, _ := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode != http.StatusNoContent {
			t.Error(r.Status)
		}
	}
}

// API Gateway keeps an issuer's keys for two hours, unless a token names one that it does not know.
func TestATokenOfAWithdrawnKeyPassesNoLongerThanTheKeysAreKept(t *testing.T) {
	for _, aNewOneCame := range []bool{true, false} {
		d := newDoor(t)
		old := d.token(map[string]any{"exp": d.now.Add(24 * time.Hour).Unix()})
		ask := func(token string) int {
			r, _ := d.ask(http.MethodGet, "/v1/x", token, "", "")
			return r.StatusCode
		}
		if ask(old) != http.StatusNoContent {
			t.Fatal("it never passed")
		}
		if err := d.issuer.Rotate(); err != nil {
			t.Fatal(err)
		}
		d.issuer.Withdraw()
		if ask(old) != http.StatusNoContent {
			t.Error("the keys are kept for a while")
		}
		if aNewOneCame {
			if ask(d.token(nil)) != http.StatusNoContent {
				t.Error("the new key's token does not pass")
			}
		} else {
			d.now = d.now.Add(2 * time.Hour)
		}
		if ask(old) != http.StatusUnauthorized {
			t.Errorf("a withdrawn key's token passes still; a new one came: %t", aNewOneCame)
		}
	}
}

func TestTheEventIsPayloadTwo(t *testing.T) {
	d := newDoor(t)
	token := d.token(map[string]any{"roles": []string{"a", "b c"}, "n": 7, "big": 20330301120000, "yes": true, "deep": []any{[]any{1}}})
	d.ask(http.MethodPost, "/v1/boats/x%20y?b=2&b=3&a=1", token, "application/json; charset=utf-8", `{"name":"Möwe"}`)
	context, _ := d.event["requestContext"].(map[string]any)
	authorizer, _ := context["authorizer"].(map[string]any)
	jwt, _ := authorizer["jwt"].(map[string]any)
	want := map[string]any{"roles": "[a b c]", "n": "7", "big": "20330301120000", "yes": "true", "deep": "[[1]]", "sub": "ann", "aud": "harbour", "iss": d.issuer.URL(),
		"iat": "1993291200", "exp": "1993294800"}
	if diff := cmp.Diff(want, jwt["claims"]); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]any{"version": "2.0", "routeKey": "ANY /v1/{proxy+}", "rawPath": "/v1/boats/x%20y", "rawQueryString": "b=2&b=3&a=1", "body": `{"name":"Möwe"}`,
		"isBase64Encoded": false, "function": "EchoFunction"} {
		if d.event[name] != want {
			t.Errorf("%s: %v", name, d.event[name])
		}
	}
	if diff := cmp.Diff(map[string]any{"a": "1", "b": "2,3"}, d.event["queryStringParameters"]); diff != "" {
		t.Error(diff)
	}
	d.ask(http.MethodPost, "/v1/x", token, "application/octet-stream", "\x00\xff")
	if d.event["body"] != "AP8=" || d.event["isBase64Encoded"] != true {
		t.Errorf("%v", d.event)
	}
	d.ask(http.MethodGet, "/v1/boats/gull", token, "", "")
	if diff := cmp.Diff(map[string]any{"boat": "gull"}, d.event["pathParameters"]); diff != "" || d.event["routeKey"] != "GET /v1/boats/{boat}" {
		t.Error(d.event["routeKey"], diff)
	}
}

func TestWhatTheGatewayAnswersByItself(t *testing.T) {
	d := newDoor(t)
	token := d.token(nil)
	if r, text := d.ask(http.MethodGet, "/v2/x", token, "", ""); r.StatusCode != http.StatusNotFound || text != `{"message":"Not Found"}`+"\n" {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	d.failed = true
	if r, text := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode != http.StatusInternalServerError || text != `{"message":"Internal Server Error"}`+"\n" {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	d.failed, d.err = false, errors.New("no room")
	if r, _ := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode != http.StatusInternalServerError {
		t.Error(r.Status)
	}
	d.err, d.answer = nil, `{"statusCode":200,"headers":{"etag":"\"7\"","content-type":"text/plain"},"body":"aGk=","isBase64Encoded":true}`
	if r, text := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode != 200 || text != "hi" || r.Header.Get("ETag") != `"7"` {
		t.Errorf("%v %q", r, text)
	}
	d.answer = `no JSON`
	if r, _ := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode != http.StatusInternalServerError {
		t.Error(r.Status)
	}
	d.answer = `{"statusCode":204}`
	throttled := 0
	for range 80 {
		if r, text := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode == http.StatusTooManyRequests {
			throttled++
			if text != `{"message":"Too Many Requests"}`+"\n" {
				t.Fatal(text)
			}
		}
	}
	if throttled < 20 {
		t.Errorf("%d of 80 requests at once are throttled", throttled)
	}
	d.now = d.now.Add(2 * time.Second)
	if r, _ := d.ask(http.MethodGet, "/v1/x", token, "", ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("after a pause: %s", r.Status)
	}
}

func TestARouteWithoutAnAuthorizerIsNotServed(t *testing.T) {
	bare := strings.Replace(page, "        DefaultAuthorizer: Tokens\n", "", 1)
	tmpl, err := template.Parse("page.yaml", []byte(bare), map[string]string{"Issuer": "https://issuer.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apigateway.New(apigateway.Options{Template: tmpl}); err == nil {
		t.Error("everybody is let in")
	}
}
