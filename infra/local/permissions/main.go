// Command permissions asks of each permission that template.yaml gives a function whether anything needs it. It runs the functions' own
// tests with an account of which permissions their calls use; then it takes permissions out of the roles, one by one, and runs the tests
// that used them: one must fail. What nothing uses, or nothing needs, is named and fails the command, unless it is listed here with the
// reason why no test on this machine can need it. It must not change the template.
//
//	permissions [-n 12] [-seed 1] [-used FILE]
//
// -n is how many permissions are taken out (0 none, -1 all). -used names an account that tests have already written: any run of them does it
// that has WECOMVAULT_PERMISSIONS_USED set to a new file's path, and with -n 0 as well nothing is run again.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/command"
	"github.com/wecomvault/wecomvault/shared/local/stack"
	"github.com/wecomvault/wecomvault/shared/local/template"
	"github.com/wecomvault/wecomvault/shared/progress"
)

func main() {
	command.Main("permissions", func(ctx context.Context, args []string, out io.Writer) error {
		f := command.Flags("permissions")
		n := f.Int("n", 12, "how many permissions to take out (-1: all)")
		seed := f.Uint64("seed", 1, "which ones")
		used := f.String("used", "", "an account of used permissions that tests have already written")
		if err := command.Parse(f, args); err != nil {
			return err
		}
		return run(ctx, out, *n, *seed, *used)
	})
}

// beyond are permissions that the local endpoints have no use for, with the reason, by the beginning of their action. Each is held to
// exactly what is needed by the tests of infra/permissions_test.go.
var beyond = map[string]string{
	"ec2:":                   "Lambda itself makes the network interfaces",
	"logs:":                  "Lambda itself writes the logs",
	"xray:":                  "Lambda itself writes the traces",
	"kms:DescribeKey":        "DynamoDB asks KMS in the caller's name; the local one keeps no keys",
	"kms:Encrypt":            "as kms:DescribeKey",
	"kms:ReEncryptFrom":      "as kms:DescribeKey",
	"kms:ReEncryptTo":        "as kms:DescribeKey",
	"sqs:GetQueueAttributes": "Lambda's own poller asks, with the function's role",
}

// justified are permissions that something needs and no test here uses, by statement and action, with the reason.
var justified = map[string]string{
	"OwnQueue sqs:ChangeMessageVisibility": "the pause of a failed job, wired alike in each queue function's main.go; the whole day plays it for media",
	"Listing s3:ListBucket":                "without it S3 answers 403 for an object that is gone, and fsck could not tell that from a missing permission",
}

// wholeDay is the test in which the real programs play a day under the roles of the template; program is what it is known as in the account.
const (
	wholeDay = "TestADayOutlastsTroubleOfEveryKind"
	program  = "local"
)

// reasonBeyond says why nothing on this machine can use a permission; "" if something must. tableKeys are those of tables.
func reasonBeyond(p stack.Permission, tableKeys map[string]bool) string {
	if strings.HasPrefix(p.Action, "kms:") && tableKeys[p.Resource] {
		return beyond["kms:DescribeKey"]
	}
	for prefix, why := range beyond {
		if strings.HasPrefix(p.Action, prefix) {
			return why
		}
	}
	return ""
}

func run(ctx context.Context, out io.Writer, n int, seed uint64, usedFile string) error {
	tmpl, err := template.Load("template.yaml", map[string]string{template.Region: "us-east-1", template.AccountID: "000000000000",
		"MailFrom": "vault@mail.example", "RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true",
		"Callbacks": "true", "ApiIssuer": "https://issuer.example"}) // with everything that it may have
	if err != nil {
		return err
	}
	all, err := stack.Permissions(tmpl)
	if err != nil {
		return err
	}
	line := progress.New(os.Stderr, "the tests of each function, as they are", "programs", 0)
	defer line.Done()
	var suites []suite
	if usedFile == "" || n != 0 {
		scratch, err := os.MkdirTemp("", "permissions-")
		if err != nil {
			return err
		}
		defer func() {
			// What stays behind is a few test programs in the system's temporary folder.
			_ = os.RemoveAll(scratch)
		}()
		line.Note("building them")
		if suites, err = build(ctx, scratch); err != nil {
			return err
		}
		if usedFile == "" {
			usedFile = filepath.Join(scratch, "used")
			line.Set(0, int64(len(suites)))
			for _, s := range suites {
				fmt.Fprintf(line.Beside(out), "the tests of %s\n", s.folder)
				line.Note(s.folder)
				if said, err := s.run(ctx, s.only, stack.UsedPermissions+"="+usedFile); err != nil {
					return fmt.Errorf("the tests of %s fail as they are: %w\n%s", s.folder, err, said)
				}
				line.Add(1)
			}
		}
	}
	line.Done()
	users, err := read(usedFile)
	if err != nil {
		return err
	}
	tableKeys := map[string]bool{}
	for _, t := range tmpl.Tables {
		tableKeys[t.KMSKey] = true
	}
	var idle, live []stack.Permission
	notHere, excused := 0, 0
	for _, p := range all {
		switch {
		case len(users[p.String()]) > 0:
			live = append(live, p)
		case reasonBeyond(p, tableKeys) != "":
			notHere++
		case justified[p.Sid+" "+p.Action] != "":
			excused++
		default:
			idle = append(idle, p)
		}
	}
	fmt.Fprintf(out, "%d permissions: %d used by the functions' tests, %d that only AWS itself can use, %d needed by what no test plays, %d used by nothing\n",
		len(all), len(live), notHere, excused, len(idle))
	for _, p := range idle {
		fmt.Fprintf(out, "USED BY NOTHING: %s\n", p)
	}
	quick := func(p stack.Permission) bool { return users[p.String()][0] != wholeDay }
	if n >= 0 { // a sample has no time for whole days
		live = slices.DeleteFunc(live, func(p stack.Permission) bool { return !quick(p) })
	}
	random := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- a sample, and one that can be drawn again
	if n >= 0 && n < len(live) {
		random.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
		live = live[:n]
	}
	needless := 0
	line = progress.New(os.Stderr, "without each permission", "permissions", int64(len(live)))
	defer line.Done()
	out = line.Beside(out)
	for i, p := range live {
		by, err := needed(ctx, suites, p, users[p.String()])
		if err != nil {
			return err
		}
		line.Add(1)
		if by == "" {
			needless++
			by = "NEEDED BY NOTHING, though used by " + strings.Join(users[p.String()], ", ")
		}
		fmt.Fprintf(out, "%d of %d: without %s: %s\n", i+1, len(live), p, by)
	}
	if len(idle)+needless > 0 {
		return fmt.Errorf("%d permissions are used by nothing, %d are needed by nothing: take them out of template.yaml, or write the test that needs them", len(idle), needless)
	}
	return nil
}

