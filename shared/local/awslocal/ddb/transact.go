package ddb

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/expr"
)

const (
	maxTransaction      = 100
	maxTransactionBytes = 4 << 20
	tokenLife           = 10 * time.Minute
)

// reason says why a part of a transaction was, or was not, the cause of its cancellation.
type reason struct {
	Code    string
	Message string    `json:",omitempty"`
	Item    attr.Item `json:",omitempty"`
}

type (
	transactPut struct {
		writeExpressions
		TableName string
		Item      attr.Item
	}
	transactKeyed struct {
		writeExpressions
		TableName string
		Key       attr.Item
	}
	transactUpdate struct {
		transactKeyed
		UpdateExpression *string
	}
	transactWriteItem struct {
		Put            *transactPut
		Update         *transactUpdate
		Delete         *transactKeyed
		ConditionCheck *transactKeyed
	}
)

// intent checks one part and returns it with the action that it needs.
func (p *transactWriteItem) intent() (w *intent, action string, err error) {
	n := 0
	if p.Put != nil {
		n++
		action = "PutItem"
		w = &intent{table: p.Put.TableName, item: p.Put.Item}
		if w.item == nil {
			return nil, "", missing("transactItems.member.put.item")
		}
		err = w.parse(p.Put.writeExpressions, nil)
	}
	keyed := func(k *transactKeyed, update *string) {
		n++
		w.table, w.key = k.TableName, k.Key
		if w.key == nil {
			err = missing("transactItems.member.key")
			return
		}
		err = w.parse(k.writeExpressions, update)
	}
	if p.Update != nil {
		action, w = "UpdateItem", &intent{}
		if p.Update.UpdateExpression == nil {
			return nil, "", missing("transactItems.member.update.updateExpression")
		}
		keyed(&p.Update.transactKeyed, p.Update.UpdateExpression)
	}
	if p.Delete != nil {
		action, w = "DeleteItem", &intent{delete: true}
		keyed(p.Delete, nil)
	}
	if p.ConditionCheck != nil {
		action, w = "ConditionCheckItem", &intent{}
		if p.ConditionCheck.ConditionExpression == nil {
			return nil, "", missing("transactItems.member.conditionCheck.conditionExpression")
		}
		keyed(p.ConditionCheck, nil)
	}
	if n != 1 {
		return nil, "", validation("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	return w, action, err
}

func (s *Service) transactWriteItems(r *request) (any, error) {
	in := struct {
		TransactItems          []transactWriteItem
		ClientRequestToken     *string
		ReturnConsumedCapacity string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := checkParts(len(in.TransactItems)); err != nil {
		return nil, err
	}
	intents := make([]*intent, len(in.TransactItems))
	var wrong error
	for i := range in.TransactItems {
		w, action, err := in.TransactItems[i].intent()
		if w == nil {
			return nil, err
		}
		if wrong == nil {
			wrong = err
		}
		// Permission first: a caller without it learns nothing of what else is wrong.
		if err := s.allowPart(r, action, w.table); err != nil {
			return nil, err
		}
		intents[i] = w
	}
	if wrong != nil {
		return nil, wrong
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	token, err := s.token(in.ClientRequestToken, r.body)
	if err != nil {
		return nil, err
	}
	var used map[string]*units
	done := false
	err = s.store.write(func(tx *bbolt.Tx) error {
		var err error
		if done, err = token.seen(tx); done || err != nil {
			return err
		}
		used = map[string]*units{}
		changes, err := planTransaction(s.store, tx, intents, used)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if err := c.apply(tx); err != nil {
				return err
			}
		}
		return token.keep(tx)
	})
	// A cancelled transaction is charged like a done one; a repeated one is answered from the token.
	for name, u := range used {
		if !done {
			s.meter(r.op, name, u.total(), 0)
		}
	}
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	addConsumed(out, in.ReturnConsumedCapacity, used)
	return out, nil
}

func checkParts(n int) error {
	if n < 1 || n > maxTransaction {
		return validation("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to %d, Member must have length greater than or equal to 1", maxTransaction)
	}
	return nil
}

// allowPart asks for one part of a transaction; policies may tell parts from calls of their own by the enclosing operation.
func (s *Service) allowPart(r *request, action, table string) error {
	if err := checkTableName(table); err != nil {
		return err
	}
	return authz.Check(r.ctx, authz.Request{Action: "dynamodb:" + action, Resource: s.arn(table),
		Context: map[string]string{"dynamodb:EnclosingOperation": r.op}})
}

// planTransaction plans all parts over the state before any of them, and refuses all if one is refused.
func planTransaction(st *store, tx *bbolt.Tx, intents []*intent, used map[string]*units) ([]*change, error) {
	changes := make([]*change, len(intents))
	reasons := make([]reason, len(intents))
	if err := apart(st, tx, intents); err != nil {
		return nil, err
	}
	cancelled := false
	size := 0
	for i, w := range intents {
		c, err := w.plan(st, tx)
		changes[i], reasons[i] = c, reason{Code: "None"}
		if r := asRefusal(err); err != nil {
			switch {
			case r == nil || r.code == "ResourceNotFoundException" || r.input:
				return nil, err
			case r.code == "ConditionalCheckFailedException":
				reasons[i] = reason{Code: "ConditionalCheckFailed", Message: r.message, Item: r.item}
			default:
				reasons[i] = reason{Code: "ValidationError", Message: r.message}
			}
			cancelled = true
		}
		if c == nil {
			continue
		}
		size += max(sizeOf(c.old), sizeOf(c.new))
		count(used, w.table, c.written().times(2))
	}
	if size > maxTransactionBytes {
		return nil, validation("The aggregate size of the items in the transaction exceeds the limit of 4 MB")
	}
	if cancelled {
		return nil, cancellation(reasons)
	}
	return changes, nil
}

// apart refuses a transaction of which two parts have one item, whatever else is wrong with them.
func apart(st *store, tx *bbolt.Tx, intents []*intent) error {
	seen := map[string]bool{}
	for _, w := range intents {
		t, err := st.table(tx, w.table)
		if err != nil {
			return err
		}
		key := w.key
		if w.item != nil {
			key = w.item.Pick(t.Keys.names()...)
		}
		if t.checkKey(key) != nil {
			continue // the part itself says what is wrong with it
		}
		id := w.table + "\x00" + string(t.key(key))
		if seen[id] {
			return validation("Transaction request cannot include multiple operations on one item")
		}
		seen[id] = true
	}
	return nil
}

func cancellation(reasons []reason) error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.Code
	}
	return &refusal{code: "TransactionCanceledException", reasons: reasons,
		message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]"}
}

// requestToken makes a transaction idempotent: for ten minutes the same token with the same content is answered without a second effect.
// A nil *requestToken is a request without one.
type requestToken struct {
	text string
	hash [sha256.Size]byte
	now  time.Time
}

func (s *Service) token(text *string, body []byte) (*requestToken, error) {
	if text == nil {
		return nil, nil
	}
	if len(*text) < 1 || len(*text) > 36 {
		return nil, validation("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must have length between 1 and 36", *text)
	}
	// Clients write maps in any order: hash the content with its names sorted.
	var content map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&content); err != nil {
		return nil, fmt.Errorf("read the transaction again: %w", err)
	}
	delete(content, "ClientRequestToken")
	delete(content, "ReturnConsumedCapacity")
	sorted, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("write the transaction again: %w", err)
	}
	return &requestToken{text: *text, hash: sha256.Sum256(sorted), now: s.now()}, nil
}

