package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
)

// TestWhatVanishedBehindTheProductsBackIsNamedAndEndsWithOne takes a batch out of the archive where no permission of the product's could: its row
// out of the table's file, its object off the disk. The next day's account has to miss exactly its seqs.
func TestWhatVanishedBehindTheProductsBackIsNamedAndEndsWithOne(t *testing.T) {
	slow(t)
	for _, name := range []string{"AWS_ENDPOINT_URL", "WECOMVAULT_CLOCK_FILE"} {
		t.Setenv(name, os.Getenv(name)) // house.Open sets them for this process
	}
	data := filepath.Join(t.TempDir(), "data")
	code, out := play(t, "-once", "-data", data)
	wantExit(t, code, 0, out)
	gone := vanish(t, data)
	// What is known for certain when the program ends, the environment of this process must not reach it.
	for _, name := range []string{"AWS_ENDPOINT_URL", "WECOMVAULT_CLOCK_FILE"} {
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	code, out = play(t, "-once", "-data", data)
	wantExit(t, code, 1, out)
	wantSaid(t, out, "unaccounted for (exit 1)", "day 2")
	for seq := gone.First; seq <= gone.Last; seq++ {
		wantSaid(t, out, "UNACCOUNTED FOR: seq "+seq.String()+" of corp "+string(gone.Corp)+" was never archived")
	}
	if n := strings.Count(out, "was never archived"); n != gone.Items {
		t.Errorf("%d seqs are missed, %d vanished:\n%s", n, gone.Items, out)
	}
}

// vanish takes the first batch that is alone in having its seqs out of the archive.
func vanish(t *testing.T, data string) ledger.BatchRow {
	t.Helper()
	binaries, err := built()
	if err != nil {
		t.Fatal(err)
	}
	h, err := house.Open(t.Context(), house.Options{Data: data, Template: "../../template.yaml", Binaries: binaries,
		Params: map[string]string{"RetentionMode": "GOVERNANCE", "RetentionDays": "1", "Trial": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	corps, err := h.Ledger().Corps(t.Context())
	if err != nil || len(corps) == 0 {
		t.Fatalf("%d corps, %v", len(corps), err)
	}
	var gone ledger.BatchRow
	err = h.Ledger().Batches(t.Context(), corps[0].ID, "", func(b ledger.BatchRow) bool {
		gone = b
		return b.Items < 3 || b.SetAside > 0 || int(b.Last-b.First) != b.Items-1 // #nosec G115 -- a small batch
	})
	if err != nil || gone.Items < 3 {
		t.Fatalf("no batch is fit: %+v, %v", gone, err)
	}
	client, table := dynamodb.NewFromConfig(h.Config(house.Operator)), h.Tables().Control
	rows := 0
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			sk, _ := it["sk"].(*types.AttributeValueMemberS)
			if _, kept := it["object"]; sk == nil || sk.Value != gone.Key() || !kept {
				continue
			}
			rows++
			if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rows != 1 {
		t.Fatalf("%d rows of batch %s were deleted", rows, gone.Key())
	}
	files := 0
	err = filepath.WalkDir(filepath.Join(data, "s3"), func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.Contains(path, filepath.FromSlash(gone.Object)) {
			files++
			return os.RemoveAll(path)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files of batch %s were deleted: %v", files, gone.Key(), err)
	}
	return gone
}
