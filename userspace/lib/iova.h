/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_IOVA_H
#define PB_IOVA_H

#include <peerbar/peerbar.h>

#include "backend.h"

struct peerbar_iova_map {
	struct peerbar_iova_map *next; /* in the space's list */
	struct peerbar_device *dev;
	uint64_t iova;
	uint64_t length;
};

/* What is wanted of an address. */
struct pb_iova_request {
	uint64_t length;
	uint64_t limit;	     /* highest address + 1; 0: none */
	uint64_t congruence; /* modulo align */
	uint64_t align;	     /* a power of two */
};

/*
 * The lowest address that is inside one of the ranges and overlaps none of the
 * maps; never 0, which too many devices take for "none". -ENOSPC: there is
 * none.
 */
int pb_iova_find(const struct pb_iova_range *ranges, size_t nr_ranges,
		 const struct peerbar_iova_map *maps, const struct pb_iova_request *request,
		 uint64_t *iova);

/* 0, -EEXIST something is mapped there, -ERANGE the IOMMU has no such address. */
int pb_iova_check(const struct pb_iova_range *ranges, size_t nr_ranges,
		  const struct peerbar_iova_map *maps, const struct pb_iova_request *request,
		  uint64_t iova);

/* Maps a dma-buf's [@offset, @offset + request->length); logs nothing. */
int pb_iova_map_fd(struct peerbar_device *dev, int fd, uint64_t offset, bool writable,
		   const struct peerbar_iova_options *options, struct pb_iova_request *request,
		   struct peerbar_iova_map **out);

#endif /* PB_IOVA_H */
