package ddb

import (
	"fmt"

	"slices"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// table is a table's schema and settings, as they are stored.
type table struct {
	Name       string
	ID         string
	Created    float64 // seconds since 1970
	Kinds      map[string]attr.Kind
	Keys       keys
	Indexes    []index
	Billing    string
	Throughput *throughput `json:",omitempty"`
	Protected  bool
	Class      string      `json:",omitempty"`
	Stream     *streamSpec `json:",omitempty"`
	Encryption *sseSpec    `json:",omitempty"`
	Tags       []tag       `json:",omitempty"`
	TTL        string      `json:",omitempty"` // the attribute; "" is off
	Recovery   *recovery   `json:",omitempty"`
}

// keys are the key attributes of a table or an index; Range may be "".
type keys struct{ Hash, Range string }

func (k keys) names() []string {
	if k.Range == "" {
		return []string{k.Hash}
	}
	return []string{k.Hash, k.Range}
}

type index struct {
	Name       string
	Keys       keys
	Projection string   // KEYS_ONLY, INCLUDE or ALL
	Include    []string `json:",omitempty"`
	Throughput *throughput
}

func (t *table) index(name string) (*index, error) {
	for i := range t.Indexes {
		if t.Indexes[i].Name == name {
			return &t.Indexes[i], nil
		}
	}
	return nil, validation("The table does not have the specified index: %s", name)
}

// key returns the stored key of an item or of a Key parameter that was checked before.
func (t *table) key(it attr.Item) []byte { return appendKeys(nil, t.Keys, it) }

func appendKeys(dst []byte, k keys, it attr.Item) []byte {
	for _, n := range k.names() {
		dst = attr.AppendKey(dst, it[n])
	}
	return dst
}

// entryKey is the stored key of an item's entry in the index; nil if the item has none.
func (ix *index) entryKey(t *table, it attr.Item) []byte {
	for _, n := range ix.Keys.names() {
		if _, ok := it[n]; !ok {
			return nil
		}
	}
	return appendKeys(appendKeys(nil, ix.Keys, it), t.Keys, it)
}

// projected is what the index keeps of an item.
func (ix *index) projected(t *table, it attr.Item) attr.Item {
	if ix.Projection == "ALL" {
		return it
	}
	return it.Pick(slices.Concat(t.Keys.names(), ix.Keys.names(), ix.Include)...)
}

func (ix *index) has(t *table, name string) bool {
	return ix.Projection == "ALL" || slices.Contains(slices.Concat(t.Keys.names(), ix.Keys.names(), ix.Include), name)
}

// checkKey checks a Key parameter: exactly the table's key attributes.
func (t *table) checkKey(key attr.Item) error {
	names := t.Keys.names()
	for _, n := range names {
		if v, ok := key[n]; !ok || v.Kind != t.Kinds[n] {
			return validation("The provided key element does not match the schema")
		}
	}
	if len(key) != len(names) {
		return validation("The provided key element does not match the schema")
	}
	return t.checkKeySizes(key)
}

func (t *table) checkKeySizes(it attr.Item) error {
	for _, n := range t.Keys.names() {
		v := it[n]
		if v.Kind != attr.Number && v.Text == "" {
			return &refusal{code: "ValidationException", input: true,
				message: fmt.Sprintf("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyWord(v.Kind), n)}
		}
	}
	if n := it[t.Keys.Hash].Size(); n > attr.MaxHashSize {
		return validation("One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of%d bytes", attr.MaxHashSize)
	}
	if t.Keys.Range != "" && it[t.Keys.Range].Size() > attr.MaxRangeSize {
		return validation("One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of %d bytes", attr.MaxRangeSize)
	}
	return nil
}

func emptyWord(k attr.Kind) string {
	if k == attr.Binary {
		return "binary"
	}
	return "string"
}

// checkItem checks a whole item that is to be stored: its keys, the keys of the indexes, its size.
func (t *table) checkItem(it attr.Item) error {
	for _, n := range t.Keys.names() {
		v, ok := it[n]
		if !ok {
			return validation("One or more parameter values were invalid: Missing the key %s in the item", n)
		}
		if v.Kind != t.Kinds[n] {
			return validation("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", n, t.Kinds[n], v.Kind)
		}
	}
	if err := t.checkKeySizes(it); err != nil {
		return err
	}
	return t.checkIndexKeys(it)
}

func (t *table) checkIndexKeys(it attr.Item) error {
	for i := range t.Indexes {
		ix := &t.Indexes[i]
		for _, n := range ix.Keys.names() {
			v, ok := it[n]
			if !ok {
				continue
			}
			if v.Kind != t.Kinds[n] {
				return validation("One or more parameter values were invalid: Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", n, t.Kinds[n], v.Kind, ix.Name)
			}
			if v.Kind != attr.Number && v.Text == "" {
				return validation("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s", emptyWord(v.Kind), ix.Name, n)
			}
			limit := attr.MaxRangeSize
			if n == ix.Keys.Hash {
				limit = attr.MaxHashSize
			}
			if v.Size() > limit {
				return validation("One or more parameter values were invalid: Size of the secondary index key %s exceeds the limit of %d bytes. IndexName: %s", n, limit, ix.Name)
			}
		}
	}
	return nil
}
