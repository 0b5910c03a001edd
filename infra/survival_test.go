package infra

import (
	"slices"
	"strings"
	"testing"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// lasting are the types whose resources hold record, or what record can't be read without: they outlive the stack. Types that the template
// does not use yet are named so that the first one is held to it.
var lasting = map[string]string{
	"AWS::DynamoDB::Table":        "rows",
	"AWS::DynamoDB::GlobalTable":  "rows",
	"AWS::S3::Bucket":             "batches, attachments, reports",
	"AWS::KMS::Key":               "whatever was sealed with it is gone with it",
	"AWS::Logs::LogGroup":         "who did what, and why",
	"AWS::EC2::EIP":               "the corps' trusted lists name it",
	"AWS::SecretsManager::Secret": "old messages need old keys for ever",
	"AWS::EFS::FileSystem":        "files",
}

// remade are the types that a new stack makes again from the template alone, with the reason why nothing is lost.
var remade = map[string]string{
	"AWS::Serverless::Function":                  "the program is built from source",
	"AWS::Serverless::HttpApi":                   "settings; its address changes",
	"AWS::IAM::Role":                             "written in the template",
	"AWS::KMS::Alias":                            "a name",
	"AWS::S3::BucketPolicy":                      "written in the template; a bucket without it is still locked, versioned and private",
	"AWS::SQS::Queue":                            "jobs carry references: the ledger knows what is open, and watch announces it again",
	"AWS::SQS::QueuePolicy":                      "written in the template",
	"AWS::SES::ConfigurationSet":                 "settings",
	"AWS::SES::ConfigurationSetEventDestination": "settings",
	"AWS::Events::Rule":                          "settings",
	"AWS::SNS::Topic":                            "settings; who listened subscribes again",
	"AWS::SNS::TopicPolicy":                      "written in the template",
	"AWS::SNS::Subscription":                     "settings",
	"AWS::CloudWatch::Alarm":                     "settings",
	"AWS::CloudWatch::Dashboard":                 "settings",
}

// network are the types of the way out but for its address: all of them settings.
const network = "AWS::EC2::"

func TestWhatHoldsRecordOutlivesTheStack(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range load(t, nil).Resources {
		_, lasts := lasting[r.Type]
		_, again := remade[r.Type]
		again = again || !lasts && strings.HasPrefix(r.Type, network)
		switch {
		case !lasts && !again:
			t.Errorf("line %d: %s is a %s: say in this test whether it holds record", r.Line, r.LogicalID, r.Type)
		case lasts && (r.DeletionPolicy != "Retain" || r.UpdateReplace != "Retain"):
			t.Errorf("line %d: %s holds %s: it needs DeletionPolicy and UpdateReplacePolicy Retain", r.Line, r.LogicalID, lasting[r.Type])
		case again && (r.DeletionPolicy == "Retain" || r.UpdateReplace == "Retain"):
			t.Errorf("line %d: %s is retained, and would be in the way of the next stack: %s", r.Line, r.LogicalID, remade[r.Type])
		}
		seen[r.Type] = true
	}
	for _, typ := range []string{"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::EC2::EIP"} {
		if !seen[typ] {
			t.Errorf("the template has no %s: this test looks in the wrong place", typ)
		}
	}
}

// A stack that is deleted leaves what it retained; the functions' logs, whose names are fixed, are the only ones that a new stack of the same
// name would run into. The README says how it adopts them.
func TestOnlyLogsAndWhatIsRemadeHaveFixedNames(t *testing.T) {
	named := []string{"TableName", "BucketName"}
	for _, r := range load(t, nil).Resources {
		for _, property := range named {
			if _, fixed := r.Properties[property]; fixed && slices.Contains([]string{"AWS::DynamoDB::Table", "AWS::S3::Bucket"}, r.Type) {
				t.Errorf("line %d: %s has a fixed name: a second stack, or the next one, could not be made beside what is retained", r.Line, r.LogicalID)
			}
		}
	}
}

// TestASecondStackWithThePrefixOfSecretsIsRefused: both would write the same secrets. CloudFormation makes no alias that the account has already.
func TestASecondStackWithThePrefixOfSecretsIsRefused(t *testing.T) {
	aliases := func(stack, prefix string) map[string]bool {
		found := map[string]bool{}
		for _, r := range load(t, map[string]string{template.StackName: stack, "SecretsPrefix": prefix}).Resources {
			if r.Type == "AWS::KMS::Alias" {
				name, _ := r.Properties["AliasName"].(string)
				found[name] = true
			}
		}
		return found
	}
	one := aliases("one", "vault/")
	for name, c := range map[string]struct {
		stack, prefix string
		common        int
	}{"another prefix": {"two", "other/", 0}, "the same prefix": {"two", "vault/", 1}} {
		common := 0
		for alias := range aliases(c.stack, c.prefix) {
			if one[alias] {
				common++
			}
		}
		if common != c.common {
			t.Errorf("%s: %d aliases of both stacks have one name, not %d", name, common, c.common)
		}
	}
}
