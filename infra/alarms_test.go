package infra

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/cloudwatch"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/telemetry"
)

func alarms(t *testing.T, tmpl *template.Template) []cloudwatch.Alarm {
	t.Helper()
	all, err := cloudwatch.Alarms(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEachAlarmNamesItsPartOfTheRunbook(t *testing.T) {
	raw, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	runbook := string(raw)
	named := regexp.MustCompile(`^.{40,} Runbook: docs/runbook\.md#([a-z-]+)$`)
	parts := map[string]bool{}
	for _, a := range alarms(t, load(t, nil)) {
		found := named.FindStringSubmatch(strings.TrimSpace(a.Description))
		if found == nil {
			t.Errorf("%s says %q: say what to do, and name the part of the runbook", a.LogicalID, a.Description)
			continue
		}
		_, rest, ok := strings.Cut(runbook, "\n## "+found[1]+"\n")
		part, _, _ := strings.Cut(rest, "\n## ")
		if !ok || !strings.Contains(part, "`"+a.LogicalID+"`") {
			t.Errorf("docs/runbook.md has no part %s that speaks of %s", found[1], a.LogicalID)
		}
		parts[found[1]] = true
	}
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(runbook, -1) {
		if !parts[heading[1]] {
			t.Errorf("the runbook's part %q belongs to no alarm", heading[1])
		}
	}
}

// metricsOfAWS are those that AWS measures by itself, by namespace.
var metricsOfAWS = map[string][]string{
	"AWS/SQS":    {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
	"AWS/Lambda": {"Errors", "Throttles"},
	"AWS/Events": {"FailedInvocations"},
}

// written lists the words that the code of a folder, tests apart, may give to a metric.
func written(all []source, dirs ...string) map[string]bool {
	words := map[string]bool{}
	for _, s := range all {
		if s.test || !slices.Contains(dirs, s.dir) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					words[text] = true
				}
			}
			return true
		})
	}
	return words
}

