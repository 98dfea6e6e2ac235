// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Devices, buffers, mappings and DMA mappings, against a kernel played by
 * fakekernel.c: what is asked of it, what its errnos become, and what is left
 * when any single call fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "fake.h"
#include "tap.h"
#include "uapi.h"
#include "util.h"

static const struct peerbar_range slice = {0x200000, 0x400000};
static struct peerbar *pb;

static struct peerbar_device *open_mem(void)
{
	struct peerbar_device *dev;

	if (peerbar_device_open(pb, FAKE_MEM, NULL, &dev))
		bail_out("cannot open " FAKE_MEM ": %s", fake_last_error());
	return dev;
}

static struct peerbar_buffer *export_slice(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf;

	if (peerbar_buffer_export(dev, 2, &slice, 1, NULL, &buf))
		bail_out("cannot export: %s", fake_last_error());
	return buf;
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
	fake.bind_iommufd = EINVAL;
	is_int(open_with(FAKE_MEM, any), -EBUSY, "it is open elsewhere");
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

/* Devices of one group have one address space, of two groups two. */
static void test_spaces(void)
{
	struct peerbar_device *mem = open_mem(), *reg, *twin;

	peerbar_device_open(pb, FAKE_REG, NULL, &reg);
	is_int(fake.live_ioas, 2, "two groups: two address spaces");
	fake_remove("sys/bus/pci/devices/" FAKE_NIC "/iommu_group");
	fake_link("../../../../kernel/iommu_groups/7",
		  "sys/bus/pci/devices/" FAKE_NIC "/iommu_group");
	fake_mkdir("sys/bus/pci/devices/" FAKE_NIC "/vfio-dev/vfio2");
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

/* What the kernel can do ------------------------------------------------------ */

static struct peerbar_device_caps caps_now(void)
{
	struct peerbar_device_caps caps = {.size = sizeof(caps)};
	struct peerbar_device *dev = open_mem();
	unsigned int maps = fake.maps, fds = count_fds();

	is_int(peerbar_device_caps(dev, &caps), 0, "caps");
	is_int(fake.maps, maps, "no DMA mapping is left");
	is_int(count_fds(), fds, "nor a descriptor");
	peerbar_device_close(dev);
	return caps;
}

static void test_caps(void)
{
	struct peerbar_device_caps caps = caps_now();

	ok(caps.dmabuf_export && caps.dmabuf_mmap && caps.dmabuf_revoke && caps.dmabuf_memattr &&
		   caps.iova_dmabuf && caps.reset,
	   "everything");
	fake.plain = true;
	fake.mmap = EINVAL;
	fake.no_dmabuf_map = true;
	caps = caps_now();
	ok(caps.dmabuf_export && !caps.dmabuf_mmap && !caps.dmabuf_revoke && !caps.dmabuf_memattr &&
		   !caps.iova_dmabuf && caps.reset,
	   "without the series: export only");
	fake.no_export = true;
	caps = caps_now();
	ok(!caps.dmabuf_export && !caps.dmabuf_mmap && caps.reset, "an old kernel: not even that");
	fake.plain = fake.no_export = fake.no_dmabuf_map = false;
	fake.mmap = 0;
	fake.export_dmabuf = EINVAL;
	caps = caps_now();
	ok(caps.dmabuf_export && !caps.dmabuf_mmap && !caps.iova_dmabuf,
	   "what cannot be tried is not claimed");
	fake.export_dmabuf = 0;
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

/* Attribute and revocation ------------------------------------------------------ */

static void test_memattr(struct peerbar_device *dev)
{
	static const int errnos[] = {ENODEV, EBADFD, EOPNOTSUPP};
	struct peerbar_buffer *buf = export_slice(dev);
	int fd = peerbar_buffer_fd(buf);

	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_WC), 0, "WC");
	is_int(peerbar_buffer_set_memattr(buf, PEERBAR_MEMATTR_NC), 0, "NC");
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
	has_str(fake_last_error(), "lacks the peerbar series", "the message says so");
	is_int(peerbar_buffer_set_memattr(buf, (enum peerbar_memattr)2), -ENOENT,
	       "without the series: unknown");
	is_int(peerbar_device_set_memattr_fd(dev, fd, 0), -EOPNOTSUPP,
	       "without the series, by descriptor");
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

/* DMA mappings ---------------------------------------------------------------- */

static int iova_map(struct peerbar_device *dev, struct peerbar_buffer *buf,
		    const struct peerbar_iova_options *options)
{
	struct peerbar_iova_map *untouched = (void *)buf, *map = untouched;
	int ret = peerbar_iova_map(dev, buf, 0, 0x1000, options, &map);

	if (ret)
		ok(map == untouched, "output untouched");
	else
		peerbar_iova_unmap(map);
	return ret;
}

static void test_iova_options(struct peerbar_device *dev, struct peerbar_buffer *buf)
{
	struct peerbar_iova_options options = {
		.size = sizeof(options), .iova = 0x10000, .fixed = true};
	struct peerbar_iova_map *map;

	is_int(peerbar_iova_map(dev, buf, 0, 0x1000, &options, &map), 0, "map at an address");
	is_int((long long)peerbar_iova(map), 0x10000, "it is that address");
	is_int((long long)fake.last_map_iova, 0x10000, "the kernel's, too");
	is_int(iova_map(dev, buf, &options), -EEXIST, "map there again");
	peerbar_iova_unmap(map);
	is_int(iova_map(dev, buf, &options), 0, "after unmapping it is free");
	options.iova = 0xfee00000;
	is_int(iova_map(dev, buf, &options), -ERANGE, "a reserved address");
	options.iova = 0x123;
	is_int(iova_map(dev, buf, &options), -EINVAL, "an unaligned address");
	options.iova = 0x10000000;
	options.iova_limit = 0x10000000;
	is_int(iova_map(dev, buf, &options), -ERANGE, "above the limit");
	options.fixed = false;
	is_int(iova_map(dev, buf, &options), 0, "anywhere below the limit");
	ok(fake.last_map_iova && fake.last_map_iova < 0x10000000, "it is");
	options.iova_limit = 0x1000;
	is_int(iova_map(dev, buf, &options), -ENOSPC, "no room");
	options.size = 1;
	is_int(iova_map(dev, buf, &options), -EINVAL, "a size too small");
}

static void test_iova_kernel(struct peerbar_device *dev, struct peerbar_buffer *buf)
{
	static const int errnos[] = {ENODEV, EOPNOTSUPP, ENOMEM};

	for (size_t i = 0; i < PB_ARRAY_SIZE(errnos); i++) {
		fake.map_file = errnos[i];
		is_int(iova_map(dev, buf, NULL), -errnos[i], "the kernel says %s",
		       strerror(errnos[i]));
	}
	fake.map_file = 0;
	fake.no_dmabuf_map = true;
	is_int(iova_map(dev, buf, NULL), -EOPNOTSUPP, "memfds only");
	fake.no_dmabuf_map = false;
}

static void test_iova(struct peerbar_device *dev)
{
	struct peerbar_export_options options = {.size = sizeof(options), .read_only = true};
	struct peerbar_device_options by_group = {.size = sizeof(by_group),
						  .backend = PEERBAR_BACKEND_GROUP};
	struct peerbar_buffer *buf = export_slice(dev), *fixed;
	struct peerbar_iova_map *map;
	struct peerbar_device *reg;

	is_int(peerbar_iova_map(dev, buf, 0, 0x400000, NULL, &map), 0, "map");
	ok(peerbar_iova(map) && pb_is_aligned(peerbar_iova(map), 0x200000),
	   "at an address for huge pages, not 0: %#llx", (unsigned long long)peerbar_iova(map));
	is_int(fake.last_map_flags,
	       PB_IOMMU_MAP_FIXED_IOVA | PB_IOMMU_MAP_READABLE | PB_IOMMU_MAP_WRITEABLE,
	       "read and write");
	peerbar_iova_unmap(map);
	is_int(peerbar_iova_map(dev, buf, 0x400000, 0x1000, NULL, &map), -EINVAL, "past the end");
	test_iova_options(dev, buf);
	test_iova_kernel(dev, buf);
	peerbar_buffer_export(dev, 2, &slice, 1, &options, &fixed);
	is_int(iova_map(dev, fixed, NULL), 0, "a read-only buffer");
	is_int(fake.last_map_flags, PB_IOMMU_MAP_FIXED_IOVA | PB_IOMMU_MAP_READABLE,
	       "is read only");
	peerbar_buffer_close(fixed);
	if (peerbar_device_open(pb, FAKE_REG, &by_group, &reg))
		bail_out("cannot open " FAKE_REG " by its group");
	is_int(iova_map(reg, buf, NULL), -EOPNOTSUPP, "by way of a group");
	has_str(fake_last_error(), "iommufd can", "the message says why");
	peerbar_device_close(reg);
	peerbar_buffer_close(buf);
	is_int(fake.maps, 0, "no DMA mapping is left");
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
	test_spaces();
	test_control();
	test_caps();
	dev = open_mem();
	test_export_input(dev);
	test_export_options(dev);
	test_export_kernel(dev);
	test_memattr(dev);
	test_revoke(dev);
	test_import(dev);
	test_map(dev);
	test_iova(dev);
	peerbar_device_close(dev);
	test_failures(PEERBAR_BACKEND_IOMMUFD, "iommufd");
	test_failures(PEERBAR_BACKEND_GROUP, "group");
	peerbar_close(pb);
	return done_testing();
}
