# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Everything that has to be there before a test, a demo or a guest can run:
# packages, user space, provider, kernels. Each step is quick when it has
# nothing to do.

# shellcheck source=scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/lib/packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

# What the caches take when everything is in them, in MB: the kernel source and
# the builds of the test kernel alone, or of all that the tests want.
SPACE_DEMO=3000
SPACE_TEST=4000

# Where meson builds user space for this checkout.
userspace_build_dir() {
	printf '%s/build/%s\n' "$PEERBAR_CACHE" "$(printf '%s' "$PEERBAR_TOP" | key_of)"
}

setup_vm_packages() {
	ensure_packages "${PACKAGES_VM[@]}" "${PACKAGES_KERNEL[@]}" "${PACKAGES_PROVIDER[@]}"
}

setup_demo_packages() {
	ensure_packages "${PACKAGES_VM[@]}" "${PACKAGES_KERNEL[@]}" "${PACKAGES_PROVIDER[@]}" "${PACKAGES_USERSPACE[@]}"
}

setup_test_packages() {
	ensure_packages "${PACKAGES_VM[@]}" "${PACKAGES_KERNEL[@]}" "${PACKAGES_PROVIDER[@]}" "${PACKAGES_USERSPACE[@]}" \
		"${PACKAGES_TEST[@]}" "${PACKAGES_SELFTESTS[@]}" "${PACKAGES_BENCH[@]}"
}

# setup_space MEGABYTES: before anything is done that would be in vain. Who has
# kernels already is asked by each step for what that step takes.
setup_space() {
	[[ -d $PEERBAR_CACHE/kernel/image ]] || need_space "$1" "all that is to be fetched and built"
}

# ---- User space

# What meson looks for when it configures, and what it takes from the environment.
CONFIGURED_WITH=(cc gcc c++ g++ clang++ ld ar pkg-config)
CONFIGURED_FROM=(CC CXX CFLAGS CPPFLAGS LDFLAGS PKG_CONFIG_PATH PKG_CONFIG_LIBDIR)

# configuration: a short name for all of that. Another one means that what is
# configured is out of date: a compiler has come since, or a library.
configuration() {
	local name
	{
		for name in "${CONFIGURED_WITH[@]}"; do
			type -P "$name" || true
		done
		for name in "${CONFIGURED_FROM[@]}"; do
			printf '%s=%s\n' "$name" "${!name:-}"
		done
		dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Status}\n' \
			"${PACKAGES_USERSPACE[@]}" "${PACKAGES_TEST[@]}" 2>/dev/null || true
	} | key_of
}

# Sets BUILD_DIR; builds user space there with meson. Prints nothing unless it fails.
setup_userspace() {
	local log
	BUILD_DIR=$(userspace_build_dir)
	log=$BUILD_DIR.log
	make_cache
	need_space 300 "building user space"
	mkdir -p "${BUILD_DIR%/*}"
	lock "userspace-${BUILD_DIR##*/}"
	configure_userspace "$log"
	attend ninja -C "$BUILD_DIR" >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "building user space failed; the log is $log"
	}
	unlock
}

# Uses setup_userspace's BUILD_DIR. The stamp is written last: what was interrupted is done again.
configure_userspace() {
	local log=$1 stamp=$BUILD_DIR/peerbar-configuration now
	now=$(configuration)
	[[ ! -f $stamp || $(<"$stamp") != "$now" ]] || return 0
	say "configuring user space"
	rm -rf "$BUILD_DIR"
	attend meson setup "$BUILD_DIR" "$PEERBAR_TOP" >"$log" 2>&1 || {
		rm -rf "$BUILD_DIR"
		cat "$log" >&2
		die "meson setup failed; the log is $log"
	}
	printf '%s\n' "$now" >"$stamp"
}

# ---- Provider and kernels

# Build the patched rxe provider when it is missing.
setup_provider() {
	attend "$PEERBAR_TOP/userspace/rdma-core/build-provider" >/dev/null
}

# setup_kernel KIND...: build what is missing
setup_kernel() {
	local kind
	for kind in "$@"; do
		attend "$PEERBAR_TOP/scripts/kernel" build "$kind" >/dev/null
	done
}
