package infra

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// everywhere lists the only statements that may name all resources, with the reason.
var everywhere = map[string]string{
	"NetworkInterface":                    "Lambda checks these actions on every resource before it lets a function into a VPC",
	"NetworkInterfaceOnlyForLambdaItself": "a Deny can't be too wide",
}

// openEnded lists the only forms of a resource that may end in a star.
func openEnded(resource string) bool {
	switch {
	case strings.HasPrefix(resource, "arn:aws:s3:::"): // the objects below one folder
		_, key, _ := strings.Cut(resource, "/")
		return strings.Count(resource, "*") == 1 && strings.HasSuffix(key, "/*") && len(key) > 2
	case strings.HasPrefix(resource, "arn:aws:logs:"): // the streams of one group
		return strings.Count(resource, "*") == 1 && strings.Contains(resource, ":log-group:/aws/lambda/") && strings.HasSuffix(resource, ":*")
	case strings.HasPrefix(resource, "arn:aws:secretsmanager:"): // the corps' secrets, whose names and endings nobody knows beforehand
		return strings.HasSuffix(resource, ":secret:wecomvault/corp/*")
	case strings.HasPrefix(resource, "arn:aws:ses:"): // the verified address or its domain; the sender is a condition
		return strings.HasSuffix(resource, ":identity/*")
	}
	return false
}

func TestNoRoleHasAStarItDoesNotNeed(t *testing.T) {
	tmpl := load(t, nil)
	for _, r := range tmpl.Roles {
		if len(r.ManagedPolicies) > 0 {
			t.Errorf("line %d: %s has managed policies %v: every action is written by hand", r.Line, r.LogicalID, r.ManagedPolicies)
		}
		for _, s := range permits(t, r) {
			where := fmt.Sprintf("line %d: %s, statement %s", r.Line, r.LogicalID, s.Sid)
			if s.Sid == "" {
				t.Errorf("%s has no Sid to speak of it by", where)
			}
			if s.NotAction != nil || s.NotResource != nil {
				t.Errorf("%s says what it does not mean", where)
			}
			for _, a := range s.Action {
				if strings.ContainsAny(a, "*?") {
					t.Errorf("%s: the action %s", where, a)
				}
			}
			for _, resource := range s.Resource {
				if resource == "*" {
					if everywhere[s.Sid] == "" {
						t.Errorf("%s names all resources without being listed with a reason", where)
					}
					continue
				}
				if strings.ContainsAny(resource, "*?") && !openEnded(resource) {
					t.Errorf("%s: the resource %s", where, resource)
				}
			}
			if slices.Contains(s.Action, "ses:SendRawEmail") && s.Condition["StringEquals"]["ses:FromAddress"] == nil {
				t.Errorf("%s may send as anybody", where)
			}
		}
	}
}

func TestEachFunctionHasARoleOfItsOwn(t *testing.T) {
	tmpl := load(t, nil)
	owner := map[string]string{}
	for _, f := range tmpl.Functions {
		if other := owner[f.RoleARN]; other != "" {
			t.Errorf("%s and %s share a role", f.LogicalID, other)
		}
		owner[f.RoleARN] = f.LogicalID
		role, ok := tmpl.Role(f.RoleARN)
		if !ok {
			t.Errorf("%s has no role here", f.LogicalID)
			continue
		}
		actions := map[string][]string{} // action → resources
		for _, s := range permits(t, role) {
			if s.Effect != "Allow" {
				continue
			}
			for _, a := range s.Action {
				actions[a] = append(actions[a], s.Resource...)
			}
		}
		own := "arn:aws:logs:us-east-1:000000000000:log-group:" + f.LogGroup + ":*"
		if f.LogGroup == "" || !slices.Equal(actions["logs:PutLogEvents"], []string{own}) || !slices.Equal(actions["logs:CreateLogStream"], []string{own}) {
			t.Errorf("%s must write to its own log group and no other", f.LogicalID)
		}
		if _, may := actions["logs:CreateLogGroup"]; may {
			t.Errorf("%s may make log groups, which would have no retention", f.LogicalID)
		}
		if _, may := actions["ec2:CreateNetworkInterface"]; may != f.InVPC {
			t.Errorf("%s is in the VPC: %v, may make network interfaces: %v", f.LogicalID, f.InVPC, may)
		}
		if _, may := actions["xray:PutTraceSegments"]; may != f.Tracing {
			t.Errorf("%s traces: %v, may write traces: %v", f.LogicalID, f.Tracing, may)
		}
	}
	for _, r := range tmpl.Roles {
		principal := fmt.Sprint(r.AssumeRole)
		want := "scheduler.amazonaws.com"
		if owner[r.ARN] != "" {
			want = "lambda.amazonaws.com"
		}
		if !strings.Contains(principal, "Service:"+want) || strings.Contains(principal, "AWS:") {
			t.Errorf("line %d: %s may be taken by others than %s: %s", r.Line, r.LogicalID, want, principal)
		}
	}
}

