# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The workbench of the series: is every commit fit to be sent, and back from a
# git tree to patch files.

# The folders a patch touches that the kernel build can be asked for.
touched_folders() {
	git -C "$TREE" diff-tree -r --no-commit-id --name-only "$1" |
		awk '/^(drivers|mm|arch|lib|kernel)\/.*\.[chS]$/ && !/^(include|.*\/include)\// { sub(/\/[^\/]*$/, "/"); print }' |
		sort -u
}

# Debian's sparse is older than typeof_unqual, without which the kernel's makefiles turn it off, and fails on the
# assertions in MODULE_*(), after which it keeps all warnings to itself. The compiler checks those.
SPARSE="sparse -D__typeof_unqual__=__typeof__ -Dtypeof_unqual=typeof '-D_Static_assert(...)='"

# warnings TARGET...: what W=1 and sparse say about them, without line numbers;
# everything in the folders is compiled again
warnings() {
	local log=$OUT/check.log folder
	for folder in "$@"; do
		find "$OUT/$folder" -maxdepth 1 -name '*.o' -delete 2>/dev/null || true
	done
	kmake -k W=1 C=1 CHECK="$SPARSE" "$@" >"$log" 2>&1 || {
		grep -E -A5 'error:|\*\*\*' "$log" >&2 || tail -n 20 "$log" >&2
		return 1
	}
	! grep -q 'not available or not up to date' "$log" || die "sparse does not work on this source; see $log"
	sed -n -E 's/:[0-9]+:[0-9]+: (warning|error):/: \1:/p' "$log" | LC_ALL=C sort
}

# What the last commit that compiled had, with its folders: mostly the next one's OLD
WARNED='' WARNINGS=''

