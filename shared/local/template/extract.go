package template

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// cursor takes an object's fields one by one, and complains about those that nobody took: a misspelt property must not be
// passed over in silence.
type cursor struct {
	r     *resolver
	what  string
	v     value
	taken map[string]bool
}

func (r *resolver) object(v value, what string) *cursor {
	if v.kind != object && v.kind != noValue && !v.bad {
		r.fail(v.line, "write it as `Name: value` lines", "%s must be a mapping", what)
	}
	return &cursor{r: r, what: what, v: v, taken: map[string]bool{}}
}

func (c *cursor) optional(key string) (value, bool) {
	c.taken[key] = true
	v, ok := c.v.fields[key]
	return v, ok
}

func (c *cursor) text(key string) string {
	v, ok := c.optional(key)
	if ok && v.kind != scalar && !v.bad {
		c.r.fail(v.line, "write a single value", "%s of %s must be text", key, c.what)
	}
	return v.text
}

func (c *cursor) must(key string) string {
	if _, ok := c.v.fields[key]; !ok {
		c.taken[key] = true
		c.r.fail(c.v.line, "add it", "%s has no %s", c.what, key)
		return ""
	}
	return c.text(key)
}

func (c *cursor) texts(key string) []string {
	v, ok := c.optional(key)
	if !ok {
		return nil
	}
	if v.kind != list && !v.bad {
		c.r.fail(v.line, "write it as [a, b]", "%s of %s must be a list", key, c.what)
	}
	out := make([]string, 0, len(v.items))
	for _, it := range v.items {
		out = append(out, it.text)
	}
	return out
}

func (c *cursor) number(key string, without int) int {
	v, ok := c.optional(key)
	if !ok {
		return without
	}
	n, err := strconv.Atoi(v.text)
	if v.bad {
		return without
	}
	if v.kind != scalar || err != nil {
		c.r.fail(v.line, "write digits", "%s of %s must be a whole number", key, c.what)
		return without
	}
	return n
}

func (c *cursor) between(key string, without, low, high int) int {
	n := c.number(key, without)
	if v, ok := c.v.fields[key]; ok && (n < low || n > high) {
		c.r.fail(v.line, "AWS takes "+strconv.Itoa(low)+" to "+strconv.Itoa(high), "%s of %s is %d", key, c.what, n)
	}
	return n
}

func (c *cursor) boolean(key string) bool {
	v, ok := c.optional(key)
	if ok && !v.bad && v.text != "true" && v.text != "false" {
		c.r.fail(v.line, "write true or false", "%s of %s is %q", key, c.what, v.text)
	}
	return v.text == "true"
}

func (c *cursor) seconds(key string) time.Duration {
	return time.Duration(c.number(key, 0)) * time.Second
}

func (c *cursor) child(key string) *cursor {
	v, ok := c.optional(key)
	if !ok {
		v = value{kind: noValue, line: c.v.line}
	}
	return c.r.object(v, key+" of "+c.what)
}

func (c *cursor) has(key string) bool { _, ok := c.v.fields[key]; return ok }

func (c *cursor) children(key string) []*cursor {
	v, ok := c.optional(key)
	if !ok {
		return nil
	}
	if v.kind != list && !v.bad {
		c.r.fail(v.line, "write it as a list with - before each entry", "%s of %s must be a list", key, c.what)
	}
	out := make([]*cursor, 0, len(v.items))
	for _, it := range v.items {
		out = append(out, c.r.object(it, "an entry of "+key+" of "+c.what))
	}
	return out
}

// ignore takes fields whose values have no meaning on one machine. They are still resolved, so that their references are right.
func (c *cursor) ignore(keys ...string) {
	for _, k := range keys {
		c.taken[k] = true
	}
}

func (c *cursor) done() {
	known := make([]string, 0, len(c.taken))
	for k := range c.taken {
		known = append(known, k)
	}
	slices.Sort(known)
	for _, k := range c.v.keys {
		if !c.taken[k] {
			c.r.fail(c.v.fields[k].line, "correct it (known here: "+strings.Join(known, ", ")+"), or teach the reader the property", "%s has an unknown property %s", c.what, k)
		}
	}
}

