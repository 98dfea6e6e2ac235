/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Memory of each kind that a peer can be given, registered with rxe0. */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include "loopback.h"

struct target {
	struct peerbar_buffer *buffer; /* of a BAR */
	struct peerbar_mapping *mapping;
	struct rdma_mem mem;
	struct ibv_mr *mr;
	uint64_t at; /* its first address in the region */
};

/* A slice of the memory device's BAR, mapped for the CPU as well. */
void target_open_bar(struct target *t, struct fixture *f, struct loopback *l, uint64_t offset,
		     size_t length, enum peerbar_memattr memattr);
/* A buffer of the system's dma-heap. */
void target_open_heap(struct target *t, struct loopback *l, size_t length);
/* Memory of this process. */
void target_open_host(struct target *t, struct loopback *l, size_t length);
void target_close(struct target *t);

#endif /* BENCH_TARGET_H */
