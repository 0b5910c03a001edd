// Command wecomsim runs the simulated WeCom of shared/local/wecomsim as a process of its own, on a loopback address. It shares no
// code with the product, and its message cipher is the simulator's own, not Tencent's.
//
//	wecomsim -data FILE [-listen 127.0.0.1:0] [-ready-file FILE] [-offset NANOSECONDS]
//
// When it listens it prints one line, "wecomsim http://127.0.0.1:PORT", and writes the address to the ready file. It ends on
// SIGTERM, SIGINT, and when its standard input ends if -until-eof is given; its file survives being killed at any moment.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "wecomsim:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "loopback address to listen on")
	data := flag.String("data", "", "file that keeps the simulator's state")
	ready := flag.String("ready-file", "", "file that is given the address once it listens")
	offset := flag.Int64("offset", 0, "offset of the simulator's clock in nanoseconds; 0 keeps the one in the file")
	untilEOF := flag.Bool("until-eof", false, "end when standard input ends")
	flag.Parse()
	if *data == "" {
		return errors.New("-data FILE is needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	sim, err := wecomsim.Open(*data, time.Now)
	if err != nil {
		return err
	}
	if *offset != 0 {
		if err := sim.SetOffset(time.Duration(*offset)); err != nil {
			return errors.Join(err, sim.Close())
		}
	}
	return errors.Join(serve(ctx, sim, *listen, *ready, *untilEOF), sim.Close())
}

func serve(ctx context.Context, sim *wecomsim.Sim, listen, ready string, untilEOF bool) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	if addr, ok := l.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s is no loopback address", listen), l.Close())
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	url := "http://" + l.Addr().String()
	if ready != "" {
		if err := writeWhole(ready, url); err != nil {
			return errors.Join(err, server.Close())
		}
	}
	fmt.Println("wecomsim", url)
	ended := make(chan struct{})
	if untilEOF {
		go func() {
			// Whatever comes is of no matter: only the end is.
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(ended)
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", listen, err)
	}
	return server.Close()
}

// writeWhole puts text into a file so that no reader sees half of it.
func writeWhole(path, text string) error {
	next := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(next, []byte(text+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the address: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing the address: %w", err)
	}
	return nil
}
