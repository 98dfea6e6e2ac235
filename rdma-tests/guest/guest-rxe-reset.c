// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Queue pairs that are reset the moment an error is known. rxe tells of it, by a
 * completion and to the peer, before it goes to the error state.
 */
#include <string.h>

#include "loopback.h"

#define LENGTH	64
#define BAD_KEY 0
#define ROUNDS	2000
#define SOAK	200000

/* The reset wins: both queue pairs can be taken into use again at once. */
static void at_once(void)
{
	unsigned long rounds = tap_rounds(ROUNDS, SOAK);
	struct loopback l;
	int ret;

	loopback_open(&l, LENGTH);
	for (unsigned long i = 0; i < rounds; i++) {
		CHECK_WC(rdma_write(&l.peer, &l.mem, 0, LENGTH, 0, BAD_KEY), IBV_WC_REM_ACCESS_ERR);
		/* Either may be on its way to the error state. */
		ret = i % 2 ? rdma_qp_pair_reset(&l.peer, &l.owner)
			    : rdma_qp_pair_reset(&l.owner, &l.peer);
		CHECK(!ret, "round %lu: reset: %s", i, strerror(-ret));
		CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 8, (uintptr_t)l.mem.at, l.mem.mr->rkey), 0);
	}
	loopback_close(&l);
}

static const struct tap_case cases[] = {
	{"at_once", at_once, 240},
};

TAP_MAIN(cases)
