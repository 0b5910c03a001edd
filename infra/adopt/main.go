// Command adopt prepares what CloudFormation needs so that a new stack takes over what a deleted one left: the tables, buckets, keys, logs and
// the address that are retained. It reads the list of the old stack's resources and writes a template of those resources alone and
// the list that an import change set takes; it calls nothing and changes nothing. NEVER RUN against AWS.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "adopt:", err)
		os.Exit(1)
	}
}

// identifiers are CloudFormation's names of what identifies a resource in an import, by type. The address needs a second one, its
// allocation id, which the list of a stack's resources does not have.
var identifiers = map[string]string{
	"AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName", "AWS::KMS::Key": "KeyId", "AWS::Logs::LogGroup": "LogGroupName", "AWS::EC2::EIP": "PublicIp",
}

// resource is one entry of describe-stack-resources.
type resource struct {
	LogicalResourceID  string `json:"LogicalResourceId"`
	PhysicalResourceID string `json:"PhysicalResourceId"`
	ResourceType       string
}

// imported is one entry of --resources-to-import.
type imported struct {
	ResourceType       string            `json:"ResourceType"`
	LogicalResourceID  string            `json:"LogicalResourceId"`
	ResourceIdentifier map[string]string `json:"ResourceIdentifier"`
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("adopt", flag.ContinueOnError)
	source := flags.String("template", "template.yaml", "the template that the new stack will have")
	list := flags.String("resources", "", "what aws cloudformation describe-stack-resources --stack-name ARN printed of the old stack, as JSON")
	allocation := flags.String("allocation", "", "the address's allocation id (eipalloc-…); empty leaves the address out, and the new stack makes another")
	folder := flags.String("out", ".", "where adopt.yaml and adopt.json are written")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *list == "" {
		return errors.New("-resources FILE is needed: aws cloudformation describe-stack-resources --stack-name ARN > FILE answers for a deleted stack, by its ARN, for 90 days")
	}
	raw, err := os.ReadFile(*list)
	if err != nil {
		return fmt.Errorf("read the old stack's resources: %w", err)
	}
	var old struct{ StackResources []resource }
	if err := json.Unmarshal(raw, &old); err != nil {
		return fmt.Errorf("%s is not what describe-stack-resources prints as JSON: %w", *list, err)
	}
	text, err := os.ReadFile(*source)
	if err != nil {
		return fmt.Errorf("read the template: %w", err)
	}
	template, order, without, err := prepare(text, old.StackResources, *allocation)
	if err != nil {
		return err
	}
	if len(without) > 0 {
		fmt.Fprintf(out, "The old stack's list has no %s: made only with some parameters, and left out. If the old stack had those parameters, look for them first.\n", strings.Join(without, ", "))
	}
	plan, err := json.MarshalIndent(order, "", "  ")
	if err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(filepath.Join(*folder, "adopt.yaml"), template, 0o600), os.WriteFile(filepath.Join(*folder, "adopt.json"), append(plan, '\n'), 0o600))
	if err != nil {
		return fmt.Errorf("write what was prepared: %w", err)
	}
	fmt.Fprintf(out, `%d resources are prepared. Then, with the old stack's parameters:
  aws cloudformation create-change-set --stack-name NAME --change-set-name adopt --change-set-type IMPORT \
    --template-body file://%[2]s/adopt.yaml --resources-to-import file://%[2]s/adopt.json --parameters …
  aws cloudformation execute-change-set --stack-name NAME --change-set-name adopt
  sam build && sam deploy --stack-name NAME        # adds everything else
The name must be the old stack's: the logs are named after it. Secrets need no import: they are found by their names.
`, len(order), *folder)
	return nil
}

// prepare makes the template of an import: of the new stack's resources those alone that the old one left, and of the rest what they refer to.
// An import takes no other resource, no transform and no outputs. without are those that depend on a parameter and that the old stack did not have.
func prepare(source []byte, old []resource, allocation string) (template []byte, order []imported, without []string, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(source, &doc); err != nil || len(doc.Content) != 1 {
		return nil, nil, nil, fmt.Errorf("the template can't be read: %w", err)
	}
	root := doc.Content[0]
	for _, section := range []string{"Transform", "Globals", "Rules", "Outputs"} {
		drop(root, section)
	}
	resources := find(root, "Resources")
	if resources == nil {
		return nil, nil, nil, errors.New("the template has no resources")
	}
	left := map[string]resource{}
	for _, r := range old {
		left[r.LogicalResourceID] = r
	}
	var kept []*yaml.Node
	var missing []string
	for i := 0; i+1 < len(resources.Content); i += 2 {
		name, body := resources.Content[i], resources.Content[i+1]
		typ := find(body, "Type")
		if typ == nil || identifiers[typ.Value] == "" {
			continue
		}
		was, there := left[name.Value]
		switch {
		case typ.Value == "AWS::EC2::EIP" && (!there || allocation == ""):
			continue
		case !there && find(body, "Condition") != nil:
			without = append(without, name.Value)
			continue
		case !there || was.PhysicalResourceID == "" || was.ResourceType != typ.Value:
			missing = append(missing, name.Value)
			continue
		}
		id := map[string]string{identifiers[typ.Value]: was.PhysicalResourceID}
		if typ.Value == "AWS::EC2::EIP" {
			id["AllocationId"] = allocation
		}
		drop(body, "DependsOn")
		kept = append(kept, name, body)
		order = append(order, imported{typ.Value, name.Value, id})
	}
	if len(missing) > 0 {
		return nil, nil, nil, fmt.Errorf("the old stack's list has no %s: a new one could be made, and what the old one held would not be found; look for it before anything is deployed", strings.Join(missing, ", "))
	}
	resources.Content = kept
	if missing := unresolved(root); len(missing) > 0 {
		return nil, nil, nil, fmt.Errorf("what is adopted refers to %s, which an import can't make", strings.Join(missing, ", "))
	}
	template, err = yaml.Marshal(&doc)
	return template, order, without, err
}

func find(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func drop(mapping *yaml.Node, key string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// unresolved lists what the resources refer to and neither they nor the parameters are.
func unresolved(root *yaml.Node) []string {
	known := map[string]bool{}
	for _, section := range []string{"Resources", "Parameters"} {
		if n := find(root, section); n != nil {
			for i := 0; i < len(n.Content); i += 2 {
				known[n.Content[i].Value] = true
			}
		}
	}
	var out []string
	check := func(name string) {
		name, _, _ = strings.Cut(name, ".")
		if !strings.HasPrefix(name, "AWS::") && !known[name] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		switch n.Tag {
		case "!Ref", "!GetAtt":
			if n.Kind == yaml.ScalarNode {
				check(n.Value)
			} else if len(n.Content) > 0 {
				check(n.Content[0].Value)
			}
		case "!Sub":
			for rest := n.Value; ; {
				_, after, ok := strings.Cut(rest, "${")
				if !ok {
					break
				}
				var name string
				if name, rest, ok = strings.Cut(after, "}"); !ok {
					break
				}
				check(name)
			}
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(find(root, "Resources"))
	return out
}
