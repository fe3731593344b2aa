#!/bin/sh
# Regenerates proto/gen from proto/sterling with buf and the plugins of
# .tools/bin, which tools/install.sh builds at pinned versions. STERLING_TOOLS_BIN
# names another folder that has them.
#
#   tools/proto.sh          lint and generate
#   tools/proto.sh check    the same, and fail if the committed code differs
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bin=${STERLING_TOOLS_BIN:-$root/.tools/bin}
[ -n "${STERLING_TOOLS_BIN:-}" ] || "$root/tools/install.sh" buf protoc-gen-go protoc-gen-go-grpc protoc-gen-connect-go protoc-gen-openapi

cd "$root/proto"
PATH="$bin:$PATH" "$bin/buf" lint
PATH="$bin:$PATH" "$bin/buf" generate
if [ "${1:-}" = check ] && [ -n "$(git -C "$root" status --porcelain -- proto/gen)" ]; then
	echo "proto/gen differs from proto/sterling: run tools/proto.sh and commit the result" >&2
	exit 1
fi
