# SPDX-License-Identifier: GPL-2.0-only OR MIT
"""Builds the guest's initramfs, once per version of what is in it: one static program, and for a kernel that is not
of one piece the modules that the guest needs.
"""

import glob
import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile

GUEST = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "guest")
SOURCES = sorted(glob.glob(os.path.join(GUEST, "*.[ch]")))
FLAGS = ["-static", "-O2", "-Wall"]
# What a guest uses, in this order, each with its parameters; what they depend on comes by itself, and what a kernel
# has built in or lacks is left out.
MODULES = (
    "9pnet_virtio", "9p", "overlay", "virtio_rng", "virtio_net", "dummy numdummies=0", "veth", "loop", "nvme",
    "ib_uverbs", "ib_umad", "rdma_ucm", "rdma_rxe",
    "vfio_iommu_type1", "vfio_pci", "vgem", "virtio_gpu", "peerbar_ptdump",
)


def cpio_entry(ino, name, mode, data=b"", rdev=(0, 0)):
    """One entry of a newc archive, the format the kernel unpacks."""
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields)
    out = head + raw
    out += b"\0" * (-len(out) % 4)
    out += data
    return out + b"\0" * (-len(out) % 4)


def archive(init, modules=()):
    entries = [
        cpio_entry(1, "dev", 0o040755),
        cpio_entry(2, "dev/console", 0o020600, rdev=(5, 1)),
        cpio_entry(3, "init", 0o100755, init),
    ]
    if modules:
        entries.append(cpio_entry(4, "modules", 0o040755))
        listed = "".join("/modules/%s %s\n" % (m.name, m.parameters) for m in modules)
        entries.append(cpio_entry(5, "modules/list", 0o100644, listed.encode()))
        entries += [cpio_entry(6 + i, "modules/" + m.name, 0o100644, m.data) for i, m in enumerate(modules)]
    return b"".join([*entries, cpio_entry(0, "TRAILER!!!", 0)])


class Module:
    """A kernel module as the kernel takes it."""

    def __init__(self, path, parameters):
        self.name = module_name(path) + ".ko"
        self.parameters = parameters
        with (lzma.open if path.endswith(".xz") else open)(path, "rb") as f:
            self.data = f.read()


def module_name(path):
    return os.path.basename(path).partition(".ko")[0].replace("-", "_")


def dependencies(folder):
    """{name: (path, paths of what it needs)}; depmod lists what has to be loaded first last."""
    needs = {}
    with open(os.path.join(folder, "modules.dep"), encoding="utf-8") as f:
        for line in f:
            path, _, others = line.partition(":")
            needs[module_name(path)] = (path, others.split())
    return needs


def modules_of(folder):
    """The modules to be loaded, in order, of a kernel whose modules.dep is in this folder; None: it has none."""
    if folder is None:
        return []
    needs = dependencies(folder)
    order = {}
    for wanted in MODULES:
        name, _, parameters = wanted.partition(" ")
        if name in needs:
            path, others = needs[name]
            for other in reversed(others):
                order.setdefault(other, "")
            order[path] = parameters
    return [Module(os.path.join(folder, path), parameters) for path, parameters in order.items()]


def key(modules):
    h = hashlib.sha256()
    for source in SOURCES:
        with open(source, "rb") as f:
            h.update(f.read())
    h.update(subprocess.run(["gcc", "--version"], check=True, capture_output=True).stdout)
    h.update(repr(FLAGS).encode())
    for module in modules:
        h.update(("%s %s" % (module.name, module.parameters)).encode())
        h.update(module.data)
    return h.hexdigest()[:16]


def build(cache, modules_folder=None):
    """Path of the archive below the cache folder; built when it is not there yet."""
    folder = os.path.join(cache, "guest")
    modules = modules_of(modules_folder)
    target = os.path.join(folder, "initramfs-%s.cpio" % key(modules))
    if os.path.exists(target):
        return target
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as tmp:
        program = os.path.join(tmp, "init")
        subprocess.run(["gcc", *FLAGS, "-o", program, *(s for s in SOURCES if s.endswith(".c")), "-lutil"], check=True)
        with open(program, "rb") as f:
            data = archive(f.read(), modules)
        part = os.path.join(tmp, "initramfs")
        with open(part, "wb") as f:
            f.write(data)
        os.rename(part, target)
    return target


# The kernel's modules, as programs look for them.


def kernel_release(image):
    """What `uname -r` says in a guest with this bzImage; None: it is none."""
    with open(image, "rb") as f:
        head = f.read(0x8000)
    if head[0x202:0x206] != b"HdrS":
        return None
    start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    return head[start : start + 128].split(b"\0")[0].split(b" ")[0].decode(errors="replace") or None


def list_of_built_in(cache, image, release):
    """The folder that a kernel of one piece has as /lib/modules/RELEASE: it lists what is built in, so that modprobe
    does not look for it. None when nobody knows what that is."""
    source = os.path.join(os.path.dirname(os.path.abspath(image)), "modules.builtin")
    if not os.path.exists(source):
        return None
    with open(source, "rb") as f:
        text = f.read()
    target = os.path.join(cache, "guest", "builtin-" + hashlib.sha256(release.encode() + text).hexdigest()[:16])
    if os.path.isdir(target):
        return target
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as tmp:
        folder = os.path.join(tmp, "usr/lib/modules", release)
        os.makedirs(folder)
        os.symlink("usr/lib", os.path.join(tmp, "lib"))
        shutil.copy(source, folder)
        with open(os.path.join(folder, "modules.order"), "w", encoding="ascii"):
            pass
        subprocess.run(["/sbin/depmod", "-b", tmp, release], check=True, capture_output=True)
        try:
            os.rename(folder, target)
        except OSError:  # another run was faster
            pass
    return target