// suite is a test program; only is the pattern of those of its tests that count, "" for all.
type suite struct{ folder, program, only string }

func build(ctx context.Context, scratch string) ([]suite, error) {
	mains, err := filepath.Glob("functions/*/main.go")
	if err != nil || len(mains) == 0 {
		return nil, errors.Join(errors.New("there are no functions here: run this in the repository's folder"), err)
	}
	suites := []suite{}
	for _, folder := range append(mains, "infra/local/main.go") {
		folder = filepath.Dir(folder)
		s := suite{folder: folder, program: filepath.Join(scratch, filepath.Base(folder)+".test")}
		if folder == "infra/local" {
			s.only = pattern(wholeDay)
		}
		c := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.program, "./"+s.folder) // #nosec G204 -- the repository's own folders
		if said, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the tests of %s: %w\n%s", s.folder, err, said)
		}
		if _, err := os.Stat(s.program); err == nil { // a folder without tests has none
			suites = append(suites, s)
		}
	}
	return suites, nil
}

// run runs a suite's tests, or those that a pattern selects, with one more entry in the environment.
func (s suite) run(ctx context.Context, pattern, environment string) (said []byte, err error) {
	arguments := []string{"-test.timeout=5m", "-test.failfast"}
	if pattern != "" {
		arguments = append(arguments, "-test.run="+pattern)
	}
	c := exec.CommandContext(ctx, s.program, arguments...) // #nosec G204 -- built above
	c.Dir = s.folder
	c.Env = append(os.Environ(), environment)
	return c.CombinedOutput()
}

// read reads an account: by permission, the tests that used it.
func read(path string) (map[string][]string, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator's own argument
	if err != nil {
		return nil, err
	}
	sets := map[string]map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		who, permission, ok := strings.Cut(lines.Text(), "\t")
		if !ok {
			continue
		}
		if sets[permission] == nil {
			sets[permission] = map[string]bool{}
		}
		if who == program {
			who = wholeDay
		}
		sets[permission][who] = true
	}
	if err := errors.Join(lines.Err(), f.Close()); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for permission, who := range sets {
		// The whole day takes longest: it is asked last.
		last := who[wholeDay]
		delete(who, wholeDay)
		out[permission] = slices.Sorted(maps.Keys(who))
		if last {
			out[permission] = append(out[permission], wholeDay)
		}
	}
	return out, nil
}

// needed takes a permission out and runs tests that use it until one fails, whose name it returns; "" if none does.
func needed(ctx context.Context, suites []suite, p stack.Permission, users []string) (string, error) {
	for i, test := range users {
		if i > 3 && test != wholeDay {
			continue // the first few stand for all of them
		}
		for _, s := range suites {
			if !s.has(ctx, test) {
				continue
			}
			said, err := s.run(ctx, pattern(test), stack.WithoutPermission+"="+p.String())
			var exit *exec.ExitError
			switch {
			case errors.As(err, &exit):
				return s.folder + " " + test + " fails", nil
			case err != nil:
				return "", err
			case bytes.Contains(said, []byte("no tests to run")):
				return "", fmt.Errorf("%s has no test %s", s.folder, test)
			}
		}
	}
	return "", nil
}

// has is whether a suite has a test, by the name of its outermost.
func (s suite) has(ctx context.Context, test string) bool {
	top, _, _ := strings.Cut(test, "/")
	c := exec.CommandContext(ctx, s.program, "-test.list=^"+regexp.QuoteMeta(top)+"$") // #nosec G204 -- built above
	c.Dir = s.folder
	names, err := c.Output()
	return err == nil && slices.Contains(strings.Split(string(names), "\n"), top)
}

// pattern selects exactly one test.
func pattern(test string) string {
	parts := strings.Split(test, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
