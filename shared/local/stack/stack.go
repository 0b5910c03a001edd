// Package stack makes what template.yaml names in the local AWS services, as CloudFormation would on AWS: tables, queues, buckets,
// configuration sets, and the callers that the functions' roles stand for. It owns no state: run again, it finds what is there and
// brings its settings up to the template. It must not make anything that the template does not name.
package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	queues "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/eventbridge"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/template"
)

// bucketMaker is the local S3. Policies and keys of buckets are known to it only while it runs, so it is asked at each start.
type bucketMaker interface {
	EnsureBucket(ctx context.Context, b s3front.Bucket) error
}

// mailService is the local SES, which likewise forgets its configuration sets.
type mailService interface {
	SetConfigurationSets(names ...string)
	SetEvents(sets map[string][]string, publish func(event []byte) error) error
}

// Options say where to make the stack. Buckets or Mail may be nil: then there are none.
type Options struct {
	Template *template.Template
	Endpoint string // of DynamoDB and SQS
	// AccessKey and Secret belong to the operator, who may do everything.
	AccessKey, Secret string
	Buckets           bucketMaker
	Mail              mailService
	// Deliver puts a message into a queue in the name of a service and of one of its resources. Nil: what happens to mails is told to nobody.
	Deliver func(service, sourceARN, queueARN, body string) error
}

// Create makes what is missing and waits until it is usable. It may be run again at any time; a table whose key has changed in the
// template is an error, because its data would have to move.
func Create(ctx context.Context, o Options) error {
	keys := credentials.NewStaticCredentialsProvider(o.AccessKey, o.Secret, "")
	tables := dynamodb.New(dynamodb.Options{Region: o.Template.Region, BaseEndpoint: aws.String(o.Endpoint), Credentials: keys})
	for _, t := range o.Template.Tables {
		if err := createTable(ctx, tables, t); err != nil {
			return err
		}
	}
	client := sqs.New(sqs.Options{Region: o.Template.Region, BaseEndpoint: aws.String(o.Endpoint), Credentials: keys})
	for _, q := range deadLettersFirst(o.Template.Queues) {
		if err := createQueue(ctx, client, o.Template, q); err != nil {
			return err
		}
	}
	if o.Buckets != nil {
		for _, b := range o.Template.Buckets {
			made, err := bucket(b)
			if err == nil {
				err = o.Buckets.EnsureBucket(ctx, made)
			}
			if err != nil {
				return fmt.Errorf("create bucket %s: %w", b.LogicalID, err)
			}
		}
	}
	if o.Mail != nil {
		var names []string
		for _, c := range o.Template.ConfigurationSets {
			names = append(names, c.Name)
		}
		o.Mail.SetConfigurationSets(names...)
		if o.Deliver != nil {
			return connectEvents(o)
		}
	}
	return nil
}

// connectEvents leads the mails' events over the rules of the event bus into their queues.
func connectEvents(o Options) error {
	bus := eventbridge.New(func(ruleARN, queueARN, body string) error {
		return o.Deliver("events.amazonaws.com", ruleARN, queueARN, body)
	})
	var rules []eventbridge.Rule
	for _, r := range o.Template.EventRules {
		rule := eventbridge.Rule{Name: r.LogicalID, ARN: r.ARN, Pattern: r.Pattern}
		for _, t := range r.Targets {
			rule.Targets = append(rule.Targets, eventbridge.Target{Queue: t.QueueARN, Paths: t.Paths, Template: t.Template})
		}
		rules = append(rules, rule)
	}
	if err := bus.SetRules(rules); err != nil {
		return fmt.Errorf("set the rules of the event bus: %w", err)
	}
	sets := map[string][]string{}
	for _, d := range o.Template.EventDestinations {
		sets[d.ConfigurationSet] = append(sets[d.ConfigurationSet], d.Types...)
	}
	return o.Mail.SetEvents(sets, bus.Put)
}

