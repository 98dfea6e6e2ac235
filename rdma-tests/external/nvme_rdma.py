#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""The kernel's own user of RDMA, NVMe over fabrics: a disk that nvmet exports over rxe0 and nvme-rdma connects to, on one
virtual host. What is written through the one end is compared with what lies at the other.

Prints `ok - ` and `not ok - ` lines.
"""

import contextlib
import glob
import mmap
import os
import random
import sys
import time

from points import Points, put

TARGET = "/sys/kernel/config/nvmet"
NQN = "nqn.2026-11.example:peerbar"
HOST_NQN = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-706565726261"
HOST_ID = "00000000-0000-4000-8000-706565726261"
BACKING = "/dev/shm/peerbar-disk"
SIZE = 16 << 20
CHUNKS = (4096, 12288, 65536, 1 << 20)
SECONDS = 60
points = Points()


def make_target(address):
    """A subsystem with one namespace on a file in memory, on a port of rxe0."""
    with open(BACKING, "wb") as f:
        f.truncate(SIZE)
    subsystem = "%s/subsystems/%s" % (TARGET, NQN)
    os.mkdir(subsystem)
    put(subsystem + "/attr_allow_any_host", "1")
    namespace = subsystem + "/namespaces/1"
    os.mkdir(namespace)
    put(namespace + "/device_path", BACKING)
    put(namespace + "/buffered_io", "1")
    put(namespace + "/enable", "1")
    port = TARGET + "/ports/1"
    os.mkdir(port)
    for name, value in (("trtype", "rdma"), ("adrfam", "ipv4"), ("traddr", address), ("trsvcid", "4420")):
        put("%s/addr_%s" % (port, name), value)
    os.symlink(subsystem, "%s/subsystems/%s" % (port, NQN))


def remove_target():
    os.unlink("%s/ports/1/subsystems/%s" % (TARGET, NQN))
    os.rmdir(TARGET + "/ports/1")
    put("%s/subsystems/%s/namespaces/1/enable" % (TARGET, NQN), "0")
    os.rmdir("%s/subsystems/%s/namespaces/1" % (TARGET, NQN))
    os.rmdir("%s/subsystems/%s" % (TARGET, NQN))
    os.unlink(BACKING)


def connect(address):
    """Returns the controller's name."""
    options = "transport=rdma,traddr=%s,trsvcid=4420,nqn=%s,hostnqn=%s,hostid=%s,nr_io_queues=2,queue_size=32"
    fabrics = os.open("/dev/nvme-fabrics", os.O_RDWR)
    with contextlib.closing(os.fdopen(fabrics, "r+b", buffering=0)) as f:
        f.write((options % (address, NQN, HOST_NQN, HOST_ID)).encode())
        answer = dict(pair.split("=") for pair in f.read(4096).decode().strip().split(","))
    return "nvme" + answer["instance"]


def disk_of(controller):
    """The disk's node, once it is there; with multipath it has the number of the subsystem."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for entry in glob.glob("/sys/class/block/nvme*"):
            device = os.path.realpath(entry + "/device")
            node = "/dev/" + os.path.basename(entry)
            if controller in (os.path.basename(device), *os.listdir(device)) and os.path.exists(node):
                return node
        time.sleep(0.05)
    raise TimeoutError("no disk of %s within %d s" % (controller, SECONDS))


def chunks(seed):
    """(offset, length): the disk from its begin to its end, in pieces of all sizes."""
    chance = random.Random(seed)
    offset = 0
    while offset < SIZE:
        length = min(chance.choice(CHUNKS), SIZE - offset)
        yield offset, length
        offset += length


def write_through(disk, data):
    with mmap.mmap(-1, max(CHUNKS)) as page:
        fd = os.open(disk, os.O_WRONLY | os.O_DIRECT)
        for offset, length in chunks(1):
            page[:length] = data[offset : offset + length]
            os.pwrite(fd, memoryview(page)[:length], offset)
        os.close(fd)


def read_through(disk):
    got = bytearray(SIZE)
    with mmap.mmap(-1, max(CHUNKS)) as page:
        fd = os.open(disk, os.O_RDONLY | os.O_DIRECT)
        for offset, length in chunks(2):
            if os.preadv(fd, [memoryview(page)[:length]], offset) != length:
                raise OSError("short read at %d" % offset)
            got[offset : offset + length] = page[:length]
        os.close(fd)
    return bytes(got)


def backing():
    with open(BACKING, "rb") as f:
        return f.read()


def packets():
    with open("/sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts", encoding="ascii") as f:
        return int(f.read())


def main():
    address = os.environ["PEERBAR_ADDR"]
    data = random.Random(0).randbytes(SIZE)
    before = packets()
    make_target(address)
    controller = connect(address)
    disk = disk_of(controller)
    points.check(os.path.exists(disk), "nvme-rdma connects to nvmet over rxe0 and has its disk")
    write_through(disk, data)
    points.check(backing() == data, "what is written to the disk is what the target has: %d MiB" % (SIZE >> 20))
    with open(BACKING, "r+b") as f:
        f.write(data[::-1])
    points.check(read_through(disk) == data[::-1], "what the target has is what is read from the disk")
    least = 2 * SIZE // 4096
    points.check(packets() - before >= least, "over RDMA", "%d packets of rxe0, not %d" % (packets() - before, least))
    put("/sys/class/nvme/%s/delete_controller" % controller, "1")
    remove_target()
    points.check(not os.path.exists("/sys/class/nvme/" + controller), "it disconnects, and the target goes")
    return 1 if points.failed else 0


if __name__ == "__main__":
    sys.exit(main())
