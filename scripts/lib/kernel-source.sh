# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Where the kernel source comes from, and the one git tree per source in which
# the series is applied. The commit `base` is the source as it came.

KERNEL=$PEERBAR_CACHE/kernel
PATCHES=$PEERBAR_TOP/kernel/patches
VERSIONS=$PEERBAR_TOP/kernel/versions
DEFAULT_VERSION=7.3

# A commit made here is the same commit everywhere.
export GIT_AUTHOR_NAME=peerbar GIT_AUTHOR_EMAIL=peerbar@localhost
export GIT_COMMITTER_NAME=peerbar GIT_COMMITTER_EMAIL=peerbar@localhost
export GIT_COMMITTER_DATE='2000-01-01T00:00:00+0000' GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1

# ---- Debian's source package, through an apt state of our own

# The Debian mirror this machine already uses.
debian_mirror() {
	local mirror
	# shellcheck disable=SC2016 # apt fills these in
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk '$3 == "main" && $2 !~ /security|backports/ && $1 ~ /\/debian\/?$/ { print $1; exit }')
	[[ -n $mirror ]] || die "no Debian mirror in this machine's apt sources; use --kernel-tree or --kernel-tarball"
	printf '%s\n' "$mirror"
}

# Sets APT: how to call apt tools with a state that is not the machine's.
private_apt() {
	local dir=$KERNEL/apt mirror suite keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[[ -r $keyring ]] || die "no $keyring: install debian-archive-keyring, or use --kernel-tree or --kernel-tarball"
	mirror=$(debian_mirror)
	mkdir -p "$dir"/{lists/partial,cache/archives/partial,etc/parts}
	for suite in trixie-backports sid; do
		printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite"
	done >"$dir/etc/sources.list"
	cat >"$dir/etc/apt.conf" <<-END
		Dir::Etc::sourcelist "$dir/etc/sources.list";
		Dir::Etc::sourceparts "$dir/etc/parts";
		Dir::State::Lists "$dir/lists";
		Dir::Cache "$dir/cache";
		APT::Architecture "amd64";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::Retries "3";
	END
	APT=(env "APT_CONFIG=$dir/etc/apt.conf")
}

# newest_package NAME: the highest version in any suite
newest_package() {
	local best='' version
	while read -r version; do
		if [[ -z $best ]] || dpkg --compare-versions "$version" gt "$best"; then
			best=$version
		fi
	done < <("${APT[@]}" apt-cache madison "$1" 2>/dev/null | awk -F' *[|] *' '{ print $2 }')
	printf '%s\n' "$best"
}

# no_such_package NAME APT-SAID
no_such_package() {
	local others reason
	others=$("${APT[@]}" apt-cache search --names-only '^linux-source-[0-9]' | awk '{ print $1 }' | tr '\n' ' ')
	reason=$(sed -n 's/^[WE]: Failed to fetch [^ ]* *//p' <<<"$2" | head -n 1)
	[[ -n $others || -z $reason ]] || die "the Debian mirror cannot be reached: ${reason%.}." \
		"With the kernel's source at hand, use --kernel-tree DIR or --kernel-tarball FILE"
	die "the mirror has no $1 for us (it has: ${others:-nothing});" \
		"use --version, --kernel-tree DIR or --kernel-tarball FILE${2:+$'\n'apt-get update said: $2}"
}

fetch_debian() {
	local package=linux-source-$1 version work deb tarball complaint
	need_space 2200 "keeping the kernel source"
	private_apt
	say "looking for $package"
	# a suite that the mirror lacks or has let expire matters only if no other one has the package
	complaint=$("${APT[@]}" apt-get -qq update 2>&1) || true
	version=$(newest_package "$package")
	[[ -n $version ]] || no_such_package "$package" "$complaint"
	SOURCE=debian-$version
	[[ ! -d $KERNEL/source/$SOURCE ]] || return 0
	work=$(mktemp -d "$KERNEL/fetch.XXXXXX")
	TEMPORARY+=("$work")
	say "downloading $package $version"
	(cd "$work" && "${APT[@]}" apt-get -qq download "$package=$version" >&2) || die "download of $package failed"
	deb=$(find "$work" -name '*.deb')
	dpkg-deb -x "$deb" "$work/x" || die "cannot unpack $deb: no space left?"
	tarball=$(find "$work/x/usr/src" -name "$package.tar.*")
	import_source 1 "$tarball" xz -dc "$tarball"
	rm -rf "$work"
}

# ---- other ways in

fetch_tarball() {
	[[ -r $1 ]] || die "--kernel-tarball $1: cannot read it"
	SOURCE=tarball-$(stat -Lc '%n %s %Y' "$(realpath "$1")" | key_of)
	[[ -d $KERNEL/source/$SOURCE ]] || import_source 1 "$1" tar_stream "$1"
}

tar_stream() {
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.gz | *.tgz) gzip -dc "$1" ;;
	*.zst) zstd -dc "$1" ;;
	*.bz2) bzip2 -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

fetch_tree() {
	local dir
	dir=$(realpath -e "$1" 2>/dev/null) || die "--kernel-tree $1: no such folder"
	if git -C "$dir" rev-parse -q --verify HEAD >/dev/null 2>&1; then
		git -C "$dir" diff --quiet HEAD -- 2>/dev/null ||
			say "$dir has uncommitted changes; what is committed is used"
		SOURCE=tree-$(git -C "$dir" rev-parse 'HEAD^{tree}' | cut -c1-16)
		[[ -d $KERNEL/source/$SOURCE ]] || import_source 0 "$dir" git -C "$dir" archive HEAD
	else
		SOURCE=tree-$(cd "$dir" && find . -type f -printf '%P %s %T@\n' | LC_ALL=C sort | key_of)
		[[ -d $KERNEL/source/$SOURCE ]] || import_source 0 "$dir" tar -C "$dir" -cf - .
	fi
}

