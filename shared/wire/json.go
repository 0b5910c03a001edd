package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and arrays are followed, those inside JSON strings included. A forwarded record in a record
// costs three levels, so some 80 records may stand inside one another.
const maxDepth = 256

// kind is what a JSON value is.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	object
	array
	tooDeep // an object or array below maxDepth: its bytes, unread
)

// value is one JSON value with the order of its document kept, which encoding/json's maps lose. str is a string's content, a
// number's literal or a too deep value's bytes; parts are an object's members or an array's elements.
type value struct {
	kind  kind
	str   string
	parts []part
}

// part is a member of an object, or with the key "" an element of an array.
type part struct {
	key string
	val value
}

// get is the value under key. Of a key that stands twice the last counts, as nearly every JSON reader has it.
func (v value) get(key string) (value, bool) {
	if v.kind != object {
		return value{}, false
	}
	for i := len(v.parts) - 1; i >= 0; i-- {
		if v.parts[i].key == key {
			return v.parts[i].val, true
		}
	}
	return value{}, false
}

// scalar is the text of a string or the literal of a number, and "" for everything else: WeCom and the parsers around it disagree
// about which of the two an id or a size is.
func (v value) scalar() string {
	if v.kind == text || v.kind == number {
		return v.str
	}
	return ""
}

// uint reads a number or a string that holds one, up to the full 64 bits. It is 0 for everything that is no such number.
func (v value) uint() uint64 {
	s := strings.TrimSpace(v.scalar())
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0) || f >= math.MaxUint64 {
		return 0
	}
	return uint64(f)
}

var errSyntax = errors.New("not JSON")

// parseObject reads b as exactly one JSON object, depth levels below the top of its message. A byte order mark before it and control bytes or blanks around
// it are passed over.
func parseObject(b []byte, depth int) (value, error) {
	p := parser{b: trimBOM(b), depth: depth}
	p.blank()
	if p.i == len(p.b) || p.b[p.i] != '{' {
		return value{}, fmt.Errorf("%w: no object at byte %d", errSyntax, p.i)
	}
	return p.whole()
}

// parseNested reads a string that holds one JSON object, or an array that begins with an object.
func parseNested(s string, depth int) (value, bool) {
	if !strings.ContainsRune(s, '{') {
		return value{}, false
	}
	p := parser{b: trimBOM([]byte(s)), depth: depth}
	p.blank()
	if p.i == len(p.b) || p.b[p.i] != '{' && p.b[p.i] != '[' {
		return value{}, false
	}
	v, err := p.whole()
	if err != nil || v.kind == array && (len(v.parts) == 0 || v.parts[0].val.kind != object) {
		return value{}, false
	}
	return v, true
}

func trimBOM(b []byte) []byte {
	if len(b) >= 3 && b[0] == 0xEF && b[1] == 0xBB && b[2] == 0xBF {
		return b[3:]
	}
	return b
}

// parser reads JSON by RFC 8259, and beyond it: raw control bytes in strings and between tokens, invalid UTF-8, unknown escapes
// and numbers with leading zeros are read as well as they can be.
type parser struct {
	b     []byte
	i     int
	depth int
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", errSyntax, what, p.i)
}

func (p *parser) whole() (value, error) {
	v, err := p.value()
	if err != nil {
		return value{}, err
	}
	if p.blank(); p.i < len(p.b) {
		return value{}, p.fail("something follows the value")
	}
	return v, nil
}

// blank passes over white space, and with it every other control byte.
func (p *parser) blank() {
	for p.i < len(p.b) && p.b[p.i] <= ' ' {
		p.i++
	}
}

func (p *parser) value() (value, error) {
	p.blank()
	if p.i == len(p.b) {
		return value{}, p.fail("the document ends early")
	}
	switch c := p.b[p.i]; {
	case c == '{' || c == '[':
		if p.depth >= maxDepth {
			return p.skip()
		}
		p.depth++
		v, err := p.container(c == '{')
		p.depth--
		return v, err
	case c == '"':
		s, err := p.string()
		return value{kind: text, str: s}, err
	case c == '-' || c == '+' || c == '.' || '0' <= c && c <= '9':
		start := p.i
		for p.i < len(p.b) && strings.IndexByte("+-.0123456789eE", p.b[p.i]) >= 0 {
			p.i++
		}
		return value{kind: number, str: string(p.b[start:p.i])}, nil
	default:
		return p.word()
	}
}

func (p *parser) word() (value, error) {
	for _, w := range [...]struct {
		word string
		kind kind
	}{{"true", boolean}, {"false", boolean}, {"null", null}} {
		if n := len(w.word); len(p.b)-p.i >= n && string(p.b[p.i:p.i+n]) == w.word {
			p.i += n
			return value{kind: w.kind}, nil
		}
	}
	return value{}, p.fail("an unknown word")
}

