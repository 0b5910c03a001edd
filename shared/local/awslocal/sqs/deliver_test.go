package sqs_test

import (
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
)

func TestAServiceDeliversOnlyWhereTheQueuesPolicyLetsIt(t *testing.T) {
	e := awstest.Start(t, awstest.Options{})
	arn, err := e.SQS.Ensure("told", map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},
		"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:000000000000:told","Condition":{"ArnEquals":{"aws:SourceArn":"arn:rule"}}}]}`})
	if err != nil {
		t.Fatal(err)
	}
	silent, err := e.SQS.Ensure("silent", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		service, source, queue string
		ok                     bool
	}{
		{"events.amazonaws.com", "arn:rule", arn, true},
		{"events.amazonaws.com", "arn:other", arn, false},
		{"sns.amazonaws.com", "arn:rule", arn, false},
		{"events.amazonaws.com", "arn:rule", silent, false},
		{"events.amazonaws.com", "arn:rule", arn + "x", false},
		{"events.amazonaws.com", "arn:rule", "", false},
	} {
		if err := e.SQS.Deliver(c.service, c.source, c.queue, "{}"); (err == nil) != c.ok {
			t.Errorf("%s for %s into %q: %v", c.service, c.source, c.queue, err)
		}
	}
	if d := e.SQS.Depths(); d["told"].Visible != 1 || d["silent"].Visible != 0 {
		t.Errorf("depths %v", d)
	}
}
