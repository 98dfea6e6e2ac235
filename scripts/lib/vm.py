# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs a command in one virtual host, or in each of two, and hands back its output and exit status.

There is no temporary file: control port, kernel log and the wire between hosts are socket pairs, and QEMU dies with
this process. scripts/vm has made sure that the packages, the kernel and the provider are there.
"""

import argparse
import fcntl
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty

import accel
import initramfs
import klog
import machine
import procs
from guest import Guest

HERE = os.path.dirname(os.path.abspath(__file__))
TIMED_OUT = 124
BROKEN = 125
BOOT_SECONDS = 240  # a debug kernel under TCG on a busy machine
PARTNER_SECONDS = 20  # how long a host may go on after the other one has failed
STOP_SECONDS = 60
INPUT_CHUNK = 32768
SCRATCH = ("/tmp", "/var/tmp", "/run", "/dev/shm")
NOT_PASSED = ("PEERBAR_CACHE", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "SSH_AUTH_SOCK", "OLDPWD", "_")


class Failure(Exception):
    """Not the command's doing: the virtual host itself did not work."""


class Ended(Exception):
    """A signal asks us to stop."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


def say(text):
    print("vm: " + text, file=sys.stderr, flush=True)


# What is to be run.


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="scripts/vm",
        description="Run a command in virtual hosts that see this machine's root read-only, with soft-RoCE as rxe0, "
        "PCI devices on vfio-pci and PEERBAR_* variables that name them.",
        epilog="Exit status: the command's own (128+N when signal N killed it; with two hosts the first host's that is "
        "not 0); 124 at the timeout; 125 when the virtual host failed or its kernel log holds something that must not be "
        "there; 126 and 127 when the command cannot be run or found.",
    )
    parser.add_argument("action", choices=["run", "shell"])
    parser.add_argument("--hosts", type=int, choices=[1, 2], default=1)
    parser.add_argument("--kernel", choices=["test", "debug", "plain", "distribution"], default="test")
    parser.add_argument("--image", metavar="FILE", help="boot this bzImage instead of one that scripts/kernel has built")
    parser.add_argument("--device", action="append", metavar="SPEC", help="memory[:SIZE], register, nvme[:SIZE] or gpu; "
                        "may be repeated, and replaces the default of one memory and one register device per host")
    parser.add_argument("--timeout", type=float, metavar="S", help="end the command after S seconds, with status 124")
    parser.add_argument("--cpus", type=int, metavar="N", help="processors of each host (two, or one where two hosts "
                        "would have more than this machine)")
    parser.add_argument("--mem", default=None, metavar="SIZE", help="memory of each host, such as 1G")
    parser.add_argument("--rw", metavar="DIR", help="share DIR with the hosts, writable, as PEERBAR_SHARE")
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]", help="set a variable for the command")
    parser.add_argument("--no-provider", action="store_true", help="leave the distribution's rxe provider in place")
    parser.add_argument("--expect-log", action="append", default=[], metavar="REGEX", help="tolerate this in the kernel log")
    parser.add_argument("--log", metavar="FILE", help="keep the kernel log here (FILE.1 for the second host)")
    parser.add_argument("--append", default="", metavar="ARGS", help="more words for the kernel command line")
    parser.add_argument("--icount", action="store_true", help="one processor, emulated, whose clock counts instructions: "
                        "one takes a nanosecond, however busy this machine is")
    parser.add_argument("--no-kvm", dest="allow_kvm", action="store_false", help="use TCG even where KVM works")
    if "--" in argv:
        cut = argv.index("--")
        argv, command = argv[:cut], argv[cut + 1 :]
    else:
        command = []
    plan = parser.parse_args(argv)
    plan.command = command
    if plan.action == "run" and not command:
        parser.error("what shall it run? scripts/vm run [OPTION]... -- COMMAND [ARGUMENT]...")
    if plan.action == "shell":
        plan.hosts = 1
        plan.command = command or [os.environ.get("SHELL", "/bin/bash"), "-i"]
    if plan.icount:
        plan.allow_kvm, plan.cpus = False, 1
    elif plan.cpus is None:
        # virtual processors that wait for a real one make every interrupt between them slow
        plan.cpus = max(1, min(2, len(os.sched_getaffinity(0)) // plan.hosts))
    if plan.cpus < 1 or (plan.timeout is not None and plan.timeout <= 0):
        parser.error("--cpus and --timeout take a number above zero")
    complete(plan, parser)
    return plan


def complete(plan, parser):
    """Check the values and fill in what follows from them."""
    try:
        plan.memory = machine.parse_size(plan.mem or ("2G" if plan.kernel == "debug" else "1G"))
        plan.devices = [machine.Device(d) for d in (plan.device or ["memory", "register"])]
    except machine.BadOption as e:
        parser.error(str(e))
    if plan.memory < 256 << 20:
        parser.error("--mem: a host needs 256M or more")
    plan.share = None
    if plan.rw is not None:
        plan.share = os.path.realpath(plan.rw)
        if not os.path.isdir(plan.share) or not os.access(plan.share, os.W_OK):
            parser.error("--rw %s: not a folder that you can write to" % plan.rw)
    plan.cache = os.environ["PEERBAR_CACHE"]
    plan.checkout = os.path.dirname(os.path.dirname(HERE))


def tool(cmd):
    """Run one of our own programs; its last line of output is the answer."""
    child = procs.spawn(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        out, _ = child.communicate()
    except Ended:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait()
        raise
    if child.returncode:
        raise Failure("%s failed (status %d)" % (" ".join(cmd), child.returncode))
    return out.strip().rpartition("\n")[2]


def prepare(plan):
    plan.modules = None
    if plan.image is None:
        folder = tool([plan.checkout + "/scripts/kernel", "build", plan.kernel])
        plan.image = os.path.join(folder, "bzImage")
        if plan.kernel == "distribution":
            plan.modules = os.path.join(folder, "modules")
    if not os.path.isfile(plan.image):
        raise Failure("no kernel image %s" % plan.image)
    plan.provider = None
    if not plan.no_provider:
        plan.provider = tool([plan.checkout + "/userspace/rdma-core/build-provider"])
    try:
        plan.initramfs = initramfs.build(plan.cache, plan.modules)
        plan.use_kvm = accel.usable(plan)
    except (OSError, subprocess.CalledProcessError) as e:
        raise Failure("cannot prepare the guest's first program in %s: %s" % (plan.cache, e)) from e


def environment(plan, index):
    """The caller's environment, as far as it makes sense elsewhere, and ours."""
    env = {k: v for k, v in os.environb.items() if k.decode(errors="replace") not in NOT_PASSED}
    path = env.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin").split(b":")
    env[b"PATH"] = b":".join(path + [d for d in (b"/usr/local/sbin", b"/usr/sbin", b"/sbin") if d not in path])
    ours = {
        "PEERBAR_HOST": str(index),
        "PEERBAR_HOSTS": str(plan.hosts),
        "PEERBAR_ADDR": "10.112.98.%d" % (index + 1),
        "PEERBAR_KERNEL": plan.kernel,
        **machine.device_variables(plan.devices),
    }
    if plan.hosts == 2:
        ours["PEERBAR_PEER"] = "10.112.98.%d" % (2 - index)
    if plan.share:
        ours["PEERBAR_SHARE"] = plan.share
    if plan.provider:
        ours["IBV_DRIVERS"] = plan.provider
    env.update((k.encode(), os.fsencode(v)) for k, v in ours.items())
    for setting in plan.env:
        name, given, value = setting.partition("=")
        env[os.fsencode(name)] = os.fsencode(value if given else os.environ.get(name, ""))
    return [k + b"=" + v for k, v in env.items()]


