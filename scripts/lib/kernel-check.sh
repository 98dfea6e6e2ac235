# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Is every commit of the series fit to be sent, and every part's letter?

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

# What checkpatch has no say in: MAINTAINERS names the folders that new files go to; who posts a patch signs it off
# (`export`); and the source has no history in which a commit of a Fixes: could be looked up.
LEFT_ALONE=FILE_PATH_CHANGES,MISSING_SIGN_OFF,UNKNOWN_COMMIT_ID

# style PATCH: what checkpatch says about it. Nor is the history that of the folder which this happens to run in.
style() {
	GIT_DIR=/nonexistent perl "$TREE/scripts/checkpatch.pl" --strict --no-tree --root="$TREE" --terse --no-summary \
		--ignore "$LEFT_ALONE" "$1" 2>&1
}

# No sign-off by somebody who does not exist
signed_by_nobody() {
	grep -nE "^Signed-off-by: .*$NOBODY" "$1"
}

# check_commit COMMIT PATCH: prints its verdict, returns 1 when there is something to complain about
check_commit() {
	local commit=$1 patch=$2 folders bad=0
	mapfile -t folders < <(touched_folders "$commit")
	style "$patch" >"$OUT/checkpatch.log" || {
		cat "$OUT/checkpatch.log"
		bad=1
	}
	! signed_by_nobody "$patch" || bad=1
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

# wanted PART NUMBER: is this patch one of those that were named on the command line, if any?
wanted() {
	local word
	((${#WANTED[@]})) || return 0
	for word in "${WANTED[@]}"; do
		[[ $word != "$1" && $word != "$1/$((10#$2))" ]] || return 0
	done
	return 1
}

# Sets WANTED to what the command line names: parts, and patches as PART/NUMBER.
read_wanted() {
	local word part
	WANTED=()
	for word in "${WORDS[@]:1}"; do
		[[ $word =~ ^[^/]+(/[0-9]+)?$ ]] || usage_error "check takes PART or PART/NUMBER, not '$word'"
		part=$(find_part "${word%%/*}") || exit
		[[ $word != */* ]] || part+=/$((10#${word#*/}))
		WANTED+=("$part")
	done
}

# verdict FILE COMMAND...: counts it
verdict() {
	local what=${1#"$PATCHES"/}
	shift
	say "checking $what"
	CHECKED=$((CHECKED + 1))
	"$@" || {
		FAILED=$((FAILED + 1))
		say "NOT FIT: $what"
	}
}

# check_letter FILE RANGE: checkpatch has no use for a letter without a patch, but it has to be about this part
check_letter() {
	[[ -f $1 ]] || {
		printf '%s: the part has no letter\n' "${1#"$PATCHES"/}"
		return 1
	}
	! grep -nF -e "$NO_SUBJECT" -e "$NO_TEXT" "$1" || return 1
	diff -u --label "${1##*/}" --label 'what refresh makes of it' "$1" <(cover_letter "$TREE" "$2" "$1")
}

# check_part PART COMMIT...: COMMITS begins with the first one's parent
check_part() {
	local part=$1 files=() file number=0 checked=$CHECKED failed=$FAILED
	shift
	mapfile -t files < <(printf '%s\n' "${SERIES[@]}" | grep -F "/$part/")
	! wanted "$part" 0 || verdict "$PATCHES/$part/$COVER" check_letter "$PATCHES/$part/$COVER" "$1..${*: -1}"
	for file in "${files[@]}"; do
		number=$((number + 1))
		shift
		! wanted "$part" "$number" || verdict "$file" check_commit "$1" "$file"
	done
	((CHECKED == checked)) ||
		printf '%s: %d patches checked, %d with complaints\n' "$part" $((CHECKED - checked)) $((FAILED - failed))
}

# check_parts START COMMIT...
check_parts() {
	local part count
	for part in "${PARTS[@]}"; do
		count=$(printf '%s\n' "${SERIES[@]}" | grep -cF "/$part/")
		check_part "$part" "${@:1:count+1}"
		shift "$count"
	done
}

cmd_check() {
	local commits start
	list_parts
	read_wanted
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
	CHECKED=0 FAILED=0
	use_arch test
	OUT=$(build_folder test) # what is compiled there already need not be compiled again
	configure test
	check_parts "$start" "${commits[@]}"
	if ((!${#WANTED[@]})); then
		say "checking the series for arm64"
		check_arm64 "$start" "${commits[@]}" || {
			FAILED=$((FAILED + 1))
			say "NOT FIT for arm64"
		}
	fi
	printf '%d patches checked, %d with complaints\n' "$CHECKED" "$FAILED"
	((CHECKED && !FAILED))
}
