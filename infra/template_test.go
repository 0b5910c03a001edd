package infra

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// load resolves the template with everything in it that a parameter can leave out.
func load(t *testing.T, params map[string]string) *template.Template {
	t.Helper()
	all := map[string]string{"ApiIssuer": "https://issuer.example", "Callbacks": "true"}
	maps.Copy(all, params)
	tmpl, err := template.Load("../template.yaml", all)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// folder is where a function's program is: FetchFunction is built from functions/fetch.
func folder(f template.Function) string {
	return strings.ToLower(strings.TrimSuffix(f.LogicalID, "Function"))
}

func TestEachFolderIsAFunctionAndEachFunctionAFolder(t *testing.T) {
	entries, err := os.ReadDir("../functions")
	if err != nil {
		t.Fatal(err)
	}
	var folders, named []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join("..", "functions", e.Name(), "main.go")); err == nil {
			folders = append(folders, e.Name())
		}
	}
	for _, f := range load(t, nil).Functions {
		named = append(named, folder(f))
		if f.CodeURI != "." || f.BuildMethod != "makefile" {
			t.Errorf("%s is built from %s by %q: one Make rule builds all, from the root", f.LogicalID, f.CodeURI, f.BuildMethod)
		}
	}
	slices.Sort(named)
	if !slices.Equal(folders, named) {
		t.Errorf("functions/ holds %v, template.yaml %v", folders, named)
	}
}

// settings reads the env tags of the structs in a function's main.go. Names that Lambda sets by itself are left out.
func settings(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		field, ok := n.(*ast.Field)
		if !ok || field.Tag == nil {
			return true
		}
		tag, err := strconv.Unquote(field.Tag.Value)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if name := reflect.StructTag(tag).Get("env"); name != "" && !strings.HasPrefix(name, "AWS_") {
			names = append(names, name)
			if field.Comment == nil && field.Doc == nil {
				t.Errorf("%s: the setting %s has no comment, which is its only documentation", file, name)
			}
		}
		return true
	})
	slices.Sort(names)
	return names
}

func TestEnvironmentIsWhatTheProgramReads(t *testing.T) {
	for _, f := range load(t, nil).Functions {
		main := filepath.Join("..", "functions", folder(f), "main.go")
		if _, err := os.Stat(main); os.IsNotExist(err) {
			continue // TestEachFolderIsAFunctionAndEachFunctionAFolder speaks of it
		}
		reads := settings(t, main)
		given := slices.Sorted(maps.Keys(f.Environment))
		for _, name := range reads {
			if !slices.Contains(given, name) {
				t.Errorf("%s reads %s, which template.yaml line %d doesn't give", main, name, f.Line)
			}
		}
		for _, name := range given {
			if !slices.Contains(reads, name) {
				t.Errorf("template.yaml line %d gives %s the setting %s, which nothing reads", f.Line, f.LogicalID, name)
			}
		}
	}
}