func createTable(ctx context.Context, client *dynamodb.Client, t template.Table) error {
	in := &dynamodb.CreateTableInput{TableName: aws.String(t.Name), BillingMode: ddb.BillingModePayPerRequest, DeletionProtectionEnabled: aws.Bool(t.DeletionProtection)}
	if t.KMSKey != "" {
		in.SSESpecification = &ddb.SSESpecification{Enabled: aws.Bool(true), SSEType: ddb.SSETypeKms, KMSMasterKeyId: aws.String(t.KMSKey)}
	}
	for _, a := range t.Attributes {
		in.AttributeDefinitions = append(in.AttributeDefinitions, ddb.AttributeDefinition{AttributeName: aws.String(a.Name), AttributeType: ddb.ScalarAttributeType(a.Type)})
	}
	for _, k := range t.Key {
		in.KeySchema = append(in.KeySchema, ddb.KeySchemaElement{AttributeName: aws.String(k.Name), KeyType: ddb.KeyType(k.Kind)})
	}
	_, err := client.CreateTable(ctx, in)
	var exists *ddb.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s: %w", t.LogicalID, err)
	}
	out, err := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second }).
		WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(t.Name)}, time.Minute)
	if err != nil {
		return fmt.Errorf("wait for table %s: %w", t.LogicalID, err)
	}
	if !slices.EqualFunc(out.Table.KeySchema, t.Key, func(have ddb.KeySchemaElement, want template.KeyPart) bool {
		return aws.ToString(have.AttributeName) == want.Name && string(have.KeyType) == want.Kind
	}) {
		return fmt.Errorf("table %s exists with another key than the template's: move its data, or take another data folder", t.LogicalID)
	}
	if t.PointInTime {
		if _, err := client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{TableName: aws.String(t.Name),
			PointInTimeRecoverySpecification: &ddb.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}}); err != nil {
			return fmt.Errorf("turn on recovery of table %s: %w", t.LogicalID, err)
		}
	}
	return nil
}

// deadLettersFirst orders queues so that each comes after the one that takes its dead letters.
func deadLettersFirst(all []template.Queue) []template.Queue {
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b template.Queue) int {
		switch {
		case a.DeadLetters == "" && b.DeadLetters != "":
			return -1
		case a.DeadLetters != "" && b.DeadLetters == "":
			return 1
		}
		return 0
	})
	return out
}

func createQueue(ctx context.Context, client *sqs.Client, t *template.Template, q template.Queue) error {
	attributes := maps.Clone(q.Attributes)
	for _, policy := range t.Policies("AWS::SQS::QueuePolicy", "Queues", q.URL) {
		text, err := template.PolicyJSON(policy)
		if err != nil {
			return fmt.Errorf("create queue %s: %w", q.LogicalID, err)
		}
		attributes["Policy"] = text
	}
	_, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(q.Name), Attributes: attributes})
	var differs *queues.QueueNameExists
	if errors.As(err, &differs) { // the template has changed since
		_, err = client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(q.URL), Attributes: attributes})
	}
	if err != nil {
		return fmt.Errorf("create queue %s: %w", q.LogicalID, err)
	}
	return nil
}

func bucket(b template.Bucket) (s3front.Bucket, error) {
	out := s3front.Bucket{Name: b.Name, Versioned: b.Versioned, Lock: b.ObjectLock, LockMode: b.RetentionMode, LockDays: int32(b.RetentionDays), KMSKeyARN: b.KMSKey}
	if b.Policy != nil {
		policy, err := iam.Parse(b.Policy)
		if err != nil {
			return out, fmt.Errorf("read its policy: %w", err)
		}
		out.Policy = policy
	}
	return out, nil
}

// Callers returns, by logical id, what each function may do: what its role's policies allow and nothing else.
func Callers(t *template.Template) (map[string]*authz.Caller, error) { return CallersFor(t, program()) }

// CallersFor is Callers with a name for who makes the calls, a test for example, in the account of used permissions.
func CallersFor(t *template.Template, who string) (map[string]*authz.Caller, error) {
	callers := map[string]*authz.Caller{}
	for _, f := range t.Functions {
		policies, err := policiesOf(t, f)
		if err != nil {
			return nil, err
		}
		allowed := watched(f.LogicalID, who, policies)
		if allowed == nil {
			allowed = policies.Allowed
		}
		callers[f.LogicalID] = &authz.Caller{Name: f.LogicalID, Allowed: allowed}
	}
	return callers, nil
}
