# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs the test suites and counts. scripts/test has built what it is told to run.

Host suites are meson's (rdma-tests/unit, rdma-tests/cli, ...) and rdma-tests/scripts. Guest suites are found by the
names of the programs in the build folder: guest-SUITE-NAME runs on one virtual host, guest2-SUITE-NAME on two.
"""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import tap

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VM = os.path.join(TOP, "scripts", "vm")
KERNELS = {  # where it is not the test kernel; debug is several times slower
    "smoke": ("debug",),
    "vfio": ("test", "debug"),
    "memtype": ("test", "debug"),
    "rxe": ("test", "debug"),
    "plain": ("plain",),
    "faults": ("debug",),
    "soak": ("test", "debug"),
    "distribution": ("distribution",),
}
SOAK_SUITES = ("soak",)  # hours of it
NAMED_SUITES = {"soak": "for hours", "distribution": "Debian's own with the series as modules"}  # only when named
# Suites that run in the same boot, before this one ends it.
BEFORE = {"distribution": ("smoke", "memtype", "vfio", "rxe", "errors")}
# Where the usual two are not enough: an NVMe controller can sleep, a GPU has buffers, memory may be large.
DEVICES = {
    "vfio": ("memory", "register", "nvme"),
    "rxe": ("memory", "register", "memory:1G", "gpu"),
    "distribution": ("memory", "register", "nvme", "memory:1G", "gpu"),
}
QUICK_SUITE, FAST = "smoke", "-fast"  # the same on the fast kernel, for --quick
GUEST_SECONDS = 2400
SLOWER = 3  # the debug kernel may take so much longer
SOAK_SECONDS = 48 * 3600
DEMO_SECONDS = 600
KUNIT_SECONDS = 2400
MUTATION_SECONDS = 4 * 3600
ARM64_SECONDS = 3600
SHOWN_SKIPS = 5


class Suite:
    """A name, what it is, and how it runs: `run(results)` returns a Tally."""

    def __init__(self, name, what, run, kernels=(), quick=True, always=True):
        self.name = name
        self.what = what
        self.run = run
        self.kernels = kernels
        self.quick = quick
        self.always = always  # also when nobody names it


# Host suites.


def meson_tests(build):
    out = subprocess.run(["meson", "introspect", "--tests", build], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def run_meson(tests, build, results):
    tally = tap.Tally()
    for test in tests:
        log = os.path.join(results, re.sub(r"[^\w.-]", "_", test["name"]) + ".log")
        env = {**os.environ, **test["env"]}
        limit = (test["timeout"] or 30) * 4
        protocol = "tap" if test["protocol"] == "tap" else "exitcode"
        tally.add(tap.run(test["name"], test["cmd"], log, limit, protocol, env, test["workdir"] or build))
    return tally


def meson_suites(build):
    groups = {}
    for test in meson_tests(build):
        suite = (test["suite"] or ["other"])[0].rpartition(":")[2]
        groups.setdefault(suite, []).append(test)
    for name, tests in groups.items():
        yield Suite(name, "on this machine, %d programs" % len(tests), lambda r, t=tests: run_meson(t, build, r))


def run_scripts(tests, build, results):
    tally = tap.Tally()
    env = {**os.environ, "BUILD_DIR": build}
    for test in tests:
        name = os.path.basename(test)
        tally.add(tap.run(name, [test], os.path.join(results, name + ".log"), 1200, env=env))
    return tally


def script_suites(build):
    tests = sorted(glob.glob(os.path.join(TOP, "rdma-tests", "scripts", "test-*")))
    if tests:
        yield Suite("scripts", "the scripts themselves", lambda r: run_scripts(tests, build, r), ("test", "plain"))


# Guest suites.


def run_guest(kernel, suite, programs, options, results):
    """All programs of a suite in one boot. The kernel log counts as one more test."""
    seconds = GUEST_SECONDS * (SLOWER if kernel == "debug" else 1)
    if suite in SOAK_SUITES:
        seconds = SOAK_SECONDS
        options = [*options, "--timeout", str(seconds)]
    name = "%s-%s" % (suite, kernel) + ("-two" if "--two-hosts" in options else "")
    klog = os.path.join(results, name + ".klog")
    log = os.path.join(results, name + ".log")
    cmd = [VM, "run", "--kernel", kernel, "--timeout", str(seconds), "--log", klog]
    if "--two-hosts" in options:
        cmd += ["--hosts", "2"]
    for device in DEVICES.get(suite, ()):
        cmd += ["--device", device]
    cmd += ["--", os.path.join(os.path.dirname(programs[0]), "run-suite"), *options, *BEFORE.get(suite, ()), suite]
    tally = tap.run(name, cmd, log, seconds + 300)
    with open(log, encoding="utf-8", errors="replace") as f:
        said = [l for l in f.read().splitlines() if l.startswith(("vm: ", "    "))]
    if said:
        tally.failures.append("%s: %s" % (name, "\n      ".join(said[:60])))
    return tally


def guest_programs(build):
    """{(suite, two hosts): [program]}"""
    groups = {}
    for path in sorted(glob.glob(os.path.join(build, "rdma-tests", "guest", "guest*-*-*"))):
        match = re.fullmatch(r"guest(2?)-([a-z0-9]+)-[\w-]+", os.path.basename(path))
        if match and os.access(path, os.X_OK) and os.path.isfile(path):
            groups.setdefault((match.group(2), match.group(1) == "2"), []).append(path)
    return groups


def guest_suite(name, suite, kernels, parts, quick=False):
    """The one-host and the two-host programs of a suite, on each of the kernels."""

    def run(results):
        tally = tap.Tally()
        for kernel in kernels:
            for two, programs in parts:
                options = ["--two-hosts"] if two else []
                tally.add(run_guest(kernel, suite, programs, options, results))
        return tally

    what = "in a virtual host, %s kernel, %d programs" % (" and ".join(kernels), sum(len(p) for _, p in parts))
    always = suite not in NAMED_SUITES
    if not always:
        what += ", %s, only when named" % NAMED_SUITES[suite]
    return Suite(name, what, run, kernels, quick, always)


def guest_suites(build):
    suites = {}
    for (suite, two), programs in guest_programs(build).items():
        suites.setdefault(suite, []).append((two, programs))
    for name in sorted(suites, key=lambda n: (n != QUICK_SUITE, n)):
        parts = sorted(suites[name])
        yield guest_suite(name, name, KERNELS.get(name, ("test",)), parts)
        if name == QUICK_SUITE:
            yield guest_suite(name + FAST, name, ("test",), parts, quick=True)


# What others wrote, and the main job.


def run_program(path, build, seconds):
    name = os.path.basename(path)
    env = {**os.environ, "BUILD_DIR": build}
    return lambda results: tap.run(name, [os.path.join(TOP, path)], os.path.join(results, name + ".log"), seconds, env=env)


def run_external(name, program, options, results):
    cmd = [os.path.join(TOP, "rdma-tests", "external", program), *options, "--keep", results]
    return tap.run(name, cmd, os.path.join(results, name + ".log"), GUEST_SECONDS)


def run_pyverbs(build, results):
    """rdma-core's own tests: none does worse with the series; those of dma-buf MRs pass, given buffers without a GPU."""
    tally = run_external("pyverbs", "pyverbs", ["--compare"], results)
    tally.add(run_external("pyverbs-dmabufs", "pyverbs", ["--dmabufs", build], results))
    return tally


