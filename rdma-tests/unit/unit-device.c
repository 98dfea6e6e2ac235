// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Devices, buffers and mappings, against a kernel played by fakekernel.c: what
 * is asked of it, what its errnos become, and what is left when any single call
 * fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "fakefixture.h"
#include "uapi.h"
#include "util.h"

static struct peerbar *pb;

static struct peerbar_device *open_mem(void)
{
	return open_device(pb, FAKE_MEM);
}

/* Opening -------------------------------------------------------------------- */

static int open_with(const char *address, enum peerbar_backend backend)
{
	struct peerbar_device_options options = {.size = sizeof(options), .backend = backend};
	struct peerbar_device *untouched = (void *)&options, *dev = untouched;
	int ret;

	ret = peerbar_device_open(pb, address, &options, &dev);
	if (ret)
		ok(dev == untouched, "%s: output untouched", address);
	else
		peerbar_device_close(dev);
	return ret;
}

static void test_open_errors(void)
{
	const enum peerbar_backend any = PEERBAR_BACKEND_AUTO;

	is_int(open_with("nonsense", any), -EINVAL, "no address");
	is_int(open_with("00:1d.0", any), -ENODEV, "no such device");
	is_int(open_with(FAKE_NIC, any), -ENXIO, "not bound");
	has_str(fake_last_error(), "run peerbar bind " FAKE_NIC, "the message says what to do");
	is_int(open_with(FAKE_IDLE, any), -ENXIO, "no driver at all");
	is_int(open_with(FAKE_MEM, (enum peerbar_backend)7), -EINVAL, "an unknown backend");

	fake.deny = "/vfio0";
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_IOMMUFD), -EACCES,
	       "no permission for the device");
	has_str(fake_last_error(), "run as root", "the message says so");
	fake.deny = "iommu";
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_IOMMUFD), -EACCES, "no permission for iommufd");
	fake.deny = "vfio/7";
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_GROUP), -EACCES, "no permission for the group");
	fake.deny = NULL;

	fake.bind_iommufd = EBUSY;
	is_int(open_with(FAKE_MEM, any), -EBUSY, "its group is in use");
	has_str(fake_last_error(), "another program", "the message says by whom");
	fake_mkdir("sys/kernel/iommu_groups/7/devices/" FAKE_MEM);
	fake_mkdir("sys/kernel/iommu_groups/7/devices/" FAKE_NIC);
	is_int(open_with(FAKE_MEM, any), -EUSERS, "the kernel has another device of its group");
	has_str(fake_last_error(), FAKE_NIC " of its IOMMU group 7 has the driver e1000e",
		"the message names it");
	fake.bind_iommufd = EPERM;
	is_int(open_with(FAKE_MEM, any), -EUSERS, "as newer kernels tell it");
	fake_remove("sys/kernel/iommu_groups/7/devices");
	fake.bind_iommufd = EINVAL;
	is_int(open_with(FAKE_MEM, any), -EBUSY, "it is open elsewhere");
	has_str(fake_last_error(), "open elsewhere", "the message says so");
	fake.bind_iommufd = 0;
	fake.attach = EINVAL;
	is_int(open_with(FAKE_MEM, any), -EINVAL, "it cannot be attached");
	fake.attach = 0;
	is_int(fake.live_ioas, 0, "no address space is left");
}

