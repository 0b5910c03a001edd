package ddb

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/ddb/attr"
)

type (
	attributeDefinition struct{ AttributeName, AttributeType string }
	keyElement          struct{ AttributeName, KeyType string }
	projectionSpec      struct {
		ProjectionType   string
		NonKeyAttributes []string `json:",omitempty"`
	}
	indexSpec struct {
		IndexName             string
		KeySchema             []keyElement
		Projection            projectionSpec
		ProvisionedThroughput *throughput
	}
	throughput struct{ ReadCapacityUnits, WriteCapacityUnits int64 }
	streamSpec struct {
		StreamEnabled  bool
		StreamViewType string `json:",omitempty"`
	}
	sseSpec struct {
		Enabled        bool
		SSEType        string `json:",omitempty"`
		KMSMasterKeyID string `json:"KMSMasterKeyId,omitempty"`
	}
	tag      struct{ Key, Value string }
	recovery struct {
		Since float64 // seconds since 1970; 0 is off
		Days  int
	}
)

type createTableInput struct {
	TableName                 string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keyElement
	GlobalSecondaryIndexes    []indexSpec
	BillingMode               string
	ProvisionedThroughput     *throughput
	StreamSpecification       *streamSpec
	SSESpecification          *sseSpec
	DeletionProtectionEnabled bool
	TableClass                string
	Tags                      []tag
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (s *Service) createTable(r *request) (any, error) {
	var in createTableInput
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "CreateTable", in.TableName, ""); err != nil {
		return nil, err
	}
	t, err := in.table()
	if err != nil {
		return nil, err
	}
	t.ID = strings.ToLower(rand.Text())
	t.Created = seconds(s.now())
	err = s.store.write(func(tx *bbolt.Tx) error {
		if bucket(tx, tablesBucket).Get([]byte(t.Name)) != nil {
			return &refusal{code: "ResourceInUseException", message: "Table already exists: " + t.Name}
		}
		own, err := bucket(tx, dataBucket).CreateBucket([]byte(t.Name))
		if err != nil {
			return fmt.Errorf("create table %s: %w", t.Name, err)
		}
		if _, err := own.CreateBucket(itemsBucket); err != nil {
			return fmt.Errorf("create table %s: %w", t.Name, err)
		}
		for i := range t.Indexes {
			if _, err := own.CreateBucket(t.Indexes[i].bucketName()); err != nil {
				return fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
		return t.save(tx)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": s.description(t, "CREATING", 0)}, nil
}

// table checks the input and makes the schema of it.
func (in *createTableInput) table() (*table, error) {
	t := &table{Name: in.TableName, Kinds: map[string]attr.Kind{}, Protected: in.DeletionProtectionEnabled, Stream: in.StreamSpecification,
		Encryption: in.SSESpecification, Tags: in.Tags, Class: in.TableClass, Billing: in.BillingMode, Throughput: in.ProvisionedThroughput}
	for _, d := range in.AttributeDefinitions {
		if err := oneOf("attributeDefinitions.attributeType", d.AttributeType, "B", "N", "S"); err != nil {
			return nil, err
		}
		if d.AttributeName == "" || d.AttributeType == "" {
			return nil, validation("attributeDefinitions need a name and a type each")
		}
		if _, doubled := t.Kinds[d.AttributeName]; doubled {
			return nil, validation("Cannot have two attributes with the same name")
		}
		t.Kinds[d.AttributeName] = attr.Kind(d.AttributeType)
	}
	if err := in.checkSettings(); err != nil {
		return nil, err
	}
	if t.Billing == "" {
		t.Billing = "PROVISIONED"
	}
	used := map[string]bool{}
	var err error
	if t.Keys, err = keySchema(in.KeySchema, t.Kinds, used); err != nil {
		return nil, err
	}
	if len(in.GlobalSecondaryIndexes) > 20 {
		return nil, validation("One or more parameter values were invalid: GlobalSecondaryIndex count exceeds the per-table limit of 20")
	}
	for _, spec := range in.GlobalSecondaryIndexes {
		ix, err := spec.index(t.Kinds, used)
		if err != nil {
			return nil, err
		}
		if _, err := t.index(ix.Name); err == nil {
			return nil, validation("One or more parameter values were invalid: Duplicate index name: %s", ix.Name)
		}
		if (ix.Throughput != nil) != (t.Billing == "PROVISIONED") {
			return nil, validation("One or more parameter values were invalid: ProvisionedThroughput goes with BillingMode PROVISIONED, and only with it, on index: %s", ix.Name)
		}
		t.Indexes = append(t.Indexes, ix)
	}
	if len(used) != len(t.Kinds) {
		return nil, validation("One or more parameter values were invalid: Some AttributeDefinitions are not used. AttributeDefinitions: [%s], keys used: [%s]",
			strings.Join(slices.Sorted(maps.Keys(t.Kinds)), ", "), strings.Join(slices.Sorted(maps.Keys(used)), ", "))
	}
	return t, nil
}

func (in *createTableInput) checkSettings() error {
	if err := oneOf("billingMode", in.BillingMode, "PROVISIONED", "PAY_PER_REQUEST"); err != nil {
		return err
	}
	if err := oneOf("tableClass", in.TableClass, "STANDARD", "STANDARD_INFREQUENT_ACCESS"); err != nil {
		return err
	}
	provisioned := in.BillingMode != "PAY_PER_REQUEST"
	switch {
	case provisioned && in.ProvisionedThroughput == nil:
		return validation("One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	case !provisioned && in.ProvisionedThroughput != nil:
		return validation("One or more parameter values were invalid: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	}
	return nil
}

func keySchema(elements []keyElement, kinds map[string]attr.Kind, used map[string]bool) (keys, error) {
	var k keys
	for i, e := range elements {
		switch {
		case i == 0 && e.KeyType == "HASH":
			k.Hash = e.AttributeName
		case i == 1 && e.KeyType == "RANGE":
			k.Range = e.AttributeName
		default:
			return k, validation("Invalid KeySchema: The first KeySchemaElement must be a HASH key type, an optional second one a RANGE key type")
		}
		if _, ok := kinds[e.AttributeName]; !ok {
			return k, validation("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]",
				e.AttributeName, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		}
		used[e.AttributeName] = true
	}
	if k.Hash == "" {
		return k, validation("1 validation error detected: Value '[]' at 'keySchema' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	if k.Hash == k.Range {
		return k, validation("Invalid KeySchema: Both the Hash Key and the Range Key element in the KeySchema have the same name")
	}
	return k, nil
}

func (spec *indexSpec) index(kinds map[string]attr.Kind, used map[string]bool) (index, error) {
	ix := index{Name: spec.IndexName, Projection: spec.Projection.ProjectionType, Include: spec.Projection.NonKeyAttributes, Throughput: spec.ProvisionedThroughput}
	if err := checkName("indexName", ix.Name); err != nil {
		return ix, err
	}
	if err := oneOf("projectionType", ix.Projection, "ALL", "INCLUDE", "KEYS_ONLY"); err != nil {
		return ix, err
	}
	if ix.Projection == "" {
		return ix, validation("One or more parameter values were invalid: Unknown ProjectionType: null")
	}
	if (ix.Projection == "INCLUDE") != (len(ix.Include) > 0) {
		return ix, validation("One or more parameter values were invalid: NonKeyAttributes go with ProjectionType INCLUDE, and only with it; index: %s", ix.Name)
	}
	var err error
	ix.Keys, err = keySchema(spec.KeySchema, kinds, used)
	return ix, err
}

type tableInput struct{ TableName string }

// open reads an input with nothing but a table's name and asks for permission.
func (s *Service) open(r *request, action string) (string, error) {
	var in tableInput
	if err := r.read(&in); err != nil {
		return "", err
	}
	return in.TableName, s.allow(r, action, in.TableName, "")
}

func (s *Service) describeTable(r *request) (any, error) {
	name, err := s.open(r, "DescribeTable")
	if err != nil {
		return nil, err
	}
	var out map[string]any
	err = s.store.db.View(func(tx *bbolt.Tx) error {
		t, err := s.store.table(tx, name)
		if err != nil {
			return named(err, name)
		}
		out = s.description(t, "ACTIVE", t.items(tx).Stats().KeyN)
		return nil
	})
	return map[string]any{"Table": out}, err
}

// named adds the table's name to notFound, as the operations on tables do.
func named(err error, table string) error {
	if r := asRefusal(err); r != nil && r.code == "ResourceNotFoundException" {
		return notFound(table)
	}
	return err
}

func (s *Service) deleteTable(r *request) (any, error) {
	name, err := s.open(r, "DeleteTable")
	if err != nil {
		return nil, err
	}
	var t *table
	err = s.store.write(func(tx *bbolt.Tx) error {
		var err error
		if t, err = s.store.table(tx, name); err != nil {
			return named(err, name)
		}
		if t.Protected {
			return validation("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
		}
		if err := bucket(tx, dataBucket).DeleteBucket([]byte(name)); err != nil {
			return fmt.Errorf("delete table %s: %w", name, err)
		}
		return bucket(tx, tablesBucket).Delete([]byte(name))
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": s.description(t, "DELETING", 0)}, nil
}

// updateTable changes whether a table is protected against deletion, and nothing else: read refuses every other parameter by name.
func (s *Service) updateTable(r *request) (any, error) {
	in := struct {
		TableName                 string
		DeletionProtectionEnabled *bool
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "UpdateTable", in.TableName, ""); err != nil {
		return nil, err
	}
	if in.DeletionProtectionEnabled == nil {
		return nil, validation("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required")
	}
	var t *table
	err := s.store.write(func(tx *bbolt.Tx) error {
		held, err := s.store.table(tx, in.TableName)
		if err != nil {
			return named(err, in.TableName)
		}
		changed := *held // others read the one that is held
		changed.Protected = *in.DeletionProtectionEnabled
		t = &changed
		return t.save(tx)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"TableDescription": s.description(t, "UPDATING", 0)}, nil
}

func (s *Service) listTables(r *request) (any, error) {
	in := struct {
		Limit                   *int
		ExclusiveStartTableName string
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := authz.Check(r.ctx, authz.Request{Action: "dynamodb:ListTables", Resource: "*"}); err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > 100 {
		return nil, validation("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must be between 1 and 100", limit)
	}
	names := []string{}
	out := map[string]any{}
	err := s.store.db.View(func(tx *bbolt.Tx) error {
		c := bucket(tx, tablesBucket).Cursor()
		for k, _ := c.Seek([]byte(in.ExclusiveStartTableName)); k != nil; k, _ = c.Next() {
			if string(k) == in.ExclusiveStartTableName {
				continue
			}
			if len(names) == limit {
				out["LastEvaluatedTableName"] = names[limit-1]
				break
			}
			names = append(names, string(k))
		}
		return nil
	})
	out["TableNames"] = names
	return out, err
}

// description is DescribeTable's answer. Status is the table's; its indexes are always with it.
func (s *Service) description(t *table, status string, count int) map[string]any {
	definitions := []attributeDefinition{}
	for _, n := range slices.Sorted(maps.Keys(t.Kinds)) {
		definitions = append(definitions, attributeDefinition{n, string(t.Kinds[n])})
	}
	out := map[string]any{
		"TableName": t.Name, "TableArn": s.arn(t.Name), "TableId": t.ID, "TableStatus": status, "CreationDateTime": t.Created,
		"AttributeDefinitions": definitions, "KeySchema": t.Keys.schema(), "ItemCount": count, "TableSizeBytes": 0,
		"DeletionProtectionEnabled": t.Protected, "ProvisionedThroughput": throughputAnswer(t.Throughput),
	}
	if t.Billing == "PAY_PER_REQUEST" {
		out["BillingModeSummary"] = map[string]any{"BillingMode": t.Billing, "LastUpdateToPayPerRequestDateTime": t.Created}
	}
	if t.Class != "" {
		out["TableClassSummary"] = map[string]any{"TableClass": t.Class}
	}
	// There are no streams here, so there is no LatestStreamArn to read from; what was asked for is shown.
	if t.Stream != nil {
		out["StreamSpecification"] = t.Stream
	}
	if t.Encryption != nil && t.Encryption.Enabled {
		sse := map[string]any{"Status": "ENABLED", "SSEType": "KMS"}
		if t.Encryption.KMSMasterKeyID != "" {
			sse["KMSMasterKeyArn"] = t.Encryption.KMSMasterKeyID
		}
		out["SSEDescription"] = sse
	}
	var indexes []map[string]any
	for _, ix := range t.Indexes {
		indexes = append(indexes, map[string]any{
			"IndexName": ix.Name, "IndexArn": s.arn(t.Name) + "/index/" + ix.Name, "IndexStatus": status, "KeySchema": ix.Keys.schema(),
			"Projection": projectionSpec{ix.Projection, ix.Include}, "ItemCount": 0, "IndexSizeBytes": 0,
			"ProvisionedThroughput": throughputAnswer(ix.Throughput),
		})
	}
	if indexes != nil {
		out["GlobalSecondaryIndexes"] = indexes
	}
	return out
}

func throughputAnswer(t *throughput) map[string]any {
	if t == nil {
		t = &throughput{}
	}
	return map[string]any{"ReadCapacityUnits": t.ReadCapacityUnits, "WriteCapacityUnits": t.WriteCapacityUnits, "NumberOfDecreasesToday": 0}
}

func (k keys) schema() []keyElement {
	out := []keyElement{{k.Hash, "HASH"}}
	if k.Range != "" {
		out = append(out, keyElement{k.Range, "RANGE"})
	}
	return out
}

// change rewrites a table's settings.
func (s *Service) change(name string, edit func(*table) error) error {
	return s.store.write(func(tx *bbolt.Tx) error {
		t, err := s.store.table(tx, name)
		if err != nil {
			return err
		}
		edited := *t
		if err := edit(&edited); err != nil {
			return err
		}
		return edited.save(tx)
	})
}

func (s *Service) look(name string, see func(*table)) error {
	return s.store.db.View(func(tx *bbolt.Tx) error {
		t, err := s.store.table(tx, name)
		if err == nil {
			see(t)
		}
		return err
	})
}

func (s *Service) updateTimeToLive(r *request) (any, error) {
	in := struct {
		TableName               string
		TimeToLiveSpecification struct {
			AttributeName string
			Enabled       bool
		}
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "UpdateTimeToLive", in.TableName, ""); err != nil {
		return nil, err
	}
	spec := in.TimeToLiveSpecification
	if spec.AttributeName == "" || len(spec.AttributeName) > 255 {
		return nil, validation("1 validation error detected: Value '%s' at 'timeToLiveSpecification.attributeName' failed to satisfy constraint: Member must have length between 1 and 255", spec.AttributeName)
	}
	err := s.change(in.TableName, func(t *table) error {
		switch {
		case spec.Enabled && t.TTL != "":
			return validation("TimeToLive is already enabled")
		case !spec.Enabled && t.TTL == "":
			return validation("TimeToLive is already disabled")
		case !spec.Enabled && t.TTL != spec.AttributeName:
			return validation("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.TTL)
		}
		t.TTL = ""
		if spec.Enabled {
			t.TTL = spec.AttributeName
		}
		return nil
	})
	return map[string]any{"TimeToLiveSpecification": spec}, err
}

func (s *Service) describeTimeToLive(r *request) (any, error) {
	name, err := s.open(r, "DescribeTimeToLive")
	if err != nil {
		return nil, err
	}
	out := map[string]any{"TimeToLiveStatus": "DISABLED"}
	err = s.look(name, func(t *table) {
		if t.TTL != "" {
			out = map[string]any{"TimeToLiveStatus": "ENABLED", "AttributeName": t.TTL}
		}
	})
	return map[string]any{"TimeToLiveDescription": out}, err
}

func (s *Service) updateContinuousBackups(r *request) (any, error) {
	in := struct {
		TableName                        string
		PointInTimeRecoverySpecification struct {
			PointInTimeRecoveryEnabled bool
			RecoveryPeriodInDays       *int
		}
	}{}
	if err := r.read(&in); err != nil {
		return nil, err
	}
	if err := s.allow(r, "UpdateContinuousBackups", in.TableName, ""); err != nil {
		return nil, err
	}
	days := 35
	if d := in.PointInTimeRecoverySpecification.RecoveryPeriodInDays; d != nil {
		days = *d
	}
	if days < 1 || days > 35 {
		return nil, validation("1 validation error detected: Value '%d' at 'recoveryPeriodInDays' failed to satisfy constraint: Member must be between 1 and 35", days)
	}
	var after *table
	err := s.change(in.TableName, func(t *table) error {
		since := seconds(s.now())
		if t.Recovery != nil && t.Recovery.Since > 0 {
			since = t.Recovery.Since
		}
		t.Recovery = nil
		if in.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled {
			t.Recovery = &recovery{Since: since, Days: days}
		}
		after = t
		return nil
	})
	if err != nil {
		return nil, tableNotFound(err, in.TableName)
	}
	return s.backups(after), nil
}

func (s *Service) describeContinuousBackups(r *request) (any, error) {
	name, err := s.open(r, "DescribeContinuousBackups")
	if err != nil {
		return nil, err
	}
	var out any
	err = s.look(name, func(t *table) { out = s.backups(t) })
	return out, tableNotFound(err, name)
}

// tableNotFound is how the operations on backups, unlike the others, say that there is no such table.
func tableNotFound(err error, name string) error {
	if r := asRefusal(err); r != nil && r.code == "ResourceNotFoundException" {
		return &refusal{code: "TableNotFoundException", message: "Table not found: " + name}
	}
	return err
}

func (s *Service) backups(t *table) any {
	point := map[string]any{"PointInTimeRecoveryStatus": "DISABLED"}
	if t.Recovery != nil {
		point = map[string]any{"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": t.Recovery.Days,
			"EarliestRestorableDateTime": t.Recovery.Since, "LatestRestorableDateTime": seconds(s.now())}
	}
	return map[string]any{"ContinuousBackupsDescription": map[string]any{"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": point}}
}
