// Package eventbridge is the default event bus of Amazon EventBridge on one machine, as far as the template uses it: events of AWS services
// go through rules, are made into what a rule's input transformer says, and end in queues. It keeps nothing and answers no requests; what
// a pattern, a path or a template holds besides the few forms that it knows, it refuses when the rules are set.
package eventbridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Rule sends the events that its pattern matches to its targets.
type Rule struct {
	Name    string
	ARN     string
	Pattern map[string]any // as in the template: lists of text, of {exists: true} or {exists: false} at the leaves
	Targets []Target
}

// Target is a queue and the form in which events reach it. It has no dead letters: EventBridge would put the whole event there, with the
// addresses and the subject that the transformer keeps out of the queue.
type Target struct {
	Queue    string            // ARN
	Paths    map[string]string // the input transformer's variables: "$.detail.mail.messageId"
	Template string            // JSON with <variable> in the place of values; "" passes the event on as it is
}

// Bus is the default bus. It is safe for concurrent use.
type Bus struct {
	deliver func(ruleARN, queueARN, body string) error

	mu    sync.Mutex
	rules []Rule
}

// New returns a bus without rules. deliver puts a message into a queue in the name of a rule.
func New(deliver func(ruleARN, queueARN, body string) error) *Bus { return &Bus{deliver: deliver} }

var (
	pathForm = regexp.MustCompile(`^\$(\.[A-Za-z0-9_-]+(\[[0-9]+\])?)+$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	variable = regexp.MustCompile(`<([A-Za-z0-9_.-]+)>`)
)

// SetRules replaces the rules. A rule that says more than this package knows is an error, and then nothing changes.
func (b *Bus) SetRules(rules []Rule) error {
	for _, r := range rules {
		if err := checkPattern(r.Pattern); err != nil {
			return fmt.Errorf("rule %s: its pattern: %w", r.Name, err)
		}
		if len(r.Targets) == 0 {
			return fmt.Errorf("rule %s has no targets", r.Name)
		}
		for _, t := range r.Targets {
			if err := t.check(); err != nil {
				return fmt.Errorf("rule %s: %w", r.Name, err)
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = slices.Clone(rules)
	return nil
}

func (t Target) check() error {
	for name, path := range t.Paths {
		if !nameForm.MatchString(name) || !pathForm.MatchString(path) {
			return fmt.Errorf("the path %s of the variable %s is not understood", path, name)
		}
	}
	if t.Template == "" {
		return nil
	}
	for _, m := range variable.FindAllStringSubmatch(t.Template, -1) {
		if _, ok := t.Paths[m[1]]; !ok {
			return fmt.Errorf("the input template names <%s>, which has no path", m[1])
		}
	}
	if !json.Valid([]byte(variable.ReplaceAllString(t.Template, "0"))) {
		return errors.New("the input template is not JSON with a <variable> for each value")
	}
	return nil
}

// checkPattern knows exact text, {exists: true} and {exists: false}.
func checkPattern(pattern map[string]any) error {
	if len(pattern) == 0 {
		return errors.New("it is empty")
	}
	for key, v := range pattern {
		switch v := v.(type) {
		case map[string]any:
			if err := checkPattern(v); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		case []any:
			for _, one := range v {
				if _, ok := one.(string); !ok && !exists(one, true) && !exists(one, false) {
					return fmt.Errorf("%s: %v is neither text nor {exists: true} or {exists: false}", key, one)
				}
			}
		default:
			return fmt.Errorf("%s: %v is no list", key, v)
		}
	}
	return nil
}

func exists(v any, want bool) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 1 && m["exists"] == want
}

// matches says whether an event, or a part of it, has what a pattern asks for. Of a list in the event, one member is enough.
func matches(pattern, event map[string]any) bool {
	for key, want := range pattern {
		got, there := event[key]
		switch want := want.(type) {
		case map[string]any:
			inner, ok := got.(map[string]any)
			if !ok || !matches(want, inner) {
				return false
			}
		case []any:
			values, isList := got.([]any)
			if !isList && there {
				values = []any{got}
			}
			if !slices.ContainsFunc(want, func(w any) bool {
				return exists(w, true) && len(values) > 0 || exists(w, false) && !there || slices.Contains(values, w)
			}) {
				return false
			}
		}
	}
	return true
}

// Put sends one event through the rules. An error says that a target did not take it: the caller puts it again, as EventBridge itself would.
func (b *Bus) Put(event []byte) error {
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return fmt.Errorf("an event is no JSON: %w", err)
	}
	b.mu.Lock()
	rules := b.rules
	b.mu.Unlock()
	var failed []error
	for _, r := range rules {
		if !matches(r.Pattern, tree) {
			continue
		}
		for _, t := range r.Targets {
			body, err := t.transform(event, tree)
			if err == nil {
				err = b.deliver(r.ARN, t.Queue, body)
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("rule %s: %w", r.Name, err))
			}
		}
	}
	return errors.Join(failed...)
}

// transform makes a target's message of an event. A value is put in as JSON: text with its quotes, a list as a list.
func (t Target) transform(raw []byte, event map[string]any) (string, error) {
	if t.Template == "" {
		return string(raw), nil
	}
	var failed error
	out := variable.ReplaceAllStringFunc(t.Template, func(m string) string {
		path := t.Paths[m[1:len(m)-1]]
		v, ok := follow(event, path)
		if !ok {
			// What EventBridge makes of a path that leads nowhere depends on where the variable stands: a rule must match only events that have it.
			failed = fmt.Errorf("the event has no %s", path)
			return "null"
		}
		b, err := json.Marshal(v)
		if err != nil {
			failed = fmt.Errorf("write %s: %w", path, err)
		}
		return string(b)
	})
	return out, failed
}

// follow is the value at a path that check has let through.
func follow(event map[string]any, path string) (any, bool) {
	var v any = event
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "$."), ".") {
		key, index, indexed := strings.Cut(strings.TrimSuffix(part, "]"), "[")
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[key]; !ok {
			return nil, false
		}
		if !indexed {
			continue
		}
		list, ok := v.([]any)
		n, err := strconv.Atoi(index)
		if !ok || err != nil || n >= len(list) {
			return nil, false
		}
		v = list[n]
	}
	return v, true
}
