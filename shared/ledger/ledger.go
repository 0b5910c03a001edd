// Package ledger is the memory of what was done: rows in DynamoDB for cursors, batches, messages, attachments, runs, mails and alarms. It
// owns their keys and attributes (keys.go) and the conditions under which they may change, so that a repeated or a racing worker changes
// nothing twice. It must not decide what to do next, and it holds no content but the short text of a message row.
//
// Every method may be called concurrently and repeated; the SDK retries throttling and lost answers, so each conditional write
// recognises its own first attempt. Writes are durable when they return. An error that is not one of this package's sentinels is
// retryable.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ErrAbsent says that no such row exists.
var ErrAbsent = errors.New("no such row in the ledger")

// ErrLost says that the condition of a write no longer holds: somebody else holds the lease, or has moved on.
var ErrLost = errors.New("somebody else has moved on")

// Tables names the tables. A name may be empty where a function has no business with the table.
type Tables struct {
	Control, Messages, Directory, Audit string
}

// Ledger reads and writes the tables.
type Ledger struct {
	db     *dynamodb.Client
	tables Tables
}

// New returns a Ledger over the given tables.
func New(db *dynamodb.Client, tables Tables) *Ledger { return &Ledger{db: db, tables: tables} }

type (
	item  = map[string]types.AttributeValue
	value = types.AttributeValue
)

func str(s string) value     { return &types.AttributeValueMemberS{Value: s} }
func num(n uint64) value     { return &types.AttributeValueMemberN{Value: strconv.FormatUint(n, 10)} }
func count(n int) value      { return &types.AttributeValueMemberN{Value: strconv.Itoa(n)} }
func boolean(b bool) value   { return &types.AttributeValueMemberBOOL{Value: b} }
func when(t time.Time) value { return str(stamp(t)) }
func key(pk, sk string) item { return item{"pk": str(pk), "sk": str(sk)} }
func list(ss []string) value {
	l := make([]value, len(ss))
	for i, s := range ss {
		l[i] = str(s)
	}
	return &types.AttributeValueMemberL{Value: l}
}

// stamp writes a time as RFC 3339 with milliseconds in UTC, and the zero time as "".
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func getStr(it item, name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func getNum(it item, name string) uint64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, err := strconv.ParseUint(v.Value, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

func getCount(it item, name string) int {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, err := strconv.Atoi(v.Value)
		if err == nil {
			return n
		}
	}
	return 0
}

func getBool(it item, name string) bool {
	v, ok := it[name].(*types.AttributeValueMemberBOOL)
	return ok && v.Value
}

func getTime(it item, name string) time.Time {
	t, err := time.Parse(time.RFC3339, getStr(it, name))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func getList(it item, name string) []string {
	v, ok := it[name].(*types.AttributeValueMemberL)
	if !ok {
		return nil
	}
	var out []string
	for _, e := range v.Value {
		if s, ok := e.(*types.AttributeValueMemberS); ok {
			out = append(out, s.Value)
		}
	}
	return out
}

// refusedRow is the row that made a condition fail, or nil if err is no failed condition.
func refusedRow(err error) (row item, refused bool) {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed.Item, true
	}
	return nil, false
}

func (l *Ledger) get(ctx context.Context, table, pk, sk string) (item, error) {
	out, err := l.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: key(pk, sk), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", pk, sk, err)
	}
	if len(out.Item) == 0 {
		return nil, fmt.Errorf("read %s %s: %w", pk, sk, ErrAbsent)
	}
	return out.Item, nil
}

// put writes a whole row. condition may be ""; a failed one comes back as *types.ConditionalCheckFailedException with the row.
func (l *Ledger) put(ctx context.Context, table string, it item, condition string, values item) error {
	in := &dynamodb.PutItemInput{TableName: &table, Item: it, ExpressionAttributeValues: values}
	if condition != "" {
		in.ConditionExpression = &condition
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	_, err := l.db.PutItem(ctx, in)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", getStr(it, "pk"), getStr(it, "sk"), err)
	}
	return nil
}

// update changes a row and returns it as it is then.
func (l *Ledger) update(ctx context.Context, table, pk, sk, expression, condition string, names map[string]string, values item) (item, error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &table, Key: key(pk, sk), UpdateExpression: &expression,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllNew,
	}
	if condition != "" {
		in.ConditionExpression = &condition
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	out, err := l.db.UpdateItem(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("change %s %s: %w", pk, sk, err)
	}
	return out.Attributes, nil
}

// bounds limits a query to sort keys. Zero value: all.
type bounds struct {
	prefix     string
	from, to   string // inclusive; both or from alone
	descending bool
	limit      int // rows in all; 0: all
	consistent bool
}

