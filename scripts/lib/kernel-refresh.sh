# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Back from a git tree to patch files, part by part.

# What a new part's letter has until somebody writes it; git's own words
NO_SUBJECT='*** SUBJECT HERE ***'
NO_TEXT='*** BLURB HERE ***'

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

# Sets PARTS, and ENDS to the last commit of each. A commit that names no part belongs to that of the commit before it.
read_parts() {
	local tree=$1 range=$2 commit part last=''
	PARTS=() ENDS=()
	while read -r commit part; do
		part=${part##*,} # a commit that was made of two may have both
		part=${part:-$last}
		[[ $part =~ ^[0-9]+-[a-z0-9-]+$ ]] ||
			die "$(git -C "$tree" log -1 --format='%h ("%s")' "$commit") needs a trailer such as Part: 2-dma-buf, not '$part'"
		if [[ $part != "$last" ]]; then
			[[ -z $last ]] || printf '%s\n' "$last" "$part" | sort -CuV ||
				die "$(git -C "$tree" log -1 --format='%h ("%s")' "$commit") of part $part comes after one of $last: reorder them"
			PARTS+=("$part")
		fi
		last=$part
		ENDS[${#PARTS[@]} - 1]=$commit
	done < <(git -C "$tree" log --reverse --no-merges --format='%H %(trailers:key=Part,valueonly,separator=%x2C)' "$range")
}

# new_letter TREE COMMIT: for a part that has none yet
new_letter() {
	printf 'From %040d Mon Sep 17 00:00:00 2001\n' 0
	git -C "$1" log -1 --format='From: %an <%ae>%nDate: %aD' "$2"
	printf 'Subject: [PATCH 0/0] %s\n\n%s\n\n' "$NO_SUBJECT" "$NO_TEXT"
}

# cover_letter TREE RANGE FILE: the letter as it should be: its text as somebody wrote it, and the numbers, the
# list and the statistics of these commits
cover_letter() {
	local tree=$1 range=$2 file=$3 count number
	count=$(git -C "$tree" rev-list --count "$range")
	number=$(printf '%0*d' ${#count} 0)/$count
	sed -E -e '/^[^ ].* \([0-9]+\):$/{N; /\n {6}[^ ]/Q}' -e "s,^(Subject: \[PATCH )[0-9]+/[0-9]+,\1$number," "$file"
	git -C "$tree" shortlog "$range"
	git -C "$tree" diff --stat=72 --summary --diff-algorithm=histogram "${range%..*}" "${range#*..}"
}

# write_part TREE PART RANGE FOLDER
write_part() {
	local tree=$1 part=$2 range=$3 folder=$4/$2 letter=$PATCHES/$2/$COVER patch
	mkdir "$folder"
	git -C "$tree" format-patch -q -o "$folder" --zero-commit --no-signature --numbered --full-index \
		--no-cover-letter --stat=72 --no-encode-email-headers --diff-algorithm=histogram "$range"
	for patch in "$folder"/*.patch; do
		strip_trailers <"$patch" >"$folder/stripped"
		mv "$folder/stripped" "$patch"
	done
	[[ -f $letter ]] || {
		letter=$folder/new
		new_letter "$tree" "${range#*..}" >"$letter"
		say "write the letter of $part: kernel/patches/$part/$COVER"
	}
	cover_letter "$tree" "$range" "$letter" >"$folder/$COVER"
	rm -f "$folder/new"
}

# Put what is in a folder in the place of all patches.
replace_patches() {
	mkdir -p "$PATCHES"
	find "$PATCHES" -name '*.patch' -delete
	cp -r "$1"/. "$PATCHES/"
	find "$PATCHES" -mindepth 1 -type d -empty -delete
}

cmd_refresh() {
	local base start new i
	expect_words 0 1
	[[ -n $OPT_TREE ]] || usage_error "refresh needs --kernel-tree DIR"
	git -C "$OPT_TREE" rev-parse -q --verify HEAD >/dev/null || die "$OPT_TREE is no git tree"
	base=${WORDS[1]:-$(series_base "$OPT_TREE")}
	git -C "$OPT_TREE" merge-base --is-ancestor "$base" HEAD || die "$base is not below HEAD of $OPT_TREE"
	read_parts "$OPT_TREE" "$base..HEAD"
	new=$(mktemp -d "$PEERBAR_TOP/kernel/.patches.XXXXXX")
	TEMPORARY+=("$new")
	start=$base
	for i in "${!PARTS[@]}"; do
		write_part "$OPT_TREE" "${PARTS[i]}" "$start..${ENDS[i]}" "$new"
		start=${ENDS[i]}
	done
	replace_patches "$new"
	say "$(git -C "$OPT_TREE" rev-list --count "$base..HEAD") patches in ${#PARTS[@]} parts in ${PATCHES#"$PEERBAR_TOP"/}"
}
