# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Compare two TAP streams test by test, and print the verdicts as TAP.

usage: tap_compare.py [--table FILE] BEFORE... AFTER

A test fails when it did not fail before, and neither passes now nor ends as it did before. One that failed before as
well, in any of the runs, is no news. With --table, FILE gets one line per group of tests with the counts before and
after; it is printed as well, as comments.
"""

import argparse
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


def regressed(was, now):
    return was not in (now, FAILS) and now != PASSES


def group(test):
    """PROGRAM of PROGRAM:CASE, else package.module of package.module.class.test."""
    return test.partition(":")[0] if ":" in test else ".".join(test.split(".")[:2])


def table(before, after):
    """Per group how many passed, failed and were skipped before and after, and how many differ."""
    columns = (PASSES, FAILS, SKIPPED)
    rows = {}
    for test in before.keys() | after.keys():
        was, now = before.get(test, MISSING), after.get(test, MISSING)
        row = rows.setdefault(group(test), [0] * 7)
        for offset, result in ((0, was), (3, now)):
            if result in columns:
                row[offset + columns.index(result)] += 1
        row[6] += was != now
    total = [sum(column) for column in zip(*rows.values())]
    lines = ["%-52s %-20s %-20s %s" % ("", "without the series", "with the series", "")]
    lines.append("%-52s %6s %6s %6s %6s %6s %6s %6s" % ("", *("pass", "fail", "skip") * 2, "differ"))
    for name, row in [*sorted(rows.items()), ("total", total)]:
        lines.append("%-52s %6d %6d %6d %6d %6d %6d %6d" % (name, *row))
    return [line.rstrip() for line in lines]


def main():
    parser = argparse.ArgumentParser(prog="tap_compare.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--table", metavar="FILE")
    parser.add_argument("before", nargs="+")
    parser.add_argument("after")
    args = parser.parse_args()
    before, after = read_all(args.before), read(args.after)
    if not before:
        sys.exit("tap_compare.py: no results in " + args.before[0])
    worse = 0
    tests = sorted(before.keys() | after.keys())
    print("TAP version 13\n1..%d" % len(tests))
    for number, test in enumerate(tests, 1):
        was, now = before.get(test, MISSING), after.get(test, MISSING)
        bad = regressed(was, now)
        worse += bad
        skipped = " # SKIP on both" if was == now == SKIPPED else ""
        print("%sok %d - %s%s" % ("not " if bad else "", number, test, skipped))
        if was != now or now == FAILS:
            print("# before it %s, now it %s" % (PAST[was], now))
    lines = table(before, after)
    print("\n".join("# " + line for line in lines))
    if args.table:
        with open(args.table, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
