package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

// changing is one way to change something over the API, as a client does it who repeats what failed: by the same key, or after a look whether it is done.
type changing struct {
	prepare func(d *desk) (place string) // what there is before
	ask     func(d *desk, token, place, etag string) told
	done    func(x told) bool // what a look at place says once it is done; nil: the key says it
}

func changes() map[string]changing {
	put := func(body string) func(d *desk, token, place, etag string) told {
		return func(d *desk, token, place, etag string) told {
			return d.ask(token, "PUT", place, body, "If-Match", etag)
		}
	}
	remove := func(d *desk, token, place, etag string) told {
		return d.ask(token, "DELETE", place, "", "If-Match", etag)
	}
	gone := func(x told) bool { return x.StatusCode == http.StatusNotFound }
	return map[string]changing{
		"addReceiver": {prepare: func(*desk) string { return "" }, ask: func(d *desk, token, _, _ string) told {
			return d.ask(token, "POST", all, entry, "Idempotency-Key", "once")
		}},
		"changeReceiver":         {prepare: func(d *desk) string { return all + "/" + d.enter(3) }, ask: put(entry), done: func(x told) bool { return x.body["name"] == "Dee" }},
		"changeReceiver, a head": {prepare: func(*desk) string { return all + "/h-ann" }, ask: put(`{"name":"Desk"}`), done: func(x told) bool { return x.body["name"] == "Desk" }},
		"removeReceiver":         {prepare: func(d *desk) string { return all + "/" + d.enter(3) }, ask: remove, done: gone},
		"liftSuppression":        {prepare: func(d *desk) string { return dead + "/" + d.dead(3) }, ask: remove, done: gone},
		"nameRoom": {prepare: func(d *desk) string { return "/v1/corps/wwreed/rooms/" + d.wechatGroup() + "/name" }, ask: put(`{"name":"Weavers"}`),
			done: func(x told) bool { return x.body["entered_name"] == "Weavers" }},
		"unnameRoom": {prepare: func(d *desk) string {
			room := d.wechatGroup()
			_, err := d.operator.NameRoom(d.Context(), ledger.RoomName{Corp: corp, Room: archive.RoomID(room), Name: "Weavers", By: "operator", At: noon})
			d.OK(err)
			return "/v1/corps/wwreed/rooms/" + room + "/name"
		}, ask: remove, done: func(x told) bool { return x.body["entered_name"] == "" }},
		"changeSettings": {prepare: func(*desk) string { return "/v1/corps/wwreed/settings" },
			ask:  put(`{"admins":[{"address":"desk@reed.example"}],"operations":"ops@reed.example","reports":[{"report":"R4","on":false}]}`),
			done: func(x told) bool { return x.body["operations"] == "ops@reed.example" }},
	}
}

// standing is everything that the function may write, but for who asked when.
func (d *desk) standing() map[string]string {
	d.Helper()
	rows := d.Rows("ControlTable")
	maps.DeleteFunc(rows, func(key, _ string) bool { return strings.HasPrefix(key, "asks#") })
	return rows
}

// rows is the rows of a table as they are.
func (d *desk) rows(table string) (all []map[string]types.AttributeValue) {
	d.Helper()
	client, name := dynamodb.NewFromConfig(d.Config(rig.Operator)), d.Name(table)
	page, err := client.Scan(d.Context(), &dynamodb.ScanInput{TableName: &name})
	d.OK(err)
	return page.Items
}

// restore makes a table have these rows and no others: a desk of its own for each fault would take its time.
func (d *desk) restore(table string, rows []map[string]types.AttributeValue) {
	d.Helper()
	client, name := dynamodb.NewFromConfig(d.Config(rig.Operator)), d.Name(table)
	for _, it := range d.rows(table) {
		_, err := client.DeleteItem(d.Context(), &dynamodb.DeleteItemInput{TableName: &name, Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]}})
		d.OK(err)
	}
	for _, it := range rows {
		_, err := client.PutItem(d.Context(), &dynamodb.PutItemInput{TableName: &name, Item: it})
		d.OK(err)
	}
}

// trail is the outcomes that the audit stream has of a change.
func (d *desk) trail(operation string) (outcomes []string) {
	for _, row := range d.audited() {
		if strings.Contains(row, "action=api "+operation+" ") {
			_, outcome, _ := strings.Cut(row, "outcome=")
			outcomes = append(outcomes, outcome)
		}
	}
	slices.Sort(outcomes)
	return outcomes
}

