package judge_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"
)

// cancelledByValidation is whether ours has cancelled a transaction because a part of it can't be done.
func cancelledByValidation(e exchange) bool {
	reasons, _ := e.ours.Body["CancellationReasons"].([]any)
	for _, r := range reasons {
		if one, ok := r.(object); ok && one["Code"] == "ValidationError" {
			return true
		}
	}
	return false
}

func oursSays(part string) func(exchange) bool {
	return func(e exchange) bool {
		message, _ := e.messages()
		return strings.Contains(message, part)
	}
}

func theySay(part string) func(exchange) bool {
	return func(e exchange) bool {
		_, message := e.messages()
		return strings.Contains(message, part)
	}
}

func requestHas(part string) func(exchange) bool {
	return func(e exchange) bool { return strings.Contains(e.request, part) }
}

// ddbDifferences are those of DynamoDB in which AWS's own DynamoDB Local does not side with ours.
var ddbDifferences = []difference{
	{judges: "dynamodblocal", op: "TransactGetItems", ours: "TransactionCanceledException", theirs: "TransactionCanceledException",
		when: func(e exchange) bool { return e.theirs.Body["CancellationReasons"] == nil },
		why:  "DynamoDB Local leaves out the reasons, which the API reference of TransactGetItems lists"},
	{judges: "dynamodblocal", op: "TransactGetItems", ours: "ValidationException", theirs: "TransactionCanceledException",
		when: func(e exchange) bool {
			return oursSays("empty string value")(e) || oursSays("multiple operations on one item")(e)
		},
		why: "two mistakes in one request: DynamoDB Local names the part's, ours that of the whole request"},
	{judges: "dynamodblocal", op: "Query", ours: "ok", theirs: "ValidationException", when: theySay("starting key does not match the range key predicate"),
		why: "DynamoDB Local takes no start at the last place of a range; ours takes back whatever position it has handed out"},
	{judges: "dynamodblocal", op: "Query", ours: "ok", theirs: "ok", when: onlyAPosition,
		why: "at the end of a range ours may give a position with nothing behind it, as the API reference of Query allows; DynamoDB Local gives none"},
	{judges: "dynamodblocal", op: "TransactWriteItems", ours: "ValidationException", theirs: "TransactionCanceledException", when: oursSays("multiple operations on one item"),
		why: "DynamoDB Local looks at the conditions before it sees that an item is there twice; AWS's own troubleshooting page has ours"},
	{judges: "dynamodblocal", op: "TransactWriteItems", ours: "TransactionCanceledException", theirs: "ValidationException", when: cancelledByValidation,
		why: "DynamoDB Local refuses the whole request for what the API reference of TransactWriteItems lists as the reason ValidationError of a cancellation"},
	{judges: "dynamodblocal ministack moto", op: "Query", ours: "ValidationException", when: oursSays("must name a key attribute first"),
		why: "ours takes only the documented form of a key condition, attribute first, and refuses the other loudly"},
	{judges: "ministack moto", op: "TransactGetItems", ours: "TransactionCanceledException", why: "these judges hardly look at the keys of TransactGetItems; DynamoDB Local cancels it too"},
	{judges: "ministack moto", op: "TransactGetItems", ours: "ValidationException", theirs: "ok", why: "these judges hardly look at the keys of TransactGetItems"},
	{judges: "ministack moto", op: "TransactWriteItems", ours: "TransactionCanceledException", when: cancelledByValidation,
		why: "ministack and moto do less checking within transactions, or refuse them whole; the API reference lists the reason ValidationError"},
	{judges: "ministack moto", op: "TransactWriteItems", ours: "ValidationException", when: oursSays("multiple operations on one item"),
		why: "these judges look at other mistakes first"},
	{judges: "moto", theirs: "HTTP 500", why: "moto fails in itself"},
	{judges: "dynamodblocal ministack moto", op: "UpdateItem", ours: "ok", theirs: "ok", when: requestHas(`"ReturnValues":"UPDATED_`),
		why: "for a path below an attribute the API reference has UPDATED_OLD and UPDATED_NEW return only what was updated, as ours does; DynamoDB Local returns the whole attribute"},
}

func onlyAPosition(e exchange) bool {
	a, b := essence(e.op, e.ours), essence(e.op, e.theirs)
	for _, x := range []any{a, b} {
		if list, ok := x.([]any); ok {
			if body, ok := list[2].(object); ok {
				delete(body, "LastEvaluatedKey")
			}
		}
	}
	return e.ours.Body["LastEvaluatedKey"] != nil && e.theirs.Body["LastEvaluatedKey"] == nil && gocmp.Equal(a, b)
}

