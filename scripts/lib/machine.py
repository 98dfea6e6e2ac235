# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""What a virtual host consists of: its devices, and the QEMU command line that makes them."""

import os
import re

import tsc

QEMU = "qemu-system-x86_64"
BOOT = "console=ttyS0 panic=-1 oops=panic kasan_multi_shot tsc=reliable no_timer_check rcupdate.rcu_expedited=1 intel_iommu=on dummy.numdummies=0"
# With five levels KASAN has so many page tables that a look into debugfs' page_tables takes seconds.
BOOT_DEBUG = BOOT + " no5lvl"
FIRST_SLOT = 0x10
MAX_DEVICES = 15  # in slot 0x1f is the chip set
MAX_CPUS = 16  # as kernel/configs has it
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class BadOption(Exception):
    """The user asked for something that cannot be."""


def parse_size(text):
    match = re.fullmatch(r"([0-9]+)([KMGT]?)i?B?", text, re.IGNORECASE)
    if not match or not int(match.group(1)):
        raise BadOption("'%s' is not a size such as 64M or 1G" % text)
    return int(match.group(1)) * UNITS[match.group(2).upper()]


class Device:
    """A PCI device for vfio: `memory[:SIZE]` (ivshmem), `register` (edu), `nvme[:SIZE]` (with a memory buffer) or `nic`
    (e1000e); or `gpu` (virtio-gpu without a display), which the guest's own driver takes."""

    VARIABLES = {
        "memory": "PEERBAR_MEMDEV",
        "register": "PEERBAR_REGDEV",
        "nvme": "PEERBAR_NVMEDEV",
        "nic": "PEERBAR_NICDEV",
        "gpu": "PEERBAR_GPUDEV",
    }
    SIZED = ("memory", "nvme")
    FOR_GUEST = ("gpu",)
    WIRE = 1  # the hub of all NICs of a host

    def __init__(self, spec):
        self.kind, _, size = spec.partition(":")
        if self.kind not in self.VARIABLES:
            raise BadOption("unknown device '%s': memory[:SIZE], register, nvme[:SIZE], nic or gpu" % spec)
        if size and self.kind not in self.SIZED:
            raise BadOption("a %s device has no size" % self.kind)
        self.size = parse_size(size or "64M")
        if self.size & (self.size - 1) or self.size < 1 << 20:
            raise BadOption("the size of '%s' must be a power of two, 1M or more" % spec)

    def arguments(self, index):
        """Behind a root port of its own: through that a device can be reset that knows no reset itself."""
        port = "pcie-root-port,id=port%d,chassis=%d,bus=pcie.0,addr=%#x" % (index, index + 1, FIRST_SLOT + index)
        return ["-device", port, *self.own_arguments(index, "bus=port%d" % index)]

    def own_arguments(self, index, where):
        if self.kind == "memory":
            return [
                *("-object", "memory-backend-ram,id=bar%d,size=%d" % (index, self.size)),
                *("-device", "ivshmem-plain,memdev=bar%d,%s" % (index, where)),
            ]
        if self.kind == "register":
            return ["-device", "edu,%s" % where]
        if self.kind == "nic":
            return [
                *("-netdev", "hubport,id=nic%d,hubid=%d" % (index, self.WIRE)),
                *("-device", "e1000e,netdev=nic%d,mac=52:54:00:70:63:%02x,romfile=,%s" % (index, index + 1, where)),
            ]
        if self.kind == "gpu":
            return ["-device", "virtio-gpu-pci,max_outputs=1,%s" % where]
        return [
            # What is written goes to a temporary file, which has no name.
            *("-drive", "if=none,id=disk%d,driver=null-co,size=67108864,read-zeroes=on,snapshot=on" % index),
            *("-device", "nvme,serial=peerbar%d,drive=disk%d,cmb_size_mb=%d,%s" % (index, index, self.size >> 20, where)),
        ]

    @staticmethod
    def address(index):
        return "0000:%02x:00.0" % (index + 1)  # the firmware numbers the ports' buses in their order


def devices(specs):
    if len(specs) > MAX_DEVICES:
        raise BadOption("a host has room for %d devices, not for %d" % (MAX_DEVICES, len(specs)))
    return [Device(spec) for spec in specs]


def check_memory(plan):
    """It is allocated when it is used, but no kernel promises anybody more at once than the machine has."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    largest = max([plan.memory] + [d.size for d in plan.devices if d.kind in Device.SIZED])
    if largest > have:
        raise BadOption("%d MB of memory for a host or a device, and this machine has %d MB" % (largest >> 20, have >> 20))


def device_variables(devices):
    """The variables that name the devices: the first of each kind alone, and all of a kind where there are several."""
    for_vfio = [i for i, d in enumerate(devices) if d.kind not in Device.FOR_GUEST]
    env = {"PEERBAR_VFIO": " ".join(Device.address(i) for i in for_vfio)}
    for kind, name in Device.VARIABLES.items():
        addresses = [Device.address(i) for i, d in enumerate(devices) if d.kind == kind]
        if addresses:
            env[name] = addresses[0]
            env[name + "S"] = " ".join(addresses)
    return env


def base_command(use_kvm, kernel, initramfs, cpus, memory):
    """The part that the probe for KVM and a real run have in common."""
    if use_kvm:
        cpu = ["-machine", "q35,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host"]
    else:
        # One thread for all processors: with one each, a store to a device can meet the memory map of before a BAR
        # was switched off on another processor, and QEMU (7.2) ends with a segmentation fault.
        cpu = ["-machine", "q35", "-accel", "tcg,thread=single,tb-size=256", "-cpu", "max"]
    return [
        QEMU,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"),
        *cpu,
        *("-smp", str(cpus), "-m", "%dM" % (memory >> 20)),
        *("-kernel", kernel, "-initrd", initramfs),
    ]


def share_tag(index):
    return "share%d" % index


def command(plan, ctl_fd, log_fd, wire_fd):
    """The QEMU command for one host of the plan; the descriptors are our sockets to it."""
    args = base_command(plan.use_kvm, plan.image, plan.initramfs, plan.cpus, plan.memory)
    clock = "" if plan.use_kvm or plan.icount else tsc.boot_parameter()
    args += [
        *("-append", " ".join([BOOT_DEBUG if plan.kernel == "debug" else BOOT, clock, plan.append])),
        *("-device", "intel-iommu,intremap=on"),
        *("-chardev", "socket,id=log,fd=%d" % log_fd, "-serial", "chardev:log"),
        *("-chardev", "socket,id=ctl,fd=%d" % ctl_fd, "-device", "virtio-serial-pci,max_ports=2"),
        *("-device", "virtserialport,chardev=ctl,nr=1,name=peerbar"),
        *("-device", "virtio-rng-pci"),
        *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
    ]
    if plan.icount:
        args += ["-icount", "shift=0"]
    for i, share in enumerate(plan.shares):
        tag = share_tag(i)
        args += [
            *("-fsdev", "local,id=%s,path=%s,security_model=none,multidevs=remap" % (tag, share.replace(",", ",,"))),
            *("-device", "virtio-9p-pci,fsdev=%s,mount_tag=%s" % (tag, tag)),
        ]
    if wire_fd is not None:
        mac = "52:54:00:70:62:%02x" % (wire_fd[0] + 1)
        args += [
            *("-netdev", "socket,id=wire,fd=%d" % wire_fd[1]),
            *("-device", "virtio-net-pci,netdev=wire,mac=%s,host_mtu=9000,romfile=" % mac),
        ]
    for i, device in enumerate(plan.devices):
        args += device.arguments(i)
    return args
