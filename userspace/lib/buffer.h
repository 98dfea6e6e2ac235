/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_BUFFER_H
#define PB_BUFFER_H

#include <peerbar/peerbar.h>

struct peerbar_buffer {
	struct peerbar *pb;
	struct peerbar_device *dev; /* the exporter; NULL: imported */
	int fd;
	uint64_t length;
	bool read_only;
	enum peerbar_memattr memattr; /* of an exported one */
	size_t nr_ranges;	      /* 0: not known, imported */
	struct peerbar_range ranges[];
};

/*
 * A number congruent with the physical address of buf[@offset] modulo any
 * power of two up to the size of the BAR: a BAR is aligned to its own size, so
 * that the offset in the BAR will do. 0 at the start of an imported buffer.
 */
uint64_t pb_buffer_congruence(const struct peerbar_buffer *buf, uint64_t offset);

/* 0, or -EINVAL and why [@offset, @offset + @length) will not do. */
int pb_buffer_check_slice(const struct peerbar_buffer *buf, uint64_t offset, uint64_t length,
			  const char **why);

/*
 * 0, or -EINVAL and why the ranges of a BAR of @bar_length bytes will not do;
 * @total is the sum of their lengths.
 */
int pb_ranges_check(const struct peerbar_range *ranges, size_t nr_ranges, uint64_t bar_length,
		    uint64_t *total, const char **why);

#endif /* PB_BUFFER_H */
