package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// scene is one drill's copy of the day, with the product over it.
type scene struct {
	options
	*house.House
	data   string
	out    io.Writer
	child  *house.Child
	sim    *wecomsim.Client
	wecom  string // where the simulated WeCom answers
	ledger *ledger.Ledger
	corps  []archive.CorpID
	before map[archive.CorpID]string // the account of every message, as vaultctl prints it
	broken time.Time                 // when the damage was done
	took   time.Duration
	note   string // what the drill says is left
}

// play copies the day, opens the product over it, and runs the drill.
func (s *scene) play(ctx context.Context, d drill) (err error) {
	if err := errors.Join(os.RemoveAll(s.data), copyFolder(ctx, filepath.Join(s.folders.Data, "day"), s.data)); err != nil {
		return err
	}
	if !s.folders.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(s.data)) }()
	}
	defer func() { err = errors.Join(err, s.shut()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	known, err := s.ledger.Corps(ctx)
	if err != nil {
		return err
	}
	for _, c := range known {
		s.corps = append(s.corps, c.ID)
		if err := s.ledger.EndLease(ctx, c.ID); err != nil { // of the fetch that ended with the day
			return err
		}
	}
	if s.before, err = s.account(ctx); err != nil {
		return err
	}
	if err := d.run(ctx, s); err != nil {
		return err
	}
	if s.took == 0 {
		return errors.New("the drill took no time: it did not say what it broke, or that it was recovered")
	}
	return nil
}

// copyFolder copies a folder with what only the file system knows of its files: the local S3 keeps attributes there.
func copyFolder(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil { // #nosec G204 -- folders of ours
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// open starts the simulated WeCom and the endpoints over the copy. Functions read no queue until start.
func (s *scene) open(ctx context.Context) error {
	child, wecom, err := house.Simulator(ctx, s.folders.Binaries, s.data)
	if err != nil {
		return err
	}
	s.child, s.sim, s.wecom = child, wecomsim.NewClient(wecom), wecom
	return s.openHouse(ctx, s.data)
}

// openAt opens an archive of its own in another folder, over the same simulated WeCom.
func (s *scene) openAt(ctx context.Context, folder string) error {
	child, wecom, err := house.Simulator(ctx, s.folders.Binaries, s.data)
	if err != nil {
		return err
	}
	s.child, s.sim, s.wecom = child, wecomsim.NewClient(wecom), wecom
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	clock, err := os.ReadFile(filepath.Join(s.data, "clock")) // the same played time
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "clock"), clock, 0o600)
	}
	if err != nil {
		return err
	}
	return s.openHouse(ctx, folder)
}

