package awslocal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ses"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
)

// code returns AWS's error code and the HTTP status of an SDK error.
func code(err error) string {
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	if !errors.As(err, &api) || !errors.As(err, &response) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%d %s", response.HTTPStatusCode(), api.ErrorCode())
}

// withBucket adds a service in S3's place that reads each body and says what it got.
func withBucket(*bbolt.DB) map[string]http.Handler {
	return map[string]http.Handler{"s3": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, "<Error><Code>XAmzContentSHA256Mismatch</Code><Message>%v</Message></Error>", err)
		}
	})}
}

func TestOnlyARightSignatureIsServed(t *testing.T) {
	e := awstest.Start(t, awstest.Options{More: withBucket})
	// shifted signs as if it were another time, and hides from the SDK that it was wrong.
	shifted := func(by time.Duration) func(*aws.Config) {
		return func(c *aws.Config) {
			c.APIOptions = append(c.APIOptions, func(s *middleware.Stack) error {
				return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("shift", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
					r := in.Request.(*smithyhttp.Request)
					creds, _ := c.Credentials.Retrieve(ctx)
					hash := r.Header.Get("X-Amz-Content-Sha256")
					if hash == "" {
						hash = v4.GetPayloadHash(ctx)
					}
					service := strings.Split(strings.Split(r.Header.Get("Authorization"), "/")[3], "/")[0]
					err := v4.NewSigner().SignHTTP(ctx, creds, r.Request, hash, service, c.Region, time.Now().Add(by), func(o *v4.SignerOptions) {
						o.DisableURIPathEscaping = service == "s3"
					})
					if err != nil {
						t.Error(err)
					}
					return next.HandleFinalize(ctx, in)
				}), "Signing", middleware.After)
			})
		}
	}
	altered := func(c *aws.Config) {
		c.APIOptions = append(c.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("alter", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				r := in.Request.(*smithyhttp.Request)
				r.URL.RawQuery = "altered=yes"
				return next.HandleFinalize(ctx, in)
			}), "Signing", middleware.After)
		})
	}
	secret := func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("operator", "wrong", "") }
	unknown := func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("nobody", "wrong", "") }
	region := func(c *aws.Config) { c.Region = "eu-west-1" }
	unsigned := func(c *aws.Config) { c.Credentials = aws.AnonymousCredentials{} }

	for _, tt := range []struct {
		name          string
		change        func(*aws.Config)
		sqs, sts, s3c string
	}{
		{"right", func(*aws.Config) {}, "<nil>", "<nil>", "<nil>"},
		{"four minutes late", shifted(-4 * time.Minute), "<nil>", "<nil>", "<nil>"},
		{"wrong secret", secret, "400 InvalidSignatureException", "403 SignatureDoesNotMatch", "403 SignatureDoesNotMatch"},
		{"unknown key", unknown, "400 UnrecognizedClientException", "403 InvalidClientTokenId", "403 InvalidAccessKeyId"},
		{"wrong region", region, "400 InvalidSignatureException", "403 SignatureDoesNotMatch", "400 AuthorizationHeaderMalformed"},
		{"six minutes late", shifted(-6 * time.Minute), "400 InvalidSignatureException", "403 SignatureDoesNotMatch", "403 RequestTimeTooSkewed"},
		{"six minutes early", shifted(6 * time.Minute), "400 InvalidSignatureException", "403 SignatureDoesNotMatch", "403 RequestTimeTooSkewed"},
		{"altered after signing", altered, "400 InvalidSignatureException", "403 SignatureDoesNotMatch", "403 SignatureDoesNotMatch"},
		{"unsigned", unsigned, "400 MissingAuthenticationTokenException", "403 MissingAuthenticationToken", "403 AccessDenied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := e.Config("operator")
			tt.change(&c)
			ctx := t.Context()
			_, err := sqs.NewFromConfig(c).ListQueues(ctx, &sqs.ListQueuesInput{})
			if got := code(err); got != tt.sqs {
				t.Errorf("sqs: %s, want %s", got, tt.sqs)
			}
			_, err = sts.NewFromConfig(c).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
			if got := code(err); got != tt.sts {
				t.Errorf("sts: %s, want %s", got, tt.sts)
			}
			_, err = s3.NewFromConfig(c).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("a b/ü+%25.txt"), Body: bytes.NewReader([]byte("hello"))})
			if got := code(err); got != tt.s3c {
				t.Errorf("s3: %s, want %s", got, tt.s3c)
			}
		})
	}
}