// batchOf is whether all entries that the two sides see differently were refused by ours with one of the codes.
func batchOf(codes ...string) func(exchange) bool {
	return func(e exchange) bool {
		failures := func(a answer) map[string]string {
			out := map[string]string{}
			list, _ := a.Body["Failed"].([]any)
			for _, one := range list {
				f, _ := one.(object)
				id, _ := f["Id"].(string)
				code, _ := f["Code"].(string)
				out[id] = code
			}
			return out
		}
		us, them := failures(e.ours), failures(e.theirs)
		for id, code := range us {
			if them[id] != code && !slices.Contains(codes, code) {
				return false
			}
		}
		for id, code := range them {
			if us[id] == "" && !slices.Contains(codes, "not ours: "+code) {
				return false
			}
		}
		return true
	}
}

// keptARefusedMessage is whether the judge has all that ours has, and more of it.
func keptARefusedMessage(e exchange) bool {
	count := func(a answer) int {
		list, _ := a.Body["Messages"].([]any)
		attributes, _ := a.Body["Attributes"].(object)
		n, err := strconv.Atoi(fmt.Sprint(attributes["ApproximateNumberOfMessages"]))
		if err != nil {
			n = 0
		}
		return len(list) + n
	}
	return count(e.theirs) > count(e.ours)
}

// sqsDifferences: neither judge checks as much as SQS does; what they hand out, how often, and where it goes, they agree on with ours.
var sqsDifferences = []difference{
	{judges: "moto", theirs: "HTTP 500", why: "moto fails in itself"},
	{judges: "ministack", op: "ListDeadLetterSourceQueues", theirs: "InvalidAction", why: "ministack does not have the operation"},
	{judges: "ministack moto", op: "SendMessage", ours: "InvalidParameterValue", theirs: "ok",
		why: "the judges take delays out of range and attributes whose name, type or value SQS's page on message metadata rules out"},
	{judges: "moto", op: "SendMessage", ours: "MissingParameter", theirs: "ok", why: "moto takes an empty body; the API reference wants one character at least"},
	{judges: "moto", op: "SendMessage", ours: "InvalidMessageContents", theirs: "ok", why: "moto takes characters that the API reference of SendMessage rules out"},
	{judges: "ministack moto", op: "SendMessageBatch", ours: "ok", theirs: "ok", when: batchOf("InvalidParameterValue", "MissingParameter", "InvalidMessageContents"),
		why: "the judges take entries that ours refuses one by one, as for SendMessage"},
	{judges: "moto", op: "SendMessageBatch", ours: "ok", theirs: "InvalidParameterValue", why: "moto refuses the batch for one entry, where the API reference has each entry's own result"},
	{judges: "ministack moto", op: "SendMessageBatch DeleteMessageBatch ChangeMessageVisibilityBatch", ours: "InvalidBatchEntryId", why: "the judges take any id"},
	{judges: "ministack moto", op: "SendMessageBatch DeleteMessageBatch ChangeMessageVisibilityBatch", ours: "TooManyEntriesInBatchRequest", why: "the judges do not count, or look at other mistakes first"},
	{judges: "moto", op: "ChangeMessageVisibilityBatch SendMessageBatch", ours: "BatchEntryIdsNotDistinct", why: "moto takes one id twice, or looks at other mistakes first"},
	{judges: "moto", op: "ChangeMessageVisibilityBatch", ours: "EmptyBatchRequest", why: "moto takes an empty batch"},
	{judges: "moto", op: "ChangeMessageVisibilityBatch", ours: "ok", theirs: "InvalidParameterValue", why: "moto refuses the batch for one entry, where the API reference has each entry's own result"},
	{judges: "moto", op: "DeleteMessageBatch", ours: "ok", theirs: "BatchEntryIdsNotDistinct", why: "moto takes one receipt twice for one id twice"},
	{judges: "ministack moto", op: "DeleteMessage", ours: "ok", theirs: "ReceiptHandleIsInvalid", why: "by the API reference deleting what is deleted already succeeds"},
	{judges: "ministack moto", op: "DeleteMessageBatch", ours: "ok", theirs: "ok", when: batchOf("not ours: ReceiptHandleIsInvalid"), why: "by the API reference deleting what is deleted already succeeds"},
	{judges: "ministack moto", op: "ChangeMessageVisibility", ours: "MessageNotInflight", why: "the judges let a visible message be hidden by its old receipt; the API reference lists MessageNotInflight"},
	{judges: "ministack moto", op: "ChangeMessageVisibility", ours: "InvalidParameterValue",
		why: "for a message that is deleted, or a time out of range, SQS says InvalidParameterValue; the judges look at the receipt alone"},
	{judges: "ministack moto", op: "ChangeMessageVisibilityBatch", ours: "ok", theirs: "ok", when: batchOf("MessageNotInflight", "InvalidParameterValue"), why: "as for ChangeMessageVisibility"},
	{judges: "moto", op: "ReceiveMessage", ours: "ok", theirs: "ok",
		when: func(e exchange) bool {
			return gocmp.Equal(without(e.ours.Body, append(sqsRandom, "DeadLetterQueueSourceArn")...), without(e.theirs.Body, sqsRandom...))
		},
		why: "moto does not say from which queue a dead letter came"},
	{judges: "moto", op: "ReceiveMessage", ours: "ok", theirs: "InvalidParameterValue", when: theySay("message attribute name ''"), why: "moto takes an attribute without a name, and then can't show the message"},
	{judges: "moto", op: "ReceiveMessage GetQueueAttributes", ours: "ok", theirs: "ok", when: func(e exchange) bool { return keptARefusedMessage(e) },
		why: "moto refuses a message for one of its attributes and keeps it nevertheless"},
	{judges: "ministack moto", op: "ReceiveMessage", ours: "InvalidParameterValue", theirs: "ok", why: "the judges take a time or a number out of range"},
	{judges: "ministack moto", op: "GetQueueAttributes", ours: "InvalidAttributeName", why: "the judges take an attribute's name that does not exist"},
	{judges: "ministack moto", op: "GetQueueAttributes", ours: "ok", theirs: "ok", when: requestHas("SqsManagedSseEnabled"), why: "the judges do not know that queues are encrypted by SQS's own keys by default"},
	{judges: "ministack moto", op: "SetQueueAttributes", ours: "InvalidAttributeName", why: "the judges take an attribute's name that does not exist"},
	{judges: "ministack moto", op: "SetQueueAttributes", ours: "InvalidAttributeValue", theirs: "ok", why: "the judges take a value out of range"},
	{judges: "ministack moto", op: "SetQueueAttributes", ours: "InvalidParameterValue", when: requestHas("RedrivePolicy"),
		why: "a redrive policy that can't be: SQS's known answer begins with 'Value … for parameter RedrivePolicy is invalid', as ours does"},
	{judges: "ministack moto", op: "PurgeQueue", ours: "PurgeQueueInProgress", theirs: "ok", why: "the judges purge as often as they are asked; the API reference of PurgeQueue has one in 60 seconds"},
	{judges: "ministack moto", op: "CreateQueue", ours: "InvalidParameterValue", why: "the judges take a name that SQS does not, or call an empty one missing"},
}

