# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The one place that knows which Debian packages are needed, and for what.

PACKAGES_KERNEL=(gcc make flex bison bc libelf-dev libssl-dev libc6-dev rsync git xz-utils python3 perl ca-certificates)
PACKAGES_USERSPACE=(gcc libc6-dev make meson ninja-build pkg-config libibverbs-dev libjson-c-dev python3)
PACKAGES_PROVIDER=(gcc libc6-dev binutils cmake ninja-build pkg-config python3-minimal patch xz-utils libibverbs-dev
	ca-certificates)
PACKAGES_VM=(qemu-system-x86 gcc libc6-dev python3 iproute2 util-linux ibverbs-providers ibverbs-utils procps kmod)
PACKAGES_TEST=(shellcheck librdmacm1 g++ clang man-db mandoc rdmacm-utils iputils-ping perftest ucx-utils libfabric-bin
	openmpi-bin mpich)
PACKAGES_BENCH=(python3 python3-matplotlib binutils)
PACKAGES_ARM64=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
PACKAGES_DISTRIBUTION=(mmdebstrap)
PACKAGES_SELFTESTS=(libcap-dev uuid-dev)
PACKAGES_CHECK=(sparse python3-ply python3-git codespell)

# Print those of the named packages that are missing; one query for all of them.
missing_packages() {
	local -A there=()
	local name status
	while read -r name status; do
		[[ $status != installed ]] || there[${name%%:*}]=1
	done < <(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "$@" 2>/dev/null)
	for name in "$@"; do
		[[ -n ${there[$name]:-} ]] || printf '%s\n' "$name"
	done | sort -u
}

# ensure_packages NAME...: install what is missing, or say how
ensure_packages() {
	local missing as_root=()
	command -v dpkg-query >/dev/null || die "this is not a Debian system: install yourself what Debian calls: $*"
	mapfile -t missing < <(missing_packages "$@")
	((${#missing[@]})) || return 0
	if ((EUID)); then
		sudo -n true 2>/dev/null ||
			die "packages are missing and this is not root; run: apt-get install --no-install-recommends ${missing[*]}"
		as_root=(sudo -n)
	fi
	# a new machine has no lists yet, and old lists may name files that are gone
	if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
		say "installing ${missing[*]}"
		install_packages && return
	fi
	say "refreshing the package lists, then installing ${missing[*]}"
	"${as_root[@]}" apt-get -qq update >&2 || die "apt-get update failed: is there a network and a working apt source?"
	install_packages || die "apt-get could not install ${missing[*]}:"$'\n'"$(tail -n 15 <<<"$APT_SAID")"
}

# Uses the caller's `missing` and `as_root`. Sets APT_SAID.
install_packages() {
	APT_SAID=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "${missing[@]}" 2>&1 </dev/null)
}
