package awslocal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsses "github.com/aws/aws-sdk-go-v2/service/ses"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb"
)

// sdkOperations lists a client's operations with the types of their inputs.
func sdkOperations(client any) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	c := reflect.TypeOf(client)
	for i := range c.NumMethod() {
		m := c.Method(i)
		if m.Type.NumIn() == 4 && m.Type.In(2).Kind() == reflect.Pointer && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			out[m.Name] = m.Type.In(2).Elem()
		}
	}
	return out
}

// path is a field of an input, through lists, maps and structures: its names, and a request's JSON that sets it and nothing else.
type path struct {
	names []string
	value any
}

// paths lists all fields of a structure, to a depth. An interface (an attribute's value) has no fields of its own.
func paths(t reflect.Type, depth int) []path {
	var out []path
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		value, inner, wrap := sample(f.Type)
		out = append(out, path{[]string{f.Name}, map[string]any{f.Name: value}})
		if inner == nil || depth == 0 {
			continue
		}
		for _, p := range paths(inner, depth-1) {
			out = append(out, path{append([]string{f.Name}, p.names...), map[string]any{f.Name: wrap(p.value)}})
		}
	}
	return out
}

// sample is JSON of a type; inner is the structure within it, if there is one, and wrap puts JSON of that into JSON of the type.
func sample(t reflect.Type) (value any, inner reflect.Type, wrap func(any) any) {
	switch t.Kind() {
	case reflect.Pointer:
		return sample(t.Elem())
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return 1, nil, nil
		}
		return map[string]any{}, t, func(v any) any { return v }
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "AA==", nil, nil
		}
		value, inner, within := sample(t.Elem())
		if inner == nil {
			return []any{value}, nil, nil
		}
		return []any{value}, inner, func(v any) any { return []any{within(v)} }
	case reflect.Map:
		value, inner, within := sample(t.Elem())
		if inner == nil {
			return map[string]any{"k": value}, nil, nil
		}
		return map[string]any{"k": value}, inner, func(v any) any { return map[string]any{"k": within(v)} }
	case reflect.Bool:
		return true, nil, nil
	case reflect.Int32, reflect.Int64, reflect.Float64:
		return 1, nil, nil
	case reflect.Interface: // an AttributeValue
		return map[string]any{"S": "x"}, nil, nil
	default:
		return "x", nil, nil
	}
}

// send posts a signed body as the operator and returns the status and the whole answer.
func send(t *testing.T, url, service, contentType string, header map[string]string, body []byte) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "operator", SecretAccessKey: "operator-secret"}, r, hex.EncodeToString(sum[:]), service, awstest.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	out, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return out.StatusCode, string(text)
}

// withTables starts the endpoints with DynamoDB among them.
func withTables(t *testing.T) *awstest.Endpoint {
	t.Helper()
	return awstest.Start(t, awstest.Options{More: func(db *bbolt.DB) map[string]http.Handler {
		tables, err := ddb.New(db, awstest.Region, awstest.Account, nil)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]http.Handler{"dynamodb": tables}
	}})
}

