package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// pass is one playing of the month.
type pass struct {
	name   string
	data   string
	seed   uint64 // of what befalls it; 0: nothing does
	before int    // days of earlier passes
}

func (p pass) title() string {
	if p.seed == 0 {
		return "The month, undisturbed"
	}
	return fmt.Sprintf("The month, disturbed (-seed %d)", p.seed)
}

// The month: it has a leap day.
const wholeMonth = 30

var firstDay = time.Date(2028, time.February, 10, 0, 0, 0, 0, time.UTC)

// dayOf is the day of the month at a time.
func dayOf(t time.Time) int { return int(t.Sub(firstDay)/(24*time.Hour)) + 1 }

// noonOf is 12:00 UTC of a day.
func noonOf(day int) time.Time { return firstDay.AddDate(0, 0, day-1).Add(12 * time.Hour) }

// world is the month being played.
type world struct {
	options
	pass
	*house.House
	wecom    *house.Child
	sim      *wecomsim.Client
	ledger   *ledger.Ledger
	line     *progress.Line
	corps    []archive.CorpID
	fetching sync.WaitGroup
	unheard  map[archive.CorpID]bool     // corps whose chat data WeCom refuses
	key      *wecomsim.Key               // made by WeCom last
	still    bool                        // the schedules stand still
	permit   map[archive.CorpID][]string // who is designated
	weather  *weather
}

// marker is the file by which the runner knows a data folder as its own.
const marker = "wecomvault-data"

// play plays the month and returns the mails that came of it.
func play(ctx context.Context, o options, p pass, line *progress.Line) (got []letter, notes string, err error) {
	w := &world{options: o, pass: p, line: line, unheard: map[archive.CorpID]bool{}, permit: map[archive.CorpID][]string{}}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, w.close()) // which ends fetch
		w.fetching.Wait()
	}()
	if err := w.open(ctx); err != nil {
		return nil, "", err
	}
	if p.seed != 0 {
		w.weather = newWeather(w, p.seed)
		w.fetching.Go(func() { w.weather.blow(ctx) })
	}
	if err := w.days(ctx); err != nil {
		return nil, "", err
	}
	if w.weather != nil {
		notes = w.weather.notes()
	}
	if got, err = mailbox(w.Mails); err != nil {
		return nil, "", err
	}
	shown, err := w.shown(ctx)
	if err != nil || w.weather == nil {
		return append(got, shown...), notes, err
	}
	// Of a mail whose sender died nobody can tell at once whether SES has it: the next attempt says so. It may be marked, and must not come twice.
	marked := 0
	for i := range got {
		if got[i].Attempt != "" {
			got[i].Attempt = ""
			marked++
		}
	}
	return append(got, shown...), fmt.Sprintf("%s, %d mails marked as a further attempt", notes, marked), nil
}

func (w *world) open(ctx context.Context) (err error) {
	if err := os.WriteFile(filepath.Join(w.data, marker), []byte("1\n"), 0o600); err != nil {
		return fmt.Errorf("mark the folder for the runner: %w", err)
	}
	var url string
	if w.wecom, url, err = house.Simulator(ctx, w.folders.Binaries, w.data); err != nil {
		return err
	}
	w.sim = wecomsim.NewClient(url)
	w.House, err = house.Open(ctx, house.Options{
		Data: w.data, Template: w.folders.Template, Binaries: w.folders.Binaries, NoSync: true,
		Params: map[string]string{
			"WecomUrl": url, "SdkHost": filepath.Join(w.folders.Binaries, "local", "simsdk"), "PollInterval": "300ms", "RetentionMode": "GOVERNANCE",
			"RetentionDays": "1", "Trial": "true", "MailFrom": "archive@vault.example",
		},
	})
	if err != nil {
		return err
	}
	w.ledger = w.Ledger()
	return w.Start()
}

func (w *world) close() error {
	var errs []error
	if w.House != nil {
		errs = append(errs, w.House.Close())
	}
	if w.wecom != nil {
		errs = append(errs, w.wecom.Close())
	}
	return errors.Join(errs...)
}

// setClock moves the clock of the product and of WeCom forward to t.
func (w *world) setClock(ctx context.Context, t time.Time) error {
	ahead := t.Sub(clock.Real())
	if err := w.SetOffset(ahead); err != nil {
		return err
	}
	ns := int64(ahead)
	_, err := w.sim.SetClock(ctx, wecomsim.Clock{OffsetNS: &ns})
	return err
}

