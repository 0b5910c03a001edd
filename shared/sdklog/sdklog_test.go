package sdklog_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/wecomvault/wecomvault/shared/sdklog"
)

// begun tells when an answer has begun to come.
type begun struct{ tell func() }

func (b begun) Do(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultClient.Do(r) // #nosec G704 -- the test's own server
	b.tell()
	return res, err
}

// answers is a table's client whose answers are written by answer, and what the SDK warned of. tell is called when an answer has begun to come.
func answers(t *testing.T, tell func(), answer http.HandlerFunc) (*dynamodb.Client, func() string) {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	var mu sync.Mutex
	var said []string
	client := dynamodb.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		HTTPClient: begun{tell},
		Logger: sdklog.New(func(text string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, text)
		}),
	})
	return client, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(said, "\n")
	}
}

func TestACallThatItsCallerEndsIsNoNews(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	client, said := answers(t, end, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Crc32", "1")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"TableNames":[`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if _, err := client.ListTables(ctx, &dynamodb.ListTablesInput{}); err == nil {
		t.Error("half an answer was taken for a whole one")
	}
	if said() != "" {
		t.Errorf("it warned: %s", said())
	}
}

func TestAnAnswerThatIsNotWhatWasSentIsTold(t *testing.T) {
	const body = `{"TableNames":["a"]}`
	for what, off := range map[string]uint32{"right": 0, "wrong": 1} {
		client, said := answers(t, func() {}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE([]byte(body))+off))
			_, _ = w.Write([]byte(body))
		})
		if _, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
			t.Errorf("%s checksum: %v", what, err)
		}
		if told := strings.Contains(said(), "checksum"); told != (off != 0) {
			t.Errorf("%s checksum: it warned: %q", what, said())
		}
	}
}