func TestArchitecturesAreTheMakefiles(t *testing.T) {
	file, err := os.Open("functions.mk")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	built := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, arch, ok := strings.Cut(lines.Text(), " := "); ok && strings.HasPrefix(name, "ARCH_") {
			built[strings.TrimPrefix(name, "ARCH_")] = arch
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	inTemplate := map[string]string{}
	for _, f := range load(t, nil).Functions {
		inTemplate[folder(f)] = map[string]string{"x86_64": "amd64", "arm64": "arm64"}[f.Architecture]
	}
	if !maps.Equal(built, inTemplate) {
		t.Errorf("functions.mk builds %v, template.yaml says %v", built, inTemplate)
	}
}

func TestQueuesGiveUpLateAndKeepWhatTheyGaveUp(t *testing.T) {
	tmpl := load(t, nil)
	const longest = "1209600" // 14 days, SQS's most
	taken := map[string]string{}
	for _, f := range tmpl.Functions {
		for _, s := range f.SQSSources {
			q, ok := tmpl.Queue(s.QueueARN)
			if !ok {
				t.Fatalf("%s reads %s, which isn't here", f.LogicalID, s.QueueARN)
			}
			if !s.ReportsBatchFailures {
				t.Errorf("%s does not report single failures: one bad message would repeat its neighbours", f.LogicalID)
			}
			if q.Visibility < 6*f.Timeout {
				t.Errorf("%s hides messages for %v, less than six times the %v of %s", q.LogicalID, q.Visibility, f.Timeout, f.LogicalID)
			}
			if q.MaxReceives != 200 {
				t.Errorf("%s gives up after %d receives: pauses grow to hours, so that 200 receives are weeks of trouble, not a bad afternoon", q.LogicalID, q.MaxReceives)
			}
			dead, ok := tmpl.Queue(q.DeadLetters)
			if !ok {
				t.Errorf("%s has no dead letters", q.LogicalID)
				continue
			}
			if other := taken[dead.LogicalID]; other != "" {
				t.Errorf("%s takes the dead letters of %s and of %s", dead.LogicalID, other, q.LogicalID)
			}
			taken[dead.LogicalID] = q.LogicalID
			if dead.Attributes["MessageRetentionPeriod"] != longest || q.Attributes["MessageRetentionPeriod"] != longest {
				t.Errorf("%s and its dead letters must keep messages for 14 days", q.LogicalID)
			}
			if dead.DeadLetters != "" {
				t.Errorf("%s has dead letters of its own", dead.LogicalID)
			}
		}
	}
	if len(tmpl.Queues) != 2*len(taken) {
		t.Errorf("%d queues, of which %d are read by a function", len(tmpl.Queues), len(taken))
	}
}

func TestAsynchronousFunctionsSayWhatBecomesOfTheirEvents(t *testing.T) {
	tmpl := load(t, nil)
	for _, f := range tmpl.Functions {
		if len(f.Schedules) > 0 && f.Async == nil {
			t.Errorf("%s is scheduled, which is asynchronous: without EventInvokeConfig AWS tries twice more for six hours", f.LogicalID)
		}
		for _, s := range f.Schedules {
			if s.Timezone != "UTC" {
				t.Errorf("schedule of %s is in the zone %q: noon is 12:00 UTC all year", f.LogicalID, s.Timezone)
			}
			if s.MaximumRetries != 0 || s.MaximumEventAge > time.Hour {
				t.Errorf("schedule of %s retries %d times for %v: the next tick does the same work", f.LogicalID, s.MaximumRetries, s.MaximumEventAge)
			}
			role, ok := tmpl.Role(s.RoleARN)
			if !ok {
				t.Errorf("schedule of %s has no role in the template", f.LogicalID)
				continue
			}
			if !permits(t, role).Allowed(authz.Request{Action: "lambda:InvokeFunction", Resource: f.ARN}) {
				t.Errorf("the role of %s's schedule can't invoke it", f.LogicalID)
			}
		}
	}
	fetch, ok := tmpl.Function("FetchFunction")
	if !ok || fetch.Async == nil || fetch.Async.MaximumRetries != 0 || fetch.Async.MaximumEventAge != time.Minute {
		t.Errorf("fetch must have no retries and a maximum event age of 60 s: %+v", fetch.Async)
	}
	for _, r := range tmpl.Resources {
		events, _ := r.Properties["Events"].(map[string]any)
		for name, e := range events {
			event, _ := e.(map[string]any)
			properties, _ := event["Properties"].(map[string]any)
			if event["Type"] == "ScheduleV2" && properties["OmitName"] != true {
				t.Errorf("event %s of %s needs OmitName: SAM names the schedule after the logical id, and a second stack would collide", name, r.LogicalID)
			}
		}
	}
}

func permits(t *testing.T, r template.Role) iam.Policies {
	t.Helper()
	var all iam.Policies
	for _, document := range r.Policies {
		p, err := iam.Parse(document)
		if err != nil {
			t.Fatalf("%s line %d: %v", r.LogicalID, r.Line, err)
		}
		all = append(all, p...)
	}
	return all
}

func TestPrimaryDataOutlivesTheStack(t *testing.T) {
	tmpl := load(t, nil)
	lasting := []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::EC2::EIP"}
	for _, r := range tmpl.Resources {
		if slices.Contains(lasting, r.Type) && (r.DeletionPolicy != "Retain" || r.UpdateReplace != "Retain") {
			t.Errorf("line %d: %s must be retained when the stack goes or replaces it", r.Line, r.LogicalID)
		}
		if r.Type == "AWS::Logs::LogGroup" {
			if days, _ := r.Properties["RetentionInDays"].(string); days != "400" {
				t.Errorf("line %d: %s keeps logs for %q days, the parameter says 400", r.Line, r.LogicalID, days)
			}
		}
	}
	for _, table := range tmpl.Tables {
		if !table.PointInTime || !table.DeletionProtection {
			t.Errorf("line %d: table %s needs point-in-time recovery and deletion protection", table.Line, table.LogicalID)
		}
		if !slices.Equal(table.Key, []template.KeyPart{{Name: "pk", Kind: "HASH"}, {Name: "sk", Kind: "RANGE"}}) {
			t.Errorf("table %s has the key %v", table.LogicalID, table.Key)
		}
	}
}

func TestBucketsAreLockedAndRefuseToForget(t *testing.T) {
	tmpl := load(t, map[string]string{"RetentionDays": "30"})
	for _, b := range tmpl.Buckets {
		if !b.Versioned || !b.ObjectLock || b.RetentionMode != "COMPLIANCE" || b.RetentionDays != 30 {
			t.Errorf("%s: %+v", b.LogicalID, b)
		}
		policy, err := iam.Parse(b.Policy)
		if err != nil {
			t.Fatalf("%s: %v", b.LogicalID, err)
		}
		object := b.ARN + "/batches/x"
		with := func(more ...string) map[string]string {
			out := map[string]string{"aws:SecureTransport": "true"}
			for i := 0; i < len(more); i += 2 {
				out[more[i]] = more[i+1]
			}
			return out
		}
		for _, c := range []struct {
			what   string
			r      authz.Request
			denied bool
		}{
			{"a delete", authz.Request{Action: "s3:DeleteObject", Resource: object, Context: with()}, true},
			{"a delete of a version", authz.Request{Action: "s3:DeleteObjectVersion", Resource: object, Context: with()}, true},
			{"a put that may overwrite", authz.Request{Action: "s3:PutObject", Resource: object, Context: with("s3:ObjectCreationOperation", "true")}, true},
			{"a put of a new object", authz.Request{Action: "s3:PutObject", Resource: object, Context: with("s3:ObjectCreationOperation", "true", "s3:if-none-match", "*")}, false},
			{"a part of an upload", authz.Request{Action: "s3:PutObject", Resource: object, Context: with("s3:ObjectCreationOperation", "false")}, false},
			{"lifting a lock", authz.Request{Action: "s3:BypassGovernanceRetention", Resource: object, Context: with()}, true},
			{"a read", authz.Request{Action: "s3:GetObject", Resource: object, Context: with()}, false},
			{"a read without TLS", authz.Request{Action: "s3:GetObject", Resource: object, Context: map[string]string{"aws:SecureTransport": "false"}}, true},
		} {
			if got := policy.Decide(c.r) == iam.Denied; got != c.denied {
				t.Errorf("%s: %s is denied: %v", b.LogicalID, c.what, got)
			}
		}
	}
	for _, r := range tmpl.Resources {
		if r.Type != "AWS::S3::Bucket" {
			continue
		}
		block, _ := r.Properties["PublicAccessBlockConfiguration"].(map[string]any)
		for _, k := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			if block[k] != true {
				t.Errorf("%s may be made public: %s is not set", r.LogicalID, k)
			}
		}
	}
}

