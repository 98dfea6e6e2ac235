# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""One running virtual host: its QEMU, the frames to and from its process 1, its kernel log.

A frame is a type byte, a 32-bit little-endian length and the payload.

To the guest, before the command starts; where several strings are named, NULs separate them:
  e environment entry   a argument   c working directory   L resource limits   u umask
  p run on a terminal, with this struct winsize
  f path and contents of a file that only the guest has    b folder to bind, and where
  l folder that gets a throw-away layer                    M make the root of all that
  m tag and place of a share                               s set-up script, run with /bin/sh
  t struct timespec to set the clock to                    g go
and while it runs:
  i standard input      I its end    w window size         k signal number   d dump blocked tasks   q power off
From the guest:
  r ready               f set-up failed, with its output
  o standard output     e standard error    x exit status  l lines for the log
  A input taken         D dump done         c the processor's flags, where the command met one that it lacks
"""

import codecs
import os
import socket
import struct
import subprocess
import time

import machine
import plan as plans
import procs

HEAD = struct.Struct("<BI")
LIMIT = struct.Struct("<i4xQQ")
CLOCK = struct.Struct("<qq")
CLOCK_AHEAD = 20_000_000  # nanoseconds: a guest that is behind finds files from the future in a share


class Guest:
    def __init__(self, index, plan, wire):
        self.index = index
        self.plan = plan
        self.state = "booting"  # then ready, running, done; gone once QEMU has exited
        self.status = None
        self.ended = False  # by us, before its command
        self.processor = None  # its flags, if the command died for want of one
        self.log = []
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.received = b""
        self.outgoing = b""
        self.pending = {"o": b"", "e": b""}
        self.ctl, ctl = socket.socketpair()
        self.serial, serial = socket.socketpair()
        fds = [ctl.fileno(), serial.fileno()] + ([wire.fileno()] if wire else [])
        cmd = machine.command(plan, fds[0], fds[1], (index, fds[2]) if wire else None)
        self.vm = procs.spawn(cmd, pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        ctl.close()
        serial.close()
        self.ctl.setblocking(False)
        self.serial.setblocking(False)

    # Frames out. Nothing here blocks: a guest that hangs must not hang us.

    def send(self, kind, data=b""):
        self.outgoing += HEAD.pack(ord(kind), len(data)) + data
        self.flush()

    def flush(self):
        try:
            while self.outgoing:
                self.outgoing = self.outgoing[self.ctl.send(self.outgoing) :]
        except BlockingIOError:
            pass
        except OSError:
            self.outgoing = b""

    def describe_run(self, index, script, winsize):
        plan = self.plan
        for entry in plans.environment(plan, index):
            self.send("e", entry)
        for arg in plan.command:
            self.send("a", os.fsencode(arg))
        self.send("c", os.fsencode(os.getcwd()))
        self.send("L", b"".join(LIMIT.pack(*limit) for limit in plans.limits()))
        self.send("u", struct.pack("<I", plans.umask()))
        if winsize is not None:
            self.send("p", winsize)
        self.describe_root()
        self.send("s", script)

    def describe_root(self):
        plan = self.plan
        self.send("f", b"/etc/hosts\0" + plans.hosts_file(plan))
        if plan.modules:
            target = os.path.join(os.path.realpath("/lib/modules"), plan.release)
            self.send("b", os.fsencode(os.path.realpath(plan.modules) + "\0" + target))
        for folder in plans.layers(plan):
            self.send("l", os.fsencode(folder))
        self.send("M")
        for i, share in enumerate(plan.shares):
            self.send("m", os.fsencode("%s\0%s" % (machine.share_tag(i), share)))

    def send_clock(self):
        self.send("t", CLOCK.pack(*divmod(time.time_ns() + CLOCK_AHEAD, 10**9)))

    # Frames in.

    def frames(self):
        """What has come since the last call; None stands for the end of the connection."""
        try:
            data = self.ctl.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            yield None
            return
        self.received += data
        while len(self.received) >= HEAD.size:
            kind, length = HEAD.unpack_from(self.received)
            end = HEAD.size + length
            if len(self.received) < end:
                return
            payload = self.received[HEAD.size : end]
            self.received = self.received[end:]
            yield chr(kind), payload

    def read_log(self):
        """Take what the serial line has. False at its end."""
        try:
            data = self.serial.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self.log.append(self.decoder.decode(data))
        return bool(data)

    def log_text(self):
        return "".join(self.log)

    def stop(self):
        """Whatever state it is in: no QEMU afterwards. Returns what QEMU had to say."""
        said = b""
        if self.vm.poll() is None:
            self.vm.kill()
        if self.vm.stdout:
            os.set_blocking(self.vm.stdout.fileno(), False)
            said = self.vm.stdout.read() or b""
        procs.kill(self.vm)
        self.ctl.close()
        while self.read_log():
            if not self.more_log():
                break
        self.serial.close()
        return said.decode(errors="replace").strip()

    def more_log(self):
        try:
            return bool(self.serial.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False