// readGlobals resolves the globals of functions; there are no others.
func (r *resolver) readGlobals(section *yaml.Node) value {
	if section == nil {
		return value{kind: object}
	}
	keys, nodes := r.fields(section, "Globals")
	out := value{kind: object}
	for _, k := range keys {
		if k != "Function" {
			r.fail(nodes[k].Line, "only Function has globals here", "there is no support for Globals of %s", k)
			continue
		}
		out = r.eval(nodes[k])
	}
	return out
}

// overlay puts a function's properties over the globals as SAM does: mappings are merged, everything else is replaced.
// QUIRK: SAM appends lists (layers, security groups) instead of replacing them; no list may stand in Globals here.
func overlay(under, over value) value {
	if under.kind != object || over.kind != object {
		return over
	}
	out := value{kind: object, line: over.line, fields: map[string]value{}}
	for _, k := range under.keys {
		out.keys = append(out.keys, k)
		out.fields[k] = under.fields[k]
	}
	for _, k := range over.keys {
		if u, ok := out.fields[k]; ok {
			out.fields[k] = overlay(u, over.fields[k])
			continue
		}
		out.keys = append(out.keys, k)
		out.fields[k] = over.fields[k]
	}
	return out
}

func (r *resolver) readResources(t *Template, globals value) {
	for _, k := range globals.keys {
		if globals.fields[k].kind == list {
			r.fail(globals.fields[k].line, "write it at each function", "the globals hold the list %s, which SAM would append to", k)
		}
	}
	policies := map[string]map[string]any{} // by bucket
	for _, id := range r.order {
		d := r.resources[id]
		props := value{kind: object, line: d.line}
		if n := child(d.node, "Properties"); n != nil {
			props = r.eval(n)
		}
		meta := value{kind: object}
		if n := child(d.node, "Metadata"); n != nil {
			meta = r.eval(n)
		}
		res := Resource{LogicalID: id, Type: d.typ, Line: d.line, Physical: r.physical(d.line, d), Properties: props.plainObject(), Metadata: meta.plainObject()}
		if n := child(d.node, "DeletionPolicy"); n != nil {
			res.DeletionPolicy = n.Value
		}
		if n := child(d.node, "UpdateReplacePolicy"); n != nil {
			res.UpdateReplace = n.Value
		}
		res.DependsOn = r.dependsOn(child(d.node, "DependsOn"))
		switch d.typ {
		case "AWS::Serverless::Function":
			t.Functions = append(t.Functions, r.function(d, overlay(globals, props), meta))
			res.Properties = overlay(globals, props).plainObject()
		case "AWS::IAM::Role":
			t.Roles = append(t.Roles, r.role(d, props))
		case "AWS::SQS::Queue":
			t.Queues = append(t.Queues, r.queue(d, props))
		case "AWS::DynamoDB::Table":
			t.Tables = append(t.Tables, r.table(d, props))
		case "AWS::S3::Bucket":
			t.Buckets = append(t.Buckets, r.bucket(d, props))
		case "AWS::S3::BucketPolicy":
			c := r.object(props, id)
			document, _ := c.optional("PolicyDocument")
			policies[c.must("Bucket")] = document.plainObject()
			c.done()
		case "AWS::SES::ConfigurationSet":
			t.ConfigurationSets = append(t.ConfigurationSets, ConfigurationSet{LogicalID: id, Line: d.line, Name: r.name(d.line, d)})
		case "AWS::SES::ConfigurationSetEventDestination":
			t.EventDestinations = append(t.EventDestinations, r.eventDestination(d, props))
		case "AWS::Events::Rule":
			t.EventRules = append(t.EventRules, r.eventRule(d, props))
		case "AWS::Serverless::HttpApi":
			api := r.httpAPI(d, props)
			api.OpenToAll = meta.fields["OpenToAll"].text
			t.HTTPAPIs = append(t.HTTPAPIs, api)
		}
		t.Resources = append(t.Resources, res)
	}
	for i := range t.Buckets {
		t.Buckets[i].Policy = policies[t.Buckets[i].Name]
	}
	if len(r.errs) == 0 { // else what is missing may be what couldn't be read
		r.connect(t)
	}
}

func (r *resolver) dependsOn(n *yaml.Node) []string {
	if n == nil {
		return nil
	}
	names := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		names = n.Content
	}
	var out []string
	for _, x := range names {
		if _, ok := r.resources[x.Value]; !ok {
			r.fail(x.Line, r.nearest(x.Value), "DependsOn names %s, which is no resource", x.Value)
		}
		out = append(out, x.Value)
	}
	return out
}

