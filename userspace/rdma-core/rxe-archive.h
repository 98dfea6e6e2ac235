/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What is added to the distribution's static build of the rxe provider when its
 * source cannot be had. patches/ is the real thing; this does the same from
 * the outside, and knows nothing of the provider but what is public: the verbs
 * that applications see, and the queues that are shared with the kernel.
 *
 * build-provider routes some of the provider's calls here (provider_*()) and
 * reads the layout of libibverbs' table of ops, which is private to libibverbs
 * and changes from release to release, from the static libibverbs of the very
 * version that is installed:
 *
 *   OPS_SIZE           bytes in struct verbs_context_ops
 *   SLOT_REG_DMABUF_MR and so on: offsets of its members
 */
#ifndef RXE_ARCHIVE_H
#define RXE_ARCHIVE_H

#include <stddef.h>

#include <infiniband/verbs.h>

typedef void (*op_fn)(void);

#define NR_OPS (OPS_SIZE / sizeof(op_fn))

/* At this offset in the table; tables hold pointers only. */
#define CHECK_SLOT(slot) \
	_Static_assert((slot) % sizeof(op_fn) == 0 && (slot) < OPS_SIZE, "not in the table")

/*
 * Remembers what the provider has in its table and puts into more, where it has
 * something, what goes before it.
 */
void data_path_wrap(const op_fn *ops, op_fn *more);

#endif /* RXE_ARCHIVE_H */
