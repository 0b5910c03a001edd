package ddb_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"
)

// entry is an item as the model keeps it: nothing but plain Go values, so that the model shares no idea with the store.
type entry struct {
	room string
	seq  float64
	tag  string // "" is absent
	rank float64
	hits int
}

func (e entry) row() row {
	it := merge(key(e.room, e.seq), row{"hits": n(e.hits), "rank": n(e.rank)})
	if e.tag != "" {
		it["tag"] = s(e.tag)
	}
	return it
}

type place struct {
	room string
	seq  float64
}

// model is the whole table in memory.
type model map[place]entry

// sorted returns the entries that pass, by the given order.
func (m model) sorted(keep func(entry) bool, order func(a, b entry) int, backward bool) []entry {
	out := slices.DeleteFunc(slices.Collect(maps.Values(m)), func(e entry) bool { return !keep(e) })
	slices.SortFunc(out, order)
	if backward {
		slices.Reverse(out)
	}
	return out
}

func bySeq(a, b entry) int { return sign(a.seq - b.seq) }

func byRank(a, b entry) int {
	if c := sign(a.rank - b.rank); c != 0 {
		return c
	}
	if c := strings.Compare(a.room, b.room); c != 0 {
		return c
	}
	return bySeq(a, b)
}

func sign(f float64) int {
	switch {
	case f < 0:
		return -1
	case f > 0:
		return 1
	default:
		return 0
	}
}

func names(list []entry) string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = fmt.Sprintf("%s/%g hits %d", e.room, e.seq, e.hits)
	}
	return strings.Join(out, ", ")
}

func shown(t *rapid.T, items []row) string {
	out := make([]string, len(items))
	for i, it := range items {
		seq, err := strconv.ParseFloat(text(it["seq"]), 64)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = fmt.Sprintf("%s/%g hits %s", text(it["room"]), seq, text(it["hits"]))
	}
	return strings.Join(out, ", ")
}

var (
	someRooms = rapid.SampledFrom([]string{"a", "a\x00b", "会", "z"})
	someSeqs  = rapid.SampledFrom([]float64{-100, -12.5, -2, 0, 0.25, 1, 2, 10, 11.75, 100, 9007199254740993})
	someTags  = rapid.SampledFrom([]string{"", "red", "blue"})
)

func drawn(t *rapid.T) entry {
	return entry{room: someRooms.Draw(t, "room"), seq: someSeqs.Draw(t, "seq"), tag: someTags.Draw(t, "tag"), rank: someSeqs.Draw(t, "rank"), hits: rapid.IntRange(0, 9).Draw(t, "hits")}
}

// paged asks again and again until the last page and returns all items.
func paged(t *rapid.T, r *rig, in *dynamodb.QueryInput) []row {
	var out []row
	for range 1000 {
		o, err := r.Query(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o.Items...)
		if len(o.LastEvaluatedKey) == 0 {
			return out
		}
		in.ExclusiveStartKey = o.LastEvaluatedKey
	}
	t.Fatal("the pages never end")
	return nil
}

func TestHistoriesEndAsInAPlainMap(t *testing.T) {
	r := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := r.CreateTable(ctx, roomsTable()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := r.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(rooms)}); err != nil {
				t.Fatal(err)
			}
		}()
		h := &history{r: r, m: model{}}
		t.Repeat(map[string]func(*rapid.T){
			"put": h.put, "put if absent": h.putIfAbsent, "update": h.update, "delete": h.delete, "transaction": h.transaction, "batch": h.batch,
			"query": h.query, "index": h.index, "": h.scan,
		})
	})
}

type history struct {
	r *rig
	m model
}

func (h *history) put(t *rapid.T) {
	e := drawn(t)
	if _, err := h.r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: e.row()}); err != nil {
		t.Fatal(err)
	}
	h.m[place{e.room, e.seq}] = e
}

func (h *history) putIfAbsent(t *rapid.T) {
	e := drawn(t)
	_, err := h.r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: e.row(), ConditionExpression: aws.String("attribute_not_exists(room)")})
	if _, there := h.m[place{e.room, e.seq}]; there {
		if code(err) != "ConditionalCheckFailedException" {
			t.Fatalf("put over %s/%g: %v", e.room, e.seq, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	h.m[place{e.room, e.seq}] = e
}

// update moves an entry within the index and counts, but only where there is one.
func (h *history) update(t *rapid.T) {
	e := drawn(t)
	expression, values := "SET #rank = :rank ADD hits :one REMOVE tag", row{":rank": n(e.rank), ":one": n(1)}
	if e.tag != "" {
		expression = "SET #rank = :rank, tag = :tag ADD hits :one"
		values[":tag"] = s(e.tag)
	}
	_, err := h.r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key(e.room, e.seq), UpdateExpression: &expression,
		ConditionExpression: aws.String("attribute_exists(room)"), ExpressionAttributeValues: values, ExpressionAttributeNames: map[string]string{"#rank": "rank"}})
	old, there := h.m[place{e.room, e.seq}]
	if !there {
		if code(err) != "ConditionalCheckFailedException" {
			t.Fatalf("update of nothing: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	e.hits = old.hits + 1
	h.m[place{e.room, e.seq}] = e
}

func (h *history) delete(t *rapid.T) {
	e := drawn(t)
	if _, err := h.r.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String(rooms), Key: key(e.room, e.seq)}); err != nil {
		t.Fatal(err)
	}
	delete(h.m, place{e.room, e.seq})
}

// transaction puts one entry if another one is there.
func (h *history) transaction(t *rapid.T) {
	e, guard := drawn(t), drawn(t)
	_, err := h.r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String(rooms), Item: e.row()}},
		{ConditionCheck: &types.ConditionCheck{TableName: aws.String(rooms), Key: key(guard.room, guard.seq), ConditionExpression: aws.String("attribute_exists(room)")}},
	}})
	_, there := h.m[place{guard.room, guard.seq}]
	want := ""
	switch {
	case e.room == guard.room && e.seq == guard.seq:
		want = "ValidationException"
	case !there:
		want = "TransactionCanceledException"
	default:
		h.m[place{e.room, e.seq}] = e
	}
	if code(err) != want {
		t.Fatalf("transaction: %v, want %q", err, want)
	}
}