// operate runs the operator's command until it succeeds, as a person would.
func (w *world) operate(ctx context.Context, args ...string) error {
	for try := 1; ; try++ {
		code, said, err := w.Operate(ctx, args...)
		if err == nil && code == 0 {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("vaultctl %s ended with %d: %s", strings.Join(args[:2], " "), code, said)
		}
		if try == 3 || ctx.Err() != nil {
			return err
		}
		rest(ctx, 300*time.Millisecond)
	}
}

// withFile gives do the path of a file that holds a text for as long as it runs.
func (w *world) withFile(text string, do func(path string) error) error {
	path := filepath.Join(w.data, "handed-over")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write what the operator gives: %w", err)
	}
	return errors.Join(do(path), os.Remove(path))
}

// enrol makes a company known to the product, with its secrets and the key that is there.
func (w *world) enrol(ctx context.Context, corp, kind, reportTo string) error {
	shown, err := w.sim.Corps(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(shown, func(c wecomsim.Corp) bool { return c.Corp == corp })
	if i < 0 {
		return fmt.Errorf("WeCom knows no corp %s", corp)
	}
	c := shown[i]
	paths := map[string]string{"-secret-file": wecomsim.KindArchive, "-contacts-secret-file": kind, "-customer-secret-file": wecomsim.KindCustomer}
	args := []string{"corps", "add", "-corp", corp, "-name", c.Name, "-simulated", "-report-to", reportTo}
	for flag, kind := range paths {
		path := filepath.Join(w.data, strings.TrimPrefix(flag, "-"))
		if err := os.WriteFile(path, []byte(c.Secret(kind)), 0o600); err != nil {
			return fmt.Errorf("write what the operator gives: %w", err)
		}
		defer func() { _ = os.Remove(path) }() // it is of this month alone
		args = append(args, flag, path)
	}
	if err := w.operate(ctx, args...); err != nil {
		return err
	}
	w.corps = append(w.corps, archive.CorpID(corp))
	w.keepFetching(ctx, corp)
	for _, k := range c.Keys {
		if err := w.holdKey(ctx, corp, k); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) holdKey(ctx context.Context, corp string, k wecomsim.Key) error {
	return w.withFile(k.Private, func(path string) error {
		return w.operate(ctx, "keys", "add", "-corp", corp, "-ver", fmt.Sprint(k.Version), "-file", path)
	})
}

// keepFetching follows a corp as the schedule of fetch does, for as long as the month lasts.
func (w *world) keepFetching(ctx context.Context, corp string) {
	for range w.times() {
		w.fetching.Go(func() {
			for ctx.Err() == nil {
				if _, err := w.Host.Invoke(ctx, "FetchFunction", fmt.Appendf(nil, `{"corps":[%q]}`, corp)); err != nil {
					return
				}
				rest(ctx, 500*time.Millisecond)
			}
		})
	}
}

// times is how often each schedule fires.
func (w *world) times() int {
	if w.pass.seed != 0 {
		return 2
	}
	return 1
}

// invoke fires a function's schedule, and again until it succeeds, as its next turn would.
func (w *world) invoke(ctx context.Context, function string) error {
	failures := make([]error, w.times())
	var all sync.WaitGroup
	for i := range failures {
		all.Go(func() {
			for try := 1; ; try++ {
				r, err := w.Host.Invoke(ctx, function, []byte(`{}`))
				if err == nil && r.FunctionError == "" {
					return
				}
				if err == nil {
					err = fmt.Errorf("%s", r.Payload)
				}
				if failures[i] = fmt.Errorf("%s fails: %w", function, err); try == 20 || ctx.Err() != nil {
					return
				}
				failures[i] = nil
				if try == patient {
					w.weather.spare(function, 1)
					defer w.weather.spare(function, -1)
				}
				rest(ctx, 50*time.Millisecond)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// member changes a member now. fields are as WeCom names them.
func (w *world) member(ctx context.Context, corp, id string, fields map[string]any) error {
	b, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	_, err = w.sim.ChangeMember(ctx, wecomsim.MemberChange{Corp: corp, UserID: id, Fields: b})
	return err
}
