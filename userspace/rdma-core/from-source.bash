# SPDX-License-Identifier: GPL-2.0-only OR MIT
# shellcheck shell=bash
# Variables come from and go to build-provider, which reads this file.
# shellcheck disable=SC2034,SC2154
#
# build-provider's first way: the distribution's rdma-core source package, with
# the patch, built by its own build system as far as the one provider needs.
# The package is fetched with an apt state of our own; the host's is only read.

# --- fetching ---------------------------------------------------------------

# The machine's own package sources, turned into deb-src ones. Both formats keep
# their options (keys, architectures, enabled or not) because only the word that
# names the type is touched.
private_sources() {
	local to=$1 main parts f
	eval "$(apt-config shell main Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
	mkdir -p "$to"
	for f in "$main" "${parts%/}"/*.list; do
		[[ -r $f ]] || continue
		sed -E 's/^[[:space:]]*deb([[:space:]])/deb-src\1/' "$f" | awk '!seen[$0]++' >"$to/$(basename "$f" .list).list"
	done
	for f in "${parts%/}"/*.sources; do
		[[ -r $f ]] || continue
		sed -E 's/^Types:.*$/Types: deb-src/I' "$f" >"$to/$(basename "$f")"
	done
}

private_apt() {
	local d=$1
	mkdir -p "$d/lists/partial" "$d/cache/archives/partial"
	private_sources "$d/sources.d"
	cat >"$d/apt.conf" <<EOF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$d/sources.d";
Dir::State::Lists "$d/lists";
Dir::Cache "$d/cache";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
APT::Sandbox::User "";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
}

# checksums VERSION: of the two tarballs, from what "apt-cache showsrc" prints,
# that is from the mirror's signed index.
checksums() {
	awk -v want="$1" '
		/^$/ { version = ""; listing = 0 }
		/^Version: / { version = $2 }
		/^[^ ]/ { listing = 0 }
		/^Checksums-Sha256:/ { listing = version == want }
		listing && $3 ~ /\.(orig|debian)\.tar\.[a-z0-9]+$/ { print $1 "  " $3 }
	' | sort -u
}

# Leaves the tarballs of the installed version's source package in $1.
fetch_source() {
	local to=$1 apt=$work/apt offers offered said
	private_apt "$apt"
	run "fetching the list of source packages" apt-get -c "$apt/apt.conf" update || true
	offers=$(apt-cache -c "$apt/apt.conf" showsrc --only-source "$source" 2>>"$log") || true
	offered=$(sed -n 's/^Version: //p' <<<"$offers" | sort -u | paste -sd ' ')
	if [[ " $offered " != *" $source_version "* ]]; then
		source_not_offered "$offered"
		return
	fi

	mkdir -p "$to"
	checksums "$source_version" <<<"$offers" >"$to/sha256sums"
	# The tarballs are enough; a mirror that lost the .dsc is good enough, too.
	if ! (cd "$to" && run "fetching $source $source_version" apt-get -c "$apt/apt.conf" \
		source --download-only --only-source "$source=$source_version") &&
		! (cd "$to" && sha256sum --check --strict --status sha256sums 2>>"$log"); then
		mapfile -t said < <(grep '^E: ' "$log" | sort -u)
		cannot "the mirrors list the source of $source $source_version but do not hand it out" \
			"${said[@]}" "Try again later, or give it with --source-dir or --tarball."
	fi
}

unreachable='Could not resolve|Temporary failure|[Cc]ould not connect|Unable to connect|Network is unreachable|timed out'

# Not because of what the mirrors have, when nobody could ask them.
source_not_offered() {
	local offered=$1 said advice=("Give the source with --source-dir or --tarball.")
	said=$(grep -E -m1 "$unreachable" "$log") || true
	if [[ -z $offered && -n $said ]]; then
		cannot "the mirrors cannot be reached" "$said" "Check the network, or use --source-dir or --tarball."
		return
	fi
	if [[ -n $offered ]] && dpkg --compare-versions "${offered##* }" gt "$source_version"; then
		advice+=("Or bring the installed packages up to date (apt-get install $package ibverbs-providers).")
	fi
	cannot "the configured mirrors offer the source of $source ${offered:-in no version}, installed is $source_version" \
		"${advice[@]}"
}

# --- unpacking --------------------------------------------------------------

unpack_package() {
	local from=$1 to=$2 part
	mkdir -p "$to"
	run "unpacking" tar -C "$to" --strip-components=1 -xf "$from/${source}_$upstream".orig.tar.* ||
		explain "unpacking the source"
	for part in "$from"/*.debian.tar.*; do
		[[ -e $part ]] || continue
		run "unpacking the distribution's changes" tar -C "$to" -xf "$part" || explain "unpacking the source"
	done
	[[ -f $to/debian/patches/series ]] || return 0
	while read -r part _; do
		case $part in ''|'#'*) continue ;; esac
		run "applying the distribution's $part" patch -d "$to" -p1 --no-backup-if-mismatch \
			-i "$to/debian/patches/$part" || explain "applying $part"
	done <"$to/debian/patches/series"
}

# copy_tree FROM TO: without what building in the tree may have left there.
copy_tree() {
	mkdir -p "$2"
	tar -C "$1" --exclude=./build --exclude=./.git -cf - . | tar -C "$2" -xf -
}

# Puts the unpatched source into $1; sets origin.
get_tree() {
	local to=$1
	if [[ -n $source_dir ]]; then
		copy_tree "$source_dir" "$to"
		origin=$source_dir
	elif [[ -n $tarball ]]; then
		mkdir -p "$to"
		run "unpacking $tarball" tar -C "$to" --strip-components=1 -xf "$tarball" || explain "unpacking $tarball"
		[[ -f $to/providers/rxe/rxe.c ]] || die "$tarball is not an rdma-core tarball" \
			"It has no providers/rxe/rxe.c."
		origin=$tarball
	else
		unpack_package "$work/package" "$to"
		origin="$source $source_version"
	fi
}

# --- patching and building --------------------------------------------------

cmake_value() {
	sed -nE "s/^[[:space:]]*set\($2 \"([^\"]*)\"\).*/\1/I; T; p; q" "$1/CMakeLists.txt"
}

