package main

import (
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// specification is openapi.json as a tree.
var specification = sync.OnceValue(func() map[string]any {
	var doc map[string]any
	if err := json.Unmarshal(description, &doc); err != nil {
		panic(err) // TestTheDescriptionIsOfWhatThereIs reads it too
	}
	return doc
})

// resolve follows references within the document.
func resolve(node any) map[string]any {
	m, _ := node.(map[string]any)
	for {
		at, isRef := m["$ref"].(string)
		if !isRef {
			return m
		}
		var to any = specification()
		for part := range strings.SplitSeq(strings.TrimPrefix(at, "#/"), "/") {
			parent, _ := to.(map[string]any)
			to = parent[part]
		}
		if to == nil {
			return map[string]any{"lost": at}
		}
		m, _ = to.(map[string]any)
	}
}

// unlike says where a value is not as a schema has it: JSON Schema 2020-12, as far as the description uses it. A keyword that is not known here is an error
// of its own, so that none is passed over.
func unlike(schema any, v any, at string) (wrong []string) {
	s := resolve(schema)
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	for keyword, k := range s {
		number, _ := k.(float64)
		text, isText := v.(string)
		list, isList := v.([]any)
		object, isObject := v.(map[string]any)
		n, isNumber := v.(float64)
		switch keyword {
		case "description", "default", "examples", "title":
		case "type":
			types, several := k.([]any)
			if !several {
				types = []any{k}
			}
			if !slices.ContainsFunc(types, func(t any) bool { return t == kindOf(v) || t == "number" && isNumber }) {
				say("it is %s, and not %v", kindOf(v), k)
			}
		case "enum":
			all, _ := k.([]any)
			if !slices.Contains(all, v) {
				say("it is none of %v", k)
			}
		case "const":
			if v != k {
				say("it is not %v", k)
			}
		case "pattern":
			if isText && !regexp.MustCompile(fmt.Sprint(k)).MatchString(text) {
				say("it is not as %v", k)
			}
		case "format":
			switch k {
			case "date-time":
				if _, err := time.Parse(time.RFC3339, text); isText && err != nil {
					say("it is no time")
				}
			case "date":
				if _, err := time.Parse(time.DateOnly, text); isText && err != nil {
					say("it is no day")
				}
			default:
				say("nobody knows the format %v", k)
			}
		case "minimum":
			if isNumber && n < number {
				say("it is less than %v", k)
			}
		case "maximum":
			if isNumber && n > number {
				say("it is more than %v", k)
			}
		case "minLength":
			if isText && float64(utf8.RuneCountInString(text)) < number {
				say("it is shorter than %v", k)
			}
		case "maxLength":
			if isText && float64(utf8.RuneCountInString(text)) > number {
				say("it is longer than %v", k)
			}
		case "minItems":
			if isList && float64(len(list)) < number {
				say("it has fewer than %v", k)
			}
		case "maxItems":
			if isList && float64(len(list)) > number {
				say("it has more than %v", k)
			}
		case "required":
			names, _ := k.([]any)
			for _, name := range names {
				if _, has := object[fmt.Sprint(name)]; isObject && !has {
					say("it has no %v", name)
				}
			}
		case "items":
			for i, e := range list {
				wrong = append(wrong, unlike(k, e, at+"["+strconv.Itoa(i)+"]")...)
			}
		case "properties":
			properties, _ := k.(map[string]any)
			for name, e := range object {
				if p, has := properties[name]; has {
					wrong = append(wrong, unlike(p, e, at+"."+name)...)
				}
			}
		case "additionalProperties":
			properties, _ := s["properties"].(map[string]any)
			for name, e := range object {
				if _, has := properties[name]; has {
					continue
				}
				if k == false {
					say("it has %s", name)
				} else if k != true {
					wrong = append(wrong, unlike(k, e, at+"."+name)...)
				}
			}
		default:
			say("nobody knows the keyword %s", keyword)
		}
	}
	return wrong
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	}
	return fmt.Sprintf("%T", v)
}

// documented holds each answer that any test gets against the description: its status, its headers, its media type and every field of its body.
func (d *desk) documented(method, path string, x told) {
	d.Helper()
	path, _, _ = strings.Cut(path, "?")
	for _, op := range operationsOf(d.TB) {
		if _, ok := match(op.path, path); !ok || op.method != method {
			continue
		}
		for _, w := range op.unlike(x) {
			d.Errorf("%s answers %d %s", op.ID, x.StatusCode, w)
		}
		return
	}
	// No path of ours, or another method: the problem is as everywhere.
	if x.StatusCode >= 400 && x.body["message"] == nil {
		for _, w := range unlike(map[string]any{"$ref": "#/components/schemas/Problem"}, any(x.body), "problem") {
			d.Errorf("%s %s answers %d %s", method, path, x.StatusCode, w)
		}
	}
}

