package attr_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

func TestNumbersAreCanonical(t *testing.T) {
	ones := strings.Repeat("1", 38)
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "0e500": "0", "000": "0", "+5": "5", "007.10": "7.1", "-3.25e2": "-325", "1e3": "1000", ".5": "0.5", "5.": "5",
		"12e-3": "0.012", "1e-130": "0." + strings.Repeat("0", 129) + "1", "9e125": "9" + strings.Repeat("0", 125), ones: ones,
		ones + "000": ones + "000", "0." + ones: "0." + ones,
	} {
		if got, err := attr.ParseNumber(in); err != nil || got != want {
			t.Errorf("ParseNumber(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestNumbersOutsideDynamoDBsRangeAreRefused(t *testing.T) {
	for in, want := range map[string]string{
		"": "cannot be converted", "abc": "cannot be converted", "1e": "cannot be converted", "--1": "cannot be converted", "1 ": "cannot be converted",
		"0x10": "cannot be converted", "NaN": "cannot be converted", ".": "cannot be converted", "1e126": "overflow", "-1e126": "overflow",
		"1e999999999999": "overflow", "1e-131": "underflow", strings.Repeat("1", 39): "more than 38",
	} {
		_, err := attr.ParseNumber(in)
		var wrong *attr.InvalidError
		if !errors.As(err, &wrong) || !strings.Contains(wrong.Message, want) {
			t.Errorf("ParseNumber(%q): %v; want a refusal with %q", in, err, want)
		}
	}
}

// number draws a number that DynamoDB takes, in any spelling.
func number() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		sign := rapid.SampledFrom([]string{"", "-", "+"}).Draw(t, "sign")
		whole := rapid.StringMatching(`[0-9]{1,12}`).Draw(t, "whole")
		fraction := rapid.StringMatching(`(\.[0-9]{0,12})?`).Draw(t, "fraction")
		exp := rapid.SampledFrom([]string{"", "e0", "E5", "e-7", "e+12", "e-60", "e60"}).Draw(t, "exp")
		return sign + whole + fraction + exp
	})
}

func rat(t *rapid.T, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("no rational: %q", s)
	}
	return r
}

func canonical(t *rapid.T, s string) string {
	c, err := attr.ParseNumber(s)
	if err != nil {
		t.Fatalf("ParseNumber(%q): %v", s, err)
	}
	return c
}

func TestNumbersKeepTheirValueAndTheirKeysSortByIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := number().Draw(t, "a"), number().Draw(t, "b")
		ca, cb := canonical(t, a), canonical(t, b)
		want := rat(t, a).Cmp(rat(t, b))
		if rat(t, ca).Cmp(rat(t, a)) != 0 {
			t.Fatalf("%s became %s", a, ca)
		}
		if (ca == cb) != (want == 0) {
			t.Fatalf("%s and %s are written %s and %s", a, b, ca, cb)
		}
		x, y := attr.Value{Kind: attr.Number, Text: ca}, attr.Value{Kind: attr.Number, Text: cb}
		if got, ok := attr.Compare(x, y); !ok || got != want {
			t.Fatalf("Compare(%s, %s) = %d, want %d", ca, cb, got, want)
		}
		// Something follows the number in a stored key; the order must not depend on it.
		ka := append(attr.AppendKey(nil, x), 0xFF)
		kb := append(attr.AppendKey(nil, y), 0x00)
		if want != 0 && bytes.Compare(ka, kb) != want {
			t.Fatalf("keys of %s and %s sort %d, want %d", ca, cb, bytes.Compare(ka, kb), want)
		}
	})
}

func TestSumsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := canonical(t, number().Draw(t, "a")), canonical(t, number().Draw(t, "b"))
		for name, f := range map[string]func(a, b string) (string, error){"add": attr.Add, "subtract": attr.Subtract} {
			got, err := f(a, b)
			want := new(big.Rat)
			if name == "add" {
				want.Add(rat(t, a), rat(t, b))
			} else {
				want.Sub(rat(t, a), rat(t, b))
			}
			if err != nil {
				// The only reason is a result of more than 38 digits.
				text := want.FloatString(200)
				digits := strings.Trim(strings.ReplaceAll(strings.TrimPrefix(text, "-"), ".", ""), "0")
				if len(digits) <= 38 {
					t.Fatalf("%s %s %s refused: %v", name, a, b, err)
				}
				continue
			}
			if rat(t, got).Cmp(want) != 0 || canonical(t, got) != got {
				t.Fatalf("%s %s %s = %s, want %s", name, a, b, got, want.RatString())
			}
		}
	})
}

func TestTextKeysSortByBytesWhateverFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xFE, 0xFF}), 0, 6)
		a, b := string(gen.Draw(t, "a")), string(gen.Draw(t, "b"))
		x, y := attr.Value{Kind: attr.Binary, Text: a}, attr.Value{Kind: attr.Binary, Text: b}
		ka := append(attr.AppendKey(nil, x), 0xFF)
		kb := append(attr.AppendKey(nil, y), 0x00)
		if want := strings.Compare(a, b); want != 0 && bytes.Compare(ka, kb) != want {
			t.Fatalf("keys of %q and %q sort %d, want %d", a, b, bytes.Compare(ka, kb), want)
		}
		if got, want := bytes.HasPrefix(attr.AppendKey(nil, y), attr.KeyPrefix(nil, x)), strings.HasPrefix(b, a); got != want {
			t.Fatalf("prefix %q of %q: %t, want %t", a, b, got, want)
		}
	})
}