// store is a table, bucket, queue or prefix of secrets that a function can reach, with what its name is in an environment.
type store struct {
	logicalID, arn, named, service, key string
}

func stores(t *testing.T, tmpl *template.Template) []store {
	t.Helper()
	keyOf := map[string]string{}
	for _, r := range tmpl.Resources {
		for _, property := range []string{"KmsMasterKeyId", "KmsKeyId"} {
			if k, ok := r.Properties[property].(string); ok {
				keyOf[r.LogicalID] = k
			}
		}
	}
	var out []store
	for _, x := range tmpl.Tables {
		out = append(out, store{x.LogicalID, x.ARN, x.Name, "dynamodb", x.KMSKey})
	}
	for _, x := range tmpl.Buckets {
		out = append(out, store{x.LogicalID, x.ARN, x.Name, "s3", x.KMSKey})
	}
	for _, x := range tmpl.Queues {
		out = append(out, store{x.LogicalID, x.ARN, x.URL, "sqs", keyOf[x.LogicalID]})
	}
	out = append(out, store{"secrets", "arn:aws:secretsmanager:us-east-1:000000000000:secret:" + tmpl.Parameters["SecretsPrefix"] + "corp/*", tmpl.Parameters["SecretsPrefix"],
		"secretsmanager", tmpl.Outputs["SecretsKeyArn"]})
	for _, s := range out {
		if !strings.HasPrefix(s.key, "arn:aws:kms:") {
			t.Errorf("%s has no key of our own: %q", s.logicalID, s.key)
		}
	}
	return out
}

// reach lists the actions of a role on a store, or on objects in it.
func reach(policies iam.Policies, s store) []string {
	var out []string
	for _, st := range policies {
		for _, r := range st.Resource {
			if r == s.arn || s.service == "s3" && strings.HasPrefix(r, s.arn+"/") {
				out = append(out, st.Action...)
			}
		}
	}
	return out
}

func TestEachFunctionReachesExactlyWhatItsEnvironmentNames(t *testing.T) {
	tmpl := load(t, nil)
	all := stores(t, tmpl)
	for _, f := range tmpl.Functions {
		role, _ := tmpl.Role(f.RoleARN)
		policies := permits(t, role)
		given := slices.Collect(maps.Values(f.Environment))
		for _, s := range all {
			named, actions := slices.Contains(given, s.named), reach(policies, s)
			if named && len(actions) == 0 {
				t.Errorf("%s is told of %s and may do nothing there", f.LogicalID, s.logicalID)
			}
			if !named && len(actions) > 0 {
				t.Errorf("%s may %v on %s and is not told of it", f.LogicalID, actions, s.logicalID)
			}
		}
		// Whatever else the role reaches must be one of these.
		for _, st := range policies {
			for _, r := range st.Resource {
				if r == "*" || strings.HasPrefix(r, "arn:aws:logs:") || strings.HasPrefix(r, "arn:aws:kms:") || strings.HasPrefix(r, "arn:aws:ses:") || r == f.ARN {
					continue
				}
				if slices.ContainsFunc(tmpl.Functions, func(other template.Function) bool { return r == other.ARN && slices.Contains(given, other.Name) }) {
					continue
				}
				if !slices.ContainsFunc(all, func(s store) bool { return r == s.arn || strings.HasPrefix(r, s.arn+"/") }) {
					t.Errorf("%s, statement %s reaches %s, which nothing names", f.LogicalID, st.Sid, r)
				}
			}
		}
	}
}

func TestOnlyWhatReadsAQueueMayReceiveFromIt(t *testing.T) {
	tmpl := load(t, nil)
	for _, f := range tmpl.Functions {
		role, _ := tmpl.Role(f.RoleARN)
		policies := permits(t, role)
		for _, q := range tmpl.Queues {
			reads := slices.ContainsFunc(f.SQSSources, func(s template.SQSSource) bool { return s.QueueARN == q.ARN })
			for _, a := range []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"} {
				if may := policies.Allowed(authz.Request{Action: a, Resource: q.ARN}); may != reads {
					t.Errorf("%s reads %s: %v, may %s: %v", f.LogicalID, q.LogicalID, reads, a, may)
				}
			}
		}
	}
}