// TestEveryParameterOfTheSDKIsHeededOrRefusedByName sends each field of each operation's input that the SDK knows, one at a time. What an
// endpoint takes must be in testdata/parameters.txt, where it was looked at by a person; whatever a later SDK adds is refused by its name.
func TestEveryParameterOfTheSDKIsHeededOrRefusedByName(t *testing.T) {
	e := withTables(t)
	config := e.Config("operator")
	var taken []string
	fields, refused := 0, 0
	for _, s := range []struct {
		service, prefix, version, source string
		client                           any
	}{
		{"dynamodb", "DynamoDB_20120810.", "1.0", "ddb", dynamodb.NewFromConfig(config)},
		{"sqs", "AmazonSQS.", "1.0", "sqs", awssqs.NewFromConfig(config)},
		{"secretsmanager", "secretsmanager.", "1.1", "secrets", secretsmanager.NewFromConfig(config)},
	} {
		source := sourceOf(t, s.source)
		for op, input := range sdkOperations(s.client) {
			ask := func(in any) (int, string) {
				body, err := json.Marshal(in)
				if err != nil {
					t.Fatal(err)
				}
				return send(t, e.URL, s.service, "application/x-amz-json-"+s.version, map[string]string{"X-Amz-Target": s.prefix + op}, body)
			}
			if status, text := ask(map[string]any{}); unknownOperation(status, text, op) {
				continue
			}
			for _, p := range paths(input, 5) {
				fields++
				last := p.names[len(p.names)-1]
				status, text := ask(p.value)
				parent := slices.Contains(taken, s.service+" "+op+" "+strings.Join(p.names[:len(p.names)-1], "."))
				switch {
				case status == http.StatusBadRequest && strings.Contains(text, `\"`+last+`\"`) && (strings.Contains(text, "not supported by the local endpoint") || strings.Contains(text, "does not have the parameter")):
					refused++
				case len(p.names) > 1 && !parent:
					refused++ // below something that is refused itself
				default:
					taken = append(taken, s.service+" "+op+" "+strings.Join(p.names, "."))
					if !regexp.MustCompile(`(?i)\.`+last+`\b`).MatchString(source) && len(p.names) == 1 {
						t.Errorf("%s %s takes %s, and no code reads it", s.service, op, last)
					}
				}
			}
		}
	}
	for op, input := range sdkOperations(awsses.NewFromConfig(config)) {
		ask := func(more string) (int, string) {
			return send(t, e.URL, "ses", "application/x-www-form-urlencoded", nil, []byte("Action="+op+"&Version=2010-12-01"+more))
		}
		if status, text := ask(""); unknownOperation(status, text, op) {
			continue
		}
		for _, p := range paths(input, 0) {
			fields++
			for _, form := range []string{"", ".member.1"} {
				_, text := ask("&" + p.names[0] + form + "=x")
				if strings.Contains(text, "the parameter "+p.names[0]+form+" is not supported by the local endpoint") {
					refused++
				} else {
					taken = append(taken, "ses "+op+" "+p.names[0]+form)
				}
			}
		}
	}
	slices.Sort(taken)
	golden(t, "parameters.txt", taken)
	t.Logf("%d fields of the SDK: %d refused by name, %d heeded", fields, refused, len(taken))
}

// unknownOperation is whether an answer refuses an operation by its name.
func unknownOperation(status int, text, op string) bool {
	return status == http.StatusBadRequest && strings.Contains(text, op) &&
		(strings.Contains(text, "refuses secretsmanager:DeleteSecret") || strings.Contains(text, "UnknownOperation") || strings.Contains(text, "UnsupportedOperation") || strings.Contains(text, "InvalidAction")) && !strings.Contains(text, "parameter")
}

// sourceOf is the text of a package's code without its tests.
func sourceOf(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", folder, err)
	}
	var all strings.Builder
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// golden compares a list with a file of testdata; with WECOMVAULT_UPDATE set it writes the file.
func golden(t *testing.T, name string, got []string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("WECOMVAULT_UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Join(got, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, one := range got {
		if !slices.Contains(want, one) {
			t.Errorf("taken, and not in %s: %s", file, one)
		}
	}
	for _, one := range want {
		if !slices.Contains(got, one) {
			t.Errorf("in %s, and not taken: %s", file, one)
		}
	}
}

// TestEveryOperationOfTheSDKIsThereOrRefusedByName counts what the endpoints have of all that the SDK can ask.
func TestEveryOperationOfTheSDKIsThereOrRefusedByName(t *testing.T) {
	e := withTables(t)
	config := e.Config("operator")
	var there []string
	for _, s := range []struct {
		service, prefix, version string
		client                   any
	}{
		{"dynamodb", "DynamoDB_20120810.", "1.0", dynamodb.NewFromConfig(config)},
		{"sqs", "AmazonSQS.", "1.0", awssqs.NewFromConfig(config)},
		{"secretsmanager", "secretsmanager.", "1.1", secretsmanager.NewFromConfig(config)},
		{"ses", "", "", awsses.NewFromConfig(config)},
	} {
		for op := range sdkOperations(s.client) {
			var status int
			var text string
			if s.prefix == "" {
				status, text = send(t, e.URL, s.service, "application/x-www-form-urlencoded", nil, []byte("Action="+op+"&Version=2010-12-01"))
			} else {
				status, text = send(t, e.URL, s.service, "application/x-amz-json-"+s.version, map[string]string{"X-Amz-Target": s.prefix + op}, []byte("{}"))
			}
			if !unknownOperation(status, text, op) {
				there = append(there, fmt.Sprint(s.service, " ", op))
			}
		}
	}
	slices.Sort(there)
	golden(t, "operations.txt", there)
}
