// Package template reads template.yaml, the product's only wiring, for the programs that stand in for AWS: the Lambda host, the
// permission check, the creation of tables, queues and buckets, and the tests over the template. It owns the part of
// CloudFormation and SAM that the file uses and refuses every other part by name and line; it must not create anything, and must
// not know what a function does.
package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Names of pseudo parameters that Load takes beside the template's own parameters.
const (
	Region    = "AWS::Region"
	AccountID = "AWS::AccountId"
	StackName = "AWS::StackName"
	// Endpoint is the address from which queue URLs are made, without a final slash. CloudFormation knows no such thing; AWS's
	// own address of SQS in the region is the default.
	Endpoint = "Local::Endpoint"
)

// Template is the resolved file: no functions, conditions or globals are left in it. Lists keep the file's order.
type Template struct {
	Path       string
	Region     string
	AccountID  string
	StackName  string
	Endpoint   string            // base of queue URLs
	Parameters map[string]string // with defaults filled in

	Functions         []Function
	Roles             []Role
	Queues            []Queue
	Tables            []Table
	Buckets           []Bucket
	ConfigurationSets []ConfigurationSet
	EventDestinations []EventDestination
	EventRules        []EventRule
	HTTPAPIs          []HTTPAPI
	Outputs           map[string]string

	// Resources holds everything in the file, known types and others, for tests that look at all of it.
	Resources []Resource
}

// Resource is one entry of the Resources section as a plain tree of map[string]any, []any, string, bool, int64 and float64.
type Resource struct {
	LogicalID      string
	Type           string
	Line           int
	Physical       string // what Ref gives
	DependsOn      []string
	DeletionPolicy string
	UpdateReplace  string
	Metadata       map[string]any
	Properties     map[string]any
}

// Function is an AWS::Serverless::Function with the globals applied.
type Function struct {
	LogicalID           string
	Line                int
	Name                string
	ARN                 string
	Architecture        string // x86_64 or arm64
	Runtime             string
	Handler             string
	CodeURI             string
	BuildMethod         string // from the metadata
	MemoryMB            int
	Timeout             time.Duration
	ReservedConcurrency int    // 0 if none is reserved
	RoleARN             string // of one of Roles
	Tracing             bool
	InVPC               bool
	LogGroup            string // name; "" if none is named
	LogFormat           string
	LogLevel            string
	Environment         map[string]string
	Async               *Async
	SQSSources          []SQSSource
	Schedules           []Schedule
	Routes              []Route
}

// Async is what becomes of asynchronous invocations. It is nil where the template leaves it to AWS.
type Async struct {
	MaximumRetries  int
	MaximumEventAge time.Duration
}

// SQSSource is an event source mapping from a queue to its function.
type SQSSource struct {
	Event                string // its name among the function's events
	QueueARN             string
	BatchSize            int
	BatchingWindow       time.Duration
	ReportsBatchFailures bool
	MaximumConcurrency   int // 0 if the template sets none
}

// Schedule is a ScheduleV2 event.
type Schedule struct {
	Event           string
	Expression      string
	Timezone        string
	RoleARN         string
	MaximumRetries  int
	MaximumEventAge time.Duration
	Input           string // "" means the scheduler's own event
}

// Role is an AWS::IAM::Role. Policies are whole policy documents as plain trees, one per entry of the role's Policies.
type Role struct {
	LogicalID       string
	Line            int
	Name            string
	ARN             string
	AssumeRole      map[string]any
	Policies        []map[string]any
	ManagedPolicies []string
}

// Queue is an AWS::SQS::Queue. Attributes are those of CreateQueue, in its words and units.
type Queue struct {
	LogicalID   string
	Line        int
	Name        string
	ARN         string
	URL         string
	Attributes  map[string]string
	DeadLetters string // ARN of the queue that takes what was received too often; "" if none
	MaxReceives int
	Visibility  time.Duration
}

// Table is an AWS::DynamoDB::Table. Every key attribute has a type.
type Table struct {
	LogicalID          string
	Line               int
	Name               string
	ARN                string
	Attributes         []Attribute
	Key                []KeyPart // partition key first
	PointInTime        bool
	DeletionProtection bool
	KMSKey             string
}

