#!/usr/bin/env bash
# The gate: lint, the architecture test, every other test at its sample size, the clients in sdk/, and the console in a
# browser. Under 20 minutes on 2 cores from empty caches. Full counts: tools/soak.sh.
source "$(dirname "$0")/env.sh"

tools/setup.sh test
tools/engines.sh install
tools/microvm.sh install # kernels of their own for sandboxes
tools/lint.sh code
tools/install.sh h2spec # which the mesh's proxy is judged by
say "architecture and style"
go test -count=1 ./architecture
say "tests"
# -count=1: a cached result is no evidence for tests that start processes and write files.
go test -count=1 -timeout "${TIMEOUT:-10m}" ./...
say "tests of sandboxes"
# Without cgo, as it is built: tests start their own binary in places where there is no C library.
(cd cmd/sterling-sandbox && CGO_ENABLED=0 go test -count=1 -timeout "${TIMEOUT:-10m}" ./...)
tools/sdk.sh test
tools/console.sh test