// TestEveryWriteOfAChangeMayFail refuses each write of each change, and lets each be done and be reported as failed. The caller is never told that it is done
// when a write failed; the audit stream says that it began before anything is changed, and says that it is done of nothing that is not; and
// whoever goes on as the description says ends where the undisturbed do.
func TestEveryWriteOfAChangeMayFail(t *testing.T) {
	slow(t)
	covered := map[string]bool{"importHRFile": true} // by TestAnImportThatDiedAtAnyWriteIsOneVersionWhenRepeated
	for name, c := range changes() {
		operation, _, _ := strings.Cut(name, ",")
		covered[operation] = true
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			a, _ := d.function.HTTP.(*api)
			a.ledger = d.Ledger(d.Once("ApiFunction"))
			place := c.prepare(d)
			control := d.rows("ControlTable")
			want, writes := c.play(d, place, operation, 0, 0, nil)
			if writes < 4 { // the count of requests, begun, the change, its end
				t.Fatalf("%d writes", writes)
			}
			for n := 1; n <= writes; n++ {
				for _, act := range []awslocal.Act{awslocal.Refuse, awslocal.FailAfter} {
					d.restore("ControlTable", control)
					d.restore("AuditTable", nil)
					got, _ := c.play(d, place, operation, n, act, want)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("write %d, act %d: %s", n, act, diff)
					}
				}
			}
		})
	}
	for _, op := range (&api{}).operations() {
		if op.change && !covered[op.id] {
			t.Errorf("nothing of %s fails here", op.id)
		}
	}
}

// play makes a change whose n-th write fails, 0 for none, as a client who goes on until it is done. want is how all stands if it is done.
func (c changing) play(d *desk, place, operation string, n int, act awslocal.Act, want map[string]string) (standing map[string]string, writes int) {
	d.Helper()
	token := d.token("admin")
	etag := ""
	if place != "" {
		etag = d.ask(token, "GET", place, "").Header.Get("ETag")
	}
	before := d.standing()
	d.Fault(func(q awslocal.FaultRequest) (f awslocal.FaultDecision) {
		if !slices.Contains([]string{"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems", "PutObject"}, q.Operation) {
			return f
		}
		if writes++; writes == n {
			f.Act, f.Status, f.Code = act, http.StatusInternalServerError, "InternalServerError"
		}
		return f
	})
	x := c.ask(d, token, place, etag)
	d.Fault(nil)
	if n == 0 {
		if x.StatusCode >= 300 {
			d.Fatalf("undisturbed: %d %s", x.StatusCode, x.text)
		}
		if got := fmt.Sprint(d.trail(operation)); got != "[begun done]" {
			d.Errorf("the audit stream has %s", got)
		}
		return d.standing(), writes
	}
	where := fmt.Sprintf("write %d, act %d", n, act)
	now, trail := d.standing(), d.trail(operation)
	changed := !cmp.Equal(before, now)
	if x.StatusCode < 500 {
		d.Errorf("%s: answered with %d %s", where, x.StatusCode, x.text)
	}
	if changed && !slices.Contains(trail, "begun") {
		d.Errorf("%s: changed, and the audit stream does not know that it began: %v", where, trail)
	}
	if slices.Contains(trail, "done") && !cmp.Equal(want, now) {
		d.Errorf("%s: the audit stream says that it is done: %v", where, trail)
	}
	for tries := 0; ; tries++ {
		if tries > 3 {
			d.Fatalf("%s: it is never done", where)
		}
		if c.done != nil {
			look := d.ask(token, "GET", place, "")
			if c.done(look) {
				break
			}
			etag = look.Header.Get("ETag")
		}
		if again := c.ask(d, token, place, etag); again.StatusCode < 300 {
			break
		}
	}
	return d.standing(), writes
}

// A crash is a function that never comes back: what it had done by then, a second one finds.
func TestAKeyWhoseFirstRequestDiedMakesOneReceiver(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	first := d.ask(token, "POST", all, entry, "Idempotency-Key", "once")
	for _, other := range []string{"once", "once"} {
		if x := d.ask(token, "POST", all, entry, "Idempotency-Key", other); x.StatusCode != 201 || x.text != first.text || x.Header.Get("Location") != first.Header.Get("Location") || d.entered() != 1 {
			t.Errorf("%d %s", x.StatusCode, x.text)
		}
	}
	if x := d.ask(token, "POST", all, strings.Replace(entry, `"department":3`, `"department":2`, 1), "Idempotency-Key", "once"); x.StatusCode != 422 {
		t.Errorf("another department by the same key: %d %s", x.StatusCode, x.text)
	}
	someoneElse, err := d.issuer.Token(map[string]any{"sub": "person-8", "aud": "wecomvault", "wecomvault_roles": "admin"})
	d.OK(err)
	x := d.ask(someoneElse, "POST", all, strings.Replace(entry, "dee@", "eda@", 1), "Idempotency-Key", "once")
	if x.StatusCode != 201 || x.body["id"] == first.body["id"] {
		t.Errorf("somebody else's key is the same one: %d %s", x.StatusCode, x.text)
	}
}