// Attribute is the declared type (S, N or B) of a table's key attribute.
type Attribute struct{ Name, Type string }

// KeyPart is one part of a table's primary key; Kind is HASH or RANGE.
type KeyPart struct{ Name, Kind string }

// Bucket is an AWS::S3::Bucket with the policy of its AWS::S3::BucketPolicy.
type Bucket struct {
	LogicalID     string
	Line          int
	Name          string
	ARN           string
	Versioned     bool
	ObjectLock    bool
	RetentionMode string // of new objects: COMPLIANCE, GOVERNANCE or "" for none
	RetentionDays int
	KMSKey        string
	Policy        map[string]any // nil if it has none
}

// ConfigurationSet is an AWS::SES::ConfigurationSet.
type ConfigurationSet struct {
	LogicalID string
	Line      int
	Name      string
}

// EventDestination is an AWS::SES::ConfigurationSetEventDestination that leads to the default event bus.
type EventDestination struct {
	LogicalID        string
	Line             int
	ConfigurationSet string   // its name
	Types            []string // of events: send, bounce and so on
}

// EventRule is an AWS::Events::Rule of the default event bus.
type EventRule struct {
	LogicalID string
	Line      int
	Name      string
	ARN       string
	Pattern   map[string]any
	Targets   []EventTarget
}

// EventTarget is a queue to which a rule sends what its input transformer makes of an event.
type EventTarget struct {
	ID              string
	QueueARN        string
	Paths           map[string]string
	Template        string
	MaximumRetries  int
	MaximumEventAge time.Duration
}

// Error is one mistake in the file: where it is, what is wrong and what to do.
type Error struct {
	Path    string
	Line    int
	Problem string
	Remedy  string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s line %d: %s: %s", e.Path, e.Line, e.Problem, e.Remedy)
}

// Load reads the file and resolves it with params, which may hold the template's parameters and the pseudo parameters named
// above. The error joins one *Error for each mistake that was found.
func Load(path string, params map[string]string) (*Template, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return Parse(path, raw, params)
}

// Parse is Load for bytes already read; path only names them in errors.
func Parse(path string, raw []byte, params map[string]string) (*Template, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%s is not YAML: mend it there: %w", path, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, &Error{Path: path, Line: 1, Problem: "the file holds no sections", Remedy: "a template has at least Transform and Resources"}
	}
	r := newResolver(path, params)
	t := r.read(doc.Content[0])
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return t, nil
}

// Function finds a function by its logical id.
func (t *Template) Function(logicalID string) (Function, bool) {
	for _, f := range t.Functions {
		if f.LogicalID == logicalID {
			return f, true
		}
	}
	return Function{}, false
}

// Queue finds a queue by its ARN.
func (t *Template) Queue(arn string) (Queue, bool) {
	for _, q := range t.Queues {
		if q.ARN == arn {
			return q, true
		}
	}
	return Queue{}, false
}

// Role finds a role by its ARN.
func (t *Template) Role(arn string) (Role, bool) {
	for _, r := range t.Roles {
		if r.ARN == arn {
			return r, true
		}
	}
	return Role{}, false
}

// Policies returns the policy documents of the resources of a type whose property, a value or a list, names the physical id: for
// example of AWS::SQS::QueuePolicy, Queues, and a queue's URL.
func (t *Template) Policies(typ, property, physical string) []map[string]any {
	var out []map[string]any
	for _, r := range t.Resources {
		named, isList := r.Properties[property].([]any)
		if !isList {
			named = []any{r.Properties[property]}
		}
		document, ok := r.Properties["PolicyDocument"].(map[string]any)
		if r.Type == typ && ok && slices.Contains(named, any(physical)) {
			out = append(out, document)
		}
	}
	return out
}

// PolicyJSON returns a policy document as JSON text, the form in which AWS keeps it.
func PolicyJSON(document map[string]any) (string, error) {
	b, err := json.Marshal(document)
	if err != nil {
		return "", fmt.Errorf("write a policy as JSON: %w", err)
	}
	return string(b), nil
}
