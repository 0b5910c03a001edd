package judge_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wecomvault/wecomvault/infra/local/judge"
)

// plain brings a document into one form: members of sets sorted, and answers of batches by key, for their order means nothing.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := object{}
		for name, one := range v {
			one = plain(one)
			switch list, isList := one.([]any); {
			case name == "N":
				one = number(one)
			case name == "NS" && isList:
				for i := range list {
					list[i] = number(list[i])
				}
			}
			if list, ok := one.([]any); ok && (name == "SS" || name == "NS" || name == "BS") {
				slices.SortFunc(list, func(a, b any) int { return cmp.Compare(text(a), text(b)) })
			}
			out[name] = one
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = plain(one)
		}
		return out
	}
	return v
}

// number is one spelling for each number: the judges give some back as they were written. AWS trims zeroes in front and behind.
func number(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	if r, ok := new(big.Rat).SetString(s); ok {
		return r.RatString()
	}
	return v
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// essence is what of an answer the two sides must have in common: everything of a success; of a refusal its name, the items and the
// reasons' names, but not its sentence.
func essence(op string, a answer) any {
	body := object{}
	for name, v := range a.Body {
		switch name {
		case "message", "Message", "__type":
			continue
		case "ConsumedCapacity", "ItemCollectionMetrics":
			// Some judges send these unasked; TestUnitsAreThoseOfTheVendor compares them where they were asked for.
			continue
		case "CancellationReasons":
			list, _ := v.([]any)
			reasons := []any{}
			for _, one := range list {
				r, _ := one.(map[string]any)
				item := plain(r["Item"])
				if m, ok := item.(object); ok && len(m) == 0 {
					item = nil
				}
				reasons = append(reasons, object{"Code": r["Code"], "Item": item})
			}
			body[name] = reasons
			continue
		}
		v = plain(v)
		if op == "BatchGetItem" && name == "Responses" {
			if tables, ok := v.(map[string]any); ok {
				for table, items := range tables {
					if list, ok := items.([]any); ok {
						slices.SortFunc(list, func(a, b any) int { return cmp.Compare(text(a), text(b)) })
						tables[table] = list
					}
				}
			}
		}
		body[name] = v
	}
	return []any{a.Status, a.Code, body}
}

// judgedTable is made on every side of a DynamoDB comparison.
const judgedTable = "judged"

func dynamoSide(t *testing.T, name, url string) *side {
	t.Helper()
	s := newSide(name, url, "dynamodb", "DynamoDB_20120810.", "1.0")
	out, err := s.call(t.Context(), "CreateTable", object{"TableName": judgedTable, "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": []any{object{"AttributeName": "pk", "AttributeType": "S"}, object{"AttributeName": "sk", "AttributeType": "N"}},
		"KeySchema":            []any{object{"AttributeName": "pk", "KeyType": "HASH"}, object{"AttributeName": "sk", "KeyType": "RANGE"}}})
	if err != nil || out.Code != "" {
		t.Fatalf("%s: %+v, %v", s.name, out, err)
	}
	return s
}

// TestDynamoDBAnswersAsTheJudgesDo runs generated histories of requests on both sides and compares every answer. Where a judge that
// others wrote differs, AWS's own program is asked the same: if it says what ours says, that explains the difference.
func TestDynamoDBAnswersAsTheJudgesDo(t *testing.T) {
	for name, usual := range map[string]time.Duration{judge.DynamoDBLocal: 15 * time.Second, judge.Ministack: 8 * time.Second, judge.Moto: 8 * time.Second} {
		t.Run(name, func(t *testing.T) {
			theirs := dynamoSide(t, name, start(t, name).URL)
			us := dynamoSide(t, "ours", ours(t, nil).URL)
			var arbiter *side
			if name != judge.DynamoDBLocal {
				arbiter = dynamoSide(t, "arbiter", start(t, judge.DynamoDBLocal).URL)
			}
			account := newAccount(name)
			histories := 0
			repeat(t, budget(t, usual), func(r *rapid.T) {
				histories++
				g := &generator{t: r, prefix: fmt.Sprintf("%d-", histories)}
				for step := range rapid.IntRange(1, 40).Draw(r, "requests") {
					op, in := g.request(judgedTable)
					x := exchange{op: op, request: text(in), ours: us.must(r, op, in), theirs: theirs.must(r, op, in)}
					account.count(x)
					same := func(a answer) string { return gocmp.Diff(essence(op, a), essence(op, x.ours)) }
					var ruling string
					if arbiter != nil {
						ruling = same(arbiter.must(r, op, in))
					}
					diff := same(x.theirs)
					if diff == "" && ruling == "" {
						continue
					}
					if account.explain(ddbDifferences, x) == "" {
						if arbiter == nil || diff != "" && ruling != "" {
							account.unexplained(t, r, diff, x)
						} else if diff != "" {
							account.explained(fmt.Sprintf("AWS's own DynamoDB Local says what ours says: %s, ours %q, theirs %q", op, x.ours.Code, x.theirs.Code))
						}
					}
					// The states may differ from here on: go on where nothing was written yet.
					g.prefix = fmt.Sprintf("%d-%d-", histories, step)
				}
			})
			account.report(t)
		})
	}
}
