# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What became of a run: its exit status, what is wrong in the kernel logs, and why a command or a host ended."""

import re
import signal
import sys

import klog
from plan import log_file

TIMED_OUT = 124
BROKEN = 125
OUT_OF_MEMORY = re.compile(r"Out of memory: Killed process \d+ \((.*?)\)")
POWERED_OFF = re.compile(r"reboot: (?:Power down|Restarting system|System halted|machine restart)")
FATAL = re.compile(r"peerbar-init: FATAL: (.*)")


def say(text):
    print("vm: " + text, file=sys.stderr, flush=True)


def status(run):
    """What the commands themselves amount to."""
    if run.timed_out:
        say("ended after %g s: the timeout" % run.plan.timeout)
        return TIMED_OUT
    for guest in run.guests:
        if guest.status:
            return guest.status
    if any(g.status is None for g in run.guests):
        return BROKEN
    return 0


def processor_flags(text):
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(found.group(1).split()) if found else set()


def missing_features(guest_flags):
    """What this machine's processor can and the emulated one cannot."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        return sorted(processor_flags(f.read()) - processor_flags(guest_flags))


def explain_illegal(run, guest):
    if guest.processor is None or run.plan.use_kvm:
        return
    lacks = missing_features(guest.processor)
    say("host %d: the command died of SIGILL, an instruction that its processor does not have. That one is emulated, and "
        "lacks of what this machine's has: %s" % (guest.index, " ".join(lacks) or "nothing"))


def explain_killed(guest):
    killed = OUT_OF_MEMORY.findall(guest.log_text())
    if guest.status == 128 + signal.SIGKILL and killed:
        say("host %d ran out of memory (see --mem); its kernel killed %s" % (guest.index, ", ".join(killed)))


def explain_partner(guest, seconds):
    say("host %d's command was ended, %d s after the other host's had failed" % (guest.index, seconds))


def explain_gone(guest, qemu_said):
    """A host that went away before its command ended: say what is known."""
    log = guest.log_text()
    if POWERED_OFF.search(log) and not FATAL.search(log):
        say("host %d was powered off, or restarted, by its command" % guest.index)
        return
    parts = ["host %d went away before its command ended" % guest.index]
    if qemu_said:
        parts.append("QEMU said: %s" % qemu_said)
    tail = log.splitlines()[-15:]
    if tail:
        parts.append("the last it logged:\n" + "\n".join("    " + l for l in tail))
    say("; ".join(parts))


def explain(run, said):
    for guest, qemu_said in zip(run.guests, said):
        if guest.status is None and guest.state == "gone" and not guest.ended:
            explain_gone(guest, qemu_said)
        explain_illegal(run, guest)
        explain_killed(guest)


def keep_log(plan, guest):
    try:
        with open(log_file(plan, guest.index), "w", encoding="utf-8") as f:
            f.write(guest.log_text().replace("\r\n", "\n"))
        return True
    except OSError as e:
        say("cannot write the kernel log to %s: %s" % (plan.log, e.strerror))
        return False


def report_log(plan, guests):
    """Keep the logs if asked to, and say what in them must not be there. True when they are clean."""
    clean = True
    for guest in guests:
        if plan.log:
            clean = keep_log(plan, guest) and clean
        found = klog.scan(guest.log_text(), plan.expect_log)
        if found:
            clean = False
            say("host %d: %d finding(s) in the kernel log:\n%s" % (guest.index, len(found), klog.describe(found)))
    return clean