// seen reports whether the same request was done within the last ten minutes, and refuses another request with its token.
func (t *requestToken) seen(tx *bbolt.Tx) (bool, error) {
	if t == nil {
		return false, nil
	}
	kept := bucket(tx, tokensBucket).Get([]byte(t.text))
	if kept == nil || len(kept) != sha256.Size+8 || t.expired(kept[sha256.Size:]) {
		return false, nil
	}
	if !bytes.Equal(kept[:sha256.Size], t.hash[:]) {
		return false, &refusal{code: "IdempotentParameterMismatchException", message: "The specified idempotency token was used with a different request"}
	}
	return true, nil
}

func (t *requestToken) expired(stamp []byte) bool {
	at := time.Unix(0, int64(binary.BigEndian.Uint64(stamp))) // #nosec G115 -- written from an int64
	return t.now.Sub(at) >= tokenLife
}

// keep remembers the token and forgets some that are too old.
func (t *requestToken) keep(tx *bbolt.Tx) error {
	if t == nil {
		return nil
	}
	tokens, ages := bucket(tx, tokensBucket), bucket(tx, agesBucket)
	const atOnce = 4 // more than one, so that the store shrinks again after a burst
	var old [][]byte
	c := ages.Cursor()
	for k, _ := c.First(); k != nil && len(old) < atOnce && t.expired(k[:8]); k, _ = c.Next() {
		old = append(old, bytes.Clone(k))
	}
	for _, k := range old {
		if err := ages.Delete(k); err != nil {
			return err
		}
		// A token that was used again after its end has a younger stamp and stays.
		if v := tokens.Get(k[8:]); v != nil && bytes.Equal(v[sha256.Size:], k[:8]) {
			if err := tokens.Delete(k[8:]); err != nil {
				return err
			}
		}
	}
	stamp := binary.BigEndian.AppendUint64(nil, uint64(t.now.UnixNano())) // #nosec G115 -- years 1970 to 2262
	if err := tokens.Put([]byte(t.text), append(bytes.Clone(t.hash[:]), stamp...)); err != nil {
		return err
	}
	return ages.Put(append(stamp, t.text...), []byte{})
}

