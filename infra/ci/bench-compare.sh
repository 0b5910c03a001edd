#!/bin/sh
# make bench-compare BASE=<commit>: builds another commit's programs beside this tree's, measures both in turns with this tree's bench, and has
# benchstat say what changed. In turns, so that what else happens on the machine happens to both.
#
#   BASE   the commit to compare with
#   N      messages of each run (20000)
#   RUNS   runs of each (5); benchstat needs several to tell a change from noise
#   ONLY   what to measure (cold,flow)
set -eu
cd "$(dirname "$0")/../.."
: "${BASE:?which commit? make bench-compare BASE=HEAD~10}"
N=${N:-20000}
RUNS=${RUNS:-5}
ONLY=${ONLY:-cold,flow}
GO=${GO:-go}
benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

base=$(git rev-parse --verify --quiet "$BASE^{commit}") || { echo "bench-compare: there is no commit $BASE" >&2; exit 2; }
work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --detach "$work/base" "$base"

echo "building $base and this tree"
make -s build BUILD="$work/new"
make -s bench-programs BUILD="$work/new"
(cd "$work/base" && make -s build BUILD="$work/old")
cp "$work/new/local/empty" "$work/old/local/empty"

run=1
while [ "$run" -le "$RUNS" ]; do
	echo "run $run of $RUNS"
	"$work/new/local/bench" -binaries "$work/old" -template "$work/base/template.yaml" -n "$N" -only "$ONLY" -floors=false -out "$work/old.txt" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	"$work/new/local/bench" -binaries "$work/new" -template template.yaml -n "$N" -only "$ONLY" -floors=false -out "$work/new.txt" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	run=$((run + 1))
done
(cd "$work" && $GO run "$benchstat" "old=old.txt" "new=new.txt")
