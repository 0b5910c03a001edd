package lambdahost

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
)

// ServeHTTP is the Invoke operation of the service "lambda", the only one that functions use. The caller is in the request's context
// and must be allowed lambda:InvokeFunction. Functions are found by name or ARN, without a version.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/2015-03-31/functions/")
	escaped, isInvoke := strings.CutSuffix(rest, "/invocations")
	name, err := url.PathUnescape(escaped)
	if !ok || !isInvoke || r.Method != http.MethodPost || err != nil {
		h.fault(w, http.StatusNotImplemented, "NotImplementedException", "the local Lambda only knows Invoke")
		return
	}
	f := h.byName(name)
	arn := "arn:aws:lambda:" + h.opts.Template.Region + ":" + h.opts.Template.AccountID + ":function:" + name
	if f != nil {
		arn = f.ARN
	}
	if err := authz.Check(r.Context(), authz.Request{Action: "lambda:InvokeFunction", Resource: arn}); err != nil {
		h.fault(w, http.StatusForbidden, "AccessDeniedException", err.Error())
		return
	}
	if f == nil {
		h.fault(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+arn)
		return
	}
	kind := r.Header.Get("X-Amz-Invocation-Type")
	limit := answerLimit
	if kind == "Event" {
		limit = asyncLimit
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil {
		h.fault(w, http.StatusBadRequest, "InvalidRequestContentException", "the body can't be read")
		return
	}
	if len(payload) > limit {
		h.fault(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", "the event is larger than Lambda takes")
		return
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		h.fault(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	switch kind {
	case "Event":
		if err := h.InvokeAsync(f.LogicalID, payload); err != nil {
			h.fault(w, http.StatusInternalServerError, "ServiceException", "the event isn't accepted")
			return
		}
		w.WriteHeader(http.StatusAccepted)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	case "", "RequestResponse":
		res, err := h.Invoke(r.Context(), f.LogicalID, payload)
		if err != nil {
			status := http.StatusInternalServerError
			if errors.Is(err, errClosed) {
				status = http.StatusServiceUnavailable
			}
			h.fault(w, status, "ServiceException", "the function can't be run")
			return
		}
		w.Header().Set("X-Amz-Executed-Version", "$LATEST")
		w.Header().Set("X-Amzn-Requestid", res.RequestID)
		if res.FunctionError != "" {
			w.Header().Set("X-Amz-Function-Error", res.FunctionError)
		}
		if r.Header.Get("X-Amz-Log-Type") == "Tail" {
			w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte(res.LogTail)))
		}
		if _, err := w.Write(res.Payload); err != nil {
			h.opts.Log.WarnContext(r.Context(), "an answer didn't reach its caller", slog.String("function", f.LogicalID), slog.Any("error", err))
		}
	default:
		h.fault(w, http.StatusBadRequest, "InvalidParameterValueException", "there is no invocation type "+kind)
	}
}

func (h *Host) byName(name string) *function {
	for _, id := range h.order {
		if f := h.functions[id]; name == f.Name || name == f.ARN {
			return f
		}
	}
	return nil
}

func (h *Host) fault(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(map[string]string{"Type": "User", "Message": message}); err != nil {
		h.opts.Log.Warn("an error didn't reach its caller", slog.Any("error", err))
	}
}