static void test_backends(void)
{
	struct peerbar_device *dev = open_mem();
	struct peerbar_bar_info bar;

	is_int(peerbar_device_backend(dev), PEERBAR_BACKEND_IOMMUFD, "iommufd is preferred");
	is_str(peerbar_device_address(dev), FAKE_MEM, "its address");
	ok(fcntl(peerbar_device_fd(dev), F_GETFD) & FD_CLOEXEC, "O_CLOEXEC");
	is_int(peerbar_device_bar(dev, 2, &bar), 0, "BAR 2");
	ok(bar.length == 0x4000000 && bar.is_64bit && bar.can_mmap, "is what sysfs and vfio say");
	is_int(peerbar_device_bar(dev, 6, &bar), -EINVAL, "BAR 6");
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_AUTO), -EBUSY, "open it again");
	peerbar_device_close(dev);

	fake.deny = "iommu";
	dev = open_mem();
	is_int(peerbar_device_backend(dev), PEERBAR_BACKEND_GROUP,
	       "without rights to /dev/iommu: the group");
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_AUTO), -EBUSY, "open it again by its group");
	has_str(fake_last_error(), "this context has it open", "the message says so");
	peerbar_device_close(dev);
	fake.deny = NULL;

	fake_remove("dev/iommu");
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_IOMMUFD), -EOPNOTSUPP, "no iommufd");
	has_str(fake_last_error(), "CONFIG_IOMMUFD", "the message says so");
	dev = open_mem();
	is_int(peerbar_device_backend(dev), PEERBAR_BACKEND_GROUP, "the group is the way out");
	peerbar_device_close(dev);
	fake_remove("dev/vfio/vfio");
	is_int(open_with(FAKE_MEM, PEERBAR_BACKEND_AUTO), -EOPNOTSUPP,
	       "neither iommufd nor containers");
	fake_write("dev/vfio/vfio", "");
	fake_write("dev/iommu", "");
}

/* A node that is not the device's own is not opened, let alone reset. */
static void test_nodes(void)
{
	const enum peerbar_backend any = PEERBAR_BACKEND_AUTO;

	fake.minor_offset = 1;
	is_int(open_with(FAKE_MEM, any), -ENODEV, "the node is another device's");
	has_str(fake_last_error(), "stale node", "the message says so");
	fake.minor_offset = 0;
	fake.swapped = true;
	is_int(open_with(FAKE_MEM, any), -ENODEV, "it becomes another one meanwhile");
	fake.swapped = false;
	fake_write("sys/bus/pci/devices/" FAKE_MEM "/vfio-dev/vfio0/dev", "511\n");
	is_int(open_with(FAKE_MEM, any), -EIO, "sysfs has nonsense");
	fake_remove("sys/bus/pci/devices/" FAKE_MEM "/vfio-dev/vfio0/dev");
	is_int(open_with(FAKE_MEM, any), -ENODEV, "sysfs has nothing: it was unplugged");
	fake_vfio_number(FAKE_MEM, "vfio0");
	is_int(open_with(FAKE_MEM, any), 0, "its own");
	is_int(fake.live_ioas, 0, "no address space is left");
}

static void test_groups(void)
{
	const enum peerbar_backend group = PEERBAR_BACKEND_GROUP;

	is_int(open_with(FAKE_MEM, group), 0, "by its group");
	fake.not_viable = true;
	is_int(open_with(FAKE_MEM, group), -EBUSY, "a neighbour is somebody else's");
	fake_mkdir("sys/kernel/iommu_groups/7/devices/" FAKE_NIC);
	is_int(open_with(FAKE_MEM, group), -EUSERS, "a neighbour has a driver of the kernel");
	has_str(fake_last_error(), "bind that device, too", "the message says what to do");
	fake_remove("sys/kernel/iommu_groups/7/devices");
	fake.not_viable = false;
	fake.no_type1 = true;
	is_int(open_with(FAKE_MEM, group), -EOPNOTSUPP, "no IOMMU of that type");
	fake.no_type1 = false;
	fake_write("dev/vfio/noiommu-7", "");
	is_int(open_with(FAKE_MEM, group), -EOPNOTSUPP, "vfio without an IOMMU");
	has_str(fake_last_error(), "noiommu", "the message says so");
	fake_remove("dev/vfio/noiommu-7");
}

/* vfio has the last word about BARs. */
static void test_bars(void)
{
	struct peerbar_device *dev;
	struct peerbar_bar_info bar;

	fake.no_bar0 = true;
	dev = open_mem();
	is_int(peerbar_device_bar(dev, 0, &bar), 0, "BAR 0");
	is_int((long long)bar.length, 0, "does not exist for vfio");
	peerbar_device_close(dev);
	fake.no_bar0 = false;
}

