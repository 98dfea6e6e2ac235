#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""DPDK's testpmd in a virtual host, as the owner of two NICs on one wire: it takes them through vfio, forwards packets
from the one to the other, which come back, and gives them up again; then the kernel's own driver takes one.

Usage: testpmd.py PROGRAM    (in a guest with --device nic --device nic)

Prints `ok - ` and `not ok - ` lines.
"""

import os
import re
import select
import subprocess
import sys
import time

from points import Points, put

PROMPT = b"testpmd> "
PACKETS = 20_000
HUGE_PAGES = 96
STEP_SECONDS = 60
points = Points()


class Testpmd:
    def __init__(self, program, nics):
        # line by line, or its answers come later than its echo
        cmd = ["stdbuf", "-oL", program, "-l", "0,1", "--no-telemetry"]
        for nic in nics:
            cmd += ["-a", nic]
        cmd += ["--", "-i", "--total-num-mbufs=4096", "--forward-mode=io"]
        self.child = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pending = b""
        self.asked = 0

    def until(self, mark):
        """What it says up to this mark; raises TimeoutError or EOFError."""
        end = time.monotonic() + STEP_SECONDS
        while mark not in self.pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
                raise TimeoutError(self.pending.decode(errors="replace"))
            data = os.read(self.child.stdout.fileno(), 1 << 16)
            if not data:
                raise EOFError(self.pending.decode(errors="replace"))
            self.pending += data
        said, _, self.pending = self.pending.partition(mark)
        return said.decode(errors="replace")

    def ask(self, command):
        """Its answer. It shows prompts when it likes, but what it reads it echoes in its turn."""
        self.asked += 1
        mark = "end-of-answer-%d" % self.asked
        self.child.stdin.write(("%s\n%s\n" % (command, mark)).encode())
        self.child.stdin.flush()
        return self.until(mark.encode())

    def quit(self):
        said, _ = self.child.communicate(b"quit\n", timeout=STEP_SECONDS)
        return (self.pending + said).decode(errors="replace")


def received(stats):
    return [int(n) for n in re.findall(r"RX-packets: (\d+)", stats)]


def links(pmd, ports):
    """Once every link is up, or the time is over."""
    end = time.monotonic() + STEP_SECONDS
    while True:
        said = "".join(pmd.ask("show port info %d" % p) for p in range(ports))
        if said.count("Link status: up") == ports or time.monotonic() > end:
            return said


def traffic(pmd):
    """Once each port has received enough, or the time is over."""
    end = time.monotonic() + STEP_SECONDS
    while True:
        said = pmd.ask("show port stats all")
        if min(received(said), default=0) >= PACKETS or time.monotonic() > end:
            return said


def forward(program, nics):
    pmd = Testpmd(program, nics)
    said = pmd.until(PROMPT)
    points.check("Using IOMMU type 1" in said and said.count("Probe PCI driver: net_e1000_em") == len(nics),
                 "testpmd takes both NICs, through vfio and the IOMMU", said)
    said = links(pmd, len(nics))
    points.check(said.count("Link status: up") == len(nics), "both links are up", said)
    pmd.ask("start tx_first 32")
    said = traffic(pmd)
    points.check(min(received(said)) >= PACKETS, "each port receives what the other one sends", said)
    errors = re.findall(r"[RT]X-errors: *(\d+)", said)
    points.check(errors == ["0"] * 2 * len(nics), "without errors", said)
    said = pmd.ask("stop") + pmd.quit()
    points.check(pmd.child.returncode == 0 and said.count("is closed") == len(nics) and "Bye..." in said,
                 "it stops, closes its ports and ends (status %s)" % pmd.child.returncode, said)


def give_back(nic):
    """To the kernel's driver, which finds a NIC that works."""
    device = "/sys/bus/pci/devices/" + nic
    put(device + "/driver/unbind", nic)
    put(device + "/driver_override", "e1000e")
    put("/sys/bus/pci/drivers_probe", nic)
    driver = os.path.basename(os.path.realpath(device + "/driver"))
    points.check(driver == "e1000e" and os.listdir(device + "/net"), "the kernel's own driver takes a NIC afterwards", driver)


def main():
    nics = os.environ["PEERBAR_NICDEVS"].split()
    put("/proc/sys/vm/nr_hugepages", str(HUGE_PAGES))
    try:
        forward(sys.argv[1], nics)
    except (TimeoutError, EOFError) as e:
        points.check(False, "testpmd answers", "%s: %s" % (type(e).__name__, e))
    else:
        give_back(nics[0])
    return 1 if points.failed else 0


if __name__ == "__main__":
    sys.exit(main())
