// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DMA addresses. The library picks them itself: the kernel's own choice cannot
 * be limited for one mapping, and many a device reaches a few bits only.
 *
 * An address is taken in the space's tree before the kernel is asked to map
 * there, and given back after it was asked to unmap: no lock is held meanwhile.
 */
#include <inttypes.h>
#include <stddef.h>

#include "buffer.h"
#include "device.h"
#include "iova.h"
#include "mapping.h"
#include "util.h"

/* Finding an address -------------------------------------------------------- */

/* True if [iova, iova + length) ends at or before @last, without wrapping. */
static bool fits(uint64_t iova, uint64_t length, uint64_t last)
{
	return iova <= last && length - 1 <= last - iova;
}

static bool find_in_ranges(const struct pb_iova_ranges *ranges, const struct pb_iova_area *taken,
			   const struct pb_iova_request *request, uint64_t *iova)
{
	for (size_t i = 0; i < ranges->count; i++) {
		uint64_t low = PB_MAX(ranges->ranges[i].start, 1);
		uint64_t high = ranges->ranges[i].last;

		if (request->limit)
			high = PB_MIN(high, request->limit - 1);
		if (pb_iova_tree_find(taken, low, high, request, iova))
			return true;
	}
	return false;
}

int pb_iova_find(const struct pb_iova_ranges *ranges, const struct pb_iova_area *taken,
		 const struct pb_iova_request *request, uint64_t *iova)
{
	struct pb_iova_request wanted = *request;

	wanted.congruence = pb_align_down(request->congruence, ranges->align);
	wanted.align = PB_MAX(request->align, ranges->align);
	while (!find_in_ranges(ranges, taken, &wanted, iova)) {
		if (wanted.align == ranges->align)
			return -ENOSPC;
		/* Smaller IOMMU pages, but in a smaller hole. */
		wanted.align =
			PB_MAX(pb_smaller_align(wanted.align, pb_page_size()), ranges->align);
	}
	return 0;
}

int pb_iova_check(const struct pb_iova_ranges *ranges, const struct pb_iova_area *taken,
		  const struct pb_iova_request *request, uint64_t iova)
{
	if (!pb_is_aligned(iova, ranges->align))
		return -EINVAL;
	if (request->limit && !fits(iova, request->length, request->limit - 1))
		return -ERANGE;
	for (size_t i = 0; i < ranges->count; i++) {
		if (iova < ranges->ranges[i].start ||
		    !fits(iova, request->length, ranges->ranges[i].last))
			continue;
		if (pb_iova_tree_overlaps(taken, iova, iova + (request->length - 1)))
			return -EEXIST;
		return 0;
	}
	return -ERANGE;
}

/* Mapping ------------------------------------------------------------------- */

static int check_iova_options(const struct peerbar_iova_options *options)
{
	int ret;

	if (!options)
		return 0;
	ret = pb_check_options(options, options->size,
			       PB_OFFSETOFEND(struct peerbar_iova_options, iova_limit),
			       sizeof(*options));
	if (ret)
		return ret;
	if (options->fixed && !pb_is_aligned(options->iova, pb_page_size()))
		return -EINVAL;
	return 0;
}

static const char *iova_advice(int err)
{
	switch (-err) {
	case ENOSPC:
		return "no such room among the addresses that are allowed";
	case EEXIST:
		return "something is mapped there";
	case ERANGE:
		return "the address is beyond the limit, reserved, or out of the IOMMU's reach";
	case EINVAL:
		return "the kernel refused it, or it is not made of whole pages of the IOMMU";
	case ENODEV:
		return "the buffer is or was revoked, or its device is gone";
	case EOPNOTSUPP:
		return "this kernel's iommufd takes no dma-bufs, or none of this exporter, or only such of one range";
	default:
		return "the kernel refused";
	}
}

static int take_address(struct pb_space *space, const struct pb_iova_ranges *ranges,
			const struct peerbar_iova_options *options,
			const struct pb_iova_request *request, struct pb_iova_area *area)
{
	int ret;

	area->start = options ? options->iova : 0;
	pthread_mutex_lock(&space->lock);
	if (options && options->fixed)
		ret = pb_iova_check(ranges, space->taken, request, area->start);
	else
		ret = pb_iova_find(ranges, space->taken, request, &area->start);
	if (!ret) {
		area->last = area->start + (request->length - 1);
		pb_iova_tree_insert(&space->taken, area);
	}
	pthread_mutex_unlock(&space->lock);
	return ret;
}

static void give_address_back(struct pb_space *space, const struct pb_iova_area *area)
{
	pthread_mutex_lock(&space->lock);
	pb_iova_tree_remove(&space->taken, area);
	pthread_mutex_unlock(&space->lock);
}

