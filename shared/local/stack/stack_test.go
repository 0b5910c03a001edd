package stack_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	localsqs "github.com/wecomvault/wecomvault/shared/local/awslocal/sqs"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/store"
	"github.com/wecomvault/wecomvault/shared/local/stack"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

const file = "../../../template.yaml"

// recorder keeps what it was asked to make; the real buckets and mails have tests of their own.
type recorder struct {
	buckets map[string]s3front.Bucket
	sets    []string
}

func (r *recorder) EnsureBucket(_ context.Context, b s3front.Bucket) error {
	r.buckets[b.Name] = b
	return nil
}

func (r *recorder) SetConfigurationSets(names ...string) { r.sets = names }

func (r *recorder) SetEvents(map[string][]string, func([]byte) error) error { return nil }

// endpoint serves DynamoDB and SQS over one store, for the operator with the key OPERATOR.
func endpoint(t *testing.T) string {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "aws.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	tables, err := ddb.New(db, "us-east-1", "000000000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	queues, err := localsqs.New(db, "us-east-1", "000000000000", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queues.Close)
	front, err := awslocal.New(awslocal.Config{Region: "us-east-1", Account: "000000000000",
		Services: map[string]http.Handler{"dynamodb": tables, "sqs": queues},
		Principal: func(key string) (string, *authz.Caller, bool) {
			return "operator-secret", authz.Everything("operator"), key == "OPERATOR"
		}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	return server.URL
}

func load(t *testing.T, endpoint string, params map[string]string) *template.Template {
	t.Helper()
	all := map[string]string{template.Endpoint: endpoint}
	for k, v := range params {
		all[k] = v
	}
	tmpl, err := template.Load(file, all)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestStackIsMadeOnceAndFoundAgain(t *testing.T) {
	at := endpoint(t)
	tmpl := load(t, at, map[string]string{"Trial": "true", "RetentionMode": "GOVERNANCE", "RetentionDays": "1"})
	r := &recorder{buckets: map[string]s3front.Bucket{}}
	options := stack.Options{Template: tmpl, Endpoint: at, AccessKey: "OPERATOR", Secret: "operator-secret", Buckets: r, Mail: r}
	for range 2 {
		if err := stack.Create(t.Context(), options); err != nil {
			t.Fatal(err)
		}
	}
	keys := credentials.NewStaticCredentialsProvider("OPERATOR", "operator-secret", "")
	tables, err := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(at), Credentials: keys}).ListTables(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables.TableNames) != len(tmpl.Tables) {
		t.Errorf("tables %v", tables.TableNames)
	}
	client := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(at), Credentials: keys})
	// A queue whose settings the template has changed since is brought up to date.
	for i := range tmpl.Queues {
		if tmpl.Queues[i].LogicalID == "MailQueue" {
			tmpl.Queues[i].Attributes["VisibilityTimeout"] = "777"
		}
	}
	if err := stack.Create(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	for _, q := range tmpl.Queues {
		out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(q.URL), AttributeNames: []types.QueueAttributeName{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		for k, want := range q.Attributes {
			if out.Attributes[k] != want {
				t.Errorf("%s: %s is %q, want %q", q.LogicalID, k, out.Attributes[k], want)
			}
		}
		if !strings.Contains(out.Attributes["Policy"], "aws:SecureTransport") {
			t.Errorf("%s has the policy %q", q.LogicalID, out.Attributes["Policy"])
		}
	}
	if len(r.sets) != 1 || len(r.buckets) != 2 {
		t.Errorf("configuration sets %v, buckets %v", r.sets, r.buckets)
	}
	b := r.buckets["wecomvault-archivebucket"]
	if !b.Lock || b.LockMode != "GOVERNANCE" || b.LockDays != 1 {
		t.Errorf("archive bucket %+v", b)
	}
	object := "arn:aws:s3:::wecomvault-archivebucket/batches/a"
	for request, denied := range map[*authz.Request]bool{
		{Action: "s3:DeleteObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "true"}}:                                                             true,
		{Action: "s3:BypassGovernanceRetention", Resource: object, Context: map[string]string{"aws:SecureTransport": "true"}}:                                                true,
		{Action: "s3:PutObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "true", "s3:ObjectCreationOperation": "true"}}:                          true,
		{Action: "s3:PutObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "true", "s3:ObjectCreationOperation": "false"}}:                         false,
		{Action: "s3:PutObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "true", "s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"}}: false,
		{Action: "s3:GetObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "false"}}:                                                               true,
		{Action: "s3:GetObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "true"}}:                                                                false,
	} {
		if (b.Policy.Decide(*request) == iam.Denied) != denied {
			t.Errorf("%+v denied: %v", *request, !denied)
		}
	}
}

func TestChangedTableKeyIsRefused(t *testing.T) {
	at := endpoint(t)
	tmpl := load(t, at, nil)
	options := stack.Options{Template: tmpl, Endpoint: at, AccessKey: "OPERATOR", Secret: "operator-secret"}
	if err := stack.Create(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	tmpl.Tables[0].Attributes[1].Name = "other"
	tmpl.Tables[0].Key[1].Name = "other"
	if err := stack.Create(t.Context(), options); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("got %v", err)
	}
}

func TestFunctionMayDoWhatItsRoleAllowsAndNoMore(t *testing.T) {
	tmpl := load(t, "http://127.0.0.1:1", nil)
	callers, err := stack.Callers(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	table := "arn:aws:dynamodb:us-east-1:000000000000:table/wecomvault-"
	for _, c := range []struct {
		function, action, resource string
		context                    map[string]string
		allowed                    bool
	}{
		{"FetchFunction", "dynamodb:UpdateItem", table + "ControlTable", nil, true},
		{"FetchFunction", "dynamodb:DeleteItem", table + "ControlTable", nil, false},
		{"FetchFunction", "dynamodb:GetItem", table + "MessagesTable", nil, false},
		{"FetchFunction", "s3:PutObject", "arn:aws:s3:::wecomvault-archivebucket/batches/x", nil, true},
		{"FetchFunction", "s3:PutObject", "arn:aws:s3:::wecomvault-archivebucket/segments/x", nil, false},
		{"FetchFunction", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:000000000000:secret:wecomvault/corp/a/archive-AbCdEf", nil, true},
		{"FetchFunction", "secretsmanager:GetSecretValue", "arn:aws:secretsmanager:us-east-1:000000000000:secret:other/corp/a/archive-AbCdEf", nil, false},
		{"FetchFunction", "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:wecomvault-fetch", nil, true},
		{"FetchFunction", "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:wecomvault-mail", nil, false},
		{"MailFunction", "ses:SendRawEmail", "arn:aws:ses:us-east-1:000000000000:identity/example.com", map[string]string{"ses:FromAddress": "wecom-vault@example.com"}, true},
		{"MailFunction", "ses:SendRawEmail", "arn:aws:ses:us-east-1:000000000000:identity/example.com", map[string]string{"ses:FromAddress": "other@example.com"}, false},
		{"WatchFunction", "sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:wecomvault-MediaQueue", nil, true},
		{"WatchFunction", "sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:000000000000:wecomvault-MediaQueue", nil, false},
	} {
		if got := callers[c.function].Allowed(authz.Request{Action: c.action, Resource: c.resource, Context: c.context}); got != c.allowed {
			t.Errorf("%s %s on %s: %v", c.function, c.action, c.resource, got)
		}
	}
}
