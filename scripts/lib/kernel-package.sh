# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Makes a package of the series' modules for a distribution's kernel: their
# sources, which DKMS builds wherever the package is installed.

DKMS=$PEERBAR_TOP/kernel/dkms

# What the modules are built from. What else the series changes is not in a module.
PACKAGED=(':(glob)drivers/vfio/pci/*' drivers/vfio/vfio.h drivers/vfio/vfio_iommu_type1.c drivers/infiniband/sw/rxe
	include/linux/vfio_pci_core.h include/uapi/linux/vfio.h)
LICENCES=(COPYING LICENSES/preferred/GPL-2.0 LICENSES/deprecated/Linux-OpenIB LICENSES/exceptions/Linux-syscall-note)

# ---- the kernels that it is for

# A short name for the files that the package replaces, as they came
replaced_key() {
	git -C "$TREE" diff-tree -r --no-renames "$(git -C "$TREE" mktree </dev/null)" base -- "${PACKAGED[@]}" | key_of
}

# The release of the tree, and Debian's version of it if that is where it comes from
this_release() {
	printf '%s' "$(tree_release)"
	[[ $SOURCE != debian-* ]] || printf ' %s' "${SOURCE#debian-}"
	printf '\n'
}

# releases KEY: those which have these very files, as far as is known
releases() {
	{
		sed -n "s/^$1 //p" "$DKMS/releases"
		this_release
	} | sort -u
}

# The modules are those of one source with the series on top. Nothing that was mended since may be lost by them.
need_known_source() {
	local key
	key=$(replaced_key)
	! grep -q "^$key " "$DKMS/releases" || return 0
	die "the package replaces files which in $(this_release) are none that the series was made on." \
		"Compare them with those of a release in kernel/dkms/releases, take over what has changed, see that" \
		"scripts/test --suite distribution passes, and add this line there:"$'\n'"$key $(this_release)"
}

# kernel_pattern KEY: matches the names of these kernels, such as 7.3.4+deb13-amd64, and not of 7.3.40
kernel_pattern() {
	printf '^(%s)([^0-9.]|$)' "$(releases "$1" | sed 's/ .*//; s/\./\\./g' | sort -u | paste -sd'|')"
}

# package_pattern KEY: Debian's versions of them, for the rest of a pattern of case
package_pattern() {
	releases "$1" | sed -n 's/^[^ ]* / | /p' | tr -d '\n'
}

# ---- the package

# What the package depends on
package_key() {
	cat "$TREE/.git/peerbar-base"
	series_key
	find "$DKMS" -type f -print0 | sort -z | xargs -0 cat "${BASH_SOURCE[0]}"
}

# When the latest patch of the series was made, which need not be the last one
package_time() {
	git -C "$TREE" log --format=%at "base..$BRANCH" | sort -n | tail -n 1
}

# Kernel release, date of the latest patch, key: later ones are higher, and each is another one.
package_version() {
	printf '%s+%s.%s\n' "$(tree_release)" "$(date -u -d "@$(package_time)" +%Y%m%d)" "$(package_key | key_of | cut -c1-8)"
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
	local key text
	key=$(replaced_key)
	text=$(<"$2")
	text=${text//@VERSION@/"$1"}
	text=${text//@KERNELS@/"$(kernel_pattern "$key")"}
	text=${text//@DEBIAN@/"$(package_pattern "$key")"}
	printf '%s\n' "${text//@RELEASES@/"$(releases "$key" | sed 's/ .*//' | sort -u | paste -sd,)"}"
}

# fill_package ROOT VERSION: what the package installs, and what dpkg wants to know
fill_package() {
	local root=$1 version=$2 sources=$1/usr/src/peerbar-$2 doc=$1/usr/share/doc/peerbar-dkms script tree
	local hooks=$root/etc/kernel/header_postinst.d
	mkdir -p "$root/DEBIAN" "$sources" "$doc" "$hooks"
	tree=$(packaged_tree "$root/DEBIAN/index") || exit
	rm "$root/DEBIAN/index"
	git -C "$TREE" archive "$tree" "${PACKAGED[@]}" "${LICENCES[@]}" | tar -C "$sources" -xf -
	cp "$DKMS/Kbuild" "$sources/"
	fill_in "$version" "$DKMS/dkms.conf.in" >"$sources/dkms.conf"
	fill_in "$version" "$DKMS/debian/copyright.in" | sed '/^#/d' >"$doc/copyright"
	fill_in "$version" "$DKMS/debian/control.in" | sed '/^#/d' >"$root/DEBIAN/control"
	for script in postinst prerm; do
		fill_in "$version" "$DKMS/debian/$script.in" >"$root/DEBIAN/$script"
	done
	fill_in "$version" "$DKMS/debian/header_postinst.in" >"$hooks/peerbar-dkms"
	printf '%s\n' "${hooks#"$root"}/peerbar-dkms" >"$root/DEBIAN/conffiles"
	chmod -R u=rwX,go=rX "$root"
	chmod 755 "$root"/DEBIAN/{postinst,prerm} "$hooks/peerbar-dkms"
}

# Sets PACKAGE to the file; makes it when it is missing.
need_package() {
	local version work
	need_source_quietly
	need_known_source
	need_series_quietly
	version=$(package_version)
	PACKAGE=$KERNEL/package/peerbar-dkms_${version}_all.deb
	[[ ! -f $PACKAGE ]] || return 0
	work=$(mktemp -d "$KERNEL/package.XXXXXX")
	TEMPORARY+=("$work")
	fill_package "$work/root" "$version"
	mkdir -p "${PACKAGE%/*}"
	SOURCE_DATE_EPOCH=$(package_time) \
		dpkg-deb --root-owner-group --build "$work/root" "$work/deb" >/dev/null || die "dpkg-deb failed in $work"
	mv "$work/deb" "$PACKAGE"
	rm -rf "$work"
}

cmd_package() {
	expect_words 0 0
	need_package
	printf '%s\n' "$PACKAGE"
}
