package s3front_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/s3front/s3test"
)

// needed are the fields without which the SDK sends nothing.
func needed(bucket string) map[string]any {
	return map[string]any{
		"Bucket": &bucket, "Key": aws.String("k"), "UploadId": aws.String("u"), "PartNumber": aws.Int32(1), "CopySource": aws.String(bucket + "/k"),
		"Delete":                  &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("k")}}},
		"VersioningConfiguration": &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		"ObjectAttributes":        []types.ObjectAttributes{types.ObjectAttributesObjectSize},
	}
}

// value is something for a field to have.
func value(t reflect.Type) reflect.Value {
	switch t.Kind() {
	case reflect.Pointer:
		v := reflect.New(t.Elem())
		if t.Elem() == reflect.TypeFor[time.Time]() {
			v.Elem().Set(reflect.ValueOf(time.Date(2031, 5, 6, 0, 0, 0, 0, time.UTC)))
		} else if t.Elem().Kind() != reflect.Struct {
			v.Elem().Set(value(t.Elem()))
		}
		return v
	case reflect.Bool:
		return reflect.ValueOf(true).Convert(t)
	case reflect.Int32, reflect.Int64:
		return reflect.ValueOf(1).Convert(t)
	case reflect.String:
		return reflect.ValueOf("x").Convert(t)
	case reflect.Map:
		m := reflect.MakeMap(t)
		if t.Elem().Kind() == reflect.String {
			m.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf("y"))
		}
		return m
	case reflect.Slice:
		s := reflect.MakeSlice(t, 0, 1)
		if t.Elem().Kind() == reflect.String {
			s = reflect.Append(s, value(t.Elem()))
		}
		return s
	}
	return reflect.Zero(t)
}

// TestEveryParameterOfS3IsHeededOrRefusedByName calls each operation of the SDK with each field of its input, one at a time. What is not
// refused by name must be in testdata/parameters.txt, where a person has looked at it.
func TestEveryParameterOfS3IsHeededOrRefusedByName(t *testing.T) {
	const bucket = "judged"
	e := s3test.Start(t, s3front.Config{}, s3front.Bucket{Name: bucket, Versioned: true})
	client := reflect.ValueOf(e.Client)
	var taken []string
	fields, refused, unknown := 0, 0, 0
	for i := range client.NumMethod() {
		m := client.Type().Method(i)
		if m.Type.NumIn() != 4 || m.Type.In(2).Kind() != reflect.Pointer || m.Type.In(2).Elem().Name() != m.Name+"Input" || m.Name == "SelectObjectContent" || m.Name == "WriteGetObjectResponse" {
			continue
		}
		input := m.Type.In(2).Elem()
		ask := func(extra string) error {
			in := reflect.New(input)
			for name, v := range needed(bucket) {
				if m.Name == "CreateBucket" || m.Name == "DeleteBucket" {
					v = aws.String("another")
				}
				if f := in.Elem().FieldByName(name); f.IsValid() && f.Type() == reflect.TypeOf(v) {
					f.Set(reflect.ValueOf(v))
				}
			}
			if extra != "" {
				in.Elem().FieldByName(extra).Set(value(in.Elem().FieldByName(extra).Type()))
			}
			out := client.Method(i).Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
			err, _ := out[1].Interface().(error)
			return err
		}
		if err := ask(""); notThere(err) {
			unknown++
			continue
		}
		for j := range input.NumField() {
			f := input.Field(j)
			if _, base := needed(bucket)[f.Name]; base || !f.IsExported() || f.Type.Kind() == reflect.Interface || f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct && f.Type.Elem() != reflect.TypeFor[time.Time]() {
				continue // a body, which the operation reads
			}
			fields++
			if err := ask(f.Name); notThere(err) {
				refused++
			} else {
				taken = append(taken, m.Name+" "+f.Name)
			}
		}
	}
	slices.Sort(taken)
	file := filepath.Join("testdata", "parameters.txt")
	if os.Getenv("WECOMVAULT_UPDATE") != "" {
		if err := errors.Join(os.MkdirAll("testdata", 0o750), os.WriteFile(file, []byte(strings.Join(taken, "\n")+"\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, one := range taken {
		if !slices.Contains(want, one) {
			t.Errorf("taken, and not in %s: %s", file, one)
		}
	}
	for _, one := range want {
		if !slices.Contains(taken, one) {
			t.Errorf("in %s, and not taken: %s", file, one)
		}
	}
	t.Logf("%d fields of the SDK: %d refused by name, %d heeded; %d operations refused", fields, refused, len(taken), unknown)
}

// notThere is whether the local S3 refuses what it does not have. A HEAD's refusal has no body, only its status.
func notThere(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		// What the SDK itself does not send can't be ignored by anyone.
		return err != nil && !errors.Is(err, context.Canceled)
	}
	return api.ErrorCode() == "NotImplemented"
}
