#!/bin/sh
# Regenerates proto/gen from proto/sterling. Uses buf and the plugins of
# .tools/bin and builds those that are missing from tools/go.mod. Needs no
# network beyond Go modules.
#
#   tools/proto.sh          lint and generate
#   tools/proto.sh check    the same, and fail if the committed code differs
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=${STERLING_TOOLS_BIN:-$root/.tools/bin}
mkdir -p "$bin"

build() { # build NAME PACKAGE
	[ -x "$bin/$1" ] || (cd "$root/tools" && GOBIN="$bin" go install "$2")
}
if [ ! -x "$bin/buf" ]; then
	GOBIN="$bin" go install github.com/bufbuild/buf/cmd/buf@v1.75.0
fi
build protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
build protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc
build protoc-gen-connect-go connectrpc.com/connect/cmd/protoc-gen-connect-go

cd "$root/proto"
PATH="$bin:$PATH" "$bin/buf" lint
PATH="$bin:$PATH" "$bin/buf" generate
if [ "${1:-}" = check ] && [ -n "$(git -C "$root" status --porcelain -- proto/gen)" ]; then
	echo "proto/gen differs from proto/sterling: run tools/proto.sh and commit the result" >&2
	exit 1
fi
