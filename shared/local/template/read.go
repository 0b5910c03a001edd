package template

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// read works through the sections in an order in which each finds what it refers to.
func (r *resolver) read(root *yaml.Node) *Template {
	keys, sections := r.fields(root, "the template")
	for _, k := range keys {
		switch k {
		case "AWSTemplateFormatVersion", "Transform", "Description", "Metadata", "Parameters", "Rules", "Conditions", "Globals", "Resources", "Outputs":
		default:
			r.fail(sections[k].Line, "the local reader knows Parameters, Rules, Conditions, Globals, Resources and Outputs", "there is no support for the section %s", k)
		}
	}
	if n := sections["Transform"]; n == nil || n.Value != "AWS::Serverless-2016-10-31" {
		r.fail(root.Line, "write `Transform: AWS::Serverless-2016-10-31`", "the template isn't marked as a SAM template")
	}
	r.readParameters(sections["Parameters"])
	if n := sections["Conditions"]; n != nil {
		_, r.conditions = r.fields(n, "Conditions")
	}
	if n := sections["Rules"]; n != nil {
		r.checkRules(n)
	}
	t := &Template{Path: r.path, Region: r.params[Region], AccountID: r.params[AccountID], StackName: r.params[StackName], Endpoint: r.params[Endpoint],
		Parameters: map[string]string{}, Outputs: map[string]string{}}
	for k, v := range r.params {
		if !strings.Contains(k, "::") {
			t.Parameters[k] = v
		}
	}
	if sections["Resources"] == nil {
		r.fail(root.Line, "add the section Resources", "the template has no resources")
		return t
	}
	r.declare(sections["Resources"])
	globals := r.readGlobals(sections["Globals"])
	r.readResources(t, globals)
	if n := sections["Outputs"]; n != nil {
		r.readOutputs(t, n)
	}
	return t
}

