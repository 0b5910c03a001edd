package expr_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/expr"
)

func item(t testing.TB, s string) attr.Item {
	t.Helper()
	var it attr.Item
	if err := json.Unmarshal([]byte(s), &it); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return it
}

func vars(t testing.TB, names map[string]string, values string) *expr.Vars {
	t.Helper()
	var vs attr.Item
	if values != "" {
		vs = item(t, values)
	}
	v, err := expr.NewVars(names, vs)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const sample = `{"id":{"S":"room-7"},"n":{"N":"10"},"neg":{"N":"-2.5"},"b":{"B":"AQID"},"yes":{"BOOL":true},"nil":{"NULL":true},
 "l":{"L":[{"S":"x"},{"N":"1"},{"M":{"deep":{"S":"down"}}}]},"m":{"M":{"k":{"S":"v"},"low":{"M":{"z":{"N":"3"}}}}},
 "ss":{"SS":["p","q"]},"ns":{"NS":["1","2"]},"bs":{"BS":["AQ=="]},"cn":{"S":"会话"},"status":{"S":"done"},"a.b":{"S":"dotted"}}`

const sampleValues = `{":room":{"S":"room"},":id":{"S":"room-7"},":x":{"S":"x"},":p":{"S":"p"},":n9":{"N":"9"},":n10":{"N":"10.0"},":n100":{"N":"100"},
 ":s10":{"S":"10"},":v":{"S":"v"},":M":{"S":"M"},":true":{"BOOL":true},":three":{"N":"3"},":six":{"N":"6"},":bytes":{"B":"AQI="},":one":{"N":"1"},
 ":set":{"SS":["q","p"]},":list":{"L":[]},":null":{"NULL":true},":dot":{"S":"dotted"},":done":{"S":"done"}}`

func TestConditionsHoldAsDynamoDBSays(t *testing.T) {
	it := item(t, sample)
	names := map[string]string{"#s": "status", "#d": "a.b", "#k": "k", "#gone": "gone"}
	for text, want := range map[string]bool{
		"id = :id":                                true,
		"id <> :id":                               false,
		"id <> :x":                                true,
		"n = :n10":                                true, // by value, not by spelling
		"n = :s10":                                false,
		"n <> :s10":                               true,
		"n > :n9":                                 true, // as numbers, not as text
		"n < :n100":                               true,
		"n >= :n10 AND n <= :n10":                 true,
		"neg < :one":                              true,
		"n > :x":                                  false, // of different types: never
		"gone = :x":                               false,
		"gone <> :x":                              true, // what is missing differs from everything
		"gone < :x":                               false,
		"NOT gone = :x":                           true,
		"n BETWEEN :n9 AND :n100":                 true,
		"n BETWEEN :n9 AND :n9":                   false,
		":n10 BETWEEN :n9 AND n":                  true,
		"n IN (:n9, :n10)":                        true,
		"n IN (:n9)":                              false,
		"attribute_exists(l[2].deep)":             true,
		"attribute_exists(l[3])":                  false,
		"attribute_not_exists(m.low.q)":           true,
		"attribute_exists(id.k)":                  false,
		"attribute_type(m, :M)":                   true,
		"attribute_type(id, :M)":                  false,
		"begins_with(id, :room)":                  true,
		"begins_with(id, :v)":                     false,
		"begins_with(b, :bytes)":                  true,
		"begins_with(n, :x)":                      false,
		"begins_with(gone, :x)":                   false,
		"contains(id, :room)":                     true,
		"contains(ss, :p)":                        true,
		"contains(ss, :x)":                        false,
		"contains(ns, :one)":                      true,
		"contains(ns, :p)":                        false,
		"contains(l, :x)":                         true,
		"contains(l, :v)":                         false,
		"contains(b, :bytes)":                     true,
		"contains(n, :one)":                       false,
		"size(cn) = :six":                         true, // bytes of UTF-8
		"size(l) = :three":                        true,
		"size(b) = :three":                        true,
		"size(ss) < :three":                       true,
		"size(n) = :one":                          false, // a number has no size
		"ss = :set":                               true,  // sets have no order
		"nil = :null":                             true,
		"yes = :true":                             true,
		"m.#k = :v":                               true,
		"l[0] = :x AND m.low.z = :three":          true,
		"l[ 0 ] = :x":                             true,
		"#d = :dot":                               true,
		"#s = :done":                              true,
		"#gone = :x OR id = :id":                  true,
		"id = :x OR id = :id AND n = :n9":         false, // AND binds tighter
		"(id = :x OR id = :id) AND n = :n10":      true,
		"id = :id OR id = :x AND n = :n9":         true,
		"NOT id = :x AND n = :n10":                true, // NOT binds tightest
		"NOT (id = :x AND n = :n10)":              true,
		"NOT NOT id = :id":                        true,
		"not id = :x and n in (:n10) Or id = :x":  true, // keywords in any case
		"(id) = (:id)":                            true,
		"(n) BETWEEN (:n9) AND (:n100)":           true,
		"NOT (n < :one) AND (id <> :x OR n = :x)": true,
		"id=:id AND(n=:n10)":                      true,
	} {
		c, err := expr.ParseCondition(expr.ConditionKind, text, vars(t, names, sampleValues))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := c.Holds(it); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}

func TestWrongConditionsAreRefused(t *testing.T) {
	in101 := "id IN (" + strings.Repeat(":x, ", 100) + ":x)"
	for text, want := range map[string]string{
		"":                                       "The expression can not be empty;",
		"  ":                                     "The expression can not be empty;",
		"id == :id":                              `Syntax error; token: "=", near: "== :id"`,
		"id = ":                                  `Syntax error; token: "<EOF>"`,
		"= :id":                                  `Syntax error; token: "="`,
		"id":                                     "Syntax error",
		":id":                                    "Syntax error",
		"id AND n = :n9":                         "Syntax error",
		"id = :id n = :n9":                       `Syntax error; token: "n"`,
		"id = :id AND":                           "Syntax error",
		"(id = :id":                              "Syntax error",
		"id = :id)":                              "Syntax error",
		"id = (:id = :id)":                       "Syntax error",
		"id BETWEEN :n9":                         "Syntax error",
		"id IN :x":                               "Syntax error",
		"id IN ()":                               "Syntax error",
		"l[x] = :x":                              "Syntax error",
		"l[-1] = :x":                             "Syntax error",
		"l[99999999999] = :x":                    "List index is not within the allowable range",
		"_id = :x":                               `Syntax error; token: "_"`,
		"id = 'x'":                               "Syntax error",
		"id = \u4f1a":                            "Syntax error",
		"id = 5":                                 "Syntax error",
		"# = :x":                                 "Syntax error",
		"and = :x":                               "Syntax error",
		"((id = :id))":                           "redundant parentheses",
		"((id)) = :id":                           "redundant parentheses",
		"status = :x":                            "Attribute name is a reserved keyword; reserved keyword: status",
		"m.Name = :x":                            "reserved keyword; reserved keyword: Name",
		"#nope = :x":                             "attribute name used in the document path is not defined; attribute name: #nope",
		"id = :nope":                             "attribute value used in expression is not defined; attribute value: :nope",
		"exists(id)":                             "Invalid function name; function: exists",
		"Attribute_exists(id)":                   "Invalid function name; function: Attribute_exists",
		"attribute_exists(id, n)":                "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
		"attribute_exists(:x)":                   "requires a document path",
		"size(id)":                               "not allowed to be used this way in an expression; function: size",
		"contains(id, :x) = :true":               "not allowed to be used this way in an expression; function: contains",
		"begins_with(begins_with(id,:x),:x)":     "not allowed to be used this way",
		"begins_with(id, :n9)":                   "operator or function: begins_with, operand type: N",
		"attribute_type(id, :x)":                 "Invalid attribute type name found; type: x",
		"attribute_type(id, :n9)":                "operator or function: attribute_type, operand type: N",
		"id < :true":                             "operator or function: <, operand type: BOOL",
		"id BETWEEN :x AND :n9":                  "requires same data type for lower and upper bounds",
		"n BETWEEN :n100 AND :n9":                "requires upper bound to be greater than or equal to lower bound",
		"id = id":                                "The first operand must be distinct from the remaining operands",
		"contains(m.k, m.k)":                     "first operand: [m, k]",
		in101:                                    "operator or function: IN, number of operands: 101",
		"id = :x" + strings.Repeat(" ", 5000):    "Expression size has exceeded the maximum allowed size",
		"a" + strings.Repeat(".a", 40) + " = :x": "too many nesting elements",
	} {
		_, err := expr.ParseCondition(expr.ConditionKind, text, vars(t, nil, sampleValues))
		refused(t, text, err, "Invalid ConditionExpression: ", want)
	}
}

func refused(t *testing.T, text string, err error, prefix, want string) {
	t.Helper()
	var e *expr.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Message, prefix) || !strings.Contains(e.Message, want) {
		t.Errorf("%s: %v; want %q", text, err, want)
	}
}

func TestUpdatesWriteWhatTheySay(t *testing.T) {
	for _, c := range []struct{ text, values, from, want string }{
		{"SET a = :v", `{":v":{"S":"new"}}`, `{}`, `{"a":{"S":"new"}}`},
		{"SET a = b, b = a", ``, `{"a":{"S":"1"},"b":{"S":"2"}}`, `{"a":{"S":"2"},"b":{"S":"1"}}`}, // from the item as it was
		{"SET a = a + :v", `{":v":{"N":"2"}}`, `{"a":{"N":"40"}}`, `{"a":{"N":"42"}}`},
		{"SET a = a - :v", `{":v":{"N":"0.1"}}`, `{"a":{"N":"1"}}`, `{"a":{"N":"0.9"}}`},
		{"SET a = if_not_exists(a, :z) + :v", `{":z":{"N":"0"},":v":{"N":"1"}}`, `{}`, `{"a":{"N":"1"}}`},
		{"SET a = if_not_exists(b, if_not_exists(c, :v))", `{":v":{"N":"1"}}`, `{"c":{"N":"7"}}`, `{"a":{"N":"7"},"c":{"N":"7"}}`},
		{"SET a = list_append(if_not_exists(a, :none), :v)", `{":none":{"L":[]},":v":{"L":[{"S":"x"}]}}`, `{}`, `{"a":{"L":[{"S":"x"}]}}`},
		{"SET a = list_append(:v, a)", `{":v":{"L":[{"S":"x"}]}}`, `{"a":{"L":[{"S":"y"}]}}`, `{"a":{"L":[{"S":"x"},{"S":"y"}]}}`},
		{"SET m.k.z = :v", `{":v":{"N":"1"}}`, `{"m":{"M":{"k":{"M":{}}}}}`, `{"m":{"M":{"k":{"M":{"z":{"N":"1"}}}}}}`},
		{"SET l[1] = :v", `{":v":{"N":"9"}}`, `{"l":{"L":[{"N":"1"},{"N":"2"}]}}`, `{"l":{"L":[{"N":"1"},{"N":"9"}]}}`},
		{"SET l[9] = :v, l[7] = :w", `{":v":{"N":"9"},":w":{"N":"7"}}`, `{"l":{"L":[{"N":"1"}]}}`, `{"l":{"L":[{"N":"1"},{"N":"7"},{"N":"9"}]}}`},
		{"REMOVE l[0], l[2]", ``, `{"l":{"L":[{"N":"0"},{"N":"1"},{"N":"2"},{"N":"3"}]}}`, `{"l":{"L":[{"N":"1"},{"N":"3"}]}}`},
		{"REMOVE l[0] SET l[1] = :v", `{":v":{"S":"v"}}`, `{"l":{"L":[{"N":"0"},{"N":"1"}]}}`, `{"l":{"L":[{"S":"v"}]}}`},
		{"REMOVE a, gone, m.gone", ``, `{"a":{"N":"1"},"m":{"M":{"k":{"N":"1"}}}}`, `{"m":{"M":{"k":{"N":"1"}}}}`},
		{"ADD n :v", `{":v":{"N":"-3"}}`, `{"n":{"N":"1"}}`, `{"n":{"N":"-2"}}`},
		{"ADD n :v", `{":v":{"N":"5"}}`, `{}`, `{"n":{"N":"5"}}`},
		{"ADD s :v", `{":v":{"SS":["b","a"]}}`, `{"s":{"SS":["a","c"]}}`, `{"s":{"SS":["a","b","c"]}}`},
		{"ADD s :v", `{":v":{"NS":["10","9"]}}`, `{}`, `{"s":{"NS":["9","10"]}}`},
		{"DELETE s :v", `{":v":{"SS":["a","zz"]}}`, `{"s":{"SS":["a","c"]}}`, `{"s":{"SS":["c"]}}`},
		{"DELETE s :v", `{":v":{"SS":["a","c"]}}`, `{"s":{"SS":["a","c"]}}`, `{}`}, // an empty set is no set
		{"DELETE s :v", `{":v":{"SS":["a"]}}`, `{}`, `{}`},
		{"DELETE m.k :v", `{":v":{"SS":["a"]}}`, `{"m":{"M":{}}}`, `{"m":{"M":{}}}`},
		{"set a = :v remove b Add n :n delete s :s", `{":v":{"S":"1"},":n":{"N":"1"},":s":{"SS":["x"]}}`, `{"b":{"S":"2"},"s":{"SS":["x","y"]}}`,
			`{"a":{"S":"1"},"n":{"N":"1"},"s":{"SS":["y"]}}`},
	} {
		u, err := expr.ParseUpdate(c.text, vars(t, nil, c.values))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		from := item(t, c.from)
		got, err := u.Apply(from)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if d := cmp.Diff(item(t, c.want), got); d != "" {
			t.Errorf("%s: %s", c.text, d)
		}
		if d := cmp.Diff(item(t, c.from), from); d != "" {
			t.Errorf("%s changed the item that it was given: %s", c.text, d)
		}
	}
}

const updateValues = `{":s":{"S":"s"},":n":{"N":"1"},":l":{"L":[]},":ss":{"SS":["a"]},":m":{"M":{}}}`

func TestWrongUpdatesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "The expression can not be empty;",
		"a = :s":                      `Syntax error; token: "a"`,
		"SET":                         "Syntax error",
		"SET a":                       "Syntax error",
		"SET a = ":                    "Syntax error",
		"SET a == :s":                 `Syntax error; token: "=", near: "== :s"`,
		"SET a = :s,":                 "Syntax error",
		"SET a = :s b = :s":           "Syntax error",
		"SET a = b + :n + :n":         "Syntax error",
		"SET :s = a":                  "Syntax error",
		"ADD a b":                     "Syntax error",
		"REMOVE a = :s":               "Syntax error",
		"SET a = :s SET b = :s":       `The "SET" section can only be used once in an update expression;`,
		"SET a = :s, a = :n":          "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
		"SET a.b = :s REMOVE a":       "path one: [a, b], path two: [a]",
		"SET a.b = :s, a[0] = :s":     "Two document paths conflict with each other",
		"SET a = :s ADD a :n":         "overlap",
		"SET name = :s":               "reserved keyword: name",
		"SET a = size":                "reserved keyword: size",
		"SET #x = :s":                 "attribute name: #x",
		"SET a = :x":                  "attribute value: :x",
		"SET a = size(b)":             "The function is not allowed in an update expression; function: size",
		"SET a = upper(b)":            "Invalid function name; function: upper",
		"SET a = if_not_exists(b)":    "operator or function: if_not_exists, number of operands: 1",
		"SET a = if_not_exists(:s,b)": "requires a document path; operator or function: if_not_exists",
		"SET a = list_append(b, :s)":  "operator or function: list_append, operand type: S",
		"SET a = b + :s":              "operator or function: +, operand type: S",
		"ADD a :s":                    "operator: ADD, operand type: STRING",
		"SET a = if_not_exists(b, b)": "The first operand must be distinct from the remaining operands",
		"DELETE a :n":                 "operator: DELETE, operand type: NUMBER",
		"ADD a :m":                    "operator: ADD, operand type: MAP",
	} {
		_, err := expr.ParseUpdate(text, vars(t, nil, updateValues))
		refused(t, text, err, "Invalid UpdateExpression: ", want)
	}
}

