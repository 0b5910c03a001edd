package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

func TestAnAPIThatFailsFiresItsAlarmAndOneThatRefusesDoesNot(t *testing.T) {
	d := newDesk(t)
	all, err := cloudwatch.Alarms(d.Template)
	d.OK(err)
	own := cloudwatch.Of(all, "api")
	if len(own) != 1 {
		t.Fatalf("%d alarms", len(own))
	}
	var figures bytes.Buffer
	at := noon
	metrics := telemetry.NewMetrics(&figures, d.Template.StackName, "api")
	a, _ := d.function.HTTP.(*api)
	a.count, a.flush = metrics.Add, func() error { return metrics.Flush(at) }
	store, token := cloudwatch.NewStore(), d.token("admin:wwreed")
	periods := func(want int, path string) {
		for range 3 {
			at = at.Add(5 * time.Minute)
			if x := d.ask(token, "GET", path, ""); x.StatusCode != want {
				t.Fatalf("%d %s", x.StatusCode, x.text)
			}
		}
		d.OK(store.Log(bytes.NewReader(figures.Bytes())))
		figures.Reset()
	}
	periods(http.StatusNotFound, "/v1/corps/wwfern")
	periods(http.StatusOK, "/v1/corps/wwreed")
	if fired := store.AllFiring(own, at); len(fired) > 0 {
		t.Errorf("nothing is wrong, and %v fires", fired)
	}
	control := d.Name("ControlTable")
	d.Fault(func(q awslocal.FaultRequest) awslocal.FaultDecision {
		if strings.Contains(q.Resource, control) {
			return awslocal.FaultDecision{Act: awslocal.Refuse, Status: 400, Code: "AccessDeniedException"}
		}
		return awslocal.FaultDecision{}
	})
	periods(http.StatusInternalServerError, "/v1/corps/wwreed")
	if fired := store.AllFiring(own, at); !slices.Equal(fired, []string{"ApiFailsAlarm"}) {
		t.Errorf("fired: %v", fired)
	}
}
