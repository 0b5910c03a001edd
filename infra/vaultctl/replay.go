package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/financesdk"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/opening"
	"github.com/wecomvault/wecomvault/shared/progress"
)

// Where a replay takes the messages from.
const (
	fromBatches  = "batches"  // opened again: needs the library and the keys, and holds the segments against what it gets
	fromSegments = "segments" // read: needs neither
)

const replayUsage = "replay [-corp ID] [-from batches|segments] [-mend [-kms-key ARN]] [-table NAME] [-again] [-keep]: make the derived rows anew in a table " +
	"of their own and hold the live ones against them, one JSON object a difference; -mend writes into the live table what differs, and makes it if it is lost. " +
	"From batches, SDK_LIB names Tencent's library (and SDK_HOST a program that holds it)"

// dissent is one difference as replay prints it.
type dissent struct {
	Corp       archive.CorpID `json:"corp"`
	Kind       string         `json:"kind"` // msg, parts, person, room, robot, recall, finding, aside; batch, segment, seq, media
	What       string         `json:"what"`
	Key        string         `json:"key"` // a row's keys, an object, a batch, a seq: never content
	Attributes []string       `json:"attributes,omitempty"`
	State      string         `json:"state"` // open, mended, older: read otherwise by an older decoder, or unsettled: of a batch that process is or may be at work on
	Hint       string         `json:"hint,omitempty"`
}

// account of one corp's replay.
type replayed struct {
	Corp        archive.CorpID `json:"corp"`
	From        string         `json:"from"`
	Batches     int            `json:"batches"`
	Pending     int            `json:"pending_batches"` // not opened yet: they have no rows to compare
	Seqs        int            `json:"seqs"`
	Messages    int            `json:"messages"`
	SetAside    int            `json:"set_aside"`
	Segments    int            `json:"segments"` // read, and from batches compared with what those gave
	Rows        int            `json:"rows"`     // made
	Attachments map[string]int `json:"attachments"`
	Differences int            `json:"differences"`
	Mended      int            `json:"mended"`
	Unsettled   int            `json:"unsettled"`
	Older       int            `json:"older"` // rows that an older decoder wrote and this one would write otherwise
	Seconds     float64        `json:"seconds"`
}

// replayer makes the derived rows of one corp anew. Nothing that it does goes out: no mail, no job, no redrive; without mend nothing is written
// but the table of its own.
type replayer struct {
	*program
	corp   archive.CorpID
	from   string
	mend   bool
	lost   bool // the live table was lost: all of its rows are written, and none is told
	live   *ledger.Ledger
	made   *ledger.Ledger // over the table of its own
	opener *opening.Opener
	seen   map[string]string       // what each batch's row and its items set aside said when it was replayed
	asides map[string]ledger.Aside // live ones by batch and seq
	holds  map[string][]string     // keys of live asides, by batch
	broken map[string]bool         // batches of which messages can't be read, or whose items set aside are not as many as its row says
	stir   map[string]bool         // batches that changed since they were replayed, or are not done
	mu     sync.Mutex
	told   map[string]bool // dissents that are not about rows
	found  []dissent
	older  map[string]bool // messages that an older decoder read otherwise than this one, by batch and seq
	sum    replayed
}

func replay(ctx context.Context, p *program, args []string) (err error) {
	f := flags("replay")
	id, from := f.String("corp", "", ""), f.String("from", fromSegments, "")
	mend, again, keep := f.Bool("mend", false, ""), f.Bool("again", false, ""), f.Bool("keep", false, "")
	table, kmsKey := f.String("table", "", ""), f.String("kms-key", "", "")
	if err := parse(f, args); err != nil {
		return err
	}
	if *from != fromBatches && *from != fromSegments {
		return &usageError{fmt.Sprintf("replay: -from %q is neither batches nor segments", *from)}
	}
	if *from == fromBatches && p.host == "" && p.library == "" {
		return &usageError{"replay -from batches opens messages: SDK_LIB must name a copy of Tencent's library (Linux, x86_64). -from segments needs none"}
	}
	all, err := p.corpsOf(ctx, *id)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := p.audit(ctx, "replay", c.ID, *from); err != nil {
			return err
		}
	}
	lost, err := p.liveTable(ctx, *mend, *kmsKey)
	if err != nil {
		return err
	}
	given := *table != ""
	if !given {
		*table = p.tables.Messages + "-replay"
	}
	if *table == p.tables.Messages {
		return &usageError{"replay: -table names the live table: it is compared with, and a table of its own is needed"}
	}
	made := p.ledger.With(*table)
	if given {
		*keep = true
		if there, err := made.HasMessagesTable(ctx); err != nil || !there {
			return errors.Join(err, fmt.Errorf("-table %s: there is no such table. Without -table replay makes one, and removes it", *table))
		}
		for _, c := range all { // of an earlier replay
			if err := made.EmptyMessages(ctx, c.ID); err != nil {
				return err
			}
		}
	} else if err := p.tableOfItsOwn(ctx, made, *table, *again); err != nil {
		return err
	}
	if !*keep {
		defer func() {
			// Also after an interrupt: a table costs money.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, made.DropMessagesTable(ctx))
		}()
	}
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelError}))
	libraries := financesdk.NewPool(log, func(corp archive.CorpID) financesdk.Config {
		return financesdk.Config{Host: financesdk.HostOf(p.host), Lib: p.library, Corp: corp, Log: log} // no token: it only decrypts
	})
	defer libraries.Close()
	open := 0
	for _, c := range all {
		r := &replayer{
			program: p, corp: c.ID, from: *from, mend: *mend, lost: lost, live: p.ledger, made: made, seen: map[string]string{}, told: map[string]bool{}, broken: map[string]bool{}, older: map[string]bool{},
			opener: opening.New(opening.NewRing(p.vault), libraries.Decrypt),
			sum:    replayed{Corp: c.ID, From: *from, Attachments: map[string]int{}},
		}
		if err := r.run(ctx); err != nil {
			return fmt.Errorf("replay of corp %s: %w", c.ID, err)
		}
		open += r.sum.Differences - r.sum.Mended
	}
	if open > 0 {
		return fmt.Errorf("%d differences", open)
	}
	return nil
}

