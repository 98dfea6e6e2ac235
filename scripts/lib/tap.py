# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs a program that speaks TAP (or only an exit status) and counts what it reports."""

import os
import re
import signal
import subprocess
import time

import procs

RESULT = re.compile(r"^(ok|not ok)\b\s*(\d+)?\s*(?:- )?(.*?)(?:\s+#\s*(SKIP|TODO)\b\s*(.*))?$", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*(SKIP\b.*))?$", re.IGNORECASE)
SKIPPED_STATUS = 77


class Tally:
    """Counts, and the text of what failed."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def fail(self, text):
        self.failed += 1
        self.failures.append(text)

    def skip(self, text):
        self.skipped += 1
        self.skips.append(text)

    def total(self):
        return self.passed + self.failed + self.skipped

    def __str__(self):
        return "%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped)


class Reader:
    """Reads TAP line by line. Diagnostics that follow a failure belong to it."""

    def __init__(self, name):
        self.name = name
        self.tally = Tally()
        self.planned = None
        self.points = 0
        self.last_failed = False

    def line(self, text):
        result = RESULT.match(text)
        plan = PLAN.match(text)
        if result:
            self.result(*result.groups())
        elif plan:
            self.planned = int(plan.group(1))
            if not self.planned:
                self.tally.skip("%s: %s" % (self.name, plan.group(2) or "skipped"))
        elif text.startswith("Bail out!"):
            self.tally.fail("%s: %s" % (self.name, text))
        elif self.last_failed and text.startswith("#"):
            self.tally.failures[-1] += "\n      " + text

    def result(self, verdict, _number, description, directive, reason):
        what = "%s: %s" % (self.name, description)
        self.last_failed = False
        self.points += 1
        if directive:
            self.tally.skip("%s (%s %s)" % (what, directive.lower(), reason))
        elif verdict.lower() == "ok":
            self.tally.passed += 1
        else:
            self.tally.fail(what)
            self.last_failed = True

    def finish(self, status):
        """What the points alone do not tell: a broken plan, a crash, an exit status that contradicts them."""
        if self.planned is None:
            self.tally.fail("%s: no plan: it ended early (status %s)" % (self.name, status))
        elif self.points != self.planned:
            self.tally.fail("%s: %d results of %d planned (status %s)" % (self.name, self.points, self.planned, status))
        elif status and not self.tally.failed:
            self.tally.fail("%s: every point passed, but the exit status is %s" % (self.name, status))
        return self.tally


def execute(cmd, log, timeout, on_line, env=None, cwd=None):
    """Run one program, its output into the file `log` and line by line to us. Returns its status, or what ended it."""
    child = procs.spawn(
        cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd
    )
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child.pid, signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, timeout, 5)
    start = time.monotonic()
    try:
        with open(log, "wb") as out:
            for raw in child.stdout:
                out.write(raw)
                out.flush()
                on_line(raw.decode(errors="replace").rstrip("\r\n"))
        status = child.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        end_group(child)
    return status if time.monotonic() - start < timeout else "timeout after %g s" % timeout


def run(name, cmd, log, timeout, protocol="tap", env=None, cwd=None):
    """Run one program; returns the tally of what it reports."""
    reader = Reader(name)
    status = execute(cmd, log, timeout, reader.line, env, cwd)
    if protocol == "tap":
        return reader.finish(status)
    return exit_code_tally(name, status)


def end_group(child):
    """Nothing the test has started may outlive it. It gets a chance to tidy up first."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        pass
    except ProcessLookupError:
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def exit_code_tally(name, status):
    tally = Tally()
    if status == 0:
        tally.passed = 1
    elif status == SKIPPED_STATUS:
        tally.skip(name)
    else:
        tally.fail("%s: exit status %s" % (name, status))
    return tally