# The same private ABI number is not enough: functions have got new parameters
# between releases that share a number (ibv_cmd_reg_dmabuf_mr() is one).
check_version() {
	local tree=$1 is want
	is=$(cmake_value "$tree" PACKAGE_VERSION)
	want=$upstream
	[[ $is == "$want" ]] && return
	if [[ -z $want && $(cmake_value "$tree" IBVERBS_PABI_VERSION) == "$(private_abi "$lib")" ]]; then
		say "taking your word that $lib is rdma-core $is: its private ABI is the same"
		return
	fi
	((check)) || die "$origin is rdma-core ${is:-of an unknown version}, $package is ${want:-another release}" \
		"A provider only works with the libibverbs it was written for." \
		"Give the source of $want (or use --check to see whether it builds at all)."
	say "only checking: this is rdma-core $is, installed is $want"
}

# The patch that has the op, as the tree needs it: ibv_cmd_reg_dmabuf_mr() got
# one more parameter with time. The other patches are not about the provider.
choose_patch() {
	local prototype
	prototype=$(sed -n '/^int ibv_cmd_reg_dmabuf_mr(/,/;/p' "$1/libibverbs/driver.h")
	case $prototype in
	*ibv_command_buffer*) printf '%s\n' "$here"/patches/0001-*.patch ;;
	?*) printf '%s\n' "$here"/patches/release-44/0001-*.patch ;;
	esac
}

apply_op() {
	local tree=$1 op
	if grep -q 'reg_dmabuf_mr' "$tree/providers/rxe/rxe.c"; then
		say "this rdma-core has the op already"
		return
	fi
	op=$(choose_patch "$tree")
	[[ -n $op ]] || die "this rdma-core is too old: its libibverbs has no ibv_cmd_reg_dmabuf_mr()" \
		"dma-buf registration came with rdma-core 34."
	run "applying $(basename "$op")" patch -d "$tree" -p1 --no-backup-if-mismatch -i "$op" ||
		explain "applying $(basename "$op")"
}

# --- the fixes of the data path: what is wrong is told in the patches

# body_of TREE FUNCTION
body_of() { sed -n "/^static [a-z_ ]*\**$2(/,/^}/p" "$1/providers/rxe/rxe.c"; }

# has_fault TREE FIX: whether the tree needs it.
has_fault() {
	local tree=$1
	case $2 in
	list-lengths) [[ $(body_of "$tree" wr_set_sge_list) == *'tot_length += sg_list->length'* ]] ;;
	overflow) [[ $(body_of "$tree" wr_set_sge_list) != *UINT32_MAX* ]] ;;
	inline-flag) [[ $(body_of "$tree" wr_set_inline_data) != *IBV_SEND_INLINE* ]] ;;
	cq-polling) [[ $(body_of "$tree" cq_next_poll) == *store_consumer_index* ]] ;;
	esac
}