/* Devices of one group have one address space, of two groups two. */
static void test_spaces(void)
{
	struct peerbar_device *mem = open_mem(), *reg, *twin;

	peerbar_device_open(pb, FAKE_REG, NULL, &reg);
	is_int(fake.live_ioas, 2, "two groups: two address spaces");
	fake_remove("sys/bus/pci/devices/" FAKE_NIC "/iommu_group");
	fake_link("../../../../kernel/iommu_groups/7",
		  "sys/bus/pci/devices/" FAKE_NIC "/iommu_group");
	fake_vfio_number(FAKE_NIC, "vfio2");
	fake_write("dev/vfio/devices/vfio2", "");
	is_int(peerbar_device_open(pb, FAKE_NIC, NULL, &twin), 0, "a second device of a group");
	is_int(fake.live_ioas, 2, "shares its address space");
	peerbar_device_close(mem);
	is_int(fake.live_ioas, 2, "which outlives the first");
	peerbar_device_close(twin);
	is_int(fake.live_ioas, 1, "but not the last");
	peerbar_device_close(reg);
	is_int(fake.live_ioas, 0, "nothing is left");
	fake_remove("sys/bus/pci/devices/" FAKE_NIC "/vfio-dev");
}

static void test_control(void)
{
	struct peerbar_device *dev = open_mem();

	fake.pci_command = 0x0402;
	is_int(peerbar_device_set_bus_master(dev, true), 0, "bus master on");
	is_int(fake.pci_command, 0x0406, "one bit is set");
	is_int(peerbar_device_set_bus_master(dev, false), 0, "bus master off");
	is_int(fake.pci_command, 0x0402, "one bit is cleared");
	fake.bus_master = EIO;
	is_int(peerbar_device_set_bus_master(dev, true), -EIO, "no answer");
	fake.bus_master = 0;
	is_int(peerbar_device_reset(dev), 0, "reset");
	fake.reset = EINVAL;
	is_int(peerbar_device_reset(dev), -EINVAL, "a reset that fails");
	fake.reset = 0;
	peerbar_device_close(dev);
	fake.no_reset = true;
	dev = open_mem();
	is_int(peerbar_device_reset(dev), -EOPNOTSUPP, "no reset");
	peerbar_device_close(dev);
	fake.no_reset = false;
}

/* Export ---------------------------------------------------------------------- */

static int export_range(struct peerbar_device *dev, unsigned int bar, uint64_t offset,
			uint64_t length)
{
	struct peerbar_range range = {offset, length};
	struct peerbar_buffer *untouched = (void *)&range, *buf = untouched;
	int ret = peerbar_buffer_export(dev, bar, &range, 1, NULL, &buf);

	if (ret)
		ok(buf == untouched, "output untouched");
	else
		peerbar_buffer_close(buf);
	return ret;
}

static void test_export_input(struct peerbar_device *dev)
{
	unsigned int exports = fake.exports;

	is_int(export_range(dev, 6, 0, 4096), -EINVAL, "BAR 6");
	is_int(export_range(dev, 1, 0, 4096), -ENXIO, "a BAR it has not");
	has_str(fake_last_error(), "has no BAR 1", "the message says so");
	is_int(export_range(dev, 2, 1, 4096), -EINVAL, "unaligned");
	has_str(fake_last_error(), "whole pages", "the message says so");
	is_int(export_range(dev, 2, 0, 0), -EINVAL, "empty");
	has_str(fake_last_error(), "no length", "the message says so");
	is_int(export_range(dev, 2, 0x4000000, 4096), -EINVAL, "past the BAR");
	has_str(fake_last_error(), "past the end", "the message says so");
	is_int(peerbar_buffer_export(dev, 2, NULL, 0, NULL, NULL), -EINVAL, "no output");
	is_int(fake.exports, exports, "the kernel was not bothered");
	is_int(export_range(dev, 2, 0, 0x4000000), 0, "all of the BAR");
	is_int(export_range(dev, 0, 0x3000, 4096), 0, "the end of BAR 0");
	is_int(fake.last_bar, 0, "the kernel was asked for BAR 0");
	is_int((long long)fake.last_range.offset, 0x3000, "and for that part of it");
	is_int(export_range(dev, 2, 0x5000, 0x3000), 0, "a part of BAR 2");
	is_int(fake.last_bar, 2, "the kernel was asked for BAR 2");
	ok(fake.last_range.offset == 0x5000 && fake.last_range.length == 0x3000,
	   "and for that part");
}