func TestUpdatesThatDoNotFitTheItemAreRefused(t *testing.T) {
	from := `{"s":{"S":"text"},"n":{"N":"1"},"l":{"L":[]},"ss":{"SS":["a"]}}`
	for text, want := range map[string]string{
		"SET a = b":                   "refers to an attribute that does not exist in the item",
		"SET a = l[0]":                "refers to an attribute that does not exist in the item",
		"SET a = b + :n":              "refers to an attribute that does not exist in the item",
		"SET a = s + :n":              "An operand in the update expression has an incorrect data type",
		"SET a = list_append(s, :l)":  "incorrect data type",
		"ADD s :n":                    "incorrect data type",
		"ADD n :ss":                   "incorrect data type",
		"DELETE n :ss":                "incorrect data type",
		"SET m.k = :n":                "document path provided in the update expression is invalid for update",
		"SET s.k = :n":                "invalid for update",
		"SET s[0] = :n":               "invalid for update",
		"SET l.k = :n":                "invalid for update",
		"REMOVE m.k":                  "invalid for update",
		"SET a = if_not_exists(n, b)": "refers to an attribute that does not exist in the item",
		"DELETE m.k :ss":              "invalid for update",
		"DELETE n[0] :ss":             "invalid for update",
	} {
		u, err := expr.ParseUpdate(text, vars(t, nil, updateValues))
		if err == nil {
			_, err = u.Apply(item(t, from))
		}
		refused(t, text, err, "", want)
	}
}

