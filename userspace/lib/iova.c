// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * DMA addresses. The library picks them itself: the kernel's own choice cannot
 * be limited for one mapping, and many a device reaches a few bits only.
 */
#include <inttypes.h>
#include <stddef.h>

#include "buffer.h"
#include "device.h"
#include "iova.h"
#include "mapping.h"
#include "util.h"

/* Finding an address -------------------------------------------------------- */

static const struct peerbar_iova_map *overlapping(const struct peerbar_iova_map *maps,
						  uint64_t iova, uint64_t length)
{
	for (; maps; maps = maps->next) {
		if (iova <= maps->iova + (maps->length - 1) && maps->iova <= iova + (length - 1))
			return maps;
	}
	return NULL;
}

/* True if [iova, iova + length) ends at or before @last, without wrapping. */
static bool fits(uint64_t iova, uint64_t length, uint64_t last)
{
	return iova <= last && length - 1 <= last - iova;
}

static bool find_in_range(const struct pb_iova_range *range, const struct peerbar_iova_map *maps,
			  const struct pb_iova_request *request, uint64_t *iova)
{
	const struct peerbar_iova_map *taken;
	uint64_t last = range->last;
	uint64_t at, from = range->start ? range->start : 1;

	if (request->limit)
		last = PB_MIN(last, request->limit - 1);
	for (;;) {
		at = pb_congruent_up(from, request->congruence, request->align);
		if (at < from || !fits(at, request->length, last))
			return false;
		taken = overlapping(maps, at, request->length);
		if (!taken) {
			*iova = at;
			return true;
		}
		if (taken->iova + (taken->length - 1) == UINT64_MAX)
			return false;
		from = taken->iova + taken->length;
	}
}

int pb_iova_find(const struct pb_iova_range *ranges, size_t nr_ranges,
		 const struct peerbar_iova_map *maps, const struct pb_iova_request *request,
		 uint64_t *iova)
{
	for (size_t i = 0; i < nr_ranges; i++) {
		if (find_in_range(&ranges[i], maps, request, iova))
			return 0;
	}
	return -ENOSPC;
}

int pb_iova_check(const struct pb_iova_range *ranges, size_t nr_ranges,
		  const struct peerbar_iova_map *maps, const struct pb_iova_request *request,
		  uint64_t iova)
{
	if (request->limit && !fits(iova, request->length, request->limit - 1))
		return -ERANGE;
	for (size_t i = 0; i < nr_ranges; i++) {
		if (iova < ranges[i].start || !fits(iova, request->length, ranges[i].last))
			continue;
		return overlapping(maps, iova, request->length) ? -EEXIST : 0;
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

static int choose_iova(struct peerbar_device *dev, const struct peerbar_iova_options *options,
		       struct pb_iova_request *request, uint64_t *iova)
{
	PB_AUTO_FREE struct pb_iova_range *ranges = NULL;
	struct pb_space *space = dev->space;
	size_t nr_ranges;
	int ret;

	ret = dev->backend->iova_ranges(dev->pb, space, &ranges, &nr_ranges);
	if (ret)
		return ret;
	if (options && options->fixed) {
		*iova = options->iova;
		return pb_iova_check(ranges, nr_ranges, space->maps, request, *iova);
	}
	ret = pb_iova_find(ranges, nr_ranges, space->maps, request, iova);
	if (ret) {
		/* Smaller IOMMU pages, but in a smaller hole. */
		request->align = pb_page_size();
		ret = pb_iova_find(ranges, nr_ranges, space->maps, request, iova);
	}
	return ret;
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
	case ENODEV:
		return "the buffer is or was revoked, or its device is gone";
	case EOPNOTSUPP:
		return "this kernel's iommufd takes no dma-bufs, or none of this exporter, or only such of one range";
	default:
		return "the kernel refused";
	}
}

/* The space is shared by the devices of a group: under the context's lock. */
static int map_locked(struct peerbar_iova_map *map, int fd, uint64_t offset, bool writable,
		      const struct peerbar_iova_options *options, struct pb_iova_request *request)
{
	struct peerbar_device *dev = map->dev;
	int ret;

	ret = choose_iova(dev, options, request, &map->iova);
	if (!ret)
		ret = dev->backend->map_dmabuf(dev->pb, dev->space, fd, offset, map->length,
					       map->iova, writable);
	if (ret)
		return ret;
	map->next = dev->space->maps;
	dev->space->maps = map;
	return 0;
}

int pb_iova_map_fd(struct peerbar_device *dev, int fd, uint64_t offset, bool writable,
		   const struct peerbar_iova_options *options, struct pb_iova_request *request,
		   struct peerbar_iova_map **out)
{
	struct peerbar_iova_map *map;
	int ret;

	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->dev = dev;
	map->length = request->length;
	pthread_mutex_lock(&dev->pb->lock);
	ret = map_locked(map, fd, offset, writable, options, request);
	pthread_mutex_unlock(&dev->pb->lock);
	if (ret) {
		free(map);
		return ret;
	}
	*out = map;
	return 0;
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

int peerbar_iova_map(struct peerbar_device *dev, struct peerbar_buffer *buf, uint64_t offset,
		     uint64_t length, const struct peerbar_iova_options *options,
		     struct peerbar_iova_map **out)
{
	struct pb_iova_request request = {
		.length = length,
		.limit = options ? options->iova_limit : 0,
	};
	int ret;

	if (!dev || !buf || !out)
		return -EINVAL;
	ret = check_iova_map(dev, buf, offset, length, options);
	if (ret)
		return ret;
	request.align = pb_huge_align(length, pb_page_size());
	request.congruence = pb_buffer_congruence(buf, offset);
	ret = pb_iova_map_fd(dev, buf->fd, offset, !buf->read_only, options, &request, out);
	if (ret)
		return pb_fail(dev->pb, ret,
			       "cannot map %" PRIu64 " bytes of the buffer for DMA by %s: %s",
			       length, dev->address, iova_advice(ret));
	return 0;
}

uint64_t peerbar_iova(const struct peerbar_iova_map *map)
{
	return map->iova;
}

static void unlink_map(struct pb_space *space, struct peerbar_iova_map *map)
{
	struct peerbar_iova_map **link = &space->maps;

	while (*link != map)
		link = &(*link)->next;
	*link = map->next;
}

void peerbar_iova_unmap(struct peerbar_iova_map *map)
{
	struct peerbar_device *dev;
	int ret;

	if (!map)
		return;
	dev = map->dev;
	pthread_mutex_lock(&dev->pb->lock);
	ret = dev->backend->unmap(dev->pb, dev->space, map->iova, map->length);
	unlink_map(dev->space, map);
	pthread_mutex_unlock(&dev->pb->lock);
	if (ret)
		pb_fail(dev->pb, ret, "cannot take %s's DMA mapping at %#" PRIx64 " away",
			dev->address, map->iova);
	free(map);
}
