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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
)

// lostMessages: the derived rows are made again from the batches.
func lostMessages(ctx context.Context, s *scene) error {
	table, err := s.dropTable(ctx, s.Tables().Messages)
	if err != nil {
		return err
	}
	key := ""
	if table.SSEDescription != nil {
		key = aws.ToString(table.SSEDescription.KMSMasterKeyArn)
	}
	s.breaks("table %s is deleted", s.Tables().Messages)
	if err := s.killed(ctx, "replay", "-from", "batches", "-mend", "-kms-key", key); err != nil {
		return err
	}
	out, err := s.must(ctx, "replay", "-from", "batches", "-mend", "-kms-key", key, "-again")
	if err != nil {
		return err
	}
	rows := 0
	for line := range strings.Lines(out) {
		var account struct{ Mended int }
		if err := json.Unmarshal([]byte(line), &account); err != nil {
			return err
		}
		rows += account.Mended
	}
	if err := s.Start(); err != nil {
		return err
	}
	if err := s.sound(ctx); err != nil {
		return err
	}
	s.recovered("%d rows written again, every message as before", rows)
	return nil
}

// killed begins a replay and kills it as soon as it has a table of its own: it has to be run again, and comes to the same.
func (s *scene) killed(ctx context.Context, args ...string) error {
	cmd := house.Vaultctl(ctx, s.folders.Binaries, s.Environment(), args)
	if err := cmd.Start(); err != nil {
		return err
	}
	db, own := dynamodb.NewFromConfig(s.Config(house.Operator)), s.Tables().Messages+"-replay"
	begun, err := house.Until(ctx, patience, func() (bool, error) {
		out, err := db.ListTables(ctx, &dynamodb.ListTablesInput{})
		return err == nil && slices.Contains(out.TableNames, own), err
	})
	err = errors.Join(err, cmd.Process.Kill())
	if _, e := cmd.Process.Wait(); e != nil {
		err = errors.Join(err, e)
	}
	if err == nil && !begun {
		err = errors.New("the replay made no table")
	}
	s.does("$ vaultctl %s is killed in the middle", strings.Join(args, " "))
	return err
}

// lostControl: the ledger is made anew from the bucket, the derived rows and the key store.
func lostControl(ctx context.Context, s *scene) error {
	companies := map[archive.CorpID]ledger.Corp{}
	for _, id := range s.corps {
		c, err := s.ledger.Corp(ctx, id)
		if err != nil {
			return err
		}
		companies[id] = c
	}
	table, err := s.dropTable(ctx, s.Tables().Control)
	if err != nil {
		return err
	}
	key := ""
	if table.SSEDescription != nil {
		key = aws.ToString(table.SSEDescription.KMSMasterKeyArn)
	}
	s.breaks("table %s is deleted, and there is no backup", s.Tables().Control)
	if code, _, err := s.vaultctl(ctx, "rebuild", "-corp", string(s.corps[0])); err != nil || code == 0 {
		return errors.Join(err, errors.New("rebuild went on without the table's key"))
	}
	for _, id := range s.corps {
		if _, err := s.must(ctx, "rebuild", "-corp", string(id), "-kms-key", key); err != nil {
			return err
		}
	}
	for _, id := range s.corps {
		if err := s.enrol(ctx, companies[id]); err != nil {
			return err
		}
	}
	if err := s.Start(); err != nil {
		return err
	}
	if err := s.fetched(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	code, out, err := s.vaultctl(ctx, "replay")
	if err != nil {
		return err
	}
	moved := 0
	for _, n := range kinds(out) {
		moved += n
	}
	if code != 0 { // times of pulls are estimates now, and a finding in a message without a time is listed by them
		if _, err := s.must(ctx, "replay", "-mend"); err != nil {
			return err
		}
	}
	if err := s.sound(ctx); err != nil {
		return err
	}
	if _, err := s.must(ctx, "replay", "-from", "batches"); err != nil {
		return err
	}
	s.recovered("every message as before; %d rows were listed by the time of a pull, which is an estimate now. Lost: the chain's former links, times of pulls, runs and mails, alarms", moved)
	return nil
}

// enrol adds a company again, with the secret from WeCom's console.
func (s *scene) enrol(ctx context.Context, c ledger.Corp) (err error) {
	all, err := s.sim.Corps(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(x wecomsim.Corp) bool { return x.Corp == string(c.ID) })
	if i < 0 {
		return fmt.Errorf("the simulated WeCom has no corp %s", c.ID)
	}
	file := filepath.Join(s.data, "secret")
	if err := os.WriteFile(file, []byte(all[i].Secret(wecomsim.KindArchive)), 0o600); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	var to []string
	for _, r := range c.ReportTo {
		to = append(to, r.Language+":"+r.Address)
	}
	_, err = s.must(ctx, "corps", "add", "-corp", string(c.ID), "-name", c.Name, "-simulated", "-report-to", strings.Join(to, ","), "-secret-file", file)
	return err
}
