package attr

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// UnmarshalJSON reads {"name": {"S": "…"}, …} and checks each value as DynamoDB does (*InvalidError).
func (it *Item) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	s := scanner{in: b}
	out, err := s.item(1)
	if err != nil {
		return err
	}
	*it = out
	return s.end()
}

// UnmarshalJSON reads {"S": "…"} and checks the value as DynamoDB does (*InvalidError).
func (v *Value) UnmarshalJSON(b []byte) error {
	s := scanner{in: b}
	out, err := s.value(1)
	if err != nil {
		return err
	}
	*v = out
	return s.end()
}

// scanner walks JSON once, without building anything between the bytes and the values: items are most of what the endpoint reads.
type scanner struct {
	in []byte
	at int
}

var errSyntax = errors.New("not the JSON of an attribute value")

func (s *scanner) space() {
	for s.at < len(s.in) && strings.IndexByte(" \t\r\n", s.in[s.at]) >= 0 {
		s.at++
	}
}

func (s *scanner) end() error {
	s.space()
	if s.at != len(s.in) {
		return errSyntax
	}
	return nil
}

// next skips space and takes the byte c if it is there.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at < len(s.in) && s.in[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) text() (string, error) {
	if !s.next('"') {
		return "", errSyntax
	}
	start, plain := s.at, true
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case c == '"':
			s.at++
			if plain {
				return string(s.in[start : s.at-1]), nil
			}
			var out string
			if err := json.Unmarshal(s.in[start-1:s.at], &out); err != nil {
				return "", errSyntax
			}
			return out, nil
		case c == '\\':
			plain = false
			s.at += 2
		case c < ' ' || c >= utf8.RuneSelf:
			plain = false // let the standard library judge control bytes and broken UTF-8
			s.at++
		default:
			s.at++
		}
	}
	return "", errSyntax
}

func (s *scanner) boolean() (bool, error) {
	s.space()
	for word, v := range map[string]bool{"true": true, "false": false} {
		if strings.HasPrefix(string(s.in[s.at:min(len(s.in), s.at+5)]), word) {
			s.at += len(word)
			return v, nil
		}
	}
	return false, errSyntax
}

// each calls f for every element between the brackets; f reads the element.
func (s *scanner) each(open, closing byte, f func() error) error {
	if !s.next(open) {
		return errSyntax
	}
	if s.next(closing) {
		return nil
	}
	for {
		if err := f(); err != nil {
			return err
		}
		if s.next(closing) {
			return nil
		}
		if !s.next(',') {
			return errSyntax
		}
	}
}

func (s *scanner) item(depth int) (Item, error) {
	out := Item{}
	err := s.each('{', '}', func() error {
		name, err := s.text()
		if err != nil {
			return err
		}
		if !s.next(':') {
			return errSyntax
		}
		v, err := s.value(depth)
		if err != nil {
			return err
		}
		out[name] = v
		return nil
	})
	return out, err
}

func (s *scanner) value(depth int) (Value, error) {
	if depth > maxNesting+1 {
		return Value{}, invalid("Nesting Levels have exceeded supported limits")
	}
	var v Value
	err := s.each('{', '}', func() error {
		kind, err := s.text()
		if err != nil {
			return err
		}
		if !s.next(':') {
			return errSyntax
		}
		if v.Kind != "" {
			return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		v, err = s.ofKind(Kind(kind), depth)
		return err
	})
	if err == nil && v.Kind == "" {
		err = invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	return v, err
}

func (s *scanner) ofKind(kind Kind, depth int) (Value, error) {
	v := Value{Kind: kind}
	var err error
	switch kind {
	case String, Number, Binary:
		if v.Text, err = s.text(); err == nil {
			v.Text, err = scalar(kind, v.Text)
		}
	case Bool:
		v.Bool, err = s.boolean()
	case Null:
		if v.Bool, err = s.boolean(); err == nil && !v.Bool {
			err = invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
		v.Bool = false
	case List:
		v.List = []Value{}
		err = s.each('[', ']', func() error {
			e, err := s.value(depth + 1)
			v.List = append(v.List, e)
			return err
		})
	case Map:
		v.Map, err = s.item(depth + 1)
	case StringSet, NumberSet, BinarySet:
		v, err = s.set(kind)
	default:
		err = fmt.Errorf("attribute value of unknown type %q", string(kind))
	}
	return v, err
}

func scalar(kind Kind, text string) (string, error) {
	switch kind {
	case Number:
		return ParseNumber(text)
	case Binary:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", errors.New("binary attribute value is not base64")
		}
		return string(raw), nil
	default:
		return text, nil
	}
}

func (s *scanner) set(kind Kind) (Value, error) {
	var members []string
	err := s.each('[', ']', func() error {
		t, err := s.text()
		if err != nil {
			return err
		}
		t, err = scalar(kind.Member(), t)
		members = append(members, t)
		return err
	})
	if err != nil {
		return Value{}, err
	}
	if len(members) == 0 {
		word := map[Kind]string{StringSet: "string", NumberSet: "number", BinarySet: "binary"}[kind]
		return Value{}, invalid("One or more parameter values were invalid: An %s set  may not be empty", word)
	}
	v := NewSet(kind, members)
	if len(v.Set) != len(members) {
		return Value{}, invalid("One or more parameter values were invalid: Input collection [%s] contains duplicates.", strings.Join(members, ", "))
	}
	return v, nil
}

// MarshalJSON writes the item with its names in order, so that the same item is always the same bytes.
func (it Item) MarshalJSON() ([]byte, error) { return it.appendJSON(nil), nil }

// MarshalJSON writes the value's wire form.
func (v Value) MarshalJSON() ([]byte, error) { return v.appendJSON(nil), nil }

func (it Item) names() []string {
	names := make([]string, 0, len(it))
	for n := range it {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func (it Item) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, n := range it.names() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, n), ':')
		dst = it[n].appendJSON(dst)
	}
	return append(dst, '}')
}

func (v Value) appendJSON(dst []byte) []byte {
	dst = append(dst, '{', '"')
	dst = append(dst, v.Kind...)
	dst = append(dst, '"', ':')
	switch v.Kind {
	case Bool:
		dst = fmt.Appendf(dst, "%t", v.Bool)
	case Null:
		dst = append(dst, "true"...)
	case List:
		dst = append(dst, '[')
		for i, e := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.appendJSON(dst)
		}
		dst = append(dst, ']')
	case Map:
		dst = v.Map.appendJSON(dst)
	case StringSet, NumberSet, BinarySet:
		dst = append(dst, '[')
		for i, e := range v.Set {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendScalar(dst, v.Kind.Member(), e)
		}
		dst = append(dst, ']')
	default:
		dst = appendScalar(dst, v.Kind, v.Text)
	}
	return append(dst, '}')
}

func appendScalar(dst []byte, kind Kind, text string) []byte {
	if kind != Binary {
		return appendText(dst, text)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, []byte(text))
	return append(dst, '"')
}

func appendText(dst []byte, s string) []byte {
	plain := !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == '"' || r == '\\' || r >= utf8.RuneSelf
	})
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	b, err := json.Marshal(s)
	if err != nil {
		// A string can't fail to be written; encoding/json mends broken UTF-8 by itself.
		panic("attr: " + err.Error())
	}
	return append(dst, b...)
}
