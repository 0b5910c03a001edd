package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// left is what the product's stack retains, read before the stack goes, and kept in a file so that the removal can be repeated.
type left struct {
	Tables, Buckets, Keys, Logs []string
	Addresses                   []string // public IP addresses
}

func (p *proof) leftFile() string { return filepath.Join(p.folder, p.prefix+".json") }

// remember reads what the stack will leave. A former run's list is joined: its stack may be gone already.
func (p *proof) remember(ctx context.Context) error {
	l, err := p.remembered()
	if err != nil {
		return err
	}
	raw, err := p.aws(ctx, "cloudformation", "describe-stack-resources", "--stack-name", p.vault())
	if err != nil {
		if strings.Contains(err.Error(), "does not exist") {
			return nil
		}
		return err
	}
	var answer struct {
		StackResources []struct{ ResourceType, PhysicalResourceId string }
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read the stack's resources: %w", err)
	}
	for _, r := range answer.StackResources {
		into := map[string]*[]string{"AWS::DynamoDB::Table": &l.Tables, "AWS::S3::Bucket": &l.Buckets, "AWS::KMS::Key": &l.Keys, "AWS::Logs::LogGroup": &l.Logs, "AWS::EC2::EIP": &l.Addresses}[r.ResourceType]
		if into != nil && r.PhysicalResourceId != "" && !contains(*into, r.PhysicalResourceId) {
			*into = append(*into, r.PhysicalResourceId)
		}
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(p.leftFile(), text, 0o600)
}

func (p *proof) remembered() (left, error) {
	var l left
	raw, err := os.ReadFile(p.leftFile())
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	return l, json.Unmarshal(raw, &l)
}

func contains(all []string, s string) bool {
	for _, x := range all {
		if x == s {
			return true
		}
	}
	return false
}

// ours refuses a name that does not begin as this run's names do.
func (p *proof) ours(name string) error {
	if !strings.HasPrefix(strings.TrimPrefix(name, "/aws/lambda/"), p.vault()+"-") {
		return fmt.Errorf("%s does not begin with %s-: it is left alone", name, p.vault())
	}
	return nil
}

func (p *proof) deleteStack(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := p.aws(ctx, "cloudformation", "delete-stack", "--stack-name", name); err != nil {
			return err
		}
		_, err := p.aws(ctx, "cloudformation", "wait", "stack-delete-complete", "--stack-name", name)
		return err
	}
}

// each removes every one of a kind, and goes on after one that stays.
func (p *proof) each(pick func(left) []string, remove func(context.Context, string) error) func(context.Context) error {
	return func(ctx context.Context) error {
		l, err := p.remembered()
		if err != nil {
			return err
		}
		var failed []error
		for _, name := range pick(l) {
			if err := remove(ctx, name); err != nil && !gone(err) {
				failed = append(failed, err)
			}
		}
		return errors.Join(failed...)
	}
}

// gone says that what is to be removed is not there any more.
func gone(err error) bool {
	for _, word := range []string{"ResourceNotFoundException", "NoSuchBucket", "InvalidAllocationID.NotFound", "InvalidAddress.NotFound", "pending deletion", "NotFoundException"} {
		if strings.Contains(err.Error(), word) {
			return true
		}
	}
	return false
}

func (p *proof) deleteTable(ctx context.Context, name string) error {
	if err := p.ours(name); err != nil {
		return err
	}
	if _, err := p.aws(ctx, "dynamodb", "update-table", "--table-name", name, "--no-deletion-protection-enabled"); err != nil {
		return err
	}
	if _, err := p.aws(ctx, "dynamodb", "wait", "table-exists", "--table-name", name); err != nil {
		return err
	}
	_, err := p.aws(ctx, "dynamodb", "delete-table", "--table-name", name)
	return err
}

// deleteBucket lifts the locks of a governance bucket, which only a trial has, object by object. The bucket's policy, which forbids it, went
// with the stack.
func (p *proof) deleteBucket(ctx context.Context, name string) error {
	if err := p.ours(name); err != nil {
		return err
	}
	for {
		raw, err := p.aws(ctx, "s3api", "list-object-versions", "--bucket", name, "--max-items", "500", "--query", "{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}")
		if err != nil {
			return err
		}
		var page struct {
			Objects []struct{ Key, VersionId string }
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return fmt.Errorf("read what bucket %s holds: %w", name, err)
		}
		if len(page.Objects) == 0 {
			break
		}
		order, err := json.Marshal(map[string]any{"Objects": page.Objects, "Quiet": true})
		if err != nil {
			return err
		}
		answer, err := p.aws(ctx, "s3api", "delete-objects", "--bucket", name, "--bypass-governance-retention", "--delete", string(order))
		if err != nil {
			return err
		}
		if strings.Contains(string(answer), `"Errors"`) {
			return fmt.Errorf("bucket %s keeps objects: their lock of one day is not to be lifted by this identity (s3:BypassGovernanceRetention); TEARDOWN=1 tomorrow removes them", name)
		}
	}
	_, err := p.aws(ctx, "s3api", "delete-bucket", "--bucket", name)
	return err
}

func (p *proof) releaseAddress(ctx context.Context, ip string) error {
	raw, err := p.aws(ctx, "ec2", "describe-addresses", "--public-ips", ip, "--query", "Addresses[0].AllocationId", "--output", "text")
	if err != nil {
		return err
	}
	_, err = p.aws(ctx, "ec2", "release-address", "--allocation-id", strings.TrimSpace(string(raw)))
	return err
}

func (p *proof) deleteLogs(ctx context.Context, name string) error {
	if err := p.ours(name); err != nil {
		return err
	}
	_, err := p.aws(ctx, "logs", "delete-log-group", "--log-group-name", name)
	return err
}

func (p *proof) deleteSecrets(ctx context.Context) error {
	raw, err := p.aws(ctx, "secretsmanager", "list-secrets", "--filters", "Key=name,Values="+p.prefix+"/", "--query", "SecretList[].Name")
	if err != nil {
		return err
	}
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		return fmt.Errorf("read the names of secrets: %w", err)
	}
	var failed []error
	for _, name := range names {
		if !strings.HasPrefix(name, p.prefix+"/") {
			continue // the filter matches beginnings of words, too
		}
		if _, err := p.aws(ctx, "secretsmanager", "delete-secret", "--secret-id", name, "--force-delete-without-recovery"); err != nil && !gone(err) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// deleteKey plans a key's end: AWS deletes none at once. A planned key costs nothing.
func (p *proof) deleteKey(ctx context.Context, id string) error {
	raw, err := p.aws(ctx, "kms", "describe-key", "--key-id", id, "--query", "KeyMetadata.[Description,KeyState]", "--output", "text")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(raw), p.vault()+" - ") {
		return fmt.Errorf("key %s is not described as one of %s: it is left alone", id, p.vault())
	}
	if strings.Contains(string(raw), "PendingDeletion") {
		return nil
	}
	_, err = p.aws(ctx, "kms", "schedule-key-deletion", "--key-id", id, "--pending-window-in-days", "7")
	return err
}