func (s *Service) transactGetItems(r *request) (any, error) {
	in := struct {
		TransactItems []struct {
			Get *struct {
				TableName                string
				Key                      attr.Item
				ProjectionExpression     *string
				ExpressionAttributeNames map[string]string
			}
		}
		ReturnConsumedCapacity string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := checkParts(len(in.TransactItems)); err != nil {
		return nil, err
	}
	paths := make([][]expr.Path, len(in.TransactItems))
	for i, part := range in.TransactItems {
		if part.Get == nil || part.Get.Key == nil {
			return nil, missing("transactItems.member.get.key")
		}
		if err := s.allowPart(r, "GetItem", part.Get.TableName); err != nil {
			return nil, err
		}
		var err error
		if paths[i], err = projection(part.Get.ProjectionExpression, part.Get.ExpressionAttributeNames); err != nil {
			return nil, err
		}
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	type answer struct {
		Item *attr.Item `json:",omitempty"`
	}
	answers := make([]answer, len(in.TransactItems))
	used := map[string]*units{}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		seen := map[string]bool{}
		size := 0
		reasons, wrong := make([]reason, len(in.TransactItems)), false
		for i, part := range in.TransactItems {
			reasons[i] = reason{Code: "None"}
			it, err := s.store.get(tx, part.Get.TableName, part.Get.Key)
			if r := asRefusal(err); r != nil && !r.input && r.code == "ValidationException" {
				reasons[i], wrong = reason{Code: "ValidationError", Message: r.message}, true
				continue
			}
			if err != nil {
				return err
			}
			id := part.Get.TableName + "\x00" + string(part.Get.Key.Encode())
			if seen[id] {
				return validation("Transaction request cannot include multiple operations on one item")
			}
			seen[id] = true
			count(used, part.Get.TableName, units{table: 2 * readUnits(sizeOf(it), true)})
			if size += sizeOf(it); size > maxTransactionBytes {
				return validation("The aggregate size of the items in the transaction exceeds the limit of 4 MB")
			}
			if it != nil {
				shown := projected(it, paths[i])
				answers[i].Item = &shown
			}
		}
		if wrong {
			return cancellation(reasons)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, u := range used {
		s.meter(r.op, name, 0, u.total())
	}
	out := map[string]any{"Responses": answers}
	addConsumed(out, in.ReturnConsumedCapacity, used)
	return out, nil
}
