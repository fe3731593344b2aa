#!/usr/bin/env bash
# Everything that judges the source without running it.
#
#   tools/lint.sh               all of it
#   tools/lint.sh code          golangci-lint only, which `make test` runs: needs no network once it is built
source "$(dirname "$0")/env.sh"

tools/setup.sh build
tools/install.sh golangci-lint
say "golangci-lint"
"$tools_bin/golangci-lint" run --timeout 10m ./...
(cd cmd/sterling-sandbox && "$tools_bin/golangci-lint" run --timeout 10m --config "$STERLING_ROOT/.golangci.yml" ./...)
[ "${1:-all}" = all ] || exit 0

say "architecture and style"
go test -count=1 ./architecture

if [ -d proto ]; then
	say "generated code is up to date"
	tools/install.sh buf protoc-gen-go protoc-gen-go-grpc protoc-gen-connect-go protoc-gen-openapi
	tools/proto.sh check
	tools/sdk.sh check
fi

tools/install.sh govulncheck
# With the database out of reach, govulncheck leaves this line out of its version.
if timeout 60 "$tools_bin/govulncheck" -version 2>/dev/null | grep -q 'DB updated'; then
	say "govulncheck"
	"$tools_bin/govulncheck" ./...
	(cd cmd/sterling-sandbox && "$tools_bin/govulncheck" ./...)
else
	say "govulncheck: NOT RUN, its vulnerability database does not answer from this machine"
fi
