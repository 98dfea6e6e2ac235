# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Linux's own tests of what the series touches, built from the selected source.
# They are built from a copy of the parts that takes, because the shared tree
# may be on any commit and is not to be littered.

SELFTEST_TARGETS=(vfio iommu rdma dmabuf-heaps drivers/dma-buf)
# The tests, what installs the headers that they are compiled with, and the
# drivers whose register definitions they link to.
SELFTEST_PATHS=(Makefile Kbuild Kconfig arch/Kconfig arch/x86 include scripts
	tools/arch/x86 tools/build tools/include tools/scripts tools/testing/selftests
	drivers/dma drivers/iommu/iommufd drivers/net/ethernet/intel/igb)

# selftests_key COMMIT: what the programs depend on
selftests_key() {
	{
		git -C "$TREE" ls-tree "$1" -- "${SELFTEST_PATHS[@]}"
		printf '%s\n' "${SELFTEST_TARGETS[@]}"
		gcc --version
	} | key_of
}

# build_selftests COMMIT: sets SELFTESTS to the folder that has kselftest-list.txt
build_selftests() {
	local commit=$1 work
	SELFTESTS=$KERNEL/selftests/$(selftests_key "$commit")
	[[ ! -d $SELFTESTS ]] || return 0
	lock selftests
	if [[ ! -d $SELFTESTS ]]; then
		need_space 1000 "building Linux's own tests"
		mkdir -p "$KERNEL/selftests"
		work=$(mktemp -d "$KERNEL/selftests/.work.XXXXXX")
		TEMPORARY+=("$work")
		say "building Linux's own tests"
		make_selftests "$commit" "$work" >"$work/log" 2>&1 || {
			tail -n 30 "$work/log" >&2
			! say_full "$work/log" || exit 1
			die "building Linux's own tests failed"
		}
		mv -T "$work/installed" "$SELFTESTS"
		rm -rf "$work"
	fi
	unlock
}

# make_selftests COMMIT FOLDER: leaves them in FOLDER/installed
make_selftests() {
	local commit=$1 tree=$2/tree out=$2/out
	mkdir "$tree" "$out" &&
		git -C "$TREE" archive "$commit" -- "${SELFTEST_PATHS[@]}" | tar -C "$tree" -xf - &&
		make -s -C "$tree" O="$out" -j"$(nproc)" headers &&
		make -C "$tree/tools/testing/selftests" O="$out" -j"$(nproc)" FORCE_TARGETS=1 \
			TARGETS="${SELFTEST_TARGETS[*]}" KHDR_INCLUDES="-isystem $out/usr/include" \
			INSTALL_PATH="$2/installed" install
}

# Sets BRANCH. The lock, which is held as long as a kernel is built, is taken only when the series is not applied yet.
need_series_quietly() {
	BRANCH=series-$(series_key)
	git -C "$TREE" rev-parse -q --verify "refs/heads/$BRANCH" >/dev/null && return
	lock kernel
	apply_series
	unlock
}

# Does the series bring or change any of them?
series_has_selftests() {
	! git -C "$TREE" diff --quiet base "$BRANCH" -- tools/testing/selftests
}
