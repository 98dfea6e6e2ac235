// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DMA mappings against a played iommufd: what is mapped where, what its errnos
 * become, many of them, and the order in which things may be closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fakefixture.h"
#include "uapi.h"
#include "util.h"

static struct peerbar *pb;

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
	is_int((long long)fake.last_map.iova, 0x10000, "the kernel's, too");
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
	ok(fake.last_map.iova && fake.last_map.iova < 0x10000000, "it is");
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
	is_int(fake.last_map.flags,
	       PB_IOMMU_MAP_FIXED_IOVA | PB_IOMMU_MAP_READABLE | PB_IOMMU_MAP_WRITEABLE,
	       "read and write");
	peerbar_iova_unmap(map);
	is_int(peerbar_iova_map(dev, buf, 0x400000, 0x1000, NULL, &map), -EINVAL, "past the end");
	test_iova_options(dev, buf);
	test_iova_kernel(dev, buf);
	peerbar_buffer_export(dev, 2, &slice, 1, &options, &fixed);
	is_int(iova_map(dev, fixed, NULL), 0, "a read-only buffer");
	is_int(fake.last_map.flags, PB_IOMMU_MAP_FIXED_IOVA | PB_IOMMU_MAP_READABLE,
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

/* The slice, not the start of the buffer, and at an address like it. */
static void test_slice(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf = export_slice(dev);
	struct peerbar_iova_map *map;

	is_int(peerbar_iova_map(dev, buf, 0x3000, 0x200000, NULL, &map), 0, "a slice");
	is_int((long long)fake.last_map.start, 0x3000, "starts where it was asked for");
	is_int((long long)fake.last_map.length, 0x200000, "and is as long");
	is_int((long long)(peerbar_iova(map) & 0x1fffff), 0x3000, "at a congruent address");
	peerbar_iova_unmap(map);
	peerbar_buffer_close(buf);
}

/* More ranges than the first question has room for. */
static void test_many_ranges(struct peerbar_device *dev)
{
	struct peerbar_iova_options options = {.size = sizeof(options), .fixed = true};
	struct peerbar_buffer *buf = export_slice(dev);

	fake.nr_ranges = 20;
	options.iova = 19 * 0x100000;
	is_int(iova_map(dev, buf, &options), 0, "in the last of twenty ranges");
	options.iova = 19 * 0x100000 + 0x80000;
	is_int(iova_map(dev, buf, &options), -ERANGE, "behind it");
	fake.nr_ranges = 0;
	peerbar_buffer_close(buf);
}

static void test_coarse_iommu(struct peerbar_device *dev)
{
	struct peerbar_iova_options options = {
		.size = sizeof(options), .iova = 0x1000, .fixed = true};
	struct peerbar_buffer *buf = export_slice(dev);
	struct peerbar_iova_map *map;

	fake.iova_alignment = 0x10000;
	is_int(peerbar_iova_map(dev, buf, 0x3000, 0x20000, NULL, &map), 0,
	       "two pages of an IOMMU's 64 KiB");
	is_int((long long)(peerbar_iova(map) & 0xffff), 0, "at one of its pages");
	peerbar_iova_unmap(map);
	is_int(peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &map), -EINVAL, "less than one");
	is_int(peerbar_iova_map(dev, buf, 0, 0x10000, &options, &map), -EINVAL,
	       "at an address between them");
	fake.iova_alignment = 0;
	peerbar_buffer_close(buf);
}

/* What the kernel finds invalid is not what it does not have. */
static void test_invalid(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf = export_slice(dev);
	struct peerbar_iova_map *map;

	fake.map_file_once = EINVAL;
	is_int(peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &map), -EINVAL,
	       "EINVAL of a kernel that takes dma-bufs");
	fake.export_dmabuf = EOPNOTSUPP;
	fake.map_file_once = EINVAL;
	is_int(peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &map), -EINVAL,
	       "the same for a device that exports nothing itself");
	fake.export_dmabuf = 0;
	fake.no_map_file = true;
	is_int(iova_map(dev, buf, NULL), -EOPNOTSUPP, "no IOMMU_IOAS_MAP_FILE");
	fake.no_map_file = false;
	is_int(fake.maps, 0, "nothing is left of asking again");
	peerbar_buffer_close(buf);
}

