# WeCom Vault. `make help` lists every target in a line.
MAKEFLAGS += --no-builtin-rules --warn-undefined-variables
.DEFAULT_GOAL := help
GO ?= go
ARGS ?=
BUILD := build
OUT = $(abspath $(BUILD))
FUNCTIONS := $(patsubst functions/%/main.go,%,$(wildcard functions/*/main.go))

# The flags are the same for the laptop and for Lambda: no cgo, no paths of this machine, no remote procedure calls of Go's own.
GOBUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '-s -w'

include infra/functions.mk

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z][a-zA-Z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

.PHONY: build
build: ## build the functions, the operator's command and the local programs for this machine
	@test -x '$(BUILD)'/local/local || echo 'building; the first time takes a minute or three'
	@mkdir -p '$(BUILD)'/local '$(BUILD)'/functions
	@$(foreach f,$(FUNCTIONS),mkdir -p '$(BUILD)'/functions/$(f) && $(GOBUILD) -o '$(BUILD)'/functions/$(f)/bootstrap ./functions/$(f) &&) true
	@$(GOBUILD) -o '$(BUILD)'/local/vaultctl ./infra/vaultctl
	@$(GOBUILD) -o '$(BUILD)'/local/local ./infra/local
	@$(GOBUILD) -o '$(BUILD)'/local/wecomsim ./infra/local/wecomsim
	@$(GOBUILD) -o '$(BUILD)'/local/simsdk ./infra/local/simsdk
	@cd infra/local/versitygw && $(GOBUILD) -o '$(OUT)/local/versitygw' .

.PHONY: run
run: build ## play the demonstration company's next day on this machine (ARGS='-once [-data DIR]' for unattended)
	@'$(OUT)/local/local' $(ARGS)

.PHONY: ctl
ctl: build ## run the operator's command on local data: make ctl ARGS='[-data DIR] messages -corp X -format jsonl'
	@'$(OUT)/local/local' ctl $(ARGS)

# For each package: the runner's tests play whole days, minutes of work for two idle cores, and more than Go's ten for busy ones.
TEST_TIMEOUT := 30m

.PHONY: test
test: ## everything that needs no account and, once modules are there, no network
	$(GO) test -timeout $(TEST_TIMEOUT) ./...

# Packages whose goroutines share state; those of PURE have neither goroutines nor locks.
RACE := ./functions/... ./shared/...
PURE := archive|fault|wire|check|report|derived|callback|receivers|consent|access
# A number of inputs, not a time. QUIRK: a healthy target that is stopped by the clock can fail with "context deadline exceeded" (golang/go#75804).
FUZZTIME ?= 100000x

.PHONY: race
race: ## the tests again under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout $(TEST_TIMEOUT) $$($(GO) list $(RACE) | grep -vE '/shared/($(PURE))$$')

.PHONY: fuzz
fuzz: ## every fuzz target with FUZZTIME inputs (100000x)
	@$(GO) list -f '{{.Dir}}' ./... | while read -r dir; do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do \
			echo "$$target in $${dir#$(CURDIR)/}"; (cd "$$dir" && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x .) || exit 1; \
		done; done

.PHONY: template
template: ## judge template.yaml and what sam builds from it (installs sam, cfn-lint and checkov into .cache)
	./infra/ci/validate-template.sh

SDK ?=
LIBZ ?=
DRY ?=
.PHONY: sdk-layer
sdk-layer: ## check SDK=PATH of Tencent's library, build its Lambda layer and publish it in your account (DRY=1: build only)
	@mkdir -p '$(BUILD)' && $(GOBUILD) -o '$(BUILD)'/local/sdklayer ./infra/sdklayer
	@'$(BUILD)'/local/sdklayer -sdk '$(SDK)' $(if $(LIBZ),-libz '$(LIBZ)') -out '$(BUILD)'/sdk-layer.zip $(if $(DRY),-dry) $(ARGS)

.PHONY: test-sdk
test-sdk: ## try Tencent's own library as far as it goes without WeCom (SDK=path of a copy; else it is fetched and checked)
	SDK='$(SDK)' ./infra/ci/test-sdk.sh

SEED ?= 0
.PHONY: chaos
chaos: chaos-program ## every call with every fault, a storm over N=10000 messages, a full disk: the same end state (N=300: the short one; SEED=…)
	@'$(OUT)/local/chaos' -n $(if $(filter command environment,$(firstword $(origin N))),$(N),10000) -seed $(SEED) $(ARGS)

.PHONY: chaos-mutants
chaos-mutants: chaos-program ## faults put into the product on purpose, each of which make chaos must notice
	@'$(OUT)/local/chaos' -parts mutants -seed $(SEED) $(ARGS)

.PHONY: chaos-program
chaos-program: build
	@$(GOBUILD) -o '$(BUILD)'/local/chaos ./infra/local/chaos

.PHONY: try-api
try-api: build ## requests of the receivers API's description by the thousand, held against it (installs schemathesis into .cache; ARGS='--max-examples 200')
	@$(GOBUILD) -o '$(BUILD)'/local/apitry ./infra/local/apitry
	@./infra/ci/try-api.sh '$(OUT)' $(ARGS)

.PHONY: leak
leak: build ## plant canaries in all content, play a day with faults, and search every place that may hold none (about a minute)
	@$(GOBUILD) -o '$(BUILD)'/local/leak ./infra/local/leak
	@'$(OUT)/local/leak' -binaries '$(OUT)' $(ARGS)

N ?= 100000
.PHONY: bench
bench: build bench-programs ## measure speed and memory against their aims and floors (N=1000000 for the million; ARGS='-only flow,delay -out FILE')
	@'$(OUT)/local/bench' -binaries '$(OUT)' -n $(N) $(ARGS)

.PHONY: bench-programs
bench-programs:
	@mkdir -p '$(BUILD)'/local
	@$(GOBUILD) -o '$(BUILD)'/local/empty ./infra/local/bench/testdata/empty/main.go
	@$(GOBUILD) -o '$(BUILD)'/local/bench ./infra/local/bench

BASE ?=
.PHONY: bench-compare
bench-compare: ## measure this tree against another commit, in turns, and let benchstat judge (BASE=COMMIT; RUNS=5 N=20000 ONLY=cold,flow)
	@BASE='$(BASE)' GO='$(GO)' ./infra/ci/bench-compare.sh

.PHONY: bench-profile
bench-profile: ## where fetch and process spend their processor time and memory under that load (N=20000 PROFILES=FOLDER)
	@GO='$(GO)' ./infra/ci/bench-profile.sh

# What is released is dated to the last commit, so that the same source gives the same zip.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo 0)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
.PHONY: release
release: ## pack functions, template, vaultctl, checksums and bill of materials into one zip that deploys without Go (VERSION=…)
	@rm -rf '$(BUILD)'/release && mkdir -p '$(BUILD)'/release '$(BUILD)'/local
	@$(foreach f,$(FUNCTIONS),id=$$(sed -n 's/^  \([A-Za-z]*Function\):$$/\1/p' template.yaml | grep -ixm1 '$(f)Function') && mkdir "$(OUT)/release/$$id" && \
		$(MAKE) --no-print-directory -s build-$$id ARTIFACTS_DIR="$(OUT)/release/$$id" &&) true
	@$(foreach t,linux/amd64 linux/arm64 darwin/arm64,$(foreach c,vaultctl sdklayer,\
		GOOS=$(patsubst %/,%,$(dir $(t))) GOARCH=$(notdir $(t)) $(GOBUILD) -o '$(BUILD)'/release/tools/$(subst /,-,$(t))/$(c) ./infra/$(c) &&)) true
	@cp LICENSE README.md '$(BUILD)'/release/
	@$(GOBUILD) -o '$(BUILD)'/local/release ./infra/release
	@SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) '$(BUILD)'/local/release -stage '$(BUILD)'/release -version '$(VERSION)' -out '$(BUILD)'/wecomvault-'$(VERSION)'.zip

.PHONY: bill
bill: build ## meter messages through the whole product, price them by shared/local/prices/prices.json, hold aims and floors (N=4000)
	@$(GOBUILD) -o '$(BUILD)'/local/bill ./infra/local/bill
	@'$(OUT)/local/bill' -n $(if $(filter command,$(firstword $(origin N))),$(N),4000) $(ARGS)

.PHONY: drill
drill: build ## lose each thing that can be lost, recover it as docs/recover.md says, timed (ARGS='-only key,region -keep')
	@$(GOBUILD) -o '$(BUILD)'/local/drill ./infra/local/drill
	@'$(OUT)/local/drill' $(ARGS)

# The first whole version; any commit since then may be named.
FROM ?= 63d52dc
.PHONY: upgrade
upgrade: build ## deploy this version over FROM=COMMIT, and back, and again, in the middle of batches: nothing lost, nothing doubled
	@rm -rf '$(BUILD)'/upgrade && mkdir -p '$(BUILD)'/upgrade/source
	@git archive $(FROM) | tar -x -C '$(BUILD)'/upgrade/source
	@$(MAKE) --no-print-directory -s -C '$(BUILD)'/upgrade/source build BUILD='$(OUT)/upgrade/old'
	@$(GOBUILD) -o '$(BUILD)'/local/upgrade ./infra/local/upgrade
	@'$(OUT)/local/upgrade' -old '$(OUT)/upgrade/old' $(if $(filter command,$(firstword $(origin N))),-n $(N)) $(ARGS)
	@rm -rf '$(BUILD)'/upgrade

PREFIX ?=
ACCOUNT ?=
REGION ?=
MAIL ?=
TEARDOWN ?=
.PHONY: prove-aws
prove-aws: ## NEVER RUN YET: the simulated company in your own account (PREFIX=prove-… ACCOUNT= REGION= MAIL=; DRY=1 prints the plan; TEARDOWN=1)
	@mkdir -p '$(BUILD)'/prove/simulator '$(BUILD)'/prove/layer/bin '$(BUILD)'/local
	@cp infra/local/prove/simulator.yaml '$(BUILD)'/prove/
	@GOOS=linux GOARCH=amd64 $(GOBUILD) -o '$(BUILD)'/prove/simulator/bootstrap ./infra/local/simlambda
	@GOOS=linux GOARCH=amd64 $(GOBUILD) -o '$(BUILD)'/prove/layer/bin/simsdk ./infra/local/simsdk
	@$(GOBUILD) -o '$(BUILD)'/local/vaultctl ./infra/vaultctl
	@$(GOBUILD) -o '$(BUILD)'/local/prove ./infra/local/prove
	@$(if $(DRY)$(TEARDOWN),true,sam build)
	@'$(BUILD)'/local/prove -prefix '$(PREFIX)' -account '$(ACCOUNT)' $(if $(REGION),-region '$(REGION)') -mail '$(MAIL)' -folder '$(BUILD)'/prove -vaultctl '$(BUILD)'/local/vaultctl \
		$(if $(DRY),-dry) $(if $(TEARDOWN),-teardown)

.PHONY: judge
judge: ## hold the local AWS endpoints against moto, ministack and DynamoDB Local (N=10 for ten times as long, SEED=0 for other operations)
	@./infra/ci/judge.sh '$(if $(filter command,$(firstword $(origin N))),$(N),1)'

.PHONY: soak
soak: build ## one week of three companies by a clock that leaps: ledger complete, hours before loss right, nothing grows (N=200000)
	@$(GOBUILD) -o '$(BUILD)'/local/soak ./infra/local/soak
	@'$(OUT)/local/soak' -n $(if $(filter command,$(firstword $(origin N))),$(N),200000) $(ARGS)

.PHONY: month
month: build ## a played month and its mails, held against a month written by hand; then again with schedules doubled and functions killed (ARGS='-days 8')
	@$(GOBUILD) -o '$(BUILD)'/local/month ./infra/local/month
	@rm -rf '$(BUILD)'/month
	@'$(OUT)/local/month' -data '$(OUT)/month' $(ARGS)

.PHONY: permissions
permissions: ## which permissions of the template nothing needs (ARGS='-n -1' takes out each in turn; '-n 0' none)
	@$(GO) run ./infra/local/permissions $(ARGS)

.PHONY: clean
clean: ## remove what was built and the local data
	rm -rf $(BUILD) .local .aws-sam

include infra/functions.mk
