# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What scripts/vm is asked to run: its options, checked before anything is started, and what the command finds in the
guest: variables, limits, files that only the guest has.
"""

import argparse
import math
import os
import re
import resource
import subprocess

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
PARTNER_SECONDS = 20  # how long a host may go on after the other one has failed
SCRATCH = ("/tmp", "/var/tmp", "/run")
SHM = "/dev/shm"  # empty in the guest, unless something that is needed lies there
NOT_PASSED = ("PEERBAR_CACHE", "PEERBAR_BUILD", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY",
              "SSH_AUTH_SOCK", "OLDPWD", "_")
GID_INDEX = 1  # of the IPv4 address; index 0 is the link-local one
# These take every datagram over IPv4 for one to somebody else, unless the device is an mlx5.
UCX_FAULTY = ((1, 11), (1, 19))

DESCRIPTION = """\
Run a command in virtual hosts that see this machine's files, with soft-RoCE as rxe0 and PCI devices on vfio-pci.

The command runs where you are, with your variables, resource limits (but locked memory is unlimited) and umask, as
root. All files of this machine are there. /tmp, /var/tmp and /run have a throw-away layer, everything else is
read-only: see --overlay and --rw. Output and exit status are the command's own.
"""

EPILOG = """\
variables for the command:
  PEERBAR_HOST, PEERBAR_HOSTS        which host this is (0 or 1), and of how many
  PEERBAR_ADDR, PEERBAR_PEER         IPv4 addresses of this host and of the other one; with names:
                                     peerbar-host0 and peerbar-host1
  PEERBAR_ADDR6, PEERBAR_PEER6       their IPv6 addresses
  PEERBAR_GID_INDEX                  index in rxe0's table of the GID of the IPv4 address (0 is the link-local one)
  PEERBAR_MEMDEV, PEERBAR_REGDEV, PEERBAR_NVMEDEV, PEERBAR_NICDEV, PEERBAR_GPUDEV
                                     PCI address of the first device of each kind; with an S at the end, of all
  PEERBAR_VFIO                       PCI addresses of all that are on vfio-pci
  PEERBAR_SHARE, PEERBAR_SHARES      the first folder of --rw, and all of them with a colon between
  PEERBAR_KERNEL                     the kernel, as --kernel has it
  IBV_DRIVERS                        rdma-core's rxe provider with dma-bufs, unless --no-provider
  UCX_UD_ETH_DGID_CHECK              n where UCX 1.11 to 1.18 is installed and you have not set it: their check of
                                     datagrams over IPv4 works on mlx5 only and drops all of them elsewhere
and the tool, peerbar, is on PATH once it is built.

With two hosts, one whose command fails ends the run: the other one is given %d seconds more. Neither gets standard
input.

Exit status: the command's own (128+N when signal N killed it; with two hosts the first host's that is not 0);
124 at the timeout; 125 when the virtual host failed or its kernel log holds something that must not be there;
126 and 127 when the command cannot be run or found. What a command has written in the moment before the kernel
panics may be lost; /dev/kmsg is not.
""" % PARTNER_SECONDS


class Failure(Exception):
    """Not the command's doing: the virtual host itself did not work."""


# Options.


def seconds(text):
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError("a number of seconds above zero, not '%s'" % text)
    return value


def processors(text):
    value = int(text)
    if not 0 < value <= machine.MAX_CPUS:
        raise argparse.ArgumentTypeError("a number from 1 to %d, not '%s'" % (machine.MAX_CPUS, text))
    return value


def regex(text):
    try:
        return re.compile(text).pattern
    except re.error as e:
        raise argparse.ArgumentTypeError("'%s' is no regular expression: %s" % (text, e)) from e


