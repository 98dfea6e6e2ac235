/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_IOVA_H
#define PB_IOVA_H

#include <peerbar/peerbar.h>

#include "backend.h"
#include "iovatree.h"

struct peerbar_iova_map {
	struct pb_iova_area area; /* in the space's tree */
	struct pb_space *space;
	struct peerbar_device *dev;
};

/*
 * An address inside one of the IOMMU's ranges that is taken by none of the
 * space's areas; never 0, which too many devices take for "none". Where there is
 * none of request->align, smaller alignments are tried down to the IOMMU's own.
 * -ENOSPC: there is none.
 */
int pb_iova_find(const struct pb_iova_ranges *ranges, const struct pb_iova_area *taken,
		 const struct pb_iova_request *request, uint64_t *iova);

/*
 * 0, -EEXIST something is mapped there, -ERANGE the IOMMU has no such address,
 * -EINVAL it is not a multiple of the IOMMU's pages.
 */
int pb_iova_check(const struct pb_iova_ranges *ranges, const struct pb_iova_area *taken,
		  const struct pb_iova_request *request, uint64_t iova);

/*
 * Maps a dma-buf's [@offset, @offset + request->length); logs nothing. -EINVAL
 * of a kernel that takes memfds only is passed on.
 */
int pb_iova_map_fd(struct peerbar_device *dev, int fd, uint64_t offset, bool writable,
		   const struct peerbar_iova_options *options,
		   const struct pb_iova_request *request, struct peerbar_iova_map **out);

#endif /* PB_IOVA_H */
