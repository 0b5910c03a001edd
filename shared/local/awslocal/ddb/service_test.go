package ddb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

var ctx = context.Background()

func TestTablesAndTheirSettingsAreKept(t *testing.T) {
	r := withRooms(t)
	if _, err := r.CreateTable(ctx, roomsTable()); code(err) != "ResourceInUseException" {
		t.Errorf("second create: %v", err)
	}
	d, err := r.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(rooms)})
	if err != nil {
		t.Fatal(err)
	}
	if d.Table.TableStatus != types.TableStatusActive || len(d.Table.GlobalSecondaryIndexes) != 3 || !d.Table.CreationDateTime.Equal(r.now) ||
		aws.ToString(d.Table.TableArn) != "arn:aws:dynamodb:us-east-1:000000000000:table/rooms" {
		t.Errorf("description: %+v", d.Table)
	}
	if _, err := r.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: aws.String(rooms),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("gone_at"), Enabled: aws.Bool(true)}}); err != nil {
		t.Error(err)
	}
	ttl, err := r.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(rooms)})
	if err != nil || ttl.TimeToLiveDescription.TimeToLiveStatus != types.TimeToLiveStatusEnabled || aws.ToString(ttl.TimeToLiveDescription.AttributeName) != "gone_at" {
		t.Errorf("time to live: %+v, %v", ttl, err)
	}
	if _, err := r.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: aws.String(rooms),
		PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true), RecoveryPeriodInDays: aws.Int32(7)}}); err != nil {
		t.Error(err)
	}
	b, err := r.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: aws.String(rooms)})
	if err != nil {
		t.Fatal(err)
	}
	if p := b.ContinuousBackupsDescription.PointInTimeRecoveryDescription; p.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled || aws.ToInt32(p.RecoveryPeriodInDays) != 7 {
		t.Errorf("recovery: %+v", p)
	}
	protected := &dynamodb.CreateTableInput{TableName: aws.String("ledger"), BillingMode: types.BillingModePayPerRequest, DeletionProtectionEnabled: aws.Bool(true),
		AttributeDefinitions: defined("id", "B"), KeySchema: keySchema("id", "")}
	if _, err := r.CreateTable(ctx, protected); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String("ledger")}); code(err) != "ValidationException" || !strings.Contains(message(err), "protected against deletion") {
		t.Errorf("delete of a protected table: %v", err)
	}
	if _, err := r.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: aws.String("ledger"), DeletionProtectionEnabled: aws.Bool(false)}); err != nil {
		t.Errorf("lift the protection: %v", err)
	}
	if _, err := r.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: aws.String("ledger"), BillingMode: types.BillingModeProvisioned}); code(err) != "ValidationException" {
		t.Errorf("a change that is not known here: %v", err)
	}
	if d, err := r.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("ledger")}); err != nil || *d.Table.DeletionProtectionEnabled {
		t.Errorf("after it: %v", err)
	}
	list, err := r.ListTables(ctx, &dynamodb.ListTablesInput{Limit: aws.Int32(1)})
	if err != nil || len(list.TableNames) != 1 || aws.ToString(list.LastEvaluatedTableName) != "ledger" {
		t.Errorf("first page of tables: %+v, %v", list, err)
	}
	list, err = r.ListTables(ctx, &dynamodb.ListTablesInput{ExclusiveStartTableName: list.LastEvaluatedTableName})
	if err != nil || len(list.TableNames) != 1 || list.TableNames[0] != rooms || list.LastEvaluatedTableName != nil {
		t.Errorf("second page of tables: %+v, %v", list, err)
	}
	r.put(t, merge(key("a", 1), row{"tag": s("x")}))
	if _, err := r.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(rooms)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(rooms)}); code(err) != "ResourceNotFoundException" {
		t.Errorf("deleted table: %v", err)
	}
	if _, err := r.CreateTable(ctx, roomsTable()); err != nil {
		t.Fatal(err)
	}
	if it := r.get(t, key("a", 1)); it != nil {
		t.Errorf("a new table of the old name holds %v", it)
	}
}

