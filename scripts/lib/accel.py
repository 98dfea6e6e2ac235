# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""KVM or TCG: /dev/kvm being there proves nothing, a guest that has booted does."""

import hashlib
import os
import subprocess

import machine
import procs

PROBE_SECONDS = 10


def cache_file(plan):
    """One answer per boot of this machine, per user and per QEMU."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        boot = f.read().strip()
    what = subprocess.run([machine.QEMU, "--version"], check=True, capture_output=True).stdout
    key = hashlib.sha256(boot.encode() + what).hexdigest()[:16]
    return os.path.join(plan.cache, "guest", "kvm-%s" % key)


def probe(plan):
    """Boot the kernel to its first user-space program, which finds no root and says so."""
    cmd = machine.base_command(True, plan.image, plan.initramfs, 2, 512 << 20)
    cmd += ["-append", "console=ttyS0 panic=-1 quiet", "-serial", "stdio"]
    vm = procs.spawn(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        out, _ = vm.communicate(timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        procs.kill(vm)
        return False
    return b"peerbar-init:" in out


def usable(plan):
    if not plan.allow_kvm or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    path = cache_file(plan)
    try:
        with open(path, encoding="ascii") as f:
            return f.read() == "yes"
    except FileNotFoundError:
        pass
    answer = probe(plan)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = "%s.%d" % (path, os.getpid())
    with open(part, "w", encoding="ascii") as f:
        f.write("yes" if answer else "no")
    os.rename(part, path)
    return answer