func TestLockMayBeLiftedOnlyInATrial(t *testing.T) {
	for _, c := range []struct{ trial, mode, want string }{
		{"false", "GOVERNANCE", "COMPLIANCE"}, {"false", "COMPLIANCE", "COMPLIANCE"}, {"true", "GOVERNANCE", "GOVERNANCE"}, {"true", "COMPLIANCE", "COMPLIANCE"},
	} {
		tmpl := load(t, map[string]string{"Trial": c.trial, "RetentionMode": c.mode})
		for _, b := range tmpl.Buckets {
			if b.RetentionMode != c.want {
				t.Errorf("trial %s, mode %s: %s is locked in mode %s", c.trial, c.mode, b.LogicalID, b.RetentionMode)
			}
		}
		if report, ok := tmpl.Function("ReportFunction"); !ok || report.Environment["TRIAL"] != c.trial {
			t.Errorf("report isn't told that trial is %s", c.trial)
		}
	}
}

func TestNothingIsReachableFromOutside(t *testing.T) {
	for _, r := range load(t, nil).Resources {
		if r.Type == "AWS::EC2::SecurityGroup" {
			if r.Properties["SecurityGroupIngress"] != nil {
				t.Errorf("line %d: %s lets something in", r.Line, r.LogicalID)
			}
			if r.Properties["SecurityGroupEgress"] == nil {
				t.Errorf("line %d: %s has no egress of its own, so AWS would let everything out", r.Line, r.LogicalID)
			}
		}
	}
}