# new_warnings OLD NEW FOLDER...: prints the warnings of the commit NEW that OLD does not have; returns 1 when there
# are any or NEW does not compile
new_warnings() {
	local old new before after found
	old=$(git -C "$TREE" rev-parse "$1") new=$(git -C "$TREE" rev-parse "$2")
	shift 2
	(($#)) || return 0
	[[ $WARNED = "$old $*" ]] || {
		checkout "$old"
		WARNINGS=$(warnings "$@") || WARNINGS=''
	}
	before=$WARNINGS
	checkout "$new"
	after=$(warnings "$@") || return 1
	WARNED="$new $*" WARNINGS=$after
	found=$(LC_ALL=C comm -13 <(printf '%s\n' "$before") <(printf '%s\n' "$after"))
	[[ -z $found ]] || {
		printf 'new warnings:\n%s\n' "$found"
		return 1
	}
}

# check_commit COMMIT PATCH: prints its verdict, returns 1 when there is something to complain about
check_commit() {
	local commit=$1 patch=$2 folders bad=0
	mapfile -t folders < <(touched_folders "$commit")
	# MAINTAINERS names the folders that new files go to
	perl "$TREE/scripts/checkpatch.pl" --strict --no-tree --root="$TREE" --terse --no-summary --ignore FILE_PATH_CHANGES \
		"$patch" >"$OUT/checkpatch.log" 2>&1 || {
		cat "$OUT/checkpatch.log"
		bad=1
	}
	new_warnings "$commit^" "$commit" "${folders[@]}" || bad=1
	checkout "$commit"
	kmake -s bzImage >"$OUT/check.log" 2>&1 || {
		grep -E -A5 'error:|\*\*\*' "$OUT/check.log"
		bad=1
	}
	return "$bad"
}

# check_arm64 START COMMIT...: the series as a whole, compiled for arm64
check_arm64() {
	local start=$1 commit folders
	shift
	mapfile -t folders < <(for commit; do touched_folders "$commit"; done | sort -u)
	use_arch arm64
	OUT=$(build_folder arm64)
	configure arm64
	new_warnings "$start" "${*: -1}" "${folders[@]}"
}

# wanted NUMBER: is this patch one of those that were named on the command line, if any?
wanted() {
	local word
	((${#WORDS[@]} > 1)) || return 0
	for word in "${WORDS[@]:1}"; do
		((10#$word != $1)) || return 0
	done
	return 1
}

# cover_letter TREE RANGE: the cover letter as it should be: its text as somebody wrote it, and the numbers, the
# list and the statistics of these commits
cover_letter() {
	local tree=$1 range=$2 count number
	count=$(git -C "$tree" rev-list --count "$range")
	number=$(printf '%0*d' ${#count} 0)/$count
	sed -E -e '/^[^ ].* \([0-9]+\):$/{N; /\n {6}[^ ]/Q}' -e "s,^(Subject: \[PATCH )[0-9]+/[0-9]+,\1$number," "$COVER"
	git -C "$tree" shortlog "$range"
	git -C "$tree" diff --stat=72 --summary --diff-algorithm=histogram "${range%..*}" "${range#*..}"
}

# check_cover RANGE: checkpatch has no use for a letter without a patch, but it has to be about this series
check_cover() {
	diff -u --label "${COVER##*/}" --label 'what refresh makes of it' "$COVER" <(cover_letter "$TREE" "$1")
}

cmd_check() {
	local commits start i word checked=0 failed=0
	for word in "${WORDS[@]:1}"; do
		[[ $word =~ ^[0-9]+$ ]] || usage_error "check takes the numbers of patches, not '$word'"
	done
	lock kernel
	need_source
	apply_series
	list_series
	((${#SERIES[@]})) || {
		say "kernel/patches is empty: nothing to check"
		return
	}
	start=$(git -C "$TREE" rev-parse "$BRANCH~${#SERIES[@]}")
	mapfile -t commits < <(git -C "$TREE" rev-list --reverse "$start..$BRANCH")
	use_arch test
	OUT=$(build_folder test) # what is compiled there already need not be compiled again
	configure test
	if wanted 0 && [[ -f $COVER ]]; then
		say "checking ${COVER##*/}"
		checked=1
		check_cover "$start..$BRANCH" || failed=1
	fi
	for i in "${!commits[@]}"; do
		wanted $((i + 1)) || continue
		checked=$((checked + 1))
		say "checking ${SERIES[i]##*/}"
		check_commit "${commits[i]}" "${SERIES[i]}" || {
			failed=$((failed + 1))
			say "NOT FIT: ${SERIES[i]##*/}"
		}
	done
	if ((${#WORDS[@]} == 1)); then
		say "checking the series for arm64"
		check_arm64 "$start" "${commits[@]}" || {
			failed=$((failed + 1))
			say "NOT FIT for arm64"
		}
	fi
	printf '%d patches checked, %d with complaints\n' "$checked" "$failed"
	((checked && !failed))
}

# The commit the series of a tree starts from.
series_base() {
	local tree=$1 roots
	if git -C "$tree" rev-parse -q --verify 'base^{commit}' 2>/dev/null; then
		return
	fi
	mapfile -t roots < <(git -C "$tree" rev-list --max-parents=0 HEAD)
	((${#roots[@]} == 1)) || usage_error "the tree has no branch or tag named base: name the commit the series starts from"
	printf '%s\n' "${roots[0]}"
}

cmd_refresh() {
	local base part
	expect_words 0 1
	[[ -n $OPT_TREE ]] || usage_error "refresh needs --kernel-tree DIR"
	git -C "$OPT_TREE" rev-parse -q --verify HEAD >/dev/null || die "$OPT_TREE is no git tree"
	base=${WORDS[1]:-$(series_base "$OPT_TREE")}
	git -C "$OPT_TREE" merge-base --is-ancestor "$base" HEAD || die "$base is not below HEAD of $OPT_TREE"
	part=$(mktemp -d "$PEERBAR_TOP/kernel/.patches.XXXXXX")
	TEMPORARY+=("$part")
	git -C "$OPT_TREE" format-patch -q -o "$part" --zero-commit --no-signature --numbered --full-index \
		--no-cover-letter --stat=72 --no-encode-email-headers --diff-algorithm=histogram "$base..HEAD"
	[[ ! -f $COVER ]] || cover_letter "$OPT_TREE" "$base..HEAD" >"$part/${COVER##*/}"
	mkdir -p "$PATCHES"
	rm -f "$PATCHES"/*.patch
	find "$part" -name '*.patch' -exec mv -t "$PATCHES" {} +
	say "$(git -C "$OPT_TREE" rev-list --count "$base..HEAD") patches in ${PATCHES#"$PEERBAR_TOP"/}"
}
