package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	local "github.com/wecomvault/wecomvault/shared/local/rig"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// Snapshots, their events, and looks after a callback with no more than the function's role in template.yaml allows.
func TestTheFunctionsRoleIsEnough(t *testing.T) {
	r, aws := newRig(t), local.Start(t, local.Options{})
	operator := aws.Config(local.Operator)
	r.ok(aws.Ledger(operator).PutCorp(t.Context(), ledger.Corp{ID: corp, Added: r.at}))
	r.ok(aws.Secrets(operator).PutSecret(t.Context(), corp, secrets.Contacts, secrets.NewValue("legacy-of-"+string(corp))))
	own := aws.Config("DirectoryFunction")
	r.ledger, r.store, r.vault = aws.Ledger(own), aws.Store(own, "ArchiveBucket"), aws.Secrets(own)
	r.jobs = queue.New[queue.DirectoryJob](sqs.NewFromConfig(own), aws.Name("DirectoryQueue"))
	r.refreshed(corp)
	set := func(mobile string) {
		r.at = r.at.Add(time.Minute)
		r.change(wecomsim.ChangeContacts{Change: map[string]json.RawMessage{"ines": raw(map[string]any{"mobile": mobile})}})
	}
	set("")
	r.refreshed(corp)
	set("19912340002")
	job := queue.DirectoryJob{Corp: corp, Kind: directory.KindMember, ID: "ines"}
	r.work(job)
	r.at = r.at.Add(time.Minute)
	r.work(job) // nothing new: it is put into the queue once more
	set("19912340001")
	r.refreshed(corp)
	want := `member ines mobile-changed "19912340002">"19912340001" 0
member ines mobile-removed "19912340001">"" 0
member ines mobile-set "">"19912340002" 0`
	if got := plain(r.events()); got != want {
		t.Errorf("events: %s", got)
	}
}
