package main

import (
	"fmt"
	"os"
	"syscall"
)

// quiet points descriptors 0 to 2 at nothing, because an abort makes Go print a traceback, and forbids core dumps.
func quiet() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", os.DevNull, err)
	}
	for fd := range 3 {
		if err := syscall.Dup3(int(null.Fd()), fd, 0); err != nil { // #nosec G115 -- a descriptor
			return fmt.Errorf("pointing descriptor %d at %s: %w", fd, os.DevNull, err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	return nil
}