var secretsDifferences = []difference{
	{judges: "ministack moto", op: "CreateSecret PutSecretValue", ours: "InvalidParameterException", when: requestHas(`"short"`), why: "the judges take a token that is shorter than the API reference's 32 characters, or name another mistake first"},
	{judges: "ministack", op: "CreateSecret DescribeSecret GetSecretValue", theirs: "ok", why: "ministack gives every new secret a version with an id of its own, token and value or not"},
	{judges: "ministack moto", op: "CreateSecret", ours: "ok", theirs: "ResourceExistsException", why: "by the API reference the same token with the same value is the same request again"},
	{judges: "ministack", op: "PutSecretValue", ours: "ResourceExistsException", theirs: "ok", why: "ministack lets a token be used again for another value; the API reference has ResourceExistsException"},
	{judges: "ministack", op: "PutSecretValue", ours: "InvalidRequestException", theirs: "ok", why: "ministack takes a version without a value"},
	{judges: "moto", op: "CreateSecret", ours: "ok", theirs: "ok", why: "made again with its token, a secret answers with that token's version; moto with another"},
	{judges: "ministack", op: "GetSecretValue", ours: "InvalidRequestException", theirs: "ResourceNotFoundException", why: "ministack forgets a version without stages at once, so that it does not see that a stage is wrong"},
	{judges: "ministack moto", op: "PutSecretValue", ours: "ok", theirs: "ok", why: "put again with its token, a version keeps the stages that it has; the judges give it those of the request"},
	{judges: "ministack", op: "GetSecretValue", ours: "ok", theirs: "ResourceNotFoundException", why: "ministack forgets a version without stages at once; Secrets Manager keeps up to 100 versions for a day at least"},
	{judges: "moto", op: "DescribeSecret GetSecretValue", ours: "ok", theirs: "ok",
		when: func(e exchange) bool {
			return gocmp.Equal(without(e.ours.Body, append(secretsRandom, "VersionStages", "VersionIdsToStages")...), without(e.theirs.Body, append(secretsRandom, "VersionStages", "VersionIdsToStages")...))
		},
		why: "moto lists versions without stages too, and takes an own stage from a version that becomes AWSPREVIOUS; by the user guide both are not so"},
	{judges: "ministack moto", op: "PutSecretValue", ours: "ResourceNotFoundException", theirs: "InvalidRequestException", why: "two mistakes in one request: no such secret, and no value"},
}