func TestProjectionsKeepTheirPlaces(t *testing.T) {
	it := item(t, sample)
	for text, want := range map[string]string{
		"id":                 `{"id":{"S":"room-7"}}`,
		"id, gone":           `{"id":{"S":"room-7"}}`,
		"m.k, m.low.z":       `{"m":{"M":{"k":{"S":"v"},"low":{"M":{"z":{"N":"3"}}}}}}`,
		"l[2].deep, l[0]":    `{"l":{"L":[{"S":"x"},{"M":{"deep":{"S":"down"}}}]}}`,
		"l[7], m.gone, id.x": `{}`,
	} {
		paths, err := expr.ParseProjection(text, vars(t, nil, ""))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(item(t, want), expr.Project(it, paths)); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
	for text, want := range map[string]string{
		"": "can not be empty", "id,": "Syntax error", "id n": "Syntax error", "m, m.k": "overlap", "status": "reserved keyword: status", "size(id)": "Syntax error", "#u": "not defined",
	} {
		_, err := expr.ParseProjection(text, vars(t, nil, ""))
		refused(t, text, err, "Invalid ProjectionExpression: ", want)
	}
}

func TestKeyConditionsAreOneOrTwoTerms(t *testing.T) {
	values := `{":a":{"S":"a"},":b":{"S":"b"}}`
	terms, err := expr.ParseKeyCondition("pk = :a AND (sk BETWEEN :a AND :b)", vars(t, nil, values))
	if err != nil {
		t.Fatal(err)
	}
	want := []expr.KeyTerm{{Name: "pk", Op: "=", Values: []attr.Value{attr.OfString("a")}},
		{Name: "sk", Op: "BETWEEN", Values: []attr.Value{attr.OfString("a"), attr.OfString("b")}}}
	if d := cmp.Diff(want, terms); d != "" {
		t.Fatal(d)
	}
	for text, want := range map[string]string{
		"pk = :a OR sk = :b":             "Invalid operator used in KeyConditionExpression: OR",
		"NOT pk = :a":                    "Invalid operator used in KeyConditionExpression: NOT",
		"pk <> :a":                       "Invalid operator used in KeyConditionExpression: <>",
		"pk IN (:a)":                     "Invalid operator used in KeyConditionExpression: IN",
		"contains(pk, :a)":               "Invalid operator used in KeyConditionExpression: contains",
		"pk = :a AND pk = :b":            "must only contain one condition per key",
		"pk = :a AND sk > :a AND q = :a": "length 1 or 2 only",
		"pk.a = :a":                      "nested attributes",
		"pk = sk":                        "only values may follow",
		":a = pk":                        "must name a key attribute first",
	} {
		_, err := expr.ParseKeyCondition(text, vars(t, nil, values))
		refused(t, text, err, "Invalid KeyConditionExpression: ", want)
	}
}

func TestUnusedAndMisspeltPlaceholdersAreRefused(t *testing.T) {
	v := vars(t, map[string]string{"#a": "a", "#b": "b"}, `{":v":{"S":"v"},":w":{"S":"w"}}`)
	if _, err := expr.ParseCondition(expr.FilterKind, "#a = :v", v); err != nil {
		t.Fatal(err)
	}
	refused(t, "names", v.Unused(), "", "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}")
	if _, err := expr.ParseCondition(expr.FilterKind, "#b = :v", v); err != nil {
		t.Fatal(err)
	}
	refused(t, "values", v.Unused(), "", "Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}")
	if _, err := expr.ParseProjection("#a", v); err != nil {
		t.Fatal(err)
	}
	if _, err := expr.ParseCondition(expr.FilterKind, "#b = :w", v); err != nil {
		t.Fatal(err)
	}
	if err := v.Unused(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		names  map[string]string
		values attr.Item
	}{
		{names: map[string]string{"a": "x"}}, {names: map[string]string{"#": "x"}}, {names: map[string]string{"#a-b": "x"}}, {names: map[string]string{}},
		{values: attr.Item{"v": attr.OfString("x")}}, {values: attr.Item{":": attr.OfString("x")}}, {values: attr.Item{}}, {names: map[string]string{"#a": ""}},
	} {
		if _, err := expr.NewVars(c.names, c.values); err == nil {
			t.Errorf("%v %v were accepted", c.names, c.values)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"a = :v AND NOT (b[0].c <> :w OR size(#n) > :w)", "SET a = if_not_exists(b, :v) + :w, l[3] = list_append(c, :l) REMOVE d.e ADD n :w DELETE s :s",
		"a, b.c[1], #n", "begins_with(a, :v)", "a BETWEEN :v AND :w", "a IN (:v, :w", "((a = :v))", "\xff_#:", "SET a = a[0][1].b"} {
		f.Add(s)
	}
	names := map[string]string{"#n": "name"}
	values := `{":v":{"S":"v"},":w":{"N":"1"},":l":{"L":[{"S":"x"}]},":s":{"SS":["x"]}}`
	it := item(f, `{"a":{"L":[{"L":[{"N":"1"}]}]},"b":{"M":{"c":{"S":"v"}}},"name":{"S":"x"},"n":{"N":"1"},"s":{"SS":["x","y"]}}`)
	before := string(it.Encode())
	f.Fuzz(func(t *testing.T, text string) {
		var e *expr.Error
		var wrong *attr.InvalidError
		known := func(err error) {
			if err != nil && !errors.As(err, &e) && !errors.As(err, &wrong) {
				t.Fatalf("%q: an error of another kind: %v", text, err)
			}
		}
		c, err := expr.ParseCondition(expr.ConditionKind, text, vars(t, names, values))
		known(err)
		if err == nil {
			c.Holds(it)
			c.Holds(nil)
		}
		u, err := expr.ParseUpdate(text, vars(t, names, values))
		known(err)
		if err == nil {
			_, err = u.Apply(it)
			known(err)
		}
		paths, err := expr.ParseProjection(text, vars(t, names, values))
		known(err)
		if err == nil {
			expr.Project(it, paths)
		}
		_, err = expr.ParseKeyCondition(text, vars(t, names, values))
		known(err)
		if string(it.Encode()) != before {
			t.Fatalf("%q changed the item that it read", text)
		}
	})
}