def run_kselftest(results):
    """Linux's own tests of what the series touches: none does worse with the series; those that it brings pass."""
    tally = run_external("kselftest", "kselftest", ["--compare"], results)
    tally.add(run_external("kselftest-series", "kselftest", ["--series"], results))
    return tally


def run_demo(results):
    """Its JSON says what it checked; here only how often and with what outcome."""
    counts = []
    last = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
    status = tap.execute(
        [os.path.join(TOP, "scripts", "demo")],
        os.path.join(results, "demo.log"),
        DEMO_SECONDS,
        lambda line: counts.extend(last.findall(line)),
    )
    tally = tap.Tally()
    if not counts:
        tally.fail("demo: no result line (status %s)" % status)
        return tally
    tally.passed, tally.failed, tally.skipped = map(int, counts[-1])
    if tally.failed:
        tally.failures.append("demo: %d of its checks failed" % tally.failed)
    elif status:
        tally.fail("demo: nothing failed, but the exit status is %s" % status)
    return tally


def demo_suites(build):
    if os.path.exists(os.path.join(build, "rdma-tests", "demo", "peerbar-demo")):
        yield Suite("demo", "the main job, two virtual hosts", run_demo, ("test",), quick=False)


def external_suites(build):
    what = "rdma-core's tests, with the series and without"
    yield Suite("pyverbs", what, lambda results: run_pyverbs(build, results), ("test", "plain"), quick=False)
    what = "perftest, libfabric, UCX and MPI, with the series"
    apps = run_program("rdma-tests/external/apps", build, GUEST_SECONDS)
    yield Suite("apps", what, apps, ("test",), quick=False)
    what = "DPDK on a NIC through vfio, NVMe over fabrics on soft-RoCE, with the series and without"
    owners = run_program("rdma-tests/external/owners", build, GUEST_SECONDS)
    yield Suite("owners", what, owners, ("test", "plain"), quick=False)
    what = "Linux's own tests, with the series and without"
    yield Suite("kselftest", what, run_kselftest, ("test", "plain"), quick=False)