func TestABodyThatWasNotSignedIsRefused(t *testing.T) {
	e := awstest.Start(t, awstest.Options{More: withBucket})
	c := e.Config("operator")
	c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(b, []byte("good"), []byte("evil"))))
		return http.DefaultTransport.RoundTrip(r)
	})}
	_, err := sqs.NewFromConfig(c).ListQueues(t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("good")})
	if got := code(err); got != "400 InvalidSignatureException" {
		t.Errorf("sqs: %s", got)
	}
	put := &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"), Body: bytes.NewReader([]byte("good"))}
	_, err = s3.NewFromConfig(c).PutObject(t.Context(), put)
	if got := code(err); got != "400 XAmzContentSHA256Mismatch" {
		t.Errorf("s3: %s", got)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAServiceThatIsNotProvidedIsRefusedByName(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	_, err := dynamodb.NewFromConfig(e.Config("operator")).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if got := code(err); got != "400 InvalidSignatureException" || !strings.Contains(err.Error(), `"dynamodb" is not provided`) {
		t.Errorf("dynamodb: %v", err)
	}
}

func TestTheCallerReachesTheService(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	var asked []authz.Request
	e.Caller("MailFunction", func(r authz.Request) bool {
		asked = append(asked, r)
		return false
	})
	out, err := sts.NewFromConfig(e.Config("MailFunction")).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:sts::000000000000:assumed-role/MailFunction/MailFunction"; *out.Arn != want || *out.Account != awstest.Account {
		t.Errorf("identity %s of %s, want %s", *out.Arn, *out.Account, want)
	}
	url := e.Queue(t, "jobs", nil)
	_, err = sqs.NewFromConfig(e.Config("MailFunction")).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
	if got := code(err); got != "403 AccessDeniedException" && got != "403 AccessDenied" {
		t.Errorf("denied call answered %s", got)
	}
	if len(asked) != 1 || asked[0].Action != "sqs:SendMessage" || asked[0].Resource != "arn:aws:sqs:us-east-1:000000000000:jobs" {
		t.Errorf("asked %v", asked)
	}
}

func TestFaultsHappenBeforeOrAfterTheEffect(t *testing.T) {
	for _, tt := range []struct {
		name     string
		decision awslocal.FaultDecision
		kept     int
		answer   string // a part of the error
	}{
		{"refused", awslocal.FaultDecision{Act: awslocal.Refuse, Code: "OverLimit", Status: 403}, 0, "OverLimit"},
		{"done but reported as failed", awslocal.FaultDecision{Act: awslocal.FailAfter}, 1, "InternalFailure"},
		{"done and cut", awslocal.FaultDecision{Act: awslocal.CutAfter}, 1, "EOF"},
		{"cut", awslocal.FaultDecision{Act: awslocal.CutInstead}, 0, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := awstest.Start(t, awstest.Options{})
			url := e.Queue(t, "jobs", nil)
			e.Fault(func(r awslocal.FaultRequest) awslocal.FaultDecision {
				if r.Service == "sqs" && r.Operation == "SendMessage" && strings.HasSuffix(r.Resource, "/jobs") && r.Caller == "operator" {
					return tt.decision
				}
				return awslocal.FaultDecision{}
			})
			_, err := sqs.NewFromConfig(e.Config("operator")).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
			if err == nil || !strings.Contains(err.Error(), tt.answer) {
				t.Errorf("answer %v, want %s", err, tt.answer)
			}
			if got := e.SQS.Depths()["jobs"].Visible; got != tt.kept {
				t.Errorf("%d messages kept, want %d", got, tt.kept)
			}
		})
	}
}

