package ddb_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
)

// rig is one service over a fresh file, and the real SDK's client for it.
type rig struct {
	*dynamodb.Client
	url    string
	caller *authz.Caller

	mu    sync.Mutex
	asked []authz.Request
	metre []string
	now   time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{now: time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)}
	r.caller = &authz.Caller{Name: "tester", Allowed: func(q authz.Request) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, q)
		return true
	}}
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "state.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	meter := func(op, table string, write, read float64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.metre = append(r.metre, fmt.Sprintf("%s %s write %g read %g", op, table, write, read))
	}
	clock := func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.now
	}
	s, err := ddb.New(db, "us-east-1", "000000000000", meter, ddb.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		s.ServeHTTP(w, q.WithContext(authz.NewContext(q.Context(), r.caller)))
	}))
	t.Cleanup(func() {
		server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	r.url = server.URL
	r.Client = client(server.URL)
	return r
}

// client never tries twice, so that a test sees every refusal and every effect once.
func client(url string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDLOCAL", "local", "")})
}

func (r *rig) taken(list *[]string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := *list
	*list = nil
	return out
}

type row = map[string]types.AttributeValue

func s(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
func n(v any) types.AttributeValue    { return &types.AttributeValueMemberN{Value: fmt.Sprint(v)} }

// text shows a scalar; "-" if there is none.
func text(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case nil:
		return "-"
	default:
		return fmt.Sprintf("%T", v)
	}
}

func key(room string, seq any) row { return row{"room": s(room), "seq": n(seq)} }

const rooms = "rooms"

func keySchema(hash, sort string) []types.KeySchemaElement {
	out := []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}}
	if sort != "" {
		out = append(out, types.KeySchemaElement{AttributeName: &sort, KeyType: types.KeyTypeRange})
	}
	return out
}

func defined(pairs ...string) []types.AttributeDefinition {
	var out []types.AttributeDefinition
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, types.AttributeDefinition{AttributeName: &pairs[i], AttributeType: types.ScalarAttributeType(pairs[i+1])})
	}
	return out
}

func roomsTable() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: aws.String(rooms), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: defined("room", "S", "seq", "N", "tag", "S", "rank", "N"),
		KeySchema:            keySchema("room", "seq"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{
			{IndexName: aws.String("by-tag"), KeySchema: keySchema("tag", "rank"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}},
			{IndexName: aws.String("tags"), KeySchema: keySchema("tag", ""), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}},
			{IndexName: aws.String("titles"), KeySchema: keySchema("tag", ""), Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"title"}}},
		},
	}
}

// withRooms is a rig with the table that most tests use.
func withRooms(t testing.TB) *rig {
	t.Helper()
	r := newRig(t)
	if _, err := r.CreateTable(context.Background(), roomsTable()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) put(t testing.TB, it row) {
	t.Helper()
	if _, err := r.PutItem(context.Background(), &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: it}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) get(t testing.TB, k row) row {
	t.Helper()
	o, err := r.GetItem(context.Background(), &dynamodb.GetItemInput{TableName: aws.String(rooms), Key: k, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return o.Item
}

func merge(rows ...row) row {
	out := row{}
	for _, r := range rows {
		for k, v := range r {
			out[k] = v
		}
	}
	return out
}

// code is the API error's code; "" for no error.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func message(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorMessage()
	}
	return ""
}
