// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "transfer.h"
#include "measure.h"

#define SAMPLE_BYTES KIB(1024)
/* Fewer than fit into a queue. */
#define MESSAGES_MAX 16

unsigned int transfer_messages(uint32_t length)
{
	uint64_t messages = SAMPLE_BYTES / length;

	if (messages > MESSAGES_MAX)
		return MESSAGES_MAX;
	return messages ? (unsigned int)messages : 1;
}

double transfer_sample(void *arg)
{
	const struct transfer *t = arg;
	const struct rdma_op op = {
		.opcode = t->opcode,
		.local = (uintptr_t)t->l->mem.at,
		.lkey = t->l->mem.mr->lkey,
		.length = t->length,
		.remote = t->at,
		.rkey = t->mr->rkey,
	};
	double start = measure_now();
	struct ibv_wc wc;

	for (unsigned int i = 0; i < t->messages; i++)
		CHECK_OK(rdma_post(&t->l->peer, &op));
	for (unsigned int i = 0; i < t->messages; i++)
		CHECK_WC(rdma_wait(&t->l->peer, &wc), 0);
	return measure_now() - start;
}
