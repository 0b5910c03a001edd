package wire

import (
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// reader walks a message in document order and gathers its text and its media.
type reader struct {
	lines []string
	media []archive.Media
	seen  map[archive.FileID]bool
}

// envelope is true for the top-level fields that are no part of what was said.
func envelope(key string) bool {
	switch key {
	case "msgid", "action", "from", "tolist", "roomid", "msgtime", "msgtype", "time", "user":
		return true
	}
	return false
}

// object reads an object that belongs to a message or part of type typ, depth levels below the top.
func (r *reader) object(v value, typ string, depth int, top bool) {
	part, isPart := "", false
	if !top {
		if part, isPart = partOf(v); isPart {
			typ = part
		}
	}
	r.attachment(v, typ)
	for _, p := range v.parts {
		switch {
		case top && envelope(p.key) || isPart && p.key == "type":
		case isPart && p.key == "content" && p.val.kind == text:
			r.content(p.val.str, typ, depth+1)
		default:
			r.member(p.key, p.val, typ, depth+1)
		}
	}
}

// partOf is the type of an object that is a part of a record or of mixed content: it has a type in words, and a content.
func partOf(v value) (string, bool) {
	typ := field(v, "type")
	if _, ok := v.get("content"); !ok || typ.kind != text || typ.str == "" {
		return "", false
	}
	return partType(typ.str), true
}

// content reads the content of a part.
//
// QUIRK: the content of a part is an object inside a JSON string, a record's records are strings inside strings.
func (r *reader) content(s, typ string, depth int) {
	v, ok := parseNested(s, depth)
	if _, has := v.get("content"); !ok || typ == "text" && !has {
		r.line(s) // somebody's own words, braces or not
		return
	}
	r.member(typ, v, typ, depth)
}

func (r *reader) member(key string, v value, typ string, depth int) {
	switch v.kind {
	case object:
		r.object(v, typ, depth, false)
	case array:
		for _, e := range v.parts {
			r.member(key, e.val, typ, depth+1)
		}
	case tooDeep:
		r.line(v.str) // not followed any deeper, but still found by a search
	case text, number:
		r.words(key, v, typ)
	}
}

func (r *reader) words(key string, v value, typ string) {
	if textFields(key) || key == typ || typeFields(typ, key) || wide(typ) && v.kind == text && !looksMachine(key, v.str) {
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
	if id == "" || r.seen[id] {
		return
	}
	if r.seen == nil {
		r.seen = map[archive.FileID]bool{}
	}
	r.seen[id] = true
	m.FileID = id
	r.media = append(r.media, m)
}
