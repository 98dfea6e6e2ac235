// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The type1 IOMMU driver looks up the pages of a mapping once and keeps them, so that it would not notice a
 * revocation. It maps a BAR as it always has, and not what a dma-buf is mapped to.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define IOVA   0x100000ULL
#define NEEDS  (FIXTURE_MEM | NEED_MMAP)

struct type1 {
	int container;
	int group;
};

/* A container with the register device's group, which nobody else has open. */
static void type1_open(struct type1 *t)
{
	char link[PATH_MAX], target[PATH_MAX], path[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group",
		 fixture_env("PEERBAR_REGDEV"));
	length = readlink(link, target, sizeof(target) - 1);
	CHECK(length > 0, "%s: %m", link);
	target[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);
	t->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	CHECK(t->container >= 0, "/dev/vfio/vfio: %m");
	t->group = open(path, O_RDWR | O_CLOEXEC);
	CHECK(t->group >= 0, "%s: %m", path);
	CHECK_SYS(ioctl(t->group, VFIO_GROUP_SET_CONTAINER, &t->container), 0);
	CHECK_SYS(ioctl(t->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
}

static void type1_close(struct type1 *t)
{
	close(t->group);
	close(t->container);
}

static int type1_map(struct type1 *t, volatile void *at)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)at,
		.iova = IOVA,
		.size = LENGTH,
	};

	return ioctl(t->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static void type1_unmap(struct type1 *t)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = IOVA,
		.size = LENGTH,
	};

	CHECK_SYS(ioctl(t->container, VFIO_IOMMU_UNMAP_DMA, &unmap), 0);
	CHECK(unmap.size == LENGTH, "%llu bytes were mapped", (unsigned long long)unmap.size);
}

/* A dma-buf's mapping is refused, touched or not, and goes on to work. */
static void dma_buf_refused(void)
{
	struct slice slice;
	struct type1 t;
	struct fixture f;

	fixture_open(&f, NEEDS);
	type1_open(&t);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	CHECK_RET(type1_map(&t, slice.at), -EOPNOTSUPP);
	demand_alive(slice.at);
	CHECK_RET(type1_map(&t, slice.at), -EOPNOTSUPP);
	demand_alive(slice.at);
	slice_close(&slice);
	type1_close(&t);
	fixture_close(&f);
}

/* The region's own mapping is not. */
static void region_as_ever(void)
{
	struct fixture f;
	struct type1 t;
	uint64_t region;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	type1_open(&t);
	CHECK_OK(raw_region(peerbar_device_fd(f.mem), MEM_BAR, &region, NULL));
	CHECK_OK(try_mmap(peerbar_device_fd(f.mem), LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED,
			  (off_t)(region + BASE), &at));
	CHECK_OK(type1_map(&t, at));
	type1_unmap(&t);
	munmap(at, LENGTH);
	type1_close(&t);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"dma_buf_refused", dma_buf_refused, 0},
	{"region_as_ever", region_as_ever, 0},
};

TAP_MAIN(cases)
