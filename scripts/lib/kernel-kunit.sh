# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Runs the KUnit tests that the series brings, in a kernel that is a program of
# this machine (user mode Linux).

# The folders whose tests they are.
kunit_folders() {
	git -C "$TREE" diff --name-only base "$BRANCH" -- ':(glob)**/.kunitconfig' | xargs -r dirname
}

# kunit COMMAND OPTION...: Linux's own tool
kunit() {
	(cd "$TREE" && python3 -B tools/testing/kunit/kunit.py "$1" --build_dir="$OUT" "${@:2}")
}

# run_kunit FOLDER...: builds a kernel with their tests and runs it; TAP on standard output
run_kunit() {
	local log=$OUT/kunit.log
	kunit config "${@/#/--kunitconfig=}" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "configuring the KUnit tests failed; the log is $log"
	}
	compile KUnit linux
	kunit exec --raw_output=kunit >"$log" || true # the results tell more than the status
	python3 -B "$PEERBAR_TOP/scripts/lib/kunit_tap.py" <"$log" || die "the KUnit tests did not come to an end; the log is $log"
}

cmd_kunit() {
	local folders
	expect_words 0 0
	lock kernel
	need_source
	apply_series
	mapfile -t folders < <(kunit_folders)
	((${#folders[@]})) || {
		printf '1..0 # SKIP the series has no KUnit tests\n'
		return
	}
	OUT=$KERNEL/build/$SOURCE-kunit
	ARCH_ARGS=(ARCH=um)
	need_space 2000 "building a kernel for KUnit"
	mkdir -p "$OUT"
	checkout "$BRANCH"
	run_kunit "${folders[@]}"
}
