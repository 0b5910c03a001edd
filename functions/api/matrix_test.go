package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
)

// TestTheMatrix asks every operation of the description as every role about every kind of department, and holds each answer against what the description
// says of its roles. The person of the middle rows is in charge of department 2, above 3 and beside 4.
func TestTheMatrix(t *testing.T) {
	slow(t)
	d := newDesk(t)
	d.reported()
	d.below()
	in := map[int]string{1: "cat", 2: "ann", 3: "dan", 4: "bob"}
	version := 1
	if x := d.imports(0, "userid\nann\n"); x.StatusCode != http.StatusCreated {
		t.Fatal(x.text)
	}
	people := map[string][]string{ // by the role's name in the description; the others may nothing
		"admin": {"admin"}, "admin at wwreed": {"admin:wwreed"}, "compliance": {"compliance:wwreed"}, "supervisor": {"supervisor:wwreed:2"}, "auditor": {"auditor"},
		"supervisor of the root": {"supervisor:wwreed:1"}, "auditor and supervisor": {"auditor:wwreed", "supervisor:wwreed:2"},
		"admin elsewhere": {"admin:wwfern"}, "nobody": {"staff"},
	}
	relations := map[string]int{"own": 2, "below": 3, "beside": 4, "the whole company": 1}
	cells := 0
	for _, op := range operationsOf(t) {
		if op.public() {
			continue
		}
		for person, claims := range people {
			token := d.token(claims...)
			for relation, department := range relations {
				cells++
				path := strings.NewReplacer("{corp}", string(corp), "{report}", "R1", "{userid}", in[department], "{version}", "1").Replace(op.path)
				targeted := strings.Contains(op.path, "{receiver}") || strings.Contains(op.path, "{userid}") || op.ID == "addReceiver" || strings.HasSuffix(op.path, "/preview")
				if before, after, ofOne := strings.Cut(path, "{receiver}"); ofOne {
					path = before + d.enter(department) + after
				}
				body, headers := "", []string{"If-Match", `"1"`, "Idempotency-Key", fmt.Sprint(cells)}
				if before, after, ofOne := strings.Cut(path, "{suppression}"); ofOne {
					path, targeted, headers[1] = before+d.dead(department)+after, true, fmt.Sprintf(`"%d"`, noon.UnixMilli())
				}
				if strings.Contains(path, "{room}") {
					room := d.wechatGroup()
					path, headers[1] = strings.Replace(path, "{room}", room, 1), `"0"`
					if op.ID == "unnameRoom" {
						_, err := d.operator.NameRoom(t.Context(), ledger.RoomName{Corp: corp, Room: archive.RoomID(room), Name: "N", By: "operator", At: noon})
						d.OK(err)
						headers[1] = `"1"`
					}
				}
				switch op.ID {
				case "nameRoom":
					body = `{"name":"Weavers"}`
				case "addReceiver", "changeReceiver":
					body = fmt.Sprintf(`{"name":"N","address":"cell%d@reed.example","language":"zh","department":%d,"reports":["R1"]}`, cells, department)
				case "getPreview":
					path += fmt.Sprintf("?department=%d", department)
				case "previewReport":
					body = fmt.Sprintf(`{"department":%d,"language":"en"}`, department)
				case "importHRFile":
					body, headers = fileBody(fmt.Sprintf("userid\ncell%d\n", cells), ""), []string{"If-Match", fmt.Sprintf("%q", fmt.Sprint(version))}
				case "changeSettings":
					now := d.ask(d.token("admin"), "GET", path, "")
					body, headers = `{"language":"en"}`, []string{"If-Match", now.Header.Get("ETag")}
				}
				x := d.ask(token, op.method, path, body, headers...)
				if op.ID == "importHRFile" && x.StatusCode == http.StatusCreated {
					version++
				}
				want := expected(op, person, relation, targeted)
				if x.StatusCode != want {
					t.Errorf("%s by %s, department %s: %d, want %d: %s", op.ID, person, relation, x.StatusCode, want, x.text)
				}
				if x.StatusCode == http.StatusOK && (person == "supervisor") {
					d.onlyWithin(op.ID, x)
				}
			}
		}
	}
	if cells < 700 {
		t.Errorf("only %d cells", cells)
	}
}

func expected(op described, person, relation string, targeted bool) int {
	done := map[string]int{"addReceiver": http.StatusCreated, "importHRFile": http.StatusCreated, "removeReceiver": http.StatusNoContent, "liftSuppression": http.StatusNoContent,
		"unnameRoom": http.StatusNoContent}[op.ID]
	if done == 0 {
		done = http.StatusOK
	}
	outside := http.StatusNotFound
	if op.ID == "addReceiver" || strings.HasSuffix(op.path, "/preview") {
		outside = http.StatusForbidden
	}
	inside := !targeted || relation == "own" || relation == "below"
	judge := func(role string) int {
		switch op.Roles[role] {
		case "all", "any":
			return done
		case "own":
			if inside {
				return done
			}
			return outside
		default:
			return http.StatusForbidden
		}
	}
	hasCorp := strings.Contains(op.path, "{corp}")
	switch person {
	case "admin elsewhere":
		if hasCorp {
			return http.StatusNotFound // for all that is known, there is no such corp
		}
		return done
	case "nobody":
		if hasCorp {
			return http.StatusNotFound
		}
		return http.StatusForbidden
	case "supervisor of the root":
		if op.Roles["supervisor"] == "own" {
			return done
		}
		return judge("supervisor")
	case "auditor and supervisor":
		if a := judge("auditor"); a == done {
			return a
		}
		return judge("supervisor")
	}
	return judge(strings.TrimSuffix(person, " at wwreed"))
}

// onlyWithin holds what a supervisor of department 2 is shown against that department.
func (d *desk) onlyWithin(operation string, x told) {
	d.Helper()
	for _, r := range append(append(x.list("receivers"), x.list("people")...), x.body) {
		departments, _ := r["departments"].([]any)
		for _, n := range departments {
			if number, ok := n.(float64); ok && number != 2.0 && number != 3.0 {
				d.Errorf("%s tells of department %v", operation, n)
			}
		}
	}
	for _, s := range append(x.list("suppressions"), x.body) {
		address, _ := s["address"].(string)
		if place, ok := d.places[address]; ok && place != 2 && place != 3 {
			d.Errorf("%s tells of an address of department %d", operation, place)
		}
	}
	for _, r := range x.list("departments") {
		if r["id"] != nil && r["id"] != 2.0 && r["id"] != 3.0 || r["id"] == 2.0 && r["parent"] != 0.0 {
			d.Errorf("%s tells of department %v", operation, r)
		}
	}
	for _, m := range x.list("mails") {
		if m["to"] != "ann@reed.example" {
			d.Errorf("%s tells of a mail to %v", operation, m["to"])
		}
	}
}
