// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which ranges of a BAR and which slices of a buffer make sense. Pure: the
 * kernel checks again, but its errno does not tell a person what was wrong.
 */
#include "buffer.h"
#include "util.h"

static int check_range(const struct peerbar_range *range, uint64_t bar_length, const char **why)
{
	uint64_t page = pb_page_size();

	if (!range->length)
		*why = "a range has no length";
	else if (!pb_is_aligned(range->offset, page) || !pb_is_aligned(range->length, page))
		*why = "a range is not made of whole pages";
	else if (range->offset >= bar_length || range->length > bar_length - range->offset)
		*why = "a range goes past the end of the BAR";
	else
		return 0;
	return -EINVAL;
}

int pb_ranges_check(const struct peerbar_range *ranges, size_t nr_ranges, uint64_t bar_length,
		    uint64_t *total, const char **why)
{
	uint64_t sum = 0;
	int ret;

	if (!ranges || !nr_ranges) {
		*why = "no range was given";
		return -EINVAL;
	}
	for (size_t i = 0; i < nr_ranges; i++) {
		ret = check_range(&ranges[i], bar_length, why);
		if (ret)
			return ret;
		if (__builtin_add_overflow(sum, ranges[i].length, &sum)) {
			*why = "the ranges together are too long";
			return -EINVAL;
		}
	}
	*total = sum;
	return 0;
}

int pb_buffer_check_slice(const struct peerbar_buffer *buf, uint64_t offset, uint64_t length,
			  const char **why)
{
	uint64_t page = pb_page_size();

	if (!length)
		*why = "it has no length";
	else if (!pb_is_aligned(offset, page) || !pb_is_aligned(length, page))
		*why = "it is not made of whole pages";
	else if (offset >= buf->length || length > buf->length - offset)
		*why = "it goes past the end of the buffer";
	else
		return 0;
	return -EINVAL;
}

uint64_t pb_buffer_congruence(const struct peerbar_buffer *buf, uint64_t offset)
{
	for (size_t i = 0; i < buf->nr_ranges; i++) {
		if (offset < buf->ranges[i].length)
			return buf->ranges[i].offset + offset;
		offset -= buf->ranges[i].length;
	}
	return offset;
}
