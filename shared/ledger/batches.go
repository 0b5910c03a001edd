package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// The states of a batch.
const (
	Pending = "pending" // kept, not yet opened
	Done    = "done"    // each item is archived or set aside
)

// BatchRow is what the ledger knows of a batch.
type BatchRow struct {
	Corp    archive.CorpID
	First   archive.Seq
	Last    archive.Seq
	Items   int
	SHA256  string // lower-case hex, of the bytes as received
	Size    int    // bytes as received
	Object  string // key in the archive bucket
	Version string // version id of the object

	After      archive.Seq // it was asked for as what follows this seq: nothing lies between it and First
	AfterKnown bool        // false in rows of before this was recorded, and in rows made anew
	Pulled     time.Time
	CaughtUp   time.Time // when the corp was last known to be caught up before this pull; zero: never
	Prev       string    // hash of the previous link
	Link       Link

	State    string
	Archived int      // items archived so far
	SetAside int      // items set aside now
	Segments []string // keys of its segments in the archive bucket, oldest first
	Slot     string   // which run of process may set items of this batch aside
	Failure  string   // of a pending batch: why process last gave it up, in financesdk's word for the cause; "" if it never did

	Announced     time.Time // when watch last enqueued it again; zero: never
	Announcements int       // how often watch did
}

// Key is the batch's sort key and its name in jobs: <first>-<last>-<first 32 hex digits of the hash>.
func (b BatchRow) Key() string { return b.First.Key() + "-" + b.Last.Key() + "-" + b.SHA256[:32] }

// PutBatch records a batch as pending. When the same batch is recorded already, it returns the row that is there, whatever its state.
func (l *Ledger) PutBatch(ctx context.Context, b BatchRow) (BatchRow, error) {
	b.State, b.Archived, b.SetAside, b.Segments = Pending, 0, 0, nil
	err := l.put(ctx, l.tables.Control, b.row(), "attribute_not_exists(pk)", nil)
	if row, refused := refusedRow(err); refused {
		there := batchOf(row)
		if b.AfterKnown && there.AfterKnown && b.After < there.After {
			return l.askedFrom(ctx, there, b.After)
		}
		return there, nil
	}
	if err != nil {
		return BatchRow{}, err
	}
	return b, nil
}