static void test_export_options(struct peerbar_device *dev)
{
	struct peerbar_export_options options = {.size = sizeof(options)};
	struct peerbar_buffer *buf = NULL;

	options.memattr = PEERBAR_MEMATTR_WC;
	options.read_only = true;
	is_int(peerbar_buffer_export(dev, 2, &slice, 1, &options, &buf), 0, "WC and read-only");
	is_int(fake.last_open_flags, O_RDONLY | O_CLOEXEC, "open flags");
	is_int(buf->memattr, PEERBAR_MEMATTR_WC, "the attribute is kept");
	is_int((long long)peerbar_buffer_length(buf), 0x400000, "its length");
	ok(fcntl(peerbar_buffer_fd(buf), F_GETFD) & FD_CLOEXEC, "O_CLOEXEC");
	peerbar_buffer_close(buf);
	buf = NULL;
	options.memattr = (enum peerbar_memattr)7;
	is_int(peerbar_buffer_export(dev, 2, &slice, 1, &options, &buf), -ENOENT,
	       "an unknown attribute");
	options.size = 4;
	is_int(peerbar_buffer_export(dev, 2, &slice, 1, &options, &buf), -EINVAL,
	       "a size too small");
	ok(!buf, "no buffer came of it");
}

static void test_export_sync_importers(struct peerbar_device *dev)
{
	static const int errnos[] = {EINVAL, EOPNOTSUPP};
	struct peerbar_export_options options = {.size = sizeof(options), .sync_importers = true};
	struct peerbar_buffer *buf = NULL;

	is_int(export_range(dev, 2, 0, 0x1000), 0, "an export of any kind");
	is_int(fake.last_export_flags, 0, "has no flags");
	is_int(peerbar_buffer_export(dev, 2, &slice, 1, &options, &buf), 0, "sync_importers");
	is_int(fake.last_export_flags, PB_DMA_BUF_SYNC_IMPORTERS, "is the kernel's flag");
	peerbar_buffer_close(buf);
	buf = NULL;
	for (size_t i = 0; i < PB_ARRAY_SIZE(errnos); i++) {
		fake.no_export_flags = errnos[i];
		is_int(peerbar_buffer_export(dev, 2, &slice, 1, &options, &buf), -EOPNOTSUPP,
		       "a kernel without the flag says %s", strerror(errnos[i]));
	}
	fake.no_export_flags = 0;
	ok(!buf, "no buffer came of it");
}

static void test_export_kernel(struct peerbar_device *dev)
{
	static const int errnos[] = {EINVAL, ENODEV, ENOMEM, EMFILE, EPERM};

	for (size_t i = 0; i < PB_ARRAY_SIZE(errnos); i++) {
		fake.export_dmabuf = errnos[i];
		is_int(export_range(dev, 2, 0, 4096), -errnos[i], "the kernel says %s",
		       strerror(errnos[i]));
	}
	fake.export_dmabuf = EOPNOTSUPP;
	is_int(export_range(dev, 2, 0, 4096), -EOPNOTSUPP, "not this device");
	fake.export_dmabuf = 0;
	fake.no_export = true;
	is_int(export_range(dev, 2, 0, 4096), -EOPNOTSUPP, "an old kernel");
	has_str(fake_last_error(), "CONFIG_VFIO_PCI_DMABUF", "the message says so");
	fake.no_export = false;
}

static void test_export_ranges(struct peerbar_device *dev)
{
	const struct peerbar_range ranges[] = {{0x200000, 0x1000}, {0, 0x3000}, {0x100000, 0x2000}};
	struct peerbar_buffer *buf;

	is_int(peerbar_buffer_export(dev, 2, ranges, 3, NULL, &buf), 0, "three ranges");
	is_int(fake.last_ranges, 3, "the kernel gets three");
	ok(fake.last_range.offset == 0x100000 && fake.last_range.length == 0x2000,
	   "in their order");
	is_int((long long)peerbar_buffer_length(buf), 0x6000, "the buffer is as long as all");
	peerbar_buffer_close(buf);
}

/* Attribute and revocation ------------------------------------------------------ */

