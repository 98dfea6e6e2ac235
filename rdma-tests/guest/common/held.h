/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The memory that regions over a gigabyte hold, beyond what they are regions of. */
#ifndef GUEST_COMMON_HELD_H
#define GUEST_COMMON_HELD_H

#include <stdint.h>

#include "loopback.h"

#define HELD_GIGABYTE  (1ULL << 30)
#define HELD_HOST_AREA MIB(64)

/* Bytes that are in use in the whole system. */
typedef int64_t held_counter(void);

/* Whatever is not free. */
int64_t held_pages(void);
/* What the kernel counts as slabs. */
int64_t held_slabs(void);

/* Over host memory: many times that of @l, of HELD_HOST_AREA. */
int64_t held_for_host(struct loopback *l, held_counter *in_use);
/* Over a BAR, the buffer included. */
int64_t held_for_bar(struct loopback *l, struct fixture *f, held_counter *in_use);

#endif /* GUEST_COMMON_HELD_H */
