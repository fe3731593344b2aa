# shellcheck shell=bash
# Sourced by the scripts beside it: strict mode, the repository's root as working directory, Go on the PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export STERLING_ROOT="$PWD"
tools_bin="$STERLING_ROOT/.tools/bin"

say() { printf '==> %s\n' "$*" >&2; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Debian's packages start their services as they are installed, unless this file forbids it.
no_services() {
	local policy=/usr/sbin/policy-rc.d
	[ -e $policy ] && return
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

# The official archive unpacks to /usr/local/go and leaves the PATH to the user.
if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
	export PATH="$PATH:/usr/local/go/bin"
fi
