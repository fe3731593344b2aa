#!/usr/bin/env bash
# The TypeScript and Python clients in sdk/.
#
#   tools/sdk.sh                generate their code from proto/
#   tools/sdk.sh check          the same, and fail if the committed code differs
#   tools/sdk.sh test           type-check, build, and run both against servers started from bin/sterling
source "$(dirname "$0")/env.sh"

typescript=sdk/typescript
python=sdk/python

# The packages that package-lock.json pins; installed once per content of that file.
install_node_modules() {
	local stamp=$typescript/node_modules/.sterling-stamp want
	want=$(cat $typescript/package.json $typescript/package-lock.json | sha256sum)
	[ "$(cat $stamp 2>/dev/null)" != "$want" ] || return 0
	say "installing the TypeScript client's packages (once)"
	(cd $typescript && npm ci --no-audit --no-fund --loglevel=error >/dev/null) ||
		die "npm ci failed in $typescript: it needs npm's registry, or a cache of the packages of package-lock.json"
	printf '%s\n' "$want" >$stamp
}

# Debian's python3 has the packages; another one that comes first on the PATH may not.
find_python() {
	local candidate
	for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
		if "$candidate" -c 'import grpc, google.protobuf' 2>/dev/null; then
			echo "$candidate"
			return
		fi
	done
	die "no python3 with grpcio and protobuf: sudo apt-get install python3-grpcio python3-protobuf, or name one in PYTHON"
}

generate() {
	tools/setup.sh sdk-generate
	tools/install.sh buf
	install_node_modules
	rm -rf $typescript/src/gen $python/src/sterling/ledger
	(cd proto && PATH="$STERLING_ROOT/$typescript/node_modules/.bin:$PATH" "$tools_bin/buf" generate --template ../sdk/buf.gen.yaml --exclude-path sterling/cell)
}

case "${1:-generate}" in
generate) generate ;;
check)
	generate
	[ -z "$(git status --porcelain -- $typescript/src/gen $python/src/sterling/ledger)" ] ||
		die "the clients in sdk/ differ from proto/sterling: run tools/sdk.sh and commit the result"
	;;
test)
	tools/setup.sh sdk
	tools/build.sh main
	install_node_modules
	export STERLING_BIN="$STERLING_ROOT/bin/sterling"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	say "the TypeScript client against a server"
	rm -rf $typescript/dist
	(cd $typescript && node node_modules/typescript/bin/tsc && timeout 120 node --test dist/test/ledger.test.js) >"$log" 2>&1 ||
		{ cat "$log" >&2 && die "the TypeScript client's tests failed"; }
	say "the Python client against a server"
	interpreter=$(find_python)
	PYTHONPATH=$python/src PYTHONDONTWRITEBYTECODE=1 timeout 120 "$interpreter" -m unittest discover -s $python/tests >"$log" 2>&1 ||
		{ cat "$log" >&2 && die "the Python client's tests failed"; }
	;;
*) die "unknown command \"$1\"; want generate, check or test" ;;
esac
