// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <string.h>

#include "loopback.h"

void loopback_open(struct loopback *l, size_t mem_length)
{
	int ret;

	memset(l, 0, sizeof(*l));
	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
	ret = rdma_open(&l->rdma, RDMA_DEVICE, NULL);
	CHECK(!ret, "%s: %s", RDMA_DEVICE, strerror(-ret));
	CHECK_OK(rdma_qp_pair_open(&l->rdma, &l->peer, &l->owner));
	CHECK_OK(rdma_mem_open(&l->rdma, mem_length, &l->mem));
}

void loopback_reconnect(struct loopback *l)
{
	rdma_qp_close(&l->peer);
	rdma_qp_close(&l->owner);
	CHECK_OK(rdma_qp_pair_open(&l->rdma, &l->peer, &l->owner));
}

void loopback_close(struct loopback *l)
{
	rdma_qp_close(&l->peer);
	rdma_qp_close(&l->owner);
	rdma_mem_close(&l->mem);
	rdma_close(&l->rdma);
}

struct ibv_mr *loopback_register(struct loopback *l, struct peerbar_buffer *buffer, uint64_t offset,
				 size_t length, uint64_t iova)
{
	struct ibv_mr *mr = NULL;

	CHECK_OK(peerbar_reg_mr(buffer, l->rdma.pd, offset, length, iova, RDMA_ACCESS_ALL, &mr));
	return mr;
}

void loopback_check_status(const char *file, int line, const char *what, int got, int wanted)
{
	if (got != wanted)
		tap_fail(file, line, "%s: got \"%s\", wanted \"%s\"", what, rdma_status_name(got),
			 rdma_status_name(wanted));
}
