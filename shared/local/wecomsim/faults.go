package wecomsim

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// The kinds of network trouble.
const (
	FaultClose = "close" // the connection is closed without an answer
	FaultReset = "reset" // the connection is closed in the middle of the answer
	Fault500   = "500"   // HTTP 500
	FaultHTML  = "html"  // HTTP 200 with a page that is somebody else's
	FaultCut   = "cut"   // HTTP 200 with the first half of the JSON
	FaultEmpty = "empty" // HTTP 200 with an empty body
	FaultHang  = "hang"  // no answer until the caller goes away
	FaultCode  = "errcode"
)

var faultKinds = []string{FaultClose, FaultReset, Fault500, FaultHTML, FaultCut, FaultEmpty, FaultHang, FaultCode}

// Fault is trouble that calls of WeCom's API get instead of their answer. Faults live in memory: a restart lifts them.
type Fault struct {
	ID   int    `json:"id,omitempty"`
	Corp string `json:"corp,omitempty"` // "" is every corp
	API  string `json:"api,omitempty"`  // "" is every API; else a name as in APIs
	Kind string `json:"kind"`
	// ErrCode is what FaultCode answers.
	ErrCode int `json:"errcode,omitempty"`
	// Times is how many calls get it; 0 is until it is lifted.
	Times int `json:"times,omitempty"`
	// Skip is how many calls are let through first.
	Skip int `json:"skip,omitempty"`
	// Hits is how many got it so far.
	Hits int `json:"hits"`
}

// before says whether the call's own work is left undone.
func (f *Fault) before() bool {
	return f.Kind == FaultClose || f.Kind == Fault500 || f.Kind == FaultHTML || f.Kind == FaultEmpty || f.Kind == FaultHang
}

// takeFault finds the first fault that wants this call and counts it. mu is held.
func (s *Sim) takeFault(corp, api string) *Fault {
	for i, f := range s.faults {
		if (f.Corp != "" && f.Corp != corp) || (f.API != "" && f.API != api) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Hits++
		took := *f
		if f.Times > 0 && f.Hits >= f.Times {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return &took
	}
	return nil
}

const foreignPage = `<!DOCTYPE html><html><head><title>Sign in to the guest network</title></head><body><h1>Welcome</h1><p>Please accept the terms.</p></body></html>`

func (s *Sim) playFault(w http.ResponseWriter, r *http.Request, f *Fault, b []byte) {
	switch f.Kind {
	case Fault500:
		writeBytes(w, http.StatusInternalServerError, "text/html", []byte("<html><body>500 Internal Server Error</body></html>"))
	case FaultHTML:
		writeBytes(w, http.StatusOK, "text/html; charset=utf-8", []byte(foreignPage))
	case FaultEmpty:
		writeBytes(w, http.StatusOK, "application/json; charset=UTF-8", nil)
	case FaultCut:
		writeBytes(w, http.StatusOK, "application/json; charset=UTF-8", b[:len(b)/2])
	case FaultHang:
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	case FaultReset:
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		// Whether the half arrives is of no matter: the connection ends here.
		_, _ = w.Write(b[:len(b)/2])
		panic(http.ErrAbortHandler)
	default:
		panic(http.ErrAbortHandler)
	}
}

// Rate limits how often a corp may call an API.
type Rate struct {
	Corp string `json:"corp"`
	API  string `json:"api"`
	// PerMinute is the number of calls in a window of a minute of real time; 0 lifts the limit.
	PerMinute int `json:"per_minute"`
	// BlockSeconds is how long 45009 lasts once the limit was passed; 0 is until the window ends.
	BlockSeconds int `json:"block_seconds,omitempty"`
}

type rate struct {
	Rate
	since time.Time
	until time.Time
	n     int
}

// overRate counts a call and says whether it is one too many. mu is held.
func (s *Sim) overRate(corp, api string) bool {
	r := s.rates[corp+" "+api]
	if r == nil {
		return false
	}
	now := s.clock()
	if now.Before(r.until) {
		return true
	}
	if now.Sub(r.since) >= time.Minute || !r.until.IsZero() {
		r.since, r.n, r.until = now, 0, time.Time{}
	}
	r.n++
	if r.n <= r.PerMinute {
		return false
	}
	r.until = r.since.Add(time.Minute)
	if r.BlockSeconds > 0 {
		r.until = now.Add(time.Duration(r.BlockSeconds) * time.Second)
	}
	return true
}
