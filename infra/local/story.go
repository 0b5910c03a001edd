package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	routing "github.com/wecomvault/wecomvault/shared/receivers"
)

// receivers are the account admins of the demonstration's companies.
const receivers = "zh:compliance@bank.example,en:audit@bank.example"

// entered is who gets reports of the large company beside its account admins and its heads of department: one gets all of them for the whole company,
// one those of a department and everything below it.
var entered = [][]string{
	{"-name", "Chief Compliance Officer", "-address", "cco@bank.example", "-lang", "en", "-department", "1", "-reports", "R1,R2,R3,R4,R5,R6,R7,R8,R12"},
	{"-name", "财富管理督察", "-address", "wealth@bank.example", "-lang", "zh", "-department", "4", "-reports", "R1,R2,R3,R4,R5,R6,R8"},
}

// told are the addresses at which WeCom tells of what changes.
var told = []string{wecomsim.CallbackContacts, wecomsim.CallbackCustomer, wecomsim.CallbackArchive}

// playStory plays the demonstration's next day: the simulator tells what happens, and the product must keep up.
func (d *day) playStory(ctx context.Context) error {
	d.gaveUp = map[archive.CorpID]ledger.Trouble{}
	if err := d.setClock(ctx, d.Now()); err != nil {
		return err
	}
	story, err := d.sim.DemoStart(ctx, wecomsim.DemoStart{})
	if err != nil {
		return err
	}
	if len(story.Steps) == 0 {
		return fmt.Errorf("the simulator has no story for %s", story.Date)
	}
	if err := d.setClock(ctx, story.Steps[0].At.Add(-time.Minute)); err != nil {
		return err
	}
	d.say("day %d of the demonstration, %s, begins", story.Day, story.Date)
	for _, c := range story.Corps {
		if err := d.enrol(ctx, c); err != nil {
			return err
		}
	}
	if err := d.Start(); err != nil {
		return err
	}
	d.stop = d.schedule(ctx)
	for _, corp := range d.corps {
		if err := d.Hear(ctx, d.sim, string(corp), told...); err != nil {
			return err
		}
	}
	for _, c := range story.Corps {
		if err := d.app(ctx, c); err != nil {
			return err
		}
	}
	if err := d.invoke(ctx, "DirectoryFunction"); err != nil {
		return err
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	if err := d.Host.InvokeAsync("FetchFunction", []byte(`{}`)); err != nil {
		return err
	}
	for _, step := range story.Steps {
		if step.Played {
			continue // a former run was ended in the middle of the day
		}
		if err := d.step(ctx, step); err != nil {
			return err
		}
	}
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	return d.noon(ctx)
}

// enrol adds a company of the story to the archive, with what its admin would give: secrets, and the keys that are there so far.
func (d *day) enrol(ctx context.Context, c wecomsim.DemoCompany) error {
	id := archive.CorpID(c.Corp)
	d.corps = append(d.corps, id)
	if _, err := d.ledger.Corp(ctx, id); errors.Is(err, ledger.ErrAbsent) {
		files := map[string]string{}
		for _, s := range c.Secrets {
			if s.Agent != 0 {
				continue // see app
			}
			switch s.Kind {
			case wecomsim.KindArchive:
				files["-secret-file"] = s.Value
			case wecomsim.KindLegacyApp, wecomsim.KindNewApp, wecomsim.KindContactsSyncOldIP, wecomsim.KindContactsSyncNewIP:
				files["-contacts-secret-file"] = s.Value
			case wecomsim.KindCustomer:
				files["-customer-secret-file"] = s.Value
			}
		}
		if err := d.addCorp(ctx, c, files, slices.Sorted(maps.Keys(files)), nil); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for _, k := range c.Keys {
		if err := d.addKey(ctx, c.Corp, k.Version, k.Private); err != nil {
			return err
		}
	}
	return nil
}

// enter adds the large company's other receivers, once: departments have to be known for it.
func (d *day) enter(ctx context.Context) error {
	corp := d.corps[0]
	rows, _, err := d.ledger.Receivers(ctx, corp)
	if err != nil {
		return err
	}
	departments := 0
	err = d.ledger.Entries(ctx, corp, directory.KindDepartment, func(directory.Entry) bool { departments++; return true })
	if err != nil || departments == 0 {
		return err // the directory can't be read so far, which is said elsewhere; the next run enters them
	}
	for _, args := range entered {
		if slices.ContainsFunc(rows, func(r routing.Row) bool { return slices.Contains(args, r.Address) }) {
			continue
		}
		if err := d.operate(ctx, slices.Concat([]string{"receivers", "add", "-corp", string(corp)}, args)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *day) addCorp(ctx context.Context, c wecomsim.DemoCompany, values map[string]string, flags, args []string) error {
	if len(flags) == 0 {
		return d.operate(ctx, append([]string{"corps", "add", "-corp", c.Corp, "-name", c.Name, "-simulated", "-report-to", receivers}, args...)...)
	}
	return d.withSecret(values[flags[0]], func(path string) error {
		return d.addCorp(ctx, c, values, flags[1:], append(args, flags[0], path))
	})
}

func (d *day) addKey(ctx context.Context, corp string, version uint32, private string) error {
	if private == "" {
		return nil
	}
	return d.withSecret(private, func(path string) error {
		return d.operate(ctx, "keys", "add", "-corp", corp, "-ver", archive.KeyVersion(version).String(), "-file", path)
	})
}

// step plays one step and waits until the archive has caught up with it.
func (d *day) step(ctx context.Context, step wecomsim.DemoStep) error {
	if err := d.setClock(ctx, step.At); err != nil {
		return err
	}
	played, err := d.sim.DemoStep(ctx, wecomsim.DemoPlay{Step: step.Step})
	if err != nil {
		return err
	}
	for _, e := range played.Step.Events {
		d.say("%s", e.Text)
		if e.Kind == wecomsim.EventKey {
			if err := d.addKey(ctx, e.Corp, e.Version, e.PrivateKey); err != nil {
				return err
			}
		}
	}
	if err := d.heard(ctx, step.At); err != nil {
		return err
	}
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	p, err := d.progress(ctx)
	if err != nil {
		return err
	}
	d.say("archived %d messages so far, %d set aside, %d attachments waiting", p.archived, p.asides, p.waiting)
	return nil
}

// caughtUp waits until WeCom has nothing more for any corp.
func (d *day) caughtUp(ctx context.Context) error {
	now := d.Now()
	return d.follow(ctx, func(_ archive.CorpID, c ledger.Cursor) bool { return c.CaughtUp.After(now) && c.Empties > 0 })
}

// where says where to look once the day is played. Its last line says that all is said: who drives a run, a test as well, waits for it.
func (d *day) where() {
	fmt.Fprintf(d.out, "\nThe day is played.\n\n")
	fmt.Fprintf(d.out, "  mailbox and status   %s\n  AWS endpoint         %s\n  messages             make ctl ARGS='-data %s messages -corp %s -format jsonl'\n", d.mailed, d.Endpoint, d.data, d.corps[0])
	fmt.Fprintf(d.out, "  receivers API        curl -s -H \"Authorization: Bearer $(curl -s -d wecomvault_roles=admin %s/issuer/token)\" %s/v1/corps/%s/receivers\n", d.APIURL(), d.APIURL(), d.corps[0])
	fmt.Fprintf(d.out, "                       its description, with a token too: %s/v1/openapi.json; one of another role: wecomvault_roles=%s\n", d.APIURL(),
		strings.Join([]string{"compliance", "auditor", "auditor:" + string(d.corps[0]), "supervisor:" + string(d.corps[0]) + ":4"}, ", "))
	fmt.Fprintf(d.out, "  guide                %s/guide/en/index   %s/guide/zh-Hans/index\n", d.APIURL(), d.APIURL())
	key := d.Key(house.Operator)
	// Version 1 of the CLI knows the region by the first name alone.
	fmt.Fprintf(d.out, "  AWS CLI              export AWS_DEFAULT_REGION=%[1]s AWS_REGION=%[1]s AWS_ACCESS_KEY_ID=%[2]s AWS_SECRET_ACCESS_KEY=%[3]s\n", house.Region, key.ID, key.Secret)
	// Spelt out: the CLI takes queues' addresses from it only so.
	fmt.Fprintf(d.out, "                       aws --endpoint-url %s dynamodb scan --table-name %s\n", d.Endpoint, d.Template.Outputs["ControlTable"])
	fmt.Fprintf(d.out, "\nEverything stays up until Ctrl-C.\n")
}