func (r *resolver) readParameters(section *yaml.Node) {
	pseudo := map[string]string{Region: "us-east-1", AccountID: "000000000000", StackName: "wecomvault"}
	for k := range pseudo {
		if v, ok := r.given[k]; ok {
			pseudo[k] = v
		}
		r.params[k] = pseudo[k]
	}
	r.params["AWS::Partition"] = "aws"
	r.params["AWS::URLSuffix"] = "amazonaws.com"
	r.params["AWS::StackId"] = "arn:aws:cloudformation:" + pseudo[Region] + ":" + pseudo[AccountID] + ":stack/" + pseudo[StackName] + "/local"
	r.params[Endpoint] = "https://sqs." + pseudo[Region] + ".amazonaws.com"
	if v, ok := r.given[Endpoint]; ok {
		r.params[Endpoint] = strings.TrimSuffix(v, "/")
	}
	var names []string
	if section != nil {
		var nodes map[string]*yaml.Node
		names, nodes = r.fields(section, "Parameters")
		for _, name := range names {
			r.readParameter(name, nodes[name])
		}
	}
	for _, k := range sortedKeys(r.given) {
		if !strings.Contains(k, "::") && !slices.Contains(names, k) {
			r.fail(1, "the parameters are "+strings.Join(names, ", "), "there is no parameter %s to be set", k)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (r *resolver) readParameter(name string, n *yaml.Node) {
	o := r.object(r.eval(n), "parameter "+name)
	typ := o.text("Type")
	def, hasDefault := o.optional("Default")
	pattern := o.text("AllowedPattern")
	allowed := o.texts("AllowedValues")
	lowest := o.text("MinValue")
	highest := o.text("MaxValue")
	o.text("Description")
	o.text("ConstraintDescription")
	o.done()
	if typ != "String" && typ != "Number" {
		r.fail(n.Line, "make it a String or a Number", "parameter %s has the type %q", name, typ)
	}
	v, given := r.given[name]
	switch {
	case given:
	case hasDefault:
		v = def.text
	default:
		r.fail(n.Line, "pass a value or give it a Default", "parameter %s has no value", name)
		return
	}
	r.params[name] = v
	if len(allowed) > 0 && !slices.Contains(allowed, v) {
		r.fail(n.Line, "take one of "+strings.Join(allowed, ", "), "parameter %s is %q", name, v)
	}
	if pattern != "" {
		re, err := regexp.Compile(pattern)
		if err != nil {
			r.fail(n.Line, "write a regular expression that both Java and RE2 read", "the pattern of parameter %s can't be read", name)
		} else if !re.MatchString(v) {
			r.fail(n.Line, "it must match "+pattern, "parameter %s is %q", name, v)
		}
	}
	if typ == "Number" {
		f, err := strconv.ParseFloat(v, 64)
		low, errLow := strconv.ParseFloat(lowest, 64)
		high, errHigh := strconv.ParseFloat(highest, 64)
		if err != nil || errLow == nil && f < low || errHigh == nil && f > high {
			r.fail(n.Line, "pass a number within MinValue and MaxValue", "parameter %s is %q", name, v)
		}
	}
}

func (r *resolver) declare(section *yaml.Node) {
	ids, nodes := r.fields(section, "Resources")
	for _, id := range ids {
		keys, fields := r.fields(nodes[id], "resource "+id)
		for _, k := range keys {
			switch k {
			case "Type", "Properties", "Metadata", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Condition":
			default:
				r.fail(fields[k].Line, "put it under Properties", "resource %s has an unknown key %s", id, k)
			}
		}
		if fields["Type"] == nil {
			r.fail(nodes[id].Line, "add its Type", "resource %s has no type", id)
			continue
		}
		if c := fields["Condition"]; c != nil && !r.condition(c.Line, c.Value) {
			continue
		}
		d := declared{id: id, typ: fields["Type"].Value, line: nodes[id].Line, node: nodes[id]}
		if _, ok := kinds[d.typ]; !ok {
			r.fail(fields["Type"].Line, "correct it, or teach the reader the new type in its table of types", "resource %s has the type %s, which the reader doesn't know", id, d.typ)
			continue
		}
		r.resources[id] = d
		r.order = append(r.order, id)
	}
}

// typeInfo says how a resource is called and addressed.
type typeInfo struct {
	nameProperty string            // of an explicit name; "" if the type has none
	ref          string            // what Ref gives: name, arn, url, or a prefix for a made-up id
	arn          string            // ARN with {p} {r} {a} {n} for partition, region, account, name; "" if it has none
	attributes   map[string]string // further attributes, in the same notation
	lower        bool              // whether generated names must be lower case
}

var kinds = map[string]typeInfo{
	"AWS::Serverless::Function":                  {nameProperty: "FunctionName", ref: "name", arn: "arn:{p}:lambda:{r}:{a}:function:{n}"},
	"AWS::Serverless::HttpApi":                   {ref: "api-"},
	"AWS::IAM::Role":                             {nameProperty: "RoleName", ref: "name", arn: "arn:{p}:iam::{a}:role/{n}"},
	"AWS::SQS::Queue":                            {nameProperty: "QueueName", ref: "url", arn: "arn:{p}:sqs:{r}:{a}:{n}", attributes: map[string]string{"QueueName": "{n}"}},
	"AWS::SQS::QueuePolicy":                      {ref: "name"},
	"AWS::DynamoDB::Table":                       {nameProperty: "TableName", ref: "name", arn: "arn:{p}:dynamodb:{r}:{a}:table/{n}"},
	"AWS::S3::Bucket":                            {nameProperty: "BucketName", ref: "name", arn: "arn:{p}:s3:::{n}", lower: true},
	"AWS::S3::BucketPolicy":                      {ref: "name"},
	"AWS::KMS::Key":                              {ref: "id", arn: "arn:{p}:kms:{r}:{a}:key/{i}", attributes: map[string]string{"KeyId": "{i}"}},
	"AWS::KMS::Alias":                            {nameProperty: "AliasName", ref: "name"},
	"AWS::Logs::LogGroup":                        {nameProperty: "LogGroupName", ref: "name", arn: "arn:{p}:logs:{r}:{a}:log-group:{n}:*"},
	"AWS::SES::ConfigurationSet":                 {nameProperty: "Name", ref: "name"},
	"AWS::SES::ConfigurationSetEventDestination": {ref: "name"},
	"AWS::Events::Rule":                          {nameProperty: "Name", ref: "name", arn: "arn:{p}:events:{r}:{a}:rule/{n}"},
	"AWS::SNS::Topic":                            {nameProperty: "TopicName", ref: "arn", arn: "arn:{p}:sns:{r}:{a}:{n}", attributes: map[string]string{"TopicArn": "arn:{p}:sns:{r}:{a}:{n}"}},
	"AWS::SNS::TopicPolicy":                      {ref: "name"},
	"AWS::SNS::Subscription":                     {ref: "arn", arn: "arn:{p}:sns:{r}:{a}:{n}"},
	"AWS::CloudWatch::Dashboard":                 {nameProperty: "DashboardName", ref: "name"},
	"AWS::CloudWatch::Alarm":                     {nameProperty: "AlarmName", ref: "name", arn: "arn:{p}:cloudwatch:{r}:{a}:alarm:{n}"},
	"AWS::EC2::VPC":                              {ref: "vpc-", attributes: map[string]string{"VpcId": "{i}"}},
	"AWS::EC2::Subnet":                           {ref: "subnet-", attributes: map[string]string{"SubnetId": "{i}"}},
	"AWS::EC2::InternetGateway":                  {ref: "igw-", attributes: map[string]string{"InternetGatewayId": "{i}"}},
	"AWS::EC2::VPCGatewayAttachment":             {ref: "name"},
	"AWS::EC2::EIP":                              {ref: "egress", attributes: map[string]string{"AllocationId": "eipalloc-{i}", "PublicIp": egress}},
	"AWS::EC2::NatGateway":                       {ref: "nat-"},
	"AWS::EC2::RouteTable":                       {ref: "rtb-"},
	"AWS::EC2::Route":                            {ref: "name"},
	"AWS::EC2::SubnetRouteTableAssociation":      {ref: "rtbassoc-"},
	"AWS::EC2::SecurityGroup":                    {ref: "sg-", attributes: map[string]string{"GroupId": "{i}"}},
	"AWS::EC2::VPCEndpoint":                      {ref: "vpce-"},
	"AWS::EC2::FlowLog":                          {ref: "fl-"},
}

// egress is the address from which requests really leave on one machine.
const egress = "127.0.0.1"

// name is the resource's physical name: the one it is given, else the stack's name and the logical id. AWS adds random letters
// to the latter; here they are left out so that the next run finds the same resource.
func (r *resolver) name(line int, d declared) string {
	if d.resolved {
		return d.name
	}
	if d.naming {
		r.fail(line, "break the circle", "the name of %s refers to itself", d.id)
		return ""
	}
	d.naming = true
	r.resources[d.id] = d
	info := kinds[d.typ]
	d.name = r.params[StackName] + "-" + d.id
	if info.lower {
		d.name = strings.ToLower(d.name)
	}
	if props := child(d.node, "Properties"); props != nil && info.nameProperty != "" {
		if n := child(props, info.nameProperty); n != nil {
			d.name = r.eval(n).text
		}
	}
	d.naming, d.resolved = false, true
	r.resources[d.id] = d
	return d.name
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// fill writes the resource's name and id into one of the table's forms.
func (r *resolver) fill(line int, d declared, form string) string {
	sum := sha256.Sum256([]byte(r.params[StackName] + "/" + d.id))
	h := hex.EncodeToString(sum[:])
	id := h[:17]
	if d.typ == "AWS::KMS::Key" {
		id = fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:32])
	}
	if p := kinds[d.typ].ref; strings.HasSuffix(p, "-") {
		id = p + id
	}
	return strings.NewReplacer("{p}", "aws", "{r}", r.params[Region], "{a}", r.params[AccountID], "{n}", r.name(line, d), "{i}", id).Replace(form)
}

func (r *resolver) physical(line int, d declared) string {
	info := kinds[d.typ]
	switch info.ref {
	case "name":
		return r.name(line, d)
	case "arn":
		return r.fill(line, d, info.arn)
	case "url":
		return r.params[Endpoint] + "/" + r.params[AccountID] + "/" + r.name(line, d)
	case "egress":
		return egress
	default:
		return r.fill(line, d, "{i}")
	}
}

func (r *resolver) attribute(line int, d declared, attr string) (string, bool) {
	info := kinds[d.typ]
	if attr == "Arn" && info.arn != "" {
		return r.fill(line, d, info.arn), true
	}
	form, ok := info.attributes[attr]
	if !ok {
		return "", false
	}
	return r.fill(line, d, form), true
}

func (r *resolver) readOutputs(t *Template, section *yaml.Node) {
	names, nodes := r.fields(section, "Outputs")
	for _, name := range names {
		if c := child(nodes[name], "Condition"); c != nil && !r.condition(c.Line, c.Value) {
			continue
		}
		o := r.object(r.eval(nodes[name]), "output "+name)
		o.text("Condition")
		t.Outputs[name] = o.must("Value")
		o.text("Description")
		o.done()
	}
}
