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

# Build user space with meson and print nothing unless it fails. Sets BUILD_DIR.
setup_userspace() {
	local log
	BUILD_DIR=$(userspace_build_dir)
	log=$BUILD_DIR.log
	make_cache
	need_space 300 "building user space"
	mkdir -p "${BUILD_DIR%/*}"
	lock "userspace-${BUILD_DIR##*/}"
	if [[ ! -f $BUILD_DIR/build.ninja ]]; then
		say "configuring user space"
		rm -rf "$BUILD_DIR"
		meson setup "$BUILD_DIR" "$PEERBAR_TOP" >"$log" 2>&1 || {
			rm -rf "$BUILD_DIR"
			cat "$log" >&2
			die "meson setup failed; the log is $log"
		}
	fi
	ninja -C "$BUILD_DIR" >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "building user space failed; the log is $log"
	}
	unlock
}

# Build the patched rxe provider when it is missing.
setup_provider() {
	"$PEERBAR_TOP/userspace/rdma-core/build-provider" >/dev/null
}

# setup_kernel KIND...: build what is missing
setup_kernel() {
	local kind
	for kind in "$@"; do
		"$PEERBAR_TOP/scripts/kernel" build "$kind" >/dev/null
	done
}
