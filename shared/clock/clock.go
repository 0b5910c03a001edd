// Package clock is the only place that asks what time it is. Now is the time of events: it decides which day it is, and a local run may
// set it ahead so that days can be played through the real binaries. Real is the machine's own time with its monotonic reading: leases,
// pauses and the age of tokens use it, and nothing else. The package keeps no time of its own.
package clock

import (
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// FileVariable names the environment variable that names the file with the offset: a decimal number of nanoseconds that Now adds to real
// time. It is honoured only while AWS_ENDPOINT_URL points at this machine, so that no setting can shift the time of a real archive.
const FileVariable = "WECOMVAULT_CLOCK_FILE"

// Now is the time of events, in UTC.
func Now() time.Time { return time.Now().UTC().Add(offset()) }

// Real is the machine's own time with its monotonic reading.
func Real() time.Time { return time.Now() }

func offset() time.Duration {
	path := os.Getenv(FileVariable)
	if path == "" || !loopback(os.Getenv("AWS_ENDPOINT_URL")) {
		return 0
	}
	// Read at each call: the runner moves the clock while functions are running.
	b, err := os.ReadFile(path) // #nosec G304 G703 -- the local runner names the file
	if err != nil {
		return 0
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}

func loopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