def kept_folders(plan):
    """Folders that the guest's tmpfs would hide: where we stand, the checkout, the cache."""
    wanted = {os.path.realpath(p) for p in (os.getcwd(), plan.checkout, plan.cache)}
    hidden = [p for p in sorted(wanted) if p.startswith(tuple(s + "/" for s in SCRATCH))]
    return [os.fsencode(p) for p in hidden if not any(p.startswith(o + "/") for o in hidden)]


# Running it.


class Terminal:
    """Our terminal in raw mode for as long as a shell in the guest owns it."""

    def __init__(self, wanted):
        self.fd = 0
        self.active = wanted and os.isatty(0)
        if self.active:
            self.saved = termios.tcgetattr(0)

    def winsize(self):
        if not self.active:
            return None
        return fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))

    def __enter__(self):
        if self.active:
            tty.setraw(0)
        return self

    def __exit__(self, *_):
        if self.active:
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved)


class Run:
    def __init__(self, plan):
        self.plan = plan
        self.selector = selectors.DefaultSelector()
        self.guests = []
        self.terminal = Terminal(plan.action == "shell")
        self.deadline = time.monotonic() + BOOT_SECONDS
        self.deadline_is_command = False
        self.timed_out = False
        self.input_open = False

    def start(self):
        wires = socket.socketpair() if self.plan.hosts == 2 else [None]
        with open(os.path.join(os.path.dirname(HERE), "guest", "setup.sh"), "rb") as f:
            script = f.read()
        for i in range(self.plan.hosts):
            guest = Guest(i, self.plan, wires[i])
            self.guests.append(guest)
            self.selector.register(guest.ctl, selectors.EVENT_READ, guest)
            self.selector.register(guest.serial, selectors.EVENT_READ, guest)
            guest.describe_run(
                environment(self.plan, i),
                [os.fsencode(a) for a in self.plan.command],
                os.fsencode(os.getcwd()),
                kept_folders(self.plan),
                os.fsencode(self.plan.share) if self.plan.share else None,
                script,
                self.terminal.winsize(),
            )
        for wire in wires:
            if wire:
                wire.close()

    # Events.

    def on_frame(self, guest, kind, data):
        if kind == "r":
            guest.state = "ready"
            if all(g.state == "ready" for g in self.guests):
                self.go()
        elif kind == "f":
            raise Failure("host %d: set-up in the guest failed: %s" % (guest.index, data.decode(errors="replace").strip()))
        elif kind in "oe":
            self.output(guest, kind, data)
        elif kind == "x":
            self.finished(guest, struct.unpack("<i", data)[0])
        elif kind == "l":
            guest.log.append(data.decode(errors="replace"))
        elif kind == "A":
            self.listen_to_input()
        elif kind == "D":
            guest.state = "done"

    def go(self):
        for guest in self.guests:
            guest.state = "running"
            guest.send("g")
        self.deadline = time.monotonic() + self.plan.timeout if self.plan.timeout else None
        self.deadline_is_command = True
        if self.plan.hosts == 1 and not in_background():
            self.input_open = True
            self.listen_to_input()
        else:
            for guest in self.guests:
                guest.send("I")

    def output(self, guest, kind, data):
        """Unchanged; but from two hosts, whole lines at a time."""
        if self.plan.hosts > 1 and data:
            data = guest.pending[kind] + data
            cut = data.rfind(b"\n") + 1
            guest.pending[kind] = data[cut:]
            data = data[:cut]
        write_out(1 if kind == "o" else 2, data)

    def finished(self, guest, status):
        guest.state = "done"
        guest.status = status
        for kind in "oe":
            write_out(1 if kind == "o" else 2, guest.pending[kind])
            guest.pending[kind] = b""
        if status and any(g.state == "running" for g in self.guests):
            limit = time.monotonic() + PARTNER_SECONDS
            self.deadline = min(self.deadline or limit, limit)

    def listen_to_input(self):
        if not self.input_open:
            return
        try:
            self.selector.register(0, selectors.EVENT_READ, None)
        except PermissionError:  # a plain file is always readable, and epoll refuses it
            self.on_input()
        except KeyError:
            pass

    def on_input(self):
        """One chunk; the next one once the guest has taken this one."""
        try:
            self.selector.unregister(0)
        except KeyError:
            pass
        try:
            data = os.read(0, INPUT_CHUNK)
        except OSError:
            data = b""
        self.input_open = bool(data)
        self.guests[0].send("i" if data else "I", data)

    def on_window_size(self):
        if self.terminal.active:
            self.guests[0].send("w", self.terminal.winsize())

    def on_ready(self, key, guest):
        if guest is None:
            self.on_input()
        elif key.fileobj is guest.serial:
            if not guest.read_log():
                self.selector.unregister(guest.serial)
        else:
            for frame in guest.frames():
                if frame is None:
                    self.selector.unregister(guest.ctl)
                    guest.state = "gone"
                    return
                self.on_frame(guest, *frame)

    def step(self, deadline):
        """Wait for the next thing to happen. False when the deadline has passed."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        for guest in self.guests:
            if guest.state != "gone":
                mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if guest.outgoing else 0)
                self.selector.modify(guest.ctl, mask, guest)
        for key, events in self.selector.select(left):
            if key.data is not None and events & selectors.EVENT_WRITE:
                key.data.flush()
            if events & selectors.EVENT_READ:
                self.on_ready(key, key.data)
        return True

    # The course of a run.

    def wait(self):
        """Until every command has ended, or the time is up, or a guest is gone."""
        while any(g.state != "done" for g in self.guests):
            if any(g.state == "gone" for g in self.guests):
                return
            if not self.step(self.deadline):
                self.time_is_up()
                return

    def time_is_up(self):
        if not self.deadline_is_command:
            raise Failure("a host did not come up within %d s" % BOOT_SECONDS)
        self.timed_out = not any(g.status for g in self.guests)
        late = [g for g in self.guests if g.state == "running"]
        for guest in late:
            guest.send("d")
        # what the tasks were blocked on goes to the kernel log, if the guest can still tell
        end = time.monotonic() + 5
        while any(g.state == "running" for g in late) and self.step(end):
            pass

    def power_off(self):
        """An orderly end, so that the kernel's own shut-down path is seen too."""
        for guest in self.guests:
            if guest.state != "gone":
                guest.send("q")
        end = time.monotonic() + STOP_SECONDS
        while any(g.state != "gone" for g in self.guests):
            if not self.step(end):
                raise Failure("a host did not power off within %d s" % STOP_SECONDS)

    def stop(self):
        return [g.stop() for g in self.guests]

    def status(self):
        """What the commands themselves amount to."""
        if self.timed_out:
            say("ended after %g s: the timeout" % self.plan.timeout)
            return TIMED_OUT
        for guest in self.guests:
            if guest.status:
                return guest.status
        if any(g.status is None for g in self.guests):
            return BROKEN
        return 0


