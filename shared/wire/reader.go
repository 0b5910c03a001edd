package wire

import (
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// reader walks a message in document order and gathers its text and its media.
type reader struct {
	lines []string
	media []archive.Media
}

// envelope is true for the top-level fields that are no part of what was said.
func envelope(key string) bool {
	switch key {
	case "msgid", "action", "from", "tolist", "roomid", "msgtime", "msgtype", "time", "user":
		return true
	}
	return false
}

// place is where an object stands.
type place uint8

const (
	atTop     place = iota // the message itself
	inside                 // the value of a field
	inAnArray              // an element of an array, or what stands where an array of items is expected
)

// object reads an object that belongs to a message or part of type typ, depth levels below the top.
func (r *reader) object(v value, typ string, depth int, at place) {
	isPart := false
	if at == inAnArray {
		var part string
		if part, isPart = partOf(v); isPart {
			typ = part
		}
	}
	r.attachment(v, typ)
	for _, p := range v.parts {
		switch {
		case at == atTop && envelope(p.key):
		case isPart && p.key == "content" && p.val.kind == text:
			r.content(p.val.str, typ, depth+1)
		default:
			r.member(p.key, p.val, typ, depth+1)
		}
	}
}

// partOf is the type of an object that is a part of a record or of mixed content: it has a type in words, and a content or a file.
func partOf(v value) (string, bool) {
	typ := field(v, "type")
	_, hasContent := v.get("content")
	_, hasFile := v.get("sdkfileid")
	if !hasContent && !hasFile || typ.kind != text || typ.str == "" {
		return "", false
	}
	return partType(typ.str), true
}

// content reads the content of a part: an object inside a string, or somebody's own words, braces or not.
func (r *reader) content(s, typ string, depth int) {
	if !r.nested(s, typ, depth) {
		r.line(s)
	}
}

// nested reads a string that holds an object or several, and says whether it did.
//
// QUIRK: the content of a part is an object inside a JSON string, so that a record in a record is a string inside a string.
func (r *reader) nested(s, typ string, depth int) bool {
	v, ok := parseNested(s, depth)
	if !ok || typ == "text" && !holds(v, "content") {
		return false
	}
	r.member(typ, v, typ, depth)
	return true
}

// holds is true if key stands anywhere in v.
func holds(v value, key string) bool {
	for _, p := range v.parts {
		if v.kind == object && p.key == key || holds(p.val, key) {
			return true
		}
	}
	return false
}

func (r *reader) member(key string, v value, typ string, depth int) {
	switch v.kind {
	case object:
		at := inside
		if key == "item" || key == "items" {
			at = inAnArray
		}
		r.object(v, typ, depth, at)
	case array:
		for _, e := range v.parts {
			if e.val.kind == object {
				r.object(e.val, typ, depth+1, inAnArray)
			} else {
				r.member(key, e.val, typ, depth+1)
			}
		}
	case tooDeep:
		r.line(v.str) // not followed any deeper, but still found by a search
	case text, number:
		r.words(key, v, typ, depth)
	}
}

// words keeps a string or number if it is text. Where the payload itself is expected, and everywhere in a type that we don't know, a string may hold
// an object.
func (r *reader) words(key string, v value, typ string, depth int) {
	open := wide(typ)
	if v.kind == text && (open || key == typ) && r.nested(v.str, typ, depth) {
		return
	}
	if textFields(key) || key == typ || typeFields(typ, key) || open && v.kind == text && !looksMachine(key, v.str) {
		r.line(v.str)
	}
}

func (r *reader) line(s string) {
	if s != "" {
		r.lines = append(r.lines, s)
	}
}

// attachment keeps the attachment that an object with an sdkfileid describes.
func (r *reader) attachment(v value, typ string) {
	var id archive.FileID
	m := archive.Media{Kind: typ}
	for _, p := range v.parts {
		switch strings.ToLower(p.key) {
		case "sdkfileid":
			id = archive.FileID(p.val.scalar())
		case "filename", "file_name":
			m.Name = p.val.scalar()
		case "filesize", "voice_size", "imagesize", "video_size", "file_size", "size":
			m.Size = p.val.uint()
		case "md5sum", "md5":
			m.MD5 = strings.ToLower(p.val.scalar())
		}
	}
	if id == "" {
		return
	}
	m.FileID = id
	r.media = append(r.media, m)
}
