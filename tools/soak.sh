#!/usr/bin/env bash
# The full counts (hours). Tests read STERLING_SOAK=1 and write what they counted, as JSON, into STERLING_RESULTS.
# First the sample sizes once more under the race detector.
source "$(dirname "$0")/env.sh"

tools/setup.sh race
export STERLING_RESULTS="${STERLING_RESULTS:-$STERLING_ROOT/bench/results}"
mkdir -p "$STERLING_RESULTS"
say "race detector, sample sizes"
CGO_ENABLED=1 go test -race -count=1 -timeout 2h ./...
say "full sizes, results in $STERLING_RESULTS"
STERLING_SOAK=1 go test -count=1 -timeout "${TIMEOUT:-24h}" ./...