patch_number() {
	case $1 in
	list-lengths) echo 0005 ;;
	overflow) echo 0006 ;;
	inline-flag) echo 0007 ;;
	cq-polling) echo 0008 ;;
	esac
}

# apply_fix TREE FIX: in the form that fits, of the newest release first.
apply_fix() {
	local tree=$1 number file
	number=$(patch_number "$2")
	for file in "$here"/patches/"$number"-* "$here"/patches/release-56/"$number"-* \
		"$here"/patches/release-44/"$number"-*; do
		[[ -e $file ]] || continue
		patch -d "$tree" -p1 --fuzz=0 --dry-run -i "$file" >>"$log" 2>&1 || continue
		run "applying $(basename "$file")" patch -d "$tree" -p1 --fuzz=0 --no-backup-if-mismatch -i "$file"
		return
	done
	return 1
}

# A release that has the fix already does not need the patch; one that has other
# code altogether does without, and says so.
apply_fixes() {
	local tree=$1 fix
	[[ -n $(body_of "$tree" wr_set_sge_list) ]] || return 0
	for fix in "${all_fixes[@]}"; do
		if ! has_fault "$tree" "$fix" || apply_fix "$tree" "$fix"; then
			fixes+=("$fix")
		else
			missing+=("$fix")
		fi
	done
}

# Neighbour resolution, valgrind notes, man pages and Python are the business of
# other parts of rdma-core; without them the only tools needed are those below.
build_tree() {
	local tree=$1 build=$2
	run "configuring" cmake -S "$tree" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
		-DENABLE_RESOLVE_NEIGH=0 -DENABLE_VALGRIND=0 -DNO_MAN_PAGES=1 -DNO_PYVERBS=1 \
		-DCMAKE_SKIP_RPATH=1 || explain "configuring rdma-core"
	run "building the provider" ninja -C "$build" "lib/librxe-rdmav$nn.so" || explain "building the provider"
}

# Once more, with the check whether it is the right libibverbs.
relink() {
	local object=$work/provider.o built
	built=$(find "$1" -name rxe.c.o)
	[[ -n $built && $built != *$'\n'* ]] || die "rdma-core's build system has changed: where is rxe.c.o?" "$built"
	objcopy --redefine-sym "verbs_register_driver_$nn=provider_register" "$built" "$object"
	link_provider "$object"
}

source_tools=(gcc:gcc /usr/include/stdio.h:libc6-dev readelf:binutils cmake:cmake ninja:ninja-build
	pkg-config:pkg-config python3:python3-minimal patch:patch xz:xz-utils)

# Reasons to leave it to another way, which needs less.
source_in_reach() {
	local missing
	if [[ $work == *[[:space:]]* ]]; then
		cannot "rdma-core's build system does not work below a path with a space in it: $cache" \
			"Set XDG_CACHE_HOME to another folder to build from source."
		return
	fi
	mapfile -t missing < <(packages_of "${source_tools[@]}")
	if ((${#missing[@]})) && [[ $method == auto ]] && ! may_install; then
		cannot "building the source takes packages that are missing, and installing them takes root" \
			"Run: sudo $(install_command "${missing[@]}")"
	fi
}

build_from_source() {
	local tree=$work/tree
	source_in_reach
	[[ -z $unusable ]] || return 0
	if [[ -z $source_dir$tarball && -n $foreign ]]; then
		cannot "$lib is not the installed package's, and where its source is cannot be known" \
			"Give the source of rdma-core $upstream with --source-dir or --tarball."
		return
	fi
	if [[ -z $source_dir$tarball ]]; then
		# Before the tools are installed: it may turn out to be in vain.
		fetch_source "$work/package"
		[[ -z $unusable ]] || return 0
	fi
	need "${source_tools[@]}"
	get_tree "$tree"
	check_version "$tree"
	nn=$(cmake_value "$tree" IBVERBS_PABI_VERSION)
	apply_op "$tree"
	apply_fixes "$tree"
	build_tree "$tree" "$work/build"
	so=$work/build/lib/librxe-rdmav$nn.so
	# Only a check: there may be no libibverbs of this release.
	((check)) || relink "$work/build"
}
