# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Builds the guest's initramfs, one static program, once per version of its source and of the compiler."""

import hashlib
import os
import subprocess
import tempfile

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "guest", "init.c")
FLAGS = ["-static", "-O2", "-Wall"]


def cpio_entry(ino, name, mode, data=b"", rdev=(0, 0)):
    """One entry of a newc archive, the format the kernel unpacks."""
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields)
    out = head + raw
    out += b"\0" * (-len(out) % 4)
    out += data
    return out + b"\0" * (-len(out) % 4)


def archive(init):
    return b"".join(
        [
            cpio_entry(1, "dev", 0o040755),
            cpio_entry(2, "dev/console", 0o020600, rdev=(5, 1)),
            cpio_entry(3, "init", 0o100755, init),
            cpio_entry(0, "TRAILER!!!", 0),
        ]
    )


def key():
    h = hashlib.sha256()
    with open(SOURCE, "rb") as f:
        h.update(f.read())
    h.update(subprocess.run(["gcc", "--version"], check=True, capture_output=True).stdout)
    h.update(repr(FLAGS).encode())
    return h.hexdigest()[:16]


def build(cache):
    """Path of the archive below the cache folder; built when it is not there yet."""
    folder = os.path.join(cache, "guest")
    target = os.path.join(folder, "initramfs-%s.cpio" % key())
    if os.path.exists(target):
        return target
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        program = os.path.join(tmp, "init")
        subprocess.run(["gcc", *FLAGS, "-o", program, SOURCE, "-lutil"], check=True)
        with open(program, "rb") as f:
            data = archive(f.read())
        part = os.path.join(tmp, "initramfs")
        with open(part, "wb") as f:
            f.write(data)
        os.rename(part, target)
    return target