// RestoreBatch writes the row of a batch as it must have been, its state and segments included: for a ledger that is made anew from the archive. A row
// that is there stays as it is.
func (l *Ledger) RestoreBatch(ctx context.Context, b BatchRow) error {
	err := l.put(ctx, l.tables.Control, b.row(), "attribute_not_exists(pk)", nil)
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

func (b BatchRow) row() item {
	it := key(batchPK(b.Corp), b.Key())
	it["corp"], it["first"], it["last"], it["items"] = str(string(b.Corp)), num(uint64(b.First)), num(uint64(b.Last)), count(b.Items)
	it["sha256"], it["size"], it["object"], it["version"] = str(b.SHA256), count(b.Size), str(b.Object), str(b.Version)
	it["pulled"], it["caught_up"] = when(b.Pulled), when(b.CaughtUp)
	it["prev"], it["chain_n"], it["chain_hash"] = str(b.Prev), num(b.Link.N), str(b.Link.Hash)
	it["state"], it["archived"], it["set_aside"], it["segments"] = str(b.State), count(b.Archived), count(b.SetAside), list(b.Segments)
	if b.AfterKnown {
		it["after"] = num(uint64(b.After))
	}
	if b.Slot != "" {
		it["slot"] = str(b.Slot) // of a row that is made anew: what its items were set aside for before is looked at again
	}
	return it
}

// askedFrom records that a batch came again as what follows a lower seq: nothing lies between them either.
func (l *Ledger) askedFrom(ctx context.Context, b BatchRow, after archive.Seq) (BatchRow, error) {
	it, err := l.update(ctx, l.tables.Control, batchPK(b.Corp), b.Key(), "SET #after = :after", "attribute_exists(pk)",
		map[string]string{"#after": "after"}, item{":after": num(uint64(after))})
	if err != nil {
		return BatchRow{}, err
	}
	return batchOf(it), nil
}

// Batch reads a batch's row, or returns an error that wraps ErrAbsent.
func (l *Ledger) Batch(ctx context.Context, corp archive.CorpID, batchKey string) (BatchRow, error) {
	it, err := l.get(ctx, l.tables.Control, batchPK(corp), batchKey)
	if err != nil {
		return BatchRow{}, err
	}
	return batchOf(it), nil
}

// Batches calls f for a corp's batches in the order of their first seqs, from the one with the given key on ("" for all), until f returns
// false. Overlapping batches are legal.
func (l *Ledger) Batches(ctx context.Context, corp archive.CorpID, from string, f func(BatchRow) bool) error {
	return l.each(ctx, l.tables.Control, batchPK(corp), bounds{from: from, consistent: true}, func(it item) bool { return f(batchOf(it)) })
}

// BatchesBack calls f for a corp's batches from the one with the highest first seq down, until f returns false: a day's report needs the
// newest only.
func (l *Ledger) BatchesBack(ctx context.Context, corp archive.CorpID, f func(BatchRow) bool) error {
	return l.each(ctx, l.tables.Control, batchPK(corp), bounds{descending: true, consistent: true}, func(it item) bool { return f(batchOf(it)) })
}

// BatchAfter returns the first batch whose first seq lies above seq: one that was recorded before a crash kept the cursor from moving over
// it. ok is false if there is none.
func (l *Ledger) BatchAfter(ctx context.Context, corp archive.CorpID, seq archive.Seq) (b BatchRow, ok bool, err error) {
	if seq == ^archive.Seq(0) {
		return BatchRow{}, false, nil
	}
	err = l.each(ctx, l.tables.Control, batchPK(corp), bounds{from: (seq + 1).Key(), consistent: true, limit: 1}, func(it item) bool {
		b, ok = batchOf(it), true
		return false
	})
	return b, ok, err
}

// ClaimSlot makes run the only one that may set items of a pending batch aside, and returns the run that could before, "" if none. It
// returns ErrLost when the batch is done.
func (l *Ledger) ClaimSlot(ctx context.Context, b BatchRow, run string) (before string, err error) {
	out, err := l.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &l.tables.Control, Key: key(batchPK(b.Corp), b.Key()),
		UpdateExpression: aws.String("SET slot = :run"), ConditionExpression: aws.String("#state = :pending"),
		ExpressionAttributeNames: map[string]string{"#state": "state"}, ExpressionAttributeValues: item{":run": str(run), ":pending": str(Pending)},
		ReturnValues: types.ReturnValueAllOld,
	})
	if _, refused := refusedRow(err); refused {
		return "", fmt.Errorf("claim batch %s: %w", b.Key(), ErrLost)
	}
	if err != nil {
		return "", fmt.Errorf("claim batch %s: %w", b.Key(), err)
	}
	return getStr(out.Attributes, "slot"), nil
}

// FinishBatch marks a pending batch done, if nobody but run has set items of it aside. segment may be "" when nothing could be archived. A
// batch that is already done is left as it is. It returns ErrLost when another run has claimed the slot: the caller starts over.
func (l *Ledger) FinishBatch(ctx context.Context, b BatchRow, run string, archived, setAside int, segment string) error {
	expression := "SET #state = :done, archived = :archived, set_aside = :set_aside"
	values := item{":done": str(Done), ":pending": str(Pending), ":archived": count(archived), ":set_aside": count(setAside), ":run": str(run)}
	names := map[string]string{"#state": "state"}
	if segment != "" {
		names["#segments"] = "segments"
		expression += ", #segments = :segments"
		values[":segments"] = list([]string{segment})
	}
	_, err := l.update(ctx, l.tables.Control, batchPK(b.Corp), b.Key(), expression,
		"#state = :pending AND (attribute_not_exists(slot) OR slot = :run)", names, values)
	if row, refused := refusedRow(err); refused {
		if getStr(row, "state") == Done {
			return nil
		}
		return fmt.Errorf("finish batch %s: %w", b.Key(), ErrLost)
	}
	return err
}

// BatchRestored records under which version a batch's bytes are found since the version that was kept is gone.
func (l *Ledger) BatchRestored(ctx context.Context, b BatchRow, version string) error {
	_, err := l.update(ctx, l.tables.Control, batchPK(b.Corp), b.Key(), "SET #version = :new", "#version = :old",
		map[string]string{"#version": "version"}, item{":new": str(version), ":old": str(b.Version)})
	if _, refused := refusedRow(err); refused {
		return fmt.Errorf("batch %s: %w", b.Key(), ErrLost)
	}
	return err
}

