# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Compare two TAP streams test by test, and print the verdicts as TAP.

usage: tap_compare.py BEFORE... AFTER

A test fails when it passed before and does not pass after, be it that it fails,
is skipped or is gone. One that failed before as well, in any of the runs, is no
news.
"""

import re
import sys

PASSES, FAILS, SKIPPED, MISSING = "passes", "fails", "is skipped", "is not there"
PAST = {PASSES: "passed", FAILS: "failed", SKIPPED: "was skipped", MISSING: "was not there"}
RESULT = re.compile(r"(not )?ok \d+ - (\S+)(?:\s*# SKIP ?(.*))?")


def read(name):
    """{test: how it went}; of a test that ran several times, the failure counts."""
    results = {}
    with open(name, encoding="utf-8", errors="replace") as stream:
        for match in filter(None, map(RESULT.match, stream)):
            failed, test, reason = match.groups()
            if results.get(test) != FAILS:
                results[test] = FAILS if failed else PASSES if reason is None else SKIPPED
    return results


def read_all(names):
    results = {}
    for name in names:
        for test, result in read(name).items():
            if results.get(test) != FAILS:
                results[test] = result
    return results


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    before, after = read_all(sys.argv[1:-1]), read(sys.argv[-1])
    if not before:
        sys.exit("tap_compare.py: no results in " + sys.argv[1])
    worse = 0
    tests = sorted(before.keys() | after.keys())
    print("TAP version 13\n1..%d" % len(tests))
    for number, test in enumerate(tests, 1):
        was, now = before.get(test, MISSING), after.get(test, MISSING)
        regressed = was == PASSES != now
        worse += regressed
        skipped = " # SKIP on both" if was == now == SKIPPED else ""
        print("%sok %d - %s%s" % ("not " if regressed else "", number, test, skipped))
        if was != now or now == FAILS:
            print("# before it %s, now it %s" % (PAST[was], now))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
