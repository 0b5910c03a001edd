package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// saved is what lies in another region: replicas of the buckets and of the secrets, and exports of the primary tables.
type saved struct {
	objects map[string][]object // by the stack's output
	tables  map[string][]map[string]types.AttributeValue
	secrets []func(context.Context, *secrets.Store) error
}

// save takes what would lie there. The derived table is not exported: replay makes it again.
func (s *scene) save(ctx context.Context) (saved, error) {
	out := saved{objects: map[string][]object{}, tables: map[string][]map[string]types.AttributeValue{}}
	c := s.Config(house.Operator)
	for _, output := range []string{"ArchiveBucket", "ReportsBucket"} {
		objects, err := replica(ctx, s3.NewFromConfig(c), s.Template.Outputs[output])
		if err != nil {
			return out, err
		}
		out.objects[output] = objects
	}
	for _, output := range []string{"ControlTable", "DirectoryTable", "AuditTable"} {
		name := s.Template.Outputs[output]
		pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(c), &dynamodb.ScanInput{TableName: &name})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return out, err
			}
			out.tables[output] = append(out.tables[output], page.Items...)
		}
	}
	vault := secrets.New(secretsmanager.NewFromConfig(c), s.Template.Parameters["SecretsPrefix"])
	for _, corp := range s.corps {
		for _, kind := range []secrets.Kind{secrets.Archive, secrets.Contacts, secrets.Customer} {
			value, err := vault.Secret(ctx, corp, kind)
			if errors.Is(err, secrets.ErrAbsent) {
				continue
			}
			if err != nil {
				return out, err
			}
			out.secrets = append(out.secrets, func(ctx context.Context, to *secrets.Store) error { return to.PutSecret(ctx, corp, kind, value) })
		}
		held, err := s.ledger.Keys(ctx, corp)
		if err != nil {
			return out, err
		}
		for _, k := range held {
			key, err := vault.Key(ctx, corp, k.Version)
			if err != nil {
				return out, err
			}
			out.secrets = append(out.secrets, func(ctx context.Context, to *secrets.Store) error { return to.AddKey(ctx, corp, k.Version, key) })
		}
	}
	return out, nil
}

// lostRegion: a stack in another region, the replica, the exports and a replay.
func lostRegion(ctx context.Context, s *scene) error {
	kept, err := s.save(ctx)
	if err != nil {
		return err
	}
	if err := s.shut(); err != nil {
		return err
	}
	s.breaks("the region is gone, with stack, tables, buckets and secrets; the replica has %d objects, the exports have %d rows of the ledger",
		len(kept.objects["ArchiveBucket"])+len(kept.objects["ReportsBucket"]), len(kept.tables["ControlTable"]))
	// WeCom is where it was; everything else is new.
	there := filepath.Join(s.data, "another-region")
	if err := s.openAt(ctx, there); err != nil {
		return err
	}
	s.does("sam deploy in the other region; the exports are imported, the secrets' replicas promoted, the objects copied")
	c := s.Config(house.Operator)
	for output, rows := range kept.tables {
		name := s.Template.Outputs[output]
		for _, row := range rows {
			if _, err := dynamodb.NewFromConfig(c).PutItem(ctx, &dynamodb.PutItemInput{TableName: &name, Item: row}); err != nil {
				return fmt.Errorf("import into %s: %w", name, err)
			}
		}
	}
	to := secrets.New(secretsmanager.NewFromConfig(c), s.Template.Parameters["SecretsPrefix"])
	for _, put := range kept.secrets {
		if err := put(ctx, to); err != nil {
			return err
		}
	}
	for output, objects := range kept.objects {
		if err := restore(ctx, s3.NewFromConfig(c), s.Template.Outputs[output], objects); err != nil {
			return err
		}
	}
	for _, corp := range s.corps { // the functions of the lost region hold no lease any more
		if err := s.ledger.EndLease(ctx, corp); err != nil {
			return err
		}
	}
	if err := s.Start(); err != nil {
		return err
	}
	if _, err := s.must(ctx, "fsck"); err != nil { // the objects' new versions
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	out, err := s.must(ctx, "replay", "-from", "batches", "-mend")
	if err != nil {
		return err
	}
	rows := 0
	for _, n := range kinds(out) {
		rows += n
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.sound(ctx); err != nil {
		return err
	}
	if err := s.say(ctx, s.corps[0], 10); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.recovered("every message as before, %d derived rows made again, and the next 10 messages come in there; the new egress address has to be on WeCom's trusted list", rows)
	return nil
}
