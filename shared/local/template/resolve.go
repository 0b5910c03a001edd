package template

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

type kind int

const (
	scalar kind = iota
	list
	object
	noValue // AWS::NoValue: the property is as if it weren't written
)

// value is a node with every function in it resolved; it remembers its line.
type value struct {
	kind   kind
	line   int
	bad    bool // it couldn't be resolved, which has been said already
	text   string
	tag    string // of scalars: !!str, !!int, !!bool, !!float, !!null
	items  []value
	keys   []string
	fields map[string]value
}

func text(line int, s string) value { return value{kind: scalar, line: line, tag: "!!str", text: s} }

// plain turns a value into what encoding/json would have made of it, with int64 for whole numbers.
func (v value) plain() any {
	switch v.kind {
	case list:
		out := make([]any, 0, len(v.items))
		for _, it := range v.items {
			out = append(out, it.plain())
		}
		return out
	case object:
		return v.plainObject()
	}
	switch v.tag {
	case "!!int":
		if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
			return n
		}
	case "!!float":
		if f, err := strconv.ParseFloat(v.text, 64); err == nil {
			return f
		}
	case "!!bool":
		return v.text == "true"
	case "!!null":
		return nil
	}
	return v.text
}

func (v value) plainObject() map[string]any {
	out := make(map[string]any, len(v.keys))
	for _, k := range v.keys {
		out[k] = v.fields[k].plain()
	}
	return out
}

// functions are the intrinsic functions that the reader resolves; all others are refused by name.
var functions = []string{"Ref", "Condition", "Fn::Sub", "Fn::GetAtt", "Fn::If", "Fn::Join", "Fn::Split", "Fn::Select", "Fn::GetAZs", "Fn::Cidr", "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or"}

type resolver struct {
	path       string
	params     map[string]string
	given      map[string]string
	conditions map[string]*yaml.Node
	resources  map[string]declared
	order      []string
	errs       []error
	depth      int
}

// declared is a resource as far as others can refer to it.
type declared struct {
	id, typ  string
	line     int
	node     *yaml.Node
	name     string // explicit physical name, if one is given
	naming   bool   // the name is being worked out: a reference to it now is a circle
	resolved bool
}

func newResolver(path string, given map[string]string) *resolver {
	return &resolver{path: path, given: given, params: map[string]string{}, conditions: map[string]*yaml.Node{}, resources: map[string]declared{}}
}

func (r *resolver) fail(line int, remedy, problem string, args ...any) value {
	r.errs = append(r.errs, &Error{Path: r.path, Line: line, Problem: fmt.Sprintf(problem, args...), Remedy: remedy})
	return value{kind: scalar, line: line, bad: true}
}

// fields returns a mapping's keys in order and its nodes; a key written twice is a mistake.
func (r *resolver) fields(n *yaml.Node, what string) ([]string, map[string]*yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fail(n.Line, "write it as `name: value` lines", "%s must be a mapping", what)
		return nil, nil
	}
	var keys []string
	nodes := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			r.fail(k.Line, "write the properties out", "CloudFormation takes only plain names as keys")
			continue
		}
		if _, twice := nodes[k.Value]; twice {
			r.fail(k.Line, "keep one of the two", "%s has %s twice", what, k.Value)
			continue
		}
		keys = append(keys, k.Value)
		nodes[k.Value] = n.Content[i+1]
	}
	return keys, nodes
}

// call finds out whether a node is an intrinsic function, written short (!Ref x) or long (Ref: x).
func call(n *yaml.Node) (name string, arg *yaml.Node, ok bool) {
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		name = n.Tag[1:]
		if name != "Ref" && name != "Condition" {
			name = "Fn::" + name
		}
		bare := *n
		bare.Tag = ""
		if n.Kind == yaml.ScalarNode {
			bare.Tag = "!!str"
		}
		return name, &bare, true
	}
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		k := n.Content[0].Value
		if k == "Ref" || strings.HasPrefix(k, "Fn::") {
			return k, n.Content[1], true
		}
	}
	return "", nil, false
}

func (r *resolver) eval(n *yaml.Node) value {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > 100 {
		return r.fail(n.Line, "break the circle", "values refer to each other in a circle")
	}
	if name, arg, ok := call(n); ok {
		return r.evalCall(n.Line, name, arg)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		tag := n.Tag
		if tag == "!!timestamp" {
			tag = "!!str"
		}
		return value{kind: scalar, line: n.Line, text: n.Value, tag: tag}
	case yaml.SequenceNode:
		v := value{kind: list, line: n.Line}
		for _, c := range n.Content {
			if it := r.eval(c); it.kind != noValue {
				v.items = append(v.items, it)
			}
		}
		return v
	case yaml.MappingNode:
		v := value{kind: object, line: n.Line, fields: map[string]value{}}
		keys, nodes := r.fields(n, "this mapping")
		for _, k := range keys {
			if it := r.eval(nodes[k]); it.kind != noValue {
				v.keys = append(v.keys, k)
				v.fields[k] = it
			}
		}
		return v
	default:
		return r.fail(n.Line, "write the value out", "CloudFormation takes no YAML anchors and aliases")
	}
}

