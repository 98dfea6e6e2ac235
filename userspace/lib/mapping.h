/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_MAPPING_H
#define PB_MAPPING_H

#include <stddef.h>
#include <stdint.h>

/*
 * The largest page a mapping of @length bytes can have: the size covered by
 * one entry of the last page table level but one or two, where that fits.
 */
uint64_t pb_huge_align(uint64_t length, uint64_t page);
/* What an entry covers one level below: 2 MiB for 1 GiB; at least @page. */
uint64_t pb_smaller_align(uint64_t align, uint64_t page);

/*
 * mmap()s @fd, shared, at an address congruent with @congruence modulo @align
 * (a power of two, at least a page), or a smaller size of a page where that
 * cannot be had. NULL with errno set on failure.
 */
void *pb_map_congruent(int fd, uint64_t offset, size_t length, int prot, uint64_t congruence,
		       uint64_t align);

#endif /* PB_MAPPING_H */
