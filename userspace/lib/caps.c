// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the kernel can do for a device. Features are asked for; what has no
 * question of its own is tried, on one page of the device's own memory.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "feature.h"
#include "iova.h"
#include "uapi.h"
#include "util.h"

/* Maps without touching: a register may do something when it is read. */
static bool try_mmap(int fd)
{
	size_t page = pb_page_size();
	void *map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return false;
	munmap(map, page);
	return true;
}

static bool try_iova(struct peerbar_device *dev, int fd)
{
	struct pb_iova_request request = {.length = pb_page_size(), .align = pb_page_size()};
	struct peerbar_iova_map *map;

	if (!dev->backend->map_dmabuf || pb_iova_map_fd(dev, fd, 0, false, NULL, &request, &map))
		return false;
	peerbar_iova_unmap(map);
	return true;
}

/* One page of the first BAR that lets itself be exported. */
static int export_page(struct peerbar_device *dev)
{
	const struct peerbar_range range = {0, pb_page_size()};
	int fd = -ENXIO;

	for (unsigned int i = 0; i < PEERBAR_NUM_BARS && fd < 0; i++) {
		if (dev->bars[i].is_memory && dev->bars[i].length >= range.length)
			fd = pb_feature_export(dev->fd, i, &range, 1, O_RDWR | O_CLOEXEC);
	}
	return fd;
}

static void find_caps(struct peerbar_device *dev)
{
	struct peerbar_device_caps *caps = &dev->caps;
	PB_AUTO_CLOSE int page = -1;

	caps->dmabuf_export =
		pb_feature_probe(dev->fd, VFIO_DEVICE_FEATURE_DMA_BUF, VFIO_DEVICE_FEATURE_GET);
	caps->dmabuf_revoke =
		pb_feature_probe(dev->fd, PB_FEATURE_DMA_BUF_REVOKE, VFIO_DEVICE_FEATURE_SET);
	caps->dmabuf_memattr =
		pb_feature_probe(dev->fd, PB_FEATURE_DMA_BUF_MEMATTR, VFIO_DEVICE_FEATURE_SET);
	caps->reset = dev->can_reset;
	if (!caps->dmabuf_export)
		return;
	page = export_page(dev);
	if (page < 0)
		return;
	caps->dmabuf_mmap = try_mmap(page);
	caps->iova_dmabuf = try_iova(dev, page);
}

int peerbar_device_caps(struct peerbar_device *dev, struct peerbar_device_caps *caps)
{
	if (!dev || !caps)
		return -EINVAL;
	if (!dev->caps_known) {
		find_caps(dev);
		dev->caps_known = true;
	}
	return pb_fill_caps(caps, &dev->caps, PB_OFFSETOFEND(struct peerbar_device_caps, reset),
			    sizeof(dev->caps));
}
