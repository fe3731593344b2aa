#!/usr/bin/env bash
# The database servers that the tests of engines/, store/, readmodel/ and qualify/ start: PostgreSQL, MariaDB, Galera.
#
#   tools/engines.sh install   installs what is missing (root on Debian); elsewhere says what to install, and goes on:
#                              without the servers those tests are skipped and say so
#   tools/engines.sh require   the same, and fails where anything is still missing
#   tools/engines.sh check     prints what is there
#
# No service of the system is started: the tests start servers of their own, on loopback, in folders of their own.
source "$(dirname "$0")/env.sh"

# The folders where distributions keep what they do not put on the PATH; engines/find.go looks in the same ones.
find_program() { # find_program NAME…
	local name path
	for name in "$@"; do
		path=$(PATH="$PATH:/usr/sbin:/usr/libexec:/usr/local/sbin" command -v "$name") && echo "$path" && return
		for path in /usr/lib/postgresql/*/bin/"$name" /usr/pgsql-*/bin/"$name" /usr/local/mysql/bin/"$name" /opt/homebrew/bin/"$name"; do
			[ -x "$path" ] && echo "$path" && return
		done
	done
	return 1
}

find_galera() {
	local path
	for path in /usr/lib/galera/libgalera_smm.so /usr/lib64/galera-4/libgalera_smm.so /usr/lib/*/galera/libgalera_smm.so; do
		[ -e "$path" ] && echo "$path" && return
	done
	return 1
}

missing=()
look() { # look PACKAGE FINDER ARGUMENTS…
	local package=$1 found
	shift
	if found=$("$@"); then
		say "$package: $found"
	else
		missing+=("$package")
	fi
}
look_for_all() {
	missing=()
	look postgresql find_program initdb
	look mariadb-server find_program mariadbd mysqld
	look galera-4 find_galera
	look rsync find_program rsync
}

install_missing() {
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		return 1
	fi
	say "installing ${missing[*]}"
	no_services
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || return 1
	look_for_all
	[ ${#missing[@]} -eq 0 ]
}

hint() { printf 'Install with: sudo apt-get install --no-install-recommends %s (or the packages of those names of your system)' "${missing[*]}"; }

case "${1:-}" in
check)
	look_for_all
	[ ${#missing[@]} -eq 0 ] || say "missing: ${missing[*]}. $(hint)"
	;;
install)
	look_for_all 2>/dev/null
	install_missing || say "without ${missing[*]}, the tests that start them are skipped. $(hint)"
	;;
require)
	look_for_all 2>/dev/null
	install_missing || die "missing: ${missing[*]}. $(hint)"
	;;
*) die "unknown command \"${1:-}\"; want install, require or check" ;;
esac
