package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// ErrExists says that a table of that name is there already.
var ErrExists = errors.New("the table exists already")

// With is the same ledger over another table of derived rows.
func (l *Ledger) With(messages string) *Ledger {
	tables := l.tables
	tables.Messages = messages
	return New(l.db, tables)
}

// HasMessagesTable says whether the table of derived rows is there.
func (l *Ledger) HasMessagesTable(ctx context.Context) (bool, error) {
	return l.has(ctx, l.tables.Messages)
}

// HasControlTable says whether the table of cursors and batches is there.
func (l *Ledger) HasControlTable(ctx context.Context) (bool, error) {
	return l.has(ctx, l.tables.Control)
}

func (l *Ledger) has(ctx context.Context, table string) (bool, error) {
	_, err := l.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	var absent *types.ResourceNotFoundException
	if errors.As(err, &absent) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at table %s: %w", table, err)
	}
	return true, nil
}

// ready is how long a new table may take until it can be used.
const ready = 5 * time.Minute

// MakeMessagesTable makes this ledger's table of derived rows, with the keys and the billing of another table, and encrypted like it; kmsKey, if
// given, takes the place of the other table's key. lasting gives it what guards the stack's own tables: protection against deletion, and
// recovery of its past. It returns ErrExists if there is one.
func (l *Ledger) MakeMessagesTable(ctx context.Context, like, kmsKey string, lasting bool) error {
	return l.makeTable(ctx, l.tables.Messages, like, kmsKey, lasting)
}

// MakeControlTable makes the table of cursors and batches again that was lost, with the shape of the table of derived rows and the given key.
func (l *Ledger) MakeControlTable(ctx context.Context, kmsKey string) error {
	return l.makeTable(ctx, l.tables.Control, l.tables.Messages, kmsKey, true)
}

func (l *Ledger) makeTable(ctx context.Context, name, like, kmsKey string, lasting bool) error {
	out, err := l.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &like})
	if err != nil {
		return fmt.Errorf("look at table %s: %w", like, err)
	}
	in := &dynamodb.CreateTableInput{
		TableName: &name, KeySchema: out.Table.KeySchema, AttributeDefinitions: out.Table.AttributeDefinitions, BillingMode: types.BillingModePayPerRequest,
		DeletionProtectionEnabled: &lasting,
	}
	if sse := out.Table.SSEDescription; kmsKey == "" && sse != nil {
		kmsKey = aws.ToString(sse.KMSMasterKeyArn)
	}
	if kmsKey != "" {
		in.SSESpecification = &types.SSESpecification{Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: &kmsKey}
	}
	_, err = l.db.CreateTable(ctx, in)
	var taken *types.ResourceInUseException
	if errors.As(err, &taken) {
		return fmt.Errorf("make table %s: %w", name, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("make table %s: %w", name, err)
	}
	if err := dynamodb.NewTableExistsWaiter(l.db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, ready); err != nil {
		return fmt.Errorf("wait for table %s: %w", name, err)
	}
	if !lasting {
		return nil
	}
	_, err = l.db.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: &name,
		PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}})
	if err != nil {
		return fmt.Errorf("keep the past of table %s: %w", name, err)
	}
	return nil
}

// DropMessagesTable deletes this ledger's table of derived rows, which must be one that MakeMessagesTable made without lasting: a table that is
// protected is refused by DynamoDB. One that is absent is no error.
func (l *Ledger) DropMessagesTable(ctx context.Context) error {
	name := l.tables.Messages
	_, err := l.db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
	var absent *types.ResourceNotFoundException
	if err != nil && !errors.As(err, &absent) {
		return fmt.Errorf("delete table %s: %w", name, err)
	}
	if err := dynamodb.NewTableNotExistsWaiter(l.db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, ready); err != nil {
		return fmt.Errorf("wait until table %s is gone: %w", name, err)
	}
	return nil
}

