package judge_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/infra/local/judge"
)

// sized draws an item that has, or nearly has, the given number of bytes by AWS's way of counting, in one of several forms.
func sized(t *rapid.T, g *generator, bytes int) object {
	it := object{"pk": g.partition(), "sk": g.sortKey()}
	used := len("pksk") + len(it["pk"].(object)["S"].(string)) + 2
	fill := func(n int) string { return strings.Repeat("x", max(1, n)) }
	for range rapid.IntRange(0, 3).Draw(t, "small ones") {
		name := fmt.Sprintf("a%d", len(it))
		v := g.value(2)
		it[name] = v
		used += len(name) + 4
	}
	off := rapid.IntRange(-12, 12).Draw(t, "off")
	n := bytes - used + off
	switch pick(g, "form", "S", "B", "L", "M", "SS") {
	case "S":
		it["f"] = object{"S": fill(n)}
	case "B":
		it["f"] = object{"B": strings.Repeat("AAAA", max(1, n/3))}
	case "L":
		it["f"] = object{"L": []any{object{"S": fill(n - 6)}, object{"BOOL": true}, object{"N": "12345"}}}
	case "M":
		it["f"] = object{"M": object{"k": object{"S": fill(n - 8)}, "é": object{"NULL": true}}}
	default:
		it["f"] = object{"SS": []string{fill(n / 2), "y" + fill(n-n/2)}}
	}
	return it
}

// units are the units that an answer says, by table and in sum, or why there are none.
func units(a answer) string {
	if a.Code != "" {
		return a.Code
	}
	var out []string
	read := func(v any) {
		if c, ok := v.(object); ok {
			out = append(out, fmt.Sprint(number(fmt.Sprint(c["CapacityUnits"]))))
		}
	}
	switch c := a.Body["ConsumedCapacity"].(type) {
	case []any:
		for _, one := range c {
			read(one)
		}
	default:
		read(c)
	}
	return strings.Join(out, " ")
}

// TestUnitsAndSizesAreThoseOfTheVendor compares what DynamoDB would charge, and which items it finds too large, with AWS's own program:
// the bill rests on it.
func TestUnitsAndSizesAreThoseOfTheVendor(t *testing.T) {
	theirs := dynamoSide(t, judge.DynamoDBLocal, start(t, judge.DynamoDBLocal).URL)
	us := dynamoSide(t, "ours", ours(t, nil).URL)
	account := newAccount(judge.DynamoDBLocal)
	histories := 0
	repeat(t, budget(t, 8*time.Second), func(r *rapid.T) {
		histories++
		g := &generator{t: r, prefix: fmt.Sprintf("%d-", histories)}
		for range rapid.IntRange(1, 10).Draw(r, "requests") {
			g.fresh()
			bytes := pick(g, "about", 1024, 1024, 2048, 4096, 4096, 8192)
			if g.oneIn(12, "too large") {
				bytes = 400 << 10
			}
			in := object{"TableName": judgedTable, "ReturnConsumedCapacity": "TOTAL"}
			op := pick(g, "operation", "PutItem", "PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "BatchWriteItem", "BatchGetItem", "TransactWriteItems", "TransactGetItems")
			key := object{"pk": g.partition(), "sk": g.sortKey()}
			switch op {
			case "PutItem":
				in["Item"] = sized(r, g, bytes)
				if g.oneIn(3, "conditional") {
					in["ConditionExpression"] = "attribute_not_exists(pk)"
				}
			case "UpdateItem":
				in["Key"], in["UpdateExpression"], in["ExpressionAttributeValues"] = key, "SET f = :f", object{":f": sized(r, g, bytes)["f"]}
			case "DeleteItem":
				in["Key"] = key
			case "GetItem":
				in["Key"], in["ConsistentRead"] = key, g.oneIn(2, "consistent")
			case "Query":
				in["KeyConditionExpression"], in["ExpressionAttributeValues"], in["ConsistentRead"] = "pk = :p", object{":p": g.partition()}, g.oneIn(2, "consistent")
				if g.oneIn(2, "project") {
					in["ProjectionExpression"] = "pk"
				}
			case "BatchWriteItem":
				a, b := sized(r, g, bytes), sized(r, g, bytes)
				a["sk"], b["sk"] = object{"N": "1"}, object{"N": "2"}
				in = object{"ReturnConsumedCapacity": "TOTAL", "RequestItems": object{judgedTable: []any{object{"PutRequest": object{"Item": a}}, object{"PutRequest": object{"Item": b}}}}}
			case "BatchGetItem":
				p := g.partition()
				in = object{"ReturnConsumedCapacity": "TOTAL", "RequestItems": object{judgedTable: object{"ConsistentRead": g.oneIn(2, "consistent"),
					"Keys": []any{object{"pk": p, "sk": object{"N": "1"}}, object{"pk": p, "sk": object{"N": "2"}}}}}}
			case "TransactWriteItems":
				a := sized(r, g, bytes)
				a["sk"] = object{"N": "1"}
				in = object{"ReturnConsumedCapacity": "TOTAL", "TransactItems": []any{object{"Put": object{"TableName": judgedTable, "Item": a}},
					object{"ConditionCheck": object{"TableName": judgedTable, "Key": object{"pk": g.partition(), "sk": object{"N": "999"}}, "ConditionExpression": "attribute_not_exists(zz)"}}}}
			case "TransactGetItems":
				in = object{"ReturnConsumedCapacity": "TOTAL", "TransactItems": []any{object{"Get": object{"TableName": judgedTable, "Key": key}}}}
			}
			x := exchange{op: op, request: text(in), ours: us.must(r, op, in), theirs: theirs.must(r, op, in)}
			account.count(x)
			if diff := gocmp.Diff(units(x.theirs), units(x.ours)); diff != "" {
				if account.explain(unitDifferences, x) == "" {
					account.unexplained(t, r, diff, x)
				}
				g.prefix += "'"
			}
		}
	})
	account.report(t)
}

// found is how many items an answer has.
func found(a answer) int {
	if tables, ok := a.Body["Responses"].(object); ok {
		n := 0
		for _, items := range tables {
			if list, ok := items.([]any); ok {
				n += len(list)
			}
		}
		return n
	}
	list, _ := a.Body["Items"].([]any)
	return len(list)
}

var unitDifferences = []difference{
	{judges: "dynamodblocal", op: "TransactWriteItems", ours: "ok", theirs: "ok",
		when: func(e exchange) bool {
			a, okA := new(big.Rat).SetString(units(e.ours))
			b, okB := new(big.Rat).SetString(units(e.theirs))
			return okA && okB && a.Add(a, a).Cmp(b) == 0
		},
		why: "DynamoDB Local doubles a transaction's units twice; by AWS's page on capacity a write of up to 1 KB takes two"},
	{judges: "dynamodblocal", op: "Query BatchGetItem", ours: "ok", theirs: "ok", when: func(e exchange) bool { return found(e.ours) < 2 },
		why: "DynamoDB Local charges nothing for what it does not find; by AWS's page on capacity the smallest unit is charged"},
}
