package attr

import (
	"encoding/binary"
	"errors"
)

// The stored form: for each value a letter for its kind and its content, lengths as varints, names in order. It is private to the store
// file; keep the letters as they are, or bump the store's version.
var kindLetters = map[Kind]byte{String: 's', Number: 'n', Binary: 'b', Bool: 'o', Null: '0', List: 'l', Map: 'm', StringSet: 'S', NumberSet: 'N', BinarySet: 'B'}

var letterKinds = func() (out [256]Kind) {
	for k, l := range kindLetters {
		out[l] = k
	}
	return out
}()

var errStored = errors.New("stored item is damaged")

// Encode returns the item's stored form.
func (it Item) Encode() []byte { return it.appendStored(make([]byte, 0, 64+it.Size())) }

// Decode reads what Encode wrote.
func Decode(b []byte) (Item, error) {
	d := storedReader{in: b}
	it := d.item(0)
	if d.bad || len(d.in) != 0 {
		return nil, errStored
	}
	return it, nil
}

func appendStoredText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (it Item) appendStored(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(it)))
	for _, n := range it.names() {
		dst = appendStoredText(dst, n)
		dst = it[n].appendStored(dst)
	}
	return dst
}

func (v Value) appendStored(dst []byte) []byte {
	dst = append(dst, kindLetters[v.Kind])
	switch v.Kind {
	case Bool:
		if v.Bool {
			return append(dst, 1)
		}
		return append(dst, 0)
	case Null:
		return dst
	case List:
		dst = binary.AppendUvarint(dst, uint64(len(v.List)))
		for _, e := range v.List {
			dst = e.appendStored(dst)
		}
		return dst
	case Map:
		return v.Map.appendStored(dst)
	case StringSet, NumberSet, BinarySet:
		dst = binary.AppendUvarint(dst, uint64(len(v.Set)))
		for _, e := range v.Set {
			dst = appendStoredText(dst, e)
		}
		return dst
	default:
		return appendStoredText(dst, v.Text)
	}
}

type storedReader struct {
	in  []byte
	bad bool
}

func (d *storedReader) count() int {
	n, w := binary.Uvarint(d.in)
	// Everything counted takes at least a byte, so a larger number is damage and must not become an allocation.
	if w <= 0 || n > uint64(len(d.in)-w) {
		d.bad, d.in = true, nil
		return 0
	}
	d.in = d.in[w:]
	return int(n) // #nosec G115 -- at most the length of a slice
}

func (d *storedReader) text() string {
	n := d.count()
	s := string(d.in[:n])
	d.in = d.in[n:]
	return s
}

func (d *storedReader) byte() byte {
	if len(d.in) == 0 {
		d.bad = true
		return 0
	}
	c := d.in[0]
	d.in = d.in[1:]
	return c
}

func (d *storedReader) item(depth int) Item {
	n := d.count()
	it := make(Item, n)
	for i := 0; i < n && !d.bad; i++ {
		name := d.text()
		it[name] = d.value(depth)
	}
	return it
}

func (d *storedReader) value(depth int) Value {
	v := Value{Kind: letterKinds[d.byte()]}
	if depth > maxNesting+1 {
		d.bad = true
	}
	if d.bad {
		return v
	}
	switch v.Kind {
	case "":
		d.bad = true
	case Bool:
		v.Bool = d.byte() == 1
	case Null:
	case List:
		n := d.count()
		v.List = make([]Value, 0, n)
		for i := 0; i < n && !d.bad; i++ {
			v.List = append(v.List, d.value(depth+1))
		}
	case Map:
		v.Map = d.item(depth + 1)
	case StringSet, NumberSet, BinarySet:
		n := d.count()
		for i := 0; i < n && !d.bad; i++ {
			v.Set = append(v.Set, d.text())
			d.number(v.Kind == NumberSet, v.Set[i])
		}
	default:
		v.Text = d.text()
		d.number(v.Kind == Number, v.Text)
	}
	return v
}

// number marks the item as damaged if a number in it is not one that this package writes: everything later relies on that form.
func (d *storedReader) number(is bool, text string) {
	if !is || d.bad {
		return
	}
	if written, err := ParseNumber(text); err != nil || written != text {
		d.bad = true
	}
}
