package ddb

import (
	"bytes"
	"hash/fnv"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/expr"
)

const maxPage = 1 << 20 // bytes of items that one Query or Scan looks at

func (s *Service) getItem(r *request) (any, error) {
	in := struct {
		TableName, ReturnConsumedCapacity string
		Key                               attr.Item
		ConsistentRead                    bool
		ProjectionExpression              *string
		ExpressionAttributeNames          map[string]string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "GetItem", in.TableName, ""); err != nil {
		return nil, err
	}
	if in.Key == nil {
		return nil, missing("key")
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return nil, err
	}
	paths, err := projection(in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return nil, err
	}
	var it attr.Item
	err = s.store.db.View(func(tx *bbolt.Tx) error {
		it, err = s.store.get(tx, in.TableName, in.Key)
		return err
	})
	if err != nil {
		return nil, err
	}
	u := units{table: readUnits(sizeOf(it), in.ConsistentRead)}
	s.meter(r.op, in.TableName, 0, u.total())
	out := struct {
		Item             *attr.Item `json:",omitempty"`
		ConsumedCapacity *capacity  `json:",omitempty"`
	}{ConsumedCapacity: consumed(in.ReturnConsumedCapacity, in.TableName, u)}
	if it != nil {
		shown := projected(it, paths)
		out.Item = &shown
	}
	return out, nil
}

// get reads the item of a Key parameter; nil if there is none.
func (st *store) get(tx *bbolt.Tx, tableName string, key attr.Item) (attr.Item, error) {
	t, err := st.table(tx, tableName)
	if err != nil {
		return nil, err
	}
	if err := t.checkKey(key); err != nil {
		return nil, err
	}
	return t.item(tx, t.key(key))
}

// projection parses a ProjectionExpression that comes without other expressions; nil paths mean the whole item.
func projection(text *string, names map[string]string) ([]expr.Path, error) {
	vars, err := variables(names, nil, text)
	if err != nil || text == nil {
		return nil, err
	}
	paths, err := expr.ParseProjection(*text, vars)
	if err != nil {
		return nil, err
	}
	return paths, vars.Unused()
}

func projected(it attr.Item, paths []expr.Path) attr.Item {
	if paths == nil {
		return it
	}
	return expr.Project(it, paths)
}

// readInput is what Query and Scan have in common.
type readInput struct {
	TableName, IndexName, Select, ReturnConsumedCapacity string
	ConsistentRead                                       bool
	Limit                                                *int
	ExclusiveStartKey                                    attr.Item
	FilterExpression, ProjectionExpression               *string
	ExpressionAttributeNames                             map[string]string
	ExpressionAttributeValues                            attr.Item
}

// page is a Query or Scan ready to run over one table or index.
type page struct {
	in         *readInput
	keep       func(attr.Item) bool // a Scan's segment; nil keeps all
	terms      []expr.KeyTerm       // of a Query
	filter     *expr.Condition
	projection []expr.Path
	backward   bool

	// filled in when the table is known
	table *table
	index *index
	keys  keys

	items        []attr.Item
	count, seen  int
	size         int
	lastSeen     attr.Item
	cutShort     bool
	onlyCounting bool
}