// corpsOf is one corp, or all.
func (p *program) corpsOf(ctx context.Context, id string) ([]ledger.Corp, error) {
	if id == "" {
		return p.ledger.Corps(ctx)
	}
	c, err := p.known(ctx, id)
	return []ledger.Corp{c}, err
}

// liveTable sees that there is a live table. A lost one is made again by mend, with what guards the stack's tables.
func (p *program) liveTable(ctx context.Context, mend bool, kmsKey string) (lost bool, err error) {
	there, err := p.ledger.HasMessagesTable(ctx)
	if err != nil || there {
		return false, err
	}
	if !mend || kmsKey == "" {
		return true, fmt.Errorf("the table %s is lost: replay -mend -kms-key ARN, with the ARN of the stack's MessagesKey, makes it again and fills it", p.tables.Messages)
	}
	if err := p.ledger.MakeMessagesTable(ctx, p.tables.Control, kmsKey, true); err != nil {
		return true, err
	}
	_, err = fmt.Fprintf(p.log, "table %s was lost: it is made again, empty\n", p.tables.Messages)
	return true, err
}

// tableOfItsOwn makes the table that replay writes into.
func (p *program) tableOfItsOwn(ctx context.Context, made *ledger.Ledger, name string, again bool) error {
	err := made.MakeMessagesTable(ctx, p.tables.Messages, "", false)
	if !errors.Is(err, ledger.ErrExists) {
		return err
	}
	if !again {
		return fmt.Errorf("%w: another replay is at work, or was killed. If none is, run it again with -again, which begins anew over %s", err, name)
	}
	if err := made.DropMessagesTable(ctx); err != nil {
		return err
	}
	return made.MakeMessagesTable(ctx, p.tables.Messages, "", false)
}

// looks is how often what differs is looked at: the archive goes on while it is replayed, and a batch that was opened in between has to be replayed
// too before its rows can be called too many.
const looks = 3