func (s *scene) openHouse(ctx context.Context, folder string) (err error) {
	s.House, err = house.Open(ctx, house.Options{Data: folder, Template: s.folders.Template, Binaries: s.folders.Binaries, Params: map[string]string{
		"WecomUrl": s.wecom, "SdkHost": filepath.Join(s.folders.Binaries, "local", "simsdk"), "PollInterval": "1s", "RetentionMode": "GOVERNANCE", "RetentionDays": "1",
		"Trial": "true", "MailFrom": "archive@wecomvault.example",
	}})
	if err != nil {
		s.House = nil
		return err
	}
	s.ledger = s.Ledger()
	ns := int64(s.Ahead())
	if _, err := s.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns}); err != nil {
		return err
	}
	for _, c := range s.corps { // no function of before lives to hold a lease
		if err := s.ledger.EndLease(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// shut ends everything over the copy.
func (s *scene) shut() error {
	var errs []error
	if s.House != nil {
		errs = append(errs, s.Close())
		s.House = nil
	}
	if s.child != nil {
		errs = append(errs, s.child.Close())
		s.child = nil
	}
	return errors.Join(errs...)
}

// breaks says what was broken, and starts the stopwatch.
func (s *scene) breaks(format string, args ...any) {
	fmt.Fprintf(s.out, "  broken: %s\n", fmt.Sprintf(format, args...))
	s.broken = clock.Real()
}

// does says what the operator does that is no vaultctl.
func (s *scene) does(format string, args ...any) {
	fmt.Fprintf(s.out, "  %s\n", fmt.Sprintf(format, args...))
}

// recovered stops the stopwatch.
func (s *scene) recovered(format string, args ...any) {
	s.took, s.note = clock.Real().Sub(s.broken), fmt.Sprintf(format, args...)
	fmt.Fprintf(s.out, "  recovered in %.1f s: %s\n", s.took.Seconds(), s.note)
}

// vaultctl runs the operator's command as it would be typed, and returns its exit code and what it prints on stdout.
func (s *scene) vaultctl(ctx context.Context, args ...string) (int, string, error) {
	began := clock.Real()
	cmd := house.Vaultctl(ctx, s.folders.Binaries, s.Environment(), args)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, "", err
	}
	code := cmd.ProcessState.ExitCode()
	fmt.Fprintf(s.out, "  $ vaultctl %-60s  exit %d, %.1f s\n", strings.Join(args, " "), code, clock.Real().Sub(began).Seconds())
	if code != 0 {
		fmt.Fprintf(s.out, "      %s\n", strings.ReplaceAll(strings.TrimSpace(said.String()), "\n", "\n      "))
	}
	return code, string(out), nil
}

// must is vaultctl where it has to succeed.
func (s *scene) must(ctx context.Context, args ...string) (string, error) {
	code, out, err := s.vaultctl(ctx, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("vaultctl %s: exit %d\n%s", strings.Join(args, " "), code, lastLines(out))
	}
	return out, err
}

func lastLines(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// account is vaultctl messages of each corp.
func (s *scene) account(ctx context.Context) (map[archive.CorpID]string, error) {
	all := map[archive.CorpID]string{}
	for _, c := range s.corps {
		code, said, err := s.quietly(ctx, "messages", "-corp", string(c))
		if err != nil || code != 0 {
			return nil, errors.Join(err, fmt.Errorf("messages of corp %s: exit %d: %s", c, code, lastLines(said)))
		}
		all[c] = said
	}
	return all, nil
}

func (s *scene) quietly(ctx context.Context, args ...string) (int, string, error) {
	cmd := house.Vaultctl(ctx, s.folders.Binaries, s.Environment(), args)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, "", err
	}
	return cmd.ProcessState.ExitCode(), string(out), nil
}

// same holds the account against the one from before the damage.
func (s *scene) same(ctx context.Context) error {
	now, err := s.account(ctx)
	if err != nil {
		return err
	}
	for _, c := range s.corps {
		if now[c] == s.before[c] {
			continue
		}
		was, is := strings.Split(s.before[c], "\n"), strings.Split(now[c], "\n")
		for i := range min(len(was), len(is)) {
			if was[i] != is[i] {
				return fmt.Errorf("corp %s: line %d of the account was\n%s\nand is\n%s", c, i+1, was[i], is[i])
			}
		}
		return fmt.Errorf("corp %s: the account had %d lines and has %d", c, len(was), len(is))
	}
	return nil
}

// sound runs the checks that end each drill: fsck finds nothing that is open, a replay differs in nothing, the account is as before.
func (s *scene) sound(ctx context.Context) error {
	if _, err := s.must(ctx, "fsck"); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "replay"); err != nil {
		return err
	}
	return s.same(ctx)
}

// invoke runs a function once, as its schedule would.
func (s *scene) invoke(ctx context.Context, logicalID string) error {
	r, err := s.Host.Invoke(ctx, logicalID, []byte(`{}`))
	if err == nil && r.FunctionError != "" {
		err = fmt.Errorf("%s: %s", logicalID, r.Payload)
	}
	return err
}

// watch lets the five minutes pass after which its schedule runs it again, and runs it.
func (s *scene) watch(ctx context.Context) error {
	ahead := s.Ahead() + 5*time.Minute
	if err := s.SetOffset(ahead); err != nil {
		return err
	}
	ns := int64(ahead)
	if _, err := s.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns}); err != nil {
		return err
	}
	return s.invoke(ctx, "WatchFunction")
}

