#!/usr/bin/env bash
# The console: the pages that bin/sterling serves, from console/web.
#
#   tools/console.sh            build them into console/dist, unless that is done; without npm, say so and go on
#   tools/console.sh require    the same, and fail where it can't be done
#   tools/console.sh test       build, type-check, and run the unit and browser tests; screenshots in
#                               console/web/artifacts
#
# Its messages are those of the TypeScript client (console/web/src/gen links to them): tools/sdk.sh makes them.
source "$(dirname "$0")/env.sh"

web=console/web
dist=console/dist
stamp=$dist/.stamp

# What the build is made of: every source that git would know, and the packages it pins.
content() {
	(cd $web && find -L . \( -name node_modules -o -name artifacts -o -name .build \) -prune -o -type f ! -name '*.test.ts' ! -path './test/*' -print0 |
		LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -d ' ' -f 1
}

# The packages that package-lock.json pins; installed once per content of that file.
install_node_modules() {
	local done=$web/node_modules/.sterling-stamp want
	want=$(cat $web/package.json $web/package-lock.json | sha256sum)
	[ "$(cat $done 2>/dev/null)" != "$want" ] || return 0
	say "installing the console's packages (once)"
	(cd $web && npm ci --no-audit --no-fund --loglevel=error >/dev/null) || return 1
	printf '%s\n' "$want" >$done
}

build() {
	local want
	want=$(content)
	[ "$(cat $stamp 2>/dev/null)" != "$want" ] || return 0
	command -v npm >/dev/null || {
		say "the console needs Node 18 with npm"
		return 1
	}
	install_node_modules || {
		say "npm ci failed in $web: it needs npm's registry, or a cache of the packages of package-lock.json"
		return 1
	}
	say "building the console"
	(cd $web && node node_modules/typescript/bin/tsc --noEmit && node node_modules/vite/bin/vite.js build --logLevel error >&2) || return 1
	find $dist -mindepth 1 ! -name unbuilt.html -delete
	cp -R $web/.build/. $dist/
	printf '%s\n' "$want" >$stamp
}

case "${1:-build}" in
build) build || say "WITHOUT THE CONSOLE: the program serves a page that says so instead" ;;
require) build || die "the console could not be built" ;;
test)
	build || {
		say "the console's tests are SKIPPED: it could not be built"
		exit 0
	}
	install_node_modules || die "npm ci failed in $web"
	node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || {
		say "the console's tests are SKIPPED: they need Node 20, this is $(node --version). The console itself is built"
		exit 0
	}
	say "the console's unit tests"
	(cd $web && node node_modules/typescript/bin/tsc --noEmit && node node_modules/vitest/vitest.mjs run --project unit >&2)
	tools/setup.sh browser
	if ! command -v chromium >/dev/null && [ -z "${CHROMIUM:-}" ]; then
		say "the console's browser tests are SKIPPED: no chromium. Install it with: sudo apt-get install chromium, or name one in CHROMIUM"
		exit 0
	fi
	tools/build.sh main
	say "the console in a browser"
	(cd $web && STERLING_BIN="$STERLING_ROOT/bin/sterling" timeout "${TIMEOUT:-600}" node node_modules/vitest/vitest.mjs run --project browser >&2) ||
		die "the console's browser tests failed; screenshots are in $web/artifacts"
	;;
*) die "unknown command \"$1\"; want build, require or test" ;;
esac