func (p *page) check() error {
	in := p.in
	if err := oneOf("select", in.Select, "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"); err != nil {
		return err
	}
	if err := checkReturnCapacity(in.ReturnConsumedCapacity); err != nil {
		return err
	}
	switch {
	case in.Limit != nil && *in.Limit < 1:
		return validation("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1", *in.Limit)
	case in.Select == "SPECIFIC_ATTRIBUTES" && in.ProjectionExpression == nil:
		return validation("One or more parameter values were invalid: Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
	case in.Select != "" && in.Select != "SPECIFIC_ATTRIBUTES" && in.ProjectionExpression != nil:
		return validation("One or more parameter values were invalid: Cannot specify the ProjectionExpression when choosing to get %s", in.Select)
	case in.Select == "ALL_PROJECTED_ATTRIBUTES" && in.IndexName == "":
		return validation("One or more parameter values were invalid: ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
	}
	p.onlyCounting = in.Select == "COUNT"
	return nil
}

// parse reads the expressions; keyCondition is nil for a Scan.
func (p *page) parse(keyCondition *string) error {
	in := p.in
	vars, err := variables(in.ExpressionAttributeNames, in.ExpressionAttributeValues, in.FilterExpression, in.ProjectionExpression, keyCondition)
	if err != nil {
		return err
	}
	if keyCondition != nil {
		if p.terms, err = expr.ParseKeyCondition(*keyCondition, vars); err != nil {
			return err
		}
	}
	if in.FilterExpression != nil {
		if p.filter, err = expr.ParseCondition(expr.FilterKind, *in.FilterExpression, vars); err != nil {
			return err
		}
	}
	if in.ProjectionExpression != nil {
		if p.projection, err = expr.ParseProjection(*in.ProjectionExpression, vars); err != nil {
			return err
		}
	}
	return vars.Unused()
}

// open finds the table and the index and checks what depends on them.
func (p *page) open(st *store, tx *bbolt.Tx) error {
	t, err := st.table(tx, p.in.TableName)
	if err != nil {
		return err
	}
	p.table, p.keys = t, t.Keys
	if p.in.IndexName == "" {
		return nil
	}
	if p.index, err = t.index(p.in.IndexName); err != nil {
		return err
	}
	p.keys = p.index.Keys
	if p.in.ConsistentRead {
		return validation("Consistent reads are not supported on global secondary indexes")
	}
	if p.in.Select == "ALL_ATTRIBUTES" && p.index.Projection != "ALL" {
		return validation("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", p.index.Name)
	}
	for _, path := range p.projection {
		if !p.index.has(t, path.Top()) {
			return validation("One or more parameter values were invalid: Global secondary index %s does not project [%s]", p.index.Name, path.Top())
		}
	}
	return nil
}

func (p *page) bucket(tx *bbolt.Tx) *bbolt.Bucket {
	if p.index != nil {
		return p.index.entries(tx, p.table)
	}
	return p.table.items(tx)
}

// positionNames are the attributes of LastEvaluatedKey: the index's keys and the table's.
func (p *page) positionNames() []string {
	names := p.table.Keys.names()
	if p.index != nil {
		for _, n := range p.index.Keys.names() {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// position is the stored key of ExclusiveStartKey; nil without one.
func (p *page) position() ([]byte, error) {
	start := p.in.ExclusiveStartKey
	if start == nil {
		return nil, nil
	}
	names := p.positionNames()
	for _, n := range names {
		if v, ok := start[n]; !ok || v.Kind != p.table.Kinds[n] {
			return nil, validation("The provided starting key is invalid")
		}
	}
	if len(start) != len(names) {
		return nil, validation("The provided starting key is invalid")
	}
	if p.index != nil {
		return p.index.entryKey(p.table, start), nil
	}
	return p.table.key(start), nil
}

// span is a range of stored keys: from is inclusive, to exclusive; nil to means without end.
type span struct{ from, to []byte }

// after is the first key behind all that begin with the prefix; nil if there is none.
func after(prefix []byte) []byte {
	out := bytes.Clone(prefix)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i] < 0xFF {
			out[i]++
			return out[:i+1]
		}
	}
	return nil
}

// run walks the span and fills in the page.
func (p *page) run(b *bbolt.Bucket, sp span) error {
	start, err := p.position()
	if err != nil {
		return err
	}
	if start != nil {
		if bytes.Compare(start, sp.from) < 0 || sp.to != nil && bytes.Compare(start, sp.to) >= 0 {
			return validation("The provided starting key is outside query boundaries based on provided conditions")
		}
		if p.backward {
			sp.to = start
		} else {
			sp.from = append(start, 0)
		}
	}
	c := b.Cursor()
	step := c.Next
	var k, v []byte
	if p.backward {
		step = c.Prev
		if sp.to == nil {
			k, v = c.Last()
		} else if k, v = c.Seek(sp.to); k == nil {
			k, v = c.Last()
		}
		for k != nil && sp.to != nil && bytes.Compare(k, sp.to) >= 0 {
			k, v = c.Prev()
		}
	} else {
		k, v = c.Seek(sp.from)
	}
	for ; k != nil; k, v = step() {
		if bytes.Compare(k, sp.from) < 0 || !p.backward && sp.to != nil && bytes.Compare(k, sp.to) >= 0 {
			return nil
		}
		it, err := attr.Decode(v)
		if err != nil {
			return err
		}
		if p.keep != nil && !p.keep(it) {
			continue
		}
		if more := p.see(it); !more {
			return nil
		}
	}
	return nil
}

// see takes one item into the page; false ends the page.
func (p *page) see(it attr.Item) bool {
	size := it.Size()
	if p.seen > 0 && p.size+size > maxPage {
		p.cutShort = true
		return false
	}
	p.seen++
	p.size += size
	p.lastSeen = it
	if p.filter == nil || p.filter.Holds(it) {
		p.count++
		if !p.onlyCounting {
			p.items = append(p.items, projected(it, p.projection))
		}
	}
	if p.in.Limit != nil && p.seen == *p.in.Limit {
		p.cutShort = true
		return false
	}
	return true
}

// answer writes the page and meters it.
func (s *Service) answerPage(r *request, p *page) any {
	n := readUnits(p.size, p.in.ConsistentRead)
	u := units{table: n}
	if p.index != nil {
		u = units{}
		u.onIndex(p.index.Name, n)
	}
	s.meter(r.op, p.in.TableName, 0, n)
	out := map[string]any{"Count": p.count, "ScannedCount": p.seen}
	if !p.onlyCounting {
		if p.items == nil {
			p.items = []attr.Item{}
		}
		out["Items"] = p.items
	}
	if p.cutShort {
		out["LastEvaluatedKey"] = p.lastSeen.Pick(p.positionNames()...)
	}
	if c := consumed(p.in.ReturnConsumedCapacity, p.in.TableName, u); c != nil {
		out["ConsumedCapacity"] = c
	}
	return out
}

func (s *Service) query(r *request) (any, error) {
	in := struct {
		readInput
		KeyConditionExpression *string
		ScanIndexForward       *bool
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "Query", in.TableName, in.IndexName); err != nil {
		return nil, err
	}
	p := &page{in: &in.readInput, backward: in.ScanIndexForward != nil && !*in.ScanIndexForward}
	if err := p.check(); err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil {
		return nil, validation("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	if err := p.parse(in.KeyConditionExpression); err != nil {
		return nil, err
	}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		if err := p.open(s.store, tx); err != nil {
			return err
		}
		if p.filter != nil {
			for _, n := range p.filter.Names() {
				if n == p.keys.Hash || n == p.keys.Range {
					return validation("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", n)
				}
			}
		}
		sp, err := p.bounds()
		if err != nil {
			return err
		}
		return p.run(p.bucket(tx), sp)
	})
	if err != nil {
		return nil, err
	}
	return s.answerPage(r, p), nil
}

// bounds turns the key condition into a range of stored keys.
func (p *page) bounds() (span, error) {
	var hash, sort *expr.KeyTerm
	for i := range p.terms {
		t := &p.terms[i]
		switch t.Name {
		case p.keys.Hash:
			hash = t
		case p.keys.Range:
			sort = t
		}
	}
	switch {
	case hash == nil:
		return span{}, validation("Query condition missed key schema element: %s", p.keys.Hash)
	case hash.Op != "=":
		return span{}, validation("Query key condition not supported")
	case len(p.terms) == 2 && sort == nil:
		return span{}, validation("Query condition missed key schema element: %s", p.keys.Range)
	}
	for _, t := range p.terms {
		for _, v := range t.Values {
			if v.Kind != p.table.Kinds[t.Name] || t.Op == "begins_with" && v.Kind == attr.Number {
				return span{}, validation("One or more parameter values were invalid: Condition parameter type does not match schema type")
			}
			if v.Kind != attr.Number && v.Text == "" {
				return span{}, validation("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyWord(v.Kind), t.Name)
			}
		}
	}
	whole := attr.AppendKey(nil, hash.Values[0])
	if sort == nil {
		return span{whole, after(whole)}, nil
	}
	at := func(i int) []byte { return attr.AppendKey(bytes.Clone(whole), sort.Values[i]) }
	switch sort.Op {
	case "=":
		return span{at(0), after(at(0))}, nil
	case "<":
		return span{whole, at(0)}, nil
	case "<=":
		return span{whole, after(at(0))}, nil
	case ">":
		return span{after(at(0)), after(whole)}, nil
	case ">=":
		return span{at(0), after(whole)}, nil
	case "BETWEEN":
		return span{at(0), after(at(1))}, nil
	default: // begins_with
		prefix := attr.KeyPrefix(bytes.Clone(whole), sort.Values[0])
		return span{prefix, after(prefix)}, nil
	}
}

func (s *Service) scan(r *request) (any, error) {
	in := struct {
		readInput
		Segment, TotalSegments *int
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "Scan", in.TableName, in.IndexName); err != nil {
		return nil, err
	}
	p := &page{in: &in.readInput}
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := p.segment(in.Segment, in.TotalSegments); err != nil {
		return nil, err
	}
	if err := p.parse(nil); err != nil {
		return nil, err
	}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		if err := p.open(s.store, tx); err != nil {
			return err
		}
		return p.run(p.bucket(tx), span{})
	})
	if err != nil {
		return nil, err
	}
	return s.answerPage(r, p), nil
}

// segment keeps one share of a parallel scan: the partition keys whose hash falls to it.
func (p *page) segment(number, total *int) error {
	switch {
	case number == nil && total == nil:
		return nil
	case number == nil:
		return validation("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case total == nil:
		return validation("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case *total < 1 || *total > 1_000_000:
		return validation("1 validation error detected: Value '%d' at 'totalSegments' failed to satisfy constraint: Member must be between 1 and 1000000", *total)
	case *number < 0 || *number >= *total:
		return validation("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", *number, *total)
	}
	p.keep = func(it attr.Item) bool {
		h := fnv.New32a()
		_, _ = h.Write(attr.AppendKey(nil, it[p.keys.Hash])) // a hash never fails
		return uint64(h.Sum32())%uint64(*total) == uint64(*number)
	}
	return nil
}