// each calls f for the rows of a partition in the order of their sort keys until f returns false.
func (l *Ledger) each(ctx context.Context, table, pk string, b bounds, f func(item) bool) error {
	condition, values := "pk = :pk", item{":pk": str(pk)}
	switch {
	case b.prefix != "":
		condition += " AND begins_with(sk, :prefix)"
		values[":prefix"] = str(b.prefix)
	case b.from != "" && b.to != "":
		condition += " AND sk BETWEEN :from AND :to"
		values[":from"], values[":to"] = str(b.from), str(b.to)
	case b.from != "":
		condition += " AND sk >= :from"
		values[":from"] = str(b.from)
	}
	in := &dynamodb.QueryInput{
		TableName: &table, KeyConditionExpression: &condition, ExpressionAttributeValues: values,
		ScanIndexForward: aws.Bool(!b.descending), ConsistentRead: aws.Bool(b.consistent),
	}
	if b.limit > 0 {
		in.Limit = aws.Int32(int32(min(b.limit, 1000))) // #nosec G115 -- at most 1,000
	}
	seen := 0
	for {
		out, err := l.db.Query(ctx, in)
		if err != nil {
			return fmt.Errorf("list %s: %w", pk, err)
		}
		for _, it := range out.Items {
			if !f(it) {
				return nil
			}
			if seen++; b.limit > 0 && seen >= b.limit {
				return nil
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// count is how many rows of a partition have sort keys that begin with a prefix.
func (l *Ledger) count(ctx context.Context, table, pk, prefix string) (int, error) {
	in := &dynamodb.QueryInput{
		TableName: &table, KeyConditionExpression: aws.String("pk = :pk AND begins_with(sk, :prefix)"), Select: types.SelectCount,
		ExpressionAttributeValues: item{":pk": str(pk), ":prefix": str(prefix)},
	}
	n := 0
	for {
		out, err := l.db.Query(ctx, in)
		if err != nil {
			return 0, fmt.Errorf("count %s: %w", pk, err)
		}
		n += int(out.Count)
		if len(out.LastEvaluatedKey) == 0 {
			return n, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// write puts rows that are identical by construction, 25 a call, and repeats what DynamoDB did not take.
func (l *Ledger) write(ctx context.Context, table string, rows []item) error {
	return l.writeEach(ctx, table, slices.Values(rows))
}

// mostWrites is how many rows DynamoDB writes in one call.
const mostWrites = 25

// writeEach is write for rows that are made as they are asked for.
func (l *Ledger) writeEach(ctx context.Context, table string, rows iter.Seq[item]) error {
	requests := make([]types.WriteRequest, 0, mostWrites)
	for row := range rows {
		requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: row}})
		if len(requests) == mostWrites {
			if err := l.writeBatch(ctx, table, requests); err != nil {
				return err
			}
			requests = requests[:0]
		}
	}
	if len(requests) == 0 {
		return nil
	}
	return l.writeBatch(ctx, table, requests)
}

func (l *Ledger) writeBatch(ctx context.Context, table string, requests []types.WriteRequest) error {
	pending := map[string][]types.WriteRequest{table: requests}
	for attempt := 0; len(pending) > 0; attempt++ {
		out, err := l.db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: pending})
		if err != nil {
			return fmt.Errorf("write %d rows: %w", len(requests), err)
		}
		pending = out.UnprocessedItems
		if len(pending) > 0 {
			if err := pause(ctx, min(50*time.Millisecond<<min(attempt, 7), 5*time.Second)); err != nil {
				return fmt.Errorf("write %d rows: %w", len(requests), err)
			}
		}
	}
	return nil
}

// fetch reads rows by key, 100 a call, in no order; absent rows are absent.
func (l *Ledger) fetch(ctx context.Context, table string, keys []item) ([]item, error) {
	var rows []item
	for len(keys) > 0 {
		n := min(len(keys), 100)
		pending := map[string]types.KeysAndAttributes{table: {Keys: keys[:n], ConsistentRead: aws.Bool(true)}}
		keys = keys[n:]
		for attempt := 0; len(pending) > 0; attempt++ {
			out, err := l.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: pending})
			if err != nil {
				return nil, fmt.Errorf("read %d rows: %w", n, err)
			}
			rows = append(rows, out.Responses[table]...)
			pending = out.UnprocessedKeys
			if len(pending) > 0 {
				if err := pause(ctx, min(50*time.Millisecond<<min(attempt, 7), 5*time.Second)); err != nil {
					return nil, fmt.Errorf("read %d rows: %w", n, err)
				}
			}
		}
	}
	return rows, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// putNamed is put with names for attributes whose names are DynamoDB's reserved words.
func (l *Ledger) putNamed(ctx context.Context, table string, it item, condition string, names map[string]string, values item) error {
	_, err := l.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &table, Item: it, ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return fmt.Errorf("write %s %s: %w", getStr(it, "pk"), getStr(it, "sk"), err)
	}
	return nil
}

func (l *Ledger) remove(ctx context.Context, table, pk, sk string) error {
	_, err := l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key(pk, sk)})
	if err != nil {
		return fmt.Errorf("remove %s %s: %w", pk, sk, err)
	}
	return nil
}