func value(depth int) *rapid.Generator[attr.Value] {
	return rapid.Custom(func(t *rapid.T) attr.Value {
		kinds := []attr.Kind{attr.String, attr.Number, attr.Binary, attr.Bool, attr.Null, attr.StringSet, attr.NumberSet, attr.BinarySet}
		if depth > 0 {
			kinds = append(kinds, attr.List, attr.Map)
		}
		text := rapid.SampledFrom([]string{"", "a", "会话存档", "quote\"\\", "\u2028<&>", "line\nbreak"})
		v := attr.Value{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		switch v.Kind {
		case attr.String:
			v.Text = text.Draw(t, "text")
		case attr.Binary:
			v.Text = string(rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes"))
		case attr.Number:
			v.Text = canonical(t, number().Draw(t, "number"))
		case attr.Bool:
			v.Bool = rapid.Bool().Draw(t, "bool")
		case attr.List:
			v.List = rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list")
			if v.List == nil {
				v.List = []attr.Value{}
			}
		case attr.Map:
			v.Map = rapid.MapOfN(text, value(depth-1), 0, 3).Draw(t, "map")
		case attr.StringSet:
			v = attr.NewSet(v.Kind, rapid.SliceOfN(text, 1, 3).Draw(t, "set"))
		case attr.BinarySet:
			v = attr.NewSet(v.Kind, []string{"\x00", "b"})
		case attr.NumberSet:
			v = attr.NewSet(v.Kind, []string{"10", "9", canonical(t, number().Draw(t, "member"))})
		}
		return v
	})
}

func TestItemsSurviveTheWireAndTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		it := attr.Item(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c d", "名"}), value(3), 0, 4).Draw(t, "item"))
		wire, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		var back attr.Item
		if err := json.Unmarshal(wire, &back); err != nil {
			t.Fatalf("%s: %v", wire, err)
		}
		if d := cmp.Diff(it, back); d != "" {
			t.Fatalf("wire: %s", d)
		}
		stored, err := attr.Decode(it.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !attr.Equal(attr.Value{Kind: attr.Map, Map: it}, attr.Value{Kind: attr.Map, Map: stored}) {
			t.Fatalf("store: %s", cmp.Diff(it, stored))
		}
	})
}

func TestWrongValuesAreRefused(t *testing.T) {
	deep := strings.Repeat(`{"L":[`, 34) + `{"S":"x"}` + strings.Repeat(`]}`, 34)
	for in, want := range map[string]string{
		`{}`:                     "Supplied AttributeValue is empty",
		`{"S":"a","N":"1"}`:      "more than one datatypes",
		`{"SS":[]}`:              "may not be empty",
		`{"SS":["a","a"]}`:       "contains duplicates",
		`{"NS":["1","1.0"]}`:     "contains duplicates",
		`{"NULL":false}`:         "must have the value of true",
		`{"N":"twelve"}`:         "cannot be converted",
		`{"X":"a"}`:              "unknown type",
		`{"B":"not base64!"}`:    "not base64",
		`{"S":5}`:                "not the JSON",
		`{"BOOL":"true"}`:        "not the JSON",
		deep:                     "Nesting Levels",
		`{"M":{"a":{"S":"a"},}}`: "",
	} {
		var v attr.Value
		err := json.Unmarshal([]byte(in), &v)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", in, err, want)
		}
	}
}

func TestSizesFollowAWSsRules(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{
		{`{"ab":{"S":"会"}}`, 2 + 3},
		{`{"n":{"N":"12345"}}`, 1 + 1 + 3},
		{`{"n":{"N":"-12345"}}`, 1 + 1 + 3 + 1},
		{`{"n":{"N":"1.5"}}`, 1 + 1 + 2},
		{`{"n":{"N":"15"}}`, 1 + 1 + 1},
		{`{"n":{"N":"150"}}`, 1 + 1 + 2},
		{`{"n":{"N":"0.0012"}}`, 1 + 1 + 1},
		{`{"n":{"N":"0"}}`, 1 + 1},
		{`{"b":{"B":"AAEC"}}`, 1 + 3},
		{`{"x":{"NULL":true},"y":{"BOOL":false}}`, 2 + 2},
		{`{"l":{"L":[{"S":"a"},{"S":"b"}]}}`, 1 + 3 + 2*(1+1)},
		{`{"m":{"M":{"k":{"S":"abc"}}}}`, 1 + 3 + 1 + 1 + 3},
		{`{"s":{"SS":["ab","c"]}}`, 1 + 3},
	} {
		var it attr.Item
		if err := json.Unmarshal([]byte(c.in), &it); err != nil {
			t.Fatal(err)
		}
		if got := it.Size(); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.in, got, c.want)
		}
	}
}

func FuzzDecodeOfDamagedItems(f *testing.F) {
	f.Add([]byte{})
	f.Add(attr.Item{"a": attr.OfString("b"), "l": {Kind: attr.List, List: []attr.Value{{Kind: attr.Null}}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := attr.Decode(b)
		if err != nil {
			return
		}
		if _, err := attr.Decode(it.Encode()); err != nil {
			t.Fatalf("an item that was read can't be read again: %v", err)
		}
	})
}

func FuzzItemJSON(f *testing.F) {
	f.Add(`{"a":{"S":"x"},"n":{"N":"-1.50e3"},"l":{"L":[{"NULL":true},{"M":{"k":{"BS":["AA=="]}}}]}}`)
	f.Add(`{"a":{"S":"\ud800"}}`)
	f.Fuzz(func(t *testing.T, in string) {
		var it attr.Item
		if err := json.Unmarshal([]byte(in), &it); err != nil {
			return
		}
		out, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		var again attr.Item
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if fmt.Sprint(it) != fmt.Sprint(again) {
			t.Fatalf("%s became %s", in, out)
		}
	})
}
