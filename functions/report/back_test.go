package main

import (
	"strings"
	"testing"
	"time"

	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/receivers"
	"github.com/wecomvault/wecomvault/shared/report"
)

// Who went and came back elsewhere is told as gone to whoever was in charge then, as known then, and as new to whoever is now.
func TestWhoWentAndCameBackElsewhereIsToldWhereItHappened(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.calm("wwback")
	then, went, back := noon.Add(-10*time.Hour), noon.Add(-6*time.Hour), noon.Add(-4*time.Hour)
	before, after := quiet("Uta"), quiet("Uta")
	before.Departments, before.Mobile, after.Departments, after.Mobile = []int{2}, "+49 302", []int{3}, "+49 303"
	d.OK(d.operator.PutEntries(t.Context(), c.ID, []directory.Entry{
		{Kind: directory.KindDepartment, ID: "2", At: then, Fields: directory.Fields(directory.Department{Name: "Sluice", Parent: 1})},
		{Kind: directory.KindDepartment, ID: "3", At: then, Fields: directory.Fields(directory.Department{Name: "Weir", Parent: 1})},
		{Kind: directory.KindMember, ID: "uta", At: then, Fields: directory.Fields(before)},
	}))
	d.OK(d.operator.PutEntries(t.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "uta", At: went, Fields: directory.Fields(before), Gone: true}}))
	d.OK(d.operator.PutEntries(t.Context(), c.ID, []directory.Entry{{Kind: directory.KindMember, ID: "uta", At: back, Fields: directory.Fields(after)}}))
	d.happened(c.ID, "uta", directory.Left, "", "", went)
	d.happened(c.ID, "uta", directory.Joined, "", "", back)
	for department, address := range map[byte]string{2: "sluice@still.example", 3: "weir@still.example"} {
		_, err := d.operator.PutReceiver(t.Context(), c.ID, receivers.Row{ID: receivers.RowID([8]byte{department}), Address: address, Language: "en", Department: int(department),
			Reports: []report.Kind{report.DeletedUsers, report.NewUsers}, Added: then})
		d.OK(err)
	}
	d.OK(d.due(t.Context()))
	gone, joined := d.mailsOf(c.ID, "2032-02-10", "R4"), d.mailsOf(c.ID, "2032-02-10", "R5")
	if l := gone["sluice@still.example"]; !strings.Contains(l.Text, "uta") || !strings.Contains(l.Text, "is there again by now") || !strings.Contains(l.Attachment, "*02") || strings.Contains(l.Attachment, "*03") {
		t.Errorf("who was in charge then is told\n%s\n%s", l.Text, l.Attachment)
	}
	if l, told := gone["weir@still.example"]; told {
		t.Errorf("who is in charge now is told of the departure:\n%s", l.Text)
	}
	if _, told := joined["sluice@still.example"]; told || !strings.Contains(joined["weir@still.example"].Text, "uta") {
		t.Errorf("that she joined is told to %q", addresses(joined))
	}
}
