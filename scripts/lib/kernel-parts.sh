# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The parts of the series: each is a folder of kernel/patches and is posted on its own, after the ones before it. A
# commit says in the trailer `Part:` which one it belongs to, so that a rebase keeps it; patch files don't have that.

COVER=0000-cover-letter.patch

# Sets PARTS: all in the order in which they can be taken, or those up to the one that --upto names.
list_parts() {
	local part
	PARTS=()
	while read -r part; do
		PARTS+=("$part")
		[[ $part != "$OPT_UPTO" ]] || break
	done < <(find "$PATCHES" -mindepth 2 -maxdepth 2 -name '0001-*.patch' -printf '%P\n' 2>/dev/null | sed 's,/.*,,' | sort -V)
}

# find_part WORD: prints the part that is called so, by its name or by its number
find_part() {
	local part
	for part in "${PARTS[@]}"; do
		[[ $part != "$1" && $part != "$1"-* ]] || {
			printf '%s\n' "$part"
			return
		}
	done
	usage_error "the series has no part '$1': ${PARTS[*]:-it has none at all}"
}

# The part of a patch file
part_of() {
	local folder=${1%/*}
	printf '%s\n' "${folder##*/}"
}

# A patch that lies beside the parts would be forgotten.
refuse_strays() {
	local stray
	stray=$(compgen -G "$PATCHES/*.patch" | head -n 1) || true
	[[ -z $stray ]] || die "${stray#"$PEERBAR_TOP"/} is in no part: it belongs into one of the folders there"
}

# add_trailer TRAILER: to the message of the patch on standard input
add_trailer() {
	git interpret-trailers --trailer "$1"
}

# mark_parts FOLDER PATCH...: copies there, in order, that say which part they are of
mark_parts() {
	local folder=$1 patch number=0
	shift
	for patch; do
		number=$((number + 1))
		add_trailer "Part: $(part_of "$patch")" <"$patch" >"$folder/$(printf '%05d' "$number")"
	done
}

# People whose address is reserved for nobody (RFC 2606) cannot vouch for anything.
NOBODY='@([^@> ]*\.)?(example|invalid|test|localhost|example\.(com|net|org))>?$'

# strip_trailers: the patch on standard input without its part and without sign-offs by nobody
strip_trailers() {
	awk -v nobody="$NOBODY" '
		rest { print; next }
		/^---$/ { rest = 1; blank = 0 }
		/^Part: / || /^Signed-off-by: / && $0 ~ nobody { next }
		/^$/ && body++ { blank++; next }
		{ for (; blank; blank--) print ""; print }'
}

# header_from PATCH: its author, whose name and address may be on two lines
header_from() {
	awk '/^$/ { exit } from && /^[ \t]/ { sub(/^[ \t]+/, " "); printf "%s", $0; next } from { exit }
		sub(/^From: /, "") { from = 1; printf "%s", $0 }' "$1"
}
