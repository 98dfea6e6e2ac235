# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# A little TAP for tests written in shell. A test ends with `done_testing`.

TAP_N=0
TAP_FAILED=0
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

# verdict STATUS DESCRIPTION [DIAGNOSTIC]: ok when the status is 0
verdict() {
	local what=${2//#/\\#} # or it would begin a directive
	TAP_N=$((TAP_N + 1))
	if (($1 == 0)); then
		printf 'ok %d - %s\n' "$TAP_N" "$what"
	else
		TAP_FAILED=$((TAP_FAILED + 1))
		printf 'not ok %d - %s\n' "$TAP_N" "$what"
		[[ -z ${3:-} ]] || printf '# %s\n' "${3//$'\n'/$'\n# '}"
	fi
}

skip() {
	TAP_N=$((TAP_N + 1))
	printf 'ok %d - %s # SKIP %s\n' "$TAP_N" "$1" "$2"
}

# is DESCRIPTION GOT EXPECTED
is() {
	if [[ $2 == "$3" ]]; then verdict 0 "$1"; else verdict 1 "$1" "got '$2', expected '$3'"; fi
}

# like DESCRIPTION TEXT REGEX
like() {
	if [[ $2 =~ $3 ]]; then verdict 0 "$1"; else verdict 1 "$1" "no match for /$3/ in: $2"; fi
}

# unlike DESCRIPTION TEXT REGEX
unlike() {
	if [[ ! $2 =~ $3 ]]; then verdict 0 "$1"; else verdict 1 "$1" "/$3/ matches: $2"; fi
}

# run COMMAND...: sets OUT, ERR and STATUS
run() {
	STATUS=0
	"$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null || STATUS=$?
	OUT=$(<"$SCRATCH/out")
	ERR=$(<"$SCRATCH/err")
}

done_testing() {
	printf '1..%d\n' "$TAP_N"
	exit $((TAP_FAILED > 0))
}
