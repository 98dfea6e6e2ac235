# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Test points of a program in a guest, for `owners` to number: `ok - ` and `not ok - ` lines."""

import sys


class Points:
    def __init__(self):
        self.failed = False

    def check(self, good, what, said=""):
        """What was said is shown when it is not good."""
        self.failed = self.failed or not good
        print("%s - %s" % ("ok" if good else "not ok", what))
        if not good:
            print("# " + said.strip().replace("\n", "\n# "))
        sys.stdout.flush()
        return good


def put(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
