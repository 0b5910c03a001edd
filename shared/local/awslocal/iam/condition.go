package iam

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// operator is a condition operator taken apart.
type operator struct {
	set      string // "", "ForAnyValue" or "ForAllValues"
	test     func(have, want string) bool
	negated  bool
	ifExists bool
	null     bool
}

// parseOperator refuses what it doesn't know.
func parseOperator(name string) (operator, error) {
	var o operator
	plain := name
	if set, rest, found := strings.Cut(plain, ":"); found {
		if set != "ForAnyValue" && set != "ForAllValues" {
			return o, fmt.Errorf("unknown condition operator %q", name)
		}
		o.set, plain = set, rest
	}
	plain, o.ifExists = strings.CutSuffix(plain, "IfExists")
	equal := func(have, want string) bool { return have == want }
	match := func(have, want string) bool { return like(want, have) }
	switch plain {
	case "Null":
		if o.ifExists || o.set != "" {
			return o, fmt.Errorf("unknown condition operator %q", name)
		}
		o.null = true
	case "StringEquals":
		o.test = equal
	case "StringNotEquals":
		o.test, o.negated = equal, true
	case "StringEqualsIgnoreCase":
		o.test = strings.EqualFold
	case "StringNotEqualsIgnoreCase":
		o.test, o.negated = strings.EqualFold, true
	case "StringLike", "ArnLike", "ArnEquals":
		o.test = match
	case "StringNotLike", "ArnNotLike", "ArnNotEquals":
		o.test, o.negated = match, true
	case "Bool":
		o.test = strings.EqualFold
	case "NumericEquals":
		o.test = numeric(func(a, b float64) bool { return a == b })
	case "NumericNotEquals":
		o.test, o.negated = numeric(func(a, b float64) bool { return a == b }), true
	case "NumericLessThan":
		o.test = numeric(func(a, b float64) bool { return a < b })
	case "NumericLessThanEquals":
		o.test = numeric(func(a, b float64) bool { return a <= b })
	case "NumericGreaterThan":
		o.test = numeric(func(a, b float64) bool { return a > b })
	case "NumericGreaterThanEquals":
		o.test = numeric(func(a, b float64) bool { return a >= b })
	default:
		return o, fmt.Errorf("unknown condition operator %q", name)
	}
	return o, nil
}

func numeric(compare func(a, b float64) bool) func(have, want string) bool {
	return func(have, want string) bool {
		a, err1 := strconv.ParseFloat(have, 64)
		b, err2 := strconv.ParseFloat(want, 64)
		return err1 == nil && err2 == nil && compare(a, b)
	}
}

// MultiValue separates the values of a context key that has several, for ForAnyValue and ForAllValues.
const MultiValue = "\n"

// holds evaluates one operator, key and list of values. Parse has let only known operators through; a statement made by hand with an
// unknown one holds for nobody.
func holds(name, key string, want []string, context map[string]string) bool {
	o, err := parseOperator(name)
	if err != nil {
		return false
	}
	have, present := lookup(context, key)
	if o.null {
		return slices.Contains(want, strconv.FormatBool(!present))
	}
	matches := func(one string) bool {
		found := slices.ContainsFunc(want, func(w string) bool { return o.test(one, w) })
		return found != o.negated
	}
	switch {
	case o.set == "ForAllValues":
		return !present || !slices.ContainsFunc(strings.Split(have, MultiValue), func(one string) bool { return !matches(one) })
	case !present:
		// Without the key a negated test holds, except that "any value" needs a value.
		return o.ifExists || o.negated && o.set == ""
	case o.set == "ForAnyValue":
		return slices.ContainsFunc(strings.Split(have, MultiValue), matches)
	}
	return matches(have)
}

// lookup finds a context key, whose name doesn't depend on case.
func lookup(context map[string]string, key string) (string, bool) {
	if v, found := context[key]; found {
		return v, true
	}
	for k, v := range context {
		if strings.EqualFold(k, key) {
			return v, true
		}
	}
	return "", false
}
