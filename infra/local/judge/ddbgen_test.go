package judge_test

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// object is JSON as it goes out.
type object = map[string]any

// generator draws DynamoDB requests over a small world: few keys, few names, values that meet each other at the edges of every rule.
type generator struct {
	t      *rapid.T
	prefix string // of partition keys: what came before an explained difference is out of sight
	values object
	names  object
	taken  map[string]bool // attributes that the update writes already
}

func pick[T any](g *generator, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

// oneIn is true about one time in n. Rapid likes small numbers, so the largest stands for the rarer choice, which shrinks away.
func (g *generator) oneIn(n int, label string) bool {
	return rapid.IntRange(1, n).Draw(g.t, label) == n
}

var (
	someNumbers = []string{"0", "1", "2", "3", "-1", "10", "1.5", "-0.25", "1e2", "0.10", "100", "99999999999999999999999999999999999999", "1E-130", "9.9e125", "12345678901234567890.5", "-0"}
	someTexts   = []string{"", "a", "ab", "abc", "b", "会", "é", "A", "0", "😀"}
	someBytes   = []string{"", "AA==", "AAE=", "/w==", "YWI="}
)

// value draws an attribute value; depth bounds its nesting.
func (g *generator) value(depth int) object {
	kinds := []string{"S", "S", "N", "N", "B", "BOOL", "NULL", "SS", "NS", "BS"}
	if depth > 0 {
		kinds = append(kinds, "L", "M", "L", "M")
	}
	switch kind := pick(g, "kind", kinds...); kind {
	case "S":
		return object{"S": pick(g, "text", someTexts...)}
	case "N":
		if g.oneIn(150, "bad number") {
			return object{"N": pick(g, "no number", "", "x", "1e400", "123456789012345678901234567890123456789", "1 ", "+1", "0x1", "1e", "NaN", ".5", "5.")}
		}
		return object{"N": pick(g, "number", someNumbers...)}
	case "B":
		return object{"B": pick(g, "bytes", someBytes...)}
	case "BOOL":
		return object{"BOOL": pick(g, "truth", true, false)}
	case "NULL":
		return object{"NULL": true}
	case "SS":
		return object{"SS": g.set("SS", someTexts)}
	case "NS":
		return object{"NS": g.set("NS", someNumbers[:12])}
	case "BS":
		return object{"BS": g.set("BS", someBytes)}
	case "L":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(g.t, "length") {
			list = append(list, g.value(depth-1))
		}
		return object{"L": list}
	default:
		m := object{}
		for _, name := range []string{"x", "y", "n"} {
			if g.oneIn(2, "has "+name) {
				m[name] = g.value(depth - 1)
			}
		}
		return object{"M": m}
	}
}

// set draws a set; now and then one that is none: empty, or with a member twice.
func (g *generator) set(kind string, from []string) []string {
	size := rapid.IntRange(1, 3).Draw(g.t, kind+" size")
	if g.oneIn(150, "bad set") {
		return pick(g, "no set", []string{}, []string{from[1], from[1]})
	}
	var out []string
	for range size {
		if one := pick(g, "member", from...); !slices.Contains(out, one) && !(kind == "NS" && sameNumber(out, one)) && (one != "" || !g.oneIn(2, "empty")) {
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		return []string{from[1]}
	}
	return out
}

// sameNumber is whether a set of numbers has the number in another spelling.
func sameNumber(set []string, one string) bool {
	return one == "100" && slices.Contains(set, "1e2") || one == "1e2" && slices.Contains(set, "100")
}

func (g *generator) partition() object {
	return object{"S": g.prefix + pick(g, "partition", "a", "b")}
}

func (g *generator) sortKey() object {
	return object{"N": pick(g, "sort", "1", "2", "3", "-1", "1.5", "10")}
}

// key draws a key; seldom one that fits no schema.
func (g *generator) key() object {
	k := object{"pk": g.partition(), "sk": g.sortKey()}
	if g.oneIn(120, "bad key") {
		switch pick(g, "how bad", "missing", "kind", "more", "empty") {
		case "missing":
			delete(k, "sk")
		case "kind":
			k["sk"] = object{"S": "1"}
		case "more":
			k["a"] = object{"S": "1"}
		case "empty":
			k["pk"] = object{"S": ""}
		}
	}
	return k
}

var attributes = []string{"a", "b", "n", "m", "l", "ss", "ns"}

// item draws an item whose names mostly hold what their name says.
func (g *generator) item() object {
	it := g.key()
	for _, name := range attributes {
		if !g.oneIn(2, "has "+name) {
			continue
		}
		switch {
		case g.oneIn(6, "anything"):
			it[name] = g.value(2)
		case name == "n":
			it[name] = object{"N": pick(g, "number", someNumbers...)}
		case name == "m":
			it[name] = object{"M": object{"x": g.value(1), "n": object{"N": "1"}}}
		case name == "l":
			it[name] = object{"L": []any{g.value(1), g.value(0), object{"N": "3"}}}
		case name == "ss":
			it[name] = object{"SS": g.set("SS", someTexts)}
		case name == "ns":
			it[name] = object{"NS": g.set("NS", someNumbers[:12])}
		default:
			it[name] = g.value(1)
		}
	}
	return it
}

// Expressions.

func (g *generator) fresh() { g.values, g.names, g.taken = object{}, object{}, map[string]bool{} }

func (g *generator) bind(v object) string {
	name := fmt.Sprintf(":v%d", len(g.values))
	g.values[name] = v
	return name
}

func (g *generator) named(attribute string) string {
	if !g.oneIn(3, "by placeholder") {
		return attribute
	}
	name := "#" + attribute
	g.names[name] = attribute
	return name
}

// path draws a document path.
func (g *generator) path() string {
	p := g.named(pick(g, "attribute", attributes...))
	for range rapid.IntRange(0, 2).Draw(g.t, "depth") {
		if g.oneIn(2, "deeper") {
			if g.oneIn(2, "by place") {
				p += fmt.Sprintf("[%d]", rapid.IntRange(0, 3).Draw(g.t, "place"))
			} else {
				p += "." + g.named(pick(g, "member", "x", "y", "n"))
			}
		}
	}
	return p
}

func (g *generator) operand() string {
	switch pick(g, "operand", "path", "scalar", "scalar", "scalar", "value", "size") {
	case "path":
		return g.path()
	case "size":
		if g.oneIn(3, "size") {
			return "size(" + g.path() + ")"
		}
	case "value":
		return g.bind(g.value(1))
	}
	return g.bind(g.scalar())
}

// scalar draws what can be compared.
func (g *generator) scalar() object {
	return pick(g, "scalar", object{"N": pick(g, "number", someNumbers...)}, object{"S": pick(g, "text", someTexts...)}, object{"N": "1"}, object{"B": "AA=="})
}

// top draws a path for an update; mostly no two of one expression meet.
func (g *generator) top() string {
	var free []string
	for _, name := range attributes {
		if !g.taken[name] {
			free = append(free, name)
		}
	}
	if len(free) == 0 || g.oneIn(30, "overlap") {
		return g.path()
	}
	name := pick(g, "attribute", free...)
	g.taken[name] = true
	p := g.named(name)
	switch {
	case name == "m" && g.oneIn(2, "deeper"), g.oneIn(12, "deeper"):
		p += "." + g.named(pick(g, "member", "x", "y", "n"))
	case name == "l" && g.oneIn(2, "deeper"), g.oneIn(12, "deeper"):
		p += fmt.Sprintf("[%d]", rapid.IntRange(0, 3).Draw(g.t, "place"))
	}
	return p
}

// one draws an attribute by its name if it is still free in an update.
func (g *generator) one(name string) string {
	if g.taken[name] {
		return g.top()
	}
	g.taken[name] = true
	return g.named(name)
}

func (g *generator) condition(depth int) string {
	if depth > 0 && g.oneIn(3, "join") {
		switch pick(g, "how", "AND", "OR", "NOT", "()") {
		case "AND":
			return g.condition(depth-1) + " AND " + g.condition(depth-1)
		case "OR":
			return g.condition(depth-1) + " or " + g.condition(depth-1)
		case "NOT":
			return "NOT " + g.condition(depth-1)
		default:
			return "(" + g.condition(depth-1) + " OR " + g.condition(depth-1) + ") AND " + g.condition(depth-1)
		}
	}
	switch pick(g, "test", "compare", "compare", "compare", "between", "in", "exists", "not exists", "type", "begins", "contains", "size", "key") {
	case "compare":
		return g.path() + pick(g, "operator", " = ", " <> ", " < ", " <= ", " > ", " >= ") + g.operand()
	case "between":
		low := g.scalar()
		if g.oneIn(10, "any bounds") {
			return g.path() + " BETWEEN " + g.operand() + " AND " + g.operand()
		}
		return g.path() + " BETWEEN " + g.bind(low) + " AND " + g.bind(low)
	case "in":
		list := []string{g.operand()}
		for range rapid.IntRange(0, 2).Draw(g.t, "more") {
			list = append(list, g.operand())
		}
		return g.path() + " IN (" + strings.Join(list, ", ") + ")"
	case "exists":
		return "attribute_exists(" + g.path() + ")"
	case "not exists":
		return "attribute_not_exists(" + g.path() + ")"
	case "type":
		kind := object{"S": pick(g, "type", "S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS")}
		if g.oneIn(20, "no type") {
			kind = pick(g, "wrong type", object{"S": "string"}, object{"N": "1"})
		}
		return "attribute_type(" + g.path() + ", " + g.bind(kind) + ")"
	case "begins":
		return "begins_with(" + g.path() + ", " + pick(g, "beginning", g.operand, func() string { return g.bind(object{"S": pick(g, "text", someTexts...)}) }, func() string { return g.bind(object{"S": "a"}) })() + ")"
	case "contains":
		return "contains(" + g.path() + ", " + g.operand() + ")"
	case "size":
		return "size(" + g.path() + ")" + pick(g, "operator", " = ", " < ", " >= ") + g.bind(object{"N": pick(g, "size", "0", "1", "2", "3")})
	default:
		return pick(g, "of the key", "attribute_exists(pk)", "attribute_not_exists(pk)", "attribute_exists(sk)")
	}
}

func (g *generator) setOperand() string {
	switch pick(g, "set operand", "value", "value", "path", "if", "append") {
	case "path":
		return g.path()
	case "if":
		if g.oneIn(4, "else a path") {
			return "if_not_exists(" + g.path() + ", " + g.path() + ")"
		}
		return "if_not_exists(" + g.path() + ", " + g.bind(g.value(1)) + ")"
	case "append":
		if g.oneIn(3, "to a new list") {
			return "list_append(if_not_exists(l, " + g.bind(object{"L": []any{}}) + "), " + g.bind(object{"L": []any{g.value(0)}}) + ")"
		}
		return "list_append(l, " + g.bind(object{"L": []any{g.value(0)}}) + ")"
	}
	return g.bind(g.value(2))
}

func (g *generator) term() string {
	if g.oneIn(2, "term") {
		return "n"
	}
	return "if_not_exists(n, " + g.bind(object{"N": "0"}) + ")"
}

func (g *generator) update() string {
	var parts []string
	list := func(one func() string) string {
		out := []string{one()}
		for range rapid.IntRange(0, 2).Draw(g.t, "more") {
			if g.oneIn(2, "another") {
				out = append(out, one())
			}
		}
		return strings.Join(out, ", ")
	}
	if g.oneIn(2, "SET") {
		parts = append(parts, "SET "+list(func() string {
			s := g.top() + " = "
			if g.oneIn(4, "sum") {
				return s + g.term() + pick(g, "sign", " + ", " - ") + g.bind(object{"N": pick(g, "number", someNumbers...)})
			}
			return s + g.setOperand()
		}))
	}
	if g.oneIn(3, "REMOVE") {
		parts = append(parts, "REMOVE "+list(g.top))
	}
	if g.oneIn(3, "ADD") {
		parts = append(parts, "ADD "+list(func() string {
			switch pick(g, "to", "n", "ns", "ss", "any") {
			case "n":
				return g.one("n") + " " + g.bind(object{"N": pick(g, "number", someNumbers...)})
			case "ns":
				return g.one("ns") + " " + g.bind(object{"NS": g.set("NS", someNumbers[:12])})
			case "ss":
				return g.one("ss") + " " + g.bind(object{"SS": g.set("SS", someTexts)})
			}
			return g.top() + " " + g.bind(pick(g, "more", object{"N": "1"}, object{"SS": []string{"a"}}, g.value(0)))
		}))
	}
	if g.oneIn(4, "DELETE") {
		parts = append(parts, "delete "+list(func() string {
			switch pick(g, "from", "ns", "ss", "any") {
			case "ns":
				return g.one("ns") + " " + g.bind(object{"NS": g.set("NS", someNumbers[:12])})
			case "ss":
				return g.one("ss") + " " + g.bind(object{"SS": g.set("SS", someTexts)})
			}
			return g.top() + " " + g.bind(object{"SS": []string{"a", "b"}})
		}))
	}
	if len(parts) == 0 {
		return "SET " + g.one("a") + " = " + g.setOperand()
	}
	return strings.Join(parts, " ")
}

func (g *generator) projection() string {
	out := []string{g.path()}
	for range rapid.IntRange(0, 2).Draw(g.t, "more") {
		out = append(out, g.path())
	}
	if g.oneIn(2, "with its key") {
		out = append(out, "pk", "sk")
	}
	return strings.Join(out, ", ")
}

func (g *generator) keyCondition(partition object) string {
	hash := "pk = " + g.bind(partition)
	sort := func() string { return g.bind(g.sortKey()) }
	switch pick(g, "sort condition", "none", "=", "<", "<=", ">", ">=", "between", "wrong") {
	case "none":
		return hash
	case "between":
		return hash + " AND sk BETWEEN " + sort() + " AND " + sort()
	case "wrong":
		if g.oneIn(4, "wrong") {
			v := sort()
			return pick(g, "how", hash+" AND a = "+v, hash+" OR sk = "+v, hash+" AND sk <> "+v, hash+" AND begins_with(sk, "+v+")", v+" < sk AND "+hash)
		}
		return "sk = " + sort() + " and " + hash
	case "=":
		return hash + " AND sk = " + sort()
	case "<":
		return hash + " AND sk < " + sort()
	case "<=":
		return hash + " AND (sk <= " + sort() + ")"
	case ">":
		return "sk > " + sort() + " AND " + hash
	default:
		return hash + " AND sk >= " + sort()
	}
}

// placeholders puts into a request what its expressions have bound; seldom one too many.
func (g *generator) placeholders(in object) object {
	if len(g.values) > 0 {
		in["ExpressionAttributeValues"] = g.values
	}
	if len(g.names) > 0 {
		in["ExpressionAttributeNames"] = g.names
	}
	if g.oneIn(80, "one too many") {
		if in["UpdateExpression"] == nil && in["ConditionExpression"] == nil && in["KeyConditionExpression"] == nil || g.oneIn(2, "of names") {
			in["ExpressionAttributeNames"] = object{"#unused": "a"}
		} else {
			in["ExpressionAttributeValues"] = object{":unused": object{"S": "a"}}
		}
	}
	return in
}

// request draws an operation and its input.
func (g *generator) request(table string) (op string, in object) {
	g.fresh()
	in = object{"TableName": table}
	op = pick(g, "operation", "PutItem", "PutItem", "UpdateItem", "UpdateItem", "UpdateItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Query", "BatchWriteItem", "BatchGetItem", "TransactWriteItems", "TransactWriteItems", "TransactGetItems")
	condition := func(in object) {
		if g.oneIn(2, "conditional") {
			in["ConditionExpression"] = g.condition(2)
			if g.oneIn(2, "tell") {
				in["ReturnValuesOnConditionCheckFailure"] = pick(g, "on failure", "ALL_OLD", "NONE")
			}
		}
	}
	switch op {
	case "PutItem":
		in["Item"] = g.item()
		condition(in)
		if g.oneIn(3, "return") {
			in["ReturnValues"] = pick(g, "return values", "ALL_OLD", "NONE", "ALL_NEW")
		}
		g.placeholders(in)
	case "UpdateItem":
		in["Key"] = g.key()
		if !g.oneIn(20, "no update") {
			in["UpdateExpression"] = g.update()
		}
		condition(in)
		if g.oneIn(2, "return") {
			in["ReturnValues"] = pick(g, "return values", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW", "NONE")
			if in["UpdateExpression"] == nil { // DynamoDB Local itself fails when it is to return what nothing has changed
				in["ReturnValues"] = "ALL_NEW"
			}
		}
		g.placeholders(in)
	case "DeleteItem":
		in["Key"] = g.key()
		condition(in)
		if g.oneIn(2, "return") {
			in["ReturnValues"] = pick(g, "return values", "ALL_OLD", "NONE", "UPDATED_OLD")
		}
		g.placeholders(in)
	case "GetItem":
		in["Key"] = g.key()
		in["ConsistentRead"] = g.oneIn(2, "consistent")
		if g.oneIn(2, "project") {
			in["ProjectionExpression"] = g.projection()
		}
		g.placeholders(in)
	case "Query":
		in["KeyConditionExpression"] = g.keyCondition(g.partition())
		if g.oneIn(2, "filter") {
			in["FilterExpression"] = g.condition(1)
		}
		if g.oneIn(3, "project") {
			in["ProjectionExpression"] = g.projection()
		}
		if g.oneIn(2, "limit") {
			in["Limit"] = rapid.IntRange(0, 4).Draw(g.t, "limit of items")
		}
		if g.oneIn(3, "backward") {
			in["ScanIndexForward"] = false
		}
		if g.oneIn(4, "begin") {
			in["ExclusiveStartKey"] = g.key()
		}
		if g.oneIn(6, "select") {
			in["Select"] = pick(g, "selection", "COUNT", "ALL_ATTRIBUTES", "SPECIFIC_ATTRIBUTES")
		}
		g.placeholders(in)
	case "BatchWriteItem":
		var writes []any
		for range rapid.IntRange(1, 4).Draw(g.t, "writes") {
			if g.oneIn(3, "delete") {
				writes = append(writes, object{"DeleteRequest": object{"Key": g.key()}})
			} else {
				writes = append(writes, object{"PutRequest": object{"Item": g.item()}})
			}
		}
		in = object{"RequestItems": object{table: writes}}
	case "BatchGetItem":
		var keys []any
		for range rapid.IntRange(1, 4).Draw(g.t, "keys") {
			keys = append(keys, g.key())
		}
		one := object{"Keys": keys}
		if g.oneIn(3, "project") {
			one["ProjectionExpression"] = "pk, sk, " + g.path()
		}
		if len(g.names) > 0 {
			one["ExpressionAttributeNames"] = g.names
		}
		in = object{"RequestItems": object{table: one}}
	case "TransactGetItems":
		var parts []any
		for range rapid.IntRange(1, 3).Draw(g.t, "parts") {
			parts = append(parts, object{"Get": object{"TableName": table, "Key": g.key()}})
		}
		in = object{"TransactItems": parts}
	case "TransactWriteItems":
		var parts []any
		for range rapid.IntRange(1, 3).Draw(g.t, "parts") {
			g.fresh()
			one := object{"TableName": table}
			kind := pick(g, "part", "Put", "Update", "Update", "Delete", "ConditionCheck")
			switch kind {
			case "Put":
				one["Item"] = g.item()
				condition(one)
			case "Update":
				one["Key"] = g.key()
				one["UpdateExpression"] = g.update()
				condition(one)
			case "Delete":
				one["Key"] = g.key()
				condition(one)
			default:
				one["Key"] = g.key()
				one["ConditionExpression"] = g.condition(1)
			}
			parts = append(parts, object{kind: g.placeholders(one)})
		}
		in = object{"TransactItems": parts}
	}
	return op, in
}
