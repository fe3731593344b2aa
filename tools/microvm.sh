#!/usr/bin/env bash
# What machines with a kernel of their own are made of (isolation: own-kernel): Debian's cloud kernel with the drivers
# that they need, taken out of its package without installing it, and our init. QEMU and mke2fs come with the system.
#
#   tools/microvm.sh install [FOLDER]   into FOLDER, default bin/microvm; installs QEMU, too (root on Debian). Elsewhere it
#                                       says what to install, and goes on: without it, those tests are skipped
#   tools/microvm.sh init [FOLDER]      only our init, built anew
source "$(dirname "$0")/env.sh"

folder=${2:-bin/microvm}
drivers='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_console overlay'

build_init() {
	mkdir -p "$folder"
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$folder/init" ./cmd/sterling-sandbox-init
	say "$folder/init is built"
}

fetch_kernel() (
	package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1)
	[ -n "$package" ] || return 1
	[ "$(cat "$folder/version" 2>/dev/null)" != "$package" ] || [ ! -s "$folder/vmlinuz" ] || return 0
	say "taking the kernel out of $package"
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	(cd "$scratch" && apt-get download -qq "$package" >/dev/null 2>&1 && dpkg-deb -x ./*.deb .) || return 1
	# Without its kernel the folder is not taken for a machine; half of one kernel and half of another would be. What is
	# called in a list of commands goes on after a failure, so each one says what it failed at.
	rm -f "$folder/vmlinuz" "$folder/version" || return 1
	for driver in $drivers; do
		file=$(find "$scratch/lib/modules" "$scratch/usr/lib/modules" -name "$driver.ko" 2>/dev/null | head -n 1)
		cp "$file" "$folder/$driver.ko" || return 1
	done
	cp "$scratch"/boot/vmlinuz-* "$folder/vmlinuz.new" && mv "$folder/vmlinuz.new" "$folder/vmlinuz" || return 1
	printf '%s\n' "$package" >"$folder/version"
)

case "${1:-}" in
init) build_init ;;
install)
	build_init
	missing=()
	command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
	PATH="$PATH:/sbin:/usr/sbin" command -v mke2fs >/dev/null || missing+=(e2fsprogs)
	if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
		export DEBIAN_FRONTEND=noninteractive
		if [ ${#missing[@]} -gt 0 ]; then
			no_services
			apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
				{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
				say "apt-get could not install ${missing[*]}"
		fi
		fetch_kernel || { apt-get update -qq && fetch_kernel; } || say "apt-get could not fetch linux-image-cloud-amd64"
	else
		say "without ${missing[*]:-} and the files of Debian's linux-image-cloud-amd64 in $folder there is no isolation: own-kernel, and its tests are skipped"
	fi
	;;
*) die "usage: tools/microvm.sh install|init [FOLDER]" ;;
esac