// connect checks what one resource says about another.
func (r *resolver) connect(t *Template) {
	for _, f := range t.Functions {
		if _, ok := t.Role(f.RoleARN); !ok {
			r.fail(f.Line, "give it `Role: !GetAtt <Role>.Arn` of a role in this file", "function %s has no role of its own", f.LogicalID)
		}
		for _, s := range f.SQSSources {
			q, ok := t.Queue(s.QueueARN)
			if !ok {
				r.fail(f.Line, "give it `Queue: !GetAtt <Queue>.Arn` of a queue in this file", "event %s of function %s reads a queue that isn't here", s.Event, f.LogicalID)
			} else if q.Visibility < f.Timeout {
				r.fail(q.Line, "AWS refuses the event source; six times the time-out is the rule", "queue %s hides its messages for less than the time-out of %s", q.LogicalID, f.LogicalID)
			}
		}
	}
	for _, f := range t.Functions {
		for i, route := range f.Routes {
			at := slices.IndexFunc(t.HTTPAPIs, func(a HTTPAPI) bool { return a.ID == route.API })
			if at < 0 {
				r.fail(f.Line, "give it `ApiId: !Ref <Api>` of an API in this file", "event %s of function %s is of an API that isn't here", route.Event, f.LogicalID)
				continue
			}
			f.Routes[i].Open = route.Open || t.HTTPAPIs[at].OpenToAll != "" && len(t.HTTPAPIs[at].Authorizers) == 0
		}
	}
	for _, rule := range t.EventRules {
		for _, target := range rule.Targets {
			if _, ok := t.Queue(target.QueueARN); !ok {
				r.fail(rule.Line, "give it the ARN of a queue in this file", "rule %s leads to %s, which isn't here", rule.LogicalID, target.QueueARN)
			}
		}
	}
	for _, q := range t.Queues {
		if _, ok := t.Queue(q.DeadLetters); q.DeadLetters != "" && !ok {
			r.fail(q.Line, "give it `deadLetterTargetArn: !GetAtt <Queue>.Arn` of a queue in this file", "the dead letters of %s go to a queue that isn't here", q.LogicalID)
		}
	}
}

func (r *resolver) function(d declared, props, meta value) Function {
	c := r.object(props, d.id)
	f := Function{LogicalID: d.id, Line: d.line, Name: r.name(d.line, d), Environment: map[string]string{}}
	f.ARN, _ = r.attribute(d.line, d, "Arn")
	c.ignore("FunctionName", "Description", "Layers")
	f.Architecture = "x86_64"
	if a := c.texts("Architectures"); len(a) == 1 {
		f.Architecture = a[0]
	} else if v, given := c.optional("Architectures"); !given || !v.bad {
		r.fail(d.line, "write `Architectures: [x86_64]` or [arm64]", "function %s doesn't name its architecture", d.id)
	}
	if f.Architecture != "x86_64" && f.Architecture != "arm64" {
		r.fail(d.line, "take x86_64 or arm64", "function %s has the architecture %s", d.id, f.Architecture)
	}
	f.Runtime, f.Handler, f.CodeURI = c.must("Runtime"), c.must("Handler"), c.must("CodeUri")
	if f.Runtime != "provided.al2023" {
		r.fail(d.line, "take provided.al2023", "function %s has the runtime %s", d.id, f.Runtime)
	}
	f.MemoryMB = c.between("MemorySize", 128, 128, 10240)
	f.Timeout = time.Duration(c.between("Timeout", 3, 1, 900)) * time.Second
	f.ReservedConcurrency = c.number("ReservedConcurrentExecutions", 0)
	f.RoleARN = c.must("Role")
	f.Tracing = c.text("Tracing") == "Active"
	f.InVPC = c.has("VpcConfig")
	c.ignore("VpcConfig")
	logging := c.child("LoggingConfig")
	f.LogGroup, f.LogFormat, f.LogLevel = logging.text("LogGroup"), logging.text("LogFormat"), logging.text("ApplicationLogLevel")
	logging.ignore("SystemLogLevel")
	logging.done()
	env := c.child("Environment")
	variables := env.child("Variables")
	for _, k := range variables.v.keys {
		if strings.HasPrefix(k, "AWS_") || strings.HasPrefix(k, "_") {
			r.fail(variables.v.fields[k].line, "take a name without that beginning", "function %s sets %s, and Lambda keeps such names for itself", d.id, k)
		}
		f.Environment[k] = variables.text(k)
	}
	env.done()
	if c.has("EventInvokeConfig") {
		a := c.child("EventInvokeConfig")
		f.Async = &Async{MaximumRetries: a.between("MaximumRetryAttempts", 2, 0, 2), MaximumEventAge: time.Duration(a.between("MaximumEventAgeInSeconds", 21600, 60, 21600)) * time.Second}
		a.done()
	}
	events := c.child("Events")
	for _, name := range events.v.keys {
		r.event(&f, name, events.child(name))
	}
	c.done()
	if method, ok := meta.fields["BuildMethod"]; ok {
		f.BuildMethod = method.text
	}
	return f
}

