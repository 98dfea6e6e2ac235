# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# What every script here starts from: messages, the cache, locks, progress,
# and an end that leaves nothing behind.

set -euo pipefail

# A descriptor that the caller has closed must not become one of our files.
[[ -e /dev/fd/0 ]] || exec 0</dev/null
[[ -e /dev/fd/1 ]] || exec 1>/dev/null
[[ -e /dev/fd/2 ]] || exec 2>/dev/null

PEERBAR_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
ME=${0##*/}

say() {
	printf '%s: %s\n' "$ME" "$*" >&2
}

die() {
	say "$@"
	exit 1
}

# usage_error TEXT...: the caller typed something wrong
usage_error() {
	say "$* (see scripts/$ME --help)"
	exit 2
}

# The comment that stands at the head of the script is its manual.
print_help() {
	sed -n '/^#!/d; /^# SPDX/d; /^#$/{s/.*//p; b;}; /^# /{s/^# //p; b;}; q' "$0"
}

# ---- The cache

[[ -n ${XDG_CACHE_HOME:-${HOME:-}} ]] || die "HOME is not set: where shall the cache go? Set XDG_CACHE_HOME"
PEERBAR_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/peerbar
[[ $PEERBAR_CACHE == /* ]] || die "the cache cannot be in $PEERBAR_CACHE: set XDG_CACHE_HOME to a path that begins with /"
export PEERBAR_CACHE

make_cache() {
	mkdir -p "$PEERBAR_CACHE" ||
		die "cannot make the cache folder $PEERBAR_CACHE; set XDG_CACHE_HOME to a place you can write to"
	[[ -w $PEERBAR_CACHE ]] ||
		die "cannot write to the cache folder $PEERBAR_CACHE; set XDG_CACHE_HOME to a place you can write to"
}

# need_space MEGABYTES WHAT: refuse early what would fail late
need_space() {
	local have
	make_cache
	have=$(df -Pm "$PEERBAR_CACHE" | awk 'NR == 2 { print $4 }')
	((have >= $1)) ||
		die "$2 needs about $1 MB in $PEERBAR_CACHE, only $have MB are free; make room or set XDG_CACHE_HOME"
}

# say_full LOG: when a program has met a full disk, say which one; else return 1
say_full() {
	local full=$PEERBAR_CACHE
	grep -q 'No space left' "$1" || return
	# what a compiler keeps for a moment is elsewhere
	! grep 'No space left' "$1" | grep -qF "${TMPDIR:-/tmp}/" || full="${TMPDIR:-/tmp} (TMPDIR names another folder)"
	say "the disk with $full is full"
}

# lock NAME: hold a lock until this process ends; say so when another one holds it
lock() {
	local fd file=$PEERBAR_CACHE/lock/$1
	{ mkdir -p "${file%/*}" && exec {fd}>"$file"; } 2>/dev/null || die "cannot write to the lock $file"
	if ! flock -n "$fd"; then
		say "waiting for another run that holds the lock '$1' ..."
		until flock -w 1 "$fd"; do :; done # a signal is heard only between commands
	fi
	LOCK_FD=$fd
}

unlock() {
	exec {LOCK_FD}>&-
}

# progress WHAT REGEX: pass nothing on of what comes in, but say every few
# seconds how many lines matched
progress() {
	local what=$1 regex=$2 count=0 start=$SECONDS next=$((SECONDS + 5)) line status
	while true; do
		if IFS= read -r -t 5 line; then
			[[ ! $line =~ $regex ]] || count=$((count + 1))
		else
			status=$?
			((status > 128)) || break
		fi
		if ((SECONDS >= next)); then
			say "$what: $count done, $((SECONDS - start)) s"
			next=$((SECONDS + 10))
		fi
	done
}

# key_of: a short name for what comes in on standard input
key_of() {
	sha256sum | cut -c1-16
}

# ---- Steps that take long

# A signal to this script alone is heard at once, and ends the step under way.
STEP=
trap end_step EXIT
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM
trap 'exit 129' HUP

# attend COMMAND...: run it in a process group of its own, which ends with us
attend() {
	local status=0
	set -m
	"$@" </dev/null &
	STEP=$!
	set +m
	wait "$STEP" || status=$?
	STEP=
	return "$status"
}

# shellcheck disable=SC2317 # the trap calls it
end_step() {
	[[ -n $STEP ]] || return 0
	trap '' INT QUIT TERM HUP
	kill -TERM -- "-$STEP" 2>/dev/null || true
	wait "$STEP" 2>/dev/null || true
}
