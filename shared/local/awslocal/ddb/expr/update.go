package expr

import (
	"slices"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

type sumNode struct {
	minus bool
	x, y  node
}

type action struct {
	path  Path
	value node // nil for REMOVE
}

// Update is a parsed UpdateExpression.
type Update struct {
	set, remove, add, delete []action
}

// ParseUpdate parses an UpdateExpression. Its errors are *Error.
func ParseUpdate(text string, vars *Vars) (*Update, error) {
	u := &Update{}
	err := run(UpdateKind, text, vars, func(p *parser) { p.update(u) })
	if err != nil {
		return nil, err
	}
	return u, nil
}

// Paths returns the document paths that the update writes.
func (u *Update) Paths() []Path {
	var out []Path
	for _, as := range [][]action{u.set, u.remove, u.add, u.delete} {
		for _, a := range as {
			out = append(out, a.path)
		}
	}
	return out
}

// update = section { section }; section = (SET | REMOVE | ADD | DELETE) action { "," action }
func (p *parser) update(u *Update) {
	sections := []struct {
		word string
		rule func() action
		into *[]action
	}{
		{"SET", p.setAction, &u.set},
		{"REMOVE", func() action { return action{path: p.path()} }, &u.remove},
		{"ADD", func() action { return p.setOperation("ADD") }, &u.add},
		{"DELETE", func() action { return p.setOperation("DELETE") }, &u.delete},
	}
	for p.peek().kind != endToken {
		found := false
		for _, s := range sections {
			if !p.takeWord(s.word) {
				continue
			}
			found = true
			if len(*s.into) > 0 {
				p.wrong(refuse("The %q section can only be used once in an update expression;", s.word))
			}
			for {
				*s.into = append(*s.into, s.rule())
				if !p.takeSign(",") {
					break
				}
			}
			break
		}
		if !found {
			p.unexpected()
		}
	}
	p.wrong(apart(u.Paths()))
}

// setAction = path "=" operand [ ("+" | "-") operand ]
func (p *parser) setAction() action {
	a := action{path: p.path()}
	p.needSign("=")
	p.operators++
	a.value = p.updateOperand()
	t := p.peek()
	if p.takeSign("+") || p.takeSign("-") {
		p.operators++
		s := sumNode{minus: t.text == "-", x: a.value, y: p.updateOperand()}
		for _, n := range []node{s.x, s.y} {
			if v, ok := n.(valueNode); ok && v.value.Kind != "" && v.value.Kind != attr.Number {
				p.wrong(refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", t.text, v.value.Kind))
			}
			if c, ok := n.(callNode); ok && c.name == "list_append" {
				p.wrong(refuse("Incorrect operand type for operator or function; operator or function: %s, operand type: L", t.text))
			}
		}
		a.value = s
	}
	return a
}

// updateOperand = :value | path | word "(" updateOperand { "," updateOperand } ")"
func (p *parser) updateOperand() node {
	t := p.peek()
	switch {
	case t.kind == valueToken:
		return valueNode{p.value()}
	case t.kind == wordToken && p.tokens[p.at+1].text == "(":
		p.at += 2
		p.operators++
		c := callNode{name: t.text}
		for {
			c.args = append(c.args, p.updateOperand())
			if p.takeSign(")") {
				break
			}
			p.needSign(",")
		}
		p.wrong(checkUpdateCall(c))
		return c
	default:
		return pathNode{p.path()}
	}
}

func checkUpdateCall(c callNode) *Error {
	if c.name != "if_not_exists" && c.name != "list_append" {
		if _, known := arity[c.name]; known {
			return refuse("The function is not allowed in an update expression; function: %s", c.name)
		}
		return refuse("Invalid function name; function: %s", c.name)
	}
	if len(c.args) != 2 {
		return refuse("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", c.name, len(c.args))
	}
	if c.name == "if_not_exists" {
		if _, ok := c.args[0].(pathNode); !ok {
			return refuse("Operator or function requires a document path; operator or function: if_not_exists")
		}
		return distinct(c.name, c.args)
	}
	for _, a := range c.args {
		if v, ok := a.(valueNode); ok && v.value.Kind != "" && v.value.Kind != attr.List {
			return refuse("Incorrect operand type for operator or function; operator or function: list_append, operand type: %s", v.value.Kind)
		}
	}
	return nil
}

// setOperation = path :value
func (p *parser) setOperation(section string) action {
	a := action{path: p.path()}
	if p.peek().kind != valueToken {
		p.unexpected()
	}
	p.operators++
	v := p.value()
	if v.Kind != "" && !v.Kind.IsSet() && (section == "DELETE" || v.Kind != attr.Number) {
		p.wrong(refuse("Incorrect operand type for operator or function; operator: %s, operand type: %s", section, longNames[v.Kind]))
	}
	a.value = valueNode{v}
	return a
}

// longNames are the words that AWS uses for types in this one refusal.
var longNames = map[attr.Kind]string{attr.String: "STRING", attr.Number: "NUMBER", attr.Binary: "BINARY", attr.Bool: "BOOLEAN",
	attr.Null: "NULL", attr.List: "LIST", attr.Map: "MAP"}

var (
	errMissing  = &Error{Message: "The provided expression refers to an attribute that does not exist in the item"}
	errOperand  = &Error{Message: "An operand in the update expression has an incorrect data type"}
	errDocument = &Error{Message: "The document path provided in the update expression is invalid for update"}
)

// Apply returns the item after the update; the given one stays as it is. Every operand is read from the item as it was. Its errors are
// *Error, or *attr.InvalidError for a sum out of range.
func (u *Update) Apply(old attr.Item) (attr.Item, error) {
	var writes, removals []action
	for _, a := range u.set {
		v, err := operandOf(a.value, old)
		if err != nil {
			return nil, err
		}
		writes = append(writes, action{a.path, v})
	}
	for _, a := range u.add {
		v, err := added(a, old)
		if err != nil {
			return nil, err
		}
		writes = append(writes, action{a.path, v})
	}
	for _, a := range u.delete {
		before, ok := a.path.lookup(old)
		if !ok {
			// Nothing to take away; but what the path leads through must be there, as for REMOVE.
			removals = append(removals, a)
			continue
		}
		gone, ok := a.value.(valueNode)
		if !ok || before.Kind != gone.value.Kind {
			return nil, errOperand
		}
		if left := before.Minus(gone.value); len(left.Set) > 0 {
			writes = append(writes, action{a.path, left})
		} else {
			removals = append(removals, a)
		}
	}
	removals = append(removals, u.remove...)
	// Writes in ascending and removals in descending order, so that places in a list mean what they meant before the update.
	byPath := func(a, b action) int { return a.path.compare(b.path) }
	slices.SortFunc(writes, byPath)
	slices.SortFunc(removals, byPath)
	slices.Reverse(removals)
	root := attr.Value{Kind: attr.Map, Map: old.Clone()}
	var err error
	for _, w := range writes {
		value, ok := w.value.(attr.Value)
		if !ok {
			return nil, errOperand
		}
		if root, err = written(root, w.path, value); err != nil {
			return nil, err
		}
	}
	for _, r := range removals {
		if root, err = removed(root, r.path); err != nil {
			return nil, err
		}
	}
	return root.Map, nil
}

func operandOf(n node, it attr.Item) (attr.Value, error) {
	switch n := n.(type) {
	case valueNode:
		return n.value, nil
	case pathNode:
		v, ok := n.path.lookup(it)
		if !ok {
			return attr.Value{}, errMissing
		}
		return v, nil
	case sumNode:
		x, err := operandOf(n.x, it)
		if err != nil {
			return attr.Value{}, err
		}
		y, err := operandOf(n.y, it)
		if err != nil {
			return attr.Value{}, err
		}
		return total(x, y, n.minus)
	case callNode:
		if n.name == "if_not_exists" {
			// QUIRK: AWS's own DynamoDB Local wants the second operand to be there even if the first is.
			instead, err := operandOf(n.args[1], it)
			if p, ok := n.args[0].(pathNode); ok && err == nil {
				if v, ok := p.path.lookup(it); ok {
					return v, nil
				}
			}
			return instead, err
		}
		return appended(n, it)
	}
	return attr.Value{}, errOperand
}

func appended(n callNode, it attr.Item) (attr.Value, error) {
	out := attr.Value{Kind: attr.List, List: []attr.Value{}}
	for _, a := range n.args {
		v, err := operandOf(a, it)
		if err != nil {
			return attr.Value{}, err
		}
		if v.Kind != attr.List {
			return attr.Value{}, errOperand
		}
		out.List = append(out.List, v.List...)
	}
	return out, nil
}

func total(x, y attr.Value, minus bool) (attr.Value, error) {
	if x.Kind != attr.Number || y.Kind != attr.Number {
		return attr.Value{}, errOperand
	}
	join := attr.Add
	if minus {
		join = attr.Subtract
	}
	text, err := join(x.Text, y.Text)
	return attr.Value{Kind: attr.Number, Text: text}, err
}

func added(a action, it attr.Item) (attr.Value, error) {
	node, literal := a.value.(valueNode)
	if !literal {
		return attr.Value{}, errOperand
	}
	more := node.value
	before, ok := a.path.lookup(it)
	switch {
	case !ok:
		return more, nil
	case before.Kind != more.Kind:
		return attr.Value{}, errOperand
	case more.Kind == attr.Number:
		return total(before, more, false)
	default:
		return before.Union(more), nil
	}
}

// written returns the container with the value at the path; it copies what it changes. The container of the last step must exist.
func written(in attr.Value, path Path, v attr.Value) (attr.Value, error) {
	step, last := path[0], len(path) == 1
	switch {
	case !step.IsIndex && in.Kind == attr.Map:
		if !last {
			child, ok := in.Map[step.Name]
			if !ok {
				return in, errDocument
			}
			var err error
			if v, err = written(child, path[1:], v); err != nil {
				return in, err
			}
		}
		in.Map = in.Map.Clone()
		in.Map[step.Name] = v
		return in, nil
	case step.IsIndex && in.Kind == attr.List:
		if step.Index >= len(in.List) {
			if !last {
				return in, errDocument
			}
			in.List = append(slices.Clone(in.List), v)
			return in, nil
		}
		if !last {
			var err error
			if v, err = written(in.List[step.Index], path[1:], v); err != nil {
				return in, err
			}
		}
		in.List = slices.Clone(in.List)
		in.List[step.Index] = v
		return in, nil
	default:
		return in, errDocument
	}
}

// removed returns the container without what the path leads to; a missing last step is no error.
func removed(in attr.Value, path Path) (attr.Value, error) {
	step, last := path[0], len(path) == 1
	switch {
	case !step.IsIndex && in.Kind == attr.Map:
		child, ok := in.Map[step.Name]
		if !ok {
			if last {
				return in, nil
			}
			return in, errDocument
		}
		in.Map = in.Map.Clone()
		if last {
			delete(in.Map, step.Name)
			return in, nil
		}
		var err error
		in.Map[step.Name], err = removed(child, path[1:])
		return in, err
	case step.IsIndex && in.Kind == attr.List:
		if step.Index >= len(in.List) {
			if last {
				return in, nil
			}
			return in, errDocument
		}
		in.List = slices.Clone(in.List)
		if last {
			in.List = slices.Delete(in.List, step.Index, step.Index+1)
			return in, nil
		}
		var err error
		in.List[step.Index], err = removed(in.List[step.Index], path[1:])
		return in, err
	default:
		return in, errDocument
	}
}