static void test_memattr(struct peerbar_device *dev)
{
	static const int errnos[] = {ENODEV, EBADFD, EOPNOTSUPP};
	struct peerbar_buffer *buf = export_slice(dev);
	int fd = peerbar_buffer_fd(buf);

	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC), 0, "WC");
	is_int(fake.last_memattr, PEERBAR_MEMATTR_WC, "the kernel gets it");
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_NC), 0, "NC");
	is_int(fake.last_memattr, PEERBAR_MEMATTR_NC, "the kernel gets it");
	is_int(peerbar_buffer_set_memattr(buf, (enum peerbar_memattr)2), -ENOENT, "unknown");
	is_int(peerbar_device_set_memattr_fd(dev, fd, 2), -ENOENT, "unknown, by descriptor");
	is_int(peerbar_device_set_memattr_fd(dev, -1, 0), -EBADF, "not open");
	is_int(peerbar_device_set_memattr_fd(dev, 1, 0), -EINVAL, "no dma-buf");
	for (size_t i = 0; i < PB_ARRAY_SIZE(errnos); i++) {
		fake.memattr = errnos[i];
		is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC), -errnos[i],
		       "the kernel says %s", strerror(errnos[i]));
		is_int(peerbar_device_set_memattr_fd(dev, fd, 1), -errnos[i], "by descriptor: %s",
		       strerror(errnos[i]));
	}
	fake.memattr = 0;
	is_int(buf->memattr, PEERBAR_MEMATTR_NC, "failures change nothing");

	fake.plain = true;
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_NC), 0,
	       "without the series: NC is what there is");
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC), -EOPNOTSUPP,
	       "without the series: no WC");
	has_str(fake_last_error(), "no such feature", "the message says so");
	is_int(peerbar_buffer_set_memattr(buf, (enum peerbar_memattr)2), -ENOENT,
	       "without the series: unknown");
	is_int(peerbar_device_set_memattr_fd(dev, fd, 0), -EOPNOTSUPP,
	       "without the series, by descriptor");
	fake.lacks = EOPNOTSUPP;
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_NC), 0,
	       "one that says EOPNOTSUPP: NC is what there is");
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC), -EOPNOTSUPP, "and no WC");
	fake.lacks = 0;
	fake.plain = false;
	peerbar_buffer_close(buf);
}

static void test_revoke(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf = export_slice(dev);
	int fd = peerbar_buffer_fd(buf);

	is_int(peerbar_buffer_revoke(buf), 0, "revoke");
	fake.revoke = EBADFD;
	is_int(peerbar_buffer_revoke(buf), -EBADFD, "revoke it again");
	has_str(fake_last_error(), "revoked for good", "the message says so");
	fake.revoke = ENODEV;
	is_int(peerbar_device_revoke_fd(dev, fd), -ENODEV, "not this device's");
	fake.revoke = 0;
	is_int(peerbar_device_revoke_fd(dev, -1), -EBADF, "not open");
	is_int(peerbar_device_revoke_fd(dev, 1), -EINVAL, "no dma-buf");
	fake.plain = true;
	is_int(peerbar_buffer_revoke(buf), -EOPNOTSUPP, "without the series");
	is_int(peerbar_device_revoke_fd(dev, fd), -EOPNOTSUPP, "without the series, by descriptor");
	fake.plain = false;
	peerbar_buffer_close(buf);
}

static int map_slice(struct peerbar_buffer *buf, uint64_t offset, size_t length)
{
	struct peerbar_mapping *untouched = (void *)&offset, *map = untouched;
	int ret = peerbar_map(buf, offset, length, NULL, &map);

	if (ret)
		ok(map == untouched, "output untouched");
	else
		peerbar_unmap(map);
	return ret;
}

