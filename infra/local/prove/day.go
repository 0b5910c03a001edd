package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// proof is one run.
type proof struct {
	options
	runner runner
	out    io.Writer

	outputs     map[string]string // of the product's stack
	sim         *wecomsim.Client
	corp        wecomsim.Corp
	incarnation string
	second      func(context.Context) error // waits for the next look; tests set it
}

const corpID = "wwprove"

// parameters are those of the trial: one day of governance lock, so that the removal can lift it, and a message window so short that the
// clock to loss is below its alarm from the first minute: that is the alarm which is fired, by the real figures and on its real way.
func (p *proof) parameters() []string {
	return []string{
		"Trial=true", "RetentionMode=GOVERNANCE", "RetentionDays=1", "LogRetentionDays=365", "MessageWindow=40h",
		"SecretsPrefix=" + p.prefix + "/", "MailFrom=" + p.mail,
	}
}

// steps are the whole run, in order.
func (p *proof) steps() (before, day, removal []step) {
	before = []step{
		{"who are we", "sts get-caller-identity must name the account that was meant; without credentials nothing is done", p.whoAmI},
		{"nothing of that name is here", "a stack under the prefix would be another run's", p.nothingHere},
	}
	day = []step{
		{"deploy the simulated WeCom as " + p.simulator(), "a function with a URL, one environment, simulated data only; control by IAM", p.deploySimulator},
		{"deploy the product as " + p.vault(), "the template as it is, with " + strings.Join(p.parameters(), " "), p.deployProduct},
		{"add the company, with one key version kept back", "vaultctl writes secrets, the corp's row and the audit entry", p.enrol},
		{"send 1,200 messages, an attachment of 20 MB and 20 messages under the key that is kept back", "fetch, process, media by parts; set aside; the alert that watch, report and mail send at once", p.send},
		{"wait until what can be opened is archived", "each with the SHA-256 of what the simulator sent, its attachment kept", p.archived(1200)},
		{"add the key that was kept back", "redrive puts the 20 back by itself", p.lateKey},
		{"wait until everything is archived", "every seq of the simulator has its message, with the same SHA-256", p.archived(1220)},
		{"refresh the directory, check the archive", "directory and fsck are invoked as their schedules would", p.runScheduled},
		{"hold every permission against the account", "iam simulate-principal-policy for each allowed action and resource of each role, the account's boundaries and organisation included", p.permissions},
		{"no call was denied", "no line of any function's log speaks of AccessDenied", p.noneDenied},
		{"an alarm is raised", "HoursToLossAlarm, by the short message window", p.alarm},
		{"the bill so far", "what CloudWatch metered of the run (invocations and their time, write and read units), and what that, the NAT gateway, the address and the keys cost by the price list", p.bill},
	}
	removal = []step{
		{"remember what the stack retains", "from describe-stack-resources, into " + p.leftFile(), p.remember},
		{"delete stack " + p.vault(), "functions, queues, roles, alarms, NAT gateway and VPC; the buckets' policies too", p.deleteStack(p.vault())},
		{"delete stack " + p.simulator(), "the simulator and its layer", p.deleteStack(p.simulator())},
		{"delete the buckets", "locks of one day are lifted, which only governance lets, and only of buckets named " + p.vault() + "-…", p.each(func(l left) []string { return l.Buckets }, p.deleteBucket)},
		{"delete the tables", "deletion protection off first; only tables named " + p.vault() + "-…", p.each(func(l left) []string { return l.Tables }, p.deleteTable)},
		{"delete the logs", "only of functions named " + p.vault() + "-…", p.each(func(l left) []string { return l.Logs }, p.deleteLogs)},
		{"delete the secrets", "only those below " + p.prefix + "/", p.deleteSecrets},
		{"release the address", "an address without a gateway costs money", p.each(func(l left) []string { return l.Addresses }, p.releaseAddress)},
		{"plan the keys' end", "after all that they seal: AWS deletes keys after 7 days at the earliest, and charges nothing for them until then", p.each(func(l left) []string { return l.Keys }, p.deleteKey)},
	}
	return before, day, removal
}