// BatchFailed records why process gave a pending batch up for now. A batch that is done meanwhile stays as it is.
func (l *Ledger) BatchFailed(ctx context.Context, b BatchRow, cause string) error {
	_, err := l.update(ctx, l.tables.Control, batchPK(b.Corp), b.Key(), "SET failure = :cause", "#state = :pending",
		map[string]string{"#state": "state"}, item{":cause": str(cause), ":pending": str(Pending)})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// Watermark is the key below which every batch of the corp was done when last looked at.
func (l *Ledger) Watermark(ctx context.Context, corp archive.CorpID) (string, error) {
	it, err := l.get(ctx, l.tables.Control, watchPK(corp), "watermark")
	if errors.Is(err, ErrAbsent) {
		return "", nil
	}
	return getStr(it, "batch"), err
}

// SetWatermark moves the watermark. Setting it too low costs reads; it must never be set above a pending batch.
func (l *Ledger) SetWatermark(ctx context.Context, corp archive.CorpID, batchKey string) error {
	it := key(watchPK(corp), "watermark")
	it["batch"] = str(batchKey)
	return l.put(ctx, l.tables.Control, it, "", nil)
}

func batchOf(it item) BatchRow {
	return BatchRow{
		After: archive.Seq(getNum(it, "after")), AfterKnown: it["after"] != nil,
		Corp: archive.CorpID(getStr(it, "corp")), First: archive.Seq(getNum(it, "first")), Last: archive.Seq(getNum(it, "last")),
		Items: getCount(it, "items"), SHA256: getStr(it, "sha256"), Size: getCount(it, "size"),
		Object: getStr(it, "object"), Version: getStr(it, "version"), Pulled: getTime(it, "pulled"), CaughtUp: getTime(it, "caught_up"),
		Prev: getStr(it, "prev"), Link: Link{N: getNum(it, "chain_n"), Hash: getStr(it, "chain_hash")},
		State: getStr(it, "state"), Archived: getCount(it, "archived"), SetAside: getCount(it, "set_aside"),
		Segments: getList(it, "segments"), Slot: getStr(it, "slot"),
		Failure: getStr(it, "failure"), Announced: getTime(it, "announced"), Announcements: getCount(it, "announcements"),
	}
}

// BatchAnnounced records that a pending batch was enqueued again. A batch that is done meanwhile stays as it is.
func (l *Ledger) BatchAnnounced(ctx context.Context, b BatchRow, at time.Time) error {
	_, err := l.update(ctx, l.tables.Control, batchPK(b.Corp), b.Key(), "SET announced = :at, announcements = :n", "#state = :pending",
		map[string]string{"#state": "state"}, item{":at": when(at), ":n": count(b.Announcements + 1), ":pending": str(Pending)})
	if _, refused := refusedRow(err); refused {
		return nil
	}
	return err
}

// The reasons for which an item is set aside that a key can mend.
const (
	ReasonNoKey         = "no-key"           // no key of its version is held
	ReasonKeyDoesNotFit = "key-does-not-fit" // the key held for its version does not open it
)

// ReasonMissing is why an item is set aside that was found to be neither archived nor set aside.
const ReasonMissing = "missing"

// Aside is an item that can't be opened, or not yet.
type Aside struct {
	Corp       archive.CorpID
	Reason     string // fault.Reason
	KeyVersion archive.KeyVersion
	Seq        archive.Seq
	MsgID      archive.MsgID
	Batch      string // BatchRow.Key
	Index      int    // place in the batch
	Since      time.Time
	Clock      time.Time // when the attachments it may name began to age: last time caught up before its batch; zero: unknown
}

// Aside is the row of an item of this batch that is set aside.
func (b BatchRow) Aside(item archive.ChatData, reason string, since time.Time) Aside {
	return Aside{
		Corp: b.Corp, Reason: reason, KeyVersion: item.KeyVersion, Seq: item.Seq, MsgID: item.MsgID, Batch: b.Key(), Index: item.Index,
		Since: since, Clock: b.CaughtUp,
	}
}

// Key is the sort key: it lists by reason, then key version, then seq.
func (a Aside) Key() string {
	return a.group() + a.Seq.Key() + "#" + a.Batch
}

func (a Aside) row() item {
	it := key(asidePK(a.Corp), a.Key())
	it["corp"], it["reason"], it["key_version"], it["seq"] = str(string(a.Corp)), str(a.Reason), num(uint64(a.KeyVersion)), num(uint64(a.Seq))
	it["msgid"], it["batch"], it["place"], it["since"], it["clock"] = str(string(a.MsgID)), str(a.Batch), count(a.Index), when(a.Since), when(a.Clock)
	return it
}

func asideOf(it item) Aside {
	return Aside{
		Corp: archive.CorpID(getStr(it, "corp")), Reason: getStr(it, "reason"), KeyVersion: archive.KeyVersion(getNum(it, "key_version")), // #nosec G115 -- written from a KeyVersion
		Seq: archive.Seq(getNum(it, "seq")), MsgID: archive.MsgID(getStr(it, "msgid")), Batch: getStr(it, "batch"), Index: getCount(it, "place"),
		Since: getTime(it, "since"), Clock: getTime(it, "clock"),
	}
}

// inTransaction is how many rows besides the batch's own one transaction may change; DynamoDB takes 100 actions.
const inTransaction = 99

// SetAside writes set-aside rows of a pending batch whose slot run holds, and removes rows that an earlier run wrote and that no longer
// hold. It returns ErrLost when the slot is gone or the batch is done.
func (l *Ledger) SetAside(ctx context.Context, b BatchRow, run string, put, remove []Aside) error {
	var actions []types.TransactWriteItem
	for _, a := range put {
		actions = append(actions, types.TransactWriteItem{Put: &types.Put{TableName: &l.tables.Messages, Item: a.row()}})
	}
	for _, a := range remove {
		actions = append(actions, types.TransactWriteItem{Delete: &types.Delete{TableName: &l.tables.Messages, Key: key(asidePK(a.Corp), a.Key())}})
	}
	for len(actions) > 0 {
		n := min(len(actions), inTransaction)
		part := append([]types.TransactWriteItem{{ConditionCheck: &types.ConditionCheck{
			TableName: &l.tables.Control, Key: key(batchPK(b.Corp), b.Key()), ConditionExpression: aws.String("#state = :pending AND slot = :run"),
			ExpressionAttributeNames: map[string]string{"#state": "state"}, ExpressionAttributeValues: item{":pending": str(Pending), ":run": str(run)},
		}}}, actions[:n]...)
		actions = actions[n:]
		if err := l.transact(ctx, part); err != nil {
			return fmt.Errorf("set aside items of batch %s: %w", b.Key(), err)
		}
	}
	return nil
}

// Miss sets items of a done batch aside that are found to be neither archived nor set aside, and corrects the batch's counts and its list of
// segments. It returns ErrLost if the batch has changed since b was read.
func (l *Ledger) Miss(ctx context.Context, b BatchRow, missing []Aside, archived, setAside int, segments []string) error {
	for len(missing) > 0 {
		n := min(len(missing), inTransaction)
		var part []types.TransactWriteItem
		for _, a := range missing[:n] {
			part = append(part, types.TransactWriteItem{Put: &types.Put{TableName: &l.tables.Messages, Item: a.row()}})
		}
		missing = missing[n:]
		// Until the last part the count of those set aside lags behind.
		now := setAside - len(missing)
		part = append(part, types.TransactWriteItem{Update: &types.Update{
			TableName: &l.tables.Control, Key: key(batchPK(b.Corp), b.Key()), UpdateExpression: aws.String("SET archived = :archived, set_aside = :now, #segments = :segments"),
			ConditionExpression:       aws.String("#state = :done AND archived = :old_archived AND set_aside = :old"),
			ExpressionAttributeNames:  map[string]string{"#state": "state", "#segments": "segments"},
			ExpressionAttributeValues: item{":done": str(Done), ":segments": list(segments), ":archived": count(archived), ":now": count(now), ":old_archived": count(b.Archived), ":old": count(b.SetAside)},
		}})
		if err := l.transact(ctx, part); err != nil {
			return fmt.Errorf("set missing items of batch %s aside: %w", b.Key(), err)
		}
		b.Archived, b.SetAside = archived, now
	}
	return nil
}

// CloseAside ends set-aside rows of a done batch whose items are archived now in segment: the rows vanish in the transaction that counts
// them archived. moved replaces rows whose reason has changed. It returns ErrLost if another run closed one of them meanwhile: the
// caller reads the rows again.
func (l *Ledger) CloseAside(ctx context.Context, b BatchRow, closed []Aside, segment string, moved [][2]Aside) error {
	for len(closed) > 0 {
		n := min(len(closed), inTransaction)
		var part []types.TransactWriteItem
		for _, a := range closed[:n] {
			part = append(part, l.removeAside(a))
		}
		closed = closed[n:]
		part = append(part, types.TransactWriteItem{Update: &types.Update{
			TableName: &l.tables.Control, Key: key(batchPK(b.Corp), b.Key()),
			UpdateExpression: aws.String("SET archived = archived + :n, set_aside = set_aside - :n, #segments = list_append(#segments, :segment)"),
			// The same segment may be listed twice when a close takes several transactions; readers take each seq once.
			ConditionExpression:       aws.String("#state = :done"),
			ExpressionAttributeNames:  map[string]string{"#state": "state", "#segments": "segments"},
			ExpressionAttributeValues: item{":n": count(n), ":segment": list([]string{segment}), ":done": str(Done)},
		}})
		if err := l.transact(ctx, part); err != nil {
			return fmt.Errorf("close set-aside items of batch %s: %w", b.Key(), err)
		}
	}
	for _, m := range moved {
		err := l.transact(ctx, []types.TransactWriteItem{l.removeAside(m[0]), {Put: &types.Put{TableName: &l.tables.Messages, Item: m[1].row()}}})
		if err != nil {
			return fmt.Errorf("set seq %s of batch %s aside for another reason: %w", m[1].Seq, b.Key(), err)
		}
	}
	return nil
}

func (l *Ledger) removeAside(a Aside) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &l.tables.Messages, Key: key(asidePK(a.Corp), a.Key()), ConditionExpression: aws.String("attribute_exists(pk)")}}
}

