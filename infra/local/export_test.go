package main

import (
	"net/http"

	"github.com/wecomvault/wecomvault/shared/local/house"
)

// Pages are the runner's pages over a house, for tests that see the program from outside.
func Pages(h *house.House) http.Handler {
	p := &pages{mails: h.Mails, ledger: h.Ledger(), depths: h.Queues.Depths, now: h.Now, windows: h.Windows()}
	return p.routes()
}
