package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/hrfile"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/rig"
)

// Lambda takes answers of 6 MB, in which each quotation mark is four bytes: a file may be within its limit, and its answer beyond.
func TestAFileWhoseAnswerLambdaWouldNotTakeIsRefusedByName(t *testing.T) {
	d := newDesk(t)
	shelf := hrfile.Shelf{Ledger: d.operator, Store: d.Store(d.Config(rig.Operator), "ReportsBucket")}
	file := []byte("userid,name,mobile,email\n" + strings.Repeat(strings.Repeat(`"",`, 30)+"\"\"\n", 24_000))
	if len(file) > longestFile {
		t.Fatalf("%d bytes", len(file))
	}
	_, err := shelf.Put(t.Context(), ledger.HRFile{Corp: corp, Number: 1, Rows: 1, By: "operator", At: noon}, file)
	d.OK(err)
	if x := d.ask(d.token("admin"), "GET", hrFiles+"/1", ""); x.StatusCode != http.StatusConflict || !strings.Contains(x.text, "vaultctl people versions -corp wwreed -version 1") {
		t.Errorf("%d, %d bytes", x.StatusCode, len(x.text))
	}
}
