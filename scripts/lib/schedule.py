# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs the parts of test suites, as many at once as this machine has processors and memory for.

Each part runs in a process of its own, in a session of its own: a Ctrl-C reaches only us, and we end them.
"""

import multiprocessing
import os
import resource
import signal
import time
from multiprocessing import connection

import procs
import tap

FORK = multiprocessing.get_context("fork")
ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
CGROUP = "/sys/fs/cgroup"
MIB = 1 << 20


class Part:
    """What runs at a stretch: `run(folder)` returns a Tally and leaves its logs in the folder. Meanwhile it keeps so many
    processors busy and takes so many MiB of memory."""

    def __init__(self, name, run, cores=1, memory=256):
        self.name = name
        self.run = run
        self.cores = cores
        self.memory = memory
        self.folder = None


class Room:
    """What this machine has for parts, and which of them are there."""

    def __init__(self, cores, memory):
        self.cores = cores
        self.memory = memory
        self.parts = []

    def fits(self, part):
        """A part that takes more than there is has to have everything to itself."""
        parts = [part, *self.parts]
        return not self.parts or (
            sum(p.cores for p in parts) <= self.cores and sum(p.memory for p in parts) <= self.memory
        )


def read_words(path):
    try:
        with open(path, encoding="ascii") as f:
            return f.read().split()
    except OSError:
        return []


def own_cgroups():
    """The folders of our control group (version 2) and of those above it."""
    for entry in read_words("/proc/self/cgroup"):
        if entry.startswith("0::"):
            path = CGROUP + entry[len("0::") :].rstrip("/")
            while len(path) >= len(CGROUP):
                yield path
                path = os.path.dirname(path)


def processors():
    """Those that we may use; in a container with a quota, how many that makes."""
    found = len(os.sched_getaffinity(0))
    for group in own_cgroups():
        quota = read_words(group + "/cpu.max")
        if len(quota) == 2 and quota[0] != "max":
            found = min(found, max(1, int(quota[0]) // int(quota[1])))
    return found


def free_memory():
    """In MiB: what the machine has available, or our container up to its limit."""
    words = read_words("/proc/meminfo")
    free = int(words[words.index("MemAvailable:") + 1]) // 1024
    for group in own_cgroups():
        limit, used = read_words(group + "/memory.max"), read_words(group + "/memory.current")
        if limit and used and limit[0] != "max":
            free = min(free, (int(limit[0]) - int(used[0])) // MIB)
    return free


class Worker:
    """A part under way, in a process that is ours to end and does not outlive us."""

    def __init__(self, part):
        self.part = part
        self.start = time.monotonic()
        self.outcome, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self.work, args=(theirs, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()

    def work(self, outcome, parent):
        os.setsid()
        procs.die_with_parent(parent, signal.SIGTERM)  # which lets it end what it has started
        tally = self.part.run(self.part.folder)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome.send((tally, used.ru_utime + used.ru_stime))

    def result(self):
        """Waits for the end. (tally, seconds, seconds of a processor)"""
        try:
            tally, used = self.outcome.recv()
        except EOFError:
            tally, used = tap.Tally(), 0
            tally.fail("%s: what runs it ended without a result" % self.part.name)
        self.process.join()
        self.outcome.close()
        return tally, time.monotonic() - self.start, used


def stop(workers):
    """Nothing of them is left afterwards. Nobody interrupts this."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join()


def in_order(parts, seconds):
    """Those that need most of the machine first, the longest of them first: then little of it is idle at the end."""
    return sorted(parts, key=lambda p: (-p.cores, -seconds(p)))


def run_all(parts, room, started, ended):
    """Runs the parts in this order, but for those that have no room yet. Calls started(part), and ended(part, ...) with
    the worker's result."""
    waiting, running = list(parts), {}
    try:
        while waiting or running:
            for part in list(waiting):
                if room.fits(part):
                    waiting.remove(part)
                    room.parts.append(part)
                    worker = Worker(part)
                    running[worker.outcome] = worker
                    started(part)
            for outcome in connection.wait(list(running)):
                worker = running.pop(outcome)
                room.parts.remove(worker.part)
                ended(worker.part, *worker.result())
    finally:
        if running:
            stop(running.values())