/* Whoever has a buffer may be told late that its device was closed. */
static void test_closed_device(void)
{
	struct peerbar_device *dev = open_mem();
	struct peerbar_buffer *buf = export_slice(dev);
	unsigned int fds = count_fds();

	peerbar_device_close(dev);
	is_int(count_fds(), fds - 1, "the device is closed");
	is_int(peerbar_buffer_revoke(buf), -ENODEV, "revoke");
	has_str(fake_last_error(), "was closed", "the message says so");
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC), -ENODEV, "attribute");
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_NC), -ENODEV, "even noncached");
	is_int(map_slice(buf, 0, 0x1000), -ENODEV, "map");
	is_int((long long)peerbar_buffer_length(buf), 0x400000, "its length is known still");
	dev = open_mem();
	is_int(peerbar_buffer_revoke(buf), -ENODEV, "a new handle of the device changes nothing");
	is_int(peerbar_device_revoke_fd(dev, peerbar_buffer_fd(buf)), -ENODEV,
	       "nor does the descriptor");
	peerbar_buffer_close(buf);
	peerbar_device_close(dev);
}

static void test_read_only_import(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf = export_slice(dev), *copy;
	struct peerbar_iova_map *map;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", peerbar_buffer_fd(buf));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	is_int(peerbar_buffer_import(pb, fd, &copy), 0, "import a descriptor for reading");
	close(fd);
	is_int(map_slice(copy, 0, 0x1000), -EACCES, "it cannot be mapped for writing");
	is_int(peerbar_iova_map(dev, copy, 0, 0x1000, NULL, &map), 0, "a device may");
	is_int(fake.last_map.flags, PB_IOMMU_MAP_FIXED_IOVA | PB_IOMMU_MAP_READABLE, "read it");
	peerbar_iova_unmap(map);
	peerbar_buffer_close(copy);
	peerbar_buffer_close(buf);
}

static void test_import(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf = export_slice(dev), *copy = NULL;
	int fd = peerbar_buffer_fd(buf);

	is_int(peerbar_buffer_import(pb, -1, &copy), -EBADF, "not open");
	is_int(peerbar_buffer_import(pb, 1, &copy), -EINVAL, "no dma-buf");
	ok(!copy, "output untouched");
	is_int(peerbar_buffer_import(pb, fd, &copy), 0, "import");
	ok(peerbar_buffer_fd(copy) != fd, "the descriptor is another one");
	ok(fcntl(peerbar_buffer_fd(copy), F_GETFD) & FD_CLOEXEC, "O_CLOEXEC");
	is_int((long long)peerbar_buffer_length(copy), 0x400000, "its length");
	is_int(peerbar_buffer_revoke(copy), -EOPNOTSUPP, "revoke");
	is_int(peerbar_buffer_set_memattr(copy, PEERBAR_MEMATTR_NC), -EOPNOTSUPP, "attribute");
	peerbar_buffer_close(buf);
	ok(fcntl(peerbar_buffer_fd(copy), F_GETFD) >= 0, "it outlives the original");
	peerbar_buffer_close(copy);
}

/* CPU mappings --------------------------------------------------------------- */

static void test_map(struct peerbar_device *dev)
{
	static const struct {
		int kernel, want;
	} errnos[] = {
		{EINVAL, -EOPNOTSUPP}, {ENODEV, -ENODEV}, {EBUSY, -EBUSY},
		{EACCES, -EACCES},     {EAGAIN, -EAGAIN},
	};
	struct peerbar_map_options options = {.size = sizeof(options), .read_only = true};
	struct peerbar_buffer *buf = export_slice(dev);
	struct peerbar_mapping *map;
	volatile uint32_t *word;

	is_int(peerbar_map(buf, 0, 0x400000, NULL, &map), 0, "map");
	word = peerbar_mapping_addr(map);
	ok(pb_is_aligned((uintptr_t)word, 0x200000), "at an address for huge pages: %p",
	   (void *)(uintptr_t)word);
	is_int((long long)peerbar_mapping_length(map), 0x400000, "its length");
	*word = 7;
	is_int(*word, 7, "it can be written and read");
	peerbar_unmap(map);
	is_int(peerbar_map(buf, 0x1000, 0x1000, &options, &map), 0, "map a page for reading");
	peerbar_unmap(map);

	fake.ignored_hints = 2;
	is_int(peerbar_map(buf, 0, 0x400000, NULL, &map), 0, "somebody else is faster");
	ok(pb_is_aligned((uintptr_t)peerbar_mapping_addr(map), 0x200000),
	   "the address is for huge pages all the same");
	peerbar_unmap(map);
	fake.ignored_hints = 1000;
	is_int(peerbar_map(buf, 0, 0x400000, NULL, &map), 0, "each time: small pages");
	peerbar_unmap(map);
	fake.ignored_hints = 0;

	is_int(map_slice(buf, 0, 0), -EINVAL, "nothing");
	is_int(map_slice(buf, 1, 0x1000), -EINVAL, "unaligned");
	is_int(map_slice(buf, 0x400000, 0x1000), -EINVAL, "past the end");
	options.size = 0;
	is_int(peerbar_map(buf, 0, 0x1000, &options, &map), -EINVAL, "options");
	for (size_t i = 0; i < PB_ARRAY_SIZE(errnos); i++) {
		fake.mmap = errnos[i].kernel;
		is_int(map_slice(buf, 0, 0x200000), errnos[i].want, "the kernel says %s",
		       strerror(errnos[i].kernel));
	}
	fake.mmap = 0;
	peerbar_buffer_close(buf);
}