func TestTablesThatAWSWouldRefuseAreRefused(t *testing.T) {
	r := newRig(t)
	for want, edit := range map[string]func(*dynamodb.CreateTableInput){
		"Some AttributeDefinitions are not used": func(in *dynamodb.CreateTableInput) {
			in.AttributeDefinitions = append(in.AttributeDefinitions, defined("more", "S")...)
		},
		"not defined in AttributeDefinitions":      func(in *dynamodb.CreateTableInput) { in.KeySchema = keySchema("room", "nothing") },
		"have the same name":                       func(in *dynamodb.CreateTableInput) { in.KeySchema = keySchema("room", "room") },
		"Duplicate index name":                     func(in *dynamodb.CreateTableInput) { in.GlobalSecondaryIndexes[1].IndexName = aws.String("by-tag") },
		"NonKeyAttributes go with":                 func(in *dynamodb.CreateTableInput) { in.GlobalSecondaryIndexes[2].Projection.NonKeyAttributes = nil },
		"ReadCapacityUnits and WriteCapacityUnits": func(in *dynamodb.CreateTableInput) { in.BillingMode = types.BillingModeProvisioned },
		"regular expression pattern":               func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("no spaces") },
		"at least 3 characters":                    func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("ab") },
		`the parameter "LocalSecondaryIndexes" of C`: func(in *dynamodb.CreateTableInput) {
			in.LocalSecondaryIndexes = []types.LocalSecondaryIndex{{IndexName: aws.String("local"), KeySchema: keySchema("room", "rank"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}}
		},
	} {
		in := roomsTable()
		edit(in)
		if _, err := r.CreateTable(ctx, in); code(err) != "ValidationException" || !strings.Contains(message(err), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestEverythingElseIsRefusedByName(t *testing.T) {
	r := withRooms(t)
	_, err := r.TagResource(ctx, &dynamodb.TagResourceInput{ResourceArn: aws.String("arn:aws:dynamodb:us-east-1:000000000000:table/rooms"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	if code(err) != "UnknownOperationException" || !strings.Contains(message(err), "TagResource") {
		t.Errorf("TagResource: %v", err)
	}
	_, err = r.ExecuteStatement(ctx, &dynamodb.ExecuteStatementInput{Statement: aws.String("SELECT * FROM rooms")})
	if code(err) != "UnknownOperationException" {
		t.Errorf("ExecuteStatement: %v", err)
	}
	_, err = r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: key("a", 1), ReturnItemCollectionMetrics: types.ReturnItemCollectionMetricsSize})
	if code(err) != "ValidationException" || !strings.Contains(message(err), `the parameter "ReturnItemCollectionMetrics" of PutItem`) {
		t.Errorf("ReturnItemCollectionMetrics: %v", err)
	}
	_, err = r.Query(ctx, &dynamodb.QueryInput{TableName: aws.String(rooms), KeyConditions: map[string]types.Condition{"room": {ComparisonOperator: types.ComparisonOperatorEq, AttributeValueList: []types.AttributeValue{s("a")}}}})
	if code(err) != "ValidationException" || !strings.Contains(message(err), `"KeyConditions" of Query`) {
		t.Errorf("KeyConditions: %v", err)
	}
	_, err = r.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("nowhere"), Key: key("a", 1)})
	if code(err) != "ResourceNotFoundException" {
		t.Errorf("unknown table: %v", err)
	}
}

func TestAnswersCarryWhatTheProtocolAsksFor(t *testing.T) {
	r := withRooms(t)
	call := func(target, body string) (*http.Response, []byte) {
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-Amz-Target", target)
		p, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if got := p.Header.Get("X-Amz-Crc32"); got != strconv.FormatUint(uint64(crc32.ChecksumIEEE(b)), 10) {
			t.Errorf("%s: checksum %s", target, got)
		}
		if len(p.Header.Get("X-Amzn-Requestid")) != 52 || p.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
			t.Errorf("%s: headers %v", target, p.Header)
		}
		return p, b
	}
	p, b := call("DynamoDB_20120810.GetItem", `{"TableName":"rooms","Key":{"room":{"S":"a"},"seq":{"N":"1"}}}`)
	if p.StatusCode != http.StatusOK || string(b) != "{}" {
		t.Errorf("an absent item: %d %s", p.StatusCode, b)
	}
	for _, c := range []struct{ target, body, want string }{
		{"DynamoDB_20120810.GetItem", `{"TableName":`, "SerializationException"},
		{"DynamoDB_20120810.GetItem", `{"TableName":7}`, "SerializationException"},
		{"DynamoDB_20120810.GetItem", `{"TableName":"rooms","Key":{"room":{"S":"a"},"seq":{"N":"x"}}}`, "ValidationException"},
		{"DynamoDB_20120810.getitem", `{}`, "UnknownOperationException"},
		{"DynamoDBStreams_20120810.ListStreams", `{}`, "UnknownOperationException"},
		{"", `{}`, "UnknownOperationException"},
	} {
		p, b := call(c.target, c.body)
		var e struct {
			Type string `json:"__type"`
		}
		if err := json.Unmarshal(b, &e); err != nil || p.StatusCode != http.StatusBadRequest || e.Type != "com.amazonaws.dynamodb.v20120810#"+c.want {
			t.Errorf("%s %s: %d %s", c.target, c.body, p.StatusCode, b)
		}
	}
}

