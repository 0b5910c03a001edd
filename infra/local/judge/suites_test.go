package judge_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/infra/local/judge"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/elsewhere"
)

// suite is an adapter's own tests, which the environment can send elsewhere.
type suite struct {
	folder   string
	services []string // that are at the judge
	judges   []string
	skip     string // a pattern of tests that are not run, "" for none
	checks   int    // histories of each generated test at moto, 0 for as many as anywhere
}

var suites = []suite{
	// The test of the costs reads the local endpoint's own meter. Moto is a slow DynamoDB: of the ledger's histories it gets fewer.
	{"shared/ledger", []string{"dynamodb"}, []string{judge.DynamoDBLocal, judge.Ministack, judge.Moto}, "^TestAMessageCosts", 1},
	{"shared/queue", []string{"sqs"}, []string{judge.Ministack, judge.Moto}, "", 0},
	{"shared/secrets", []string{"secretsmanager"}, []string{judge.Ministack, judge.Moto}, "", 0},
	{"shared/mailer", []string{"ses"}, []string{judge.Ministack, judge.Moto}, "", 0},
	{"shared/objstore", []string{"s3"}, []string{judge.Ministack, judge.Moto}, "", 0},
}

// TestTheAdaptersPassOnTheJudgesToo runs each adapter's own tests with its service at a judge. What a judge can't pass is in the table
// beyondJudge, with the reason; what fails and is not there fails here, and what is there and passes is out of date.
func TestTheAdaptersPassOnTheJudgesToo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute: left out by -short")
	}
	for _, name := range []string{judge.DynamoDBLocal, judge.Ministack, judge.Moto} {
		t.Run(name, func(t *testing.T) {
			j := start(t, name)
			for _, s := range suites {
				if !slices.Contains(s.judges, name) {
					continue
				}
				c := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", "-timeout=15m", "../../../"+s.folder) // #nosec G204 -- the repository's own folders
				if s.skip != "" {
					c.Args = append(c.Args, "-skip="+s.skip)
				}
				if name == judge.Moto && s.checks > 0 {
					c.Args = append(c.Args, fmt.Sprintf("-rapid.checks=%d", s.checks))
				}
				c.Env = os.Environ()
				for _, service := range s.services {
					c.Env = append(c.Env, elsewhere.Variable(service)+"="+j.URL)
				}
				said, err := c.Output()
				var exit *exec.ExitError
				if err != nil && !errors.As(err, &exit) {
					t.Fatal(err)
				}
				passed, failed := outcomes(t, said)
				if len(passed)+len(failed) == 0 {
					t.Fatalf("%s ran no test: %s", s.folder, said)
				}
				if exit != nil && len(failed) == 0 {
					t.Errorf("%s: %s ended before its end: %v\n%s", name, s.folder, exit, said[max(0, len(said)-2000):])
				}
				explained := 0
				for _, test := range failed {
					key := name + " " + s.folder + " " + test.name
					if beyondJudge[key] == "" {
						t.Errorf("%s fails, and beyondJudge has no reason:\n%s", key, test.output)
						continue
					}
					explained++
					t.Logf("%s can't pass: %s", key, beyondJudge[key])
				}
				for _, test := range passed {
					if key := name + " " + s.folder + " " + test; beyondJudge[key] != "" {
						t.Errorf("%s passes: beyondJudge is out of date", key)
					}
				}
				t.Logf("judge %s: %s: %d tests pass, %d are beyond it", name, s.folder, len(passed), explained)
			}
		})
	}
}

type failure struct{ name, output string }

// outcomes reads what `go test -json` says of the outermost tests.
func outcomes(t *testing.T, said []byte) (passed []string, failed []failure) {
	t.Helper()
	output := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(said))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // a line of the compiler's
		}
		top, _, below := strings.Cut(e.Test, "/")
		switch {
		case e.Action == "output":
			if len(output[top]) < 3000 {
				output[top] += e.Output
			}
		case e.Test == "" || below:
		case e.Action == "pass":
			passed = append(passed, e.Test)
		case e.Action == "fail":
			failed = append(failed, failure{e.Test, output[top]})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return passed, failed
}

// beyondJudge is what a judge can't pass, by judge, folder and test, with the reason.
var beyondJudge = map[string]string{
	"moto shared/ledger TestMoreItemsThanATransactionTakesAreClosed":             "moto knows no ClientRequestToken: a transaction that is sent again under its token meets its own writes; by the API reference of TransactWriteItems it succeeds",
	"ministack shared/secrets TestProxysCredentialsAreReadByThoseWhoGoThroughIt": noRoles,
	"moto shared/secrets TestProxysCredentialsAreReadByThoseWhoGoThroughIt":      noRoles,
	"ministack shared/mailer TestAMailGoesOutAsItIsWithItsTag":                   noRawMail,
	"moto shared/mailer TestAMailGoesOutAsItIsWithItsTag":                        noRawMail,
	"moto shared/objstore TestAnAbortedUploadIsGone":                             "moto fails in itself (500) at a part of an upload that was aborted; S3 says NoSuchUpload",
	"ministack shared/mailer TestEachFailureSaysWhatIsCertain":                   noRawMail,
	"moto shared/mailer TestEachFailureSaysWhatIsCertain":                        noRawMail,
}

const (
	noRoles   = "the judge does not evaluate roles: what a role may not, it may there"
	noRawMail = "the test reads the mails and moods of the local SES by its own window; no judge keeps a mail's bytes, or refuses one over 10 MB"
)
