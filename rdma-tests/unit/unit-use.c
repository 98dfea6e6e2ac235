// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What counts as use of a device, each alone, on a made-up machine; and that a
 * check which fails never counts as none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"
#include "fakepci.h"
#include "tap.h"

#define NIC    "sys/bus/pci/devices/" FAKE_NIC "/"
#define NVME   NIC "nvme/nvme0/"
#define TARGET "sys/kernel/config/nvmet/subsystems/nqn.x/namespaces/1/"
#define SUBSYS "sys/devices/virtual/nvme-subsystem/nvme-subsys0/"

static struct peerbar *pb;

/* What was reported last, of one examination. */
static struct {
	unsigned int count;
	enum peerbar_use_kind kind;
	int error;
	char name[64];
	char text[256];
} told;

static void take(void *arg, const struct peerbar_device_use *use)
{
	if (arg != &told || use->size != sizeof(*use) || strcmp(use->address, FAKE_NIC))
		bail_out("not what was asked for");
	told.count++;
	told.kind = use->kind;
	told.error = use->error;
	snprintf(told.name, sizeof(told.name), "%s", use->name);
	snprintf(told.text, sizeof(told.text), "%s", use->text);
}

static int look(void)
{
	memset(&told, 0, sizeof(told));
	return peerbar_device_in_use(pb, FAKE_NIC, take, &told);
}

static void is_free(const char *name)
{
	if (!is_int(look(), 0, "%s", name))
		note("%s", told.text);
}

static void is_used(enum peerbar_use_kind kind, const char *word, const char *name)
{
	is_int(look(), -EBUSY, "%s", name);
	is_int(told.kind, kind, "its kind");
	is_int(told.count, 1, "it is told once");
	has_str(told.text, word, "in words");
}

static void is_unchecked(int error, const char *word, const char *name)
{
	is_int(look(), -error, "%s", name);
	is_int(told.kind, PEERBAR_USE_UNCHECKED, "what failed is not what was found");
	is_int(told.error, error, "its errno");
	has_str(told.text, word, "in words");
	has_str(told.text, "cannot be found out", "that it failed");
}

static void fail_at(const char *path, int error)
{
	fake_pci.fail_path = path;
	fake_pci.fail_errno = error;
}

/* A class device below the card: in its directory only what is given besides. */
static void make(const char *dir, const char *subsystem)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "%s/subsystem", dir);
	snprintf(target, sizeof(target), "../class/%s", subsystem);
	fake_link(target, path);
}

static void make_node(const char *dir, const char *subsystem, const char *number, const char *node)
{
	char path[256], text[128];

	make(dir, subsystem);
	snprintf(path, sizeof(path), "%s/dev", dir);
	snprintf(text, sizeof(text), "%s\n", number);
	fake_write(path, text);
	snprintf(path, sizeof(path), "%s/uevent", dir);
	snprintf(text, sizeof(text), "MAJOR=1\nDEVNAME=%s\n", node);
	fake_write(path, text);
}

