package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

// site names the place in the product that a call comes from, as far as the call shows it: who calls, which operation, on which kind of rows or
// objects. It is what a line of the fault table is about. Corps, times, hashes and random ids are not part of it.
func site(q awslocal.FaultRequest, names map[string]string) string {
	what := ""
	switch q.Service {
	case "dynamodb":
		what = rows(q.Operation, q.Body, names)
	case "s3":
		bucket, key, _ := strings.Cut(q.Resource, "/")
		kind, _, nested := strings.Cut(key, "/")
		if !nested {
			kind = ""
		}
		what = logical(names, bucket) + " " + kind
	case "sqs":
		what = logical(names, path.Base(q.Resource))
	case "secretsmanager":
		what = secretKind(q.Resource)
	case "lambda":
		what = logical(names, path.Base(strings.TrimSuffix(q.Resource, "/invocations")))
	}
	return strings.TrimSpace(q.Caller + " " + q.Service + ":" + q.Operation + " " + what)
}

func logical(names map[string]string, physical string) string {
	if name := names[physical]; name != "" {
		return name
	}
	return physical
}

// secretKind is a secret's name without the corp's and without a version's number.
func secretKind(id string) string {
	if s, err := url.PathUnescape(id); err == nil {
		id = s
	}
	parts := strings.Split(id, "/")
	for i, p := range parts {
		if strings.ContainsFunc(p, unicode.IsDigit) {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// attribute is a value of DynamoDB's, as far as keys need it.
type attribute struct {
	S *string
}

// dynamo is as much of a request as tells what kind of row it is about.
type dynamo struct {
	TableName                 string
	Key, Item                 map[string]attribute
	UpdateExpression          string
	ConditionExpression       string
	KeyConditionExpression    string
	IndexName                 string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues map[string]attribute
	RequestItems              map[string]json.RawMessage
	TransactItems             []map[string]dynamo
}

func rows(operation string, body []byte, names map[string]string) string {
	var d dynamo
	if err := json.Unmarshal(body, &d); err != nil {
		return "unreadable"
	}
	switch {
	case len(d.RequestItems) > 0:
		var tables []string
		for _, t := range slices.Sorted(maps.Keys(d.RequestItems)) {
			tables = append(tables, strings.TrimSpace(logical(names, t)+" "+batchKind(logical(names, t), d.RequestItems[t])))
		}
		return strings.Join(tables, ",")
	case len(d.TransactItems) > 0:
		kinds := map[string]bool{}
		for _, item := range d.TransactItems {
			for op, one := range item {
				kinds[op+" "+one.kind()] = true
			}
		}
		return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
	}
	return logical(names, d.TableName) + " " + d.kind()
}

// batchKind is the kind of row of a batch that holds one kind alone; "" of others. Table Messages has mixed ones, in which another kind may be missing each time.
func batchKind(table string, items json.RawMessage) string {
	if table == "MessagesTable" {
		return ""
	}
	var keys []map[string]attribute
	var puts []struct {
		PutRequest    struct{ Item map[string]attribute }
		DeleteRequest struct{ Key map[string]attribute }
	}
	var gets struct{ Keys []map[string]attribute }
	switch {
	case json.Unmarshal(items, &puts) == nil:
		for _, p := range puts {
			keys = append(keys, p.PutRequest.Item)
			if p.PutRequest.Item == nil {
				keys[len(keys)-1] = p.DeleteRequest.Key
			}
		}
	case json.Unmarshal(items, &gets) == nil:
		keys = gets.Keys
	}
	kinds := map[string]bool{}
	for _, k := range keys {
		if k["pk"].S != nil && k["sk"].S != nil {
			kinds[keyKind(*k["pk"].S)+"/"+keyKind(*k["sk"].S)] = true
		}
	}
	if len(kinds) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(kinds))[0]
}

// kind is the kind of row, and for a change the attributes that it sets.
func (d dynamo) kind() string {
	key := d.Key
	if len(key) == 0 {
		key = d.Item
	}
	words := ""
	if key["pk"].S != nil {
		words = keyKind(*key["pk"].S)
		if key["sk"].S != nil {
			words += "/" + keyKind(*key["sk"].S)
		}
	} else {
		for _, v := range d.ExpressionAttributeValues {
			if v.S != nil && strings.Contains(*v.S, "#") && unicode.IsLetter(rune((*v.S)[0])) && keyKind(*v.S) != "" {
				words = max(words, keyKind(*v.S))
			}
		}
	}
	if d.UpdateExpression != "" {
		var set []string
		for _, name := range d.ExpressionAttributeNames {
			set = append(set, name)
		}
		slices.Sort(set)
		words += " " + strings.Join(set, "+")
	}
	return words
}

// keyKind is the part of a key that says what it is a key of: letters before the first separator, "*" for anything else.
func keyKind(key string) string {
	head, _, _ := strings.Cut(key, "#")
	if head == "" || strings.ContainsFunc(head, func(r rune) bool { return !unicode.IsLower(r) }) {
		return "*"
	}
	return head
}

// writes says whether a call changes anything, so that it can be done and reported as failed.
func writes(service, operation string) bool {
	switch service {
	case "dynamodb":
		return slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}, operation)
	case "s3":
		return !strings.HasPrefix(operation, "Get") && !strings.HasPrefix(operation, "Head") && !strings.HasPrefix(operation, "List")
	case "sqs", "ses", "lambda":
		return !strings.HasPrefix(operation, "Get")
	}
	return false
}

// line is one line of the fault table: a place, and what is done to its first call.
type line struct {
	Site string
	Mode mode
}

func (l line) String() string { return fmt.Sprintf("%-9s %s", l.Mode, l.Site) }

// mode is what a fault does to a call.
type mode string

// The modes. Refused and failed hold for all tries of the SDK; cut leaves it to the SDK to try again.
const (
	refused mode = "refused" // not done, and said so
	failed  mode = "failed"  // done, and reported as failed
	cut     mode = "cut"     // done, and the answer lost on the way: the SDK asks again
	late    mode = "late"    // done, and answered after the function's own time-out
	// withheld is for a mail alone: done and reported as failed, and SES's own event of it stays out for longer than anybody waits.
	withheld mode = "withheld"
)