func (r *resolver) event(f *Function, name string, c *cursor) {
	p := c.child("Properties")
	switch typ := c.must("Type"); typ {
	case "SQS":
		s := SQSSource{Event: name, QueueARN: p.must("Queue"), BatchSize: p.between("BatchSize", 10, 1, 10), BatchingWindow: p.seconds("MaximumBatchingWindowInSeconds")}
		for _, response := range p.texts("FunctionResponseTypes") {
			if response != "ReportBatchItemFailures" {
				r.fail(p.v.line, "take ReportBatchItemFailures", "event %s of %s has the response type %s", name, f.LogicalID, response)
			}
			s.ReportsBatchFailures = true
		}
		scaling := p.child("ScalingConfig")
		s.MaximumConcurrency = scaling.between("MaximumConcurrency", 0, 2, 1000)
		scaling.done()
		f.SQSSources = append(f.SQSSources, s)
	case "ScheduleV2":
		s := Schedule{Event: name, Expression: p.must("ScheduleExpression"), Timezone: p.text("ScheduleExpressionTimezone"), RoleARN: p.text("RoleArn"), Input: p.text("Input")}
		retry := p.child("RetryPolicy")
		s.MaximumRetries = retry.between("MaximumRetryAttempts", 185, 0, 185)
		s.MaximumEventAge = time.Duration(retry.between("MaximumEventAgeInSeconds", 86400, 60, 86400)) * time.Second
		retry.done()
		p.ignore("OmitName", "Description", "FlexibleTimeWindow", "DeadLetterConfig")
		f.Schedules = append(f.Schedules, s)
	case "HttpApi":
		r.route(f, name, p)
	default:
		r.fail(c.v.line, "the local host knows SQS, ScheduleV2 and HttpApi; teach it the new one first", "event %s of %s has the type %s", name, f.LogicalID, typ)
		p.ignore(p.v.keys...)
	}
	p.done()
	c.done()
}

func (r *resolver) role(d declared, props value) Role {
	c := r.object(props, d.id)
	out := Role{LogicalID: d.id, Line: d.line, Name: r.name(d.line, d)}
	out.ARN, _ = r.attribute(d.line, d, "Arn")
	assume, ok := c.optional("AssumeRolePolicyDocument")
	if !ok {
		r.fail(d.line, "say who may take the role", "role %s has no AssumeRolePolicyDocument", d.id)
	}
	out.AssumeRole = assume.plainObject()
	out.ManagedPolicies = c.texts("ManagedPolicyArns")
	for _, p := range c.children("Policies") {
		p.must("PolicyName")
		document, ok := p.optional("PolicyDocument")
		if !ok || document.kind != object {
			r.fail(p.v.line, "add the document", "a policy of role %s has no PolicyDocument", d.id)
		}
		out.Policies = append(out.Policies, document.plainObject())
		p.done()
	}
	c.ignore("RoleName", "Description", "Path", "MaxSessionDuration", "PermissionsBoundary")
	c.done()
	return out
}