def in_background():
    """A job in the background that reads from its terminal is stopped."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:  # a terminal, but not the one that controls us
        return False


def write_out(fd, data):
    while data:
        data = data[os.write(fd, data) :]


def report_log(plan, guests):
    """Keep the logs if asked to, and say what in them must not be there. True when they are clean."""
    clean = True
    for guest in guests:
        text = guest.log_text()
        if plan.log:
            with open(plan.log + (".%d" % guest.index if guest.index else ""), "w", encoding="utf-8") as f:
                f.write(text.replace("\r\n", "\n"))
        found = klog.scan(text, plan.expect_log)
        if found:
            clean = False
            say("host %d: %d finding(s) in the kernel log:\n%s" % (guest.index, len(found), klog.describe(found)))
    return clean


def explain_gone(run, qemu_said):
    """A host that went away before its command ended: say what is known."""
    for guest, said in zip(run.guests, qemu_said):
        if guest.status is None and guest.state == "gone":
            tail = "\n".join("    " + l for l in guest.log_text().splitlines()[-15:])
            say("host %d went away before its command ended; QEMU: %s; the last it logged:\n%s" % (guest.index, said or "-", tail))


def execute(plan):
    run = Run(plan)
    said = []
    signal.signal(signal.SIGWINCH, lambda *_: run.on_window_size() if run.guests else None)
    try:
        run.start()
        with run.terminal:
            run.wait()
        if not run.timed_out and all(g.state == "done" for g in run.guests):
            run.power_off()
    finally:
        said = run.stop()
    status = run.status()
    explain_gone(run, said)
    clean = report_log(plan, run.guests)
    return status if status or clean else BROKEN


def trap_signals():
    def end(number, _):
        raise Ended(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, end)


def die_by(number):
    """End the way the signal would have ended us, so that a calling shell sees it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def main():
    plan = parse(sys.argv[1:])
    trap_signals()
    try:
        prepare(plan)
        return execute(plan)
    except Failure as e:
        say(str(e))
        return BROKEN
    except Ended as e:
        return die_by(e.number)
    except BrokenPipeError:
        return die_by(signal.SIGPIPE)


if __name__ == "__main__":
    sys.exit(main())