# What builds kernels of its own.


def run_kunit(results):
    """The unit tests within the series. It builds a kernel of its own the first time."""
    cmd = [os.path.join(TOP, "scripts", "kernel"), "kunit"]
    return tap.run("kunit", cmd, os.path.join(results, "kunit.log"), KUNIT_SECONDS)


def kernel_suites(build):
    yield Suite("kunit", "the series' KUnit tests, in user mode Linux on this machine", run_kunit, quick=False)
    mutate = run_program("rdma-tests/mutation/mutate", build, MUTATION_SECONDS)
    what = "breaks the series line by line, which a guest test must notice; half an hour, only when named"
    yield Suite("mutation", what, mutate, ("test",), quick=False, always=False)
    arm64 = run_program("rdma-tests/arm64/run-arm64", build, ARM64_SECONDS)
    what = "memory types and revocation on an emulated arm64 machine; only when named"
    yield Suite("arm64", what, arm64, quick=False, always=False)


# All of it.


def all_suites(build):
    suites = []
    for source in (meson_suites, script_suites, guest_suites, demo_suites, external_suites, kernel_suites):
        suites += source(build)
    return suites


def choose(suites, args):
    known = [s.name for s in suites]
    unknown = [n for n in args.suite if n not in known]
    if unknown:
        sys.exit("test: no suite named %s; there is: %s" % (", ".join(unknown), ", ".join(known)))
    if args.suite:
        return [s for s in suites if s.name in args.suite]
    if args.quick:
        return [s for s in suites if s.quick]
    return [s for s in suites if (s.always or args.list) and not s.name.endswith(FAST)]


def run_suite(suite, results):
    folder = os.path.join(results, suite.name)
    os.makedirs(folder, exist_ok=True)
    start = time.monotonic()
    print("%-12s ..." % suite.name, end="\r" if sys.stdout.isatty() else "\n", flush=True)
    tally = suite.run(folder)
    if not tally.total():
        tally.fail("%s: no test ran" % suite.name)
    print("%-12s %s (%.0f s)" % (suite.name, tally, time.monotonic() - start), flush=True)
    for text in tally.failures:
        print("  not ok: " + text, flush=True)
    report_skips(tally, folder)
    return tally


def report_skips(tally, folder):
    """A few are shown with their reasons; a foreign suite may skip hundreds."""
    for text in tally.skips[:SHOWN_SKIPS]:
        print("  skipped: " + text, flush=True)
    if len(tally.skips) > SHOWN_SKIPS:
        path = os.path.join(folder, "skipped")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(tally.skips) + "\n")
        print("  skipped: all %d, with reasons, are in %s" % (len(tally.skips), path), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="scripts/test")
    parser.add_argument("--build", required=True)
    parser.add_argument("--results")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--kernels", action="store_true", help="print the kernels that the chosen suites need")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--suite", action="append", default=[])
    args = parser.parse_args()
    suites = choose(all_suites(args.build), args)
    if args.list:
        for suite in suites:
            print("%-12s %s" % (suite.name, suite.what))
        return 0
    if args.kernels:
        print("\n".join(k for k in ("test", "debug", "plain", "distribution") if any(k in s.kernels for s in suites)))
        return 0
    shutil.rmtree(args.results, ignore_errors=True)
    total = tap.Tally()
    for suite in suites:
        total.add(run_suite(suite, args.results))
    if not total.total():
        total.fail("no test ran at all")
    if total.failed or total.failures:
        print("the logs are in " + args.results)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))  # through every `finally`
    sys.exit(main())
