# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The patches as somebody posts them, who signs them off with his own name.

# Refuses what is not the name and the address of a person.
check_signoff() {
	[[ $1 =~ ^[^\<\>@[:space:]][^\<\>@]*\ \<[^\<\>@[:space:]]+@[^\<\>@[:space:]]+\>$ ]] ||
		usage_error "--signoff takes \"Name <mail>\", not '$1'"
	! grep -qE "$NOBODY" <<<"$1" || usage_error "--signoff $1: that address is reserved for examples; use your own"
}

# set_sender WHO: the mail on standard input with this From:, and what a mail needs to say when it is not all ASCII
set_sender() {
	local mime='' LC_ALL=C
	[[ $1 != *[!\ -~]* ]] || mime=$'MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n'
	WHO=$1 MIME=$mime awk '
		text { print; next }
		/^(MIME-Version|Content-[A-Za-z-]*):/ { ENVIRON["MIME"] = "" }
		/^From: / { print "From: " ENVIRON["WHO"]; folded = 1; next }
		folded && /^[ \t]/ { next }
		{ folded = 0 }
		/^$/ { text = 1; printf "%s", ENVIRON["MIME"] }
		{ print }'
}

# by_nobody FILE: has it no author that exists?
by_nobody() {
	grep -qE "$NOBODY" <<<"$(header_from "$1")"
}

# export_patch FILE WHO: from WHO if nobody made it, and signed off by him in any case
export_patch() {
	if by_nobody "$1"; then
		set_sender "$2" <"$1"
	else
		cat "$1"
	fi | add_trailer "Signed-off-by: $2"
}

# export_letter FILE WHO: his name is also above the list of what nobody made
export_letter() {
	local patch author=''
	! grep -nF -e "$NO_SUBJECT" -e "$NO_TEXT" "$1" >&2 || die "${1#"$PEERBAR_TOP"/} has not been written yet"
	for patch in "${1%/*}"/*.patch; do
		[[ $patch == "$1" ]] || ! by_nobody "$patch" || author=$(header_from "$patch")
	done
	set_sender "$2" <"$1" | AUTHOR=${author% <*} WHO=${2% <*} awk '
		/ \([0-9]+\):$/ && index($0, ENVIRON["AUTHOR"] " (") == 1 {
			$0 = ENVIRON["WHO"] substr($0, length(ENVIRON["AUTHOR"]) + 1) }
		{ print }'
}

# export_part PART WHO FOLDER
export_part() {
	local file folder=$3/$1
	mkdir "$folder"
	for file in "$PATCHES/$1"/*.patch; do
		if [[ ${file##*/} == "$COVER" ]]; then
			export_letter "$file" "$2"
		else
			export_patch "$file" "$2"
		fi >"$folder/${file##*/}"
	done
}

cmd_export() {
	local word part parts=() target=${OPT_OUTPUT:-outgoing} new
	[[ -n $OPT_SIGNOFF ]] || usage_error 'export needs --signoff "Name <mail>", by whom the patches are posted'
	check_signoff "$OPT_SIGNOFF"
	list_parts
	for word in "${WORDS[@]:1}"; do
		part=$(find_part "$word") || exit
		parts+=("$part")
	done
	((${#parts[@]})) || parts=("${PARTS[@]}")
	for part in "${parts[@]}"; do
		[[ ! -e $target/$part ]] || die "$target/$part exists; nothing was written"
	done
	mkdir -p "$target" || die "cannot make the folder $target"
	new=$(mktemp -d "$target/.new.XXXXXX")
	TEMPORARY+=("$new")
	for part in "${parts[@]}"; do
		export_part "$part" "$OPT_SIGNOFF" "$new"
	done
	mv -t "$target" "${parts[@]/#/"$new"/}"
	printf '%s\n' "${parts[@]/#/"$target"/}"
}