# import_source STRIP NAME COMMAND...: make a git tree of the tar archive that
# the command prints; it appears under its name when it is complete
import_source() {
	local strip=$1 name=$2 part=$KERNEL/source/.part
	shift 2
	need_space 2200 "keeping the kernel source"
	say "importing ${name##*/} (a minute or so)"
	rm -rf "$part"
	mkdir -p "$part"
	TEMPORARY+=("$part")
	git -C "$part" init -q -b base
	git -C "$part" config gc.auto 0
	"$@" | python3 -B "$PEERBAR_TOP/scripts/lib/tar2git.py" --strip "$strip" --message "Linux as it came" |
		git -C "$part" -c pack.compression=1 fast-import --quiet --depth=0 ||
		die "importing $name failed: damaged, or no space left on the disk?"
	git -C "$part" reset -q --hard base || die "checking out the kernel source failed: no space left on the disk?"
	[[ -f $part/Kconfig && -f $part/drivers/vfio/pci/vfio_pci_core.c ]] || die "$name is not a Linux source tree"
	git -C "$part" rev-parse base >"$part/.git/peerbar-base"
	mv "$part" "$KERNEL/source/$SOURCE"
}

# ---- the selected source

select_source() {
	printf '%s\n' "$SOURCE" >"$KERNEL/selected.$$"
	mv "$KERNEL/selected.$$" "$KERNEL/selected"
}

# Sets SOURCE and TREE, fetching what the options ask for, or the default when there is none yet.
need_source() {
	mkdir -p "$KERNEL/source"
	if [[ -n $OPT_TREE ]]; then
		fetch_tree "$OPT_TREE"
	elif [[ -n $OPT_TARBALL ]]; then
		fetch_tarball "$OPT_TARBALL"
	elif [[ -n $OPT_VERSION ]]; then
		fetch_debian "$OPT_VERSION"
	elif ! { SOURCE=$(cat "$KERNEL/selected" 2>/dev/null) && [[ -d $KERNEL/source/$SOURCE ]]; }; then
		fetch_debian "$DEFAULT_VERSION"
		select_source
	fi
	TREE=$KERNEL/source/$SOURCE
}

# ---- the series

# tree_numbers NAMES: what the tree's Makefile says of these, with dots; nothing when it does not say
tree_numbers() {
	git -C "$TREE" show base:Makefile 2>/dev/null | sed -n -E "/^($1) = [0-9]+$/s/.* //p" | paste -sd.
}

# The version of the tree, such as 7.3
tree_version() {
	tree_numbers 'VERSION|PATCHLEVEL'
}

# Its release, such as 7.3.4
tree_release() {
	tree_numbers 'VERSION|PATCHLEVEL|SUBLEVEL'
}

# Sets SERIES to the patch files, in order, and PREREQUISITES to what has to precede them in this version.
list_series() {
	local file version part
	SERIES=() PREREQUISITES=()
	version=$(tree_version)
	list_parts
	for part in "${PARTS[@]}"; do
		for file in "$PATCHES/$part"/*.patch; do
			[[ ${file##*/} == 0000-* ]] || SERIES+=("$file")
		done
	done
	for file in "$VERSIONS/${version:-unknown}"/*.patch; do
		[[ ! -f $file ]] || PREREQUISITES+=("$file")
	done
}

# With the parts' names, since the commits carry them.
series_key() {
	list_series
	if ((${#SERIES[@]})); then
		printf '%s\n' "${PARTS[@]}"
		cat "${PREREQUISITES[@]}" "${SERIES[@]}"
	fi | key_of
}

# What a run that was killed may have left of what git had under way. The lock is held, so git has nothing under way.
forget_half_done() {
	rm -rf "$TREE/.git/rebase-apply"
	find "$TREE/.git" -maxdepth 3 -name '*.lock' -delete
}

# Put the tree at a commit, with nothing else lying about; files that do not differ keep their times.
checkout() {
	forget_half_done
	git -C "$TREE" checkout -q -f --detach "$1"
	git -C "$TREE" clean -fdxq
}

# The branch with this very series exists afterwards; sets BRANCH. One line of the three around a change may be
# different in a version that the patches were not made for.
apply_series() {
	local log mails
	BRANCH=series-$(series_key)
	git -C "$TREE" rev-parse -q --verify "refs/heads/$BRANCH" >/dev/null && return
	list_series
	say "applying ${#SERIES[@]} patches${PREREQUISITES[*]:+ after ${#PREREQUISITES[@]} for $(tree_version)}"
	checkout base
	if ((${#SERIES[@]})); then
		mails=$(mktemp -d "$KERNEL/apply.XXXXXX")
		TEMPORARY+=("$mails")
		mark_parts "$mails" "${SERIES[@]}"
		log=$(git -C "$TREE" am -q -C2 --keep-non-patch --committer-date-is-author-date \
			"${PREREQUISITES[@]}" "$mails"/* 2>&1 </dev/null) || {
			git -C "$TREE" am --abort || true
			die "the series does not apply to $SOURCE:"$'\n'"$log"
		}
		rm -r "$mails"
	fi
	git -C "$TREE" branch -f "$BRANCH" HEAD
}
