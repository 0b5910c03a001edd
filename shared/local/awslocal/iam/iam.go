// Package iam evaluates policy documents as AWS does: what no statement allows is denied, and an explicit Deny wins. It owns the
// language of policies and nothing else; who calls, and what is asked for, comes from the services. What it doesn't know it refuses
// when a policy is read, never by ignoring it later.
package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

// Statement is one statement of a policy document.
type Statement struct {
	Sid         string
	Effect      string   // "Allow" or "Deny"
	Principal   []string // of a resource's policy: "*", account ids, ARNs, service names; nil in an identity's policy
	Action      []string
	NotAction   []string
	Resource    []string
	NotResource []string
	Condition   map[string]map[string][]string // operator → key → values
}

// Policies are the statements of any number of policy documents. Safe for concurrent use once made.
type Policies []Statement

// Decision is what policies say about a request.
type Decision int

// A request that no statement speaks of is NotAllowed; Denied is an explicit Deny.
const (
	NotAllowed Decision = iota
	Allowed
	Denied
)

// Allowed says whether the policies allow the request.
func (p Policies) Allowed(r authz.Request) bool { return p.Decide(r) == Allowed }

// Decide evaluates every statement. A statement with principals counts only for the caller in the context key aws:PrincipalArn, or
// for everyone if it names "*".
func (p Policies) Decide(r authz.Request) Decision {
	decision := NotAllowed
	for i := range p {
		if !p[i].matches(r) {
			continue
		}
		if p[i].Effect == "Deny" {
			return Denied
		}
		decision = Allowed
	}
	return decision
}

func (s *Statement) matches(r authz.Request) bool {
	if s.Principal != nil && !slices.Contains(s.Principal, "*") && !slices.Contains(s.Principal, r.Context["aws:PrincipalArn"]) {
		return false
	}
	if s.Action != nil && !anyLike(s.Action, r.Action, true) || s.NotAction != nil && anyLike(s.NotAction, r.Action, true) {
		return false
	}
	if s.Resource != nil && !anyLike(s.Resource, r.Resource, false) || s.NotResource != nil && anyLike(s.NotResource, r.Resource, false) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if !holds(operator, key, values, r.Context) {
				return false
			}
		}
	}
	return true
}

func anyLike(patterns []string, s string, fold bool) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if fold {
			return like(strings.ToLower(p), strings.ToLower(s))
		}
		return like(p, s)
	})
}

// like matches * (any run of characters) and ? (any one).
func like(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// ParseJSON reads one policy document.
func ParseJSON(doc []byte) (Policies, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("the policy is no JSON: %w", err)
	}
	if d.More() {
		return nil, errors.New("the policy is followed by something else")
	}
	return Parse(tree)
}

// Parse reads policy documents from a tree of map[string]any, []any, strings, numbers and booleans, as JSON and YAML decoders make
// them: a document with a Statement, or a list of documents. Where AWS allows a string or a list, so does Parse.
func Parse(tree any) (Policies, error) {
	switch t := tree.(type) {
	case []any:
		var all Policies
		for i, doc := range t {
			p, err := Parse(doc)
			if err != nil {
				return nil, fmt.Errorf("policy %d: %w", i+1, err)
			}
			all = append(all, p...)
		}
		return all, nil
	case map[string]any:
		return document(t)
	}
	return nil, fmt.Errorf("a policy must be an object, not %T", tree)
}

func document(doc map[string]any) (Policies, error) {
	for name, value := range doc {
		switch name {
		case "Statement", "Id":
		case "Version":
			if v := fmt.Sprint(value); v != "2012-10-17" && v != "2008-10-17" {
				return nil, fmt.Errorf("unknown policy version %q", v)
			}
		default:
			return nil, fmt.Errorf("unknown element %q in a policy", name)
		}
	}
	list, isList := doc["Statement"].([]any)
	if !isList {
		list = []any{doc["Statement"]}
	}
	var out Policies
	for i, one := range list {
		fields, ok := one.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("statement %d must be an object, not %T", i+1, one)
		}
		s, err := statement(fields)
		if err != nil {
			return nil, fmt.Errorf("statement %d %s: %w", i+1, s.Sid, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func statement(fields map[string]any) (Statement, error) {
	var s Statement
	for name, value := range fields {
		var err error
		switch name {
		case "Sid":
			s.Sid = fmt.Sprint(value)
		case "Effect":
			s.Effect = fmt.Sprint(value)
		case "Principal":
			s.Principal, err = principals(value)
		case "Action":
			s.Action, err = stringList(value)
		case "NotAction":
			s.NotAction, err = stringList(value)
		case "Resource":
			s.Resource, err = stringList(value)
		case "NotResource":
			s.NotResource, err = stringList(value)
		case "Condition":
			s.Condition, err = condition(value)
		default:
			err = errors.New("it is not supported")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return s, fmt.Errorf("the Effect must be Allow or Deny, not %q", s.Effect)
	case (s.Action == nil) == (s.NotAction == nil):
		return s, errors.New("exactly one of Action and NotAction is needed")
	case s.Resource != nil && s.NotResource != nil:
		return s, errors.New("only one of Resource and NotResource is possible")
	case s.Resource == nil && s.NotResource == nil && s.Principal == nil:
		return s, errors.New("exactly one of Resource and NotResource is needed")
	}
	return s, nil
}

func principals(value any) ([]string, error) {
	kinds, ok := value.(map[string]any)
	if !ok {
		return stringList(value)
	}
	out := []string{}
	for _, list := range kinds {
		names, err := stringList(list)
		if err != nil {
			return nil, err
		}
		out = append(out, names...)
	}
	return out, nil
}

// stringList reads a string or a list of strings; it is never nil, so that an empty list is not taken for an absent one.
func stringList(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		var s string
		switch v := one.(type) {
		case string:
			s = v
		case bool, float64, int, int64:
			s = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("a string is needed, not %T", one)
		}
		if strings.Contains(s, "${") {
			return nil, fmt.Errorf("policy variables are not supported: %s", s)
		}
		out = append(out, s)
	}
	return out, nil
}

func condition(value any) (map[string]map[string][]string, error) {
	operators, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("an object is needed, not %T", value)
	}
	out := map[string]map[string][]string{}
	for operator, inner := range operators {
		if _, err := parseOperator(operator); err != nil {
			return nil, err
		}
		keys, ok := inner.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: an object is needed, not %T", operator, inner)
		}
		out[operator] = map[string][]string{}
		for key, values := range keys {
			list, err := stringList(values)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", operator, key, err)
			}
			out[operator][key] = list
		}
	}
	return out, nil
}
