package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
)

// serve begins to show the mailbox and the status of the local archive.
func (d *day) serve() (*http.Server, error) {
	l, err := awslocal.Listen(d.pages)
	if err != nil {
		return nil, err
	}
	d.mailed = "http://" + l.Addr().String() + "/"
	server := &http.Server{Handler: d.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(l); err != nil && err != http.ErrServerClosed {
			fmt.Fprintln(d.log, "pages:", err)
		}
	}()
	return server, nil
}

func (d *day) routes() http.Handler { return http.NotFoundHandler() }
