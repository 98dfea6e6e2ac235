# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""How fast this machine's time stamp counter runs, which is that of a virtual host that QEMU emulates, too.

A guest finds out by itself, against an emulated timer. On a busy machine, where QEMU has to wait for a processor, it has
been seen to find a fifth of the truth: its clock then runs five times too fast, and whatever waits gives up too early.
"""

import ctypes
import mmap
import platform
import time

READ = bytes.fromhex("0f31 48c1e220 4809d0 c3")  # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
LONG_ENOUGH_NS = 50_000_000
TRIES = 50


class Counter:
    """The counter, with a moment of the past to compare with."""

    def __init__(self):
        self.page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.page.write(READ)
        self.read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(self.page)))
        self.first = self.sample()

    def sample(self):
        """(ns, ticks) at one moment: the best of some tries, since anything may come between two readings."""
        best = None
        for _ in range(TRIES):
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            ticks = self.read()
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
            if best is None or after - before < best[0]:
                best = after - before, (before + after) // 2, ticks
        return best[1:]

    def khz(self):
        while True:
            now = self.sample()
            passed = now[0] - self.first[0]
            if passed >= LONG_ENOUGH_NS:
                return round((now[1] - self.first[1]) * 1_000_000 / passed)
            time.sleep((LONG_ENOUGH_NS - passed) / 1e9)


counter = None
if platform.machine() == "x86_64":
    try:
        counter = Counter()  # here, so that time passes until somebody asks
    except OSError:  # this system lets nobody write instructions
        pass


def boot_parameter():
    """What tells a guest's kernel."""
    return "tsc_early_khz=%d" % counter.khz() if counter else ""
