package expr

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// The tree. Operands stand for a value: pathNode, valueNode, and callNode of size, if_not_exists and list_append. Conditions stand for true
// or false: the rest.
type (
	node      any
	pathNode  struct{ path Path }
	valueNode struct{ value attr.Value }
	callNode  struct {
		name string
		args []node
	}
	compareNode struct {
		op   string
		x, y node
	}
	betweenNode struct{ x, low, high node }
	inNode      struct {
		x    node
		list []node
	}
	joinNode struct {
		and  bool
		x, y node
	}
	notNode struct{ x node }
)

// Condition is a parsed condition or filter.
type Condition struct {
	root node
	tops []string
}

// ParseCondition parses a ConditionExpression or FilterExpression. Its errors are *Error.
func ParseCondition(kind Kind, text string, vars *Vars) (*Condition, error) {
	c := &Condition{}
	err := run(kind, text, vars, func(p *parser) { c.root = p.condition() })
	if err != nil {
		return nil, err
	}
	walk(c.root, func(n node) {
		if pn, ok := n.(pathNode); ok {
			c.tops = append(c.tops, pn.path.Top())
		}
	})
	return c, nil
}

// Names returns the top-level attributes that the condition looks at.
func (c *Condition) Names() []string { return c.tops }

// Holds evaluates the condition; a missing item is an empty one.
func (c *Condition) Holds(it attr.Item) bool { return holds(c.root, it) }

func walk(n node, f func(node)) {
	f(n)
	switch n := n.(type) {
	case callNode:
		walkAll(n.args, f)
	case compareNode:
		walkAll([]node{n.x, n.y}, f)
	case betweenNode:
		walkAll([]node{n.x, n.low, n.high}, f)
	case inNode:
		walk(n.x, f)
		walkAll(n.list, f)
	case joinNode:
		walkAll([]node{n.x, n.y}, f)
	case notNode:
		walk(n.x, f)
	}
}

func walkAll(ns []node, f func(node)) {
	for _, n := range ns {
		walk(n, f)
	}
}

func operand(n node) bool {
	switch n := n.(type) {
	case pathNode, valueNode:
		return true
	case callNode:
		return n.name == "size"
	default:
		return false
	}
}

// condition = or; the whole must be true or false.
func (p *parser) condition() node {
	n, _ := p.or()
	p.needCondition(n)
	return n
}

func (p *parser) needCondition(n node) {
	if c, ok := n.(callNode); ok && c.name == "size" {
		p.wrong(refuse("The function is not allowed to be used this way in an expression; function: size"))
		return
	}
	if operand(n) {
		p.unexpected()
	}
}

// or = and { OR and }. The second result says that the whole was one pair of parentheses.
func (p *parser) or() (node, bool) {
	x, bare := p.and()
	for p.takeWord("OR") {
		p.needCondition(x)
		y, _ := p.and()
		p.needCondition(y)
		p.operators++
		x, bare = joinNode{x: x, y: y}, false
	}
	return x, bare
}

// and = not { AND not }
func (p *parser) and() (node, bool) {
	x, bare := p.not()
	for p.takeWord("AND") {
		p.needCondition(x)
		y, _ := p.not()
		p.needCondition(y)
		p.operators++
		x, bare = joinNode{and: true, x: x, y: y}, false
	}
	return x, bare
}

// not = NOT not | predicate
func (p *parser) not() (node, bool) {
	if !p.takeWord("NOT") {
		return p.predicate()
	}
	p.operators++
	x, _ := p.not()
	p.needCondition(x)
	return notNode{x}, false
}

