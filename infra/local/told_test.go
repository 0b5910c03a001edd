package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

func TestWeComsWordOfConsentNamesWhomToAskAbout(t *testing.T) {
	agreed := "<xml><UserID><![CDATA[lin]]></UserID><ExternalUserID><![CDATA[wmone]]></ExternalUserID></xml>"
	came := "<xml><ChatId><![CDATA[wrone]]></ChatId><UpdateDetail><![CDATA[add_member]]></UpdateDetail><MemChangeList><Item><![CDATA[mo.li]]></Item><Item><![CDATA[wmone]]></Item></MemChangeList></xml>"
	left := "<xml><ChatId><![CDATA[wrone]]></ChatId><UpdateDetail><![CDATA[del_member]]></UpdateDetail><MemChangeList><Item><![CDATA[wmone]]></Item></MemChangeList></xml>"
	for name, c := range map[string]struct {
		e    wecomsim.Delivery
		want []consent.Subject
	}{
		"who agreed":             {wecomsim.Delivery{Event: "change_external_contact", Change: "msg_audit_approved", State: wecomsim.DeliveryDelivered, Message: agreed}, []consent.Subject{{Member: "lin", External: "wmone"}}},
		"another of his":         {wecomsim.Delivery{Event: "change_external_contact", Change: "edit_external_contact", State: wecomsim.DeliveryDelivered, Message: agreed}, nil},
		"nobody took it":         {wecomsim.Delivery{Event: "change_external_contact", Change: "msg_audit_approved", State: wecomsim.DeliveryFailed, Message: agreed}, nil},
		"who came into a group":  {wecomsim.Delivery{Event: "change_external_chat", Change: "update", State: wecomsim.DeliveryDelivered, Message: came}, []consent.Subject{{Room: "wrone", External: "wmone"}}},
		"who left it":            {wecomsim.Delivery{Event: "change_external_chat", Change: "update", State: wecomsim.DeliveryDelivered, Message: left}, nil},
		"a member of the corp's": {wecomsim.Delivery{Event: "change_contact", Change: "create_user", State: wecomsim.DeliveryDelivered, Message: "<xml><UserID>lin</UserID></xml>"}, nil},
	} {
		got, err := asks(c.e)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
