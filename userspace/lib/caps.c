// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the kernel can do for a device. Features are asked for; what has no
 * question of its own is tried, on one page of the device's own memory. Only an
 * errno that means so is a no: a failure of the probe is not an answer.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "device.h"
#include "feature.h"
#include "iova.h"
#include "uapi.h"
#include "util.h"

/* Maps without touching: a register may do something when it is read. */
static int try_mmap(int fd)
{
	size_t page = pb_page_size();
	void *map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map != MAP_FAILED) {
		munmap(map, page);
		return PB_YES;
	}
	switch (errno) {
	case EBUSY: /* it would, were the page not in use with another type */
		return PB_YES;
	case EINVAL: /* dma-bufs whose exporter has no mmap */
	case EOPNOTSUPP:
	case ENOTTY:
		return PB_NO;
	default:
		return -errno;
	}
}

/*
 * A dma-buf of the first BAR of that size which lets itself be exported, or
 * -ENXIO: there is none.
 */
static int export_start(struct peerbar_device *dev, uint64_t size)
{
	const struct peerbar_range range = {0, size};

	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++) {
		int fd;

		if (!dev->bars[i].is_memory || dev->bars[i].length < size)
			continue;
		fd = pb_feature_export(dev->fd, i, &range, 1, O_RDWR | O_CLOEXEC, 0);
		/* ENODEV: the kernel holds no resources for this BAR. */
		if (fd >= 0 ||
		    (fd != -ENODEV && fd != -EINVAL && fd != -EOPNOTSUPP && fd != -ENOTTY))
			return fd;
	}
	return -ENXIO;
}

static int mmap_works(struct peerbar_device *dev)
{
	PB_AUTO_CLOSE int fd = export_start(dev, pb_page_size());

	if (fd < 0)
		return fd == -ENXIO ? PB_NO : fd;
	return try_mmap(fd);
}

static int try_iova(struct peerbar_device *dev, int fd, uint64_t size)
{
	const struct pb_iova_request request = {.length = size, .align = size};
	struct peerbar_iova_map *map;
	int ret = pb_iova_map_fd(dev, fd, 0, false, NULL, &request, &map);

	if (!ret) {
		peerbar_iova_unmap(map);
		return PB_YES;
	}
	/* EINVAL: an iommufd that takes memfds only. */
	return ret == -EOPNOTSUPP || ret == -EINVAL ? PB_NO : ret;
}

static int iova_works(struct peerbar_device *dev)
{
	struct pb_iova_ranges ranges;
	PB_AUTO_CLOSE int fd = -1;
	int ret;

	if (!dev->backend->map_dmabuf)
		return PB_NO;
	ret = dev->backend->iova_ranges(dev->pb, dev->space, &ranges);
	if (ret)
		return ret;
	free(ranges.ranges);
	fd = export_start(dev, ranges.align);
	if (fd < 0)
		return fd == -ENXIO ? PB_NO : fd;
	return try_iova(dev, fd, ranges.align);
}

static int find_caps(struct peerbar_device *dev, struct peerbar_device_caps *caps)
{
	int export, mmap = PB_NO, iova = PB_NO;

	export = pb_feature_probe(dev->fd, VFIO_DEVICE_FEATURE_DMA_BUF, VFIO_DEVICE_FEATURE_GET);
	if (export == PB_YES)
		mmap = mmap_works(dev);
	if (export == PB_YES && mmap >= 0)
		iova = iova_works(dev);
	if (export < 0 || mmap < 0 || iova < 0)
		return PB_MIN(export, PB_MIN(mmap, iova));
	caps->dmabuf_export = export;
	caps->dmabuf_mmap = mmap;
	caps->dmabuf_revoke = dev->features.revoke;
	caps->dmabuf_memattr = dev->features.memattr;
	caps->iova_dmabuf = iova;
	caps->reset = dev->can_reset;
	return 0;
}

int peerbar_device_caps(struct peerbar_device *dev, struct peerbar_device_caps *caps)
{
	int ret;

	if (!dev || !caps)
		return -EINVAL;
	if (!dev->caps_known) {
		ret = find_caps(dev, &dev->caps);
		if (ret)
			return pb_fail(dev->pb, ret,
				       "cannot find out what the kernel can do for %s",
				       dev->address);
		dev->caps_known = true;
	}
	return pb_fill_caps(caps, &dev->caps, PB_OFFSETOFEND(struct peerbar_device_caps, reset),
			    sizeof(dev->caps));
}
