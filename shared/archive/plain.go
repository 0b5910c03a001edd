package archive

import (
	"strconv"
	"strings"
)

// plainBatch reads the form in which WeCom writes an answer in one pass over its bytes: the known fields, each once, numbers without sign or
// fraction, strings of printable ASCII without escapes. ok is false for whatever is written otherwise, right or wrong, and the full reader then says
// what it is. It is there for speed alone: the full reader goes over the bytes six times.
func plainBatch(raw []byte, after Seq) (batch Batch, ok bool) {
	s := plainScan{rest: string(raw)}
	var errcode, errmsg, chatdata bool
	s.expect('{')
	for more := true; more && !s.bad; more = s.next('}') {
		switch name := s.name(); {
		case name == "errcode" && !errcode:
			errcode = true
			if s.number(64) != 0 {
				s.bad = true // a refusal
			}
		case name == "errmsg" && !errmsg:
			errmsg = true
			s.text()
		case name == "chatdata" && !chatdata:
			chatdata = true
			batch.Items = s.items(after)
		default:
			return Batch{}, false
		}
	}
	s.blank()
	if s.bad || s.rest != "" || !errcode || !chatdata {
		return Batch{}, false
	}
	return batch, true
}

// plainScan is what is left of an answer. After something that is not plain, bad is set.
type plainScan struct {
	rest string
	bad  bool
}

// typicalItem is the least number of bytes that an item of chat data has.
const typicalItem = 400

func (s *plainScan) items(after Seq) []ChatData {
	items := make([]ChatData, 0, min(len(s.rest)/typicalItem, 1000))
	s.expect('[')
	if s.blank(); strings.HasPrefix(s.rest, "]") {
		s.rest = s.rest[1:]
		return items
	}
	for more := true; more && !s.bad; more = s.next(']') {
		item := s.item()
		if item.Seq <= after {
			s.bad = true
			return nil
		}
		after, item.Index = item.Seq, len(items)
		items = append(items, item)
	}
	return items
}

func (s *plainScan) item() ChatData {
	var cd ChatData
	var seen [5]bool
	once := func(field int) {
		s.bad = s.bad || seen[field]
		seen[field] = true
	}
	s.expect('{')
	for more := true; more && !s.bad; more = s.next('}') {
		switch s.name() {
		case "seq":
			once(0)
			cd.Seq = Seq(s.number(64))
		case "msgid":
			once(1)
			cd.MsgID = MsgID(s.text())
		case "publickey_ver":
			once(2)
			cd.KeyVersion = KeyVersion(s.number(32)) // #nosec G115 -- of 32 bits, or bad
		case "encrypt_random_key":
			once(3)
			cd.EncryptRandomKey = s.text()
		case "encrypt_chat_msg":
			once(4)
			cd.EncryptChatMsg = s.text()
		default:
			s.bad = true
		}
	}
	s.bad = s.bad || seen != [5]bool{true, true, true, true, true}
	return cd
}

func (s *plainScan) blank() { s.rest = strings.TrimLeft(s.rest, " \t\r\n") }

func (s *plainScan) expect(c byte) {
	s.blank()
	if s.rest == "" || s.rest[0] != c {
		s.bad = true
		return
	}
	s.rest = s.rest[1:]
}

// next goes behind a comma and says that something follows, or behind the given end.
func (s *plainScan) next(end byte) bool {
	s.blank()
	if s.bad || s.rest == "" || s.rest[0] != ',' && s.rest[0] != end {
		s.bad = true
		return false
	}
	more := s.rest[0] == ','
	s.rest = s.rest[1:]
	return more
}

func (s *plainScan) name() string {
	name := s.text()
	s.expect(':')
	return name
}

func (s *plainScan) text() string {
	s.expect('"')
	end := strings.IndexByte(s.rest, '"')
	if s.bad || end < 0 {
		s.bad = true
		return ""
	}
	text := s.rest[:end]
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '\\' {
			s.bad = true
			return ""
		}
	}
	s.rest = s.rest[end+1:]
	return text
}

func (s *plainScan) number(bits int) uint64 {
	s.blank()
	digits := 0
	for digits < len(s.rest) && s.rest[digits] >= '0' && s.rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(s.rest[:digits], 10, bits)
	if err != nil || digits > 1 && s.rest[0] == '0' {
		s.bad = true
		return 0
	}
	s.rest = s.rest[digits:]
	return n
}