/* A process, and what /proc shows of it. */
static void make_process(const char *pid, const char *command, const char *namespace)
{
	char path[64], text[64];

	snprintf(path, sizeof(path), "proc/%s/comm", pid);
	snprintf(text, sizeof(text), "%s\n", command);
	fake_write(path, text);
	snprintf(path, sizeof(path), "proc/%s/ns/mnt", pid);
	fake_link(namespace, path);
	snprintf(path, sizeof(path), "proc/%s/mountinfo", pid);
	fake_write(path, "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
	snprintf(path, sizeof(path), "proc/%s/fd", pid);
	fake_mkdir(path);
}

static void make_machine(void)
{
	fake_link("pid:[4026531836]", "proc/self/ns/pid");
	make_process("self", "unit-use", "mnt:[1]");
	make_process("1", "init", "mnt:[1]");
	make_process("812", "container", "mnt:[2]");
	fake_write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	fake_write("proc/version", "not a process\n");
	fake_mkdir("sys/block/sda");
	fake_mkdir("sys/class/nvme-subsystem");
	fake_mkdir("sys/class/vtconsole");
	fake_mkdir("sys/class/graphics");
	fake_mkdir("sys/fs/virtiofs");
}

/* Networks and RDMA ------------------------------------------------------------ */

static void test_network(void)
{
	make(NIC "net/eth0", "net");
	fake_write(NIC "net/eth0/flags", "0x1002\n");
	is_free("an interface that is down");
	fake_write(NIC "net/eth0/flags", "0x1003\n");
	is_used(PEERBAR_USE_NETWORK, "eth0 is up", "an interface that is up");
	is_str(told.name, "eth0", "its name");
	fake_write(NIC "net/eth0/flags", "0x1002\n");
	fake_link("../../bond0", NIC "net/eth0/master");
	fake_write(NIC "bond0", "");
	fake_remove(NIC "net/eth0/master");
	fake_write(NIC "net/eth0/master", "");
	is_used(PEERBAR_USE_NETWORK, "part of another", "an interface of a bond");
	fake_remove(NIC "net/eth0/master");
	fail_at("flags", EIO);
	is_unchecked(EIO, "eth0 is up", "flags that cannot be read");
	fail_at("master", EACCES);
	is_unchecked(EACCES, "eth0 is up", "a bond that cannot be looked for");
	fail_at(NULL, 0);
	fake_remove(NIC "net/eth0");
	is_used(PEERBAR_USE_NETWORK, "another network namespace", "an interface elsewhere");
	fake_remove(NIC "net");
	is_free("no interface");
}

static void test_rdma(void)
{
	make(NIC "infiniband/mlx5_0", "infiniband");
	fake_write(NIC "infiniband/mlx5_0/ports/1/state", "1: DOWN\n");
	fake_write(NIC "infiniband/mlx5_0/ports/2/state", "2: INIT\n");
	is_free("ports that are not active");
	fake_write(NIC "infiniband/mlx5_0/ports/2/state", "4: ACTIVE\n");
	is_used(PEERBAR_USE_RDMA, "port 2 of the RDMA device mlx5_0", "an active port");
	fail_at("2/state", EIO);
	is_unchecked(EIO, "port 2", "a state that cannot be read");
	fail_at("ports", EACCES);
	is_unchecked(EACCES, "mlx5_0", "ports that cannot be listed");
	fail_at(NULL, 0);
	fake_remove(NIC "infiniband/mlx5_0");
	is_used(PEERBAR_USE_RDMA, "another network namespace", "an RDMA device elsewhere");
	fake_remove(NIC "infiniband");
}

/* Disks ------------------------------------------------------------------------ */

static void make_disk(void)
{
	make_node(NVME, "nvme", "240:0", "nvme0");
	make_node(NVME "nvme0n1", "block", "259:0", "nvme0n1");
	make_node(NVME "nvme0n1/nvme0n1p1", "block", "259:1", "nvme0n1p1");
	fake_write("dev/nvme0", "c 240:0");
	fake_write("dev/nvme0n1", "b 259:0");
	fake_write("dev/nvme0n1p1", "b 259:1");
}

static void test_disk(void)
{
	make_disk();
	is_free("a disk that nobody uses");
	fake_write("dev/nvme0n1", "b 259:0 busy");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is held exclusively", "a pool, or a raw user");
	fake_mkdir(NVME "nvme0n1/holders/md127");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is part of md127", "a disk of a volume");
	fake_remove(NVME "nvme0n1/holders");
	fake_write("proc/swaps", "Filename\tType\n/dev/nvme0n1\tpartition\t1\t0\t-2\n");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is swapped to", "swap");
	fake_write("proc/swaps", "Filename\tType\n/dev/nvme0n1p1\tpartition\t1\t0\t-2\n");
	is_used(PEERBAR_USE_DISK, "held exclusively", "swap of another name");
	fake_write("proc/swaps", "");
	fake_write("proc/self/mountinfo", "30 22 259:0 / /data rw - ext4 /dev/root rw\n");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is mounted on /data", "mounted, by number");
	fake_write("proc/self/mountinfo", "30 22 0:45 / /data rw - btrfs /dev/nvme0n1 rw\n");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is mounted on /data", "mounted, by name");
	fake_write("proc/self/mountinfo", "");
	fake_write("proc/812/mountinfo", "30 22 259:0 / /srv rw - ext4 /dev/root rw\n");
	is_used(PEERBAR_USE_DISK, "/srv, as process 812 (container) sees it", "elsewhere");
	fake_write("proc/812/mountinfo", "");
}

/* A partition, and users of the kernel's own, which do not claim it. */
static void test_disk_users(void)
{
	fake_write("dev/nvme0n1p1", "b 259:1 busy");
	is_used(PEERBAR_USE_DISK, "nvme0n1p1 is held", "a partition, and so the disk");
	fake_write("dev/nvme0n1", "b 259:0");
	fake_write("dev/nvme0n1p1", "b 259:1");
	fake_write("sys/block/loop0/loop/backing_file", "/dev/nvme0n1p1\n");
	is_used(PEERBAR_USE_DISK, "nvme0n1p1 is behind loop0", "a loop device");
	fake_write("sys/block/loop0/loop/backing_file", "/var/image\n");
	is_free("a loop device of a file");
	fake_link("nvme0n1", "dev/by-id");
	fake_write("sys/block/loop0/loop/backing_file", "/dev/by-id\n");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is behind loop0", "a loop device, by another name");
	fake_remove("sys/block/loop0");
	fake_write(TARGET "device_path", "/dev/by-id\n");
	fake_write(TARGET "enable", "0\n");
	is_free("an NVMe target that is off");
	fake_write(TARGET "enable", "1\n");
	is_used(PEERBAR_USE_DISK, "nvme0n1 is behind the NVMe target nqn.x", "one that is on");
	fail_at("namespaces", EACCES);
	is_unchecked(EACCES, "nvme0n1", "one that cannot be looked at");
	fail_at(NULL, 0);
	fake_write(TARGET "device_path", "/var/image\n");
	is_free("an NVMe target of a file");
	fake_remove("sys/kernel/config");
}

static void test_disk_failures(void)
{
	fake_write("dev/nvme0n1", "b 259:0 empty");
	is_free("a drive without a medium");
	fake_write("dev/nvme0n1", "b 259:7");
	is_unchecked(ENODEV, "nvme0n1 is in use", "a node of another disk");
	fake_write("dev/nvme0n1", "c 259:0");
	is_unchecked(ENODEV, "nvme0n1 is in use", "a node of another kind");
	fake_remove("dev/nvme0n1");
	is_unchecked(ENOENT, "nvme0n1 is in use", "no node");
	fake_write("dev/nvme0n1", "b 259:0");
	fake_write("dev/nvme0n1", "b 259:0 denied");
	is_unchecked(EACCES, "nvme0n1", "no right to open it");
	fake_write("dev/nvme0n1", "b 259:0");
	fail_at("nvme0n1", EACCES);
	is_unchecked(EACCES, "nvme0n1", "no right to look at it");
	fail_at(NULL, 0);
	fake_remove(NVME "nvme0n1/dev");
	ok(look() < 0, "a disk of which nothing is known");
	fake_write(NVME "nvme0n1/dev", "259:0\n");
}

/* The disk hangs below the subsystem, and the controller has a path to it. */
static void test_multipath(void)
{
	fake_remove(NVME "nvme0n1");
	make(NVME "nvme0c0n1", "block");
	fake_write(NVME "nvme0c0n1/hidden", "1\n");
	is_free("a path to no disk");
	fake_link("../../devices/virtual/nvme-subsystem/nvme-subsys0",
		  "sys/class/nvme-subsystem/nvme-subsys0");
	fake_link("../../../../bus/pci/devices/" FAKE_NIC "/nvme/nvme0", SUBSYS "nvme0");
	make_node(SUBSYS "nvme0n1", "block", "259:0", "nvme0n1");
	make_node(SUBSYS "nvme0n1/nvme0n1p1", "block", "259:1", "nvme0n1p1");
	is_free("a path to a disk that nobody uses");
	fake_write("dev/nvme0n1p1", "b 259:1 busy");
	is_used(PEERBAR_USE_DISK, "nvme0n1p1", "a path to a disk in use");
	fail_at("nvme-subsystem", EACCES);
	is_unchecked(EACCES, "nvme0 has disks with several paths", "subsystems not to be seen");
	fail_at(NULL, 0);
	fake_remove(SUBSYS "nvme0");
	fake_mkdir(SUBSYS "nvme1");
	is_free("a disk of another controller");
	fake_remove("sys/class/nvme-subsystem/nvme-subsys0");
	fake_write(NVME "nvme0c0n1/hidden", "0\n");
	ok(look() < 0, "a disk without a number that is not hidden");
	fake_remove(NIC "nvme");
	fake_remove("dev/nvme0n1p1");
}

/* Descriptors ------------------------------------------------------------------ */

static void test_descriptors(void)
{
	make_disk();
	fake_link("../../../dev/nvme0", "proc/812/fd/5");
	is_used(PEERBAR_USE_OPEN, "/dev/nvme0 is open in process 812 (container)", "a controller");
	fake_remove("proc/812/fd/5");
	fake_link("../../../dev/nvme0n1", "proc/812/fd/6");
	is_used(PEERBAR_USE_OPEN, "/dev/nvme0n1 is open", "a disk that is open, but not claimed");
	fake_remove("proc/812/fd/6");
	fake_write("dev/other", "c 259:0");
	fake_link("../../../dev/other", "proc/812/fd/7");
	is_free("a node of another kind with the same number");
	fake_remove("proc/812/fd/7");
	fail_at("812/fd", EACCES);
	is_unchecked(EACCES, "process 812", "a process that cannot be looked at");
	fake_link("/dev/null", "proc/812/fd/8");
	fake_link("/dev/null", "proc/812/fd/9");
	fail_at("8", EACCES);
	is_unchecked(EACCES, "process 812", "descriptors that cannot be looked at");
	is_int(told.count, 1, "are told of once");
	fail_at("8", ENOENT);
	is_free("a descriptor that is closed meanwhile");
	fake_remove("proc/812/fd/8");
	fake_remove("proc/812/fd/9");
	fail_at("812/fd", ENOENT);
	is_free("a process that has ended");
	fail_at(NULL, 0);
	fake_remove("proc/self/ns/pid");
	fake_link("pid:[4026532000]", "proc/self/ns/pid");
	is_unchecked(EPERM, "outside of this PID namespace", "a PID namespace");
	fake_remove(NIC "nvme");
	is_free("which does not matter where there is no node");
	fake_remove("proc/self/ns/pid");
	fake_link("pid:[4026531836]", "proc/self/ns/pid");
}

static void test_vfio(void)
{
	make_node(NIC "vfio-dev/vfio3", "vfio-dev", "511:3", "vfio/devices/vfio3");
	fake_write("dev/vfio/devices/vfio3", "c 511:3");
	fake_write("dev/vfio/6", "c 510:6");
	is_free("a device that vfio has, and nobody else");
	fake_link("../../../dev/vfio/devices/vfio3", "proc/812/fd/5");
	is_used(PEERBAR_USE_OPEN, "/dev/vfio/devices/vfio3 is open in process 812", "by its node");
	fake_remove("proc/812/fd/5");
	fake_write("sys/class/vfio/6/dev", "510:6\n");
	fake_write("sys/class/vfio/6/uevent", "DEVNAME=vfio/6\n");
	fake_link("../../../dev/vfio/6", "proc/812/fd/5");
	is_used(PEERBAR_USE_OPEN, "/dev/vfio/6 is open in process 812", "by its group");
	fake_remove("proc/812/fd/5");
	fake_write("dev/vfio/6", "c 510:6 busy");
	is_used(PEERBAR_USE_OPEN, "IOMMU group 6 is open", "by nobody who can be seen");
	fake_remove("dev/vfio/6");
	is_free("a kernel without groups");
	fake_remove(NIC "vfio-dev");
	fake_remove("sys/class/vfio");
}

/* Displays ---------------------------------------------------------------------- */

static void make_console(const char *name, const char *bound)
{
	fake_write("sys/class/vtconsole/vtcon1/name", name);
	fake_write("sys/class/vtconsole/vtcon1/bind", bound);
}

static void test_display(void)
{
	make_node(NIC "drm/card0", "drm", "226:0", "dri/card0");
	fake_write("dev/dri/card0", "c 226:0");
	make(NIC "drm/card0/card0-DP-1", "drm");
	fake_write(NIC "drm/card0/card0-DP-1/enabled", "disabled\n");
	is_free("a connector that is off");
	fake_write(NIC "drm/card0/card0-DP-1/enabled", "enabled\n");
	is_used(PEERBAR_USE_DISPLAY, "card0-DP-1 is on", "one that is on");
	fail_at("enabled", EIO);
	is_unchecked(EIO, "the display at card0", "one that cannot be asked");
	fail_at(NULL, 0);
	fake_remove(NIC "drm");
	make(NIC "graphics/fb0", "graphics");
	is_free("a framebuffer without a console");
	make_console("(M) frame buffer device\n", "0\n");
	is_free("with one that is not bound");
	make_console("(M) frame buffer device\n", "1\n");
	is_used(PEERBAR_USE_DISPLAY, "the console is on fb0", "with one that is");
	fail_at("bind", EIO);
	is_unchecked(EIO, "the console is on fb0", "with one that cannot be asked");
	fail_at(NULL, 0);
	fake_remove(NIC "graphics");
}

static void test_boot_display(void)
{
	fake_write(NIC "boot_vga", "0\n");
	make_console("(S) VGA+\n", "1\n");
	is_free("a display, but not that of the firmware");
	fake_write(NIC "boot_vga", "1\n");
	is_used(PEERBAR_USE_DISPLAY, "it is the boot display", "that of the firmware, in text");
	make_console("(S) dummy device\n", "1\n");
	is_free("without a console");
	fake_link("../../devices/pci0000:00/0000:00:02.0/graphics/fb0", "sys/class/graphics/fb0");
	is_free("with a framebuffer of another device");
	fake_link("../../devices/platform/efi-framebuffer.0/graphics/fb1",
		  "sys/class/graphics/fb1");
	is_used(PEERBAR_USE_DISPLAY, "it is the boot display", "with one of the firmware");
	fail_at("boot_vga", EIO);
	is_unchecked(EIO, "the console is on it", "which cannot be asked");
	fail_at(NULL, 0);
	fake_remove(NIC "boot_vga");
	fake_remove("sys/class/graphics/fb0");
	fake_remove("sys/class/graphics/fb1");
}

/* The function ------------------------------------------------------------------ */

static void test_function(void)
{
	fake_write(NIC "sriov_numvfs", "0\n");
	is_free("no virtual functions");
	fake_write(NIC "sriov_numvfs", "8\n");
	is_used(PEERBAR_USE_SRIOV, "virtual functions: 8", "virtual functions");
	fail_at("sriov_numvfs", EIO);
	is_unchecked(EIO, "virtual functions", "a number that cannot be read");
	fail_at(NULL, 0);
	fake_remove(NIC "sriov_numvfs");
	fake_write(NIC "class", "0x060400\n");
	is_used(PEERBAR_USE_BRIDGE, "it is a bridge", "a bridge");
	fake_write(NIC "class", "0x020000\n");
}

static void test_share(void)
{
	make(NIC "virtio0", "virtio");
	fake_write(NIC "virtio0/mount_tag", "home\n");
	is_free("a folder that is not mounted");
	fake_write("proc/self/mountinfo", "30 22 0:40 / /x rw - tmpfs home rw\n"
					  "31 22 0:41 / /y rw - 9p homes rw\n");
	is_free("others of its name and type");
	fake_write("proc/812/mountinfo", "30 22 0:40 / /home rw - 9p home rw\n");
	is_used(PEERBAR_USE_SHARE, "home is mounted on /home, as process 812", "mounted elsewhere");
	fail_at("812/ns/mnt", EACCES);
	is_unchecked(EACCES, "home is mounted", "a namespace that cannot be looked at");
	fail_at(NULL, 0);
	fake_remove(NIC "virtio0/mount_tag");
	fake_link("../../../bus/pci/devices/" FAKE_NIC "/virtio0", "sys/fs/virtiofs/0/device");
	fake_write("sys/fs/virtiofs/0/tag", "home\n");
	is_free("a folder of another kind");
	fake_write("proc/812/mountinfo", "30 22 0:40 / /home rw - virtiofs home rw\n");
	is_used(PEERBAR_USE_SHARE, "home is mounted on /home", "virtiofs");
	fake_remove("sys/fs/virtiofs/0/device");
	fake_link("../../../bus/pci/devices/" FAKE_MEM "/virtio1", "sys/fs/virtiofs/0/device");
	is_free("a folder of another device");
	fake_remove("sys/fs/virtiofs/0");
	fake_remove(NIC "virtio0");
	fake_write("proc/812/mountinfo", "");
}

/* Failures ----------------------------------------------------------------------- */

/* Something of everything, and nobody uses any of it. */
static void make_everything(void)
{
	make_disk();
	fake_link("../../devices/virtual/nvme-subsystem/nvme-subsys0",
		  "sys/class/nvme-subsystem/nvme-subsys0");
	fake_remove(SUBSYS);
	fake_mkdir(SUBSYS "nvme0");
	make(NVME "nvme0c0n2", "block");
	fake_write(NVME "nvme0c0n2/hidden", "1\n");
	make_node(SUBSYS "nvme0n2", "block", "259:2", "nvme0n2");
	fake_write("dev/nvme0n2", "b 259:2");
	fake_write("sys/block/loop0/loop/backing_file", "/dev/other\n");
	fake_write("dev/other", "b 7:7");
	fake_write(TARGET "device_path", "/dev/other\n");
	fake_write(TARGET "enable", "1\n");
	make(NIC "net/eth0", "net");
	fake_write(NIC "net/eth0/flags", "0x1002\n");
	make(NIC "infiniband/mlx5_0", "infiniband");
	fake_write(NIC "infiniband/mlx5_0/ports/1/state", "1: DOWN\n");
	make(NIC "drm/card0/card0-DP-1", "drm");
	fake_write(NIC "drm/card0/card0-DP-1/enabled", "disabled\n");
	make(NIC "graphics/fb0", "graphics");
	fake_write(NIC "boot_vga", "1\n");
	fake_write(NIC "sriov_numvfs", "0\n");
	make(NIC "virtio0", "virtio");
	fake_write(NIC "virtio0/mount_tag", "home\n");
	fake_mkdir(NIC "virtio0/net-like");
	fake_link("../../../dev/null", "proc/812/fd/5");
	fake_write("dev/null", "c 1:3");
	make_node(NIC "vfio-dev/vfio3", "vfio-dev", "511:3", "vfio/devices/vfio3");
	fake_write("dev/vfio/devices/vfio3", "c 511:3");
	fake_write("sys/class/vfio/6/dev", "510:6\n");
	fake_write("dev/vfio/6", "c 510:6");
}

static void test_failures(void)
{
	unsigned int fds = count_fds(), n = 0, lies = 0;
	bool clean = true;

	make_everything();
	is_free("a device with everything");
	do {
		fake_pci.failed = false;
		fake_pci.fail_nth = ++n;
		if (!look() && fake_pci.failed) {
			note("call %u failed, and the device was said to be free", n);
			lies++;
		}
		fake_pci.fail_nth = 0;
		clean &= count_fds() == fds;
	} while (fake_pci.failed);
	note("%u calls were made to fail", n - 1);
	ok(n > 100, "looking makes calls that can fail");
	is_int(lies, 0, "none of them makes a device look free");
	ok(clean, "no descriptor is left open");
}

int main(void)
{
	fake_machine();
	make_machine();
	pb = fake_open();
	is_int(peerbar_device_in_use(pb, "nonsense", NULL, NULL), -EINVAL, "no address");
	is_int(peerbar_device_in_use(pb, "00:1d.0", NULL, NULL), -ENODEV, "no device");
	is_int(peerbar_device_in_use(pb, FAKE_NIC, NULL, NULL), 0, "nobody to report to");
	test_network();
	test_rdma();
	test_disk();
	test_disk_users();
	test_disk_failures();
	test_multipath();
	test_descriptors();
	test_vfio();
	test_display();
	test_boot_display();
	test_function();
	test_share();
	test_failures();
	peerbar_close(pb);
	return done_testing();
}