// transact runs the actions as one. A failed condition is ErrLost; a conflict with another transaction is retried by the SDK and then
// retryable. The SDK gives each call a token of its own, so that a repeat of a lost answer is the same transaction.
func (l *Ledger) transact(ctx context.Context, actions []types.TransactWriteItem) error {
	_, err := l.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: actions})
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		for _, r := range cancelled.CancellationReasons {
			if aws.ToString(r.Code) == "ConditionalCheckFailed" {
				return ErrLost
			}
		}
	}
	return err
}

// Asides calls f for a corp's set-aside rows by reason, key version and seq until f returns false. reason "" means all; version 0 means all
// of that reason.
func (l *Ledger) Asides(ctx context.Context, corp archive.CorpID, reason string, version archive.KeyVersion, f func(Aside) bool) error {
	b := bounds{consistent: true}
	if reason != "" {
		b.prefix = reason + "#"
		if version != 0 {
			b.prefix = fmt.Sprintf("%s#%010d#", reason, uint32(version))
		}
	}
	return l.each(ctx, l.tables.Messages, asidePK(corp), b, func(it item) bool { return f(asideOf(it)) })
}

// AsidesFrom calls f for the set-aside rows of one reason and key version whose seq is not below from.
func (l *Ledger) AsidesFrom(ctx context.Context, corp archive.CorpID, reason string, version archive.KeyVersion, from archive.Seq, f func(Aside) bool) error {
	low, high := Aside{Reason: reason, KeyVersion: version, Seq: from}.Key(), Aside{Reason: reason, KeyVersion: version}.group()+"~"
	return l.each(ctx, l.tables.Messages, asidePK(corp), bounds{from: low, to: high, consistent: true}, func(it item) bool { return f(asideOf(it)) })
}