// predicate = term [ comparator term | BETWEEN term AND term | IN "(" term { "," term } ")" ]
func (p *parser) predicate() (node, bool) {
	x, bare := p.term()
	t := p.peek()
	switch {
	case t.kind == signToken && comparators[t.text]:
		p.at++
		p.operators++
		p.needOperand(x)
		y, _ := p.term()
		p.needOperand(y)
		p.wrong(checkOperands(t.text, []node{x, y}))
		return compareNode{op: t.text, x: x, y: y}, false
	case p.takeWord("BETWEEN"):
		p.operators++
		p.needOperand(x)
		low, _ := p.term()
		p.needOperand(low)
		if !p.takeWord("AND") {
			p.unexpected()
		}
		high, _ := p.term()
		p.needOperand(high)
		p.wrong(checkOperands("BETWEEN", []node{x, low, high}))
		p.wrong(checkBounds(low, high))
		return betweenNode{x, low, high}, false
	case p.takeWord("IN"):
		p.operators++
		p.needOperand(x)
		p.needSign("(")
		list := p.terms()
		for _, n := range list {
			p.needOperand(n)
		}
		if len(list) > maxInList {
			p.wrong(refuse("Incorrect number of operands for operator or function; operator or function: IN, number of operands: %d", len(list)))
		}
		p.wrong(checkOperands("IN", append([]node{x}, list...)))
		return inNode{x: x, list: list}, false
	}
	return x, bare
}

var comparators = map[string]bool{"=": true, "<>": true, "<": true, "<=": true, ">": true, ">=": true}

// terms = term { "," term } ")"
func (p *parser) terms() []node {
	var out []node
	for {
		n, _ := p.term()
		out = append(out, n)
		if p.takeSign(")") {
			return out
		}
		p.needSign(",")
	}
}

// needOperand refuses a condition where a value must stand.
func (p *parser) needOperand(n node) {
	switch n := n.(type) {
	case callNode:
		if n.name != "size" {
			p.wrong(refuse("The function is not allowed to be used this way in an expression; function: %s", n.name))
		}
	case pathNode, valueNode:
	default:
		p.unexpected()
	}
}

// term = "(" or ")" | word "(" terms ")" | :value | path
func (p *parser) term() (node, bool) {
	t := p.peek()
	switch {
	case p.takeSign("("):
		n, bare := p.or()
		p.needSign(")")
		if bare {
			p.wrong(refuse("The expression has redundant parentheses;"))
		}
		return n, true
	case t.kind == wordToken && p.tokens[p.at+1].text == "(" && !conditionWords[strings.ToUpper(t.text)]:
		p.at += 2
		p.operators++
		c := callNode{name: t.text, args: p.terms()}
		p.wrong(checkCall(c))
		return c, false
	case t.kind == valueToken:
		return valueNode{p.value()}, false
	default:
		return pathNode{p.path()}, false
	}
}

var arity = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1}

var typeNames = []string{"B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"}

