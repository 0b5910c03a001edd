package ddb_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
)

// childFile names the state file in the environment of a test binary that was started again to be the service, and to be killed.
const childFile = "WECOMVAULT_TEST_DDB_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(childFile); file != "" {
		fmt.Fprintln(os.Stderr, serve(file))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serve runs the service over the file until it is killed; it prints its address first.
func serve(file string) error {
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		return err
	}
	svc, err := ddb.New(db, "us-east-1", "000000000000", nil)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	caller := authz.Everything("tester")
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { // #nosec G114 -- a test's child
		svc.ServeHTTP(w, q.WithContext(authz.NewContext(q.Context(), caller)))
	}))
}

func startChild(t *testing.T, file string) (*exec.Cmd, *dynamodb.Client) {
	t.Helper()
	c := exec.Command(os.Args[0]) // #nosec G204 -- this test's own binary
	c.Env = append(os.Environ(), childFile+"="+file)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it is dead already if all went well
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, client("http://" + strings.TrimSpace(line))
}

func TestAcknowledgedWritesSurviveAKill(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	child, c := startChild(t, file)
	if _, err := c.CreateTable(ctx, roomsTable()); err != nil {
		t.Fatal(err)
	}
	const writers, enough = 4, 60
	acknowledged := make([]atomic.Int64, writers)
	var wg sync.WaitGroup
	full := make(chan struct{})
	var total atomic.Int64
	for w := range writers {
		wg.Go(func() {
			for i := 1; ; i++ {
				_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
					{Put: &types.Put{TableName: aws.String(rooms), Item: merge(key("left", w*100000+i), row{"tag": s("left")})}},
					{Put: &types.Put{TableName: aws.String(rooms), Item: merge(key("right", w*100000+i), row{"tag": s("right")})}},
				}})
				if err != nil {
					return // the child is dead
				}
				acknowledged[w].Store(int64(i))
				if total.Add(1) == enough {
					close(full)
				}
			}
		})
	}
	<-full
	if err := child.Process.Kill(); err != nil { // SIGKILL, in the midst of the writes
		t.Fatal(err)
	}
	wg.Wait()
	if err := child.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
	child, c = startChild(t, file)
	found := map[string]map[string]bool{}
	for _, room := range []string{"left", "right"} {
		found[room] = map[string]bool{}
		for _, index := range []*string{nil, aws.String("tags")} {
			in := &dynamodb.QueryInput{TableName: aws.String(rooms), IndexName: index, KeyConditionExpression: aws.String("room = :r"), ExpressionAttributeValues: row{":r": s(room)}}
			if index != nil {
				in.KeyConditionExpression = aws.String("tag = :r")
			}
			o, err := c.Query(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			if index != nil && len(o.Items) != len(found[room]) {
				t.Errorf("%s: %d items, %d index entries", room, len(found[room]), len(o.Items))
			}
			for _, it := range o.Items {
				found[room][text(it["seq"])] = true
			}
		}
	}
	for w := range writers {
		for i := 1; i <= int(acknowledged[w].Load()); i++ {
			if seq := strconv.Itoa(w*100000 + i); !found["left"][seq] {
				t.Errorf("acknowledged but lost: %s", seq)
			}
		}
	}
	for seq := range found["left"] {
		if !found["right"][seq] {
			t.Errorf("half a transaction survived: %s", seq)
		}
	}
	if len(found["left"]) != len(found["right"]) {
		t.Errorf("%d on the left, %d on the right", len(found["left"]), len(found["right"]))
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // killed: its exit state says only that
}

func TestConcurrentTransactionsKeepTheSum(t *testing.T) {
	r := withRooms(t)
	const accounts, transfers, workers = 5, 20, 8
	for i := range accounts {
		r.put(t, merge(key("acct", i), row{"hits": n(100)}))
	}
	stop := make(chan struct{})
	var reader, wg sync.WaitGroup
	sum := func() int {
		var gets []types.TransactGetItem
		for i := range accounts {
			gets = append(gets, types.TransactGetItem{Get: &types.Get{TableName: aws.String(rooms), Key: key("acct", i)}})
		}
		o, err := r.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: gets})
		if err != nil {
			t.Error(err)
			return -1
		}
		total := 0
		for _, a := range o.Responses {
			v, err := strconv.Atoi(text(a.Item["hits"]))
			if err != nil {
				t.Error(err)
			}
			total += v
		}
		return total
	}
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := sum(); got != accounts*100 {
				t.Errorf("a reader saw %d in all, want %d", got, accounts*100)
				return
			}
		}
	})
	var refused atomic.Int64
	for w := range workers {
		wg.Go(func() {
			for i := range transfers {
				from, to, much := (w+i)%accounts, (w+2*i+1)%accounts, 10+w
				if from == to {
					continue
				}
				change := func(account int, expression string, condition *string) types.TransactWriteItem {
					return types.TransactWriteItem{Update: &types.Update{TableName: aws.String(rooms), Key: key("acct", account), UpdateExpression: &expression,
						ConditionExpression: condition, ExpressionAttributeValues: row{":m": n(much)}}}
				}
				_, err := r.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
					change(from, "SET hits = hits - :m", aws.String("hits >= :m")), change(to, "SET hits = hits + :m", nil)}})
				var cancelled *types.TransactionCanceledException
				switch {
				case errors.As(err, &cancelled):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reader.Wait()
	if got := sum(); got != accounts*100 {
		t.Errorf("%d in all, want %d", got, accounts*100)
	}
	if refused.Load() == int64(transfers*workers) {
		t.Error("no transfer went through")
	}
}

func TestOnlyOneOfManyTakesAClaim(t *testing.T) {
	r := withRooms(t)
	var won, counted atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			_, err := r.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(rooms), Item: merge(key("claim", 1), row{"owner": n(i)}), ConditionExpression: aws.String("attribute_not_exists(room)")})
			if err == nil {
				won.Add(1)
			} else if code(err) != "ConditionalCheckFailedException" {
				t.Error(err)
			}
			_, err = r.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String(rooms), Key: key("claim", 2), UpdateExpression: aws.String("ADD hits :one"), ExpressionAttributeValues: row{":one": n(1)}})
			if err != nil {
				t.Error(err)
			}
			counted.Add(1)
		})
	}
	wg.Wait()
	if won.Load() != 1 || text(r.get(t, key("claim", 2))["hits"]) != strconv.FormatInt(counted.Load(), 10) {
		t.Errorf("%d took the claim; counted %s of %d", won.Load(), text(r.get(t, key("claim", 2))["hits"]), counted.Load())
	}
}
