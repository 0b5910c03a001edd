package fault

import (
	"errors"
	"fmt"
	"testing"
)

// coded is an error as AWS's SDK has them.
type coded string

func (c coded) Error() string     { return "refused" }
func (c coded) ErrorCode() string { return string(c) }

func TestDeniedIsWhatAWSCallsDenied(t *testing.T) {
	for code, want := range map[string]bool{
		"AccessDeniedException": true, "AccessDenied": true, "KMS.AccessDeniedException": true, "KmsAccessDenied": true, "KMSDisabledException": true,
		"DecryptionFailure": true, "UnrecognizedClientException": true, "AuthorizationError": true,
		"ThrottlingException": false, "ResourceNotFoundException": false, "ConditionalCheckFailedException": false, "InternalError": false, "": false,
	} {
		err := New(Retryable, "x", errors.Join(errors.New("first"), fmt.Errorf("read a key: %w", coded(code))))
		if got := Denied(err); got != want {
			t.Errorf("%q is denied: %v", code, got)
		}
	}
	if Denied(nil) || Denied(errors.New("AccessDenied")) {
		t.Error("an error without a code is denied")
	}
}
