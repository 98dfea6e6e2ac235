# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Buffers for the dma-buf tests of rdma-core, which by themselves only know how to get one from a GPU.

sources() says where they come from, mr_class() makes the class that takes the place of pyverbs' DmaBufMR in the tests.
"""

import ctypes
import fcntl
import mmap
import os
import struct

MEMORY_BAR = 2
PAGE = mmap.PAGESIZE


class Heap:
    """Ordinary memory, from the kernel's system heap."""

    PATH = "/dev/dma_heap/system"
    ALLOC = 0xC0184800  # DMA_HEAP_IOCTL_ALLOC
    LAYOUT = struct.Struct("=QIIQ")  # struct dma_heap_allocation_data: len, fd, fd_flags, heap_flags

    def allocate(self, length):
        data = bytearray(self.LAYOUT.pack(length, 0, os.O_RDWR | os.O_CLOEXEC, 0))
        with open(self.PATH, "rb", buffering=0) as heap:
            fcntl.ioctl(heap, self.ALLOC, data)
        return self.LAYOUT.unpack(data)[1]


class Range(ctypes.Structure):
    """struct peerbar_range"""

    _fields_ = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class Bar:
    """Slices of the memory device's BAR, one behind the other, exported by vfio-pci through libpeerbar."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        self.device = ctypes.c_void_p()
        self.next = 0
        context = ctypes.c_void_p()
        address = os.environ["PEERBAR_MEMDEV"].encode()
        with open("/sys/bus/pci/devices/%s/resource" % address.decode(), encoding="ascii") as f:
            start, end = (int(word, 16) for word in f.read().splitlines()[MEMORY_BAR].split()[:2])
        self.size = end - start + 1
        self.call("peerbar_open", None, ctypes.byref(context))
        self.call("peerbar_device_open", context, address, None, ctypes.byref(self.device))

    def call(self, function, *arguments):
        result = getattr(self.lib, function)(*arguments)
        if result < 0:
            raise OSError(-result, "%s: %s" % (function, os.strerror(-result)))

    def allocate(self, length):
        length = -(-length // PAGE) * PAGE
        if self.next + length > self.size:
            self.next = 0
        part = Range(self.next, length)
        self.next += length
        buffer = ctypes.c_void_p()
        self.call("peerbar_buffer_export", self.device, MEMORY_BAR, ctypes.byref(part), ctypes.c_size_t(1), None,
                  ctypes.byref(buffer))
        fd = fcntl.fcntl(self.lib.peerbar_buffer_fd(buffer), fcntl.F_DUPFD_CLOEXEC, 0)
        self.lib.peerbar_buffer_close(buffer)
        return fd


def sources(library):
    """{name: source}"""
    return {"heap": Heap(), "bar": Bar(library)}


class Descriptor:
    """Closes itself; the tests keep the MR and nothing else."""

    def __init__(self, fd):
        self.fd = fd

    def __del__(self):
        os.close(self.fd)


def mr_class(pyverbs_class, source):
    """pyverbs' DmaBufMR, but with a buffer of the source, read and written through the buffer's own mapping."""

    class DmaBufMR(pyverbs_class):
        def __init__(self, pd, length, access, offset=0, **_):
            self.buffer = Descriptor(source.allocate(offset + length))
            super().__init__(pd, length, access, dmabuf=self.buffer.fd, offset=offset)

        def write(self, data, length, offset=0):
            start = self.offset + offset
            with mmap.mmap(self.buffer.fd, start + length) as m:
                m[start:] = (data.encode() if isinstance(data, str) else data)[:length]

        def read(self, length, offset):
            start = self.offset + offset
            with mmap.mmap(self.buffer.fd, start + length) as m:
                return m[start:]

    return DmaBufMR