func (p *proof) aws(ctx context.Context, args ...string) ([]byte, error) {
	return p.runner.run(ctx, []string{"AWS_PAGER=", "AWS_DEFAULT_OUTPUT=json"}, "aws", append([]string{"--region", p.region}, args...)...)
}

func (p *proof) whoAmI(ctx context.Context) error {
	raw, err := p.aws(ctx, "sts", "get-caller-identity", "--query", "Account", "--output", "text")
	if err != nil {
		return fmt.Errorf("no AWS account is at hand (aws configure, or AWS_PROFILE): %w", err)
	}
	if got := strings.TrimSpace(string(raw)); got != p.account {
		return fmt.Errorf("the credentials are those of account %s, and %s was meant: nothing is done", got, p.account)
	}
	return nil
}

func (p *proof) nothingHere(ctx context.Context) error {
	for _, name := range []string{p.vault(), p.simulator()} {
		_, err := p.aws(ctx, "cloudformation", "describe-stacks", "--stack-name", name)
		if err == nil {
			return fmt.Errorf("there is a stack %s: take another prefix, or TEARDOWN=1 if it is a former run's", name)
		}
		if !strings.Contains(err.Error(), "does not exist") {
			return err
		}
	}
	return nil
}

func (p *proof) deploy(ctx context.Context, stack, template string, parameters ...string) error {
	args := []string{"deploy", "--stack-name", stack, "--template-file", template, "--region", p.region, "--capabilities", "CAPABILITY_IAM", "--resolve-s3",
		"--no-confirm-changeset", "--no-fail-on-empty-changeset", "--tags", "purpose=prove-aws"}
	if len(parameters) > 0 {
		args = append(append(args, "--parameter-overrides"), parameters...)
	}
	_, err := p.runner.run(ctx, []string{"SAM_CLI_TELEMETRY=0"}, "sam", args...)
	return err
}

func (p *proof) stackOutputs(ctx context.Context, stack string) (map[string]string, error) {
	raw, err := p.aws(ctx, "cloudformation", "describe-stacks", "--stack-name", stack, "--query", "Stacks[0].Outputs")
	if err != nil {
		return nil, err
	}
	var all []struct{ OutputKey, OutputValue string }
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("read the outputs of %s: %w", stack, err)
	}
	out := map[string]string{}
	for _, o := range all {
		out[o.OutputKey] = o.OutputValue
	}
	return out, nil
}

func (p *proof) deploySimulator(ctx context.Context) error {
	return p.deploy(ctx, p.simulator(), filepath.Join(p.folder, "simulator.yaml"))
}

func (p *proof) deployProduct(ctx context.Context) error {
	sim, err := p.stackOutputs(ctx, p.simulator())
	if err != nil {
		return err
	}
	parameters := append(p.parameters(), "WecomUrl="+strings.TrimSuffix(sim["Url"], "/"), "SdkLayerArn="+sim["Layer"], "SdkHost=/opt/bin/simsdk")
	if err := p.deploy(ctx, p.vault(), p.product, parameters...); err != nil {
		return err
	}
	p.sim = &wecomsim.Client{BaseURL: "http://simulator", HTTP: &http.Client{Transport: p}}
	p.outputs, err = p.stackOutputs(ctx, p.vault())
	return err
}

