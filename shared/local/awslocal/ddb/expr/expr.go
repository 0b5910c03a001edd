// Package expr owns DynamoDB's expression language: one lexer, one recursive-descent grammar each for conditions, updates and
// projections, a tree, and its evaluation over an item. It refuses what DynamoDB refuses, in DynamoDB's words. It knows nothing of tables,
// keys or requests.
package expr

import (
	"fmt"
	"sort"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// Error is a refusal in DynamoDB's own words; the service answers it as ValidationException.
type Error struct{ Message string }

func (e *Error) Error() string { return e.Message }

func refuse(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// Kind names the request parameter that an expression came in; it stands in front of every refusal.
type Kind string

// The kinds of expressions.
const (
	ConditionKind    Kind = "ConditionExpression"
	FilterKind       Kind = "FilterExpression"
	KeyConditionKind Kind = "KeyConditionExpression"
	ProjectionKind   Kind = "ProjectionExpression"
	UpdateKind       Kind = "UpdateExpression"
)

// Limits of DynamoDB.
const (
	maxLength    = 4096 // bytes of one expression
	maxOperators = 300  // operators and functions in one expression
	maxInList    = 100  // operands after IN
	maxSteps     = 32   // steps of a document path
)

// Vars are a request's ExpressionAttributeNames and ExpressionAttributeValues. They remember which of them were used.
type Vars struct {
	names      map[string]string
	values     attr.Item
	usedNames  map[string]bool
	usedValues map[string]bool
}

// NewVars checks the placeholders' spelling. nil maps mean that the request has none.
func NewVars(names map[string]string, values attr.Item) (*Vars, error) {
	v := &Vars{names: names, values: values, usedNames: map[string]bool{}, usedValues: map[string]bool{}}
	if names != nil && len(names) == 0 {
		return nil, refuse("ExpressionAttributeNames must not be empty")
	}
	if values != nil && len(values) == 0 {
		return nil, refuse("ExpressionAttributeValues must not be empty")
	}
	for n, target := range names {
		if !placeholder(n, '#') {
			return nil, refuse("ExpressionAttributeNames contains invalid key: Syntax error; key: %q", n)
		}
		if target == "" {
			return nil, refuse("ExpressionAttributeNames contains invalid value: Empty attribute name; key: %s", n)
		}
	}
	for n := range values {
		if !placeholder(n, ':') {
			return nil, refuse("ExpressionAttributeValues contains invalid key: Syntax error; key: %q", n)
		}
	}
	return v, nil
}

func placeholder(s string, mark byte) bool {
	if len(s) < 2 || s[0] != mark {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !wordByte(s[i]) {
			return false
		}
	}
	return true
}

// Unused refuses placeholders that no expression of the request used.
func (v *Vars) Unused() error {
	var left []string
	for n := range v.names {
		if !v.usedNames[n] {
			left = append(left, n)
		}
	}
	if len(left) > 0 {
		sort.Strings(left)
		return refuse("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(left, ", "))
	}
	for n := range v.values {
		if !v.usedValues[n] {
			left = append(left, n)
		}
	}
	if len(left) > 0 {
		sort.Strings(left)
		return refuse("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(left, ", "))
	}
	return nil
}

// Step is one step of a document path: a map's key, or, if IsIndex, a place in a list.
type Step struct {
	Name    string
	Index   int
	IsIndex bool
}

// Path is a document path; its first step is the top-level attribute's name.
type Path []Step

// Top is the top-level attribute's name.
func (p Path) Top() string { return p[0].Name }

// String writes the path as AWS does in its refusals: [a, [0], b].
func (p Path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		parts[i] = s.Name
		if s.IsIndex {
			parts[i] = fmt.Sprintf("[%d]", s.Index)
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// lookup finds what the path leads to.
func (p Path) lookup(it attr.Item) (attr.Value, bool) {
	v, ok := it[p[0].Name]
	for _, s := range p[1:] {
		if !ok {
			return attr.Value{}, false
		}
		switch {
		case s.IsIndex && v.Kind == attr.List && s.Index < len(v.List):
			v = v.List[s.Index]
		case !s.IsIndex && v.Kind == attr.Map:
			v, ok = v.Map[s.Name]
		default:
			return attr.Value{}, false
		}
	}
	return v, ok
}

// compare orders paths step by step; a path sorts before the paths below it.
func (p Path) compare(o Path) int {
	for i := 0; i < len(p) && i < len(o); i++ {
		a, b := p[i], o[i]
		switch {
		case a == b:
			continue
		case a.IsIndex && b.IsIndex:
			return a.Index - b.Index
		case a.IsIndex != b.IsIndex:
			if a.IsIndex {
				return -1
			}
			return 1
		default:
			return strings.Compare(a.Name, b.Name)
		}
	}
	return len(p) - len(o)
}

// apart refuses two paths of which one lies within the other, or which can't both exist (a.b beside a[0]).
func apart(paths []Path) *Error {
	for i, p := range paths {
		for _, q := range paths[:i] {
			n := 0
			for n < len(p) && n < len(q) && p[n] == q[n] {
				n++
			}
			switch {
			case n == len(p) || n == len(q):
				return refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", q, p)
			case p[n].IsIndex != q[n].IsIndex:
				return refuse("Two document paths conflict with each other; must remove or rewrite one of these paths; path one: %s, path two: %s", q, p)
			}
		}
	}
	return nil
}