// scan calls f for the derived rows of a corp, some at a time.
func (l *Ledger) scan(ctx context.Context, corp archive.CorpID, f func([]item) error) error {
	in := &dynamodb.ScanInput{TableName: &l.tables.Messages, ConsistentRead: aws.Bool(true)}
	for {
		out, err := l.db.Scan(ctx, in)
		if err != nil {
			return fmt.Errorf("read table %s: %w", l.tables.Messages, err)
		}
		rows := slices.DeleteFunc(out.Items, func(it item) bool {
			_, rest, _ := strings.Cut(getStr(it, "pk"), "#")
			of, _, _ := strings.Cut(rest, "#")
			return of != corp.KeyPart()
		})
		if err := f(rows); err != nil {
			return err
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// EmptyMessages removes all derived rows of a corp: for a table that replay writes into and nobody reads.
func (l *Ledger) EmptyMessages(ctx context.Context, corp archive.CorpID) error {
	return l.scan(ctx, corp, func(rows []item) error { return l.removeAll(ctx, rows) })
}

func (l *Ledger) removeAll(ctx context.Context, rows []item) error {
	for _, it := range rows {
		if err := l.remove(ctx, l.tables.Messages, getStr(it, "pk"), getStr(it, "sk")); err != nil {
			return err
		}
	}
	return nil
}

// ReplaceAsides writes the set-aside rows of one batch as they should be, and removes others that the batch has: for a table that replay writes
// into and nobody else does.
func (l *Ledger) ReplaceAsides(ctx context.Context, b BatchRow, want []Aside, clean bool) error {
	rows := make([]item, len(want))
	keep := map[string]bool{}
	for i, a := range want {
		rows[i] = a.row()
		keep[a.Key()] = true
	}
	if err := l.write(ctx, l.tables.Messages, rows); err != nil {
		return fmt.Errorf("set-aside rows of batch %s: %w", b.Key(), err)
	}
	if clean {
		return nil // nothing of this batch is there yet
	}
	there, err := l.AsidesOf(ctx, b.Corp, b.Key())
	if err != nil {
		return err
	}
	for _, a := range there {
		if !keep[a.Key()] {
			if err := l.remove(ctx, l.tables.Messages, asidePK(a.Corp), a.Key()); err != nil {
				return err
			}
		}
	}
	return nil
}

// What may be different about a derived row, seen from the table that is judged.
const (
	Missing = "missing"
	Altered = "altered"
	Extra   = "extra"
)

// Difference is a derived row that is not as it should be. It names keys and attributes and holds no values.
type Difference struct {
	Kind       string // the first word of the row's key: msg, parts, person, room, robot, recall, finding, aside
	What       string // Missing, Altered or Extra
	PK, SK     string
	Attributes []string // of an altered row: those that differ
	Batch      string   // of the row that is there: the batch that it names; "" if it names none
}

// Batches are the batches that derived rows may come from, by BatchRow.Key.
type Batches map[string]BatchSpan

// BatchSpan is what of a batch a derived row may show.
type BatchSpan struct {
	First, Last archive.Seq
	Pulled      time.Time
}

// Differences holds this ledger's derived rows of a corp against those of another, which are as they should be, and calls f for each that is
// missing, altered or too many; rows, which may be nil, is told how many of its
// own and then of the other's were compared. Where batches overlap, a message that came in several names
// the one that was opened last: any of them is right.
func (l *Ledger) Differences(ctx context.Context, should *Ledger, corp archive.CorpID, batches Batches, rows func(own bool, n int), f func(Difference) error) error {
	err := l.scan(ctx, corp, func(have []item) error {
		want, err := should.byKey(ctx, have)
		if err != nil {
			return err
		}
		for _, it := range have {
			if d, differs := differ(want[place(it)], it, batches); differs {
				if err := f(d); err != nil {
					return err
				}
			}
		}
		if rows != nil {
			rows(true, len(have))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return should.scan(ctx, corp, func(want []item) error {
		have, err := l.byKey(ctx, want)
		if err != nil {
			return err
		}
		for _, it := range want {
			if have[place(it)] == nil {
				if err := f(difference(it, Missing)); err != nil {
					return err
				}
			}
		}
		if rows != nil {
			rows(false, len(want))
		}
		return nil
	})
}

// StillDiffer looks again at rows that were different, and returns those that are.
func (l *Ledger) StillDiffer(ctx context.Context, should *Ledger, batches Batches, found []Difference) ([]Difference, error) {
	keys := make([]item, len(found))
	for i, d := range found {
		keys[i] = key(d.PK, d.SK)
	}
	want, err := should.byKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	have, err := l.byKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	var still []Difference
	for _, k := range keys {
		w, h := want[place(k)], have[place(k)]
		switch {
		case w == nil && h == nil:
		case h == nil:
			still = append(still, difference(w, Missing))
		default:
			if d, differs := differ(w, h, batches); differs {
				still = append(still, d)
			}
		}
	}
	return still, nil
}

// MendRows writes rows as the other ledger has them: missing and altered ones are put, those that are too many are removed. A row that was not found
// to be too many is never removed.
func (l *Ledger) MendRows(ctx context.Context, should *Ledger, found []Difference) error {
	keys := make([]item, len(found))
	for i, d := range found {
		keys[i] = key(d.PK, d.SK)
	}
	want, err := should.byKey(ctx, keys)
	if err != nil {
		return err
	}
	if err := l.write(ctx, l.tables.Messages, slices.Collect(maps.Values(want))); err != nil {
		return err
	}
	for _, d := range found {
		if d.What != Extra || want[place(key(d.PK, d.SK))] != nil {
			continue
		}
		if err := l.remove(ctx, l.tables.Messages, d.PK, d.SK); err != nil {
			return err
		}
	}
	return nil
}

// byKey reads the rows that have the keys of others.
func (l *Ledger) byKey(ctx context.Context, like []item) (map[string]item, error) {
	keys := make([]item, len(like))
	for i, it := range like {
		keys[i] = item{"pk": it["pk"], "sk": it["sk"]}
	}
	rows, err := l.fetch(ctx, l.tables.Messages, keys)
	if err != nil {
		return nil, err
	}
	out := make(map[string]item, len(rows))
	for _, it := range rows {
		out[place(it)] = it
	}
	return out, nil
}

func place(it item) string { return getStr(it, "pk") + "\x00" + getStr(it, "sk") }

func difference(it item, what string) Difference {
	kind, _, _ := strings.Cut(getStr(it, "pk"), "#")
	return Difference{Kind: kind, What: what, PK: getStr(it, "pk"), SK: getStr(it, "sk"), Batch: getStr(it, "batch")}
}

func differ(want, have item, batches Batches) (Difference, bool) {
	if want == nil {
		return difference(have, Extra), true
	}
	d := difference(have, Altered)
	for name := range want {
		if !reflect.DeepEqual(want[name], have[name]) {
			d.Attributes = append(d.Attributes, name)
		}
	}
	for name := range have {
		if want[name] == nil {
			d.Attributes = append(d.Attributes, name)
		}
	}
	slices.Sort(d.Attributes)
	if len(d.Attributes) == 0 || len(d.Attributes) == 1 && batches.explain(d.Kind, d.Attributes[0], have) {
		return Difference{}, false
	}
	return d, true
}

// explain says whether an attribute depends on which of several overlapping batches was opened last, and has what one of them gives it.
func (b Batches) explain(kind, attribute string, have item) bool {
	parts := strings.Split(getStr(have, "sk"), "#")
	text := parts[len(parts)-1]
	if kind == "msg" && len(parts) == 3 {
		text = parts[1]
	}
	seq, err := archive.ParseSeq(text)
	if err != nil {
		return false
	}
	switch {
	case (kind == "msg" || kind == "recall") && attribute == "batch":
		span, known := b[getStr(have, "batch")]
		return known && span.First <= seq && seq <= span.Last
	case kind == "finding" && attribute == "time":
		for _, span := range b {
			if span.First <= seq && seq <= span.Last && stamp(span.Pulled) == getStr(have, "time") {
				return true
			}
		}
	}
	return false
}

// ReplaceSegment lets a batch name a segment that was written anew in the place of one whose bytes are gone or were changed, and returns the batch's
// row as it is then; one that says so already, after an answer that was lost, is as good. It returns ErrLost if the batch's segments are neither.
func (l *Ledger) ReplaceSegment(ctx context.Context, b BatchRow, old, made string) (BatchRow, error) {
	var segments []string
	for _, s := range b.Segments {
		if s == old {
			s = made
		}
		if !slices.Contains(segments, s) {
			segments = append(segments, s)
		}
	}
	row, err := l.update(ctx, l.tables.Control, batchPK(b.Corp), b.Key(), "SET #segments = :made", "#segments = :old",
		map[string]string{"#segments": "segments"}, item{":made": list(segments), ":old": list(b.Segments)})
	if there, refused := refusedRow(err); refused {
		if slices.Equal(getList(there, "segments"), segments) {
			return batchOf(there), nil
		}
		return BatchRow{}, fmt.Errorf("segments of batch %s: %w", b.Key(), ErrLost)
	}
	if err != nil {
		return BatchRow{}, err
	}
	return batchOf(row), nil
}
