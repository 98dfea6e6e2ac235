# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Run Linux's own tests in the guest and print their results as one TAP stream.

usage: kselftest_tap.py FOLDER IMAGE [--repeat N] [NAME]...

FOLDER is what `scripts/kernel selftests` prints, IMAGE the folder of the kernel that runs. With NAMEs only the programs
whose name contains one of them are run, with --repeat each of them N times.

Results are named COLLECTION/PROGRAM[@DEVICE]:CASE. The case "ends" is the program itself: it reported all it had
announced and was not killed. For programs that only have an exit status, that is the one result.
"""

import os
import re
import subprocess
import sys
import tempfile

PROGRAM_SECONDS = 600
SKIPPED = 4  # the exit status
HUGE_PAGES = 64
# The library of the vfio tests cannot cope with the BAR of the memory device, which is smaller than a page.
DEVICES = {"vfio": (("register", "PEERBAR_REGDEV"), ("nvme", "PEERBAR_NVMEDEV"))}
RESULT = re.compile(r"(not )?ok \d+ ?(?:- )?(.*?)\s*(?:# *(SKIP|XFAIL)\b *(.*))?$")
PLAN = re.compile(r"1\.\.(\d+)(?: *# *SKIP *(.*))?$")
# Numbers of descriptors and errnos, which differ from run to run, are no part of a name.
NUMBER = re.compile(r"(?<![\w.])-?\d+\b")

STAND_IN = """#!/bin/sh
# For modprobe and modinfo: this kernel has no modules, and everything that the tests want is in it.
while [ $# -gt 1 ]; do
	[ "$1" != -r ] || exit 0
	shift
done
name=$(echo "$1" | sed 's/[-_]/[-_]/g')
grep -q "/$name\\.ko$" {list}
"""


class Tap:
    """Our own stream. A name that comes twice gets a number, so that runs can be compared."""

    def __init__(self):
        self.count = 0
        self.failed = 0
        self.seen = {}
        print("TAP version 13", flush=True)

    def result(self, ok, name, skip=None, details=()):
        name = re.sub(r"[\s#]+", "_", name.strip()) or "unnamed"
        self.seen[name] = self.seen.get(name, 0) + 1
        if self.seen[name] > 1:
            name += "(%d)" % self.seen[name]
        self.count += 1
        self.failed += not ok
        directive = "" if skip is None else " # SKIP " + " ".join(skip.split())
        print("%sok %d - %s%s" % ("" if ok else "not ", self.count, name, directive))
        for line in details:
            print("#   " + line)
        sys.stdout.flush()

    def next_round(self):
        self.seen = {}

    def finish(self):
        print("1..%d" % self.count, flush=True)
        return 1 if self.failed or not self.count else 0


def run(cmd, folder, env):
    """The output, and the exit status or what else ended it."""
    child = subprocess.Popen(
        cmd, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=PROGRAM_SECONDS)
        status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        output, _ = child.communicate()
        status = "nothing after %d s" % PROGRAM_SECONDS
    return output.splitlines(), status


def report(tap, name, lines, status):
    """Pass on the results among the lines of a program, and judge how it ended."""
    planned, points, said = None, 0, []
    for line in lines:
        result, plan = RESULT.match(line), PLAN.match(line)
        if result:
            failed, case, directive, reason = result.groups()
            points += 1
            known = failed if directive != "XFAIL" else None
            skip = (reason or "") if directive == "SKIP" else None
            tap.result(not known, "%s:%s" % (name, NUMBER.sub("N", case)), skip, said if known else ())
            said = []
        elif plan:
            planned = int(plan.group(1))
        else:
            said.append(line)
    if status == SKIPPED and not points:
        reason = " ".join(lines[-1:])
        tap.result(True, name + ":ends", re.sub(r"^(1\.\.0 *# *)?SKIP:? *", "", reason))
    elif planned is None and not points:
        tap.result(status == 0, name + ":ends", None, [*said[-20:], "exit status %s" % status])
    else:
        complete = points == planned and isinstance(status, int) and status >= 0
        tap.result(complete, name + ":ends", None,
                   () if complete else [*said[-20:], "%d of %s results, exit status %s" % (points, planned, status)])


def programs(folder):
    """(collection, program, label, arguments) in the order of the list, rdma last: it takes rxe0 away."""
    with open(os.path.join(folder, "kselftest-list.txt"), encoding="ascii") as f:
        entries = [line.strip().split(":") for line in f if line.strip()]
    for collection, program in sorted(entries, key=lambda e: e[0] == "rdma"):
        for label, variable in DEVICES.get(collection, (("", ""),)):
            name = "%s/%s%s" % (collection, program, "@" + label if label else "")
            yield collection, program, name, [os.environ[variable]] if variable else []


def prepare(image, bin_folder):
    """What the tests expect of a machine: huge pages, and tools that answer for modules."""
    with open("/proc/sys/vm/nr_hugepages", "w", encoding="ascii") as f:
        f.write("%d" % HUGE_PAGES)
    for tool in ("modprobe", "modinfo"):
        path = os.path.join(bin_folder, tool)
        with open(path, "w", encoding="ascii") as f:
            f.write(STAND_IN.replace("{list}", os.path.join(image, "modules.builtin")))
        os.chmod(path, 0o755)
    return {**os.environ, "PATH": bin_folder + ":" + os.environ["PATH"]}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, image, names, times = sys.argv[1], sys.argv[2], sys.argv[3:], 1
    if names[:1] == ["--repeat"]:
        times, names = int(names[1]), names[2:]
    tap = Tap()
    with tempfile.TemporaryDirectory() as bin_folder:
        env = prepare(image, bin_folder)
        for _ in range(times):
            tap.next_round()
            for collection, program, name, arguments in programs(folder):
                if names and not any(n in name for n in names):
                    continue
                if collection == "rdma":  # they make a device of this name, and want to be alone
                    subprocess.run(["rdma", "link", "delete", "rxe0"], stderr=subprocess.DEVNULL, check=False)
                place = os.path.join(folder, collection)
                lines, status = run([os.path.join(place, program), *arguments], place, env)
                report(tap, name, lines, status)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
