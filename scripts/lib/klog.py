# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Finds in a guest's kernel log what must not be there.

As a program: klog.py [--expect REGEX]... FILE prints the findings with their context and exits 1 when there are any.
"""

import argparse
import re
import sys

# What no run may leave in the log, whatever the command itself thought of it.
BAD = re.compile(
    r"""
      \bWARNING:\s                       # WARN(), lockdep, RCU
    | \bBUG:\s | \bkernel\ BUG\ at\b
    | \bKASAN:\s | \bKCSAN:\s | \bUBSAN:\s | \bKFENCE:\s
    | \bOops\b | \bgeneral\ protection\ fault\b | \bKernel\ panic\b | \bUnable\ to\ handle\ kernel\b
    | possible\ (?:recursive|circular|irq\ lock)  # lockdep
    | \bINFO:\ (?:suspicious|possible|inconsistent|trying\ to\ register|task\ .*\ blocked\ for|rcu_\w+\ detected\ stall)
    | inconsistent\ lock\ state | suspicious\ RCU\ usage | sleeping\ function\ called\ from\ invalid
    | self-detected\ stall | soft\ lockup | hard\ LOCKUP | \bhung\ task\b
    | unreferenced\ object\ 0x | kmemleak:\ .*new\ suspected
    | conflicting\ memory\ types | \bmemtype_(?:reserve|free)\ failed | freeing\ invalid\ memtype
    | map\ pfn\ expected\ mapping\ type | ioremap\ on\ RAM | untracked\ pfnmap
    | \bDMA-API:\s.*(?:WARNING|error|leak|mismatch|not\ allocated|freeing) | DMAR:\s.*\bfault\b
    | list_(?:add|del)\ corruption | refcount_t: | \bODEBUG:\s | workqueue\ lockup
    | page\ allocation\ failure | \bBad\ (?:page|rss-counter)\b | scheduling\ while\ atomic
    | peerbar-init:\ FATAL
    """,
    re.VERBOSE,
)

# Harmless lines that look like one of the above.
HARMLESS = re.compile(r"\bDMAR: .*(?:fault(?:ing)? (?:handling|reporting)|IRQ remapping)|Command line:")


# What tests write to /dev/kmsg: where one begins and ends, and what it is about to provoke.
MARK = re.compile(r"peerbar-test: (?:expect (?P<regex>.*)|(?P<name>\S+) (?:begins|ended))")


class Finding:
    """A bad line, with the place in the log where it stands and the test that was running."""

    def __init__(self, lines, index, test):
        self.lines = lines
        self.index = index
        self.test = test

    @property
    def line(self):
        return self.lines[self.index]

    def context(self, after=25):
        return self.lines[self.index : self.index + after]


def scan(text, expected=()):
    """Every bad line of the log that nobody expected, first to last."""
    allowed = [re.compile(e) for e in expected]
    announced = []
    test = None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = []
    for i, line in enumerate(lines):
        mark = MARK.search(line)
        if mark and mark["regex"]:
            announced.append(re.compile(mark["regex"]))
        elif mark:
            announced = []
            test = mark["name"] if "begins" in line else None
        elif BAD.search(line) and not HARMLESS.search(line):
            if not any(a.search(line) for a in allowed + announced):
                found.append(Finding(lines, i, test))
    return found


def describe(found, limit=3):
    """The first findings with what follows them, the others by their line only."""
    out = []
    end = -1
    for n, f in enumerate(found):
        if f.test and f.index > end:
            out.append("    during %s:" % f.test)
        if n < limit and f.index > end:
            out += ["    " + line for line in f.context()]
            out.append("    ...")
            end = f.index + 25
        elif f.index > end:
            out.append("    " + f.line)
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description="Scan a kernel log for what must not be there.")
    parser.add_argument("--expect", action="append", default=[], metavar="REGEX", help="a line to tolerate")
    parser.add_argument("file")
    args = parser.parse_args()
    with open(args.file, encoding="utf-8", errors="replace") as f:
        found = scan(f.read(), args.expect)
    if found:
        print(describe(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
