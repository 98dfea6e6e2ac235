# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs the test suites and counts. scripts/test has checked the arguments and built what it is told to run."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import accel
import schedule
import suites
import tap

SHOWN_SKIPS = 5
# Seconds that a part takes, until it has run here: by the end of its name.
GUESSES = {"-debug": 200, "pyverbs": 120, "kselftest": 150, "test-vm": 120, "": 60}


class Memory:
    """How long each part took the last time, kept in the cache."""

    def __init__(self, cache):
        self.path = os.path.join(cache, "test-seconds")
        try:
            with open(self.path, encoding="utf-8") as f:
                self.seconds = json.load(f)
        except (OSError, ValueError):
            self.seconds = {}

    def of(self, part):
        guess = next(s for end, s in GUESSES.items() if part.name.endswith(end))
        return self.seconds.get(part.name, guess)

    def keep(self, part, seconds):
        self.seconds[part.name] = round(seconds, 1)
        with open(self.path + ".part", "w", encoding="utf-8") as f:
            json.dump(self.seconds, f, indent=1, sort_keys=True)
        os.rename(self.path + ".part", self.path)


class Report:
    """Says what has come of each suite as soon as all of its parts have ended, and what is under way meanwhile."""

    def __init__(self, chosen, results, memory):
        self.suites = chosen
        self.results = results
        self.memory = memory
        self.outcomes = {}
        self.running = []
        self.seconds = {}
        self.total = tap.Tally()

    def started(self, part):
        self.running.append(part.name)
        self.show_running()

    def ended(self, part, tally, seconds, used):
        self.running.remove(part.name)
        self.memory.keep(part, seconds)
        self.outcomes[part] = tally, seconds, used
        for suite in self.suites:
            if part in suite.parts and all(p in self.outcomes for p in suite.parts):
                self.suite(suite)
        if sys.stdout.isatty():
            self.show_running()

    def show_running(self):
        text = "running: " + ", ".join(self.running) if self.running else ""
        if sys.stdout.isatty():
            print("\r\033[K" + text[: shutil.get_terminal_size().columns - 1], end="", flush=True)
        else:
            print(text, flush=True)

    def suite(self, suite):
        """One block, whatever else is running."""
        tally, seconds, used = tap.Tally(), 0, 0
        for part in suite.parts:
            tally.add(self.outcomes[part][0])
            seconds += self.outcomes[part][1]
            used += self.outcomes[part][2]
        if not tally.total():
            tally.fail("%s: no test ran" % suite.name)
        self.seconds[suite.name] = seconds, used
        self.total.add(tally)
        lines = ["%-13s %s (%.0f s)" % (suite.name, tally, seconds)]
        lines += ["  not ok: " + text for text in tally.failures]
        lines += self.skips(suite, tally)
        if sys.stdout.isatty():
            print("\r\033[K", end="")
        print("\n".join(lines), flush=True)

    def skips(self, suite, tally):
        """A few are shown with their reasons; a foreign suite may skip hundreds."""
        lines = ["  skipped: " + text for text in tally.skips[:SHOWN_SKIPS]]
        if len(tally.skips) > SHOWN_SKIPS:
            path = os.path.join(self.results, suite.name, "skipped")
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(tally.skips) + "\n")
            lines.append("  skipped: all %d, with reasons, are in %s" % (len(tally.skips), path))
        return lines

    def end(self, elapsed):
        """The seconds of each suite are the sum of its parts', several of which ran at once."""
        rows = sorted(self.seconds.items(), key=lambda row: row[1], reverse=True)
        rows += [("total", [sum(column) for column in zip(*self.seconds.values())])]
        path = os.path.join(self.results, "seconds")
        with open(path, "w", encoding="utf-8") as f:
            f.write("suite         seconds  of a processor\n")
            f.writelines("%-13s %7.0f %15.0f\n" % (name, *columns) for name, columns in rows)
            f.write("elapsed       %7.0f\n" % elapsed)
        if self.total.failed or self.total.failures:
            print("the logs are in " + self.results)
        print("%.0f s; the seconds of each suite are in %s" % (elapsed, path))
        print(self.total)


def guest_cores(cache):
    """How many processors of this machine a virtual host keeps busy: QEMU emulates all of its processors in one thread;
    with KVM each has its own."""
    answer = accel.cache_file(SimpleNamespace(cache=cache))
    if os.access("/dev/kvm", os.R_OK | os.W_OK) and not os.path.exists(answer):
        subprocess.run([suites.VM, "run", "--", "true"], stdin=subprocess.DEVNULL, check=False)  # it finds out
    try:
        with open(answer, encoding="ascii") as f:
            return min(2, schedule.processors()) if f.read() == "yes" else 1
    except FileNotFoundError:
        return 1


def parse():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--build", required=True)
    parser.add_argument("--results")
    parser.add_argument("--kernels", action="store_true", help="print the kernels that the chosen suites need")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--suite", action="append", default=[])
    return parser.parse_args()


def choose(args, cores):
    """The suites that are to run. One of which nothing was built has no part, which counts as a failure."""
    built = suites.built(args.build, cores)
    return [built.get(name, suites.Suite(name, [])) for name in suites.chosen(args.suite, args.quick)]


def run(args):
    cache = os.environ["PEERBAR_CACHE"]
    memory = Memory(cache)
    start = time.monotonic()
    chosen = choose(args, guest_cores(cache))
    report = Report(chosen, args.results, memory)
    shutil.rmtree(args.results, ignore_errors=True)
    for suite in chosen:
        os.makedirs(os.path.join(args.results, suite.name))
        for part in suite.parts:
            part.folder = os.path.join(args.results, suite.name)
        if not suite.parts:
            report.suite(suite)
    parts = schedule.in_order([p for s in chosen for p in s.parts], memory.of)
    room = schedule.Room(schedule.processors(), schedule.free_memory())
    schedule.run_all(parts, room, report.started, report.ended)
    report.end(time.monotonic() - start)
    return 1 if report.total.failed else 0


def main():
    args = parse()
    try:
        if not args.kernels:
            return run(args)
        needed = {k for suite in choose(args, 1) for k in suite.kernels}
    except suites.Broken as e:
        sys.exit("test: %s" % e)
    except BrokenPipeError:  # nobody reads on, and nothing is to be said about that at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    print("\n".join(k for k in ("test", "debug", "plain", "distribution") if k in needed))
    return 0


if __name__ == "__main__":
    for number in schedule.ENDING:
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # through every `finally`
    sys.exit(main())
