package expr

import (
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// KeyTerm is one condition on a key attribute. Op is "=", "<", "<=", ">", ">=", "begins_with" or "BETWEEN" (two values).
type KeyTerm struct {
	Name   string
	Op     string
	Values []attr.Value
}

// ParseKeyCondition parses a KeyConditionExpression: one or two terms joined by AND. Which of them is the partition key is for the caller
// to say, who knows the schema. Its errors are *Error.
func ParseKeyCondition(text string, vars *Vars) ([]KeyTerm, error) {
	var root node
	err := run(KeyConditionKind, text, vars, func(p *parser) { root = p.condition() })
	if err != nil {
		return nil, err
	}
	var terms []KeyTerm
	if e := keyTerms(root, &terms); e != nil {
		return nil, refuse("Invalid %s: %s", KeyConditionKind, e.Message)
	}
	seen := map[string]bool{}
	for _, t := range terms {
		if seen[t.Name] {
			return nil, refuse("Invalid %s: KeyConditionExpressions must only contain one condition per key", KeyConditionKind)
		}
		seen[t.Name] = true
	}
	if len(terms) > 2 {
		return nil, refuse("Invalid %s: Conditions can be of length 1 or 2 only", KeyConditionKind)
	}
	return terms, nil
}

func keyTerms(n node, into *[]KeyTerm) *Error {
	operator := func(op string) *Error { return refuse("Invalid operator used in KeyConditionExpression: %s", op) }
	switch n := n.(type) {
	case joinNode:
		if !n.and {
			return operator("OR")
		}
		if e := keyTerms(n.x, into); e != nil {
			return e
		}
		return keyTerms(n.y, into)
	case notNode:
		return operator("NOT")
	case inNode:
		return operator("IN")
	case compareNode:
		if n.op == "<>" {
			return operator("<>")
		}
		return keyTerm(n.op, n.x, []node{n.y}, into)
	case betweenNode:
		return keyTerm("BETWEEN", n.x, []node{n.low, n.high}, into)
	case callNode:
		if n.name != "begins_with" {
			return operator(n.name)
		}
		return keyTerm(n.name, n.args[0], n.args[1:], into)
	}
	return refuse("Query key condition not supported")
}

func keyTerm(op string, x node, ys []node, into *[]KeyTerm) *Error {
	p, ok := x.(pathNode)
	if !ok {
		return refuse("The key condition must name a key attribute first; operator: %s", op)
	}
	if len(p.path) != 1 {
		return refuse("KeyConditionExpressions cannot have conditions on nested attributes")
	}
	t := KeyTerm{Name: p.path.Top(), Op: op}
	for _, y := range ys {
		v, ok := y.(valueNode)
		if !ok {
			return refuse("Invalid operand in a key condition; operator: %s: only values may follow it", op)
		}
		t.Values = append(t.Values, v.value)
	}
	*into = append(*into, t)
	return nil
}