func TestReturnValues(t *testing.T) {
	r := withRooms(t)
	begin := merge(key("a", 1), row{"title": s("old"), "hits": n(1), "m": &types.AttributeValueMemberM{Value: row{"x": n(1), "y": n(2)}}})
	for want, kind := range map[string]types.ReturnValue{
		"map[]":                       types.ReturnValueNone,
		"map[hits:1 m:x=1 title:old]": types.ReturnValueUpdatedOld,
		"map[hits:2 m:x=5 title:new]": types.ReturnValueUpdatedNew,
		"map[hits:1 m:x=1,y=2 room:a seq:1 title:old]": types.ReturnValueAllOld,
		"map[hits:2 m:x=5,y=2 room:a seq:1 title:new]": types.ReturnValueAllNew,
	} {
		r.put(t, begin)
		o, err := r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key("a", 1), ReturnValues: kind,
			UpdateExpression:          aws.String("SET title = :t, m.x = :five ADD hits :one"),
			ExpressionAttributeValues: row{":t": s("new"), ":five": n(5), ":one": n(1)}})
		if err != nil {
			t.Fatal(err)
		}
		shown := map[string]string{}
		for k, v := range o.Attributes {
			shown[k] = text(v)
			if m, ok := v.(*types.AttributeValueMemberM); ok {
				shown[k] = "x=" + text(m.Value["x"])
				if m.Value["y"] != nil {
					shown[k] += ",y=" + text(m.Value["y"])
				}
			}
		}
		if got := fmt.Sprint(shown); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	put, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: key("a", 1), ReturnValues: types.ReturnValueAllOld})
	if err != nil || text(put.Attributes["title"]) != "new" {
		t.Errorf("put: %v, %v", put, err)
	}
	gone, err := r.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String(rooms), Key: key("a", 1), ReturnValues: types.ReturnValueAllOld})
	if err != nil || len(gone.Attributes) != 2 {
		t.Errorf("delete: %v, %v", gone, err)
	}
	if _, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: key("a", 1), ReturnValues: types.ReturnValueAllNew}); code(err) != "ValidationException" {
		t.Errorf("ALL_NEW of a put: %v", err)
	}
	created, err := r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key("b", "2.50"), ReturnValues: types.ReturnValueAllNew})
	if err != nil || text(created.Attributes["seq"]) != "2.5" {
		t.Errorf("an update without expression makes the item: %v, %v", created, err)
	}
}