// keyActions says what AWS asks of KMS in the caller's name, by the action that the caller asked for.
func keyActions(action string) []string {
	switch action {
	case "s3:PutObject", "sqs:SendMessage":
		return []string{"kms:Decrypt", "kms:GenerateDataKey"}
	case "s3:GetObject", "s3:GetObjectVersion", "sqs:ReceiveMessage", "secretsmanager:GetSecretValue":
		return []string{"kms:Decrypt"}
	case "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query":
		return []string{"kms:Decrypt", "kms:DescribeKey"}
	case "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem":
		return []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"}
	}
	return nil
}

func TestEveryoneMayUseTheKeysOfWhatTheyUseAndNoOthers(t *testing.T) {
	tmpl := load(t, nil)
	all := stores(t, tmpl)
	for _, f := range tmpl.Functions {
		role, _ := tmpl.Role(f.RoleARN)
		policies := permits(t, role)
		needed := map[string]map[string]bool{} // key|service → actions
		for _, s := range all {
			for _, action := range reach(policies, s) {
				for _, k := range keyActions(action) {
					pair := s.key + "|" + s.service
					if needed[pair] == nil {
						needed[pair] = map[string]bool{}
					}
					needed[pair][k] = true
				}
			}
		}
		for pair, actions := range needed {
			key, service, _ := strings.Cut(pair, "|")
			for a := range actions {
				request := authz.Request{Action: a, Resource: key, Context: map[string]string{"kms:ViaService": service + ".us-east-1.amazonaws.com"}}
				if !policies.Allowed(request) {
					t.Errorf("%s needs %s on %s through %s", f.LogicalID, a, key, service)
				}
				request.Context["kms:ViaService"] = "other.us-east-1.amazonaws.com"
				if policies.Allowed(request) {
					t.Errorf("%s may %s on %s through any service", f.LogicalID, a, key)
				}
			}
		}
		for _, st := range policies {
			for _, a := range st.Action {
				if !strings.HasPrefix(a, "kms:") {
					continue
				}
				for _, key := range st.Resource {
					used := slices.ContainsFunc(slices.Collect(maps.Keys(needed)), func(pair string) bool {
						return strings.HasPrefix(pair, key+"|") && needed[pair][a]
					})
					if !used {
						t.Errorf("%s, statement %s: nothing that it reaches needs %s on %s", f.LogicalID, st.Sid, a, key)
					}
				}
			}
		}
	}
}

