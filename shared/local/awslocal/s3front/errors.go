package s3front

import (
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/sigv4"
)

// apiError is an answer in S3's form.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// writeError answers with S3's error document. An error that is none of S3's is an InternalError, which callers retry.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	answer := &apiError{http.StatusInternalServerError, "InternalError", err.Error()}
	var denied *authz.DeniedError
	var api *apiError
	switch {
	case errors.As(err, &denied):
		answer = &apiError{http.StatusForbidden, "AccessDenied", denied.Error()}
	case errors.As(err, &api):
		answer = api
	case errors.Is(err, sigv4.ErrPayload):
		answer = &apiError{http.StatusBadRequest, "XAmzContentSHA256Mismatch", sigv4.ErrPayload.Error()}
	}
	document, err := xml.Marshal(struct {
		XMLName  xml.Name `xml:"Error"`
		Code     string
		Message  string
		Resource string
	}{Code: answer.code, Message: answer.message, Resource: r.URL.Path})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(answer.status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(append([]byte(xml.Header), document...)); err != nil {
		panic(http.ErrAbortHandler)
	}
}
