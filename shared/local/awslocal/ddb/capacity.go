package ddb

import (
	"math"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

// units is what one operation used of one table: write units or read units.
type units struct {
	table   float64
	indexes map[string]float64
}

func (u *units) onIndex(name string, n float64) {
	if n == 0 {
		return
	}
	if u.indexes == nil {
		u.indexes = map[string]float64{}
	}
	u.indexes[name] += n
}

func (u *units) add(o units) {
	u.table += o.table
	for name, n := range o.indexes {
		u.onIndex(name, n)
	}
}

func (u units) times(f float64) units {
	out := units{table: u.table * f}
	for name, n := range u.indexes {
		out.onIndex(name, n*f)
	}
	return out
}

func (u units) total() float64 {
	t := u.table
	for _, n := range u.indexes {
		t += n
	}
	return t
}

// kilobytes is AWS's rounding: whole units of the given size, at least one.
func kilobytes(size, unit int) float64 {
	return math.Max(1, math.Ceil(float64(size)/float64(unit*1024)))
}

// written counts a write: the larger of the item before and after, in units of 1 KB, and what the indexes had to write.
func (c *change) written() units {
	u := units{table: kilobytes(max(sizeOf(c.old), sizeOf(c.new)), 1)}
	for i := range c.table.Indexes {
		ix := &c.table.Indexes[i]
		before, after := ix.entryKey(c.table, c.old), ix.entryKey(c.table, c.new)
		var was, is attr.Item
		if before != nil {
			was = ix.projected(c.table, c.old)
		}
		if after != nil {
			is = ix.projected(c.table, c.new)
		}
		switch {
		case before != nil && after != nil && string(before) == string(after):
			if !attr.Equal(attr.Value{Kind: attr.Map, Map: was}, attr.Value{Kind: attr.Map, Map: is}) {
				u.onIndex(ix.Name, kilobytes(max(was.Size(), is.Size()), 1))
			}
		default:
			if before != nil {
				u.onIndex(ix.Name, kilobytes(was.Size(), 1))
			}
			if after != nil {
				u.onIndex(ix.Name, kilobytes(is.Size(), 1))
			}
		}
	}
	return u
}

func sizeOf(it attr.Item) int {
	if it == nil {
		return 0
	}
	return it.Size()
}

// readUnits counts a read of so many bytes: units of 4 KB, half of that if it need not be consistent.
func readUnits(size int, consistent bool) float64 {
	n := kilobytes(size, 4)
	if !consistent {
		n /= 2
	}
	return n
}

type capacity struct {
	TableName              string                  `json:"TableName"`
	CapacityUnits          float64                 `json:"CapacityUnits"`
	ReadCapacityUnits      float64                 `json:"ReadCapacityUnits,omitempty"`
	WriteCapacityUnits     float64                 `json:"WriteCapacityUnits,omitempty"`
	Table                  *unitsAnswer            `json:"Table,omitempty"`
	GlobalSecondaryIndexes map[string]*unitsAnswer `json:"GlobalSecondaryIndexes,omitempty"`
}

type unitsAnswer struct {
	CapacityUnits float64 `json:"CapacityUnits"`
}

// consumed is the ConsumedCapacity answer for the wanted detail: "", NONE, TOTAL or INDEXES.
func consumed(want, table string, u units) *capacity {
	if want == "" || want == "NONE" {
		return nil
	}
	c := &capacity{TableName: table, CapacityUnits: u.total()}
	if want == "INDEXES" {
		c.Table = &unitsAnswer{u.table}
		for name, n := range u.indexes {
			if c.GlobalSecondaryIndexes == nil {
				c.GlobalSecondaryIndexes = map[string]*unitsAnswer{}
			}
			c.GlobalSecondaryIndexes[name] = &unitsAnswer{n}
		}
	}
	return c
}

func checkReturnCapacity(v string) error {
	return oneOf("returnConsumedCapacity", v, "INDEXES", "TOTAL", "NONE")
}
