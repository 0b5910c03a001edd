package ddb

import (
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/expr"
)

// intent is one wanted write, parsed as far as it can be without the table: what PutItem, UpdateItem, DeleteItem and the parts of a
// transaction have in common.
type intent struct {
	table     string
	item      attr.Item // of a put
	key       attr.Item // of everything else
	update    *expr.Update
	delete    bool
	condition *expr.Condition
	tellOld   bool // a failed condition answers with the item
}

// writeExpressions are the parameters that the writes share.
type writeExpressions struct {
	ConditionExpression                 *string
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           attr.Item
	ReturnValuesOnConditionCheckFailure string
}

// parse fills in the condition and, if there is one, the update.
func (w *intent) parse(in writeExpressions, update *string) error {
	if err := oneOf("returnValuesOnConditionCheckFailure", in.ReturnValuesOnConditionCheckFailure, "ALL_OLD", "NONE"); err != nil {
		return err
	}
	w.tellOld = in.ReturnValuesOnConditionCheckFailure == "ALL_OLD"
	vars, err := variables(in.ExpressionAttributeNames, in.ExpressionAttributeValues, in.ConditionExpression, update)
	if err != nil {
		return err
	}
	if update != nil {
		if w.update, err = expr.ParseUpdate(*update, vars); err != nil {
			return err
		}
	}
	if in.ConditionExpression != nil {
		if w.condition, err = expr.ParseCondition(expr.ConditionKind, *in.ConditionExpression, vars); err != nil {
			return err
		}
	}
	return vars.Unused()
}

// variables checks the placeholders; without any expression there must be none.
func variables(names map[string]string, values attr.Item, expressions ...*string) (*expr.Vars, error) {
	used := false
	for _, e := range expressions {
		used = used || e != nil
	}
	switch {
	case !used && names != nil:
		return nil, validation("ExpressionAttributeNames can only be specified when using expressions")
	case !used && values != nil:
		return nil, validation("ExpressionAttributeValues can only be specified when using expressions")
	}
	return expr.NewVars(names, values)
}

// plan reads what is there and decides what is to be written, without writing. The change is returned beside a failed condition too, for
// AWS charges for it.
func (w *intent) plan(st *store, tx *bbolt.Tx) (*change, error) {
	t, err := st.table(tx, w.table)
	if err != nil {
		return nil, err
	}
	c := &change{table: t}
	key := w.key
	if w.item != nil {
		if err := t.checkItem(w.item); err != nil {
			return nil, err
		}
		if w.item.Size() > attr.MaxItemSize {
			return nil, &refusal{code: "ValidationException", message: "Item size has exceeded the maximum allowed size", input: true}
		}
		key = w.item
	} else if err := t.checkKey(key); err != nil {
		return nil, err
	}
	if w.update != nil {
		if err := checkNoKey(t, w.update); err != nil {
			return nil, err
		}
	}
	c.key = t.key(key)
	if c.old, err = t.item(tx, c.key); err != nil {
		return nil, err
	}
	c.new = c.old // until something is to be written
	if w.condition != nil && !w.condition.Holds(c.old) {
		r := &refusal{code: "ConditionalCheckFailedException", message: "The conditional request failed"}
		if w.tellOld {
			r.item = c.old
		}
		return c, r
	}
	switch {
	case w.item != nil:
		c.new = w.item
	case w.delete:
		c.new = nil
	case w.update != nil:
		it, err := w.updated(c)
		if err != nil {
			return nil, err
		}
		c.new = it
	default: // a check alone
		return c, nil
	}
	c.writes = true
	return c, nil
}

func checkNoKey(t *table, u *expr.Update) error {
	for _, p := range u.Paths() {
		if p.Top() == t.Keys.Hash || p.Top() == t.Keys.Range {
			return validation("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", p.Top())
		}
	}
	return nil
}

// updated is the item after the update; an item that was not there begins as its key.
func (w *intent) updated(c *change) (attr.Item, error) {
	from := c.old
	if from == nil {
		from = w.key
	}
	it, err := w.update.Apply(from)
	if err != nil {
		return nil, err
	}
	if it.TooDeep() {
		return nil, validation("Nesting Levels have exceeded supported limits")
	}
	if err := c.table.checkIndexKeys(it); err != nil {
		return nil, err
	}
	if it.Size() > attr.MaxItemSize {
		return nil, validation("Item size to update has exceeded the maximum allowed size")
	}
	return it, nil
}

