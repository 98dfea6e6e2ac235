# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Runs a command in one virtual host, or in each of two, and hands back its output and exit status.

There is no temporary file: control port, kernel log and the wire between hosts are socket pairs, and QEMU dies with
this process. scripts/vm has made sure that the packages, the kernel and the provider are there.
"""

import fcntl
import os
import select
import selectors
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import time
import tty

import accel
import initramfs
import plan as plans
import procs
import verdict
from guest import Guest
from plan import PARTNER_SECONDS, Failure

HERE = os.path.dirname(os.path.abspath(__file__))
BOOT_SECONDS = 240  # a debug kernel under TCG on a busy machine
STOP_SECONDS = 60
INPUT_CHUNK = 32768


class Ended(Exception):
    """A signal asks us to stop."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


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
    modules = None
    if plan.image is None:
        folder = tool([plan.checkout + "/scripts/kernel", "build", plan.kernel])
        plan.image = os.path.join(folder, "bzImage")
        if plan.kernel == "distribution":
            modules = os.path.join(folder, "modules")
    if not os.path.isfile(plan.image):
        raise Failure("no kernel image %s" % plan.image)
    plan.release = initramfs.kernel_release(plan.image)
    if plan.release is None:
        raise Failure("%s is no kernel image for x86 (a bzImage)" % plan.image)
    plan.provider = None
    if not plan.no_provider:
        plan.provider = tool([plan.checkout + "/userspace/rdma-core/build-provider"])
    try:
        plan.initramfs = initramfs.build(plan.cache, modules)
        plan.modules = modules or initramfs.list_of_built_in(plan.cache, plan.image, plan.release)
        plan.use_kvm = accel.usable(plan)
    except (OSError, subprocess.CalledProcessError) as e:
        raise Failure("cannot prepare the guest's first program in %s: %s" % (plan.cache, e)) from e


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
        self.partner_failed = False
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
            guest.describe_run(i, script, self.terminal.winsize())
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
        elif kind == "c":
            guest.processor = data.decode(errors="replace")
        elif kind == "A":
            self.listen_to_input()
        elif kind == "D":
            guest.state = "done"

    def go(self):
        for guest in self.guests:
            guest.state = "running"
            guest.send_clock()
            guest.send("g")
        self.deadline = time.monotonic() + self.plan.timeout if self.plan.timeout else None
        self.deadline_is_command = True
        if self.plan.hosts == 1 and not in_background():
            self.input_open = True
            self.listen_to_input()
        else:
            if input_waits():
                verdict.say("standard input is not read: neither of two hosts gets it")
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
            if self.deadline is None or limit < self.deadline:
                self.deadline = limit
                self.partner_failed = True

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
        self.timed_out = not self.partner_failed
        late = [g for g in self.guests if g.state == "running"]
        for guest in late:
            guest.ended = True
            if self.partner_failed:
                verdict.explain_partner(guest, PARTNER_SECONDS)
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


def in_background():
    """A job in the background that reads from its terminal is stopped."""
    try:
        return os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp()
    except OSError:  # a terminal, but not the one that controls us
        return False


def input_waits():
    """There is something on standard input. Nobody has to read it to find out."""
    try:
        if stat.S_ISREG(os.fstat(0).st_mode):
            return os.fstat(0).st_size > os.lseek(0, 0, os.SEEK_CUR)
        return stat.S_ISFIFO(os.fstat(0).st_mode) and bool(select.select([0], [], [], 0)[0]) and unread(0) > 0
    except OSError:
        return False


def unread(fd):
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]


def write_out(fd, data):
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:  # whoever gave it to us wants it so
            select.select([], [fd], [])
        except BrokenPipeError:
            raise
        except OSError as e:
            raise Failure("cannot write to standard %s: %s" % ("output" if fd == 1 else "error", e.strerror)) from e


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
    status = verdict.status(run)
    verdict.explain(run, said)
    clean = verdict.report_log(plan, run.guests)
    return status if status or clean else verdict.BROKEN


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
    plan = plans.parse(sys.argv[1:])
    trap_signals()
    try:
        prepare(plan)
        return execute(plan)
    except Failure as e:
        verdict.say(str(e))
        return verdict.BROKEN
    except Ended as e:
        return die_by(e.number)
    except BrokenPipeError:
        return die_by(signal.SIGPIPE)


if __name__ == "__main__":
    sys.exit(main())
