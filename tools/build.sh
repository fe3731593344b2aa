#!/usr/bin/env bash
# Builds bin/sterling with the console in it, and bin/sterling-sandbox with gVisor's program beside it, a module of its own
# (ADR 16, 25), and the init of its machines (ADR 23).
# The commit is stamped in where this is a git checkout.
#
#   tools/build.sh              both
#   tools/build.sh main         bin/sterling only: gVisor takes 100 CPU-seconds from empty caches
source "$(dirname "$0")/env.sh"

tools/setup.sh build
tools/setup.sh console
tools/console.sh
stamp=false
git rev-parse --is-inside-work-tree >/dev/null 2>&1 && stamp=true
mkdir -p bin
CGO_ENABLED=0 go build -trimpath -buildvcs=$stamp -o bin/sterling ./cmd/sterling
say "bin/sterling is built"
[ "${1:-all}" = all ] || exit 0
# gVisor asks for a newer Go than the main module; the go command fetches it where it is older.
(cd cmd/sterling-sandbox && for program in sterling-sandbox=. sterling-sandbox-runsc=./runsc; do
	CGO_ENABLED=0 go build -trimpath -buildvcs=$stamp -ldflags='-s -w' -o "$STERLING_ROOT/bin/${program%=*}" "${program#*=}"
done)
say "bin/sterling-sandbox is built"
tools/microvm.sh init # the kernel of machines comes by: tools/microvm.sh install