func TestWhatTalksToWeComHasTheFixedAddressAndWatchDoesNotNeedIt(t *testing.T) {
	for _, f := range load(t, nil).Functions {
		_, talks := f.Environment["WECOM_URL"]
		if f.InVPC != talks {
			t.Errorf("%s talks to WeCom: %v, is in the VPC: %v", f.LogicalID, talks, f.InVPC)
		}
	}
}

func TestEverythingThatCanFailIsWatchedByAnAlarm(t *testing.T) {
	tmpl := load(t, nil)
	watched := map[string][]string{} // metric → the names it is watched for
	for _, r := range tmpl.Resources {
		if r.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		if actions, _ := r.Properties["AlarmActions"].([]any); len(actions) == 0 {
			t.Errorf("line %d: nobody hears of %s", r.Line, r.LogicalID)
		}
		if name, ok := r.Properties["MetricName"].(string); ok {
			watched[name] = append(watched[name], "")
		}
		metrics, _ := r.Properties["Metrics"].([]any)
		for _, m := range metrics {
			entry, _ := m.(map[string]any)
			stat, _ := entry["MetricStat"].(map[string]any)
			metric, _ := stat["Metric"].(map[string]any)
			dimensions, _ := metric["Dimensions"].([]any)
			for _, d := range dimensions {
				dimension, _ := d.(map[string]any)
				name, _ := metric["MetricName"].(string)
				value, _ := dimension["Value"].(string)
				watched[name] = append(watched[name], value)
			}
		}
	}
	for _, f := range tmpl.Functions {
		for _, metric := range []string{"Errors", "Throttles"} {
			if !slices.Contains(watched[metric], f.Name) {
				t.Errorf("no alarm on %s of %s", metric, f.LogicalID)
			}
		}
	}
	for _, q := range tmpl.Queues {
		metric := "ApproximateAgeOfOldestMessage"
		if q.DeadLetters == "" {
			metric = "ApproximateNumberOfMessagesVisible"
		}
		if !slices.Contains(watched[metric], q.Name) {
			t.Errorf("no alarm on %s of %s", metric, q.LogicalID)
		}
	}
	for _, metric := range []string{"FetchOK", "HoursToLossMessages", "HoursToLossMedia"} {
		if len(watched[metric]) == 0 {
			t.Errorf("no alarm on %s", metric)
		}
	}
}

