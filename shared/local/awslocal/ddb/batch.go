package ddb

import (
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

const (
	maxBatchWrite = 25
	maxBatchGet   = 100
	maxBatchBytes = 16 << 20 // of items, read or written
)

type writeRequest struct {
	PutRequest    *struct{ Item attr.Item }
	DeleteRequest *struct{ Key attr.Item }
}

func (s *Service) batchWriteItem(r *request) (any, error) {
	in := struct {
		RequestItems           map[string][]writeRequest
		ReturnConsumedCapacity string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	tables := slices.Sorted(maps.Keys(in.RequestItems))
	var intents []*intent
	for _, name := range tables {
		if err := s.allow(r, "BatchWriteItem", name, ""); err != nil {
			return nil, err
		}
		if len(in.RequestItems[name]) == 0 {
			return nil, validation("The batch write request list for a table cannot be null or empty")
		}
		for _, w := range in.RequestItems[name] {
			i := &intent{table: name}
			switch {
			case w.PutRequest != nil && w.DeleteRequest == nil && w.PutRequest.Item != nil:
				i.item = w.PutRequest.Item
			case w.DeleteRequest != nil && w.PutRequest == nil && w.DeleteRequest.Key != nil:
				i.key, i.delete = w.DeleteRequest.Key, true
			default:
				return nil, validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
			}
			intents = append(intents, i)
		}
	}
	if len(intents) == 0 || len(intents) > maxBatchWrite {
		return nil, validation("1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to %d, Member must have length greater than or equal to 1]", maxBatchWrite)
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	used := map[string]*units{}
	err := s.store.write(func(tx *bbolt.Tx) error {
		clear(used)
		changes, err := planAll(s.store, tx, intents)
		if err != nil {
			return err
		}
		for i, c := range changes {
			count(used, intents[i].table, c.written())
			if err := c.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[string]any{"UnprocessedItems": map[string]any{}}
	for _, name := range tables {
		s.meter(r.op, name, used[name].total(), 0)
	}
	addConsumed(out, in.ReturnConsumedCapacity, used)
	return out, nil
}

func planAll(st *store, tx *bbolt.Tx, intents []*intent) ([]*change, error) {
	var changes []*change
	seen := map[string]bool{}
	for _, i := range intents {
		c, err := i.plan(st, tx)
		if err != nil {
			return nil, err
		}
		id := i.table + "\x00" + string(c.key)
		if seen[id] {
			return nil, validation("Provided list of item keys contains duplicates")
		}
		seen[id] = true
		changes = append(changes, c)
	}
	return changes, nil
}

func count(used map[string]*units, table string, u units) {
	if used[table] == nil {
		used[table] = &units{}
	}
	used[table].add(u)
}

// addConsumed puts the list of ConsumedCapacity, one for each table, into an answer that was asked for it.
func addConsumed(out map[string]any, want string, used map[string]*units) {
	var list []*capacity
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if c := consumed(want, name, *used[name]); c != nil {
			list = append(list, c)
		}
	}
	if list != nil {
		out["ConsumedCapacity"] = list
	}
}

type keysAndAttributes struct {
	Keys                     []attr.Item
	ConsistentRead           bool              `json:",omitempty"`
	ProjectionExpression     *string           `json:",omitempty"`
	ExpressionAttributeNames map[string]string `json:",omitempty"`
}

func (s *Service) batchGetItem(r *request) (any, error) {
	in := struct {
		RequestItems           map[string]keysAndAttributes
		ReturnConsumedCapacity string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	tables := slices.Sorted(maps.Keys(in.RequestItems))
	wanted := 0
	for _, name := range tables {
		if err := s.allow(r, "BatchGetItem", name, ""); err != nil {
			return nil, err
		}
		n := len(in.RequestItems[name].Keys)
		if n == 0 {
			return nil, validation("1 validation error detected: Value '[]' at 'requestItems.%s.member.keys' failed to satisfy constraint: Member must have length greater than or equal to 1", name)
		}
		wanted += n
	}
	if wanted == 0 || wanted > maxBatchGet {
		return nil, validation("Too many items requested for the BatchGetItem call")
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	responses := map[string][]attr.Item{}
	unprocessed := map[string]keysAndAttributes{}
	used := map[string]*units{}
	size := 0
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		for _, name := range tables {
			ka := in.RequestItems[name]
			paths, err := projection(ka.ProjectionExpression, ka.ExpressionAttributeNames)
			if err != nil {
				return err
			}
			t, err := s.store.table(tx, name)
			if err != nil {
				return err
			}
			if err := t.checkDistinct(ka.Keys); err != nil {
				return err
			}
			responses[name] = []attr.Item{}
			for i, key := range ka.Keys {
				it, err := t.item(tx, t.key(key))
				if err != nil {
					return err
				}
				if size += sizeOf(it); size > maxBatchBytes {
					ka.Keys = ka.Keys[i:]
					unprocessed[name] = ka
					break
				}
				count(used, name, units{table: readUnits(sizeOf(it), ka.ConsistentRead)})
				if it != nil {
					responses[name] = append(responses[name], projected(it, paths))
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, u := range used {
		s.meter(r.op, name, 0, u.total())
	}
	out := map[string]any{"Responses": responses, "UnprocessedKeys": unprocessed}
	addConsumed(out, in.ReturnConsumedCapacity, used)
	return out, nil
}

func (t *table) checkDistinct(list []attr.Item) error {
	seen := map[string]bool{}
	for _, key := range list {
		if err := t.checkKey(key); err != nil {
			return err
		}
		id := string(t.key(key))
		if seen[id] {
			return validation("Provided list of item keys contains duplicates")
		}
		seen[id] = true
	}
	return nil
}
