package template

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const file = "../../../template.yaml"

func TestRepositorysTemplateIsRead(t *testing.T) {
	tmpl, err := Load(file, map[string]string{Endpoint: "http://127.0.0.1:4566/", StackName: "demo", "SdkHost": "/opt/simsdk", "RetentionDays": "1"})
	if err != nil {
		t.Fatal(err)
	}
	process, ok := tmpl.Function("ProcessFunction")
	if !ok {
		t.Fatal("no ProcessFunction")
	}
	want := Function{LogicalID: "ProcessFunction", Line: process.Line, Name: "demo-process", ARN: "arn:aws:lambda:us-east-1:000000000000:function:demo-process",
		Architecture: "x86_64", Runtime: "provided.al2023", Handler: "bootstrap", CodeURI: ".", BuildMethod: "makefile", MemoryMB: 1769, Timeout: 5 * time.Minute,
		RoleARN: "arn:aws:iam::000000000000:role/demo-ProcessRole", LogGroup: "/aws/lambda/demo-process", LogFormat: "JSON", LogLevel: "INFO",
		Environment: map[string]string{
			"CONTROL_TABLE": "demo-ControlTable", "MESSAGES_TABLE": "demo-MessagesTable", "ARCHIVE_BUCKET": "demo-archivebucket",
			"BATCH_QUEUE_URL": "http://127.0.0.1:4566/000000000000/demo-BatchQueue", "MEDIA_QUEUE_URL": "http://127.0.0.1:4566/000000000000/demo-MediaQueue",
			"SECRETS_PREFIX": "wecomvault/", "SDK_HOST": "/opt/simsdk", "SDK_LIB": "/opt/lib/libWeWorkFinanceSdk_C.so"},
		SQSSources: []SQSSource{{Event: "Queue", QueueARN: "arn:aws:sqs:us-east-1:000000000000:demo-BatchQueue", BatchSize: 2, ReportsBatchFailures: true, MaximumConcurrency: 20}},
	}
	if diff := cmp.Diff(want, process); diff != "" {
		t.Error(diff)
	}
	queue, ok := tmpl.Queue("arn:aws:sqs:us-east-1:000000000000:demo-BatchQueue")
	if !ok {
		t.Fatal("no BatchQueue")
	}
	if queue.MaxReceives != 200 || queue.DeadLetters != "arn:aws:sqs:us-east-1:000000000000:demo-BatchQueueDeadLetters" || queue.Visibility != 30*time.Minute ||
		queue.Attributes["RedrivePolicy"] != `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:demo-BatchQueueDeadLetters","maxReceiveCount":200}` ||
		!strings.HasPrefix(queue.Attributes["KmsMasterKeyId"], "arn:aws:kms:us-east-1:000000000000:key/") {
		t.Errorf("%+v", queue)
	}
	if len(tmpl.Tables) != 4 || len(tmpl.Buckets) != 2 || len(tmpl.ConfigurationSets) != 1 || tmpl.Buckets[0].RetentionDays != 1 {
		t.Errorf("%+v", tmpl.Buckets)
	}
	again, err := Load(file, map[string]string{Endpoint: "http://127.0.0.1:4566/", StackName: "demo", "SdkHost": "/opt/simsdk", "RetentionDays": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tmpl, again); diff != "" {
		t.Error("two readings differ, so that the second run would find nothing of the first:", diff)
	}
}

const small = `Transform: AWS::Serverless-2016-10-31
Parameters:
  Colour: {Type: String, Default: red, AllowedValues: [red, blue]}
  Days: {Type: Number, Default: 7, MinValue: 1}
Conditions:
  Red: !Equals [!Ref Colour, red]
  Blue: !Not [!Condition Red]
  Both: !And [!Condition Red, {Condition: Blue}]
  Either:
    Fn::Or:
      - Condition: Red
      - Condition: Blue
Globals:
  Function:
    Runtime: provided.al2023
    Handler: bootstrap
    CodeUri: .
    Environment:
      Variables: {SHARED: global, OWN: global}
Resources:
  WorkQueue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 60
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      Architectures: [arm64]
      Timeout: 10
      Role: !GetAtt Role.Arn
      Environment:
        Variables:
          OWN: function
          IF: !If [Red, is red, is not]
          NONE: !If [Blue, blue, !Ref AWS::NoValue]
          NEITHER: !If [Both, yes, !If [Either, one, none]]
          JOIN: !Join ['-', [a, !Ref Colour, c]]
          SELECT: !Select [1, [a, b]]
          SPLIT: !Select [1, !Split [',', 'a,b,c']]
          SUB: !Sub 'x-${Colour}-${WorkQueue.QueueName}-${!literal}-${AWS::Region}'
          LONG: {'Fn::GetAtt': [WorkQueue, Arn]}
          CIDR: !Select [1, !Cidr [10.1.0.0/24, 4, 6]]
          ZONE: !Select [0, !GetAZs '']
      Events:
        Queue:
          Type: SQS
          Properties: {Queue: !GetAtt WorkQueue.Arn, BatchSize: 1}
Rules:
  OnlyIfBlue:
    RuleCondition: !Equals [!Ref Days, '99']
    Assertions: [{Assert: !Equals [a, b], AssertDescription: never}]
Outputs:
  Url: {Value: !Ref WorkQueue}
  Never: {Condition: Blue, Value: x}
`

func TestFunctionsAreResolved(t *testing.T) {
	tmpl, err := Parse("small.yaml", []byte(small), map[string]string{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"SHARED": "global", "OWN": "function", "IF": "is red", "NEITHER": "one", "JOIN": "a-red-c", "SELECT": "b", "SPLIT": "b",
		"SUB": "x-red-wecomvault-WorkQueue-${literal}-eu-west-1", "LONG": "arn:aws:sqs:eu-west-1:000000000000:wecomvault-WorkQueue", "CIDR": "10.1.0.64/26", "ZONE": "eu-west-1a"}
	if diff := cmp.Diff(want, tmpl.Functions[0].Environment); diff != "" {
		t.Error(diff)
	}
	if _, given := tmpl.Outputs["Never"]; given {
		t.Error("an output whose condition does not hold is given")
	}
	if tmpl.Outputs["Url"] != "https://sqs.eu-west-1.amazonaws.com/000000000000/wecomvault-WorkQueue" {
		t.Error(tmpl.Outputs)
	}
}

// Each wrong edit of the small template must be answered with its line and with what to do.
func TestWrongEditIsNamedWithItsLineAndARemedy(t *testing.T) {
	for _, c := range []struct{ name, from, to, says string }{
		{"misspelt resource", "Queue: !GetAtt WorkQueue.Arn", "Queue: !GetAtt WorkQeue.Arn", "LINE: !GetAtt WorkQeue.Arn names no resource: did you mean WorkQueue?"},
		{"misspelt parameter", "!Ref Colour, c]", "!Ref Color, c]", "LINE: !Ref Color names neither a parameter nor a resource: did you mean Colour?"},
		{"misspelt property", "      Timeout: 10", "      Timout: 10", "LINE: WorkFunction has an unknown property Timout: correct it"},
		{"misspelt type", "Type: AWS::SQS::Queue", "Type: AWS::SQS::Quee", "LINE: resource WorkQueue has the type AWS::SQS::Quee, which the reader doesn't know"},
		{"unknown attribute", "!GetAtt WorkQueue.Arn, BatchSize", "!GetAtt WorkQueue.Arm, BatchSize", "LINE: !GetAtt WorkQueue.Arm asks for an attribute that the reader doesn't know"},
		{"unknown function", "!Join ['-', [a, !Ref Colour, c]]", "!ImportValue x", "LINE: !ImportValue is not understood: the local reader resolves !Ref"},
		{"unknown condition", "!If [Red,", "!If [Green,", "LINE: there is no condition Green"},
		{"condition outside", "IF: !If [Red, is red, is not]", "IF: !Equals [a, b]", "LINE: !Equals stands outside the section Conditions"},
		{"wrong number of items", "!If [Red, is red, is not]", "!If [Red, is red]", "LINE: !If has the wrong number of items: write !If [..] with exactly 3 items"},
		{"item that isn't there", "!Select [1, [a, b]]", "!Select [2, [a, b]]", "LINE: !Select asks for item \"2\": the list has 2 items"},
		{"unknown section", "Outputs:", "Mappings: {}\nOutputs:", "there is no support for the section Mappings"},
		{"broken rule", "Rules:\n", "Rules:\n  R: {RuleCondition: !Equals [a, a], Assertions: [{Assert: !Equals [!Ref Colour, blue], AssertDescription: blue is meant}]}\n", "the parameters break the rule R: blue is meant"},
		{"rule without assertions", "Rules:\n", "Rules:\n  R: {RuleCondition: !Equals [a, a]}\n", "rule R asserts nothing: list its Assertions"},
		{"half an assertion", "Rules:\n", "Rules:\n  R: {Assertions: [{Assert: !Equals [a, a]}]}\n", "an assertion of rule R is not whole"},
		{"unknown event", "Type: SQS\n", "Type: Kinesis\n", "LINE: event Queue of WorkFunction has the type Kinesis"},
		{"batch too large", "BatchSize: 1", "BatchSize: 11", "LINE: BatchSize of Properties of Queue of Events of WorkFunction is 11: AWS takes 1 to 10"},
		{"visibility shorter than the time-out", "VisibilityTimeout: 60", "VisibilityTimeout: 5", "line 22: queue WorkQueue hides its messages for less than the time-out of WorkFunction"},
		{"word for a number", "Timeout: 10\n", "Timeout: ten\n", "LINE: Timeout of WorkFunction must be a whole number: write digits"},
		{"reserved name", "          OWN: function", "          AWS_REGION: here", "LINE: function WorkFunction sets AWS_REGION, and Lambda keeps such names for itself"},
		{"no role", "      Role: !GetAtt Role.Arn\n", "", "WorkFunction has no Role: add it"},
		{"key twice", "      VisibilityTimeout: 60\n", "      VisibilityTimeout: 60\n      VisibilityTimeout: 60\n", "line 25: this mapping has VisibilityTimeout twice: keep one of the two"},
		{"value outside the list", "Default: red,", "Default: pink,", "line 3: parameter Colour is \"pink\": take one of red, blue"},
		{"number too small", "Default: 7,", "Default: 0,", "line 4: parameter Days is \"0\""},
		{"anchor", "!Join ['-', [a, !Ref Colour, c]]", "*x", "small.yaml is not YAML"},
		{"broken YAML", "Resources:", "Resources: [", "small.yaml is not YAML"},
		{"no transform", "Transform: AWS::Serverless-2016-10-31\n", "", "the template isn't marked as a SAM template"},
		{"circle of conditions", "Red: !Equals [!Ref Colour, red]", "Red: !Condition Blue", "conditions refer to each other in a circle"},
		{"name that refers to itself", "      VisibilityTimeout: 60", "      QueueName: !GetAtt WorkQueue.QueueName", "the name of WorkQueue refers to itself: break the circle"},
		{"list in globals", "    CodeUri: .\n", "    CodeUri: .\n    Layers: [a]\n", "the globals hold the list Layers, which SAM would append to"},
		{"runtime", "provided.al2023", "go1.x", "function WorkFunction has the runtime go1.x: take provided.al2023"},
	} {
		t.Run(c.name, func(t *testing.T) {
			edited := strings.Replace(small, c.from, c.to, 1)
			if edited == small {
				t.Fatal("the edit changes nothing")
			}
			before, _, _ := strings.Cut(edited, c.to)
			line := 1 + strings.Count(before, "\n")
			says := strings.Replace(c.says, "LINE:", fmt.Sprintf("line %d:", line), 1)
			_, err := Parse("small.yaml", []byte(edited), nil)
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("got  %v\nwant %s", err, says)
			}
		})
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	edited := strings.NewReplacer("Timeout: 10\n", "Timout: 10\n", "BatchSize: 1", "BatchSize: 99").Replace(small)
	_, err := Parse("small.yaml", []byte(edited), map[string]string{"Size": "large"})
	if n := strings.Count(err.Error(), "small.yaml line"); n != 3 {
		t.Errorf("%d mistakes are named, want 3: %v", n, err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Path != "small.yaml" || one.Line == 0 || one.Remedy == "" {
		t.Errorf("%+v", one)
	}
}

func TestConditionTakesAResourceAway(t *testing.T) {
	edited := small + ""
	edited = strings.Replace(edited, "Resources:\n", "Resources:\n  BlueQueue:\n    Type: AWS::SQS::Queue\n    Condition: Blue\n", 1)
	for colour, want := range map[string]int{"red": 1, "blue": 2} {
		tmpl, err := Parse("small.yaml", []byte(edited), map[string]string{"Colour": colour})
		if err != nil {
			t.Fatal(err)
		}
		if len(tmpl.Queues) != want {
			t.Errorf("%s: %d queues, want %d", colour, len(tmpl.Queues), want)
		}
	}
}

func TestMissingFileIsSaid(t *testing.T) {
	if _, err := Load("nowhere.yaml", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// No text may bring the reader down, whatever was typed into the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	if raw, err := os.ReadFile(file); err == nil {
		f.Add(raw)
	}
	f.Add([]byte("Resources: {A: {Type: AWS::SQS::Queue, Properties: [!Sub '${A.B}']}}"))
	f.Add([]byte("Resources: !Ref x"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tmpl, err := Parse("fuzz.yaml", raw, nil)
		if (tmpl == nil) == (err == nil) {
			t.Errorf("template %v with error %v", tmpl, err)
		}
	})
}
