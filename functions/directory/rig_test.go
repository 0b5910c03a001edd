package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/secrets"
	"github.com/wecomvault/wecomvault/shared/wecom"
)

const corp = archive.CorpID("wwharbour")

var (
	customer  = "wm" + strings.Repeat("a", 30)
	partner   = "wo" + strings.Repeat("b", 30)
	guest     = "wm" + strings.Repeat("c", 30) // in a room only, nobody's contact
	robot     = "wb" + strings.Repeat("d", 30)
	inside    = "wr" + strings.Repeat("1", 30)
	outside   = "wr" + strings.Repeat("2", 30)
	elsewhere = "wr" + strings.Repeat("3", 30)
)

// rig is the function over real adapters, a simulated WeCom and local AWS endpoints.
type rig struct {
	*testing.T
	*refresher
	aws     *awstest.Endpoint
	s3      *s3test.Env
	sim     *wecomsim.Client
	at      time.Time
	log     bytes.Buffer
	figures bytes.Buffer       // metrics
	wishes  []queue.ConsentJob // that consent ask
	deaf    error              // what asking consent ends with
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, at: time.Date(2031, 5, 6, 9, 0, 0, 0, time.UTC)}
	r.aws = awstest.Start(t, awstest.Options{More: func(db *bbolt.DB) map[string]http.Handler {
		tables, err := ddb.New(db, awstest.Region, awstest.Account, nil)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]http.Handler{"dynamodb": tables}
	}})
	r.s3 = s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: "archive", Lock: true, LockMode: "GOVERNANCE", LockDays: 1})
	cfg := r.aws.Config("operator")
	// The SDK now and then loses an answer that comes too fast, and then asks again.
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Millisecond, nil })
		})
	}
	db := dynamodb.NewFromConfig(cfg)
	names := ledger.Tables{Control: "control", Messages: "messages", Directory: "directory"}
	for _, name := range []string{names.Control, names.Messages, names.Directory} {
		if _, err := db.CreateTable(r.Context(), &dynamodb.CreateTableInput{
			TableName: &name, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	sim, err := wecomsim.Open(filepath.Join(t.TempDir(), "wecom.db"), clock.Real)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	r.sim = wecomsim.NewClient(server.URL)
	r.refresher = &refresher{
		ledger: ledger.New(db, names),
		store:  objstore.New(r.s3.Client, "archive"),
		vault:  secrets.New(secretsmanager.NewFromConfig(cfg), "vault/"),
		server: wecom.New(server.URL, &http.Client{Timeout: 2 * time.Second}, clock.Real),
		jobs:   queue.New[queue.DirectoryJob](sqs.NewFromConfig(cfg), r.aws.Queue(t, "directory", nil)),
		log:    slog.New(slog.NewTextHandler(&r.log, nil)),
		now:    func() time.Time { return r.at },
		budget: time.Minute, pause: time.Millisecond, metrics: &r.figures,
	}
	r.consent = func(_ context.Context, job queue.ConsentJob) error {
		r.wishes = append(r.wishes, job)
		return r.deaf
	}
	r.company(corp)
	return r
}

func must[A any](t *testing.T) func(a A, err error) A {
	return func(a A, err error) A {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// company makes a small company, whose archive's secret alone is held.
func (r *rig) company(id archive.CorpID) {
	r.Helper()
	ctx := r.Context()
	c := must[wecomsim.Corp](r.T)(r.sim.AddCorp(ctx, wecomsim.NewCorp{Corp: string(id), Name: "Harbour Lane", NoKey: true, Secrets: []wecomsim.Secret{
		{Kind: wecomsim.KindArchive, Value: "archive-of-" + string(id)}, {Kind: wecomsim.KindCustomer, Value: "customer-of-" + string(id)},
		{Kind: wecomsim.KindLegacyApp, Value: "legacy-of-" + string(id)}, {Kind: wecomsim.KindNewApp, Value: "new-of-" + string(id)},
		{Kind: wecomsim.KindContactsSyncNewIP, Value: "sync-of-" + string(id)},
	}}))
	r.change(wecomsim.ChangeContacts{
		Corp: string(id),
		Departments: []wecomsim.Department{
			{ID: 1, Name: "Harbour Lane", Leaders: []string{"ines"}}, {ID: 2, Name: "Freight", Parent: 1}, {ID: 3, Name: "Night shift", Parent: 2},
		},
		Members: []wecomsim.Member{
			{UserID: "ines", Name: "Ines", Department: []int{1, 2}, IsLeaderInDept: []int{1, 0}, Mobile: "19912340001", Email: "ines@harbour.example", Gender: "2"},
			{UserID: "bo", Name: "博", Department: []int{2}, Mobile: "", Email: "", Status: 4, DirectLeader: []string{"ines"}},
			{UserID: "tomas", Name: "Tomás", Department: []int{3}, Mobile: "19912340003", Status: 1},
		},
		Externals: []wecomsim.External{
			{ID: customer, Name: "远山", Type: 1, UnionID: "o-1", FollowUsers: []wecomsim.Follow{{UserID: "ines"}, {UserID: "bo"}}},
			{ID: partner, Name: "Petra", Type: 2, CorpName: "Quay & Sons", FollowUsers: []wecomsim.Follow{{UserID: "bo"}}},
			{ID: guest, Name: "Guest", Type: 1, UnionID: "o-2"},
		},
		Robots: []wecomsim.Robot{{ID: robot, Name: "Tide table", Creator: "ines"}},
		Rooms: []wecomsim.Room{
			{ID: inside, Kind: wecomsim.RoomInternal, Name: "Pier 4", Owner: "ines", Members: []string{"ines", "bo", robot}, CreateTime: 1900000000},
			{ID: outside, Kind: wecomsim.RoomExternal, Name: "Quay talk", Owner: "ines", Members: []string{"ines", partner, guest}},
			{ID: elsewhere, Kind: wecomsim.RoomOtherCorp, Members: []string{"bo", partner}},
		},
		Permit: map[int][]string{1: {"ines"}, 3: {"ines", "bo"}},
	})
	r.ok(r.ledger.PutCorp(ctx, ledger.Corp{ID: id, Name: c.Name, Added: r.at}))
	r.hold(id, secrets.Archive, "archive-of-"+string(id))
}

func (r *rig) change(c wecomsim.ChangeContacts) {
	r.Helper()
	if c.Corp == "" {
		c.Corp = string(corp)
	}
	r.ok(r.sim.ChangeContacts(r.Context(), c))
}

func (r *rig) hold(id archive.CorpID, kind secrets.Kind, value string) {
	r.Helper()
	r.ok(r.vault.PutSecret(r.Context(), id, kind, secrets.NewValue(value)))
}

// talk makes messages name the rooms and the robot.
func (r *rig) talk(id archive.CorpID) {
	r.Helper()
	var messages []archive.Message
	for i, room := range []string{inside, outside, elsewhere} {
		messages = append(messages, archive.Message{Corp: id, Seq: archive.Seq(i + 1), MsgID: archive.MsgID(room), Room: archive.RoomID(room),
			From: "ines", To: []archive.PartyID{archive.PartyID(robot)}, Time: r.at, Type: "text", Action: archive.Send, Known: true})
	}
	r.ok(r.ledger.PutMessages(r.Context(), "batch", messages, &ledger.People{}))
}

// refreshed runs the function an hour later and returns the newest snapshot of a corp.
func (r *rig) refreshed(id archive.CorpID) ledger.Snapshot {
	r.Helper()
	r.at = r.at.Add(time.Hour)
	event := must[[]byte](r.T)(os.ReadFile(filepath.Join("..", "..", "events", "directory.json")))
	if _, err := r.function().Invoke(r.Context(), event); err != nil {
		r.Fatal(err)
	}
	return r.snapshot(id)
}

func (r *rig) snapshot(id archive.CorpID) (newest ledger.Snapshot) {
	r.Helper()
	r.ok(r.ledger.Snapshots(r.Context(), id, func(s ledger.Snapshot) bool {
		newest = s
		return false
	}))
	return newest
}

// state is the newest state of everything, times left out.
func (r *rig) state(id archive.CorpID) map[string]string {
	r.Helper()
	state := map[string]string{}
	r.ok(r.ledger.Entries(r.Context(), id, "", func(e directory.Entry) bool {
		text := e.Fields
		if e.Gone {
			text = "gone " + text
		}
		state[string(e.Kind)+" "+e.ID] = text
		return true
	}))
	return state
}

func entry[S directory.State](r *rig, kind directory.Kind, id string) (state S, gone bool) {
	r.Helper()
	history := must[[]directory.Entry](r.T)(r.ledger.EntryHistory(r.Context(), corp, kind, id))
	if len(history) == 0 {
		r.Fatalf("%s %s was never seen; there are %q", kind, id, slices.Sorted(maps.Keys(r.state(corp))))
	}
	last := history[len(history)-1]
	return must[S](r.T)(directory.Parse[S](last.Fields)), last.Gone
}

func (r *rig) party(id string, at time.Time) archive.Party {
	r.Helper()
	return must[archive.Party](r.T)(directory.NewNames(r.ledger, corp).Party(r.Context(), archive.PartyID(id), at))
}

// fault plans trouble for calls of WeCom.
func (r *rig) fault(f wecomsim.Fault) {
	r.Helper()
	if f.Corp == "" {
		f.Corp = string(corp)
	}
	must[wecomsim.Fault](r.T)(r.sim.AddFault(r.Context(), f))
}

func (r *rig) lift() {
	r.Helper()
	r.ok(r.sim.LiftFaults(r.Context()))
}

func raw(fields any) json.RawMessage {
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return b
}

// answers is what a snapshot keeps, unpacked.
func (r *rig) answers(s ledger.Snapshot) string {
	r.Helper()
	packed := must[[]byte](r.T)(r.store.Get(r.Context(), objstore.Object{Key: s.Object, VersionID: s.Version}))
	zip := must[*gzip.Reader](r.T)(gzip.NewReader(bytes.NewReader(packed)))
	return string(must[[]byte](r.T)(io.ReadAll(zip)))
}

// slow skips a test that takes long when only the short ones are asked for, as under the race detector.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long: left out by -short")
	}
}
