package expr

import (
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// parser walks the tokens of one expression. A broken sentence ends it at once through a panic with *Error, caught in run; what is wrong
// with the meaning of a well-formed one (a reserved word, an undefined placeholder) is kept in soft, for DynamoDB names syntax errors first.
type parser struct {
	kind      Kind
	text      string
	tokens    []token
	at        int
	vars      *Vars
	soft      *Error
	operators int
}

// run parses a whole expression with the given rule and reports the first thing wrong with it.
func run(kind Kind, text string, vars *Vars, rule func(*parser)) (err error) {
	named := func(e *Error) error { return refuse("Invalid %s: %s", kind, e.Message) }
	if strings.Trim(text, " \t\r\n") == "" {
		return named(refuse("The expression can not be empty;"))
	}
	if len(text) > maxLength {
		return named(refuse("Expression size has exceeded the maximum allowed size; expression size: %d", len(text)))
	}
	p := &parser{kind: kind, text: text, tokens: lex(text), vars: vars}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			err = named(e)
		}
	}()
	rule(p)
	if p.peek().kind != endToken {
		p.unexpected()
	}
	if p.operators > maxOperators {
		p.wrong(refuse("The expression contains too many operators; operator count: %d", p.operators))
	}
	if p.soft != nil {
		return named(p.soft)
	}
	return nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != endToken {
		p.at++
	}
	return t
}

// unexpected ends the parse at the current token.
func (p *parser) unexpected() {
	t := p.peek()
	from, to := t, t
	if p.at > 0 {
		from = p.tokens[p.at-1]
	}
	if p.at+1 < len(p.tokens) {
		to = p.tokens[p.at+1]
	}
	panic(refuse("Syntax error; token: \"%s\", near: \"%s\"", t.text, p.text[from.start:to.end]))
}

// wrong keeps the first complaint about the meaning.
func (p *parser) wrong(e *Error) {
	if p.soft == nil && e != nil {
		p.soft = e
	}
}

func (p *parser) isSign(s string) bool {
	t := p.peek()
	return t.kind == signToken && t.text == s
}

func (p *parser) takeSign(s string) bool {
	if p.isSign(s) {
		p.at++
		return true
	}
	return false
}

func (p *parser) needSign(s string) {
	if !p.takeSign(s) {
		p.unexpected()
	}
}

// takeWord takes the next token if it is the keyword, in any case.
func (p *parser) takeWord(keyword string) bool {
	t := p.peek()
	if t.kind == wordToken && strings.EqualFold(t.text, keyword) {
		p.at++
		return true
	}
	return false
}

// keywords are part of the grammar and can never be names.
var keywords = map[Kind]map[string]bool{
	ConditionKind:    conditionWords,
	FilterKind:       conditionWords,
	KeyConditionKind: conditionWords,
	UpdateKind:       {"SET": true, "REMOVE": true, "ADD": true, "DELETE": true},
}

var conditionWords = map[string]bool{"AND": true, "OR": true, "NOT": true, "BETWEEN": true, "IN": true}

// name takes one name of a document path: a plain word or a #placeholder.
func (p *parser) name() string {
	t := p.peek()
	switch t.kind {
	case wordToken:
		upper := strings.ToUpper(t.text)
		if keywords[p.kind][upper] {
			p.unexpected()
		}
		if reserved[upper] {
			p.wrong(refuse("Attribute name is a reserved keyword; reserved keyword: %s", t.text))
		}
		p.at++
		return t.text
	case nameToken:
		p.at++
		target, ok := p.vars.names[t.text]
		if !ok {
			p.wrong(refuse("An expression attribute name used in the document path is not defined; attribute name: %s", t.text))
			return t.text
		}
		p.vars.usedNames[t.text] = true
		return target
	default:
		p.unexpected()
		return ""
	}
}

// path = name { "." name | "[" digits "]" }
func (p *parser) path() Path {
	out := Path{{Name: p.name()}}
	for {
		switch {
		case p.takeSign("."):
			out = append(out, Step{Name: p.name()})
		case p.takeSign("["):
			t := p.peek()
			if t.kind != numberToken {
				p.unexpected()
			}
			p.at++
			n, err := strconv.ParseInt(t.text, 10, 32)
			if err != nil {
				p.wrong(refuse("List index is not within the allowable range; index: [%s]", t.text))
			}
			out = append(out, Step{Index: int(n), IsIndex: true})
			p.needSign("]")
		default:
			if len(out) > maxSteps {
				p.wrong(refuse("The document path has too many nesting elements; nesting level: %d", len(out)))
			}
			return out
		}
	}
}

// value takes a :placeholder.
func (p *parser) value() attr.Value {
	t := p.take()
	v, ok := p.vars.values[t.text]
	if !ok {
		p.wrong(refuse("An expression attribute value used in expression is not defined; attribute value: %s", t.text))
		return attr.Value{}
	}
	p.vars.usedValues[t.text] = true
	return v
}