// one runs a single write and meters it.
func (s *Service) one(r *request, w *intent) (*change, units, error) {
	var c *change
	var refused error
	err := s.store.write(func(tx *bbolt.Tx) error {
		c, refused = w.plan(s.store, tx)
		if refused != nil {
			return refused
		}
		return c.apply(tx)
	})
	if c == nil {
		return nil, units{}, err
	}
	u := c.written()
	if err == nil || refused != nil {
		s.meter(r.op, w.table, u.total(), 0)
	}
	return c, u, err
}

type itemAnswer struct {
	Attributes       attr.Item `json:",omitempty"`
	ConsumedCapacity *capacity `json:",omitempty"`
}

func (s *Service) putItem(r *request) (any, error) {
	in := struct {
		writeExpressions
		TableName, ReturnValues, ReturnConsumedCapacity string
		Item                                            attr.Item
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "PutItem", in.TableName, ""); err != nil {
		return nil, err
	}
	if in.Item == nil {
		return nil, missing("item")
	}
	if err := onlyOld(in.ReturnValues); err != nil {
		return nil, err
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	w := &intent{table: in.TableName, item: in.Item}
	if err := w.parse(in.writeExpressions, nil); err != nil {
		return nil, err
	}
	c, u, err := s.one(r, w)
	if err != nil {
		return nil, err
	}
	out := itemAnswer{ConsumedCapacity: consumed(in.ReturnConsumedCapacity, in.TableName, u)}
	if in.ReturnValues == "ALL_OLD" {
		out.Attributes = c.old
	}
	return out, nil
}

func missing(parameter string) error {
	return validation("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", parameter)
}

func onlyOld(returnValues string) error {
	if err := oneOf("returnValues", returnValues, "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"); err != nil {
		return err
	}
	if returnValues != "" && returnValues != "NONE" && returnValues != "ALL_OLD" {
		return validation("Return values set to invalid value")
	}
	return nil
}

func (s *Service) deleteItem(r *request) (any, error) {
	in := struct {
		writeExpressions
		TableName, ReturnValues, ReturnConsumedCapacity string
		Key                                             attr.Item
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "DeleteItem", in.TableName, ""); err != nil {
		return nil, err
	}
	if in.Key == nil {
		return nil, missing("key")
	}
	if err := onlyOld(in.ReturnValues); err != nil {
		return nil, err
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	w := &intent{table: in.TableName, key: in.Key, delete: true}
	if err := w.parse(in.writeExpressions, nil); err != nil {
		return nil, err
	}
	c, u, err := s.one(r, w)
	if err != nil {
		return nil, err
	}
	out := itemAnswer{ConsumedCapacity: consumed(in.ReturnConsumedCapacity, in.TableName, u)}
	if in.ReturnValues == "ALL_OLD" {
		out.Attributes = c.old
	}
	return out, nil
}

func (s *Service) updateItem(r *request) (any, error) {
	in := struct {
		writeExpressions
		TableName, ReturnValues, ReturnConsumedCapacity string
		Key                                             attr.Item
		UpdateExpression                                *string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "UpdateItem", in.TableName, ""); err != nil {
		return nil, err
	}
	if in.Key == nil {
		return nil, missing("key")
	}
	if err := oneOf("returnValues", in.ReturnValues, "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"); err != nil {
		return nil, err
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	w := &intent{table: in.TableName, key: in.Key, update: &expr.Update{}}
	if err := w.parse(in.writeExpressions, in.UpdateExpression); err != nil {
		return nil, err
	}
	c, u, err := s.one(r, w)
	if err != nil {
		return nil, err
	}
	out := itemAnswer{ConsumedCapacity: consumed(in.ReturnConsumedCapacity, in.TableName, u)}
	switch in.ReturnValues {
	case "ALL_OLD":
		out.Attributes = c.old
	case "ALL_NEW":
		out.Attributes = c.new
	case "UPDATED_OLD":
		out.Attributes = expr.Project(c.old, w.update.Paths())
	case "UPDATED_NEW":
		out.Attributes = expr.Project(c.new, w.update.Paths())
	}
	return out, nil
}