/* Failures -------------------------------------------------------------------- */

/* The whole way of a buffer; 0 when all of it worked. */
static int whole_way(enum peerbar_backend backend)
{
	struct peerbar_device_options by = {.size = sizeof(by), .backend = backend};
	struct peerbar_device_caps caps = {.size = sizeof(caps)};
	struct peerbar_buffer *buf = NULL, *copy = NULL;
	struct peerbar_iova_map *iova = NULL;
	struct peerbar_mapping *map = NULL;
	struct peerbar_device *dev = NULL;
	int ret;

	ret = peerbar_device_open(pb, FAKE_MEM, &by, &dev);
	if (!ret)
		ret = peerbar_device_caps(dev, &caps);
	if (!ret)
		ret = peerbar_buffer_export(dev, 2, &slice, 1, NULL, &buf);
	if (!ret)
		ret = peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC);
	if (!ret)
		ret = peerbar_buffer_import(pb, peerbar_buffer_fd(buf), &copy);
	if (!ret)
		ret = peerbar_map(copy, 0, 0x200000, NULL, &map);
	if (!ret && backend == PEERBAR_BACKEND_IOMMUFD)
		ret = peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &iova);
	if (!ret)
		ret = peerbar_buffer_revoke(buf);
	peerbar_iova_unmap(iova);
	peerbar_unmap(map);
	peerbar_buffer_close(copy);
	peerbar_buffer_close(buf);
	peerbar_device_close(dev);
	return ret;
}

static void test_failures(enum peerbar_backend backend, const char *name)
{
	bool clean = true, explained = true;
	unsigned int n = 0, fds;

	whole_way(backend); /* the context keeps its iommufd from now on */
	fds = count_fds();
	do {
		int ret;

		fake_clear_log();
		fake.failed = false;
		fake.fail_nth = ++n;
		ret = whole_way(backend);
		fake.fail_nth = 0;
		clean &= count_fds() == fds && !fake.maps && !fake.live_ioas;
		/* Out of memory is said by the errno alone. */
		explained &= !ret || ret == -ENOMEM || *fake_last_error();
	} while (fake.failed);
	note("%s: %u calls were made to fail", name, n - 1);
	ok(n > 15, "%s: there are calls that can fail", name);
	ok(clean, "%s: nothing was left by any failure", name);
	ok(explained, "%s: every failure had a message", name);
}

int main(void)
{
	struct peerbar_device *dev;

	fake_machine();
	pb = fake_open();
	test_open_errors();
	test_backends();
	test_nodes();
	test_groups();
	test_bars();
	test_spaces();
	test_control();
	dev = open_mem();
	test_export_input(dev);
	test_export_options(dev);
	test_export_sync_importers(dev);
	test_export_ranges(dev);
	test_export_kernel(dev);
	test_memattr(dev);
	test_revoke(dev);
	test_import(dev);
	test_read_only_import(dev);
	test_map(dev);
	peerbar_device_close(dev);
	test_closed_device();
	test_failures(PEERBAR_BACKEND_IOMMUFD, "iommufd");
	test_failures(PEERBAR_BACKEND_GROUP, "group");
	peerbar_close(pb);
	is_int(fake.misuses, 0, "nothing was asked for that no caller should");
	return done_testing();
}