// CheckedTo is the batch up to which the last check of the corp that ran out of time had come; "" if it came to the end.
func (l *Ledger) CheckedTo(ctx context.Context, corp archive.CorpID) (string, error) {
	it, err := l.get(ctx, l.tables.Control, watchPK(corp), "checked")
	if errors.Is(err, ErrAbsent) {
		return "", nil
	}
	return getStr(it, "batch"), err
}

// SetCheckedTo records how far a check came; "" for the end.
func (l *Ledger) SetCheckedTo(ctx context.Context, corp archive.CorpID, batchKey string) error {
	it := key(watchPK(corp), "checked")
	it["batch"] = str(batchKey)
	return l.put(ctx, l.tables.Control, it, "", nil)
}

// Redriven says when the items set aside for one reason under one key version were last put back to work, all of them, and how often; zero:
// never.
type Redriven struct {
	At    time.Time
	Times int
}

func redrivenSK(reason string, version archive.KeyVersion) string {
	return "redriven#" + Aside{Reason: reason, KeyVersion: version}.group()
}

// Redriven reads when a group of set-aside items was last put back to work.
func (l *Ledger) Redriven(ctx context.Context, corp archive.CorpID, reason string, version archive.KeyVersion) (Redriven, error) {
	it, err := l.get(ctx, l.tables.Control, watchPK(corp), redrivenSK(reason, version))
	if errors.Is(err, ErrAbsent) {
		return Redriven{}, nil
	}
	return Redriven{At: getTime(it, "at"), Times: getCount(it, "times")}, err
}

