package awslocal

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a loopback address such as "127.0.0.1:4566", or "127.0.0.1:0" for any free port. Every other host is refused,
// because whoever reaches the endpoints reaches the archive.
func Listen(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("the AWS endpoint's address %q is not of the form 127.0.0.1:port: %w", addr, err)
	}
	if host != "127.0.0.1" {
		return nil, fmt.Errorf("the AWS endpoint listens on 127.0.0.1 only, not on %q: whoever reaches it reaches the archive", host)
	}
	l, err := net.Listen("tcp4", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is in use by another program: stop that program, or choose another port: %w", port, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %s may not be opened by this user: choose one above 1023: %w", port, err)
	case err != nil:
		return nil, fmt.Errorf("opening the AWS endpoint at %s: %w", addr, err)
	}
	return l, nil
}
