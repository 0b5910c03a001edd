// Package attr owns DynamoDB's attribute values: their JSON form on the wire, their compact form in the store, exact numbers, equality,
// order, the size that AWS charges for, and keys whose bytes sort as DynamoDB sorts. It knows nothing of tables, requests or expressions.
package attr

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is a value's type, in DynamoDB's own letters.
type Kind string

// The ten types of DynamoDB.
const (
	String    Kind = "S"
	Number    Kind = "N"
	Binary    Kind = "B"
	Bool      Kind = "BOOL"
	Null      Kind = "NULL"
	List      Kind = "L"
	Map       Kind = "M"
	StringSet Kind = "SS"
	NumberSet Kind = "NS"
	BinarySet Kind = "BS"
)

// Value is one attribute value. Which field is used depends on the kind: Text holds S, B (raw bytes) and N (canonical decimal); Set holds the
// members of SS, NS and BS, sorted and each once. A Value is never changed after it was made: it may be shared.
type Value struct {
	Kind Kind
	Text string
	Bool bool
	List []Value
	Map  Item
	Set  []string
}

// Item is a whole item, or the content of a map.
type Item map[string]Value

// InvalidError says that a value breaks one of DynamoDB's rules; its text is AWS's own.
type InvalidError struct{ Message string }

func (e *InvalidError) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &InvalidError{Message: fmt.Sprintf(format, args...)}
}

// Limits of DynamoDB.
const (
	MaxItemSize  = 400 * 1024 // bytes, names and values
	maxNesting   = 32         // levels of lists and maps
	MaxHashSize  = 2048       // bytes of a partition key's value
	MaxRangeSize = 1024       // bytes of a sort key's value
)

// OfString makes an S value.
func OfString(s string) Value { return Value{Kind: String, Text: s} }

// IsSet reports whether the kind is one of the three sets.
func (k Kind) IsSet() bool { return k == StringSet || k == NumberSet || k == BinarySet }

// Member returns the kind of a set's members.
func (k Kind) Member() Kind { return k[:1] }

// Equal reports whether two values are the same to DynamoDB: the same type, numbers by value, sets without order.
func Equal(a, b Value) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case Bool:
		return a.Bool == b.Bool
	case Null:
		return true
	case List:
		return slices.EqualFunc(a.List, b.List, Equal)
	case Map:
		return maps.EqualFunc(a.Map, b.Map, Equal)
	case StringSet, NumberSet, BinarySet:
		return slices.Equal(a.Set, b.Set)
	default:
		return a.Text == b.Text
	}
}

// Compare orders two values of one of the ordered types (S and B by bytes, N by value). It reports false for values that have no order.
func Compare(a, b Value) (int, bool) {
	if a.Kind != b.Kind {
		return 0, false
	}
	switch a.Kind {
	case String, Binary:
		return strings.Compare(a.Text, b.Text), true
	case Number:
		return compareNumbers(a.Text, b.Text), true
	default:
		return 0, false
	}
}

// Size is the number of bytes that DynamoDB counts for a value.
func (v Value) Size() int {
	switch v.Kind {
	case String, Binary:
		return len(v.Text)
	case Number:
		return numberSize(v.Text)
	case List:
		n := 3
		for _, e := range v.List {
			n += 1 + e.Size()
		}
		return n
	case Map:
		return 3 + len(v.Map) + v.Map.Size()
	case StringSet, BinarySet:
		n := 0
		for _, e := range v.Set {
			n += len(e)
		}
		return n
	case NumberSet:
		n := 0
		for _, e := range v.Set {
			n += numberSize(e)
		}
		return n
	default:
		return 1
	}
}

// Size is the number of bytes that DynamoDB counts for an item: names and values.
func (it Item) Size() int {
	n := 0
	for name, v := range it {
		n += len(name) + v.Size()
	}
	return n
}

// Clone copies the map itself; values are shared, for they never change.
func (it Item) Clone() Item {
	out := make(Item, len(it)+4)
	maps.Copy(out, it)
	return out
}

// Pick returns the named attributes that the item has.
func (it Item) Pick(names ...string) Item {
	out := make(Item, len(names))
	for _, n := range names {
		if v, ok := it[n]; ok {
			out[n] = v
		}
	}
	return out
}

// NewSet makes a set of the given kind; the members must be valid for it (numbers canonical). Doubled members are dropped.
func NewSet(kind Kind, members []string) Value {
	set := slices.Clone(members)
	order := strings.Compare
	if kind == NumberSet {
		order = compareNumbers
	}
	slices.SortFunc(set, order)
	return Value{Kind: kind, Set: slices.Compact(set)}
}

// HasMember reports whether a set holds the value.
func (v Value) HasMember(m Value) bool {
	return v.Kind.IsSet() && v.Kind.Member() == m.Kind && slices.Contains(v.Set, m.Text)
}

// Union adds the members of another set of the same kind.
func (v Value) Union(o Value) Value { return NewSet(v.Kind, append(slices.Clone(v.Set), o.Set...)) }

// Minus takes the members of another set of the same kind away.
func (v Value) Minus(o Value) Value {
	left := slices.DeleteFunc(slices.Clone(v.Set), func(m string) bool { return slices.Contains(o.Set, m) })
	return Value{Kind: v.Kind, Set: left}
}

// Text for error messages, as AWS writes operands: {S:abc}.
func (v Value) String() string {
	switch v.Kind {
	case Bool:
		return fmt.Sprintf("{BOOL:%t}", v.Bool)
	case String, Number:
		return fmt.Sprintf("{%s:%s}", v.Kind, v.Text)
	default:
		return fmt.Sprintf("{%s}", v.Kind)
	}
}

// AppendKey appends a key value of type S, N or B in a form whose bytes sort as DynamoDB sorts, and that ends by itself, so that several
// key values can follow one another.
func AppendKey(dst []byte, v Value) []byte {
	if v.Kind == Number {
		return appendNumberKey(dst, v.Text)
	}
	// A zero byte inside is written 00 FF, the end 00 01: the end sorts before every continuation.
	for i := 0; i < len(v.Text); i++ {
		dst = append(dst, v.Text[i])
		if v.Text[i] == 0 {
			dst = append(dst, 0xFF)
		}
	}
	return append(dst, 0, 1)
}

// KeyPrefix returns the bytes with which the keys of all values begin whose text begins with v's (S and B only).
func KeyPrefix(dst []byte, v Value) []byte {
	return bytes.TrimSuffix(AppendKey(dst, v), []byte{0, 1})
}

// TooDeep reports whether lists and maps lie in one another deeper than DynamoDB allows.
func (it Item) TooDeep() bool { return it.deeper(maxNesting) }

func (it Item) deeper(levels int) bool {
	for _, v := range it {
		if v.deeper(levels) {
			return true
		}
	}
	return false
}

func (v Value) deeper(levels int) bool {
	switch v.Kind {
	case List:
		return levels == 0 || slices.ContainsFunc(v.List, func(e Value) bool { return e.deeper(levels - 1) })
	case Map:
		return levels == 0 || v.Map.deeper(levels-1)
	default:
		return false
	}
}
