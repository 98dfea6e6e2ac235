# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs benchmark programs in virtual hosts and reports. scripts/bench has built what they need.

A program bench-SUITE-NAME prints a line of JSON per series of samples; what is made of these is in bench_judge.py.
"""

import argparse
import datetime
import glob
import json
import os
import platform
import shutil
import signal
import sys
import tempfile

import bench_judge
import tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VM = os.path.join(TOP, "scripts", "vm")
FORMAT = 1
BOOT_SECONDS = 3600
SHOWN_LINES = 30
QUICK_WARNING = ", by too few samples to tell"
# In the guest: one program after the other, and the first failure ends it.
RUN_ALL = 'set -e; rounds=$1; shift; for program; do "$program" "$rounds"; done'


class Failure(Exception):
    """A benchmark did not do what it was to do."""


class Suite:
    """Programs, and the boots in which they run: one kernel, or two that take turns."""

    def __init__(self, name, what, rounds, devices, kernels=("test",), boots=1, on_host=(), clock=None):
        self.name = name
        self.what = what
        self.rounds = rounds
        self.devices = devices
        self.kernels = kernels
        self.boots = boots
        self.on_host = on_host  # programs that run on this machine as well
        self.clock = clock  # the only one that makes sense


SUITES = [
    Suite("rxe", "regions over a BAR, a heap's buffer and host memory", 15, ("memory:1G",)),
    Suite("host", "regions over host memory, on the kernel without the series and the one with it", 5, ("memory",),
          kernels=("plain", "test"), boots=6),
    Suite("vfio", "mapping, touching and revoking slices", 15, ("memory", "register")),
    Suite("copy", "copies into a mapping, and doorbells", 15, ("memory",), on_host=("bench-copy-doorbell",),
          clock="time"),
]
QUICK_ROUNDS, QUICK_BOOTS = 2, 1
# With a clock that counts instructions samples hardly differ; of time, on an emulated processor, it takes many.
CLOCKS = {"instructions": (["--icount"], 1), "time": (["--cpus", "1"], 4)}


def say(text):
    print("bench: " + text, file=sys.stderr, flush=True)


# Running.


class Reader:
    """Takes the lines of a benchmark program."""

    def __init__(self, suite, series, machines):
        self.suite = suite
        self.series = series
        self.machines = machines
        self.told = None

    def tell(self, line):
        """What is being measured; once for all its sides."""
        point = "%s: %s, %s, %d" % (self.suite, line["figure"], line["operation"], line["size"])
        if point != self.told:
            say(point)
        self.told = point

    def line(self, text):
        if not text.startswith("{"):
            return
        try:
            line = json.loads(text)
            if "machine" in line:
                self.machines[line["machine"]["kernel"]] = line["machine"]["cpu"]
            else:
                self.series.add(self.suite, line)
                self.tell(line)
        except (ValueError, KeyError) as e:
            raise Failure("%s: cannot read what a benchmark printed: %s: %s" % (self.suite, e, text)) from e


def programs_of(suite, build):
    pattern = os.path.join(build, "rdma-tests", "bench", "bench-%s-*" % suite.name)
    found = [p for p in sorted(glob.glob(pattern)) if os.path.isfile(p) and os.access(p, os.X_OK)]
    if not found:
        raise Failure("no program %s: was user space built with libibverbs?" % pattern)
    return found


def execute(cmd, reader, log):
    status = tap.execute(cmd, log, BOOT_SECONDS, reader.line)
    if status:
        with open(log, encoding="utf-8", errors="replace") as f:
            said = [line for line in f.read().splitlines() if not line.startswith("{")]
        raise Failure("%s failed (%s):\n%s" % (" ".join(cmd), status, "\n".join(said[-SHOWN_LINES:])))


def boot(suite, kernel, options, programs, rounds, reader, log):
    cmd = [VM, "run", "--kernel", kernel, *options]
    for device in suite.devices:
        cmd += ["--device", device]
    execute([*cmd, "--", "sh", "-c", RUN_ALL, "sh", str(rounds), *programs], reader, log)


def run_suite(suite, args, series, machines, scratch):
    programs = programs_of(suite, args.build)
    options, more = CLOCKS[suite.clock or args.clock]
    rounds = QUICK_ROUNDS if args.quick else suite.rounds * more
    boots = QUICK_BOOTS if args.quick else suite.boots
    reader = Reader(suite.name, series, machines)
    log = os.path.join(scratch, "log")
    for program in programs:
        if os.path.basename(program) in suite.on_host:
            execute([program, str(rounds)], reader, log)
    for turn in range(boots):
        # every other turn goes backwards, as the rounds of a program do
        for kernel in suite.kernels[:: -1 if turn % 2 else 1]:
            say("%s: %s kernel, boot %d of %d" % (suite.name, kernel, turn + 1, boots))
            boot(suite, kernel, options, programs, rounds, reader, log)


def measure(args):
    """Everything that will be in results.json."""
    series, machines = bench_judge.Series(), {}
    os.makedirs(args.output, exist_ok=True)  # or it would fail when all is done
    with tempfile.TemporaryDirectory(prefix=".log-", dir=args.output) as scratch:
        for suite in chosen(args):
            run_suite(suite, args, series, machines, scratch)
    return {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "quick": args.quick,
        "clock": args.clock,
        "machine": {"cpu": host_cpu(), "kernel": platform.release(), "load": os.getloadavg()},
        "guests": machines,
        "samples": series.dump(),
    }


def host_cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def measured_before(path):
    try:
        with open(path, encoding="utf-8") as f:
            document = json.load(f)
    except (OSError, ValueError) as e:
        raise Failure("cannot read %s: %s" % (path, e)) from e
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Failure("%s is not a results.json of this version of scripts/bench" % path)
    return document


# Reporting.


def point_name(result):
    if result["figure"] == "revoke":
        return "%s, %d" % (result["operation"], result["size"])
    return "%s, %s" % (result["operation"], bench_judge.size_name(result["size"]))


def table(document):
    name = bench_judge.number_name
    lines, heading = ["ratio, its interval of 95 % confidence, and what is asked"], None
    for r in document["results"]:
        if (r["suite"], r["what"]) != heading:
            heading = (r["suite"], r["what"])
            lines += ["", "%s: %s" % heading]
        ratio = r["ratio"]
        spread = "%s .. %s" % (name(ratio["low"]), name(ratio["high"]))
        asked = "%s: %s" % (r["asked"], r["verdict"]) if r["asked"] else ""
        what = "%s to %s" % (r["side"], r["baseline"])
        lines.append(("  %-30s %-28s %9s  %-19s  %s" % (point_name(r), what, name(ratio["median"]), spread, asked)).rstrip())
    if document["fits"]:
        lines += ["", "vfio: time of a revoke, over how many have the buffer"]
    for fit in document["fits"]:
        numbers = (name(fit["intercept"] / 1e3), name(fit["slope"] / 1e3), fit["r_squared"])
        lines.append("  %-30s %s us + %s us each, R^2 %.3f" % (fit["operation"], *numbers))
    return "\n".join(lines) + "\n"


def write_results(document, folder):
    """All of it or nothing: what is there from an earlier run stays until then."""
    import bench_plot  # takes a second to load, and a package that --list can do without

    folder = os.path.realpath(folder)
    os.makedirs(folder, exist_ok=True)
    part = tempfile.mkdtemp(prefix=".part-", dir=folder)
    try:
        with open(os.path.join(part, "results.json"), "w", encoding="utf-8") as f:
            json.dump(document, f, indent=1)
            f.write("\n")
        with open(os.path.join(part, "table.txt"), "w", encoding="utf-8") as f:
            f.write(table(document))
        bench_plot.plot(document, part, point_name)
        for name in os.listdir(part):
            os.replace(os.path.join(part, name), os.path.join(folder, name))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def report(document, folder):
    series = bench_judge.Series()
    try:
        series.load(document["samples"])
    except (KeyError, TypeError) as e:
        raise Failure("the samples are not complete: %r" % e) from e
    document["results"] = bench_judge.judge(series)
    document["fits"] = bench_judge.lines_through(series, "revoke")
    if not document["results"]:
        raise Failure("there is nothing to compare")
    write_results(document, folder)
    sys.stdout.write(table(document))
    missed = [r for r in document["results"] if r["verdict"] == "missed"]
    met = sum(r["verdict"] == "met" for r in document["results"])
    unclear = sum(r["verdict"] == "unclear" for r in document["results"])
    print("\nresults, samples and plots are in %s" % folder)
    print("%d met, %d missed, %d unclear%s" % (met, len(missed), unclear, QUICK_WARNING if document["quick"] else ""))
    return 1 if missed and not document["quick"] else 0


# The command.


def chosen(args):
    known = [s.name for s in SUITES]
    unknown = [n for n in args.suite if n not in known]
    if unknown:
        raise Failure("no suite named %s; there is: %s" % (", ".join(unknown), ", ".join(known)))
    return [s for s in SUITES if not args.suite or s.name in args.suite]


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--clock", choices=CLOCKS, default="instructions")
    parser.add_argument("--output", default=os.path.join(os.environ["PEERBAR_CACHE"], "bench-results"))
    parser.add_argument("--from", dest="source")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--kernels", action="store_true", help="print the kernels that the chosen suites need")
    parser.add_argument("--build")
    return parser.parse_args()


def run(args):
    if args.list:
        for suite in SUITES:
            print("%-6s %s" % (suite.name, suite.what))
        return 0
    if args.kernels:
        print("\n".join(sorted({kernel for suite in chosen(args) for kernel in suite.kernels})))
        return 0
    return report(measured_before(args.source) if args.source else measure(args), args.output)


def main():
    try:
        return run(parse())
    except (Failure, OSError) as e:
        say(str(e))
        return 1


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # through every `finally`
    sys.exit(main())
