# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# For the suites of others: run on the kernel without the series and on the one
# with it, and compare result by result. Who sources this defines
#
#   run_before ARGUMENT...  a run without the series, TAP on stdout
#   run_after               a run with it
#
# Both return 0 or 1 when the run came to its end. ARGUMENTs are --repeat N and
# the names that select tests.
#
# shellcheck disable=SC2154 # again, keep, names and kernel are the caller's

external=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
	say "error: $1"
	exit 3
}

bad_usage() {
	say "error: $1"
	say "See: ${0##*/} --help"
	exit 2
}

# A run that did not come to its end has no results that could be compared.
not_finished() {
	printf 'Bail out! the run on the %s kernel ended with status %d\n' "$1" "$2"
	return 3
}

keeping() { # keeping KIND: pass on, and keep a copy where it is wanted
	if [[ -n $keep ]]; then tee "$keep/$1.tap"; else cat; fi
}

judge() { # judge BEFORE... AFTER, files of $work: sets status; leaves the verdict in $work
	"$python" "$external/tap_compare.py" --table "$work/table" "$@" >"$work/verdict" && status=0 || status=$?
}

compare() {
	local work status=0
	work=$(mktemp -d)
	# shellcheck disable=SC2064 # now, not later
	trap "rm -rf '$work'" EXIT
	say "on the plain kernel"
	run_before "${names[@]}" | keeping plain >"$work/before" || status=$?
	((status <= 1)) || die "the run on the plain kernel failed: $(tail -n 1 "$work/before")"
	say "on the $kernel kernel"
	status=0
	run_after "${names[@]}" | keeping "$kernel" >"$work/after" || status=$?
	((status <= 1)) || die "the run on the $kernel kernel failed: $(tail -n 1 "$work/after")"
	judge "$work/before" "$work/after"
	((status == 0)) || second_opinion
	[[ -z $keep ]] || cp "$work/table" "$keep/table"
	cat "$work/verdict"
	return "$status"
}

# Some tests of others fail now and then, with or without the series. Who did
# worse after has to do better every time before. Uses compare's variables.
second_opinion() {
	local worse
	mapfile -t worse < <(sed -n 's/^not ok [0-9]* - \([^ :]*\).*/\1/p' "$work/verdict" | sort -u)
	say "on the plain kernel, $again times: ${worse[*]}"
	status=0
	run_before --repeat "$again" "${worse[@]}" | keeping plain-again >"$work/again" || status=$?
	((status <= 1)) || die "the second run on the plain kernel failed: $(tail -n 1 "$work/again")"
	judge "$work/before" "$work/again" "$work/after"
}