func (h *history) batch(t *rapid.T) {
	var list []types.WriteRequest
	after := maps.Clone(h.m)
	touched := map[place]bool{}
	for range rapid.IntRange(1, 6).Draw(t, "writes") {
		e := drawn(t)
		at := place{e.room, e.seq}
		if touched[at] {
			continue
		}
		touched[at] = true
		if rapid.Bool().Draw(t, "delete") {
			list = append(list, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key(e.room, e.seq)}})
			delete(after, at)
		} else {
			list = append(list, types.WriteRequest{PutRequest: &types.PutRequest{Item: e.row()}})
			after[at] = e
		}
	}
	if _, err := h.r.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{rooms: list}}); err != nil {
		t.Fatal(err)
	}
	h.m = after
}

func (h *history) query(t *rapid.T) {
	room, a, b := someRooms.Draw(t, "room"), someSeqs.Draw(t, "a"), someSeqs.Draw(t, "b")
	if b < a {
		a, b = b, a
	}
	backward := rapid.Bool().Draw(t, "backward")
	kind := rapid.SampledFrom([]string{"", "= :a", "< :a", "<= :a", "> :a", ">= :a", "BETWEEN :a AND :b"}).Draw(t, "range")
	in := &dynamodb.QueryInput{TableName: aws.String(rooms), ScanIndexForward: aws.Bool(!backward), Limit: aws.Int32(rapid.Int32Range(1, 5).Draw(t, "limit")),
		KeyConditionExpression: aws.String("room = :r"), ExpressionAttributeValues: row{":r": s(room)}}
	if kind != "" {
		in.KeyConditionExpression = aws.String("seq " + kind + " AND room = :r")
		in.ExpressionAttributeValues[":a"] = n(a)
		if strings.Contains(kind, ":b") {
			in.ExpressionAttributeValues[":b"] = n(b)
		}
	}
	within := map[string]func(float64) bool{"": func(float64) bool { return true }, "= :a": func(f float64) bool { return f == a }, "< :a": func(f float64) bool { return f < a },
		"<= :a": func(f float64) bool { return f <= a }, "> :a": func(f float64) bool { return f > a }, ">= :a": func(f float64) bool { return f >= a },
		"BETWEEN :a AND :b": func(f float64) bool { return f >= a && f <= b }}[kind]
	want := names(h.m.sorted(func(e entry) bool { return e.room == room && within(e.seq) }, bySeq, backward))
	if got := shown(t, paged(t, h.r, in)); got != want {
		t.Fatalf("query %q seq %s (a %g, b %g, backward %t):\ngot  %s\nwant %s", room, kind, a, b, backward, got, want)
	}
}

func (h *history) index(t *rapid.T) {
	tag := rapid.SampledFrom([]string{"red", "blue"}).Draw(t, "tag")
	backward := rapid.Bool().Draw(t, "backward")
	above := someSeqs.Draw(t, "above")
	in := &dynamodb.QueryInput{TableName: aws.String(rooms), IndexName: aws.String("by-tag"), ScanIndexForward: aws.Bool(!backward), Limit: aws.Int32(rapid.Int32Range(1, 5).Draw(t, "limit")),
		KeyConditionExpression: aws.String("tag = :t AND #rank > :above"), ExpressionAttributeNames: map[string]string{"#rank": "rank"},
		FilterExpression: aws.String("hits <> :four"), ExpressionAttributeValues: row{":t": s(tag), ":above": n(above), ":four": n(4)}}
	want := names(h.m.sorted(func(e entry) bool { return e.tag == tag && e.rank > above && e.hits != 4 }, byRank, backward))
	if got := shown(t, paged(t, h.r, in)); got != want {
		t.Fatalf("index %s above %g, backward %t:\ngot  %s\nwant %s", tag, above, backward, got, want)
	}
}

// scan runs after every step: the whole table, in shares, and the sparse index.
func (h *history) scan(t *rapid.T) {
	seen := 0
	for share := range int32(2) {
		o, err := h.r.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(rooms), Segment: aws.Int32(share), TotalSegments: aws.Int32(2)})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range o.Items {
			seen++
			seq, err := strconv.ParseFloat(text(it["seq"]), 64)
			if err != nil {
				t.Fatal(err)
			}
			if e, there := h.m[place{text(it["room"]), seq}]; !there || strconv.Itoa(e.hits) != text(it["hits"]) {
				t.Fatalf("scan found %v, the model has %v", it, e)
			}
		}
	}
	if seen != len(h.m) {
		t.Fatalf("scan found %d items, want %d", seen, len(h.m))
	}
	tagged := len(h.m.sorted(func(e entry) bool { return e.tag != "" }, bySeq, false))
	o, err := h.r.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(rooms), IndexName: aws.String("tags"), Select: types.SelectCount})
	if err != nil || int(o.Count) != tagged {
		t.Fatalf("the index holds %d items, want %d: %v", o.Count, tagged, err)
	}
}
