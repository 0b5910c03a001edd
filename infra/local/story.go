package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// receivers get the reports of the demonstration's companies.
const receivers = "zh:compliance@bank.example,en:audit@bank.example"

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
	if err := d.invoke(ctx, "DirectoryFunction"); err != nil {
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

// where says where to look once the day is played.
func (d *day) where() {
	fmt.Fprintf(d.out, "\nThe day is played, and everything stays up until Ctrl-C.\n\n")
	fmt.Fprintf(d.out, "  mailbox and status   %s\n  AWS endpoint         %s\n  messages             make ctl ARGS='-data %s messages -corp %s -format jsonl'\n", d.mailed, d.Endpoint, d.data, d.corps[0])
	fmt.Fprintf(d.out, "  receivers API        curl -s -H \"Authorization: Bearer $(curl -s -d wecomvault_roles=admin %s/issuer/token)\" %s/v1/corps/%s/receivers\n", d.APIURL(), d.APIURL(), d.corps[0])
	key := d.Key(house.Operator)
	fmt.Fprintf(d.out, "  AWS CLI              export AWS_REGION=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", house.Region, key.ID, key.Secret)
	// Spelt out: the CLI takes queues' addresses from it only so.
	fmt.Fprintf(d.out, "                       aws --endpoint-url %s dynamodb scan --table-name %s\n", d.Endpoint, d.Template.Outputs["ControlTable"])
}
