# How a function is built. The same rule serves the local runner (make functions) and sam build, which calls build-<LogicalId> with
# ARTIFACTS_DIR set. Lambda's architecture of each function is fixed here and in template.yaml; a test over what sam built compares them.
ARCH_fetch     := amd64
ARCH_process   := amd64
ARCH_media     := amd64
ARCH_directory := arm64
ARCH_report    := arm64
ARCH_mail      := arm64
ARCH_watch     := arm64
ARCH_redrive   := arm64
ARCH_fsck      := arm64

# $(1) is the function's folder, $(2) the architecture ("" is this machine's), $(3) the folder for bootstrap.
define build-function
mkdir -p $(3) && CGO_ENABLED=0 $(if $(2),GOOS=linux GOARCH=$(2)) $(GO) build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '-s -w' -o $(3)/bootstrap ./functions/$(1)
endef

lower = $(shell printf '%s' '$(1)' | tr A-Z a-z)

build-%Function:
	$(if $(ARTIFACTS_DIR),,$(error sam build calls this target and says in ARTIFACTS_DIR where the program goes; for this machine there is `make build`))
	$(if $(ARCH_$(call lower,$*)),,$(error infra/functions.mk names no architecture for $*Function))
	$(call build-function,$(call lower,$*),$(ARCH_$(call lower,$*)),$(ARTIFACTS_DIR))
