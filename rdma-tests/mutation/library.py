# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Mutations of libpeerbar: a copy of the tree, in which one place at a time is broken, and the unit tests run."""

import os
import shutil
import subprocess

UNIT_SECONDS = 120


def said_no(output):
    """What failed, in a few words."""
    failed = [l.partition(" - ")[2] for l in output.splitlines() if l.startswith("not ok")]
    return "not ok: " + ", ".join(failed[:3]) + (" ..." if len(failed) > 3 else "") if failed else ""


class Library:
    def __init__(self, top, folder):
        self.tree, self.build_dir = os.path.join(folder, "tree"), os.path.join(folder, "build")
        os.mkdir(self.tree)
        for name in ("userspace", "rdma-tests"):
            shutil.copytree(os.path.join(top, name), os.path.join(self.tree, name), symlinks=True)
        for name in ("meson.build", "meson_options.txt"):
            shutil.copy(os.path.join(top, name), self.tree)
        subprocess.run(["meson", "setup", self.build_dir, self.tree], check=True, stdout=subprocess.DEVNULL)

    def read(self, path):
        with open(os.path.join(self.tree, path), encoding="utf-8") as f:
            return f.read()

    def write(self, path, text):
        with open(os.path.join(self.tree, path), "w", encoding="utf-8") as f:
            f.write(text)

    def build(self, program):
        target = os.path.join("rdma-tests", "unit", program)
        return subprocess.run(["ninja", "-C", self.build_dir, target], stdout=subprocess.DEVNULL, check=False).returncode == 0

    def run(self, program):
        """(passed, how it ended in a few words); None where it cannot be built."""
        if not self.build(program):
            return None, "does not compile"
        cmd = [os.path.join(self.build_dir, "rdma-tests", "unit", program)]
        try:
            done = subprocess.run(
                cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", timeout=UNIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return False, "did not end in %d s" % UNIT_SECONDS
        if done.returncode == 0:
            return True, "passed"
        return False, said_no(done.stdout) or "status %d: %s" % (done.returncode, (done.stdout.splitlines() or [""])[-1])