// SetRedriven records that a group of set-aside items was put back to work.
func (l *Ledger) SetRedriven(ctx context.Context, corp archive.CorpID, reason string, version archive.KeyVersion, r Redriven) error {
	it := key(watchPK(corp), redrivenSK(reason, version))
	it["at"], it["times"] = when(r.At), count(r.Times)
	return l.put(ctx, l.tables.Control, it, "", nil)
}

// AsideGroup is how many items are set aside for one reason under one key version.
type AsideGroup struct {
	First Aside // the one of the lowest seq
	Count int
}

// AsideGroups counts a corp's set-aside rows without reading them out.
func (l *Ledger) AsideGroups(ctx context.Context, corp archive.CorpID) ([]AsideGroup, error) {
	var groups []AsideGroup
	err := l.asideGroups(ctx, corp, func(first Aside) error {
		n, err := l.count(ctx, l.tables.Messages, asidePK(corp), first.group())
		groups = append(groups, AsideGroup{First: first, Count: n})
		return err
	})
	return groups, err
}

// AsideFirsts lists the first row of each reason and key version for which items are set aside: one read each, and one that finds no more. A corp with nothing
// set aside costs that one.
func (l *Ledger) AsideFirsts(ctx context.Context, corp archive.CorpID) ([]Aside, error) {
	var firsts []Aside
	err := l.asideGroups(ctx, corp, func(first Aside) error {
		firsts = append(firsts, first)
		return nil
	})
	return firsts, err
}

// asideGroups calls f for the first row of each reason and key version, one short query a group however many rows it has.
func (l *Ledger) asideGroups(ctx context.Context, corp archive.CorpID, f func(first Aside) error) error {
	from := ""
	for {
		var first *Aside
		err := l.each(ctx, l.tables.Messages, asidePK(corp), bounds{from: from, consistent: true, limit: 1}, func(it item) bool {
			a := asideOf(it)
			first = &a
			return false
		})
		if err != nil || first == nil {
			return err
		}
		if err := f(*first); err != nil {
			return err
		}
		from = first.group() + "~" // behind all digits
	}
}

// group is what the keys of rows with the same reason and key version begin with.
func (a Aside) group() string { return fmt.Sprintf("%s#%010d#", a.Reason, uint32(a.KeyVersion)) }

// AsidesIn lists the set-aside rows of one batch that have the given reason and key version.
func (l *Ledger) AsidesIn(ctx context.Context, b BatchRow, reason string, version archive.KeyVersion) ([]Aside, error) {
	var rows []Aside
	low, high := Aside{Reason: reason, KeyVersion: version, Seq: b.First}.Key(), Aside{Reason: reason, KeyVersion: version, Seq: b.Last, Batch: "~"}.Key()
	err := l.each(ctx, l.tables.Messages, asidePK(b.Corp), bounds{from: low, to: high, consistent: true}, func(it item) bool {
		if a := asideOf(it); a.Batch == b.Key() {
			rows = append(rows, a)
		}
		return true
	})
	return rows, err
}

// AsidesOf lists the set-aside rows of one batch. It reads all rows of the corp: for the rare cases only.
func (l *Ledger) AsidesOf(ctx context.Context, corp archive.CorpID, batchKey string) ([]Aside, error) {
	var rows []Aside
	err := l.Asides(ctx, corp, "", 0, func(a Aside) bool {
		if a.Batch == batchKey {
			rows = append(rows, a)
		}
		return true
	})
	return rows, err
}
