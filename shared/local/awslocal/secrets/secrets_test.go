package secrets_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/awstest"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/secrets"
)

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func start(t *testing.T) (*awstest.Endpoint, *secretsmanager.Client) {
	e := awstest.Start(t, awstest.Options{})
	return e, secretsmanager.NewFromConfig(e.Config("operator"))
}

func TestANewValueMovesTheStages(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	made, err := c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("vault/corp/ww1/archive"), SecretString: aws.String("one"), Description: aws.String("d")})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^arn:aws:secretsmanager:us-east-1:000000000000:secret:vault/corp/ww1/archive-[A-Za-z0-9]{6}$`).MatchString(*made.ARN) {
		t.Errorf("ARN %s", *made.ARN)
	}
	for _, value := range []string{"two", "three"} {
		if _, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String(value)}); err != nil {
			t.Fatal(err)
		}
	}
	get := func(in secretsmanager.GetSecretValueInput) string {
		out, err := c.GetSecretValue(ctx, &in)
		if err != nil {
			return code(err)
		}
		return fmt.Sprint(aws.ToString(out.SecretString), out.VersionStages)
	}
	// The ARN's beginning, as a policy or a person may write it, finds the secret too.
	partial := (*made.ARN)[:len(*made.ARN)-7]
	for _, tt := range []struct {
		in   secretsmanager.GetSecretValueInput
		want string
	}{
		{secretsmanager.GetSecretValueInput{SecretId: made.Name}, "three[AWSCURRENT]"},
		{secretsmanager.GetSecretValueInput{SecretId: made.ARN, VersionStage: aws.String("AWSPREVIOUS")}, "two[AWSPREVIOUS]"},
		{secretsmanager.GetSecretValueInput{SecretId: &partial}, "three[AWSCURRENT]"},
		{secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionId: made.VersionId}, "one[]"},
		{secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionId: made.VersionId, VersionStage: aws.String("AWSCURRENT")}, "InvalidRequestException"},
		{secretsmanager.GetSecretValueInput{SecretId: made.Name, VersionStage: aws.String("AWSPENDING")}, "ResourceNotFoundException"},
		{secretsmanager.GetSecretValueInput{SecretId: aws.String("vault/corp/ww2/archive")}, "ResourceNotFoundException"},
		{secretsmanager.GetSecretValueInput{SecretId: aws.String(partial + "-AAAAAA")}, "ResourceNotFoundException"},
	} {
		if got := get(tt.in); got != tt.want {
			t.Errorf("%s %s %s: %s, want %s", *tt.in.SecretId, aws.ToString(tt.in.VersionId), aws.ToString(tt.in.VersionStage), got, tt.want)
		}
	}
	described, err := c.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: made.Name})
	if err != nil || len(described.VersionIdsToStages) != 2 || *described.Description != "d" || described.CreatedDate == nil {
		t.Errorf("described %+v, %v", described, err)
	}
}

func TestBytesComeBackAsBytes(t *testing.T) {
	_, c := start(t)
	if _, err := c.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("b"), SecretBinary: []byte{0, 255, 7}}); err != nil {
		t.Fatal(err)
	}
	out, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("b")})
	if err != nil || string(out.SecretBinary) != "\x00\xff\x07" || out.SecretString != nil {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestATokenMakesARetryHarmless(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	token := aws.String(strings.Repeat("t", 32))
	create := func(name, value string, token *string) string {
		out, err := c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value, ClientRequestToken: token})
		if err != nil {
			return code(err)
		}
		return *out.VersionId
	}
	put := func(value string) string {
		out, err := c.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String("s"), SecretString: &value, ClientRequestToken: aws.String(strings.Repeat("u", 32))})
		if err != nil {
			return code(err)
		}
		return *out.VersionId
	}
	got := []string{create("s", "v", token), create("s", "v", token), create("s", "w", token), create("s", "v", nil), put("x"), put("x"), put("y")}
	want := []string{*token, *token, "ResourceExistsException", "ResourceExistsException", strings.Repeat("u", 32), strings.Repeat("u", 32), "ResourceExistsException"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestListingIsFilteredAndPaged(t *testing.T) {
	_, c := start(t)
	for i := range 7 {
		for _, prefix := range []string{"vault/", "other/"} {
			if _, err := c.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String(fmt.Sprint(prefix, i)), SecretString: aws.String("hidden")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	pages := secretsmanager.NewListSecretsPaginator(c, &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(3),
		Filters: []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{"vault/"}}}})
	var names []string
	n := 0
	for ; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.SecretList {
			names = append(names, *s.Name)
			if len(s.SecretVersionsToStages) != 1 {
				t.Errorf("%s has the stages %v", *s.Name, s.SecretVersionsToStages)
			}
		}
	}
	if got, want := strings.Join(names, " "), "vault/0 vault/1 vault/2 vault/3 vault/4 vault/5 vault/6"; got != want || n != 3 {
		t.Errorf("%d pages: %s, want 3: %s", n, got, want)
	}
}

func TestARoleReadsOnlyWhatItsPolicyNames(t *testing.T) {
	e, operator := start(t)
	for _, name := range []string{"vault/corp/ww1/archive", "billing/password"} {
		if _, err := operator.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String("v")}); err != nil {
			t.Fatal(err)
		}
	}
	policies, err := iam.ParseJSON([]byte(`{"Statement":{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:000000000000:secret:vault/corp/*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	e.Caller("FetchFunction", policies.Allowed)
	c := secretsmanager.NewFromConfig(e.Config("FetchFunction"))
	for name, want := range map[string]string{
		"vault/corp/ww1/archive": "<nil>",
		"vault/corp/ww9/archive": "ResourceNotFoundException",
		"billing/password":       "AccessDeniedException",
		"billing/nothing":        "AccessDeniedException",
	} {
		_, err := c.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
		if got := code(err); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if _, err := c.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("vault/corp/ww1/archive"), SecretString: aws.String("x")}); code(err) != "AccessDeniedException" {
		t.Errorf("writing: %v", err)
	}
}

func TestACustomersKeyIsAskedFor(t *testing.T) {
	e, operator := start(t)
	const key = "arn:aws:kms:us-east-1:000000000000:key/secrets"
	if _, err := operator.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v"), KmsKeyId: aws.String(key)}); err != nil {
		t.Fatal(err)
	}
	e.Caller("Keyless", func(r authz.Request) bool { return !strings.HasPrefix(r.Action, "kms:") })
	_, err := secretsmanager.NewFromConfig(e.Config("Keyless")).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
	if code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "kms:Decrypt on resource: "+key) {
		t.Errorf("without the key: %v", err)
	}
}

func TestSecretsSurviveANewService(t *testing.T) {
	e, c := start(t)
	made, err := c.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v")})
	if err != nil {
		t.Fatal(err)
	}
	anew, err := secrets.New(e.DB, awstest.Region, awstest.Account, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	second := awstest.Serve(map[string]http.Handler{"secretsmanager": anew})
	defer second.Close()
	out, err := secretsmanager.NewFromConfig(second.Config("operator")).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: made.ARN})
	if err != nil || *out.SecretString != "v" {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestWhatIsNotSupportedIsRefusedByName(t *testing.T) {
	_, c := start(t)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"DeleteSecret": func() error {
			_, err := c.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String("s")})
			return err
		},
		"RotateSecret": func() error {
			_, err := c.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: aws.String("s")})
			return err
		},
		"Tags": func() error {
			_, err := c.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("s"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
			return err
		},
		"description": func() error {
			_, err := c.ListSecrets(ctx, &secretsmanager.ListSecretsInput{Filters: []types.Filter{{Key: types.FilterNameStringTypeDescription, Values: []string{"x"}}}})
			return err
		},
	} {
		err := call()
		var api smithy.APIError
		if !errors.As(err, &api) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