// Services that write into something encrypted must be named by that key's own policy: they have no role here.
func TestServicesMayUseTheKeysOfWhatTheyWriteTo(t *testing.T) {
	tmpl := load(t, nil)
	keys := map[string]iam.Policies{} // by ARN
	for _, r := range tmpl.Resources {
		if r.Type != "AWS::KMS::Key" {
			continue
		}
		document, _ := r.Properties["KeyPolicy"].(map[string]any)
		p, err := iam.Parse(document)
		if err != nil {
			t.Fatalf("%s: %v", r.LogicalID, err)
		}
		keys["arn:aws:kms:us-east-1:000000000000:key/"+r.Physical] = p
		if r.Properties["EnableKeyRotation"] != true {
			t.Errorf("%s does not rotate", r.LogicalID)
		}
		root := slices.ContainsFunc(p, func(s iam.Statement) bool {
			return slices.Equal(s.Principal, []string{"arn:aws:iam::000000000000:root"}) && slices.Equal(s.Action, []string{"kms:*"})
		})
		if !root {
			t.Errorf("%s does not leave permissions to the account's roles, whose statements then count for nothing", r.LogicalID)
		}
	}
	check := func(who, target, key string, context map[string]string, actions ...string) {
		policy, ok := keys[key]
		if !ok {
			t.Errorf("%s is not encrypted with a key of the template: %q", target, key)
			return
		}
		for _, a := range actions {
			with := maps.Clone(context)
			with["aws:PrincipalArn"] = who
			if !policy.Allowed(authz.Request{Action: a, Resource: key, Context: with}) {
				t.Errorf("%s writes to %s and may not %s", who, target, a)
			}
		}
	}
	seen := 0
	for _, r := range tmpl.Resources {
		switch r.Type {
		case "AWS::Logs::LogGroup":
			seen++
			key, _ := r.Properties["KmsKeyId"].(string)
			check("logs.us-east-1.amazonaws.com", r.LogicalID, key, map[string]string{"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:us-east-1:000000000000:log-group:" + r.Physical},
				"kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey")
		case "AWS::SNS::Topic":
			seen++
			id, _ := r.Properties["KmsMasterKeyId"].(string)
			check("cloudwatch.amazonaws.com", r.LogicalID, "arn:aws:kms:us-east-1:000000000000:key/"+id, map[string]string{"aws:SourceAccount": "000000000000"}, "kms:Decrypt", "kms:GenerateDataKey")
		}
	}
	for _, rule := range tmpl.EventRules {
		for _, target := range rule.Targets {
			q, _ := tmpl.Queue(target.QueueARN)
			check("events.amazonaws.com", q.LogicalID, q.Attributes["KmsMasterKeyId"], map[string]string{"aws:SourceAccount": "000000000000"}, "kms:Decrypt", "kms:GenerateDataKey")
			for source, want := range map[string]bool{rule.ARN: true, rule.ARN + "x": false} {
				allowed := false
				for _, document := range tmpl.Policies("AWS::SQS::QueuePolicy", "Queues", q.URL) {
					policy, err := iam.Parse(document)
					if err != nil {
						t.Fatalf("%s: %v", q.LogicalID, err)
					}
					allowed = allowed || policy.Allowed(authz.Request{Action: "sqs:SendMessage", Resource: q.ARN, Context: map[string]string{
						"aws:PrincipalArn": "events.amazonaws.com", "aws:SourceArn": source, "aws:SecureTransport": "true"}})
				}
				if allowed != want {
					t.Errorf("%s takes events of %s: %t", q.LogicalID, source, allowed)
				}
			}
		}
	}
	if seen != len(tmpl.Functions)+1+len(tmpl.HTTPAPIs) {
		t.Errorf("%d log groups and topics for %d functions and %d APIs", seen, len(tmpl.Functions), len(tmpl.HTTPAPIs))
	}
}

func TestQueuesAreReachedByTlsOnly(t *testing.T) {
	tmpl := load(t, nil)
	for _, q := range tmpl.Queues {
		documents := tmpl.Policies("AWS::SQS::QueuePolicy", "Queues", q.URL)
		if len(documents) != 1 {
			t.Errorf("%s has %d policies", q.LogicalID, len(documents))
			continue
		}
		policy, err := iam.Parse(documents[0])
		if err != nil {
			t.Fatalf("%s: %v", q.LogicalID, err)
		}
		for tls, want := range map[string]iam.Decision{"false": iam.Denied, "true": iam.NotAllowed} {
			if got := policy.Decide(authz.Request{Action: "sqs:SendMessage", Resource: q.ARN, Context: map[string]string{"aws:SecureTransport": tls}}); got != want {
				t.Errorf("%s with TLS %s: decision %d", q.LogicalID, tls, got)
			}
		}
	}
}

// A gateway endpoint's policy is asked besides the role's: what the functions in the VPC may do must pass through.
func TestEndpointsLetThroughWhatTheFunctionsBehindThemMayDo(t *testing.T) {
	tmpl := load(t, nil)
	endpoints := map[string]iam.Policies{}
	for _, r := range tmpl.Resources {
		if r.Type != "AWS::EC2::VPCEndpoint" {
			continue
		}
		document, _ := r.Properties["PolicyDocument"].(map[string]any)
		policy, err := iam.Parse(document)
		if err != nil {
			t.Fatalf("%s: %v", r.LogicalID, err)
		}
		name, _ := r.Properties["ServiceName"].(string)
		endpoints[strings.TrimPrefix(name, "com.amazonaws.us-east-1.")] = policy
	}
	for _, f := range tmpl.Functions {
		if !f.InVPC {
			continue
		}
		role, _ := tmpl.Role(f.RoleARN)
		for _, st := range permits(t, role) {
			for _, a := range st.Action {
				service, _, _ := strings.Cut(a, ":")
				policy, ok := endpoints[service]
				if !ok {
					continue // goes out through the NAT gateway
				}
				for _, r := range st.Resource {
					if !policy.Allowed(authz.Request{Action: a, Resource: r}) {
						t.Errorf("%s may %s on %s, and the endpoint of %s does not let it", f.LogicalID, a, r, service)
					}
				}
			}
		}
	}
	if len(endpoints) != 2 {
		t.Errorf("endpoints %v", slices.Sorted(maps.Keys(endpoints)))
	}
}