func TestFailedConditionsTellTheItemOnlyIfAsked(t *testing.T) {
	r := withRooms(t)
	r.put(t, merge(key("a", 1), row{"owner": s("first")}))
	for _, ask := range []types.ReturnValuesOnConditionCheckFailure{"", types.ReturnValuesOnConditionCheckFailureNone, types.ReturnValuesOnConditionCheckFailureAllOld} {
		_, put := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: key("a", 1), ConditionExpression: aws.String("attribute_not_exists(room)"), ReturnValuesOnConditionCheckFailure: ask})
		_, update := r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key("a", 1), ConditionExpression: aws.String("#o = :o"), UpdateExpression: aws.String("SET #o = :o"),
			ExpressionAttributeNames: map[string]string{"#o": "owner"}, ExpressionAttributeValues: row{":o": s("second")}, ReturnValuesOnConditionCheckFailure: ask})
		_, gone := r.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String(rooms), Key: key("a", 1), ConditionExpression: aws.String("attribute_exists(nothing)"), ReturnValuesOnConditionCheckFailure: ask})
		for _, err := range []error{put, update, gone} {
			var failed *types.ConditionalCheckFailedException
			if !errors.As(err, &failed) || failed.ErrorMessage() != "The conditional request failed" {
				t.Fatalf("%v", err)
			}
			if got, want := text(failed.Item["owner"]), map[bool]string{true: "first", false: "-"}[ask == types.ReturnValuesOnConditionCheckFailureAllOld]; got != want {
				t.Errorf("asked %q: item's owner %s, want %s", ask, got, want)
			}
		}
	}
	if got := text(r.get(t, key("a", 1))["owner"]); got != "first" {
		t.Errorf("owner is now %s", got)
	}
}

func TestKeysAndItemsOutOfBoundsAreRefused(t *testing.T) {
	r := withRooms(t)
	long := strings.Repeat("x", 2049)
	for want, it := range map[string]row{
		"Missing the key seq in the item":              {"room": s("a")},
		"Type mismatch for key seq expected: N actual": {"room": s("a"), "seq": s("1")},
		"empty string value. Key: room":                {"room": s(""), "seq": n(1)},
		"Size of hashkey has exceeded":                 {"room": s(long), "seq": n(1)},
		"Type mismatch for Index Key tag Expected: S":  {"room": s("a"), "seq": n(1), "tag": n(1)},
		"empty string value. IndexName: by-tag":        {"room": s("a"), "seq": n(1), "tag": s("")},
		"Item size has exceeded":                       {"room": s("a"), "seq": n(1), "body": s(strings.Repeat("x", 400*1024))},
		"may not be empty":                             {"room": s("a"), "seq": n(1), "set": &types.AttributeValueMemberSS{Value: []string{}}},
	} {
		_, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: it})
		if code(err) != "ValidationException" || !strings.Contains(message(err), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	fits := 400*1024 - len("room"+"a"+"seq"+"body") - 2
	r.put(t, merge(key("a", 1), row{"body": s(strings.Repeat("x", fits))}))
	_, err := r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key("a", 1), UpdateExpression: aws.String("SET z = :z"), ExpressionAttributeValues: row{":z": s("")}})
	if code(err) != "ValidationException" || !strings.Contains(message(err), "Item size to update has exceeded") {
		t.Errorf("update beyond the limit: %v", err)
	}
	for _, k := range []row{{"room": s("a")}, {"room": s("a"), "seq": s("1")}, merge(key("a", 1), row{"more": n(1)})} {
		if _, err := r.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(rooms), Key: k}); code(err) != "ValidationException" || !strings.Contains(message(err), "does not match the schema") {
			t.Errorf("key %v: %v", k, err)
		}
	}
	_, err = r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key("a", 1), UpdateExpression: aws.String("SET seq = :z"), ExpressionAttributeValues: row{":z": n(2)}})
	if code(err) != "ValidationException" || !strings.Contains(message(err), "This attribute is part of the key") {
		t.Errorf("update of a key: %v", err)
	}
}

