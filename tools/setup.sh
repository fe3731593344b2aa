#!/usr/bin/env bash
# Makes sure that what a target needs is on the machine, and installs only what is missing.
#
#   tools/setup.sh build        Go and git
#   tools/setup.sh test         the same, and hledger and beancount, which read what is exported, and HAProxy, which the
#                               mesh's proxy is compared with, and runc, which sandboxes are: without them, those tests
#                               are skipped, and say so
#   tools/setup.sh bench        the same as build, and HAProxy and nginx, which the mesh's proxy is measured beside, and
#                               runc, which sandboxes are
#   tools/setup.sh race         the same, and a C compiler for the race detector
#   tools/setup.sh sdk          the same as build, and Node and Python with gRPC for the clients in sdk/
#   tools/setup.sh sdk-generate the same as sdk, and protoc with its Python plugin
#   tools/setup.sh console      Node with npm, where they can be installed: without them there is no console
#   tools/setup.sh browser      Chromium, where it can be installed: without it, the console's browser tests are skipped
source "$(dirname "$0")/env.sh"

need_go=1.26
command -v go >/dev/null ||
	die "Go $need_go or newer is needed and is not on the PATH: https://go.dev/doc/install"
have_go=$(go env GOVERSION)
have_go=${have_go#go}
[ "$(printf '%s\n' "$need_go" "${have_go%%[- ]*}" | sort -V | head -n 1)" = "$need_go" ] ||
	die "Go $need_go or newer is needed; this is Go $have_go: https://go.dev/doc/install"

missing=()
want() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null || missing+=("$2"); } # want COMMAND PACKAGE
want git git
want_sdk() {
	want node nodejs
	want npm npm
	python3 -c 'import grpc, google.protobuf' 2>/dev/null || /usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null ||
		missing+=(python3-grpcio python3-protobuf)
}
case "${1:-build}" in
build | test | bench | console | browser) ;;
sdk) want_sdk ;;
sdk-generate)
	want_sdk
	want protoc protobuf-compiler
	want grpc_python_plugin protobuf-compiler-grpc
	;;
race) want "$(go env CC)" gcc && [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev) ;;
*) die "unknown purpose \"$1\"; want build, test, bench, race, sdk, sdk-generate, console or browser" ;;
esac

can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
install_all() { # install_all PACKAGE…
	say "installing $*"
	no_services
	install "$@" 2>/dev/null || { apt-get update -qq && install "$@"; }
}

if [ ${#missing[@]} -gt 0 ]; then
	can_install ||
		die "missing: ${missing[*]}. Install with: sudo apt-get install ${missing[*]} (or your system's packages of those names)"
	install_all "${missing[@]}" || die "apt-get could not install ${missing[*]}"
fi

missing=()
case "${1:-build}" in
test)
	want hledger hledger
	want bean-check beancount
	want haproxy haproxy
	want runc runc
	without="the tests that need them are skipped"
	;;
bench)
	want haproxy haproxy
	want nginx nginx-light
	want runc runc
	without="the mesh's proxy and sandboxes are not measured beside them"
	;;
console)
	want node nodejs
	want npm npm
	without="the console is not built"
	;;
browser)
	[ -n "${CHROMIUM:-}" ] || want chromium chromium
	without="the console's browser tests are skipped"
	;;
*) exit 0 ;;
esac
if [ ${#missing[@]} -gt 0 ] && { ! can_install || ! install_all "${missing[@]}"; }; then
	say "without ${missing[*]}, $without. Install with: sudo apt-get install ${missing[*]}"
fi
