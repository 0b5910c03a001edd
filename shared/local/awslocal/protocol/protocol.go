// Package protocol owns the wire shapes that the local AWS services share: AWS's JSON and query (XML) answers and errors. It
// decides nothing about a request; each service says what went wrong and protocol says it in AWS's words.
package protocol

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

// Error is a refusal in AWS's terms.
type Error struct {
	Status    int    // HTTP status, for example 400
	Code      string // AWS's error code, for example "ResourceNotFoundException"
	QueryCode string // the code that clients of the older query protocol knew, sent as x-amzn-query-error; may be empty
	Message   string // AWS's sentence; may be empty
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refuse returns an *Error with status 400.
func Refuse(code, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

// RequestID returns a fresh request id in the form of a random UUID.
func RequestID() string {
	var b [16]byte
	// rand.Read never returns an error: it ends the program instead.
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Decode reads a JSON request into out. A parameter that out doesn't know is refused by name, so that nothing the caller asked
// for is silently ignored.
func Decode(body io.Reader, out any) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return Refuse("SerializationException", "reading the request: %v", err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		b = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		if name, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
			return Refuse("UnsupportedOperation", "parameter %s is not supported by the local endpoint", name)
		}
		return Refuse("SerializationException", "%v", err)
	}
	return nil
}

// JSONAnswer writes a 200 answer of the JSON protocol; version is "1.0" or "1.1".
func JSONAnswer(w http.ResponseWriter, version string, out any) {
	b, err := json.Marshal(out)
	if err != nil {
		JSONRefusal(w, version, "com.amazon.coral.service", &Error{Status: 500, Code: "InternalFailure", Message: err.Error()})
		return
	}
	writeJSON(w, version, http.StatusOK, b)
}

// JSONRefusal writes an error answer of the JSON protocol. namespace is the service's shape namespace, for example
// "com.amazonaws.sqs".
func JSONRefusal(w http.ResponseWriter, version, namespace string, err error) {
	e := asError(err, "AccessDeniedException", http.StatusBadRequest)
	if e.QueryCode != "" {
		w.Header().Set("X-Amzn-Query-Error", e.QueryCode+";Sender")
	}
	b, merr := json.Marshal(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{namespace + "#" + e.Code, e.Message})
	if merr != nil {
		b = []byte(`{"__type":"InternalFailure"}`)
	}
	writeJSON(w, version, e.Status, b)
}

func writeJSON(w http.ResponseWriter, version string, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-"+version)
	h.Set("X-Amzn-Requestid", RequestID())
	write(w, status, b)
}

// QueryAnswer writes a 200 answer of the query protocol. result, if not nil, is marshalled as the element <ActionResult>.
func QueryAnswer(w http.ResponseWriter, xmlns, action string, result any) {
	id := RequestID()
	var inner bytes.Buffer
	if result != nil {
		e := xml.NewEncoder(&inner)
		if err := e.EncodeElement(result, xml.StartElement{Name: xml.Name{Local: action + "Result"}}); err != nil {
			QueryRefusal(w, xmlns, &Error{Status: 500, Code: "InternalFailure", Message: err.Error()})
			return
		}
	}
	b := fmt.Appendf(nil, `<%sResponse xmlns=%q>%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>`,
		action, xmlns, inner.String(), id, action)
	writeXML(w, http.StatusOK, id, "text/xml", b)
}

// QueryRefusal writes an error answer of the query protocol.
func QueryRefusal(w http.ResponseWriter, xmlns string, err error) {
	e := asError(err, "AccessDenied", http.StatusForbidden)
	id := RequestID()
	side := "Sender"
	if e.Status >= 500 {
		side = "Receiver"
	}
	b := fmt.Appendf(nil, `<ErrorResponse xmlns=%q><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
		xmlns, side, escape(e.Code), escape(e.Message), id)
	writeXML(w, e.Status, id, "text/xml", b)
}

// S3Refusal writes an error answer of S3's REST protocol; head says that the request was a HEAD, whose answer has no body.
func S3Refusal(w http.ResponseWriter, resource string, head bool, err error) {
	e := asError(err, "AccessDenied", http.StatusForbidden)
	id := RequestID()
	w.Header().Set("X-Amz-Request-Id", id)
	if head {
		w.WriteHeader(e.Status)
		return
	}
	b := fmt.Appendf(nil, xml.Header+`<Error><Code>%s</Code><Message>%s</Message><Resource>%s</Resource><RequestId>%s</RequestId></Error>`,
		escape(e.Code), escape(e.Message), escape(resource), id)
	writeXML(w, e.Status, id, "application/xml", b)
}

func writeXML(w http.ResponseWriter, status int, id, contentType string, b []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Amzn-Requestid", id)
	write(w, status, b)
}

func write(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.WriteHeader(status)
	// A caller that is gone can't be told; its own retry finds what was done.
	_, _ = w.Write(b)
}

func asError(err error, denied string, deniedStatus int) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var d *authz.DeniedError
	if errors.As(err, &d) {
		return &Error{Status: deniedStatus, Code: denied, Message: d.Error()}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "InternalFailure", Message: err.Error()}
}

func escape(s string) string {
	var b bytes.Buffer
	// Writing into a bytes.Buffer can't fail.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