func TestTransactionsAreAllOrNothingAndSayWhy(t *testing.T) {
	r := withRooms(t)
	r.put(t, merge(key("a", 1), row{"owner": s("first")}))
	old := types.ReturnValuesOnConditionCheckFailureAllOld
	_, err := r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String(rooms), Item: key("new", 1)}},
		{Put: &types.Put{TableName: aws.String(rooms), Item: key("a", 1), ConditionExpression: aws.String("attribute_not_exists(room)"), ReturnValuesOnConditionCheckFailure: old}},
		{Update: &types.Update{TableName: aws.String(rooms), Key: key("b", 1), UpdateExpression: aws.String("SET x = nothing")}},
		{ConditionCheck: &types.ConditionCheck{TableName: aws.String(rooms), Key: key("c", 1), ConditionExpression: aws.String("attribute_exists(room)")}},
	}})
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		t.Fatal(err)
	}
	var codes []string
	for _, why := range cancelled.CancellationReasons {
		codes = append(codes, aws.ToString(why.Code))
	}
	if d := cmp.Diff([]string{"None", "ConditionalCheckFailed", "ValidationError", "ConditionalCheckFailed"}, codes); d != "" {
		t.Error(d)
	}
	if got := text(cancelled.CancellationReasons[1].Item["owner"]); got != "first" {
		t.Errorf("the reason's item: %s", got)
	}
	if !strings.Contains(cancelled.ErrorMessage(), "[None, ConditionalCheckFailed, ValidationError, ConditionalCheckFailed]") {
		t.Errorf("message: %s", cancelled.ErrorMessage())
	}
	if it := r.get(t, key("new", 1)); it != nil {
		t.Errorf("a cancelled transaction wrote %v", it)
	}
	twice := types.TransactWriteItem{Delete: &types.Delete{TableName: aws.String(rooms), Key: key("a", 1)}}
	_, err = r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{twice, twice}})
	if code(err) != "ValidationException" || !strings.Contains(message(err), "multiple operations on one item") {
		t.Errorf("one item twice: %v", err)
	}
	large := types.TransactWriteItem{Put: &types.Put{TableName: aws.String(rooms), Item: merge(key("large", 1), row{"x": s(strings.Repeat("x", 400<<10))})}}
	if _, err = r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{large}}); code(err) != "ValidationException" {
		t.Errorf("an item too large for any table: %v", err)
	}
	undoable := types.TransactWriteItem{Update: &types.Update{TableName: aws.String(rooms), Key: key("a", 1), UpdateExpression: aws.String("REMOVE nothing[0]")}}
	_, err = r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{undoable, twice}})
	if code(err) != "ValidationException" || !strings.Contains(message(err), "multiple operations on one item") {
		t.Errorf("one item twice, once in a way that can't be: %v", err)
	}
	nameless := types.TransactWriteItem{Delete: &types.Delete{TableName: aws.String(rooms), Key: key("", 1)}}
	if _, err = r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{nameless}}); code(err) != "ValidationException" {
		t.Errorf("an empty key is the request's own mistake, not the table's: %v", err)
	}
	_, err = r.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: aws.String(rooms), Key: key("a", 1)}}, {Get: &types.Get{TableName: aws.String(rooms), Key: row{"room": s("a")}}}}})
	if !errors.As(err, &cancelled) || len(cancelled.CancellationReasons) != 2 || aws.ToString(cancelled.CancellationReasons[1].Code) != "ValidationError" {
		t.Errorf("a read with half a key: %v", err)
	}
	got, err := r.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: aws.String(rooms), Key: key("a", 1), ProjectionExpression: aws.String("#o"), ExpressionAttributeNames: map[string]string{"#o": "owner"}}},
		{Get: &types.Get{TableName: aws.String(rooms), Key: key("none", 1)}}}})
	if err != nil || len(got.Responses) != 2 || len(got.Responses[0].Item) != 1 || got.Responses[1].Item != nil {
		t.Errorf("read back: %+v, %v", got, err)
	}
}

