package expr

import (
	"strings"
	"unicode/utf8"
)

type tokenKind int

const (
	endToken    tokenKind = iota
	wordToken             // attribute name, function name or keyword
	nameToken             // #placeholder
	valueToken            // :placeholder
	numberToken           // digits
	signToken             // operator or punctuation
	badToken              // a byte that the language does not have
)

type token struct {
	kind       tokenKind
	text       string
	start, end int // place in the expression, in bytes
}

func letter(c byte) bool   { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool    { return c >= '0' && c <= '9' }
func wordByte(c byte) bool { return letter(c) || digit(c) || c == '_' }

// lex cuts the whole expression into tokens; the last one is always the end.
func lex(s string) []token {
	var out []token
	for at := 0; at < len(s); {
		c := s[at]
		end := at + 1
		kind := badToken
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			at++
			continue
		case letter(c):
			kind, end = wordToken, wordEnd(s, at+1)
		case digit(c):
			kind = numberToken
			for end < len(s) && digit(s[end]) {
				end++
			}
		case c == '#' || c == ':':
			end = wordEnd(s, at+1)
			if end > at+1 {
				kind = nameToken
				if c == ':' {
					kind = valueToken
				}
			}
		case strings.IndexByte("()[],.=+-", c) >= 0:
			kind = signToken
		case c == '<' || c == '>':
			kind = signToken
			if end < len(s) && (s[end] == '=' || c == '<' && s[end] == '>') {
				end++
			}
		default:
			_, width := utf8.DecodeRuneInString(s[at:])
			end = at + width
		}
		out = append(out, token{kind: kind, text: s[at:end], start: at, end: end})
		at = end
	}
	return append(out, token{kind: endToken, text: "<EOF>", start: len(s), end: len(s)})
}

func wordEnd(s string, at int) int {
	for at < len(s) && wordByte(s[at]) {
		at++
	}
	return at
}