func (op described) unlike(x told) (wrong []string) {
	paths, _ := specification()["paths"].(map[string]any)
	methods, _ := paths[op.path].(map[string]any)
	this, _ := methods[strings.ToLower(op.method)].(map[string]any)
	responses, _ := this["responses"].(map[string]any)
	response := resolve(responses[strconv.Itoa(x.StatusCode)])
	if response == nil {
		return []string{"which its description does not know"}
	}
	headers, _ := response["headers"].(map[string]any)
	for name, h := range headers {
		header := resolve(h)
		switch value := x.Header.Get(name); {
		case value != "":
			wrong = append(wrong, unlike(header["schema"], value, name)...)
		case header["required"] == true:
			wrong = append(wrong, "without "+name)
		}
	}
	if len(headers) == 0 && x.Header.Get("ETag") != "" {
		wrong = append(wrong, "with an ETag that is not described")
	}
	content, _ := response["content"].(map[string]any)
	if len(content) == 0 {
		if x.text != "" {
			wrong = append(wrong, "with a body")
		}
		return wrong
	}
	kind, _, err := mime.ParseMediaType(x.Header.Get("Content-Type"))
	media, described := content[kind].(map[string]any)
	if err != nil || !described {
		return append(wrong, "as "+x.Header.Get("Content-Type"))
	}
	return append(wrong, unlike(media["schema"], any(x.body), "body")...)
}

// The judge of the other tests must be able to say no.
func TestWhatIsUnlikeItsSchemaIsSeen(t *testing.T) {
	good := `{"type":"urn:wecomvault:problem:malformed","title":"T","status":400,"errors":[{"field":"f","problem":"p","fix":"x"}]}`
	for body, ok := range map[string]bool{
		good: true, `{}`: false, strings.Replace(good, "400", `"400"`, 1): false, strings.Replace(good, "400", "4.5", 1): false, strings.Replace(good, "urn:", "", 1): false,
		strings.Replace(good, `"title"`, `"more":1,"title"`, 1): false, strings.Replace(good, `"fix":"x"`, `"fix":null`, 1): false, strings.Replace(good, `,"fix":"x"`, ``, 1): false,
	} {
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		if wrong := unlike(map[string]any{"$ref": "#/components/schemas/Problem"}, v, "body"); (len(wrong) == 0) != ok {
			t.Errorf("%s: %v", body, wrong)
		}
	}
	for _, op := range operationsOf(t) {
		x := told{Response: &http.Response{StatusCode: 418, Header: http.Header{}}}
		if len(op.unlike(x)) == 0 {
			t.Errorf("%s may be a teapot", op.ID)
		}
	}
}

// Every schema of the description is one that this judge knows whole, and every reference leads somewhere.
func TestTheDescriptionIsWhole(t *testing.T) {
	var walk func(node any, at string)
	walk = func(node any, at string) {
		switch n := node.(type) {
		case map[string]any:
			if lost := resolve(n)["lost"]; n["$ref"] != nil && lost != nil {
				t.Errorf("%s refers to %v", at, lost)
			}
			for k, v := range n {
				walk(v, at+"/"+k)
			}
		case []any:
			for i, v := range n {
				walk(v, at+"/"+strconv.Itoa(i))
			}
		}
	}
	walk(specification(), "#")
	components, _ := specification()["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for name, s := range schemas {
		for _, w := range unlike(s, nil, name) {
			if strings.Contains(w, "nobody knows") {
				t.Error(w)
			}
		}
	}
	if specification()["openapi"] != "3.1.0" {
		t.Errorf("it is OpenAPI %v", specification()["openapi"])
	}
	for _, op := range operationsOf(t) {
		for _, status := range []string{"400", "401", "403", "429", "500", "503"} {
			if _, ok := op.Responses[status]; !ok && (!op.public() || status > "403") {
				t.Errorf("%s does not say what %s is", op.ID, status)
			}
		}
		paths, _ := specification()["paths"].(map[string]any)
		text, err := json.Marshal(paths[op.path].(map[string]any)[strings.ToLower(op.method)])
		if err != nil {
			t.Fatal(err)
		}
		asks := strings.Contains(string(text), "#/components/parameters/IfMatch")
		if (op.method == http.MethodPut || op.method == http.MethodDelete) && !asks {
			t.Errorf("%s changes something and asks for no If-Match", op.ID)
		}
		for _, status := range []string{"412", "428"} {
			if _, ok := op.Responses[status]; ok != asks {
				t.Errorf("%s: If-Match %t, answers %s %t", op.ID, asks, status, ok)
			}
		}
	}
}