func TestATransactionsTokenCountsForTenMinutes(t *testing.T) {
	r := withRooms(t)
	add := func(by int) error {
		_, err := r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token-1"), TransactItems: []types.TransactWriteItem{
			{Update: &types.Update{TableName: aws.String(rooms), Key: key("a", 1), UpdateExpression: aws.String("ADD hits :by, misc :one"), ExpressionAttributeValues: row{":by": n(by), ":one": n(1)}}},
			{Put: &types.Put{TableName: aws.String(rooms), Item: merge(key("b", 1), row{"x": s("1"), "y": s("2"), "z": s("3")})}}}})
		return err
	}
	hits := func() string { return text(r.get(t, key("a", 1))["hits"]) }
	for range 3 {
		if err := add(1); err != nil {
			t.Fatal(err)
		}
	}
	if hits() != "1" {
		t.Errorf("three times the same request: %s hits", hits())
	}
	if err := add(2); code(err) != "IdempotentParameterMismatchException" {
		t.Errorf("another request with the same token: %v", err)
	}
	r.mu.Lock()
	r.now = r.now.Add(10 * time.Minute)
	r.mu.Unlock()
	if err := add(2); err != nil {
		t.Fatal(err)
	}
	if hits() != "3" {
		t.Errorf("after ten minutes: %s hits", hits())
	}
}

func TestUnitsAreCountedAsAWSCounts(t *testing.T) {
	r := withRooms(t)
	r.taken(&r.metre)
	table := aws.String(rooms)
	body := func(kb int) row { return row{"body": s(strings.Repeat("x", kb*1024-100))} }
	all := types.ReturnConsumedCapacityIndexes
	check := func(what string, err error, c *types.ConsumedCapacity, total float64, metered string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if c == nil || aws.ToFloat64(c.CapacityUnits) != total {
			t.Errorf("%s: %+v, want %g units", what, c, total)
		}
		if got := r.taken(&r.metre); len(got) != 1 || got[0] != metered {
			t.Errorf("%s: metered %q, want %q", what, got, metered)
		}
	}
	p, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: merge(key("a", 1), body(3)), ReturnConsumedCapacity: all})
	check("put of 3 KB", err, p.ConsumedCapacity, 3, "PutItem rooms write 3 read 0")
	p, err = r.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: merge(key("a", 1), body(1), row{"tag": s("x"), "rank": n(1)}), ReturnConsumedCapacity: all})
	check("smaller put into three indexes", err, p.ConsumedCapacity, 6, "PutItem rooms write 6 read 0")
	if got := p.ConsumedCapacity; aws.ToFloat64(got.Table.CapacityUnits) != 3 || len(got.GlobalSecondaryIndexes) != 3 {
		t.Errorf("by index: %+v", got)
	}
	u, err := r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: table, Key: key("a", 1), UpdateExpression: aws.String("SET tag = :t"), ExpressionAttributeValues: row{":t": s("y")}, ReturnConsumedCapacity: all})
	check("index entries that move", err, u.ConsumedCapacity, 1+2*3, "UpdateItem rooms write 7 read 0")
	u, err = r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: table, Key: key("a", 1), UpdateExpression: aws.String("SET misc = :t"), ExpressionAttributeValues: row{":t": s("y")}, ReturnConsumedCapacity: all})
	check("what only one index projects", err, u.ConsumedCapacity, 2, "UpdateItem rooms write 2 read 0")
	d, err := r.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: table, Key: key("none", 1), ReturnConsumedCapacity: all})
	check("delete of nothing", err, d.ConsumedCapacity, 1, "DeleteItem rooms write 1 read 0")
	r.put(t, merge(key("big", 1), body(9)))
	r.taken(&r.metre)
	_, err = r.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: key("big", 1), ConditionExpression: aws.String("attribute_not_exists(room)")})
	if got := r.taken(&r.metre); code(err) != "ConditionalCheckFailedException" || len(got) != 1 || got[0] != "PutItem rooms write 9 read 0" {
		t.Errorf("a failed condition is charged by the item that is there: %q, %v", got, err)
	}
	g, err := r.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: key("big", 1), ReturnConsumedCapacity: all})
	check("get of 9 KB", err, g.ConsumedCapacity, 1.5, "GetItem rooms write 0 read 1.5")
	g, err = r.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: key("big", 1), ConsistentRead: aws.Bool(true), ReturnConsumedCapacity: all})
	check("consistent get of 9 KB", err, g.ConsumedCapacity, 3, "GetItem rooms write 0 read 3")
	q, err := r.Query(ctx, &dynamodb.QueryInput{TableName: table, IndexName: aws.String("tags"), KeyConditionExpression: aws.String("tag = :t"), ExpressionAttributeValues: row{":t": s("y")}, ReturnConsumedCapacity: all})
	check("query of an index", err, q.ConsumedCapacity, 0.5, "Query rooms write 0 read 0.5")
	tx, err := r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{ReturnConsumedCapacity: all, TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: table, Item: merge(key("t", 1), body(2))}}, {ConditionCheck: &types.ConditionCheck{TableName: table, Key: key("t", 2), ConditionExpression: aws.String("attribute_not_exists(room)")}}}})
	check("transaction", err, &tx.ConsumedCapacity[0], 6, "TransactWriteItems rooms write 6 read 0")
	tg, err := r.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{ReturnConsumedCapacity: all, TransactItems: []types.TransactGetItem{{Get: &types.Get{TableName: table, Key: key("big", 1)}}}})
	check("transactional get", err, &tg.ConsumedCapacity[0], 6, "TransactGetItems rooms write 0 read 6")
	bw, err := r.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{ReturnConsumedCapacity: all, RequestItems: map[string][]types.WriteRequest{rooms: {
		{PutRequest: &types.PutRequest{Item: merge(key("w", 1), body(2))}}, {DeleteRequest: &types.DeleteRequest{Key: key("big", 1)}}}}})
	check("batch write", err, &bw.ConsumedCapacity[0], 11, "BatchWriteItem rooms write 11 read 0")
	bg, err := r.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{ReturnConsumedCapacity: all, RequestItems: map[string]types.KeysAndAttributes{rooms: {Keys: []row{key("w", 1), key("none", 1)}, ConsistentRead: aws.Bool(true)}}})
	check("batch get", err, &bg.ConsumedCapacity[0], 2, "BatchGetItem rooms write 0 read 2")
	if g, err := r.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: key("w", 1)}); err != nil || g.ConsumedCapacity != nil {
		t.Errorf("not asked for, but told: %+v, %v", g.ConsumedCapacity, err)
	}
}

