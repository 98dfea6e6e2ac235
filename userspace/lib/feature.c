// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "feature.h"
#include "uapi.h"
#include "util.h"

/* The header ends in a flexible array, hence no struct that holds both. */
static int feature_set(int device_fd, uint32_t feature, const void *data, size_t size)
{
	_Alignas(8) unsigned char buf[sizeof(struct vfio_device_feature) + 16];
	struct vfio_device_feature *header = (void *)buf;

	memset(buf, 0, sizeof(buf));
	header->argsz = (uint32_t)(sizeof(*header) + size);
	header->flags = VFIO_DEVICE_FEATURE_SET | feature;
	memcpy(header->data, data, size);
	return ioctl(device_fd, VFIO_DEVICE_FEATURE, header) < 0 ? -errno : 0;
}

int pb_feature_export(int device_fd, unsigned int bar, const struct peerbar_range *ranges,
		      size_t nr_ranges, int open_flags, uint32_t flags)
{
	PB_AUTO_FREE struct vfio_device_feature *header = NULL;
	struct pb_vfio_dma_buf *export;
	size_t size;
	int fd;

	if (nr_ranges >
	    (UINT32_MAX - sizeof(*header) - sizeof(*export)) / sizeof(export->ranges[0]))
		return -E2BIG;
	size = sizeof(*header) + sizeof(*export) + nr_ranges * sizeof(export->ranges[0]);
	header = calloc(1, size);
	if (!header)
		return -ENOMEM;
	header->argsz = (uint32_t)size;
	header->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
	export = (void *)header->data;
	export->region_index = bar;
	export->open_flags = (uint32_t)open_flags;
	export->flags = flags;
	export->nr_ranges = (uint32_t)nr_ranges;
	for (size_t i = 0; i < nr_ranges; i++) {
		export->ranges[i].offset = ranges[i].offset;
		export->ranges[i].length = ranges[i].length;
	}
	fd = ioctl(device_fd, VFIO_DEVICE_FEATURE, header);
	return fd < 0 ? -errno : fd;
}

/* Numbers ------------------------------------------------------------------ */

static const struct pb_features editions[] = {PB_FEATURE_EDITIONS};

/* vfio's words for a feature that it, or this device, does not have. */
static int answer_of(int err)
{
	switch (-err) {
	case ENOTTY:
	case EOPNOTSUPP:
	case EINVAL: /* another feature, which knows no such operation */
		return PB_NO;
	default:
		return err;
	}
}

int pb_feature_probe(int device_fd, uint32_t feature, uint32_t op)
{
	struct vfio_device_feature probe = {
		.argsz = sizeof(probe),
		.flags = VFIO_DEVICE_FEATURE_PROBE | op | feature,
	};

	return ioctl(device_fd, VFIO_DEVICE_FEATURE, &probe) ? answer_of(-errno) : PB_YES;
}

/*
 * Something else may have that number. Ours look for the dma-buf before they do
 * anything, so that a descriptor which is not open makes them say EBADF.
 */
static int knows(int device_fd, uint32_t feature, const void *data, size_t size)
{
	int ret = pb_feature_probe(device_fd, feature, VFIO_DEVICE_FEATURE_SET);

	if (ret != PB_YES)
		return ret;
	ret = feature_set(device_fd, feature, data, size);
	if (ret == -EBADF)
		return PB_YES;
	return ret ? answer_of(ret) : PB_NO;
}

int pb_features_find(int device_fd, struct pb_features *out)
{
	const struct pb_vfio_dma_buf_memattr memattr = {.dmabuf_fd = -1};
	const struct pb_vfio_dma_buf_revoke revoke = {.dmabuf_fd = -1};
	int ret;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < PB_ARRAY_SIZE(editions); i++) {
		ret = knows(device_fd, editions[i].revoke, &revoke, sizeof(revoke));
		if (ret < 0)
			return ret;
		if (ret == PB_YES && !out->revoke)
			out->revoke = editions[i].revoke;
		ret = knows(device_fd, editions[i].memattr, &memattr, sizeof(memattr));
		if (ret < 0)
			return ret;
		if (ret == PB_YES && !out->memattr)
			out->memattr = editions[i].memattr;
	}
	return 0;
}

/* The two ------------------------------------------------------------------ */

int pb_feature_revoke(int device_fd, const struct pb_features *features, int dmabuf_fd)
{
	struct pb_vfio_dma_buf_revoke revoke = {.dmabuf_fd = dmabuf_fd};

	if (!features->revoke)
		return -ENOTTY;
	return feature_set(device_fd, features->revoke, &revoke, sizeof(revoke));
}

int pb_feature_memattr(int device_fd, const struct pb_features *features, int dmabuf_fd,
		       uint32_t memattr)
{
	struct pb_vfio_dma_buf_memattr set = {.dmabuf_fd = dmabuf_fd, .memattr = memattr};

	if (!features->memattr)
		return -ENOTTY;
	return feature_set(device_fd, features->memattr, &set, sizeof(set));
}
