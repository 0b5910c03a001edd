#!/bin/sh
# Makes requests of the API's description, well-formed and not, and holds each answer against the description: no answer may be a 5xx or unlike its
# description. As admin, as supervisor of a department and as auditor, all at once, each against an archive of its own. The same requests each time, since the
# seed is set; --seed and --max-examples draw others, and more. Needs Python 3 and what make build makes; the tool is installed once, at a fixed version, into
# .cache/ (or $CACHE).
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
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The same description with ids and values that there are, or else every request would be about nothing. What is outside them is tried all the same.
python3 - functions/api/openapi.json >"$work/openapi.json" <<'END'
import hashlib, json, sys
d = json.load(open(sys.argv[1]))
address = lambda a: hashlib.sha256(a.encode()).hexdigest()[:16]
p = d["components"]["parameters"]
p["Corp"]["schema"] = {"enum": ["wwtry"]}
p["Receiver"]["schema"] = {"enum": ["h-head2", "h-head5", "a-1", "r-0000000000000000"]}
p["Suppression"]["schema"] = {"enum": [address("head2@try.example"), address("head5@try.example")]}
p["UserID"]["schema"] = {"enum": ["head2", "head5", "head1"]}
p["IfMatch"]["schema"] = {"enum": ['"%d"' % n for n in range(4)]}
for name in "ReceiverEntry", "ReceiverChange":
    fields = d["components"]["schemas"][name]["properties"]
    fields["address"] = {"type": "string", "pattern": "^[a-z]{3,9}@try\\.example$"}
    fields["department"] = {"enum": [1, 2, 5, 11, 99]}
d["components"]["schemas"]["PreviewRequest"]["properties"]["department"] = {"enum": [1, 2, 5, 11, 99]}
d["components"]["schemas"]["HRFileImport"]["properties"]["file"] = {"enum": ["userid,mobile\nhead%d,1380000000%d\n" % (n, n) for n in (2, 5)] + ["userid\n\n", "", None]}
d["components"]["schemas"]["ReportKind"] = {"enum": ["R%d" % n for n in (1, 2, 3, 4, 5, 6, 7, 8, 12)]}
json.dump(d, sys.stdout)
END
# The rate is below API Gateway's own throttle: an answer of 429 would be about nothing too.
try() { # role, arguments
	role=$1
	shift
	"$build/local/apitry" -binaries "$build" -role "$role" -- sh -c '"$0" run "$@" --url "$API_URL" -H "Authorization: Bearer $API_TOKEN"' \
		"$cache/schemathesis/bin/schemathesis" "$work/openapi.json" \
		--checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance \
		--phases coverage,fuzzing,stateful --rate-limit 18/s --max-examples 8 --seed 1 --no-color "$@"
}
failed=0
n=0
for role in admin supervisor:wwtry:2 auditor; do
	n=$((n + 1))
	(try "$role" "$@" >"$work/$n.log" 2>&1 || echo "$role" >>"$work/failed") &
done
wait
n=0
for role in admin supervisor:wwtry:2 auditor; do
	n=$((n + 1))
	printf '== as %s\n' "$role"
	if grep -qx "$role" "$work/failed" 2>/dev/null; then
		cat "$work/$n.log"
		failed=1
	else
		sed -n '/^Test cases:/,$p' "$work/$n.log" | grep -E 'generated|Seed|===' || cat "$work/$n.log"
	fi
done
exit "$failed"
