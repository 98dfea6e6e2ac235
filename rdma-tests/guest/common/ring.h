/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The queues of the provider, which it shares with the kernel, for requests that no library would make. Failures
 * end the case.
 */
#ifndef GUEST_COMMON_RING_H
#define GUEST_COMMON_RING_H

#include <stdbool.h>
#include <stdint.h>

/* An id that no other request has: queues keep what was in them. */
uint64_t ring_id(void);
/* Where the request with this id is in the queues: an rxe_send_wqe or an rxe_recv_wqe, which begin with it. */
void *ring_find(uint64_t id);
/* Whether it is there in the last place of its queue. */
bool ring_find_last(uint64_t id);

#endif /* GUEST_COMMON_RING_H */