func TestEachOperationAsksForItsOwnPermission(t *testing.T) {
	r := withRooms(t)
	table := aws.String(rooms)
	tableARN := "arn:aws:dynamodb:us-east-1:000000000000:table/rooms"
	part := func(action string) string { return "dynamodb:" + action + " " + tableARN + " in TransactWriteItems" }
	put := func() error {
		_, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: key("p", 1)})
		return err
	}
	calls := map[string]struct {
		call func() error
		want []string
	}{
		"put": {put, []string{"dynamodb:PutItem " + tableARN}},
		"get": {func() error {
			_, err := r.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: key("a", 1)})
			return err
		}, []string{"dynamodb:GetItem " + tableARN}},
		"index query": {func() error {
			_, err := r.Query(ctx, &dynamodb.QueryInput{TableName: table, IndexName: aws.String("tags"), KeyConditionExpression: aws.String("tag = :t"), ExpressionAttributeValues: row{":t": s("y")}})
			return err
		}, []string{"dynamodb:Query " + tableARN + "/index/tags"}},
		"scan": {func() error {
			_, err := r.Scan(ctx, &dynamodb.ScanInput{TableName: table})
			return err
		}, []string{"dynamodb:Scan " + tableARN}},
		"list": {func() error {
			_, err := r.ListTables(ctx, &dynamodb.ListTablesInput{})
			return err
		}, []string{"dynamodb:ListTables *"}},
		"batch write": {func() error {
			_, err := r.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{rooms: {{DeleteRequest: &types.DeleteRequest{Key: key("a", 1)}}}}})
			return err
		}, []string{"dynamodb:BatchWriteItem " + tableARN}},
		"transaction": {func() error {
			_, err := r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: table, Item: key("p", 2)}},
				{Update: &types.Update{TableName: table, Key: key("p", 3), UpdateExpression: aws.String("REMOVE x")}},
				{Delete: &types.Delete{TableName: table, Key: key("p", 4)}},
				{ConditionCheck: &types.ConditionCheck{TableName: table, Key: key("p", 5), ConditionExpression: aws.String("attribute_not_exists(room)")}}}})
			return err
		}, []string{part("PutItem"), part("UpdateItem"), part("DeleteItem"), part("ConditionCheckItem")}},
	}
	for name, c := range calls {
		r.mu.Lock()
		r.asked = nil
		r.mu.Unlock()
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, q := range r.asked {
			line := q.Action + " " + q.Resource
			if in := q.Context["dynamodb:EnclosingOperation"]; in != "" {
				line += " in " + in
			}
			got = append(got, line)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	r.caller.Allowed = func(q authz.Request) bool { return q.Action != "dynamodb:ConditionCheckItem" }
	for name, c := range calls {
		if err := c.call(); (code(err) == "AccessDeniedException") != (name == "transaction") {
			t.Errorf("without ConditionCheckItem, %s: %v", name, err)
		}
	}
	r.caller.Allowed = func(authz.Request) bool { return false }
	for name, c := range calls {
		if err := c.call(); code(err) != "AccessDeniedException" || !strings.Contains(message(err), "tester is not authorized to perform: dynamodb:") {
			t.Errorf("without permissions, %s: %v", name, err)
		}
	}
	if _, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: key("denied", 1)}); code(err) != "AccessDeniedException" {
		t.Error(err)
	}
	r.caller.Allowed = func(authz.Request) bool { return true }
	if it := r.get(t, key("denied", 1)); it != nil {
		t.Errorf("a denied put wrote %v", it)
	}
}

