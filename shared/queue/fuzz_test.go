package queue_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/queue"
)

// stable says that a job that could be read is the same job when it is written and read again.
func stable[Job any](t *testing.T, body string) {
	t.Helper()
	job, err := queue.Decode[Job](body)
	if err != nil {
		return
	}
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatalf("a %T of %q can't be written: %v", job, body, err)
	}
	again, err := queue.Decode[Job](string(text))
	if err != nil {
		t.Fatalf("%s can't be read again: %v", text, err)
	}
	if diff := cmp.Diff(job, again); diff != "" {
		t.Errorf("%q: %s", body, diff)
	}
}

func FuzzJobs(f *testing.F) {
	for _, body := range []string{
		`{"corp":"wwtide","batch":"00000000000000000001-00000000000000000004-0123456789abcdef0123456789abcdef"}`, `{"corp":"wwtide","waiting":"1936000000004#ab"}`,
		`{"corp":"wwtide","report":"R7"}`, `{"corp":"wwtide","mail":"2031-05-06#R1#0123456789abcdef"}`, `{"corp":"wwtide","telling":"2031-05-06#R2#lin"}`, `{"corp":"wwtide","reason":"no-key","key_version":3}`,
		`{"event":"Bounce","ses_id":"0100","at":"2031-05-06T12:00:07Z","corp":["d3d0aWRl"],"mail":["MQ"],"bounce":"Permanent","bounce_detail":"General"}`,
		``, `null`, `[]`, `{"corp":1}`, `{"key_version":-1}`, `{"corp":"\ud800"}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		stable[queue.BatchJob](t, body)
		stable[queue.MediaJob](t, body)
		stable[queue.ReportJob](t, body)
		stable[queue.MailJob](t, body)
		stable[queue.TellJob](t, body)
		stable[queue.RedriveJob](t, body)
		stable[queue.MailEvent](t, body)
	})
}
