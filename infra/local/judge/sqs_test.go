package judge_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/infra/local/judge"
)

// names are what one side calls things: the address of a queue, the newest receipt of a message. Requests have "@name" in their place.
type names map[string]string

// resolve puts a side's own names into a request.
func (n names) resolve(v any) any {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "@") {
			return v
		}
		if own, known := n[v]; known {
			return own
		}
		return "no receipt" // of a message that was never received
	case object:
		out := object{}
		for k, one := range v {
			out[k] = n.resolve(one)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = n.resolve(one)
		}
		return out
	}
	return v
}

// without drops what no two sides can have in common, and brings lists whose order means nothing into one.
func without(v any, drop ...string) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, one := range v {
			if !slices.Contains(drop, k) {
				out[k] = without(one, drop...)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = without(one, drop...)
		}
		slices.SortFunc(out, func(a, b any) int { return cmp.Compare(text(a), text(b)) })
		return out
	case string:
		if strings.HasPrefix(v, "http://127.0.0.1:") { // a queue's address: its name is what counts
			return v[strings.LastIndexByte(v, '/')+1:]
		}
	}
	return v
}

var sqsRandom = []string{"MessageId", "ReceiptHandle", "SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId", "QueueUrl", "TaskHandle", "Message", "message", "__type",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn", "StartedTimestamp", "RedrivePolicy"}

func sqsEssence(a answer) any {
	body := without(a.Body, sqsRandom...)
	if a.Code != "" {
		body = nil
	}
	if m, ok := body.(object); ok {
		for k, v := range m { // an empty list or map and none are the same
			if list, ok := v.([]any); ok && len(list) == 0 {
				delete(m, k)
			}
			if inner, ok := v.(object); ok && len(inner) == 0 {
				delete(m, k)
			}
		}
	}
	return []any{a.Status, sqsCode(a.Code), body}
}

// sqsCode is the name by which the SDK knows an error: older names of the query protocol come with a prefix.
func sqsCode(code string) string {
	return strings.TrimPrefix(code, "AWS.SimpleQueueService.")
}

type sqsWorld struct {
	g      *generator
	sent   int
	bodies []string // sent and not known to be deleted
}

func (w *sqsWorld) receipt() string {
	if len(w.bodies) == 0 || w.g.oneIn(25, "no receipt") {
		return "no receipt"
	}
	return "@" + pick(w.g, "message", w.bodies...)
}

func (w *sqsWorld) outgoing() object {
	g := w.g
	w.sent++
	body := fmt.Sprintf("m%d", w.sent)
	out := object{"MessageBody": body}
	switch {
	case g.oneIn(150, "empty body"):
		out["MessageBody"] = ""
		return out
	case g.oneIn(100, "long body"):
		out["MessageBody"] = strings.Repeat("x", 1025)
		return out
	case g.oneIn(150, "bad body"):
		out["MessageBody"] = "a\u0001b"
		return out
	}
	w.bodies = append(w.bodies, body)
	if g.oneIn(4, "delay") {
		out["DelaySeconds"] = pick(g, "delay of", 0, 0, 0, 0, 900, 900, 900, 901, -1)
		if d := out["DelaySeconds"]; d != 0 {
			w.bodies = w.bodies[:len(w.bodies)-1]
		}
	}
	if g.oneIn(3, "attributes") {
		attributes := object{}
		for range rapid.IntRange(1, 3).Draw(g.t, "how many") {
			name := pick(g, "name", "a", "b", "a.b", "corp", "x-1_2")
			if g.oneIn(120, "bad name") {
				name = pick(g, "how bad", "AWS.x", "a..b", ".a", "a b", "")
			}
			switch pick(g, "type", "String", "Number", "Binary", "Number.int", "bad") {
			case "String":
				attributes[name] = object{"DataType": "String", "StringValue": pick(g, "text", "x", "会", "a&<b>")}
			case "Number":
				attributes[name] = object{"DataType": "Number", "StringValue": pick(g, "number", "1", "-2.5")}
			case "Number.int":
				attributes[name] = object{"DataType": "Number.int", "StringValue": "7"}
			case "Binary":
				attributes[name] = object{"DataType": "Binary", "BinaryValue": pick(g, "bytes", "AAE=", "/w==")}
			default:
				if g.oneIn(30, "bad type") {
					attributes[name] = pick(g, "bad attribute", object{"DataType": "Word", "StringValue": "x"}, object{"DataType": "String", "StringValue": ""}, object{"StringValue": "x"}, object{"DataType": "String", "BinaryValue": "AAE="})
				}
			}
		}
		if len(attributes) > 0 {
			out["MessageAttributes"] = attributes
		}
	}
	return out
}

func (w *sqsWorld) entries(n int, one func(i int) object) []any {
	out := make([]any, n)
	for i := range out {
		e := one(i)
		e["Id"] = fmt.Sprintf("e%d", i)
		if w.g.oneIn(300, "bad id") {
			e["Id"] = pick(w.g, "how bad", "e0", "a b", "", strings.Repeat("x", 81))
		}
		out[i] = e
	}
	return out
}

func (w *sqsWorld) count() int {
	if w.g.oneIn(120, "bad count") {
		return pick(w.g, "how many", 0, 11)
	}
	return rapid.IntRange(1, 3).Draw(w.g.t, "entries")
}

func (w *sqsWorld) request() (op string, in object) {
	g := w.g
	in = object{"QueueUrl": "@queue"}
	hide := func() int {
		if g.oneIn(60, "bad time") {
			return pick(g, "hide", 43200, 43201, -1)
		}
		return pick(g, "hide", 0, 0, 600)
	}
	op = pick(g, "operation", "SendMessage", "SendMessage", "SendMessageBatch", "ReceiveMessage", "ReceiveMessage", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "GetQueueAttributes", "GetQueueAttributes", "Other")
	if op == "Other" && g.oneIn(4, "settings") {
		op = "SetQueueAttributes"
	}
	if len(w.bodies) > 5 && strings.HasPrefix(op, "Send") {
		op = "ReceiveMessage"
	}
	switch op {
	case "SendMessage":
		maps.Copy(in, w.outgoing())
	case "SendMessageBatch":
		in["Entries"] = w.entries(w.count(), func(int) object { return w.outgoing() })
	case "ReceiveMessage":
		in["MaxNumberOfMessages"] = 10
		if g.oneIn(30, "bad number") {
			in["MaxNumberOfMessages"] = pick(g, "bad number", 0, 11)
		}
		in["VisibilityTimeout"] = pick(g, "hide", 0, 0, 0, 600)
		if g.oneIn(30, "bad time") {
			in["VisibilityTimeout"] = hide()
		}
		if g.oneIn(2, "from the dead") {
			in["QueueUrl"], in["VisibilityTimeout"] = "@dead", 0
		}
		in["MessageSystemAttributeNames"] = []any{pick(g, "system attributes", "ApproximateReceiveCount", "All")}
		if g.oneIn(2, "attributes") {
			in["MessageAttributeNames"] = pick(g, "names", []any{"All"}, []any{"a"}, []any{"a.*"}, []any{".*"}, []any{"none"}, []any{"a", "b"})
		}
	case "DeleteMessage":
		in["ReceiptHandle"] = w.receipt()
	case "DeleteMessageBatch":
		in["Entries"] = w.entries(w.count(), func(int) object { return object{"ReceiptHandle": w.receipt()} })
	case "ChangeMessageVisibility":
		in["ReceiptHandle"], in["VisibilityTimeout"] = w.receipt(), hide()
	case "ChangeMessageVisibilityBatch":
		in["Entries"] = w.entries(w.count(), func(int) object { return object{"ReceiptHandle": w.receipt(), "VisibilityTimeout": hide()} })
	case "GetQueueAttributes":
		in["QueueUrl"] = pick(g, "queue", "@queue", "@dead")
		in["AttributeNames"] = pick(g, "names", []any{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"},
			[]any{"VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds"}, []any{"MaximumMessageSize"}, []any{"KmsMasterKeyId"})
		if g.oneIn(20, "odd names") {
			in["AttributeNames"] = pick(g, "odd", []any{"NoSuch"}, []any{"SqsManagedSseEnabled"})
		}
	case "SetQueueAttributes":
		in["Attributes"] = pick(g, "setting", object{"VisibilityTimeout": "601"}, object{"VisibilityTimeout": "600"}, object{"VisibilityTimeout": "43201"}, object{"VisibilityTimeout": "x"}, object{"DelaySeconds": "901"},
			object{"MaximumMessageSize": "1023"}, object{"MessageRetentionPeriod": "59"}, object{"NoSuch": "1"}, object{"ReceiveMessageWaitTimeSeconds": "21"}, object{"RedrivePolicy": "{}"}, object{"RedrivePolicy": "x"})
	default:
		op = pick(g, "other", "GetQueueUrl", "ListDeadLetterSourceQueues", "SendMessage", "GetQueueUrl", "ReceiveMessage", "CreateQueue", "ListQueues", "PurgeQueue", "PurgeQueue")
		switch op {
		case "PurgeQueue":
			in["QueueUrl"] = pick(g, "purged", "@queue", "@queue", "@queue", "@dead", "@nowhere")
		case "GetQueueUrl":
			in = object{"QueueName": pick(g, "name", "@name", "no-such-queue")}
		case "ListDeadLetterSourceQueues":
			in["QueueUrl"] = "@queue"
		case "CreateQueue":
			in = object{"QueueName": pick(g, "name", "bad name", "@name", strings.Repeat("x", 81), "")}
			if in["QueueName"] == "@name" {
				in["Attributes"] = pick(g, "attributes", object{"MaximumMessageSize": "1024"}, object{"MaximumMessageSize": "2048"})
			}
		case "ListQueues":
			in = object{"QueueNamePrefix": "@name"}
		default:
			in["QueueUrl"], in["MessageBody"] = "@nowhere", "x"
			if op == "ReceiveMessage" {
				delete(in, "MessageBody")
			}
		}
	}
	return op, in
}

// learn takes the receipts out of an answer: the newest of each message counts.
func learn(n names, a answer) {
	list, _ := a.Body["Messages"].([]any)
	for _, one := range list {
		m, _ := one.(object)
		body, _ := m["Body"].(string)
		receipt, _ := m["ReceiptHandle"].(string)
		n["@"+body] = receipt
	}
}

// TestSQSAnswersAsTheJudgesDo: times are so short or so long that no second more or less matters.
func TestSQSAnswersAsTheJudgesDo(t *testing.T) {
	for _, name := range []string{judge.Ministack, judge.Moto} {
		t.Run(name, func(t *testing.T) {
			j := start(t, name)
			sides := []*side{newSide("ours", ours(t, nil).URL, "sqs", "AmazonSQS.", "1.0"), newSide(name, j.URL, "sqs", "AmazonSQS.", "1.0")}
			account := newAccount(name)
			histories := 0
			repeat(t, budget(t, 8*time.Second), func(r *rapid.T) {
				histories++
				w := &sqsWorld{g: &generator{t: r}}
				worlds := make([]names, len(sides))
				for i, s := range sides {
					queue := fmt.Sprintf("jobs-%d", histories)
					n := names{"@name": queue, "no receipt": "no receipt"}
					make := func(as, name string, attributes object) string {
						a := s.must(r, "CreateQueue", object{"QueueName": name, "Attributes": attributes})
						n[as], _ = a.Body["QueueUrl"].(string)
						b := s.must(r, "GetQueueAttributes", object{"QueueUrl": n[as], "AttributeNames": []string{"QueueArn"}})
						at, _ := b.Body["Attributes"].(object)
						arn, _ := at["QueueArn"].(string)
						if arn == "" {
							r.Fatalf("%s makes no queue: %+v, %+v", s.name, a, b)
						}
						return arn
					}
					dead := make("@dead", queue+"-dead", object{"VisibilityTimeout": "600"})
					policy, err := json.Marshal(object{"deadLetterTargetArn": dead, "maxReceiveCount": "3"})
					if err != nil {
						r.Fatal(err)
					}
					make("@queue", queue, object{"VisibilityTimeout": "600", "MaximumMessageSize": "1024", "RedrivePolicy": string(policy)})
					n["@nowhere"] = n["@queue"] + "-nowhere"
					worlds[i] = n
				}
				for range rapid.IntRange(1, 30).Draw(r, "requests") {
					op, in := w.request()
					x := exchange{op: op, request: text(in), ours: sides[0].must(r, op, worlds[0].resolve(in)), theirs: sides[1].must(r, op, worlds[1].resolve(in))}
					learn(worlds[0], x.ours)
					learn(worlds[1], x.theirs)
					account.count(x)
					if diff := gocmp.Diff(sqsEssence(x.theirs), sqsEssence(x.ours)); diff != "" {
						if account.explain(sqsDifferences, x) == "" {
							account.unexplained(t, r, diff, x)
						}
						return // the states may differ from here on
					}
				}
			})
			account.report(t)
		})
	}
}