// RoundTrip carries a control call to the simulator's function, by an invocation that IAM lets through.
func (p *proof) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	event, err := json.Marshal(map[string]any{"control": map[string]any{"method": r.Method, "uri": r.URL.RequestURI(), "body": body}})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "prove-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	in, to := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, event, 0o600); err != nil {
		return nil, err
	}
	// QUIRK: while the one environment is busy Lambda answers TooManyRequestsException; the aws command tries again by itself.
	if _, err := p.aws(r.Context(), "lambda", "invoke", "--function-name", p.simulator(), "--cli-binary-format", "raw-in-base64-out", "--payload", "file://"+in, to); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(to)
	if err != nil {
		return nil, err
	}
	var answer struct {
		StatusCode  int
		Body        string
		Incarnation string
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("read the simulator's answer: %w", err)
	}
	if p.incarnation == "" {
		p.incarnation = answer.Incarnation
	}
	if answer.Incarnation != p.incarnation {
		return nil, errors.New("Lambda has replaced the simulator's environment, and the company in it is gone: run again") //nolint:staticcheck // a product's name
	}
	text, err := base64.StdEncoding.DecodeString(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read the simulator's answer: %w", err)
	}
	return &http.Response{StatusCode: answer.StatusCode, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

// ctl runs the operator's command against the stack, with the variables that the README has it take from the outputs.
func (p *proof) ctl(ctx context.Context, args ...string) ([]byte, error) {
	env := []string{"AWS_REGION=" + p.region}
	for name, value := range p.outputs {
		env = append(env, variable(name)+"="+value)
	}
	return p.runner.run(ctx, env, p.vaultctl, args...)
}

// variable is the name of a setting for an output: ControlTable becomes CONTROL_TABLE.
func variable(output string) string {
	var b strings.Builder
	for i, r := range output {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// withFile gives a secret to a command as a file, which is gone afterwards.
func withFile(content string, use func(path string) error) error {
	dir, err := os.MkdirTemp("", "prove-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return use(path)
}

func (p *proof) addKey(ctx context.Context, k wecomsim.Key) error {
	return withFile(k.Private, func(path string) error {
		_, err := p.ctl(ctx, "keys", "add", "-corp", corpID, "-ver", fmt.Sprint(k.Version), "-file", path)
		return err
	})
}

func (p *proof) enrol(ctx context.Context) error {
	var err error
	if p.corp, err = p.sim.AddCorp(ctx, wecomsim.NewCorp{Corp: corpID, Name: "Prove Ltd"}); err != nil {
		return err
	}
	err = withFile(p.corp.Secret(wecomsim.KindArchive), func(archive string) error {
		return withFile(p.corp.Secret(wecomsim.KindLegacyApp), func(contacts string) error {
			return withFile(p.corp.Secret(wecomsim.KindCustomer), func(customer string) error {
				_, err := p.ctl(ctx, "corps", "add", "-corp", corpID, "-name", "Prove Ltd", "-simulated", "-report-to", "en:"+p.mail,
					"-secret-file", archive, "-contacts-secret-file", contacts, "-customer-secret-file", customer)
				return err
			})
		})
	})
	if err != nil {
		return err
	}
	return p.addKey(ctx, p.corp.Keys[0])
}

func (p *proof) send(ctx context.Context) error {
	if err := p.sim.ChangeContacts(ctx, wecomsim.ChangeContacts{Corp: corpID, Permit: map[int][]string{3: {"anna", "ben"}}}); err != nil {
		return err
	}
	all := wecomsim.Messages{Corp: corpID}
	for i := range 1199 {
		all.Messages = append(all.Messages, wecomsim.Message{From: "anna", To: []string{"ben"}, Text: fmt.Sprintf("invented message %d", i)})
	}
	if _, err := p.sim.SendAll(ctx, all); err != nil {
		return err
	}
	file, err := p.sim.AddFile(ctx, wecomsim.NewFile{Corp: corpID, Name: "invented.bin", Size: 20 << 20})
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]any{"sdkfileid": file.SDKFileID, "md5sum": file.MD5, "filesize": file.Size, "filename": file.Name, "fileext": "bin"})
	if err != nil {
		return err
	}
	if _, err := p.sim.Send(ctx, wecomsim.Message{Corp: corpID, From: "ben", To: []string{"anna"}, Type: "file", Payload: payload}); err != nil {
		return err
	}
	key, err := p.sim.AddKey(ctx, wecomsim.NewKeyRequest{Corp: corpID})
	if err != nil {
		return err
	}
	p.corp.Keys = append(p.corp.Keys, key)
	late := wecomsim.Messages{Corp: corpID}
	for i := range 20 {
		late.Messages = append(late.Messages, wecomsim.Message{From: "ben", To: []string{"anna"}, Text: fmt.Sprintf("invented late message %d", i)})
	}
	_, err = p.sim.SendAll(ctx, late)
	return err
}

func (p *proof) lateKey(ctx context.Context) error {
	return p.addKey(ctx, p.corp.Keys[len(p.corp.Keys)-1])
}

// until looks until holds says so.
func (p *proof) until(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	wait := p.second
	if wait == nil {
		wait = func(ctx context.Context) error {
			t := time.NewTimer(10 * time.Second)
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		if err := wait(ctx); err != nil {
			return fmt.Errorf("%s: not within %v", what, p.patience)
		}
	}
}

// archived waits until n seqs are archived with the simulator's own digests, their attachments kept.
func (p *proof) archived(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		return p.until(ctx, fmt.Sprintf("%d messages archived", n), func() (bool, error) {
			raw, err := p.ctl(ctx, "messages", "-corp", corpID, "-format", "jsonl")
			if err != nil {
				return false, err
			}
			held := map[uint64]string{}
			waiting := 0
			lines := bufio.NewScanner(bytes.NewReader(raw))
			lines.Buffer(nil, 16<<20)
			for lines.Scan() {
				var m struct {
					Seq       uint64
					State     string
					RawSHA256 string `json:"raw_sha256"`
					Media     []struct{ State string }
				}
				if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
					return false, fmt.Errorf("read a line of vaultctl messages: %w", err)
				}
				if m.State == "archived" {
					held[m.Seq] = m.RawSHA256
				}
				for _, f := range m.Media {
					if f.State != "kept" {
						waiting++
					}
				}
			}
			if err := lines.Err(); err != nil || len(held) < n || waiting > 0 {
				return false, err
			}
			items, err := p.sim.Items(ctx, corpID, 0, n, false)
			if err != nil {
				return false, err
			}
			for _, item := range items {
				if got, ok := held[item.Seq]; ok && got != item.RawSHA256 {
					return false, fmt.Errorf("seq %d is archived with another content than was sent", item.Seq)
				}
			}
			if len(held) != n {
				return false, fmt.Errorf("%d messages are archived, %d were sent", len(held), n)
			}
			return true, nil
		})
	}
}

func (p *proof) runScheduled(ctx context.Context) error {
	for _, f := range []string{"directory", "fsck"} {
		to := filepath.Join(p.folder, f+".out")
		raw, err := p.aws(ctx, "lambda", "invoke", "--cli-read-timeout", "900", "--function-name", p.vault()+"-"+f, to)
		if err != nil {
			return err
		}
		if strings.Contains(string(raw), "FunctionError") {
			return fmt.Errorf("%s failed; its answer is in %s", f, to)
		}
	}
	return nil
}

func (p *proof) noneDenied(ctx context.Context) error {
	l, err := p.remembered()
	if err == nil && len(l.Logs) == 0 {
		if err = p.remember(ctx); err == nil {
			l, err = p.remembered()
		}
	}
	if err != nil {
		return err
	}
	if len(l.Logs) == 0 {
		return errors.New("the stack has no logs to look into")
	}
	var found []string
	for _, group := range l.Logs {
		raw, err := p.aws(ctx, "logs", "filter-log-events", "--log-group-name", group, "--filter-pattern", "?AccessDenied ?\"not authorized\"", "--max-items", "1", "--query", "length(events)")
		if err != nil {
			return err
		}
		if n := strings.TrimSpace(string(raw)); n != "0" {
			found = append(found, group)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("calls were denied: see %s", strings.Join(found, ", "))
	}
	return nil
}

func (p *proof) alarm(ctx context.Context) error {
	return p.until(ctx, "HoursToLossAlarm raised", func() (bool, error) {
		raw, err := p.aws(ctx, "cloudwatch", "describe-alarms", "--alarm-name-prefix", p.vault()+"-HoursToLossAlarm", "--query", "MetricAlarms[].StateValue")
		return err == nil && strings.Contains(string(raw), `"ALARM"`), err
	})
}