func (r *resolver) queue(d declared, props value) Queue {
	c := r.object(props, d.id)
	q := Queue{LogicalID: d.id, Line: d.line, Name: r.name(d.line, d), URL: r.physical(d.line, d), Attributes: map[string]string{}}
	q.ARN, _ = r.attribute(d.line, d, "Arn")
	q.Visibility = time.Duration(c.between("VisibilityTimeout", 30, 0, 43200)) * time.Second
	c.between("MessageRetentionPeriod", 345600, 60, 1209600)
	c.between("DelaySeconds", 0, 0, 900)
	c.between("ReceiveMessageWaitTimeSeconds", 0, 0, 20)
	c.ignore("QueueName", "KmsMasterKeyId", "SqsManagedSseEnabled", "KmsDataKeyReusePeriodSeconds")
	for _, k := range []string{"VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds", "ReceiveMessageWaitTimeSeconds", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"} {
		if c.has(k) {
			q.Attributes[k] = c.text(k)
		}
	}
	for _, k := range []string{"RedrivePolicy", "RedriveAllowPolicy"} {
		policy, ok := c.optional(k)
		if !ok {
			continue
		}
		raw, err := json.Marshal(policy.plain())
		if err != nil {
			r.fail(policy.line, "write it as a mapping", "%s of %s can't be written as JSON", k, d.id)
		}
		q.Attributes[k] = string(raw)
		if k == "RedrivePolicy" {
			p := r.object(policy, "RedrivePolicy of "+d.id)
			q.DeadLetters, q.MaxReceives = p.must("deadLetterTargetArn"), p.between("maxReceiveCount", 10, 1, 1000)
			p.done()
		}
	}
	c.done()
	return q
}

func (r *resolver) table(d declared, props value) Table {
	c := r.object(props, d.id)
	t := Table{LogicalID: d.id, Line: d.line, Name: r.name(d.line, d)}
	t.ARN, _ = r.attribute(d.line, d, "Arn")
	declaredTypes := map[string]bool{}
	for _, a := range c.children("AttributeDefinitions") {
		t.Attributes = append(t.Attributes, Attribute{Name: a.must("AttributeName"), Type: a.must("AttributeType")})
		declaredTypes[a.text("AttributeName")] = true
		a.done()
	}
	for _, k := range c.children("KeySchema") {
		part := KeyPart{Name: k.must("AttributeName"), Kind: k.must("KeyType")}
		if !declaredTypes[part.Name] {
			r.fail(k.v.line, "add it to AttributeDefinitions", "table %s has the key attribute %s without a type", d.id, part.Name)
		}
		t.Key = append(t.Key, part)
		k.done()
	}
	if len(t.Key) == 0 || t.Key[0].Kind != "HASH" {
		r.fail(d.line, "name the HASH attribute first", "table %s has no partition key", d.id)
	}
	if mode := c.must("BillingMode"); mode != "PAY_PER_REQUEST" {
		r.fail(d.line, "take PAY_PER_REQUEST", "table %s has the billing mode %s", d.id, mode)
	}
	t.DeletionProtection = c.boolean("DeletionProtectionEnabled")
	recovery := c.child("PointInTimeRecoverySpecification")
	t.PointInTime = recovery.boolean("PointInTimeRecoveryEnabled")
	recovery.done()
	sse := c.child("SSESpecification")
	t.KMSKey = sse.text("KMSMasterKeyId")
	sse.ignore("SSEEnabled", "SSEType")
	sse.done()
	c.ignore("TableName", "Tags")
	c.done()
	return t
}

func (r *resolver) bucket(d declared, props value) Bucket {
	c := r.object(props, d.id)
	b := Bucket{LogicalID: d.id, Line: d.line, Name: r.name(d.line, d)}
	b.ARN, _ = r.attribute(d.line, d, "Arn")
	versioning := c.child("VersioningConfiguration")
	b.Versioned = versioning.text("Status") == "Enabled"
	versioning.done()
	b.ObjectLock = c.boolean("ObjectLockEnabled")
	lock := c.child("ObjectLockConfiguration")
	lock.ignore("ObjectLockEnabled")
	rule := lock.child("Rule")
	retention := rule.child("DefaultRetention")
	b.RetentionMode = retention.text("Mode")
	b.RetentionDays = retention.number("Days", 0) + 365*retention.number("Years", 0)
	retention.done()
	rule.done()
	lock.done()
	if b.RetentionMode != "" && !b.ObjectLock {
		r.fail(d.line, "add `ObjectLockEnabled: true`", "bucket %s has a retention but no Object Lock", d.id)
	}
	encryption := c.child("BucketEncryption")
	for _, e := range encryption.children("ServerSideEncryptionConfiguration") {
		by := e.child("ServerSideEncryptionByDefault")
		b.KMSKey = by.text("KMSMasterKeyID")
	}
	c.ignore("BucketName", "OwnershipControls", "PublicAccessBlockConfiguration", "LifecycleConfiguration", "LoggingConfiguration", "Tags")
	c.done()
	return b
}