func TestExceptionsOfTheScannerCarryAReason(t *testing.T) {
	for _, r := range load(t, nil).Resources {
		checkov, _ := r.Metadata["checkov"].(map[string]any)
		skips, _ := checkov["skip"].([]any)
		for _, s := range skips {
			skip, _ := s.(map[string]any)
			if reason, _ := skip["comment"].(string); len(reason) < 20 {
				t.Errorf("line %d: %s skips %v without a reason", r.Line, r.LogicalID, skip["id"])
			}
		}
	}
}

func TestOperatorFindsWhatTheCommandNeeds(t *testing.T) {
	outputs := load(t, nil).Outputs
	for _, name := range []string{"EgressAddresses", "ControlTable", "MessagesTable", "DirectoryTable", "AuditTable", "ArchiveBucket", "ReportsBucket",
		"BatchQueueUrl", "MediaQueueUrl", "ReportQueueUrl", "MailQueueUrl", "RedriveQueueUrl", "DirectoryQueueUrl", "CallbackUrl", "SecretsPrefix", "SecretsKeyArn"} {
		if outputs[name] == "" {
			t.Errorf("the template has no output %s", name)
		}
	}
}

// Every mail's fate must come back, and nothing of it but ids: an event names receivers and subjects.
func TestWhatBecomesOfMailsIsToldByIdsAlone(t *testing.T) {
	tmpl := load(t, nil)
	types := map[string]string{"send": "Email Sent", "delivery": "Email Delivered", "reject": "Email Rejected", "complaint": "Email Complaint Received", "bounce": "Email Bounced"}
	if len(tmpl.EventDestinations) != 1 || len(tmpl.EventDestinations[0].Types) != len(types) || len(tmpl.ConfigurationSets) != 1 {
		t.Fatalf("destinations %+v", tmpl.EventDestinations)
	}
	set := tmpl.ConfigurationSets[0].Name
	if mail, ok := tmpl.Function("MailFunction"); !ok || mail.Environment["SES_CONFIGURATION_SET"] != set || tmpl.EventDestinations[0].ConfigurationSet != set {
		t.Errorf("mails are sent with another configuration set than the one that tells of them")
	}
	allowed := []string{"$.detail.eventType", "$.detail.mail.messageId", "$.time", "$.detail.mail.tags.corp", "$.detail.mail.tags.mail", "$.detail.bounce.bounceType", "$.detail.bounce.bounceSubType",
		"$.detail.complaint.complaintFeedbackType"}
	led := map[string]int{}
	typed := map[any]bool{}
	for _, r := range tmpl.EventRules {
		details, _ := r.Pattern["detail-type"].([]any)
		for _, d := range details {
			name, _ := d.(string)
			// Complaints have two rules of which each event matches one: with a type, and without.
			detail, _ := r.Pattern["detail"].(map[string]any)
			complaint, _ := detail["complaint"].(map[string]any)
			if given, ok := complaint["complaintFeedbackType"].([]any); ok && len(given) == 1 && name == types["complaint"] {
				exists, _ := given[0].(map[string]any)
				typed[exists["exists"]] = true
				if exists["exists"] == false {
					continue
				}
			}
			led[name]++
		}
		for _, target := range r.Targets {
			if target.Template == "" {
				t.Errorf("%s passes whole events on", r.LogicalID)
			}
			for _, path := range target.Paths {
				if !slices.Contains(allowed, path) {
					t.Errorf("%s passes %s on, which may hold more than ids", r.LogicalID, path)
				}
			}
		}
	}
	if !typed[true] || !typed[false] {
		t.Errorf("not every complaint is told: with a type %t, without %t", typed[true], typed[false])
	}
	for word, name := range types {
		if !slices.Contains(tmpl.EventDestinations[0].Types, word) || led[name] != 1 {
			t.Errorf("%s is told: %t, led into %d queues", word, slices.Contains(tmpl.EventDestinations[0].Types, word), led[name])
		}
	}
}