// patience is how long a drill waits for the product to get on.
const patience = 2 * time.Minute

// settle waits until no batch is pending, no attachment waits and no job is queued; watch announces again what was lost, as its schedule would.
func (s *scene) settle(ctx context.Context) error {
	asked := clock.Real()
	var pending, waiting, jobs int
	done, err := house.Until(ctx, patience, func() (bool, error) {
		pending, waiting = 0, 0
		for _, c := range s.corps {
			err := s.ledger.Batches(ctx, c, "", func(b ledger.BatchRow) bool {
				if b.State == ledger.Pending {
					pending++
				}
				return true
			})
			if err != nil {
				return false, err
			}
			if err := s.ledger.AllWaiting(ctx, c, func(ledger.Waiting) bool { waiting++; return true }); err != nil {
				return false, err
			}
		}
		if jobs, _ = s.Queued(); jobs == 0 && pending == 0 && waiting == 0 && s.Host.Idle() {
			return true, nil
		}
		if clock.Real().Sub(asked) > 3*time.Second && s.Host.Idle() {
			asked = clock.Real()
			return false, errors.Join(s.Queues.ReleaseInFlight(), s.watch(ctx))
		}
		return false, nil
	})
	if err == nil && !done {
		err = fmt.Errorf("after %v %d batches are pending, %d attachments wait and %d jobs are queued", patience, pending, waiting, jobs)
	}
	return err
}

// fetched lets fetch run until WeCom has nothing more for any corp, and ends it.
func (s *scene) fetched(ctx context.Context) error {
	now := s.Now()
	ended := make(chan error, 1)
	go func() { ended <- s.invoke(ctx, "FetchFunction") }()
	caughtUp, err := house.Until(ctx, patience, func() (bool, error) {
		for _, corp := range s.corps {
			c, err := s.ledger.Cursor(ctx, corp)
			if err != nil || !c.CaughtUp.After(now) || c.Empties == 0 {
				return false, err
			}
		}
		return true, nil
	})
	if err == nil && !caughtUp {
		err = fmt.Errorf("fetch did not catch up within %v", patience)
	}
	for _, c := range s.corps { // the holder hands over at its next poll, and nobody takes
		if _, e := s.ledger.AskLease(ctx, c, "drill"); e != nil {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, <-ended)
}

// moveCursor is what an operator does to the cursor's row by hand.
func (s *scene) moveCursor(ctx context.Context, corp archive.CorpID, to archive.Seq) error {
	_, err := dynamodb.NewFromConfig(s.Config(house.Operator)).UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(s.Tables().Control), UpdateExpression: aws.String("SET seq = :to"), ConditionExpression: aws.String("attribute_exists(pk)"),
		Key:                       map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "corp#" + corp.KeyPart()}, "sk": &types.AttributeValueMemberS{Value: "cursor"}},
		ExpressionAttributeValues: map[string]types.AttributeValue{":to": &types.AttributeValueMemberN{Value: to.String()}},
	})
	return err
}

// dropTable deletes a table, as somebody does who takes its protection off first, and returns its description.
func (s *scene) dropTable(ctx context.Context, name string) (*types.TableDescription, error) {
	db := dynamodb.NewFromConfig(s.Config(house.Operator))
	d, err := db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return nil, err
	}
	if _, err := db.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &name, DeletionProtectionEnabled: aws.Bool(false)}); err != nil {
		return nil, err
	}
	_, err = db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
	return d.Table, err
}

// counts reads the counts of a JSON line of fsck or replay by kind.
func kinds(out string) map[string]int {
	n := map[string]int{}
	for line := range strings.Lines(out) {
		var f struct{ Kind, State, What string }
		if json.Unmarshal([]byte(line), &f) == nil && f.Kind != "" {
			n[strings.TrimSpace(f.Kind+" "+f.What)]++
		}
	}
	return n
}
