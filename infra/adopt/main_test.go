package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// oldStack is the list of a deleted stack of the current template.
func oldStack(t *testing.T, params map[string]string) []resource {
	t.Helper()
	tmpl, err := template.Load("../../template.yaml", params)
	if err != nil {
		t.Fatal(err)
	}
	var all []resource
	for _, r := range tmpl.Resources {
		all = append(all, resource{r.LogicalID, "the-old-" + r.LogicalID, r.Type})
	}
	return all
}

func adopt(t *testing.T, old []resource, more ...string) (text string, order []imported, err error) {
	t.Helper()
	dir := t.TempDir()
	raw, err := json.Marshal(map[string]any{"StackResources": old})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "list.json")
	if err := os.WriteFile(list, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(append([]string{"-template", "../../template.yaml", "-resources", list, "-out", dir}, more...), &out); err != nil {
		return "", nil, err
	}
	yaml, err := os.ReadFile(filepath.Join(dir, "adopt.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := os.ReadFile(filepath.Join(dir, "adopt.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(plan, &order); err != nil {
		t.Fatal(err)
	}
	return string(yaml), order, nil
}

func TestEverythingThatIsRetainedIsAdoptedAndNothingElse(t *testing.T) {
	for name, params := range map[string]map[string]string{"as it comes": nil, "with everything": {"Callbacks": "true", "ApiIssuer": "https://login.example"}} {
		t.Run(name, func(t *testing.T) { retainedIsAdopted(t, params) })
	}
}

func retainedIsAdopted(t *testing.T, params map[string]string) {
	tmpl, err := template.Load("../../template.yaml", params)
	if err != nil {
		t.Fatal(err)
	}
	text, order, err := adopt(t, oldStack(t, params), "-allocation", "eipalloc-1")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, r := range tmpl.Resources {
		if r.DeletionPolicy == "Retain" {
			want = append(want, fmt.Sprint(r.LogicalID, " ", r.Type, " the-old-", r.LogicalID))
		}
	}
	for _, i := range order {
		got = append(got, fmt.Sprint(i.LogicalResourceID, " ", i.ResourceType, " ", i.ResourceIdentifier[identifiers[i.ResourceType]]))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("adopted %v\nretained %v", got, want)
	}
	for _, no := range []string{"AWS::Serverless", "Transform", "\nOutputs", "DependsOn", "AWS::IAM::Role"} {
		if strings.Contains(text, no) {
			t.Errorf("the import's template holds %s", no)
		}
	}
	// What the reader makes of it, once it is marked as it wants: every reference is there.
	again, err := template.Parse("adopt.yaml", []byte("Transform: AWS::Serverless-2016-10-31\n"+text), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Resources) != len(order) {
		t.Errorf("%d resources of %d", len(again.Resources), len(order))
	}
}

func TestTheAddressIsAdoptedOnlyByItsAllocation(t *testing.T) {
	_, order, err := adopt(t, oldStack(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(order, func(i imported) bool { return i.ResourceType == "AWS::EC2::EIP" }) {
		t.Error("an address without its allocation id can't be imported")
	}
}

func TestATableThatIsNotInTheListStopsTheAdoption(t *testing.T) {
	old := slices.DeleteFunc(oldStack(t, nil), func(r resource) bool { return r.LogicalResourceID == "ControlTable" })
	if _, _, err := adopt(t, old); err == nil || !strings.Contains(err.Error(), "ControlTable") {
		t.Errorf("error %v", err)
	}
}
