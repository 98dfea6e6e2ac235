# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Run the tests that rdma-core ships, on rxe0, and print TAP.

usage: pyverbs_tap.py FOLDER [--repeat N] [--dmabufs LIBRARY] [NAME]...

FOLDER is rdma-core's tests folder. With NAMEs only the tests whose full name
contains one of them are run, with --repeat each of them N times. With --dmabufs
only the tests of dma-buf MRs are run, once for every kind of buffer that there
is without a GPU, and none of them may be skipped; LIBRARY is libpeerbar.so.
"""

import argparse
import importlib.util
import os
import signal
import sys
import unittest

import dmabufs

DEVICE = "rxe0"
TEST_SECONDS = 120


def load(folder):
    """rdma-core's tests, as the package "tests" that they believe to be."""
    sys.path.insert(0, folder)
    from args_parser import parser  # rdma-core's, found in the folder

    sys.argv[1:] = ["--dev", DEVICE]
    parser.parse_args()
    spec = importlib.util.spec_from_file_location(
        "tests", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["tests"] = package
    spec.loader.exec_module(package)
    return unittest.defaultTestLoader.loadTestsFromModule(package)


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


class TapResult(unittest.TestResult):
    """One line of TAP per test, and what went wrong as comments below it."""

    def __init__(self, out, may_skip):
        super().__init__()
        self.out = out
        self.may_skip = may_skip
        self.prefix = ""
        self.count = 0
        self.verdict = None
        # A test that hangs is one failure, not the end of the run.
        signal.signal(signal.SIGALRM, self.too_long)

    @staticmethod
    def too_long(*_):
        raise TimeoutError("still running after %d s" % TEST_SECONDS)

    def line(self, ok, test, directive="", details=""):
        self.count += 1
        words = "" if ok else "not "
        self.out.write("%sok %d - %s%s%s\n" % (words, self.count, self.prefix, test.id(), directive))
        for text in details.splitlines():
            self.out.write("#   %s\n" % text)
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.verdict = (True, "", "")
        signal.alarm(TEST_SECONDS)

    def stopTest(self, test):
        signal.alarm(0)
        ok, directive, details = self.verdict
        self.line(ok, test, directive, details)
        self.verdict = None
        super().stopTest(test)

    def judge(self, test, ok, directive="", details=""):
        # What fails while a class is set up belongs to no test.
        if self.verdict is None:
            self.line(ok, test, directive, details)
        elif self.verdict[0]:
            self.verdict = (ok, directive, details)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if not self.may_skip:
            self.failures.append((test, reason))
            self.judge(test, False, details="it was skipped: " + reason)
        self.judge(test, True, " # SKIP " + " ".join(reason.split()))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.judge(test, False, details=self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.judge(test, False, details=self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.judge(test, False, details=self._exc_info_to_string(err, test))

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.judge(test, False, details="it was expected to fail")


def run_all(tests, result):
    unittest.TestSuite(tests).run(result)


def run_dmabufs(tests, result, library):
    """The tests get their buffers where there is no GPU."""
    test_mr = sys.modules["tests.test_mr"]
    pyverbs_class = test_mr.DmaBufMR
    test_mr.check_dmabuf_support = lambda gpu: None
    for name, source in dmabufs.sources(library).items():
        test_mr.DmaBufMR = dmabufs.mr_class(pyverbs_class, source)
        result.prefix = name + ":"
        run_all([t for t in tests if type(t).__module__ == "tests.test_mr" and "DmaBuf" in t.id()], result)


def main():
    parser = argparse.ArgumentParser(prog="pyverbs_tap.py")
    parser.add_argument("folder")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--dmabufs", metavar="LIBRARY")
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    # Tests print as they like; TAP has the real standard output to itself.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tests = [t for t in flatten(load(args.folder)) if not args.names or any(n in t.id() for n in args.names)]
    result = TapResult(out, may_skip=not args.dmabufs)
    out.write("TAP version 13\n")
    for _ in range(args.repeat):
        if args.dmabufs:
            run_dmabufs(tests, result, args.dmabufs)
        else:
            run_all(tests, result)
    out.write("1..%d\n" % result.count)
    out.flush()
    return 0 if result.count and result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
