# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What the test suites consist of. rdma-tests/suites has their names.

Host suites are meson's (rdma-tests/unit, rdma-tests/cli, ...) and rdma-tests/scripts. Guest suites are made of the programs
that the build lists: guest-SUITE-NAME runs on one virtual host, guest2-SUITE-NAME on two.
"""

import glob
import json
import os
import re
import subprocess
from functools import partial

import machine
import tap
from schedule import Part

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = os.path.join(TOP, "scripts")
VM = os.path.join(SCRIPTS, "vm")
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
# Suites that run in the same boot, before this one ends it.
BEFORE = {"distribution": ("smoke", "memtype", "vfio", "rxe", "errors")}
# Where the usual two are not enough: an NVMe controller can sleep and has a disk, a GPU has buffers, memory may be large.
DEVICES = {
    "tool": ("memory", "register", "nvme"),
    "vfio": ("memory", "register", "nvme"),
    "rxe": ("memory", "register", "memory:1G", "gpu"),
    "distribution": ("memory", "register", "nvme", "memory:1G", "gpu"),
}
QUICK_SUITE, FAST = "smoke", "-fast"  # the same on the fast kernel, for --quick
GUEST_SECONDS = 2400
SLOWER = 3  # the debug kernel may take so much longer
SOAK_SECONDS = 48 * 3600
SCRIPT_SECONDS = 1200
DEMO_SECONDS = 600
KUNIT_SECONDS = 2400
MUTATION_SECONDS = 4 * 3600
ARM64_SECONDS = 3600
# MiB that a virtual host may take: its own memory, and what QEMU keeps of translated code.
GUEST_MEMORY, SLOW_GUEST_MEMORY = 1024 + 512, 2048 + 512


class Broken(Exception):
    """The build and the list of suites do not fit together."""


class Suite:
    """A name, the parts that it falls into, and the kernels that they need."""

    def __init__(self, name, parts, kernels=()):
        self.name = name
        self.parts = parts
        self.kernels = kernels


def listed():
    """{name: when it runs}, as rdma-tests/suites has them"""
    with open(os.path.join(TOP, "rdma-tests", "suites"), encoding="utf-8") as f:
        lines = [line.split(None, 2) for line in f if line.strip() and not line.startswith("#")]
    return {name: when for name, when, _ in lines}


def run_tap(name, cmd, seconds, build, folder):
    """Whatever prints TAP."""
    env = {**os.environ, "BUILD_DIR": build}
    return tap.run(name, cmd, os.path.join(folder, name + ".log"), seconds, env=env)


def program_part(path, seconds, build, **takes):
    name = os.path.basename(path)
    return Part(name, partial(run_tap, name, [os.path.join(TOP, path)], seconds, build), **takes)


# Host suites.


def introspect(build, what):
    out = subprocess.run(["meson", "introspect", what, build], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def run_meson(tests, build, folder):
    tally = tap.Tally()
    for test in tests:
        log = os.path.join(folder, re.sub(r"[^\w.-]", "_", test["name"]) + ".log")
        env = {**os.environ, **test["env"]}
        limit = (test["timeout"] or 30) * 4
        protocol = "tap" if test["protocol"] == "tap" else "exitcode"
        tally.add(tap.run(test["name"], test["cmd"], log, limit, protocol, env, test["workdir"] or build))
    return tally


def meson_suites(build):
    groups = {}
    for test in introspect(build, "--tests"):
        suite = (test["suite"] or ["other"])[0].rpartition(":")[2]
        groups.setdefault(suite, []).append(test)
    for name, tests in groups.items():
        yield Suite(name, [Part(name, partial(run_meson, tests, build))])


def script_suites(build):
    tests = sorted(glob.glob(os.path.join(TOP, "rdma-tests", "scripts", "test-*")))
    # test-vm has several virtual hosts at a time, which are small
    takes = {"test-vm": {"memory": 3 * GUEST_MEMORY}}
    parts = [program_part(t, SCRIPT_SECONDS, build, **takes.get(os.path.basename(t), {})) for t in tests]
    yield Suite("scripts", parts, ("test", "plain"))


# Guest suites.


def guest_folder(build):
    return os.path.join(build, "rdma-tests", "guest")


def run_guest(kernel, suite, two_hosts, build, folder):
    """All programs of a suite in one boot. The kernel log counts as one more test."""
    seconds = GUEST_SECONDS * (SLOWER if kernel == "debug" else 1)
    options = ["--two-hosts"] if two_hosts else []
    if suite in SOAK_SUITES:
        seconds = SOAK_SECONDS
        options += ["--timeout", str(seconds)]
    name = guest_part_name(suite, kernel, two_hosts)
    klog = os.path.join(folder, name + ".klog")
    log = os.path.join(folder, name + ".log")
    cmd = [VM, "run", "--kernel", kernel, "--timeout", str(seconds), "--log", klog]
    if two_hosts:
        cmd += ["--hosts", "2"]
    for device in DEVICES.get(suite, ()):
        cmd += ["--device", device]
    cmd += ["--", os.path.join(guest_folder(build), "run-suite"), *options, *BEFORE.get(suite, ()), suite]
    tally = tap.run(name, cmd, log, seconds + 300)
    with open(log, encoding="utf-8", errors="replace") as f:
        said = [l for l in f.read().splitlines() if l.startswith(("vm: ", "    "))]
    if said:
        tally.failures.append("%s: %s" % (name, "\n      ".join(said[:60])))
    return tally


def guest_part_name(suite, kernel, two_hosts):
    return "%s-%s" % (suite, kernel) + ("-two" if two_hosts else "")


def guest_memory(kernel, suite):
    devices = sum(machine.Device(d).size for d in DEVICES.get(suite, ())) >> 20
    return devices + (SLOW_GUEST_MEMORY if kernel == "debug" else GUEST_MEMORY)


def guest_programs(build):
    """{suite: {on two hosts?}}, of the programs that the build lists."""
    folder = guest_folder(build)
    with open(os.path.join(folder, "programs"), encoding="utf-8") as f:
        names = f.read().split()
    outputs = [path for target in introspect(build, "--targets") for path in target["filename"]]
    in_folder = [os.path.basename(path) for path in outputs if os.path.dirname(path) == folder]
    unlisted = {name for name in in_folder if re.match(r"guest2?-", name)} - set(names)
    if unlisted:
        raise Broken("built, but in no list of rdma-tests/guest/meson.build: " + ", ".join(sorted(unlisted)))
    groups = {}
    for name in names:
        host, suite, _ = name.split("-", 2)
        groups.setdefault(suite, set()).add(host == "guest2")
    return groups


def guest_suite(name, suite, kernels, hosts, build, guest_cores):
    """The one-host and the two-host programs of a suite, on each of the kernels."""
    parts = []
    for kernel in kernels:
        for two_hosts in sorted(hosts):
            run = partial(run_guest, kernel, suite, two_hosts, build)
            count = 1 + two_hosts
            takes = {"cores": count * guest_cores, "memory": count * guest_memory(kernel, suite)}
            parts.append(Part(guest_part_name(suite, kernel, two_hosts), run, **takes))
    return Suite(name, parts, kernels)


def guest_suites(build, guest_cores):
    for name, hosts in guest_programs(build).items():
        yield guest_suite(name, name, KERNELS.get(name, ("test",)), hosts, build, guest_cores)
        if name == QUICK_SUITE:
            yield guest_suite(name + FAST, name, ("test",), hosts, build, guest_cores)


# The main job, and what others wrote.


def run_demo(folder):
    """Its JSON says what it checked; here only how often and with what outcome."""
    counts = []
    last = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")
    status = tap.execute(
        [os.path.join(SCRIPTS, "demo")],
        os.path.join(folder, "demo.log"),
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


def run_external(name, program, options, folder):
    cmd = [os.path.join(TOP, "rdma-tests", "external", program), *options, "--keep", folder]
    return tap.run(name, cmd, os.path.join(folder, name + ".log"), GUEST_SECONDS)


def external_suites(build, guest_cores):
    """pyverbs is rdma-core's own tests, kselftest Linux's. Of each, none does worse with the series; and those that need
    the series pass: those of dma-buf MRs, given buffers without a GPU, and those that the series brings."""
    takes = {"cores": guest_cores, "memory": SLOW_GUEST_MEMORY}

    def part(name, program, *options):
        return Part(name, partial(run_external, name, program, options), **takes)

    two_hosts = {"cores": 2 * guest_cores, "memory": 2 * GUEST_MEMORY}
    yield Suite("demo", [Part("demo", run_demo, **two_hosts)], ("test",))
    compared = part("pyverbs", "pyverbs", "--compare")
    yield Suite("pyverbs", [compared, part("pyverbs-dmabufs", "pyverbs", "--dmabufs", build)], ("test", "plain"))
    yield Suite("apps", [program_part("rdma-tests/external/apps", GUEST_SECONDS, build, **two_hosts)], ("test",))
    yield Suite("owners", [program_part("rdma-tests/external/owners", GUEST_SECONDS, build, **takes)], ("test", "plain"))
    compared = part("kselftest", "kselftest", "--compare")
    yield Suite("kselftest", [compared, part("kselftest-series", "kselftest", "--series")], ("test", "plain"))


# What builds kernels of its own.


def kernel_suites(build):
    kunit = partial(run_tap, "kunit", [os.path.join(SCRIPTS, "kernel"), "kunit"], KUNIT_SECONDS, build)
    yield Suite("kunit", [Part("kunit", kunit)])
    yield Suite("mutation", [program_part("rdma-tests/mutation/mutate", MUTATION_SECONDS, build)], ("test",))
    yield Suite("arm64", [program_part("rdma-tests/arm64/run-arm64", ARM64_SECONDS, build)])


def built(build, guest_cores):
    """{name: Suite}. `guest_cores`: how many processors of this machine a virtual host keeps busy."""
    suites = [
        *meson_suites(build),
        *script_suites(build),
        *guest_suites(build, guest_cores),
        *external_suites(build, guest_cores),
        *kernel_suites(build),
    ]
    unlisted = [s.name for s in suites if s.name not in listed()]
    if unlisted:
        raise Broken("there is a suite that rdma-tests/suites does not have: " + ", ".join(unlisted))
    return {s.name: s for s in suites}


def chosen(names, quick):
    """The names of the suites that are to run, in the order of the list."""
    when = listed()
    if names:
        return [n for n in when if n in names]
    return [n for n in when if when[n] in (("always", "quick") if quick else ("always", "full"))]
