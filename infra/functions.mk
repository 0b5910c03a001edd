# How sam build builds a function: it calls build-<LogicalId> with ARTIFACTS_DIR set. The flags are those of this machine's build
# (GOBUILD in the Makefile); only the architecture is Lambda's. It is fixed here and in template.yaml, and a test over what sam built
# compares the two: sam's makefile builder does not pass it on.
ARCH_fetch := amd64
ARCH_process := amd64
ARCH_media := amd64
ARCH_directory := arm64
ARCH_consent := arm64
ARCH_report := arm64
ARCH_mail := arm64
ARCH_tell := arm64
ARCH_feedback := arm64
ARCH_watch := arm64
ARCH_redrive := arm64
ARCH_fsck := arm64
ARCH_api := arm64
ARCH_callback := arm64

build-%Function: folder = $(shell printf '%s' '$*' | tr A-Z a-z)
build-%Function:
	@test -n "$${ARTIFACTS_DIR:-}" || { echo 'sam build calls this and names the folder in ARTIFACTS_DIR; for this machine there is: make build' >&2; exit 1; }
	GOOS=linux GOARCH=$(ARCH_$(folder)) $(GOBUILD) -o "$$ARTIFACTS_DIR/bootstrap" ./functions/$(folder)
