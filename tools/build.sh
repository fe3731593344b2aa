#!/usr/bin/env bash
# Builds bin/sterling with the console in it. The commit is stamped in where this is a git checkout.
source "$(dirname "$0")/env.sh"

tools/setup.sh build
tools/setup.sh console
tools/console.sh
stamp=false
git rev-parse --is-inside-work-tree >/dev/null 2>&1 && stamp=true
mkdir -p bin
CGO_ENABLED=0 go build -trimpath -buildvcs=$stamp -o bin/sterling ./cmd/sterling
say "bin/sterling is built"
