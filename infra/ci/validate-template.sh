#!/bin/sh
# Judges template.yaml by tools that know AWS, and what sam builds from it. Needs Python 3 and Go, no account and no Docker.
# The tools are installed once, at fixed versions, into .cache/ (or $CACHE): checkov apart, since it asks for other versions of
# the libraries that the SAM CLI asks for.
set -eu
cd "$(dirname "$0")/../.."

cache=${CACHE:-.cache}
sam_version=1.170.0
cfn_lint_version=1.58.0
checkov_version=3.3.30

export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}" SAM_CLI_TELEMETRY=0 PIP_DISABLE_PIP_VERSION_CHECK=1

# install <folder> <requirement>...: a virtual environment with exactly these, made again when they change.
install() {
	dir=$cache/$1
	shift
	if [ "$(cat "$dir/wanted" 2>/dev/null)" = "$*" ]; then
		return
	fi
	rm -rf "$dir"
	python3 -m venv "$dir"
	"$dir/bin/pip" install --quiet "$@"
	printf '%s' "$*" >"$dir/wanted"
}

say() { printf '== %s\n' "$*"; }

say "tools"
install sam "aws-sam-cli==$sam_version" "cfn-lint==$cfn_lint_version"
install checkov "checkov==$checkov_version"

say "sam validate --lint"
"$cache/sam/bin/sam" validate --lint --template template.yaml

say "cfn-lint"
"$cache/sam/bin/cfn-lint" template.yaml

say "sam build"
"$cache/sam/bin/sam" build --template template.yaml --build-dir .aws-sam/build >.aws-sam.log 2>&1 || {
	cat .aws-sam.log
	exit 1
}
rm -f .aws-sam.log

say "ELF headers of what was built"
SAM_BUILD="$PWD/.aws-sam/build" go test -count=1 -run '^TestBuiltFunctionsFitLambda$' ./infra

say "checkov"
"$cache/checkov/bin/checkov" --file template.yaml --framework cloudformation --compact --quiet --skip-download
say "the template is sound"