/* What is closed first. */
static void test_order(void)
{
	struct peerbar_device *mem = open_device(pb, FAKE_MEM), *reg = open_device(pb, FAKE_REG);
	struct peerbar_buffer *buf = export_slice(mem);
	struct peerbar_iova_map *own, *others;

	peerbar_iova_map(mem, buf, 0, 0x1000, NULL, &own);
	peerbar_iova_map(reg, buf, 0, 0x1000, NULL, &others);
	is_int(fake.maps, 2, "one for each of two devices");
	peerbar_buffer_close(buf);
	peerbar_device_close(mem);
	is_int(fake.maps, 1, "what a device sees goes with it");
	peerbar_iova_unmap(own);
	peerbar_iova_unmap(others);
	is_int(fake.maps, 0, "the other one was undone");
	peerbar_device_close(reg);
	is_int(fake.live_ioas, 0, "no address space is left");
}

static void test_errno(void)
{
	struct peerbar_device *dev = open_device(pb, FAKE_MEM);
	struct peerbar_buffer *buf = export_slice(dev);
	struct peerbar_iova_map *map;

	if (peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &map))
		bail_out("cannot map: %s", fake_last_error());
	fake.unmap = fake.destroy = EIO;
	errno = EXDEV;
	peerbar_iova_unmap(map);
	is_int(errno, EXDEV, "unmapping leaves errno alone, though it fails");
	has_str(fake_last_error(), "DMA mapping", "the message says that it did");
	peerbar_buffer_close(buf);
	is_int(errno, EXDEV, "so does closing the buffer");
	peerbar_device_close(dev);
	is_int(errno, EXDEV, "and the device");
	fake.unmap = fake.destroy = 0;
	fake.live_ioas--; /* the one that would not go */
}

/* Thousands ------------------------------------------------------------------- */

static double used(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Maps @n pages, undoes every other one, maps as many again, undoes all. */
static double many(struct peerbar_device *dev, struct peerbar_buffer *buf, size_t n)
{
	struct peerbar_iova_map **maps = calloc(n, sizeof(*maps));
	double start = used();
	size_t i;

	for (i = 0; i < n; i++) {
		if (peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &maps[i]))
			bail_out("cannot map: %s", fake_last_error());
	}
	for (i = 0; i < n; i += 2) {
		peerbar_iova_unmap(maps[i]);
		maps[i] = NULL;
	}
	for (i = 0; i < n; i += 2) {
		if (peerbar_iova_map(dev, buf, 0, 0x1000, NULL, &maps[i]))
			bail_out("cannot map: %s", fake_last_error());
	}
	for (i = 0; i < n; i++)
		peerbar_iova_unmap(maps[i]);
	free(maps);
	return used() - start;
}

/*
 * The played kernel goes through its list each time, at 16 for four times as
 * many, but is quick; a library that does so as often as it has mappings is not.
 */
static void test_many(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf = export_slice(dev);
	double few = many(dev, buf, 1000), lots = many(dev, buf, 4000);

	note("1000: %.1f ms; 4000: %.1f ms", few * 1e3, lots * 1e3);
	ok(lots < 20 * few, "four thousand DMA mappings");
	is_int(fake.maps, 0, "none is left");
	peerbar_buffer_close(buf);
}

int main(void)
{
	struct peerbar_device *dev;

	fake_machine();
	pb = fake_open();
	dev = open_device(pb, FAKE_MEM);
	test_iova(dev);
	test_slice(dev);
	test_many_ranges(dev);
	test_coarse_iommu(dev);
	test_invalid(dev);
	test_many(dev);
	peerbar_device_close(dev);
	test_order();
	test_errno();
	peerbar_close(pb);
	is_int(fake.misuses, 0, "nothing was asked for that no caller should");
	return done_testing();
}
