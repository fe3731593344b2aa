#!/usr/bin/env bash
# Measures: the parts by `go test -bench`, the whole by `sterling bench ledger` against a server with fsync on.
# Writes bench/results/parts.txt (two of them compare with .tools/bin/benchstat), bench/results/ledger.json, and
# bench/results/mesh.json: the mesh's proxy beside HAProxy and nginx.
source "$(dirname "$0")/env.sh"

results=${STERLING_RESULTS:-$STERLING_ROOT/bench/results}
mkdir -p "$results"
tools/setup.sh bench
tools/build.sh main
tools/install.sh benchstat
# Written aside first: a run that breaks off must not replace an older result.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
say "parts"
go test -run '^$' -bench . -benchmem -timeout 1h ./... | tee "$scratch/parts.txt"
mv "$scratch/parts.txt" "$results/parts.txt"
say "the whole"
bin/sterling bench ledger --json >"$scratch/ledger.json"
mv "$scratch/ledger.json" "$results/ledger.json"
say "the mesh's proxy"
go run ./bench/mesh -out "$scratch/mesh.json"
mv "$scratch/mesh.json" "$results/mesh.json"
say "results in $results"
