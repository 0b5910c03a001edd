#!/usr/bin/env bash
# Holds the local AWS endpoints against implementations that other people wrote: moto, ministack and AWS's own DynamoDB Local. Installs
# them, pinned, into the cache (Python programs in environments of their own, the jars by Maven), then runs infra/local/judge, which
# starts and ends them itself.
#
#   infra/ci/judge.sh [N]    N: how many times as many generated operations (1)
#
# SEED says which operations are generated: 1 unless it is set, so that CI repeats what was seen before; SEED=0 draws others each time.
# Without a JVM and Maven the judge DynamoDB Local is skipped by name; with CI set that is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

moto=5.2.5
ministack=1.5.33
dynamodb=$(sed -n 's:.*<version>\(.*\..*\)</version>.*:\1:p' infra/local/judge/pom.xml)
cache=${XDG_CACHE_HOME:-$PWD/.cache}/wecomvault/judge
mkdir -p "$cache"

python() { # name, requirement
	local into=$cache/$1
	[ "$(cat "$into/installed" 2>/dev/null)" = "$2" ] && return
	echo "judge: installing $2"
	rm -rf "$into"
	python3 -m venv "$into"
	"$into/bin/python" -m pip install --quiet --disable-pip-version-check "$2"
	printf '%s' "$2" >"$into/installed"
}
python moto "moto[server]==$moto"
python ministack "ministack==$ministack"

if command -v java >/dev/null && command -v mvn >/dev/null; then
	into=$cache/dynamodblocal
	if [ "$(cat "$into/installed" 2>/dev/null)" != "$dynamodb" ]; then
		echo "judge: installing DynamoDB Local $dynamodb"
		rm -rf "$into"
		mvn --batch-mode --quiet --file infra/local/judge/pom.xml dependency:copy-dependencies "-DoutputDirectory=$into"
		printf '%s' "$dynamodb" >"$into/installed"
	fi
elif [ -n "${CI:-}" ]; then
	echo "judge: DynamoDB Local needs a JVM and Maven, and CI must have them" >&2
	exit 1
else
	rm -rf "$cache/dynamodblocal"
	echo "judge: SKIPPED: DynamoDB Local, which needs a JVM and Maven (java and mvn are not on the path)"
fi

# JUDGE_SHORT leaves out the adapters' own suites, which take about a minute.
WECOMVAULT_JUDGES=$cache WECOMVAULT_JUDGE_N=${1:-1} exec go test -count=1 -timeout 60m -v ${JUDGE_SHORT:+-short} ./infra/local/judge \
	-rapid.nofailfile -rapid.checks=20000 -rapid.seed="${SEED:-1}"