static int choose_address(struct peerbar_device *dev, const struct peerbar_iova_options *options,
			  const struct pb_iova_request *request, struct pb_iova_area *area)
{
	struct pb_iova_ranges ranges;
	int ret;

	ret = dev->backend->iova_ranges(dev->pb, dev->space, &ranges);
	if (ret)
		return ret;
	if (pb_is_aligned(request->length, ranges.align))
		ret = take_address(dev->space, &ranges, options, request, area);
	else
		ret = -EINVAL;
	free(ranges.ranges);
	return ret;
}

int pb_iova_map_fd(struct peerbar_device *dev, int fd, uint64_t offset, bool writable,
		   const struct peerbar_iova_options *options,
		   const struct pb_iova_request *request, struct peerbar_iova_map **out)
{
	struct peerbar_iova_map *map;
	int ret;

	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	ret = choose_address(dev, options, request, &map->area);
	if (ret)
		goto err_free;
	ret = dev->backend->map_dmabuf(dev->pb, dev->space, fd, offset, request->length,
				       map->area.start, writable);
	if (ret)
		goto err_give_back;
	map->dev = pb_device_get(dev);
	map->space = pb_space_get(dev->space);
	*out = map;
	return 0;

err_give_back:
	give_address_back(dev->space, &map->area);
err_free:
	free(map);
	return ret;
}

static int check_iova_map(struct peerbar_device *dev, const struct peerbar_buffer *buf,
			  uint64_t offset, uint64_t length,
			  const struct peerbar_iova_options *options)
{
	const char *why;
	int ret;

	ret = check_iova_options(options);
	if (ret)
		return pb_fail(dev->pb, ret, "bad options for a DMA mapping");
	ret = pb_buffer_check_slice(buf, offset, length, &why);
	if (ret)
		return pb_fail(dev->pb, ret, "cannot map this slice of the buffer for %s: %s",
			       dev->address, why);
	if (!dev->backend->map_dmabuf)
		return pb_fail(
			dev->pb, -EOPNOTSUPP,
			"cannot map a buffer for %s: its vfio backend, %s, could not take it back on revoke; iommufd can",
			dev->address, dev->backend->name);
	return 0;
}

/*
 * Is it this slice that the kernel finds invalid? One whose iommufd takes memfds
 * only finds so of every part of the buffer.
 */
static bool finds_all_invalid(struct peerbar_device *dev, const struct peerbar_buffer *buf)
{
	struct pb_iova_request request = {};
	struct peerbar_iova_map *map;
	struct pb_iova_ranges ranges;
	int ret;

	if (dev->backend->iova_ranges(dev->pb, dev->space, &ranges))
		return false;
	free(ranges.ranges);
	if (buf->length < ranges.align)
		return false;
	request.length = request.align = ranges.align;
	ret = pb_iova_map_fd(dev, buf->fd, 0, false, NULL, &request, &map);
	if (!ret)
		peerbar_iova_unmap(map);
	return ret == -EINVAL;
}

int peerbar_iova_map(struct peerbar_device *dev, struct peerbar_buffer *buf, uint64_t offset,
		     uint64_t length, const struct peerbar_iova_options *options,
		     struct peerbar_iova_map **out)
{
	struct pb_iova_request request = {.length = length};
	int ret;

	if (!dev || !buf || !out)
		return -EINVAL;
	ret = check_iova_map(dev, buf, offset, length, options);
	if (ret)
		return ret;
	request.limit = options ? options->iova_limit : 0;
	request.align = pb_huge_align(length, pb_page_size());
	request.congruence = pb_buffer_congruence(buf, offset);
	ret = pb_iova_map_fd(dev, buf->fd, offset, !buf->read_only, options, &request, out);
	if (ret == -EINVAL && finds_all_invalid(dev, buf))
		ret = -EOPNOTSUPP;
	if (ret)
		return pb_fail(dev->pb, ret,
			       "cannot map %" PRIu64 " bytes of the buffer for DMA by %s: %s",
			       length, dev->address, iova_advice(ret));
	return 0;
}

uint64_t peerbar_iova(const struct peerbar_iova_map *map)
{
	return map->area.start;
}

/* What is mapped in a space that has gone has gone with it. */
static int unmap(struct peerbar *pb, struct pb_space *space, const struct pb_iova_area *area)
{
	bool gone;

	pthread_mutex_lock(&space->lock);
	gone = space->gone;
	pthread_mutex_unlock(&space->lock);
	if (gone)
		return 0;
	return space->backend->unmap(pb, space, area->start, area->last - area->start + 1);
}

void peerbar_iova_unmap(struct peerbar_iova_map *map)
{
	int saved = errno;
	int ret;

	if (!map)
		return;
	ret = unmap(map->dev->pb, map->space, &map->area);
	if (ret)
		pb_fail(map->dev->pb, ret, "cannot take %s's DMA mapping at %#" PRIx64 " away",
			map->dev->address, map->area.start);
	give_address_back(map->space, &map->area);
	pb_space_put(map->space);
	pb_device_put(map->dev);
	free(map);
	errno = saved;
}