func (r *resolver) evalCall(line int, name string, arg *yaml.Node) value {
	switch name {
	case "Ref":
		return r.ref(line, arg.Value)
	case "Fn::Sub":
		return r.sub(line, arg)
	case "Fn::GetAtt":
		return r.getAtt(line, arg)
	case "Fn::If":
		parts := r.args(line, name, arg, 3)
		if parts == nil {
			return value{line: line, bad: true}
		}
		if r.condition(line, parts[0].Value) {
			return r.eval(parts[1])
		}
		return r.eval(parts[2])
	case "Fn::Join":
		parts := r.args(line, name, arg, 2)
		if parts == nil {
			return value{line: line, bad: true}
		}
		items := r.eval(parts[1])
		words := make([]string, 0, len(items.items))
		for _, it := range items.items {
			words = append(words, it.text)
		}
		return text(line, strings.Join(words, parts[0].Value))
	case "Fn::Split":
		parts := r.args(line, name, arg, 2)
		if parts == nil {
			return value{line: line, bad: true}
		}
		whole := r.eval(parts[1])
		if whole.bad {
			return whole
		}
		out := value{kind: list, line: line}
		for _, word := range strings.Split(whole.text, parts[0].Value) {
			out.items = append(out.items, text(line, word))
		}
		return out
	case "Fn::Select":
		parts := r.args(line, name, arg, 2)
		if parts == nil {
			return value{line: line, bad: true}
		}
		index, err := strconv.Atoi(r.eval(parts[0]).text)
		items := r.eval(parts[1])
		if items.bad {
			return items
		}
		if err != nil || index < 0 || index >= len(items.items) {
			return r.fail(line, fmt.Sprintf("the list has %d items, the first is number 0", len(items.items)), "!Select asks for item %q", parts[0].Value)
		}
		return items.items[index]
	case "Fn::GetAZs":
		region := r.params[Region]
		return value{kind: list, line: line, items: []value{text(line, region+"a"), text(line, region+"b"), text(line, region+"c")}}
	case "Fn::Cidr":
		return r.cidr(line, arg)
	case "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or", "Condition":
		return r.fail(line, "move it to the section Conditions and refer to it with !If", "%s stands outside the section Conditions", short(name))
	default:
		return r.fail(line, "the local reader resolves "+strings.Join(shortNames(), ", ")+"; say it with one of these", "%s is not understood", short(name))
	}
}

func (r *resolver) args(line int, name string, arg *yaml.Node, n int) []*yaml.Node {
	if arg.Kind != yaml.SequenceNode || len(arg.Content) != n {
		r.fail(line, fmt.Sprintf("write %s [..] with exactly %d items", short(name), n), "%s has the wrong number of items", short(name))
		return nil
	}
	return arg.Content
}

func short(name string) string { return "!" + strings.TrimPrefix(name, "Fn::") }

func shortNames() []string {
	out := make([]string, 0, len(functions))
	for _, f := range functions {
		out = append(out, short(f))
	}
	return out
}

func (r *resolver) ref(line int, name string) value {
	if name == "AWS::NoValue" {
		return value{kind: noValue, line: line}
	}
	if v, ok := r.params[name]; ok {
		return text(line, v)
	}
	if d, ok := r.resources[name]; ok {
		return text(line, r.physical(line, d))
	}
	return r.fail(line, r.nearest(name), "!Ref %s names neither a parameter nor a resource", name)
}

// nearest is the remedy for a name that doesn't exist: the most similar one that does.
func (r *resolver) nearest(name string) string {
	best, score := "", 1<<30
	var names []string
	for k := range r.params {
		names = append(names, k)
	}
	for k := range r.resources {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < score {
			best, score = k, d
		}
	}
	if score <= 1+len(name)/3 {
		return "did you mean " + best + "?"
	}
	return "add it to Parameters or Resources, or correct the name"
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			next := min(row[j]+1, row[j-1]+1)
			if a[i-1] == b[j-1] {
				next = min(next, diagonal)
			} else {
				next = min(next, diagonal+1)
			}
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}

