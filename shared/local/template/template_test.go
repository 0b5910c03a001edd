package template

import "testing"

func TestRepositoryTemplateIsRead(t *testing.T) {
	tmpl, err := Load("../../../template.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tmpl.Functions {
		t.Logf("%s %s %v %v %v %+v", f.LogicalID, f.Name, f.Environment, f.SQSSources, f.Schedules, f.Async)
	}
}
