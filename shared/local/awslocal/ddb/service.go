// Package ddb is a local DynamoDB over HTTP: the operations that the product uses, each of them as AWS answers it, and everything else
// refused by name. Its state lives in a bbolt file; an answer is given only after the write is committed there, so acknowledged work
// survives the death of the process. Whether it also survives the death of the machine is the file's own setting: with bbolt's NoSync off
// (its default) each commit is synced to the disk. The package must not know who calls (package authz does), must not verify signatures
// (the front did), and keeps no streams, backups or expiry of items: it only remembers that they were asked for.
package ddb

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/expr"
)

// Meter is told what each operation used of a table, indexes included; a refused conditional write counts too, as AWS charges it.
type Meter func(op, table string, writeUnits, readUnits float64)

// Service answers DynamoDB's protocol. It is safe for concurrent use.
type Service struct {
	region, account string
	meter           Meter
	now             func() time.Time
	store           *store
	operations      map[string]operation
}

type operation func(*Service, *request) (any, error)

// Option changes a Service as it is made.
type Option func(*Service)

// WithClock sets what the service takes for the time: creation times, and the ten minutes for which a transaction's token is kept.
func WithClock(now func() time.Time) Option { return func(s *Service) { s.now = now } }

// New opens the service over a bbolt file that it may share with others; it keeps to one top-level bucket of its own. meter may be nil.
func New(db *bbolt.DB, region, account string, meter func(op, table string, writeUnits, readUnits float64), options ...Option) (*Service, error) {
	if meter == nil {
		meter = func(string, string, float64, float64) {}
	}
	s := &Service{region: region, account: account, meter: meter, now: clock.Real, store: &store{db: db, schemas: &sync.Map{}}}
	for _, o := range options {
		o(s)
	}
	s.operations = map[string]operation{
		"CreateTable":               (*Service).createTable,
		"DescribeTable":             (*Service).describeTable,
		"DeleteTable":               (*Service).deleteTable,
		"ListTables":                (*Service).listTables,
		"UpdateTable":               (*Service).updateTable,
		"UpdateContinuousBackups":   (*Service).updateContinuousBackups,
		"DescribeContinuousBackups": (*Service).describeContinuousBackups,
		"UpdateTimeToLive":          (*Service).updateTimeToLive,
		"DescribeTimeToLive":        (*Service).describeTimeToLive,
		"PutItem":                   (*Service).putItem,
		"GetItem":                   (*Service).getItem,
		"UpdateItem":                (*Service).updateItem,
		"DeleteItem":                (*Service).deleteItem,
		"Query":                     (*Service).query,
		"Scan":                      (*Service).scan,
		"BatchWriteItem":            (*Service).batchWriteItem,
		"BatchGetItem":              (*Service).batchGetItem,
		"TransactWriteItems":        (*Service).transactWriteItems,
		"TransactGetItems":          (*Service).transactGetItems,
	}
	if err := s.store.prepare(); err != nil {
		return nil, fmt.Errorf("ddb: prepare the store: %w", err)
	}
	return s, nil
}

// request is one call on its way through an operation.
type request struct {
	ctx  context.Context
	op   string
	body []byte
}

const (
	targetPrefix = "DynamoDB_20120810."
	typePrefix   = "com.amazonaws.dynamodb.v20120810#"
	maxBody      = 16<<20 + 1<<20 // bytes: the 16 MB of a BatchWriteItem, and room for base64's own
)