// The same request by the same key is answered as it was for a day, whatever has become of the receiver; then the key is free.
func TestARepeatedKeyIsAnsweredAsItWasWhateverHasBecomeOfTheReceiver(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	ask := func(body string) told { return d.ask(token, "POST", all, body, "Idempotency-Key", "once") }
	if x := ask(`{"name":"Dee"}`); x.StatusCode != 422 {
		t.Fatalf("%d %s", x.StatusCode, x.text)
	}
	mine := strings.Replace(entry, `"Dee"`, `"Dee <&> Co"`, 1)
	first := ask(mine) // what was refused may be mended under the same key
	if first.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", first.StatusCode, first.text)
	}
	same := func(when string) {
		t.Helper()
		spaced := strings.Replace(strings.Replace(mine, `{`, "{ \n", 1), `,"`, ` , "`, 1)
		if x := ask(spaced); x.StatusCode != first.StatusCode || x.text != first.text || x.Header.Get("ETag") != first.Header.Get("ETag") || x.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%s: %d %s, want %s", when, x.StatusCode, x.text, first.text)
		}
		if x := ask(strings.Replace(mine, "Dee", "Eve", 1)); x.StatusCode != 422 || !strings.Contains(x.text, "key-used") {
			t.Errorf("%s, something else: %d %s", when, x.StatusCode, x.text)
		}
	}
	same("at once")
	place := all + "/" + first.body["id"].(string)
	x := d.ask(token, "PUT", place, strings.Replace(mine, "Dee", "Eve", 1), "If-Match", first.Header.Get("ETag"))
	if x.StatusCode != http.StatusOK {
		t.Fatal(x.text)
	}
	same("after a change")
	if x := d.ask(token, "DELETE", place, "", "If-Match", x.Header.Get("ETag")); x.StatusCode != http.StatusNoContent {
		t.Fatal(x.text)
	}
	same("after it was removed")
	if x := d.ask(token, "GET", place, ""); x.StatusCode != http.StatusNotFound || d.entered() != 0 {
		t.Errorf("it is there again: %d", x.StatusCode)
	}
	// Who may not see the department any more is not shown the answer.
	if x := d.ask(d.token("supervisor:wwreed:4"), "POST", all, mine, "Idempotency-Key", "once"); x.StatusCode != http.StatusForbidden {
		t.Errorf("without the role: %d %s", x.StatusCode, x.text)
	}
	d.later = ledger.RepeatFor
	if x := ask(strings.Replace(mine, "Dee", "Eve", 1)); x.StatusCode != http.StatusCreated || !strings.Contains(x.text, "Eve") {
		t.Errorf("a day later: %d %s", x.StatusCode, x.text)
	}
	if x := d.ask(token, "POST", all, strings.Replace(mine, "dee@", "abe@", 1), "Idempotency-Key", "twice"); x.StatusCode != http.StatusCreated {
		t.Error(x.text)
	}
	d.later += ledger.RepeatFor
	if x := d.ask(token, "POST", all, strings.Replace(mine, "dee@", "bea@", 1), "Idempotency-Key", "thrice"); x.StatusCode != http.StatusCreated {
		t.Error(x.text)
	}
	for key, row := range d.Rows("ControlTable") { // answers hold names
		if strings.HasPrefix(key, "repeat#") && !strings.Contains(row, "bea@") {
			t.Errorf("it is still remembered: %s %s", key, row)
		}
	}
}

// What a request entered is what it is asked for again, though somebody has changed it before the first answer came to anybody.
func TestAKeyWhoseFirstRequestDiedIsAnsweredThoughSomebodyHasChangedWhatItMade(t *testing.T) {
	d := newDesk(t)
	token := d.token("admin")
	ask := func(body string) told { return d.ask(token, "POST", all, body, "Idempotency-Key", "once") }
	d.ask(token, "GET", "/v1/corps", "") // the first of a minute is counted by another write
	puts, control := 0, d.Name("ControlTable")
	d.Fault(func(q awslocal.FaultRequest) (f awslocal.FaultDecision) {
		if puts == 2 { // it died
			f.Act, f.Status, f.Code = awslocal.Refuse, http.StatusBadRequest, "AccessDeniedException"
		}
		if q.Operation == "PutItem" && strings.Contains(q.Resource, control) {
			puts++ // the key, and the receiver
		}
		return f
	})
	ask(entry)
	d.Fault(nil)
	rows, _, err := d.operator.Receivers(d.Context(), corp)
	d.OK(err)
	if len(rows) != 1 {
		t.Fatalf("%+v", rows)
	}
	rows[0].Name = "Dora"
	_, err = d.operator.PutReceiver(d.Context(), corp, rows[0])
	d.OK(err)
	for range 2 {
		d.later += time.Minute
		if x := ask(entry); x.StatusCode != http.StatusCreated || x.body["name"] != "Dora" || d.entered() != 1 {
			t.Errorf("%d %s", x.StatusCode, x.text)
		}
	}
	if x := ask(strings.Replace(entry, "Dee", "Eve", 1)); x.StatusCode != 422 || !strings.Contains(x.text, "key-used") {
		t.Errorf("something else: %d %s", x.StatusCode, x.text)
	}
}