def make_parser():
    parser = argparse.ArgumentParser(prog="scripts/vm", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "shell"])
    parser.add_argument("--hosts", type=int, choices=[1, 2], default=1)
    parser.add_argument("--kernel", choices=["test", "debug", "plain", "distribution"], default="test")
    parser.add_argument("--image", metavar="FILE", help="boot this bzImage instead of one that scripts/kernel has built")
    parser.add_argument("--device", action="append", metavar="SPEC", help="memory[:SIZE], register, nvme[:SIZE], nic or "
                        "gpu; may be repeated, and replaces the default of one memory and one register device per host. "
                        "The NICs (e1000e) of a host are on one wire. A gpu is left to the guest's own driver")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="end the command after S seconds, with status 124")
    parser.add_argument("--cpus", type=processors, metavar="N", help="processors of each host (two, or one where two "
                        "hosts would have more than this machine)")
    parser.add_argument("--mem", default=None, metavar="SIZE", help="memory of each host, such as 1G")
    parser.add_argument("--rw", action="append", default=[], metavar="DIR", help="share DIR with the hosts, writable, as "
                        "PEERBAR_SHARE; may be repeated. What is made there is made by you: chown does what you may do, and QEMU makes no FIFOs, sockets or device nodes")
    parser.add_argument("--overlay", action="store_true", help="a throw-away layer over everything: the command may "
                        "write anywhere, and all of it is gone afterwards but for what is below --rw")
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]", help="set a variable for the command")
    parser.add_argument("--no-provider", action="store_true", help="leave the distribution's rxe provider in place")
    parser.add_argument("--expect-log", action="append", type=regex, default=[], metavar="REGEX",
                        help="tolerate this in the kernel log")
    parser.add_argument("--log", metavar="FILE", help="keep the kernel log here (FILE.1 for the second host)")
    parser.add_argument("--append", default="", metavar="ARGS", help="more words for the kernel command line")
    parser.add_argument("--icount", action="store_true", help="one processor, emulated, whose clock counts instructions: "
                        "one takes a nanosecond, however busy this machine is")
    parser.add_argument("--no-kvm", dest="allow_kvm", action="store_false", help="use TCG even where KVM works")
    return parser


def parse(argv):
    parser = make_parser()
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
    try:
        complete(plan)
    except machine.BadOption as e:
        parser.error(str(e))
    return plan


def complete(plan):
    """Check the values and fill in what follows from them."""
    plan.memory = machine.parse_size(plan.mem or ("2G" if plan.kernel == "debug" else "1G"))
    plan.devices = machine.devices(plan.device or ["memory", "register"])
    if plan.memory < 256 << 20:
        raise machine.BadOption("--mem: a host needs 256M or more")
    machine.check_memory(plan)
    plan.shares = shares(plan.rw)
    plan.cache = os.environ["PEERBAR_CACHE"]
    plan.build = os.environ["PEERBAR_BUILD"]
    plan.checkout = os.path.dirname(os.path.dirname(HERE))
    plan.ipv6 = "ipv6.disable=1" not in plan.append.split()
    if plan.log:
        make_logs(plan)


def shares(folders):
    """The folders of --rw; what lies below another one comes after it."""
    found = []
    for folder in folders:
        path = os.path.realpath(folder)
        if not os.path.isdir(path) or not os.access(path, os.W_OK):
            raise machine.BadOption("--rw %s: not a folder that you can write to" % folder)
        if path not in found:
            found.append(path)
    return found


def log_file(plan, index):
    return plan.log + (".%d" % index if index else "")


def make_logs(plan):
    for i in range(plan.hosts):
        try:
            with open(log_file(plan, i), "wb"):
                pass
        except OSError as e:
            raise machine.BadOption("--log %s: %s" % (plan.log, e.strerror)) from e


# What the command finds.


def own_environment():
    """As we were started with it: Python may have put an LC_CTYPE of its own into os.environ."""
    with open("/proc/self/environ", "rb") as f:
        entries = [e.partition(b"=") for e in f.read().split(b"\0") if e]
    return {k: v for k, _, v in entries}


def search_path(plan, path):
    """The caller's, behind the tool that was built here, and where administrators' programs are."""
    path = path.split(b":")
    tool = os.path.join(plan.build, "userspace", "cli")
    if os.access(os.path.join(tool, "peerbar"), os.X_OK):
        path.insert(0, os.fsencode(tool))
    return b":".join(path + [d for d in (b"/usr/local/sbin", b"/usr/sbin", b"/sbin") if d not in path])


def address(index):
    return "10.112.98.%d" % (index + 1)