func TestALateAnswerIsThatOfADoneCall(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	url := e.Queue(t, "jobs", nil)
	e.Fault(func(awslocal.FaultRequest) awslocal.FaultDecision {
		return awslocal.FaultDecision{Act: awslocal.LateAfter}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := sqs.NewFromConfig(e.Config("operator")).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller heard %v before its patience ended", err)
	}
	if got := e.SQS.Depths()["jobs"].Visible; got != 1 {
		t.Errorf("%d messages kept, want 1", got)
	}
}

func TestADelayHoldsTheAnswerBack(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	e.Fault(func(awslocal.FaultRequest) awslocal.FaultDecision {
		return awslocal.FaultDecision{Delay: 50 * time.Millisecond}
	})
	started := time.Now()
	if _, err := sqs.NewFromConfig(e.Config("operator")).ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 50*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
}

func TestEachCallIsAccountedFor(t *testing.T) {
	e := awstest.Start(t, awstest.Options{More: withBucket})
	url := e.Queue(t, "jobs", nil)
	c := e.Config("operator")
	if _, err := sqs.NewFromConfig(c).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s3.NewFromConfig(c).CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String("b"), Key: aws.String("k")}); err != nil {
		t.Fatal(err)
	}
	e.Fault(func(awslocal.FaultRequest) awslocal.FaultDecision {
		return awslocal.FaultDecision{Act: awslocal.CutInstead}
	})
	if _, err := ses.NewFromConfig(c).GetSendQuota(t.Context(), &ses.GetSendQuotaInput{}); err == nil {
		t.Error("a cut connection gave an answer")
	}
	c.Credentials = credentials.NewStaticCredentialsProvider("operator", "wrong", "")
	if _, err := sqs.NewFromConfig(c).ListQueues(t.Context(), &sqs.ListQueuesInput{}); err == nil {
		t.Error("a wrong secret was served")
	}
	var got []string
	for _, call := range e.Calls() {
		got = append(got, fmt.Sprintf("%s %s %s %s %d", call.Service, call.Operation, strings.TrimPrefix(call.Resource, e.URL), call.Caller, call.Status))
		if call.Operation == "SendMessage" && (call.RequestBytes == 0 || call.ResponseBytes == 0) {
			t.Errorf("bytes are missing: %+v", call)
		}
	}
	want := []string{
		"sqs SendMessage /000000000000/jobs operator 200",
		"s3 CreateMultipartUpload b/k operator 200",
		"ses GetSendQuota  operator 0",
		"sqs ListQueues   400",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("account:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAFullDiskIsToldInTheAccount(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	url := e.Queue(t, "jobs", nil)
	if err := e.DB.Close(); err != nil { // as good a reason as a full disk for a write to fail
		t.Fatal(err)
	}
	_, err := sqs.NewFromConfig(e.Config("operator")).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
	if got := code(err); got != "500 InternalFailure" {
		t.Errorf("answered %s", got)
	}
	if calls := e.Calls(); len(calls) != 1 || !strings.Contains(calls[0].Failure, "writing the queue to the store: database not open") {
		t.Errorf("account %+v", calls)
	}
	if d := e.SQS.Depths()["jobs"]; d.Visible != 0 {
		t.Errorf("a message that could not be stored is in memory: %+v", d)
	}
}

func TestS3KnowsItsOperations(t *testing.T) {
	e := awstest.Start(t, awstest.Options{More: withBucket})
	c := s3.NewFromConfig(e.Config("operator"))
	b, k := aws.String("b"), aws.String("k")
	ctx := t.Context()
	// The answers are empty, so that some of these fail after the call: only the names matter here.
	_, _ = c.ListBuckets(ctx, &s3.ListBucketsInput{})
	_, _ = c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: k, VersionId: aws.String("v")})
	_, _ = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: k})
	_, _ = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: b})
	_, _ = c.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: b})
	_, _ = c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: k, UploadId: aws.String("u"), PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	_, _ = c.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: b, Key: k, UploadId: aws.String("u")})
	_, _ = c.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: b, Key: k})
	_, _ = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: b, Key: k})
	_, _ = c.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: b})
	var got []string
	for _, call := range e.Calls() {
		got = append(got, call.Operation)
	}
	want := "ListBuckets GetObject HeadObject ListObjectsV2 ListObjectVersions UploadPart AbortMultipartUpload GetObjectRetention DeleteObject GetObjectLockConfiguration"
	if strings.Join(got, " ") != want {
		t.Errorf("operations %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestListenRefusesWhatIsInUseAndWhatIsNotLoopback(t *testing.T) {
	l, err := awslocal.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for addr, want := range map[string]string{
		l.Addr().String(): "is in use by another program: stop that program, or choose another port",
		"0.0.0.0:0":       "listens on 127.0.0.1 only",
		":0":              "listens on 127.0.0.1 only",
		"localhost":       "is not of the form 127.0.0.1:port",
	} {
		if l, err := awslocal.Listen(addr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", addr, err, want)
			if err == nil {
				_ = l.Close()
			}
		}
	}
}

func TestAConfigurationThatLacksSomethingIsRefused(t *testing.T) {
	ok := awslocal.Config{Services: map[string]http.Handler{"sqs": http.NotFoundHandler()}, Region: "us-east-1", Account: "1",
		Principal: func(string) (string, *authz.Caller, bool) { return "", nil, false }}
	if _, err := awslocal.New(ok); err != nil {
		t.Fatal(err)
	}
	lacking := ok
	lacking.Region = ""
	if _, err := awslocal.New(lacking); err == nil {
		t.Error("a front without a region was made")
	}
	strange := ok
	strange.Services = map[string]http.Handler{"glacier": http.NotFoundHandler()}
	if _, err := awslocal.New(strange); err == nil || !strings.Contains(err.Error(), "glacier") {
		t.Errorf("an unknown service: %v", err)
	}
}

func FuzzFrontNeverFailsOnHeaders(f *testing.F) {
	front, err := awslocal.New(awslocal.Config{Services: map[string]http.Handler{"sqs": http.NotFoundHandler(), "s3": http.NotFoundHandler()}, Region: "us-east-1", Account: "1",
		Principal: func(string) (string, *authz.Caller, bool) { return "s", authz.Everything("operator"), true }})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20260101T000000Z")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/20260101/us-east-1/s3/aws4_request,SignedHeaders=,Signature=", "")
	f.Fuzz(func(t *testing.T, authorization, date string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("answered %d", w.Code)
		}
	})
}
