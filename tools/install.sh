#!/usr/bin/env bash
# Builds development tools into .tools/bin, at the versions pinned in tools/go.mod (buf: tools/buf/go.mod, because it
# requires a newer protobuf than the one we generate for). A tool that is up to date is left alone.
#
#   tools/install.sh golangci-lint gofumpt …
source "$(dirname "$0")/env.sh"

package_of() {
	case "$1" in
	golangci-lint) echo github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
	gofumpt) echo mvdan.cc/gofumpt ;;
	govulncheck) echo golang.org/x/vuln/cmd/govulncheck ;;
	h2spec) echo github.com/summerwind/h2spec/cmd/h2spec ;;
	benchstat) echo golang.org/x/perf/cmd/benchstat ;;
	buf) echo github.com/bufbuild/buf/cmd/buf ;;
	protoc-gen-go) echo google.golang.org/protobuf/cmd/protoc-gen-go ;;
	protoc-gen-go-grpc) echo google.golang.org/grpc/cmd/protoc-gen-go-grpc ;;
	protoc-gen-connect-go) echo connectrpc.com/connect/cmd/protoc-gen-connect-go ;;
	protoc-gen-openapi) echo github.com/sterlingrun/sterling/tools/openapi ;; # our own
	*) die "unknown tool \"$1\"; add it to tools/go.mod and to tools/install.sh" ;;
	esac
}

mkdir -p "$tools_bin"
for tool in "$@"; do
	package=$(package_of "$tool")
	module=tools
	[ "$tool" != buf ] || module=tools/buf
	stamp="$tools_bin/.$tool.stamp"
	want=$( (go env GOVERSION && cat "$module/go.mod" "$module/go.sum" && { [ "$tool" != protoc-gen-openapi ] || cat tools/openapi/*.go; }) | sha256sum)
	if [ -x "$tools_bin/$tool" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
		continue
	fi
	say "building $tool (once)"
	(cd "$module" && CGO_ENABLED=0 go build -o "$tools_bin/$tool" "$package")
	printf '%s\n' "$want" >"$stamp"
done
