#!/bin/sh
# make bench-profile: where fetch and process spend their processor time under make bench's load. The functions that ship hold no profiler: here they
# are built once more with a file laid over them (go build -overlay) that starts one, beside the tree and never in it.
#
#   N      messages (20000)
#   PROFILES    folder for the profiles (a temporary one, which is kept and named)
set -eu
cd "$(dirname "$0")/../.."
N=${N:-20000}
GO=${GO:-go}
PROFILES=${PROFILES:-$(mktemp -d)}
mkdir -p "$PROFILES"
PROFILES=$(cd "$PROFILES" && pwd) # the functions run elsewhere
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

make -s build bench-programs BUILD="$work/build"
for function in fetch process; do
	cat >"$work/$function.go" <<GO
package main

import (
	"fmt"
	"os"
	"runtime/pprof"
	"time"
)

// A function is ended without notice: its profile is written in pieces.
func init() {
	if len(os.Args) > 1 {
		return // the library's child
	}
	go func() {
		for n := 0; ; n++ {
			name := fmt.Sprintf("$PROFILES/$function-%d-%04d", os.Getpid(), n)
			cpu, err := os.Create(name + ".cpu")
			if err != nil {
				return
			}
			if err := pprof.StartCPUProfile(cpu); err != nil {
				return
			}
			time.Sleep(4 * time.Second)
			pprof.StopCPUProfile()
			_ = cpu.Close()
			if allocs, err := os.Create(fmt.Sprintf("$PROFILES/$function-%d.allocs", os.Getpid())); err == nil {
				_ = pprof.Lookup("allocs").WriteTo(allocs, 0)
				_ = allocs.Close()
			}
		}
	}()
}
GO
	printf '{"Replace":{"%s/functions/%s/profile_overlay.go":"%s/%s.go"}}' "$PWD" "$function" "$work" "$function" >"$work/$function.json"
	CGO_ENABLED=0 $GO build -trimpath -buildvcs=false -tags lambda.norpc -overlay "$work/$function.json" -o "$work/build/functions/$function/bootstrap" "./functions/$function"
done
"$work/build/local/bench" -binaries "$work/build" -n "$N" -only flow -floors=false
for function in fetch process; do
	cp "$work/build/functions/$function/bootstrap" "$PROFILES/$function.program"
	find "$PROFILES" -name "$function-*.cpu" -size 0 -delete # of a function that was ended meanwhile
	echo
	echo "$function: processor time"
	$GO tool pprof -top -cum -nodecount=40 "$PROFILES/$function.program" "$PROFILES/$function"-*.cpu 2>/dev/null | head -48
	echo "$function: allocated"
	$GO tool pprof -sample_index=alloc_space -top -nodecount=20 "$PROFILES/$function.program" "$PROFILES/$function"-*.allocs 2>/dev/null | head -26
done
echo "the profiles are in $PROFILES"