func checkCall(c callNode) *Error {
	want, known := arity[c.name]
	if !known {
		return refuse("Invalid function name; function: %s", c.name)
	}
	for _, a := range c.args {
		if inner, ok := a.(callNode); ok && inner.name != "size" {
			return refuse("The function is not allowed to be used this way in an expression; function: %s", inner.name)
		}
		if !operand(a) {
			return refuse("Syntax error; token: \"%s\"", c.name)
		}
	}
	if len(c.args) != want {
		return refuse("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", c.name, len(c.args))
	}
	wrongType := func(k attr.Kind) *Error {
		return refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", c.name, k)
	}
	switch c.name {
	case "attribute_exists", "attribute_not_exists":
		if _, ok := c.args[0].(pathNode); !ok {
			return refuse("Operator or function requires a document path; operator or function: %s", c.name)
		}
	case "attribute_type":
		v, ok := c.args[1].(valueNode)
		if !ok {
			return wrongType("{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
		}
		if v.value.Kind != attr.String {
			return wrongType(v.value.Kind)
		}
		if !slices.Contains(typeNames, v.value.Text) {
			return refuse("Invalid attribute type name found; type: %s, valid types: {%s}", v.value.Text, strings.Join(typeNames, ","))
		}
	case "begins_with":
		for _, a := range c.args {
			if k := staticKind(a); k != "" && k != attr.String && k != attr.Binary {
				return wrongType(k)
			}
		}
		return distinct(c.name, c.args)
	case "contains":
		return distinct(c.name, c.args)
	case "size":
		switch k := staticKind(c.args[0]); k {
		case attr.Number, attr.Bool, attr.Null:
			return wrongType(k)
		}
	}
	return nil
}

// staticKind is the type that an operand has whatever the item; "" if it depends on the item.
func staticKind(n node) attr.Kind {
	switch n := n.(type) {
	case valueNode:
		return n.value.Kind
	case callNode:
		if n.name == "size" {
			return attr.Number
		}
	}
	return ""
}

func checkOperands(op string, ns []node) *Error {
	if op != "=" && op != "<>" && op != "IN" {
		for _, n := range ns {
			switch k := staticKind(n); k {
			case "", attr.String, attr.Number, attr.Binary:
			default:
				return refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", op, k)
			}
		}
	}
	return distinct(op, ns)
}

func distinct(op string, ns []node) *Error {
	first, ok := ns[0].(pathNode)
	if !ok {
		return nil
	}
	for _, n := range ns[1:] {
		if other, ok := n.(pathNode); ok && first.path.compare(other.path) == 0 {
			return refuse("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", op, first.path)
		}
	}
	return nil
}

func checkBounds(low, high node) *Error {
	l, ok1 := low.(valueNode)
	h, ok2 := high.(valueNode)
	if !ok1 || !ok2 || l.value.Kind == "" || h.value.Kind == "" {
		return nil
	}
	order, comparable := attr.Compare(l.value, h.value)
	switch {
	case !comparable:
		return refuse("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s", l.value, h.value)
	case order > 0:
		return refuse("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s", l.value, h.value)
	}
	return nil
}

// valueOf evaluates an operand; false means that the item has no such attribute.
func valueOf(n node, it attr.Item) (attr.Value, bool) {
	switch n := n.(type) {
	case valueNode:
		return n.value, true
	case pathNode:
		return n.path.lookup(it)
	case callNode: // size; the parser let no other call stand here
		v, ok := valueOf(n.args[0], it)
		if !ok {
			return attr.Value{}, false
		}
		var size int
		switch v.Kind {
		case attr.String, attr.Binary:
			size = len(v.Text)
		case attr.List:
			size = len(v.List)
		case attr.Map:
			size = len(v.Map)
		case attr.StringSet, attr.NumberSet, attr.BinarySet:
			size = len(v.Set)
		default:
			return attr.Value{}, false
		}
		return attr.Value{Kind: attr.Number, Text: strconv.Itoa(size)}, true
	}
	return attr.Value{}, false
}

func holds(n node, it attr.Item) bool {
	switch n := n.(type) {
	case joinNode:
		if n.and {
			return holds(n.x, it) && holds(n.y, it)
		}
		return holds(n.x, it) || holds(n.y, it)
	case notNode:
		return !holds(n.x, it)
	case compareNode:
		return compare(n.op, n.x, n.y, it)
	case betweenNode:
		return compare(">=", n.x, n.low, it) && compare("<=", n.x, n.high, it)
	case inNode:
		return slices.ContainsFunc(n.list, func(e node) bool { return compare("=", n.x, e, it) })
	case callNode:
		return call(n, it)
	}
	return false
}

// compare is false if either side is missing, but for <>: what is missing differs from everything.
func compare(op string, x, y node, it attr.Item) bool {
	a, ok1 := valueOf(x, it)
	b, ok2 := valueOf(y, it)
	if !ok1 || !ok2 {
		return op == "<>"
	}
	switch op {
	case "=":
		return attr.Equal(a, b)
	case "<>":
		return !attr.Equal(a, b)
	}
	order, comparable := attr.Compare(a, b)
	if !comparable {
		return false
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

func call(n callNode, it attr.Item) bool {
	x, ok := valueOf(n.args[0], it)
	switch n.name {
	case "attribute_exists":
		return ok
	case "attribute_not_exists":
		return !ok
	}
	y, ok2 := valueOf(n.args[1], it)
	if !ok || !ok2 {
		return false
	}
	switch n.name {
	case "attribute_type":
		return string(x.Kind) == y.Text
	case "begins_with":
		return x.Kind == y.Kind && (x.Kind == attr.String || x.Kind == attr.Binary) && strings.HasPrefix(x.Text, y.Text)
	default: // contains
		switch x.Kind {
		case attr.String, attr.Binary:
			return x.Kind == y.Kind && strings.Contains(x.Text, y.Text)
		case attr.List:
			return slices.ContainsFunc(x.List, func(e attr.Value) bool { return attr.Equal(e, y) })
		default:
			return x.HasMember(y)
		}
	}
}
