package expr

import (
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// ParseProjection parses a ProjectionExpression into its paths. Its errors are *Error.
func ParseProjection(text string, vars *Vars) ([]Path, error) {
	var out []Path
	err := run(ProjectionKind, text, vars, func(p *parser) {
		for {
			out = append(out, p.path())
			if !p.takeSign(",") {
				break
			}
		}
		p.wrong(apart(out))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Project returns the parts of the item that the paths lead to, in their places; chosen elements of a list move together.
func Project(it attr.Item, paths []Path) attr.Item {
	v, ok := part(attr.Value{Kind: attr.Map, Map: it}, paths)
	if !ok {
		return attr.Item{}
	}
	return v.Map
}

// part keeps of v what the paths lead to; false if that is nothing.
func part(v attr.Value, paths []Path) (attr.Value, bool) {
	below := map[Step][]Path{}
	for _, p := range paths {
		if len(p) == 0 {
			return v, true
		}
		below[p[0]] = append(below[p[0]], p[1:])
	}
	out := attr.Value{Kind: v.Kind}
	switch v.Kind {
	case attr.Map:
		out.Map = attr.Item{}
		for step, rest := range below {
			child, ok := v.Map[step.Name]
			if step.IsIndex || !ok {
				continue
			}
			if kept, ok := part(child, rest); ok {
				out.Map[step.Name] = kept
			}
		}
		return out, len(out.Map) > 0
	case attr.List:
		for i, child := range v.List {
			rest, ok := below[Step{Index: i, IsIndex: true}]
			if !ok {
				continue
			}
			if kept, ok := part(child, rest); ok {
				out.List = append(out.List, kept)
			}
		}
		return out, len(out.List) > 0
	default:
		return out, false
	}
}
