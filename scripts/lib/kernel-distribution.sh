# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Debian's own kernel with the package of the series' modules installed. All of it happens in a root of the Debian
# release that the kernel is made for, since the modules want its compiler.

DISTRIBUTION=$PEERBAR_TOP/rdma-tests/distribution
DISTRIBUTION_SUITES=(trixie trixie-backports)

distribution_key() {
	{
		package_key
		cat "$DISTRIBUTION"/* "${BASH_SOURCE[0]}"
	} | key_of
}

# fill_distribution FOLDER LOG: the kernel and its modules
fill_distribution() {
	local target=$1 log=$2 copy mirror run suite sources=()
	mirror=$(debian_mirror) || exit
	for suite in "${DISTRIBUTION_SUITES[@]}"; do
		sources+=("deb $mirror $suite main")
	done
	printf -v copy '%q ' copy-in "$PACKAGE" "$DISTRIBUTION" /root
	printf -v run '%q ' "/root/${DISTRIBUTION##*/}/install-and-remove" \
		"${DISTRIBUTION_SUITES[-1]}" "$(tree_version)" "/root/${PACKAGE##*/}" /root/result
	watched "Debian's kernel" "$log" '^(Unpacking|Setting up) ' \
		mmdebstrap --format=null --variant=apt --include=make --customize-hook="$copy" \
		--customize-hook="chroot \"\$1\" $run" \
		--customize-hook="$(printf '%q ' sync-out /root/result "$target")" \
		"${DISTRIBUTION_SUITES[0]}" - "${sources[@]}"
}

build_missing_distribution() {
	local log=$KERNEL/build/distribution.log start=$SECONDS part=$IMAGE.part
	need_space 3000 "installing Debian's kernel in a root of its own"
	TEMPORARY+=("$part")
	rm -rf "$part"
	mkdir -p "$part" "${log%/*}"
	say "installing Debian's kernel and ${PACKAGE##*/} in a root of their own (log: $log)"
	fill_distribution "$part" "$log" || {
		tail -n 30 "$log" >&2
		die "Debian's kernel could not be had with the series' modules; the log is $log"
	}
	mv "$part" "$IMAGE"
	drop_old_images
	say "done in $((SECONDS - start)) s"
}

# Sets IMAGE
build_distribution() {
	need_source_quietly
	IMAGE=$KERNEL/image/distribution-$(distribution_key)
	if [[ ! -f $IMAGE/bzImage ]]; then
		need_package
		lock distribution
		[[ -f $IMAGE/bzImage ]] || build_missing_distribution
		unlock
	fi
	touch -c "$IMAGE" 2>/dev/null || true
}
