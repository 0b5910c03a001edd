package template

import "go.yaml.in/yaml/v3"

// checkRules judges the section Rules as CloudFormation does before it makes anything: where a rule's condition holds, each of its assertions
// must. Rules are made of what conditions are made of; CloudFormation's further functions for rules are not understood.
func (r *resolver) checkRules(section *yaml.Node) {
	names, nodes := r.fields(section, "Rules")
	for _, name := range names {
		_, parts := r.fields(nodes[name], "rule "+name)
		if when := parts["RuleCondition"]; when != nil && !r.test(when) {
			continue
		}
		if parts["Assertions"] == nil || parts["Assertions"].Kind != yaml.SequenceNode {
			r.fail(nodes[name].Line, "list its Assertions", "rule %s asserts nothing", name)
			continue
		}
		for _, a := range parts["Assertions"].Content {
			_, assertion := r.fields(a, "an assertion of rule "+name)
			if assertion["Assert"] == nil || assertion["AssertDescription"] == nil {
				r.fail(a.Line, "give it Assert and AssertDescription", "an assertion of rule %s is not whole", name)
				continue
			}
			if !r.test(assertion["Assert"]) {
				r.fail(a.Line, assertion["AssertDescription"].Value, "the parameters break the rule %s", name)
			}
		}
	}
}
