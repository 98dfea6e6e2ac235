# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Child processes that never outlive us, not even when we are killed."""

import ctypes
import os
import signal
import subprocess

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent, number=signal.SIGKILL):
    """In the child: ask the kernel for this signal when we go, and cover the moment before it was asked."""
    libc.prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def spawn(cmd, **kwargs):
    """Popen in a session of its own, so that a Ctrl-C reaches us only."""
    parent = os.getpid()
    return subprocess.Popen(cmd, start_new_session=True, preexec_fn=lambda: die_with_parent(parent), **kwargs)


def kill(child):
    """Kill and reap. A guest stuck in KVM may not go at once: it is then left to the kernel, which already knows."""
    if child.poll() is None:
        child.kill()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            pipe.close()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
