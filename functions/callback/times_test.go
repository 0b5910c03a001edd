package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/queue"
)

// When WeCom says that something happened is a hint, however odd: what it tells of is looked at, now.
func TestAnOddTimeOfAnEventKeepsNobodyFromBeingLookedAt(t *testing.T) {
	r := newRig(t, asFunction)
	for _, at := range []string{"", "0", "-1", "soon", "1", "946684800", "1936000000", "99999999999", "253402300799", "253402300800", "300000000000", "1936000000000", "99999999999999999999"} {
		message := "<xml><ToUserName>" + string(corp) + "</ToUserName><FromUserName>sys</FromUserName><CreateTime>" + at + "</CreateTime><MsgType>event</MsgType>" +
			"<Event>change_contact</Event><ChangeType>delete_user</ChangeType><UserID>ines</UserID></xml>"
		for range 2 {
			if status, _ := r.post(contactsPath, r.sealed(token, key, message, r.now)); status != http.StatusOK {
				t.Errorf("%q: %d", at, status)
				continue
			}
			jobs := r.Take("DirectoryQueue")
			if len(jobs) != 1 {
				t.Fatalf("%q: jobs %v", at, jobs)
			}
			if job, err := queue.Decode[queue.DirectoryJob](jobs[0]); err != nil || job.ID != "ines" || fmt.Sprint(job.At.Unix()) != at && !job.At.Equal(time.Time{}) {
				t.Errorf("%q: %s, %v", at, jobs[0], err)
			}
		}
	}
}
