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
described=$(mktemp)
trap 'rm -f "$described"' EXIT
# The same description with ids that there are, or else every request would be about nothing.
python3 - functions/api/openapi.json >"$described" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
p = d["components"]["parameters"]
p["Corp"]["schema"] = {"enum": ["wwtry", "wwtry", "wwnone"]}
p["Receiver"]["schema"] = {"enum": ["h-head2", "h-head5", "a-1", "r-0000000000000000"]}
d["components"]["schemas"]["ReportKind"] = {"enum": ["R%d" % n for n in (1, 2, 3, 4, 5, 6, 7, 8, 12)]}
json.dump(d, sys.stdout)
END
for role in admin supervisor:wwtry:2 auditor; do
	printf '== as %s\n' "$role"
	"$build/local/apitry" -binaries "$build" -role "$role" -- sh -c '"$0" run "$@" --url "$API_URL" -H "Authorization: Bearer $API_TOKEN"' \
		"$cache/schemathesis/bin/schemathesis" "$described" --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
		--no-color "$@"
done
