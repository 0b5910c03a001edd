#!/bin/sh
# Makes requests of the API's description by the thousand, well-formed and not, and holds each answer against the description: no answer may be a 5xx or
# unlike its description. Needs Python 3 and what make build makes; the tool is installed once, at a fixed version, into .cache/ (or $CACHE).
#
#	try-api.sh BUILD [ARGUMENT of schemathesis…]
set -eu
cd "$(dirname "$0")/../.."

build=$1
shift
cache=${CACHE:-.cache}
version=4.32.5
if [ "$(cat "$cache/schemathesis/wanted" 2>/dev/null)" != "$version" ]; then
	rm -rf "$cache/schemathesis"
	python3 -m venv "$cache/schemathesis"
	PIP_DISABLE_PIP_VERSION_CHECK=1 "$cache/schemathesis/bin/pip" install --quiet "schemathesis==$version"
	printf '%s' "$version" >"$cache/schemathesis/wanted"
fi
for role in admin supervisor:wwtry:2 auditor; do
	printf '== as %s\n' "$role"
	"$build/local/apitry" -binaries "$build" -role "$role" -- sh -c '"$0" run functions/api/openapi.json --url "$API_URL" -H "Authorization: Bearer $API_TOKEN" "$@"' \
		"$cache/schemathesis/bin/schemathesis" --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance "$@"
done
