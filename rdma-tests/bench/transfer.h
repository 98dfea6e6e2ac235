/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The time that requests of a peer take, from the first one posted to the last one done. */
#ifndef BENCH_TRANSFER_H
#define BENCH_TRANSFER_H

#include "loopback.h"

struct transfer {
	struct loopback *l;
	enum ibv_wr_opcode opcode;
	const struct ibv_mr *mr; /* of the target */
	uint64_t at;
	uint32_t length;
	unsigned int messages; /* in flight at once, and in a sample */
};

/* In nanoseconds; a struct transfer. */
double transfer_sample(void *arg);

/* So many messages of this length that the clock's steps and the way there are small beside it. */
unsigned int transfer_messages(uint32_t length);

#endif /* BENCH_TRANSFER_H */
