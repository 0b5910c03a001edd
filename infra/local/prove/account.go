package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// statement is one Allow of a deployed role's policy. AWS writes single values without a list.
type statement struct {
	Sid, Effect      string
	Action, Resource texts
	Condition        map[string]map[string]texts
}

type texts []string

// UnmarshalJSON takes a text or a list of them.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// permissions asks IAM, as it stands in this account, about each action and resource that a deployed role's policy allows: a boundary or the
// organisation may say no to what the template allows.
func (p *proof) permissions(ctx context.Context) error {
	raw, err := p.aws(ctx, "cloudformation", "describe-stack-resources", "--stack-name", p.vault(), "--query", "StackResources[?ResourceType=='AWS::IAM::Role'].PhysicalResourceId")
	if err != nil {
		return err
	}
	var roles []string
	if err := json.Unmarshal(raw, &roles); err != nil {
		return fmt.Errorf("read the names of the roles: %w", err)
	}
	asked := 0
	var refused []string
	for _, role := range roles {
		statements, err := p.allows(ctx, role)
		if err != nil {
			return err
		}
		for _, s := range statements {
			n, no, err := p.simulate(ctx, role, s)
			if err != nil {
				return err
			}
			asked, refused = asked+n, append(refused, no...)
		}
	}
	fmt.Fprintf(p.out, "  %d permissions of %d roles asked\n", asked, len(roles))
	if asked == 0 {
		return fmt.Errorf("no permission was found to ask about")
	}
	if len(refused) > 0 {
		return fmt.Errorf("this account denies what the template allows: %s", strings.Join(refused, "; "))
	}
	return nil
}

// allows reads the Allow statements of a role. Those on network interfaces are Lambda's own, and denied to the function on purpose.
func (p *proof) allows(ctx context.Context, role string) ([]statement, error) {
	raw, err := p.aws(ctx, "iam", "list-role-policies", "--role-name", role, "--query", "PolicyNames")
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, fmt.Errorf("read the policies of %s: %w", role, err)
	}
	var out []statement
	for _, name := range names {
		raw, err := p.aws(ctx, "iam", "get-role-policy", "--role-name", role, "--policy-name", name, "--query", "PolicyDocument.Statement")
		if err != nil {
			return nil, err
		}
		var all []statement
		if err := json.Unmarshal(raw, &all); err != nil {
			return nil, fmt.Errorf("read policy %s of %s: %w", name, role, err)
		}
		out = append(out, slices.DeleteFunc(all, func(s statement) bool { return s.Effect != "Allow" || s.Sid == "NetworkInterface" })...)
	}
	return out, nil
}

// simulate asks about one statement, with the context that its conditions want.
func (p *proof) simulate(ctx context.Context, role string, s statement) (asked int, refused []string, err error) {
	args := []string{"iam", "simulate-principal-policy", "--policy-source-arn", "arn:aws:iam::" + p.account + ":role/" + role,
		"--query", "EvaluationResults[].[EvalActionName,EvalDecision]", "--action-names"}
	args = append(args, s.Action...)
	args = append(args, "--resource-arns")
	for _, r := range s.Resource {
		if r != "*" { // the simulation wants one resource, not all that the pattern stands for
			r = strings.NewReplacer("*", "prove", "?", "p").Replace(r)
		}
		args = append(args, r)
	}
	var context []string
	for _, keys := range s.Condition {
		for key, values := range keys {
			context = append(context, "ContextKeyName="+key+",ContextKeyType=string,ContextKeyValues="+values[0])
		}
	}
	if len(context) > 0 {
		slices.Sort(context)
		args = append(append(args, "--context-entries"), context...)
	}
	raw, err := p.aws(ctx, args...)
	if err != nil {
		return 0, nil, err
	}
	var results [][2]string
	if err := json.Unmarshal(raw, &results); err != nil {
		return 0, nil, fmt.Errorf("read what IAM says of %s: %w", role, err)
	}
	for _, r := range results {
		if r[1] != "allowed" {
			refused = append(refused, role+" "+r[0]+" ("+s.Sid+"): "+r[1])
		}
	}
	return len(results), refused, nil
}
