/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Stretches of DMA addresses that are taken, as a balanced tree that knows the
 * largest hole below each node: taking, giving back and finding a hole each
 * look at O(log n) of them.
 */
#ifndef PB_IOVATREE_H
#define PB_IOVATREE_H

#include <stdbool.h>
#include <stdint.h>

struct pb_iova_area {
	uint64_t start;
	uint64_t last;

	/* The tree's own: of this node and all below it. */
	struct pb_iova_area *left, *right;
	unsigned int height;
	uint64_t low;  /* the lowest start */
	uint64_t high; /* the highest last */
	uint64_t gap;  /* the largest hole between two of them */
};

/* What is wanted of a hole. */
struct pb_iova_request {
	uint64_t length;
	uint64_t limit;	     /* highest address + 1; 0: none */
	uint64_t congruence; /* modulo align */
	uint64_t align;	     /* a power of two */
};

/* @area overlaps nothing in the tree. */
void pb_iova_tree_insert(struct pb_iova_area **root, struct pb_iova_area *area);
void pb_iova_tree_remove(struct pb_iova_area **root, const struct pb_iova_area *area);
bool pb_iova_tree_overlaps(const struct pb_iova_area *root, uint64_t start, uint64_t last);

/*
 * An address in [@low, @high], of the request's length and alignment, that
 * overlaps nothing: the lowest one, unless dozens of holes are long enough but
 * not aligned; then the lowest with room for any alignment. The request's limit
 * is not looked at.
 */
bool pb_iova_tree_find(const struct pb_iova_area *root, uint64_t low, uint64_t high,
		       const struct pb_iova_request *request, uint64_t *start);

#endif /* PB_IOVATREE_H */
