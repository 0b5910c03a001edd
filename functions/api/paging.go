package main

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/archive"
)

// A page holds pageUsual entries if the caller does not say, and at most pageMost.
const (
	pageUsual = 50
	pageMost  = 200
)

// cursor is a place in a list. Callers get it as a word that means nothing to them and hand it back. It needs no signature: it gives no access, since
// each entry of the next page is judged like those of the first; but it fits only its own list.
type cursor struct {
	List  string         `json:"l"`
	Corp  archive.CorpID `json:"c,omitempty"`
	After string         `json:"a"`
}

// longestAfter is more than any key of an entry has.
const longestAfter = 512

func (c cursor) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // three strings are always JSON
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// page is what of a list is asked for: at most Limit entries after the one whose key is After.
type page struct {
	Limit int
	After string
	place cursor
}

// pageOf reads limit and cursor of a query; there may be no other parameters but those that the list knows besides.
func pageOf(query url.Values, list string, corp archive.CorpID, besides ...string) (page, error) {
	p := page{Limit: pageUsual, place: cursor{List: list, Corp: corp}}
	if err := onlyQuery(query, append(besides, "limit", "cursor")...); err != nil {
		return p, err
	}
	if query.Has("limit") {
		n, err := strconv.Atoi(query.Get("limit"))
		if err != nil || n < 1 || n > pageMost {
			return p, malformed("limit", "it is no number from 1 to "+strconv.Itoa(pageMost), "leave it out for "+strconv.Itoa(pageUsual))
		}
		p.Limit = n
	}
	if query.Has("cursor") {
		bad := badCursor()
		text, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
		if err != nil {
			return p, bad
		}
		var c cursor
		in := json.NewDecoder(strings.NewReader(string(text)))
		in.DisallowUnknownFields()
		if err := in.Decode(&c); err != nil || in.More() || c.List != list || c.Corp != corp || c.After == "" || len(c.After) > longestAfter || c.String() != query.Get("cursor") {
			return p, bad
		}
		p.After = c.After
	}
	return p, nil
}

func badCursor() *problem {
	return malformed("cursor", "it is no cursor of this list", "take the field next of a page as it is, or leave it out to begin anew")
}

// onlyQuery refuses what nobody would heed: a misspelt parameter must not be passed over in silence.
func onlyQuery(query url.Values, known ...string) error {
	for name, values := range query {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return malformed(clip(name), "there is no such parameter here", "leave it out")
		}
		if len(values) > 1 {
			return malformed(name, "it is given more than once", "give it once")
		}
	}
	return nil
}

// clip is as much of a caller's own text as an answer repeats.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "")
}

// next is the cursor to what follows key, "" at the list's end.
func (p page) next(key string, more bool) string {
	if !more {
		return ""
	}
	c := p.place
	c.After = key
	return c.String()
}

// cut is one page of entries that are in the order of their keys.
func cut[T any](p page, all []T, key func(T) string) (entries []T, next string) {
	entries = []T{}
	for _, e := range all {
		if p.After != "" && key(e) <= p.After {
			continue
		}
		if len(entries) == p.Limit {
			return entries, p.next(key(entries[len(entries)-1]), true)
		}
		entries = append(entries, e)
	}
	return entries, ""
}
