# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Makes a package of the series' modules for a distribution's kernel: their
# sources, which DKMS builds wherever the package is installed.

DKMS=$PEERBAR_TOP/kernel/dkms

# What the modules are built from. What else the series changes is not in a module.
PACKAGED=(':(glob)drivers/vfio/pci/*' drivers/vfio/vfio.h drivers/vfio/vfio_iommu_type1.c drivers/infiniband/sw/rxe
	include/linux/vfio_pci_core.h include/uapi/linux/vfio.h
	COPYING LICENSES/preferred/GPL-2.0 LICENSES/deprecated/Linux-OpenIB LICENSES/exceptions/Linux-syscall-note)

# What the package depends on
package_key() {
	cat "$TREE/.git/peerbar-base"
	series_key
	find "$DKMS" -type f -print0 | sort -z | xargs -0 cat "${BASH_SOURCE[0]}"
}

# package_date FORMAT: when the latest patch of the series was made, which need not be the last one
package_date() {
	git -C "$TREE" log --format=%ad --date="format:$1" "base..$BRANCH" | sort -n | tail -n 1
}

# Kernel release, date of the latest patch, key: later ones are higher, and each is another one.
package_version() {
	printf '%s+%s.%s\n' "$(tree_release)" "$(package_date %Y%m%d)" "$(package_key | key_of | cut -c1-8)"
}

# packaged_tree INDEX: prints the git tree of the series with the package's own patches on top
packaged_tree() {
	local patch
	local -x GIT_INDEX_FILE=$1
	git -C "$TREE" read-tree "$BRANCH"
	for patch in "$DKMS"/patches/*.patch; do
		git -C "$TREE" apply -C2 --cached "$patch" || die "$patch does not apply on top of the series"
	done
	git -C "$TREE" write-tree
}

# fill_in VERSION FILE: print a file ending in .in
fill_in() {
	sed "s/@VERSION@/$1/g; s/@KERNEL@/$(tree_version)/g" "$2"
}

# fill_package ROOT VERSION: what the package installs, and what dpkg wants to know
fill_package() {
	local root=$1 version=$2 sources=$1/usr/src/peerbar-$2 doc=$1/usr/share/doc/peerbar-dkms script tree
	mkdir -p "$root/DEBIAN" "$sources" "$doc"
	tree=$(packaged_tree "$root/DEBIAN/index") || exit
	rm "$root/DEBIAN/index"
	git -C "$TREE" archive "$tree" "${PACKAGED[@]}" | tar -C "$sources" -xf -
	cp "$DKMS/Kbuild" "$sources/"
	fill_in "$version" "$DKMS/dkms.conf.in" >"$sources/dkms.conf"
	fill_in "$version" "$DKMS/debian/copyright.in" | sed '/^#/d' >"$doc/copyright"
	fill_in "$version" "$DKMS/debian/control.in" | sed '/^#/d' >"$root/DEBIAN/control"
	for script in postinst prerm; do
		fill_in "$version" "$DKMS/debian/$script.in" >"$root/DEBIAN/$script"
	done
	chmod -R u=rwX,go=rX "$root"
	chmod 755 "$root"/DEBIAN/{postinst,prerm}
}

# Sets PACKAGE to the file; makes it when it is missing.
need_package() {
	local version work
	need_source_quietly
	need_series_quietly
	version=$(package_version)
	PACKAGE=$KERNEL/package/peerbar-dkms_${version}_all.deb
	[[ ! -f $PACKAGE ]] || return 0
	work=$(mktemp -d "$KERNEL/package.XXXXXX")
	TEMPORARY+=("$work")
	fill_package "$work/root" "$version"
	mkdir -p "${PACKAGE%/*}"
	SOURCE_DATE_EPOCH=$(package_date %s) \
		dpkg-deb --root-owner-group --build "$work/root" "$work/deb" >/dev/null || die "dpkg-deb failed in $work"
	mv "$work/deb" "$PACKAGE"
	rm -rf "$work"
}

cmd_package() {
	expect_words 0 0
	need_package
	printf '%s\n' "$PACKAGE"
}