// lookedAt are the metrics of all alarms and of the dashboard.
func lookedAt(t *testing.T, tmpl *template.Template) []cloudwatch.Metric {
	t.Helper()
	var looked []cloudwatch.Metric
	for _, a := range alarms(t, tmpl) {
		looked = append(looked, a.Metrics...)
	}
	dashboards, err := cloudwatch.Dashboards(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	if len(dashboards) != 1 {
		t.Errorf("%d dashboards", len(dashboards))
	}
	for _, widgets := range dashboards {
		for _, w := range widgets {
			looked = append(looked, w.Metrics...)
		}
	}
	return looked
}

// TestTwoStacksLookAtNoMetricInCommon: a trial beside an archive that counts must not hide that archive's silence.
func TestTwoStacksLookAtNoMetricInCommon(t *testing.T) {
	own := map[string]bool{}
	for _, m := range lookedAt(t, load(t, map[string]string{template.StackName: "vault"})) {
		own[m.String()] = true
	}
	for _, m := range lookedAt(t, load(t, map[string]string{template.StackName: "trial"})) {
		if own[m.String()] {
			t.Errorf("%s is looked at by both", m)
		}
	}
}

func TestEveryMetricThatIsLookedAtIsWrittenBySomebody(t *testing.T) {
	tmpl, all := load(t, nil), sources(t)
	looked := lookedAt(t, tmpl)
	for _, m := range looked {
		switch m.Namespace {
		case cloudwatch.Own:
			f := m.Dimensions["Function"]
			dimensions := 2
			if f == "" && m.Name == telemetry.Denied {
				dimensions = 1 // of the whole stack
			} else if !written(all, "functions/"+f, "shared/lambdas", "shared/telemetry")[m.Name] {
				t.Errorf("%s: functions/%s does not write it", m, f)
			}
			if m.Dimensions["Stack"] != tmpl.StackName || len(m.Dimensions) != dimensions {
				t.Errorf("%s: that is no series of this stack", m)
			}
		case "AWS/SQS":
			ok := slices.ContainsFunc(tmpl.Queues, func(q template.Queue) bool { return q.Name == m.Dimensions["QueueName"] })
			if !ok || !slices.Contains(metricsOfAWS[m.Namespace], m.Name) {
				t.Errorf("%s: there is no such queue or metric", m)
			}
		case "AWS/Lambda":
			ok := slices.ContainsFunc(tmpl.Functions, func(f template.Function) bool { return f.Name == m.Dimensions["FunctionName"] })
			if !ok || !slices.Contains(metricsOfAWS[m.Namespace], m.Name) {
				t.Errorf("%s: there is no such function or metric", m)
			}
		case "AWS/Events":
			ok := slices.ContainsFunc(tmpl.Resources, func(r template.Resource) bool {
				return r.Type == "AWS::Events::Rule" && r.Physical == m.Dimensions["RuleName"]
			})
			if !ok || !slices.Contains(metricsOfAWS[m.Namespace], m.Name) {
				t.Errorf("%s: there is no such rule or metric", m)
			}
		default:
			t.Errorf("%s: nobody writes into this namespace", m)
		}
	}
	for _, f := range tmpl.Functions {
		if !slices.ContainsFunc(looked, func(m cloudwatch.Metric) bool {
			return m.Name == telemetry.Denied && m.Dimensions["Function"] == folder(f)
		}) {
			t.Errorf("nothing shows that it was %s to which AWS denied something", f.LogicalID)
		}
	}
}

// TestEachFunctionIsInOneAlarmOfEachKind: CloudWatch joins ten metrics in an alarm at most, so that the functions are in groups, and a new one
// is forgotten easily.
func TestEachFunctionIsInOneAlarmOfEachKind(t *testing.T) {
	tmpl := load(t, nil)
	all := alarms(t, tmpl)
	count := func(what cloudwatch.Metric) (n int) {
		for _, a := range all {
			if slices.ContainsFunc(a.Metrics, func(m cloudwatch.Metric) bool { return m.String() == what.String() }) {
				n++
			}
		}
		return n
	}
	for _, f := range tmpl.Functions {
		for _, name := range metricsOfAWS["AWS/Lambda"] {
			if m := (cloudwatch.Metric{Namespace: "AWS/Lambda", Name: name, Dimensions: map[string]string{"FunctionName": f.Name}}); count(m) != 1 {
				t.Errorf("%d alarms are over %s: put it into that of its group", count(m), m)
			}
		}
	}
	if m := (cloudwatch.Metric{Namespace: cloudwatch.Own, Name: telemetry.Denied, Dimensions: map[string]string{"Stack": tmpl.StackName}}); count(m) != 1 {
		t.Errorf("%d alarms are over %s", count(m), m)
	}
}

// TestEachAlarmHasATestThatFiresIt: an alarm over what one function writes is fired in the tests of that function, which hold themselves to have
// a fault for each (they ask cloudwatch.Of for the list); the others are fired by infra/local.
func TestEachAlarmHasATestThatFiresIt(t *testing.T) {
	tmpl := load(t, nil)
	all := alarms(t, tmpl)
	left := map[string]bool{}
	for _, a := range all {
		left[a.LogicalID] = true
	}
	for _, f := range tmpl.Functions {
		own := cloudwatch.Of(all, folder(f))
		if len(own) == 0 {
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", "functions", folder(f), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		asks := slices.ContainsFunc(files, func(name string) bool {
			text, err := os.ReadFile(name)
			return err == nil && strings.Contains(string(text), "cloudwatch.Of(") && strings.Contains(string(text), strconv.Quote(folder(f)))
		})
		for _, a := range own {
			delete(left, a.LogicalID)
			if !asks {
				t.Errorf("%s is over figures of %s, whose tests fire no alarms", a.LogicalID, folder(f))
			}
		}
	}
	text, err := os.ReadFile("local/alarms_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for id := range left {
		if !strings.Contains(string(text), strconv.Quote(id)) {
			t.Errorf("no fault fires %s: play it in infra/local/alarms_test.go", id)
		}
	}
}
