#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (20s). Pattern as the first argument limits it: tools/fuzz.sh journal
# An input that fails is saved by go under the package's testdata/fuzz: commit it with the fix.
source "$(dirname "$0")/env.sh"

tools/setup.sh build
fuzztime=${FUZZTIME:-20s}
list='{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}'
list+='{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}{{"\n"}}{{end}}'
files=$(go list -f "$list" ./...)
ran=0
while read -r package file; do
	[ -n "$file" ] || continue
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		[[ "$package/$target" == *"${1:-}"* ]] || continue
		say "$package $target for $fuzztime"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package" </dev/null
		ran=$((ran + 1))
	done
done <<<"$files"
[ "$ran" -gt 0 ] || die "no fuzz target found${1:+ for \"$1\"}"
say "$ran fuzz targets, no failure"