func (r *replayer) run(ctx context.Context) error {
	began := clock.Real()
	var rows []ledger.Difference
	for look := range looks {
		batches, err := r.batches(ctx)
		if err != nil {
			return err
		}
		if r.lost {
			if err := r.fill(ctx, batches); err != nil {
				return err
			}
			break
		}
		if rows, err = r.compare(ctx, batches, rows, look == 0); err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		if look < looks-1 {
			if err := pause(ctx, r.second); err != nil {
				return err
			}
		}
	}
	if err := r.tell(ctx, rows); err != nil {
		return err
	}
	r.sum.Seconds = float64(clock.Real().Sub(began).Milliseconds()) / 1000
	return json.NewEncoder(r.out).Encode(r.sum)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// look reads the ledger as it is now, and returns its batches and those that are new or have changed since they were replayed.
func (r *replayer) look(ctx context.Context) (ledger.Batches, []ledger.BatchRow, error) {
	// Those set aside before the batches: what is closed in between has changed the batch's row.
	r.asides, r.holds, r.stir = map[string]ledger.Aside{}, map[string][]string{}, map[string]bool{}
	err := r.live.Asides(ctx, r.corp, "", 0, func(a ledger.Aside) bool {
		r.asides[asideKey(a.Batch, a.Seq)] = a
		r.holds[a.Batch] = append(r.holds[a.Batch], a.Key())
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	all := ledger.Batches{}
	r.sum.Pending = 0
	var todo []ledger.BatchRow
	err = r.live.Batches(ctx, r.corp, "", func(b ledger.BatchRow) bool {
		all[b.Key()] = ledger.BatchSpan{First: b.First, Last: b.Last, Pulled: b.Pulled}
		switch {
		case b.State != ledger.Done:
			r.sum.Pending++
			r.stir[b.Key()] = true
		case r.seen[b.Key()] != r.state(b):
			r.stir[b.Key()] = true
			todo = append(todo, b)
		}
		return true
	})
	return all, todo, err
}

// state is what a replay of a batch depends on, of what can change.
func (r *replayer) state(b ledger.BatchRow) string {
	return fmt.Sprint(b.Archived, b.SetAside, b.Segments, r.holds[b.Key()])
}

// batches replays the batches that are new or have changed since they were replayed, and returns all.
func (r *replayer) batches(ctx context.Context) (ledger.Batches, error) {
	all, todo, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	seqs := 0
	for _, b := range todo {
		seqs += b.Items
	}
	line := progress.New(r.log, fmt.Sprintf("replay of corp %s from %s", r.corp, r.from), "seqs", int64(seqs))
	defer line.Done()
	people := &ledger.People{}
	err = each(ctx, todo, func(ctx context.Context, b ledger.BatchRow) error {
		if err := r.batch(ctx, b, people); err != nil {
			return fmt.Errorf("batch %s: %w", b.Key(), err)
		}
		line.Add(int64(b.Items))
		return nil
	})
	return all, err
}

// compare holds the live rows against those made: all of them at first, later those that were different.
func (r *replayer) compare(ctx context.Context, batches ledger.Batches, before []ledger.Difference, first bool) ([]ledger.Difference, error) {
	var rows []ledger.Difference
	if !first {
		for part := range slices.Chunk(before, 100) {
			still, err := r.live.StillDiffer(ctx, r.made, batches, part)
			if err != nil {
				return nil, err
			}
			rows = append(rows, still...)
		}
		return rows, nil
	}
	line := progress.New(r.log, fmt.Sprintf("comparison of corp %s", r.corp), "rows", 0)
	defer line.Done()
	r.sum.Rows = 0
	count := func(live bool, n int) {
		line.Add(int64(n))
		if !live {
			r.sum.Rows += n
		}
	}
	var lacking []ledger.Difference
	err := r.live.Differences(ctx, r.made, r.corp, batches, count, func(d ledger.Difference) error {
		if r.mend && d.What == ledger.Missing && d.Kind != "aside" {
			// However many: a table that was being filled may lack nearly all. A message that is archived stays so, and its rows are the same whoever
			// writes them.
			if lacking = append(lacking, d); len(lacking) < 100 {
				return nil
			}
			err := r.add(ctx, lacking)
			lacking = lacking[:0]
			return err
		}
		if rows = append(rows, d); len(rows) > cmp.Or(r.most, mostDifferent) {
			return fmt.Errorf("more than %d rows differ: is table %s this archive's?", cmp.Or(r.most, mostDifferent), r.tables.Messages)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, r.add(ctx, lacking)
}

// add writes rows that are missing, and prints them.
func (r *replayer) add(ctx context.Context, rows []ledger.Difference) error {
	if err := r.live.MendRows(ctx, r.made, rows); err != nil {
		return err
	}
	r.sum.Differences += len(rows)
	r.sum.Mended += len(rows)
	for _, d := range rows {
		if err := r.encoder().Encode(r.dissent(d, "mended")); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayer) encoder() *json.Encoder {
	enc := json.NewEncoder(r.out)
	enc.SetEscapeHTML(false)
	return enc
}

// mostDifferent bounds the memory for what differs: some 300 bytes each.
const mostDifferent = 1_000_000

// fill writes all rows into a live table that was lost. It removes none.
func (r *replayer) fill(ctx context.Context, batches ledger.Batches) error {
	line := progress.New(r.log, fmt.Sprintf("rows of corp %s", r.corp), "rows", 0)
	defer line.Done()
	var part []ledger.Difference
	flush := func() error {
		if err := r.live.MendRows(ctx, r.made, part); err != nil {
			return err
		}
		r.sum.Rows += len(part)
		r.sum.Differences += len(part)
		r.sum.Mended += len(part)
		line.Add(int64(len(part)))
		part = part[:0]
		return nil
	}
	err := r.live.Differences(ctx, r.made, r.corp, batches, nil, func(d ledger.Difference) error {
		if d.What == ledger.Extra {
			return nil // process is at work again, and has written it since
		}
		if d.Kind == "aside" && r.broken[d.Batch] {
			return nil // fsck sets aside what can't be read, and corrects the batch's counts with it
		}
		if part = append(part, d); len(part) < 100 {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// tell prints what is different, after it was mended if that was asked for.
func (r *replayer) tell(ctx context.Context, rows []ledger.Difference) error {
	enc := r.encoder()
	if len(rows) > 0 { // what process did while they were compared, and is at work on
		if _, _, err := r.look(ctx); err != nil {
			return err
		}
	}
	var settled, kept []ledger.Difference
	for _, d := range rows {
		if r.unsettled(d) {
			r.sum.Unsettled++
			if err := enc.Encode(r.dissent(d, "unsettled")); err != nil {
				return err
			}
			continue
		}
		if !r.mend && r.ofOlder(d) {
			r.sum.Older++
			said := r.dissent(d, "older")
			said.Hint = "opened by an older version of the decoder, and right as it was then: -mend writes what this version reads"
			if err := enc.Encode(said); err != nil {
				return err
			}
			continue
		}
		if r.kept(d) {
			kept = append(kept, d)
			continue
		}
		settled = append(settled, d)
	}
	state := "open"
	if r.mend {
		for part := range slices.Chunk(settled, 100) {
			if err := r.live.MendRows(ctx, r.made, part); err != nil {
				return err
			}
		}
		state = "mended"
		r.sum.Mended += len(settled)
	}
	r.sum.Differences += len(settled)
	for _, d := range settled {
		if err := enc.Encode(r.dissent(d, state)); err != nil {
			return err
		}
	}
	r.sum.Differences += len(kept)
	for _, d := range kept {
		said := r.dissent(d, "open")
		said.Hint = "not mended by replay: run vaultctl fsck"
		if r.from == fromSegments {
			said.Hint += ", or replay -from batches -mend"
		}
		if err := enc.Encode(said); err != nil {
			return err
		}
	}
	slices.SortFunc(r.found, func(a, b dissent) int { return strings.Compare(a.Kind+a.Key, b.Kind+b.Key) })
	for _, d := range r.found {
		r.sum.Differences++
		if d.State == "mended" {
			r.sum.Mended++
		}
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

// unsettled says whether a row may be of a batch that process is at work on. A message's rows are written before its batch is done, or before its item
// is no longer set aside.
func (r *replayer) unsettled(d ledger.Difference) bool {
	switch {
	case d.Kind == "aside":
		return r.stir[d.Batch] // closed, or for another reason, since it was carried over
	case d.What != ledger.Extra:
		return false
	case d.Kind == "finding": // names a seq and no batch
		for _, a := range r.asides {
			if strings.HasSuffix(d.SK, "#"+a.Seq.Key()) {
				return true
			}
		}
		return len(r.stir) > 0
	case d.Batch == "":
		return len(r.stir) > 0 || len(r.holds) > 0
	}
	return r.stir[d.Batch] || len(r.holds[d.Batch]) > 0
}

// kept says whether a row is not for replay to mend: one that is too many may be the last readable copy of a message whose segment is gone, and an item
// that was found to be nowhere is set aside together with its batch's counts, which only fsck does.
func (r *replayer) kept(d ledger.Difference) bool {
	if d.Kind == "aside" {
		return r.broken[d.Batch] || d.What == ledger.Missing && strings.HasPrefix(d.SK, ledger.ReasonMissing+"#")
	}
	if d.What != ledger.Extra {
		return false
	}
	if d.Batch == "" {
		return len(r.broken) > 0
	}
	_, replayed := r.seen[d.Batch]
	return !replayed || r.broken[d.Batch]
}

func (r *replayer) dissent(d ledger.Difference, state string) dissent {
	return dissent{Corp: r.corp, Kind: d.Kind, What: d.What, Key: d.PK + " " + d.SK, Attributes: d.Attributes, State: state}
}

// readOtherwise keeps that an older decoder made something else of a message's bytes.
func (r *replayer) readOtherwise(batch string, seq archive.Seq) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.older[asideKey(batch, seq)] = true
}

// ofOlder says whether a row is what an older decoder made of a message that this one reads otherwise.
func (r *replayer) ofOlder(d ledger.Difference) bool {
	if d.Kind != "msg" || d.What != ledger.Altered || len(r.older) == 0 {
		return false
	}
	seq, err := strconv.ParseUint(cut(d.SK, 1), 10, 64)
	return err == nil && r.older[asideKey(d.Batch, archive.Seq(seq))]
}

// cut is one part of a key.
func cut(key string, part int) string {
	if parts := strings.Split(key, "#"); part < len(parts) {
		return parts[part]
	}
	return ""
}

// note keeps a difference that is not about a row.
func (r *replayer) note(kind, what, key, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name := kind + " " + what + " " + key; !r.told[name] {
		r.told[name] = true
		r.found = append(r.found, dissent{Corp: r.corp, Kind: kind, What: what, Key: key, State: state})
	}
}
