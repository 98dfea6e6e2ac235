# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What the tests of the peerbar tool share: running it, and telling TAP about it.

A test is a function decorated with @test; its docstring is what it shows. It fails by an exception, `check` raises one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

SECONDS = float(os.environ.get("PEERBAR_TEST_SECONDS", "120"))
TESTS = []


class Failed(Exception):
    """The tool did something else than it should."""


class Skipped(Exception):
    """This cannot be tested here."""


def test(function):
    TESTS.append(function)
    return function


def check(condition, message, *details):
    if not condition:
        raise Failed("\n".join([message] + [str(d) for d in details]))


def skip_unless(condition, why):
    if not condition:
        raise Skipped(why)


class Run:
    """One run of the tool, with what came out of it."""

    def __init__(self, tool, args, stdout=subprocess.PIPE, env=None, prefix=(), **options):
        self.args = [os.fsdecode(arg) for arg in args]
        done = subprocess.run(
            [*prefix, tool, *args], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, timeout=SECONDS,
            env=env, check=False, **options,
        )
        self.status = done.returncode
        self.out = (done.stdout or b"").decode()
        self.err = done.stderr.decode()

    def __str__(self):
        return "peerbar %s\nstatus: %d\nstdout:\n%s\nstderr:\n%s" % (" ".join(map(ascii, self.args)), self.status, self.out, self.err)

    def expect(self, status, err=()):
        """The exit status, and words that standard error must hold; silence there where none are given."""
        check(self.status == status, "exit status %d expected" % status, self)
        check(bool(err) or not self.err, "nothing expected on standard error", self)
        for word in err:
            check(word in self.err, "%r expected on standard error" % word, self)
        return self

    def json(self):
        """Exactly one JSON document."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise Failed("no JSON: %s\n%s" % (error, self)) from error

    def error(self):
        """The error of a command that failed as a whole."""
        document = self.json()
        check(list(document) == ["error"], "an object with the one key error expected", self)
        check(document["error"].get("tried"), "an error must say what was tried", self)
        return document["error"]


class Unprivileged:
    """Runs the tool as an ordinary user, from a copy where that user can read it."""

    def __init__(self, tool):
        self.folder = None
        self.tool = tool
        self.prefix = []

    def __enter__(self):
        if os.geteuid():
            return self
        skip_unless(shutil.which("setpriv"), "setpriv is not installed")
        self.folder = tempfile.mkdtemp(prefix="peerbar-cli-")
        os.chmod(self.folder, 0o755)
        needed = subprocess.run(["ldd", self.tool], capture_output=True, check=True).stdout.decode()
        name, library = re.search(r"(libpeerbar\S+) => (\S+)", needed).groups()
        self.tool = shutil.copy(self.tool, self.folder)
        os.chmod(shutil.copy(library, os.path.join(self.folder, name)), 0o555)
        self.prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "-u", "IBV_DRIVERS",
                       "LD_LIBRARY_PATH=" + self.folder]
        return self

    def __exit__(self, *_):
        if self.folder:
            shutil.rmtree(self.folder)

    def run(self, *args):
        return Run(self.tool, args, prefix=self.prefix, cwd="/")


def find_tool():
    """PEERBAR_TOOL, or the tool of the build directory that this file is in."""
    here = os.path.dirname(os.path.abspath(__file__))
    tool = os.environ.get("PEERBAR_TOOL", os.path.join(here, "..", "..", "userspace", "cli", "peerbar"))
    if not os.access(tool, os.X_OK):
        print("Bail out! there is no program %s: build it, or set PEERBAR_TOOL" % tool)
        sys.exit(1)
    return os.path.abspath(tool)


def show(text):
    for line in text.splitlines():
        print("# " + line)


def run_one(number, function):
    name = "%d - %s" % (number, function.__doc__.split("\n")[0].rstrip("."))
    try:
        function()
    except Skipped as why:
        print("ok %s # SKIP %s" % (name, why))
        return True
    except Failed as why:
        print("not ok " + name)
        show(str(why))
    except Exception:  # pylint: disable=broad-except
        print("not ok " + name)
        show(traceback.format_exc())
    else:
        print("ok " + name)
        return True
    return False


def main(args):
    """Runs the tests named, or all."""
    if args == ["--list"]:
        print("\n".join(function.__name__ for function in TESTS))
        return 0
    wanted = [f for f in TESTS if f.__name__ in args or not args]
    print("1..%d" % len(wanted))
    failed = 0
    for number, function in enumerate(wanted, 1):
        failed += not run_one(number, function)
        sys.stdout.flush()
    return 1 if failed else 0
