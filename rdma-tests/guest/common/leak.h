/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What a process, and the system, still hold. */
#ifndef GUEST_COMMON_LEAK_H
#define GUEST_COMMON_LEAK_H

#include <stdbool.h>

struct leak_state {
	int descriptors; /* open in this process */
	int mappings;	 /* of dma-bufs and vfio devices, in this process */
};

void leak_take(struct leak_state *state);
/* True when nothing is held beyond what was held before; else says what. */
bool leak_none(const struct leak_state *before);

/* dma-bufs in the system, -1 where debugfs does not tell. */
int leak_dmabufs(void);
/* Waits up to a deadline for the count to come down to what it was. */
bool leak_dmabufs_back_to(int before);

#endif /* GUEST_COMMON_LEAK_H */
