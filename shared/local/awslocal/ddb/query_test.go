package ddb_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
)

func TestIndexesShowWhatTheyProject(t *testing.T) {
	r := withRooms(t)
	r.put(t, merge(key("a", 1), row{"tag": s("x"), "rank": n(5), "title": s("t"), "note": s("n")}))
	r.put(t, merge(key("a", 2), row{"tag": s("x"), "title": s("no rank")}))
	r.put(t, merge(key("a", 3), row{"title": s("no tag")}))
	for index, want := range map[string][]string{
		"by-tag": {"note rank room seq tag title"},
		"tags":   {"room seq tag", "room seq tag"},
		"titles": {"room seq tag title", "room seq tag title"},
	} {
		o, err := r.Query(ctx, &dynamodb.QueryInput{TableName: aws.String(rooms), IndexName: &index, KeyConditionExpression: aws.String("tag = :t"), ExpressionAttributeValues: row{":t": s("x")}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range o.Items {
			got = append(got, strings.Join(slices.Sorted(maps.Keys(it)), " "))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", index, d)
		}
	}
}

func TestQueriesThatAWSWouldRefuseAreRefused(t *testing.T) {
	r := withRooms(t)
	for want, edit := range map[string]func(*dynamodb.QueryInput){
		"Query condition missed key schema element: room":       func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("seq = :r") },
		"Query condition missed key schema element: seq":        func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("room = :r AND title = :r") },
		"Query key condition not supported":                     func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("room > :r") },
		"parameter type does not match schema type":             func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("room = :r AND seq = :r") },
		"can only contain non-primary key attributes":           func(in *dynamodb.QueryInput) { in.FilterExpression = aws.String("seq = :r") },
		"does not have the specified index":                     func(in *dynamodb.QueryInput) { in.IndexName = aws.String("nothing") },
		"The provided starting key is invalid":                  func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = row{"room": s("a")} },
		"The provided starting key is outside query boundaries": func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = key("b", 1) },
		"greater than or equal to 1":                            func(in *dynamodb.QueryInput) { in.Limit = aws.Int32(0) },
		"unused in expressions: keys: {:x}":                     func(in *dynamodb.QueryInput) { in.ExpressionAttributeValues[":x"] = s("x") },
		"when choosing to get SPECIFIC_ATTRIBUTES":              func(in *dynamodb.QueryInput) { in.Select = types.SelectSpecificAttributes },
		"when choosing to get COUNT": func(in *dynamodb.QueryInput) {
			in.Select = types.SelectCount
			in.ProjectionExpression = aws.String("seq")
		},
		"ALL_PROJECTED_ATTRIBUTES can be used only when":          func(in *dynamodb.QueryInput) { in.Select = types.SelectAllProjectedAttributes },
		"Either the KeyConditions or KeyConditionExpression":      func(in *dynamodb.QueryInput) { in.KeyConditionExpression = nil },
		"cannot contain an empty string value. Key: room":         func(in *dynamodb.QueryInput) { in.ExpressionAttributeValues[":r"] = s("") },
		"Consistent reads are not supported":                      onIndex(func(in *dynamodb.QueryInput) { in.ConsistentRead = aws.Bool(true) }),
		"Select type ALL_ATTRIBUTES is not supported":             onIndex(func(in *dynamodb.QueryInput) { in.Select = types.SelectAllAttributes }),
		"Global secondary index tags does not project [nickname]": onIndex(func(in *dynamodb.QueryInput) { in.ProjectionExpression = aws.String("nickname") }),
	} {
		in := &dynamodb.QueryInput{TableName: aws.String(rooms), KeyConditionExpression: aws.String("room = :r"), ExpressionAttributeValues: row{":r": s("a")}}
		edit(in)
		if _, err := r.Query(ctx, in); code(err) != "ValidationException" || !strings.Contains(message(err), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func onIndex(edit func(*dynamodb.QueryInput)) func(*dynamodb.QueryInput) {
	return func(in *dynamodb.QueryInput) {
		in.IndexName, in.KeyConditionExpression = aws.String("tags"), aws.String("tag = :r")
		edit(in)
	}
}

func TestPagesEndAtLimitAndAtOneMegabyte(t *testing.T) {
	r := withRooms(t)
	for i := range 5 {
		r.put(t, merge(key("big", i), row{"body": s(strings.Repeat("x", 300*1024)), "even": &types.AttributeValueMemberBOOL{Value: i%2 == 0}}))
	}
	in := &dynamodb.QueryInput{TableName: aws.String(rooms), KeyConditionExpression: aws.String("room = :r"), ExpressionAttributeValues: row{":r": s("big")}, ProjectionExpression: aws.String("seq")}
	o, err := r.Query(ctx, in)
	if err != nil || o.Count != 3 || text(o.LastEvaluatedKey["seq"]) != "2" {
		t.Errorf("1.5 MB in one page: %+v, %v", o, err)
	}
	in.ExclusiveStartKey = o.LastEvaluatedKey
	if o, err = r.Query(ctx, in); err != nil || o.Count != 2 || o.LastEvaluatedKey != nil {
		t.Errorf("second page: %+v, %v", o, err)
	}
	in.ExclusiveStartKey, in.Limit = nil, aws.Int32(2)
	in.FilterExpression, in.ExpressionAttributeValues[":yes"] = aws.String("even = :yes"), &types.AttributeValueMemberBOOL{Value: true}
	if o, err = r.Query(ctx, in); err != nil || o.Count != 1 || o.ScannedCount != 2 || text(o.LastEvaluatedKey["seq"]) != "1" {
		t.Errorf("the limit counts before the filter: %+v, %v", o, err)
	}
	in.Limit, in.ProjectionExpression, in.Select = nil, nil, types.SelectCount
	if o, err = r.Query(ctx, in); err != nil || o.Count != 2 || o.ScannedCount != 3 || o.Items != nil {
		t.Errorf("count: %+v, %v", o, err)
	}
}

func TestTextKeysAreFoundByTheirBeginning(t *testing.T) {
	r := newRig(t)
	if _, err := r.CreateTable(ctx, &dynamodb.CreateTableInput{TableName: aws.String("texts"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: defined("pk", "S", "sk", "B"), KeySchema: keySchema("pk", "sk")}); err != nil {
		t.Fatal(err)
	}
	raw := func(v string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(v)} }
	for _, sk := range []string{"a", "a\x00", "a\x00\x00b", "a\xff", "a\xff\xff", "b", "\xff\xff"} {
		if _, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("texts"), Item: row{"pk": s("p"), "sk": raw(sk)}}); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{
		"a": {"a", "a\x00", "a\x00\x00b", "a\xff", "a\xff\xff"}, "a\x00": {"a\x00", "a\x00\x00b"}, "a\xff": {"a\xff", "a\xff\xff"}, "\xff": {"\xff\xff"}, "c": nil,
	} {
		o, err := r.Query(ctx, &dynamodb.QueryInput{TableName: aws.String("texts"), KeyConditionExpression: aws.String("pk = :p AND begins_with(sk, :b)"), ExpressionAttributeValues: row{":p": s("p"), ":b": raw(prefix)}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range o.Items {
			got = append(got, string(it["sk"].(*types.AttributeValueMemberB).Value))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("beginning with %q: %s", prefix, d)
		}
	}
}

// Whatever comes in, the answer is 200 or 400: nothing panics, and the store never fails.
func FuzzRequests(f *testing.F) {
	db, err := bbolt.Open(filepath.Join(f.TempDir(), "state.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	svc, err := ddb.New(db, "us-east-1", "000000000000", nil)
	if err != nil {
		f.Fatal(err)
	}
	call := func(op, body string) int {
		q := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		q.Header.Set("X-Amz-Target", "DynamoDB_20120810."+op)
		w := httptest.NewRecorder()
		svc.ServeHTTP(w, q.WithContext(authz.NewContext(q.Context(), authz.Everything("tester"))))
		return w.Code
	}
	if got := call("CreateTable", `{"TableName":"rooms","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],
		"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`); got != http.StatusOK {
		f.Fatalf("create table: %d", got)
	}
	ops := []string{"PutItem", "GetItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchWriteItem", "BatchGetItem", "TransactWriteItems", "TransactGetItems", "CreateTable",
		"UpdateTimeToLive", "UpdateContinuousBackups", "ListTables", "DescribeTable"}
	for i, body := range []string{
		`{"TableName":"rooms","Item":{"k":{"S":"a"},"l":{"L":[{"N":"1"}]}},"ConditionExpression":"attribute_not_exists(k)"}`,
		`{"TableName":"rooms","Key":{"k":{"S":"a"}},"ProjectionExpression":"l[0]"}`,
		`{"TableName":"rooms","Key":{"k":{"S":"a"}},"UpdateExpression":"SET l[3] = :v ADD c :v","ExpressionAttributeValues":{":v":{"N":"1"}},"ReturnValues":"UPDATED_NEW"}`,
		`{"TableName":"rooms","Key":{"k":{"S":"a"}},"ReturnValues":"ALL_OLD","ReturnConsumedCapacity":"INDEXES"}`,
		`{"TableName":"rooms","KeyConditionExpression":"k = :k","ExpressionAttributeValues":{":k":{"S":"a"}},"Limit":1,"ExclusiveStartKey":{"k":{"S":"a"}}}`,
		`{"TableName":"rooms","Segment":0,"TotalSegments":2}`,
		`{"RequestItems":{"rooms":[{"PutRequest":{"Item":{"k":{"S":"b"}}}},{"DeleteRequest":{"Key":{"k":{"S":"a"}}}}]}}`,
		`{"RequestItems":{"rooms":{"Keys":[{"k":{"S":"b"}}]}}}`,
		`{"ClientRequestToken":"t","TransactItems":[{"Put":{"TableName":"rooms","Item":{"k":{"S":"c"}}}},{"ConditionCheck":{"TableName":"rooms","Key":{"k":{"S":"b"}},"ConditionExpression":"size(k) > :z","ExpressionAttributeValues":{":z":{"N":"0"}}}}]}`,
		`{"TransactItems":[{"Get":{"TableName":"rooms","Key":{"k":{"S":"c"}}}}]}`,
		`{"TableName":"more","KeySchema":[null]}`, `{"TableName":"rooms","TimeToLiveSpecification":null}`, `{"Item":null,"TransactItems":[null,{}]}`,
	} {
		f.Add(uint8(i), body) // #nosec G115 -- a short list
	}
	f.Fuzz(func(t *testing.T, op uint8, body string) {
		name := ops[int(op)%len(ops)]
		if got := call(name, body); got != http.StatusOK && got != http.StatusBadRequest {
			t.Fatalf("%s %s: %d", name, body, got)
		}
	})
}