def address6(index):
    return "fd70:6565:7262::%d" % (index + 1)


def host_name(index):
    return "peerbar-host%d" % index


def own_variables(plan, index):
    env = {
        "PEERBAR_HOST": str(index),
        "PEERBAR_HOSTS": str(plan.hosts),
        "PEERBAR_ADDR": address(index),
        "PEERBAR_GID_INDEX": str(GID_INDEX),
        "PEERBAR_KERNEL": plan.kernel,
        **machine.device_variables(plan.devices),
    }
    if plan.ipv6:
        env["PEERBAR_ADDR6"] = address6(index)
    if plan.hosts == 2:
        env["PEERBAR_PEER"] = address(1 - index)
        if plan.ipv6:
            env["PEERBAR_PEER6"] = address6(1 - index)
    if plan.shares:
        env["PEERBAR_SHARE"] = plan.shares[0]
        env["PEERBAR_SHARES"] = ":".join(plan.shares)
    if plan.provider:
        env["IBV_DRIVERS"] = plan.provider
    return env


def ucx_version():
    """Of the UCX that is installed; None where there is none, or nobody who knows."""
    try:
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libucx0"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    numbers = re.match(r"(\d+)\.(\d+)", said.stdout)
    return tuple(map(int, numbers.groups())) if numbers else None


def for_others(plan, env):
    """Variables that programs of others need here, unless the caller has set them."""
    version = ucx_version()
    if version and UCX_FAULTY[0] <= version < UCX_FAULTY[1]:
        env.setdefault(b"UCX_UD_ETH_DGID_CHECK", b"n")
    if os.geteuid():
        # the guest's root looks at files that are yours
        count = int(env.get(b"GIT_CONFIG_COUNT", b"0") or b"0")
        env[b"GIT_CONFIG_COUNT"] = b"%d" % (count + 1)
        env[b"GIT_CONFIG_KEY_%d" % count] = b"safe.directory"
        env[b"GIT_CONFIG_VALUE_%d" % count] = b"*"


def environment(plan, index):
    """The caller's environment, as far as it makes sense elsewhere, and ours."""
    callers = own_environment()
    env = {k: v for k, v in callers.items() if k.decode(errors="replace") not in NOT_PASSED}
    env[b"PATH"] = search_path(plan, env.get(b"PATH", b"/usr/local/bin:/usr/bin:/bin"))
    env.update((k.encode(), os.fsencode(v)) for k, v in own_variables(plan, index).items())
    for_others(plan, env)
    for setting in plan.env:
        name, given, value = os.fsencode(setting).partition(b"=")
        if given:
            env[name] = value
        elif name in callers:
            env[name] = callers[name]
    return [k + b"=" + v for k, v in env.items()]


def limits():
    """(number, soft, hard) of the resource limits that the command is to have."""
    skipped = (resource.RLIMIT_MEMLOCK,)
    unlimited = (1 << 64) - 1
    for number in range(16):
        if number not in skipped:
            soft, hard = resource.getrlimit(number)
            yield number, soft & unlimited, hard & unlimited


def umask():
    with open("/proc/self/status", encoding="ascii", errors="replace") as f:
        return next(int(line.split()[1], 8) for line in f if line.startswith("Umask:"))


def layers(plan):
    """Folders that get a throw-away layer."""
    if plan.overlay:
        found = ["/"]
    else:
        found = [os.path.realpath(f) for f in SCRATCH if os.path.isdir(f)]
    needed = [os.getcwd(), plan.checkout, plan.cache, plan.build, *plan.shares, *plan.command]
    if any(os.path.realpath(p).startswith(SHM + "/") for p in needed if "/" in p):
        found.append(SHM)
    return [f for f in dict.fromkeys(found) if not any(f.startswith(o + "/") for o in found)]


def hosts_file(plan):
    """This machine's, in which the virtual hosts have names."""
    try:
        with open("/etc/hosts", encoding="utf-8", errors="surrogateescape") as f:
            text = f.read()
    except OSError:
        text = "127.0.0.1 localhost\n::1 localhost\n"
    names = "".join("%s %s\n" % (address(i), host_name(i)) for i in range(plan.hosts))
    return os.fsencode(names + text)