// ServeHTTP answers one operation, named by the X-Amz-Target header.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := s.answer(w, r)
	status := http.StatusOK
	if err != nil {
		status, out = refusalAnswer(err)
	}
	body, err := json.Marshal(out)
	if err != nil {
		// Only this package's own answers are written here.
		panic(fmt.Errorf("ddb: write the answer: %w", err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Amzn-Requestid", rand.Text()+rand.Text())
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	// A client that went away has no use for an error either.
	_, _ = w.Write(body)
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	target := r.Header.Get("X-Amz-Target")
	name, ours := strings.CutPrefix(target, targetPrefix)
	op := s.operations[name]
	if !ours || op == nil || r.Method != http.MethodPost {
		return nil, &refusal{code: "UnknownOperationException", message: fmt.Sprintf("the local DynamoDB does not have the operation %q", target)}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &refusal{code: "SerializationException", message: "the request could not be read, or is larger than 17 MB"}
	}
	return op(s, &request{ctx: r.Context(), op: name, body: body})
}

// refusal is an answer other than success, in AWS's words.
type refusal struct {
	code    string
	message string
	item    attr.Item
	reasons []reason
	input   bool // the request itself is wrong, whatever is in the table: never a reason of a transaction's cancellation
}

func (e *refusal) Error() string { return e.code + ": " + e.message }

func validation(format string, args ...any) error {
	return &refusal{code: "ValidationException", message: fmt.Sprintf(format, args...)}
}

// notFound is AWS's answer for an unknown table; some operations add its name.
func notFound(table string) error {
	message := "Requested resource not found"
	if table != "" {
		message += ": Table: " + table + " not found"
	}
	return &refusal{code: "ResourceNotFoundException", message: message}
}

// asRefusal finds the refusal in an error of this package or its parts; nil means that the store itself failed.
func asRefusal(err error) *refusal {
	var r *refusal
	var wrong *attr.InvalidError
	var broken *expr.Error
	var denied *authz.DeniedError
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &wrong):
		return &refusal{code: "ValidationException", message: wrong.Message}
	case errors.As(err, &broken):
		return &refusal{code: "ValidationException", message: broken.Message}
	case errors.As(err, &denied):
		return &refusal{code: "AccessDeniedException", message: denied.Error()}
	default:
		return nil
	}
}

func refusalAnswer(err error) (status int, body any) {
	r := asRefusal(err)
	if r == nil {
		return http.StatusInternalServerError, map[string]any{"__type": typePrefix + "InternalServerError", "message": "the local store failed: " + err.Error()}
	}
	out := map[string]any{"__type": typePrefix + r.code}
	switch {
	case r.reasons != nil:
		out["Message"] = r.message
		out["CancellationReasons"] = r.reasons
	default:
		out["message"] = r.message
	}
	if r.item != nil {
		out["Item"] = r.item
	}
	return http.StatusBadRequest, out
}

// read fills in from the request's body. A parameter that the operation does not have here is refused by its name.
func (r *request) read(in any) error {
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil {
		return nil
	}
	if asRefusal(err) != nil {
		return err
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return validation("the local DynamoDB does not have the parameter %s of %s", name, r.op)
	}
	return &refusal{code: "SerializationException", message: "the request is not what " + r.op + " takes: " + err.Error()}
}

func (s *Service) arn(table string) string {
	return "arn:aws:dynamodb:" + s.region + ":" + s.account + ":table/" + table
}

// allow asks for permission for one action on a table, or on an index of it if that is not "".
func (s *Service) allow(r *request, action, table, index string) error {
	if err := checkTableName(table); err != nil {
		return err
	}
	resource := s.arn(table)
	if index != "" {
		resource += "/index/" + index
	}
	return authz.Check(r.ctx, authz.Request{Action: "dynamodb:" + action, Resource: resource})
}

func checkTableName(name string) error {
	if name == "" {
		return validation("1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	}
	return checkName("tableName", name)
}

// checkName checks the spelling of a table's or an index's name. ARNs in a name's place are refused by it.
func checkName(parameter, name string) error {
	foreign := strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-')
	})
	if foreign {
		return validation("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+", name, parameter)
	}
	if len(name) < 3 || len(name) > 255 {
		return validation("%s must be at least 3 characters long and at most 255 characters long", parameter)
	}
	return nil
}

// oneOf checks an enumeration's value; "" stands for the default and passes.
func oneOf(parameter, value string, allowed ...string) error {
	if value == "" {
		return nil
	}
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return validation("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
		value, parameter, strings.Join(allowed, ", "))
}