func (p *parser) container(isObject bool) (value, error) {
	v, closing := value{kind: array}, byte(']')
	if isObject {
		v, closing = value{kind: object}, '}'
	}
	p.i++
	if p.blank(); p.i < len(p.b) && p.b[p.i] == closing {
		p.i++
		return v, nil
	}
	for {
		var m part
		var err error
		if isObject {
			if m.key, err = p.key(); err != nil {
				return value{}, err
			}
		}
		if m.val, err = p.value(); err != nil {
			return value{}, err
		}
		v.parts = append(v.parts, m)
		p.blank()
		switch {
		case p.i == len(p.b):
			return value{}, p.fail("the document ends early")
		case p.b[p.i] == ',':
			p.i++
		case p.b[p.i] == closing:
			p.i++
			return v, nil
		default:
			return value{}, p.fail("neither comma nor end")
		}
	}
}

func (p *parser) key() (string, error) {
	if p.blank(); p.i == len(p.b) || p.b[p.i] != '"' {
		return "", p.fail("no key")
	}
	key, err := p.string()
	if err != nil {
		return "", err
	}
	if p.blank(); p.i == len(p.b) || p.b[p.i] != ':' {
		return "", p.fail("no colon")
	}
	p.i++
	return key, nil
}

// string reads the string that begins at p.i. Control bytes that stand raw in it are noise and left out; of those that are properly
// escaped only line feed and tab are text. What is not UTF-8 becomes U+FFFD.
func (p *parser) string() (string, error) {
	p.i++
	start := p.i
	for p.i < len(p.b) && p.b[p.i] != '"' && p.b[p.i] != '\\' && p.b[p.i] >= ' ' {
		p.i++
	}
	if p.i < len(p.b) && p.b[p.i] == '"' {
		s := p.b[start:p.i]
		p.i++
		return validUTF8(s), nil
	}
	out := append(make([]byte, 0, p.i-start+64), p.b[start:p.i]...)
	literal := 0 // where the bytes since the last escape begin in out
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return string(out[:literal]) + validUTF8(out[literal:]), nil
		case c == '\\':
			// An escape ends a character, also one that leaves nothing: halves around it never join.
			if !utf8.Valid(out[literal:]) {
				out = append(out[:literal], validUTF8(out[literal:])...)
			}
			out = p.escape(out)
			literal = len(out)
		case c < ' ':
			p.i++
		default:
			out = append(out, c)
			p.i++
		}
	}
	return "", p.fail("a string does not end")
}

// escape reads the escape at p.i and appends what it stands for. An escape that JSON does not know is kept as it is written.
func (p *parser) escape(out []byte) []byte {
	if p.i+1 >= len(p.b) {
		p.i++
		return out
	}
	c := p.b[p.i+1]
	p.i += 2
	switch c {
	case '"', '\\', '/':
		return append(out, c)
	case 'n':
		return append(out, '\n')
	case 't':
		return append(out, '\t')
	case 'b', 'f', 'r':
		return out
	case 'u':
		r, ok := p.hex4(p.i)
		if !ok {
			return append(out, '\\', 'u')
		}
		p.i += 4
		if utf16.IsSurrogate(r) {
			r = p.lowSurrogate(r)
		}
		if r < ' ' && r != '\n' && r != '\t' {
			return out
		}
		return utf8.AppendRune(out, r)
	default:
		p.i-- // c may be a raw control byte or part of a longer character: read it as what it is
		return append(out, '\\')
	}
}

// lowSurrogate joins the high surrogate with the escape that follows it; without a fitting one it is U+FFFD and nothing is consumed.
func (p *parser) lowSurrogate(high rune) rune {
	if p.i+1 < len(p.b) && p.b[p.i] == '\\' && p.b[p.i+1] == 'u' {
		if low, ok := p.hex4(p.i + 2); ok {
			if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
				p.i += 6
				return r
			}
		}
	}
	return utf8.RuneError
}

func (p *parser) hex4(at int) (rune, bool) {
	if at+4 > len(p.b) {
		return 0, false
	}
	var r rune
	for _, c := range p.b[at : at+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skip passes over the object or array at p.i without following it, however deep it is, and keeps its bytes.
func (p *parser) skip() (value, error) {
	start, open := p.i, 0
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case '"':
			if _, err := p.string(); err != nil {
				return value{}, err
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			open--
		}
		p.i++
		if open == 0 {
			return value{kind: tooDeep, str: clean(p.b[start:p.i])}, nil
		}
	}
	return value{}, p.fail("the document ends early")
}

// clean takes control bytes and what is not UTF-8 out of bytes that become text unread.
func clean(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, validUTF8(b))
}

// validUTF8 replaces each byte that is no UTF-8 by U+FFFD, as encoding/json does.
func validUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out := make([]byte, 0, len(b)+8)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return string(out)
}
