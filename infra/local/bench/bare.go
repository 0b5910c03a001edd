package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// bare measures what one opening of a random key costs by itself, in processor time, with all processors busy: the part of the work that nothing
// but another machine or another RSA makes cheaper. It is measured between the rounds of a run, so that what else happens on the machine
// happens to both.
func bare(key *rsa.PrivateKey, d time.Duration) (time.Duration, error) {
	var blocks [64][]byte
	for i := range blocks {
		var err error
		if blocks[i], err = rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, make([]byte, 48)); err != nil { //nolint:staticcheck // WeCom's padding
			return 0, fmt.Errorf("seal a random key: %w", err)
		}
	}
	runtime.GC() // of what was prepared before
	var mu sync.Mutex
	var wg sync.WaitGroup
	var used time.Duration
	var count int
	var failed error
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			begin, n, err := threadTime(), 0, error(nil)
			for threadTime()-begin < d && err == nil {
				for _, b := range blocks {
					if _, err = rsa.DecryptPKCS1v15(nil, key, b); err != nil { //nolint:staticcheck // as process does
						break
					}
					n++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			used, count = used+threadTime()-begin, count+n
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return 0, fmt.Errorf("open a random key: %w", failed)
	}
	return used / time.Duration(count), nil
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(ts.Nano())
}
