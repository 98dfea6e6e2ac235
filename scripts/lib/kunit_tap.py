# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Makes flat TAP of the nested KTAP that a kernel with KUnit tests prints: standard input to standard output."""

import re
import sys

RESULT = re.compile(r"^( *)(ok|not ok) \d+ ?(.*)$")
SUBTEST = re.compile(r"^( *)# Subtest: (.*)$")
PLAN = re.compile(r"^1\.\.(\d+)$")


class Flattener:
    """A result belongs to a group of tests if others, further to the right, came before it."""

    def __init__(self, out):
        self.out = out
        self.groups = []  # (indentation of its tests, name) of those that are open
        self.last_indent = 0
        self.said = []  # the kernel says what is wrong before the result
        self.points = 0
        self.failed = set()
        self.planned = None
        self.ended = 0

    def point(self, verdict, name):
        self.points += 1
        verdict_name, _, directive = name.partition(" # ")
        full = ".".join([g[1] for g in self.groups] + [verdict_name])
        print("%s %d - %s%s" % (verdict, self.points, full, " # " + directive if directive else ""), file=self.out)
        if verdict != "ok":
            self.failed.update(g[1] for g in self.groups)
            print("".join("# %s\n" % text for text in self.said), end="", file=self.out)

    def result(self, indent, verdict, name):
        while self.groups and self.groups[-1][0] > indent:
            self.groups.pop()
        group = self.last_indent > indent
        # a group can fail although its tests have not: where it is set up
        if not group or (verdict != "ok" and name not in self.failed):
            self.point(verdict, name)
        self.last_indent = indent
        self.said = []
        self.ended += not indent

    def line(self, text):
        result, subtest, plan = RESULT.match(text), SUBTEST.match(text), PLAN.match(text)
        if result:
            self.result(len(result.group(1)), result.group(2), result.group(3))
        elif subtest:
            self.groups.append((len(subtest.group(1)), subtest.group(2)))
        elif plan and self.planned is None:
            self.planned = int(plan.group(1))
        elif text.strip() and not text.lstrip().startswith(("KTAP", "1..")):
            self.said.append(text.strip().lstrip("# "))

    def finish(self):
        """Whether all suites have ended."""
        if self.planned is None or self.ended != self.planned:
            print("Bail out! the kernel ended after %d of %s suites" % (self.ended, self.planned), file=self.out)
            return False
        print("1..%d" % self.points, file=self.out)
        return True


def main():
    flattener = Flattener(sys.stdout)
    for line in sys.stdin:
        flattener.line(line.rstrip("\r\n"))
    return not flattener.finish()


if __name__ == "__main__":
    sys.exit(main())