func (r *resolver) getAtt(line int, arg *yaml.Node) value {
	var id, attr string
	if arg.Kind == yaml.SequenceNode && len(arg.Content) == 2 {
		id, attr = arg.Content[0].Value, arg.Content[1].Value
	} else {
		id, attr, _ = strings.Cut(arg.Value, ".")
	}
	d, ok := r.resources[id]
	if !ok {
		return r.fail(line, r.nearest(id), "!GetAtt %s.%s names no resource", id, attr)
	}
	if s, ok := r.attribute(line, d, attr); ok {
		return text(line, s)
	}
	return r.fail(line, "use an attribute that "+d.typ+" has, and add it to the reader's table of types if it is new", "!GetAtt %s.%s asks for an attribute that the reader doesn't know", id, attr)
}

var placeholder = regexp.MustCompile(`\$\{(!?)([A-Za-z0-9_.:]+)\}`)

func (r *resolver) sub(line int, arg *yaml.Node) value {
	if arg.Kind != yaml.ScalarNode {
		return r.fail(line, "put the values into parameters and write !Sub 'text ${Name}'", "!Sub with a list of its own values is not understood")
	}
	out := placeholder.ReplaceAllStringFunc(arg.Value, func(m string) string {
		g := placeholder.FindStringSubmatch(m)
		if g[1] == "!" {
			return "${" + g[2] + "}"
		}
		if id, attr, ok := strings.Cut(g[2], "."); ok {
			return r.getAtt(line, &yaml.Node{Kind: yaml.SequenceNode, Line: line, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: id}, {Kind: yaml.ScalarNode, Value: attr}}}).text
		}
		return r.ref(line, g[2]).text
	})
	return text(line, out)
}

func (r *resolver) cidr(line int, arg *yaml.Node) value {
	parts := r.args(line, "Fn::Cidr", arg, 3)
	if parts == nil {
		return value{line: line, bad: true}
	}
	block, err := netip.ParsePrefix(r.eval(parts[0]).text)
	count, err2 := strconv.Atoi(r.eval(parts[1]).text)
	bits, err3 := strconv.Atoi(r.eval(parts[2]).text)
	if err != nil || err2 != nil || err3 != nil || !block.Addr().Is4() || bits < 1 || bits > 32-block.Bits() || count < 1 || count > 256 {
		return r.fail(line, "give an IPv4 block such as 10.0.0.0/24, a count and the host bits of a part", "!Cidr can't cut the block into parts")
	}
	out := value{kind: list, line: line}
	base := block.Masked().Addr().As4()
	start := uint64(base[0])<<24 | uint64(base[1])<<16 | uint64(base[2])<<8 | uint64(base[3])
	for i := range count {
		a := start + uint64(i)<<bits
		out.items = append(out.items, text(line, fmt.Sprintf("%d.%d.%d.%d/%d", byte(a>>24), byte(a>>16), byte(a>>8), byte(a), 32-bits)))
	}
	if uint64(count)<<bits > 1<<(32-block.Bits()) {
		return r.fail(line, "take a larger block or smaller parts", "!Cidr: %d parts of %d bits don't fit into %s", count, bits, block)
	}
	return out
}

func (r *resolver) condition(line int, name string) bool {
	n, ok := r.conditions[name]
	if !ok {
		r.fail(line, "add it to the section Conditions or correct the name", "there is no condition %s", name)
		return false
	}
	return r.test(n)
}

func (r *resolver) test(n *yaml.Node) bool {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > 100 {
		r.fail(n.Line, "break the circle", "conditions refer to each other in a circle")
		return false
	}
	name, arg, ok := call(n)
	if !ok && n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "Condition" {
		name, arg, ok = "Condition", n.Content[1], true
	}
	if !ok {
		r.fail(n.Line, "a condition is made of !Equals, !Not, !And, !Or and !Condition", "this is no condition")
		return false
	}
	switch name {
	case "Condition":
		return r.condition(n.Line, arg.Value)
	case "Fn::Equals":
		parts := r.args(n.Line, name, arg, 2)
		return parts != nil && r.eval(parts[0]).text == r.eval(parts[1]).text
	case "Fn::Not":
		parts := r.args(n.Line, name, arg, 1)
		return parts != nil && !r.test(parts[0])
	case "Fn::And":
		return !slices.ContainsFunc(arg.Content, func(c *yaml.Node) bool { return !r.test(c) })
	case "Fn::Or":
		return slices.ContainsFunc(arg.Content, r.test)
	default:
		r.fail(n.Line, "a condition is made of !Equals, !Not, !And, !Or and !Condition", "%s is no condition", short(name))
		return false
	}
}
