// Command apitry serves the receivers API of a fresh archive on this machine, with its unmodified function behind the local gateway, and runs a command
// against it: one that makes requests of the API's description, for example. The command finds the address in API_URL and a token in API_TOKEN.
//
//	apitry -binaries DIR [-role ROLE] [--] COMMAND [ARGUMENT…]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := try(ctx, os.Args[1:])
	stop()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		os.Exit(failed.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "apitry:", err)
		os.Exit(1)
	}
}

func try(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("apitry", flag.ContinueOnError)
	binaries := f.String("binaries", "build", "folder of the built programs")
	role := f.String("role", "admin", "what the token grants; several with commas")
	wiring := f.String("template", "template.yaml", "the wiring")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errors.New("name a command to run against the API")
	}
	for _, path := range []*string{binaries, wiring} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
	}
	data, err := os.MkdirTemp("", "apitry-")
	if err != nil {
		return fmt.Errorf("make a data folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
	if err := house.CleanEnvironment(); err != nil {
		return err
	}
	h, err := house.Open(ctx, house.Options{Data: data, API: "127.0.0.1:0", Template: *wiring, Binaries: *binaries, NoSync: true,
		Params: map[string]string{"RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true", "ApiPerMinute": "1000000"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := company(ctx, h.Ledger()); err != nil {
		return err
	}
	token, err := h.Token("somebody", strings.Split(*role, ",")...)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, f.Arg(0), f.Args()[1:]...) // #nosec G204 G702 -- the person at the keyboard names it
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), "API_URL="+h.APIURL(), "API_TOKEN="+token)
	return command.Run()
}

// company is a corp with departments in three layers and a head of each, with a dead address in department 2 and one in 5, mails, and a report of each kind:
// requests should be about something.
func company(ctx context.Context, l *ledger.Ledger) error {
	const corp = archive.CorpID("wwtry")
	now := clock.Now()
	if err := l.PutCorp(ctx, ledger.Corp{ID: corp, Name: "Try", Added: now.Add(-24 * time.Hour), ReportTo: []ledger.Receiver{{Address: "admin@try.example", Language: "en"}}}); err != nil {
		return err
	}
	var all []directory.Entry
	for id := 1; id <= 12; id++ {
		name := "Department " + strconv.Itoa(id)
		all = append(all,
			directory.Entry{Kind: directory.KindDepartment, ID: strconv.Itoa(id), At: now, Fields: directory.Fields(directory.Department{Name: name, Parent: id / 3})},
			directory.Entry{Kind: directory.KindMember, ID: "head" + strconv.Itoa(id), At: now, Fields: directory.Fields(directory.Member{Name: "Head of " + name, Listed: true,
				Departments: []int{id}, Leads: []int{id}, Status: directory.StatusActivated, Email: "head" + strconv.Itoa(id) + "@try.example", EmailReadable: true})})
	}
	if err := l.PutEntries(ctx, corp, all); err != nil {
		return err
	}
	if err := l.SettleHeads(ctx, corp, all); err != nil {
		return err
	}
	for id := 1; id <= 12; id++ {
		to := "head" + strconv.Itoa(id) + "@try.example"
		m := ledger.MailRow{Corp: corp, Day: now.AddDate(0, 0, -id).Format(time.DateOnly), Report: "R1", To: to, Object: "mails/none", Version: "none", At: now}
		if err := l.PlanMail(ctx, m); err != nil {
			return err
		}
		if err := l.Hear(ctx, corp, to, ledger.Heard{Fate: ledger.Delivered, Mail: m.Key(), At: now}); err != nil {
			return err
		}
		if id != 2 && id != 5 {
			continue
		}
		if _, err := l.Suppress(ctx, ledger.Suppression{Corp: corp, Address: to, Reason: ledger.Bounced, Detail: "permanent-general", Mail: m.Key(), Since: now}); err != nil {
			return err
		}
	}
	return nil
}