func TestNobodyGetsPastTheFront(t *testing.T) {
	r := withRooms(t)
	r.caller = nil // as if the front had let a request through without naming its caller
	if _, err := r.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(rooms)}); code(err) != "AccessDeniedException" {
		t.Errorf("a request without a caller: %v", err)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	r := withRooms(t)
	writes := func(count int) *dynamodb.BatchWriteItemInput {
		var list []types.WriteRequest
		for i := range count {
			list = append(list, types.WriteRequest{PutRequest: &types.PutRequest{Item: key("b", i)}})
		}
		return &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{rooms: list}}
	}
	if o, err := r.BatchWriteItem(ctx, writes(25)); err != nil || len(o.UnprocessedItems) != 0 {
		t.Errorf("25 writes: %+v, %v", o, err)
	}
	if _, err := r.BatchWriteItem(ctx, writes(26)); code(err) != "ValidationException" {
		t.Errorf("26 writes: %v", err)
	}
	doubled := writes(2)
	doubled.RequestItems[rooms][1] = doubled.RequestItems[rooms][0]
	if _, err := r.BatchWriteItem(ctx, doubled); code(err) != "ValidationException" || !strings.Contains(message(err), "duplicates") {
		t.Errorf("one item twice: %v", err)
	}
	big := bytes.Repeat([]byte{'x'}, 390*1024)
	var keys []row
	for i := range 50 {
		it := merge(key("big", i), row{"body": &types.AttributeValueMemberB{Value: big}})
		r.put(t, it)
		keys = append(keys, key("big", i))
	}
	got := map[string]bool{}
	rounds := 0
	for ask := (map[string]types.KeysAndAttributes{rooms: {Keys: keys}}); len(ask) > 0; rounds++ {
		o, err := r.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: ask})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range o.Responses[rooms] {
			got[text(it["seq"])] = true
		}
		ask = o.UnprocessedKeys
	}
	if len(got) != 50 || rounds != 2 {
		t.Errorf("19.5 MB came as %d items in %d answers, want 50 in 2", len(got), rounds)
	}
}
