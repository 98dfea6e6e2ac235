/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Two connected queue pairs of rxe0, one for each side of a test, and host
 * memory for the side that has no device. Failures end the case.
 */
#ifndef GUEST_COMMON_LOOPBACK_H
#define GUEST_COMMON_LOOPBACK_H

#include <peerbar/verbs.h>

#include "fixture.h"
#include "rdma.h"

/* Half of the time that rxe waits for somebody who still refers to an object. */
#define LOOPBACK_END_MS 25000

struct loopback {
	struct rdma rdma;
	struct rdma_qp peer;  /* reads and writes */
	struct rdma_qp owner; /* is read and written */
	struct rdma_mem mem;  /* the peer's memory */
};

/* Skips on the plain kernel, which cannot register dma-bufs on rxe. */
void loopback_open(struct loopback *l, size_t mem_length);
/* A fresh pair, after an error has stopped the old one. */
void loopback_reconnect(struct loopback *l);
void loopback_close(struct loopback *l);

struct ibv_mr *loopback_register(struct loopback *l, struct peerbar_buffer *buffer, uint64_t offset,
				 size_t length, uint64_t iova);

/* Demands a completion status (0 is success). */
#define CHECK_WC(expression, wanted) \
	loopback_check_status(__FILE__, __LINE__, #expression, expression, wanted)
void loopback_check_status(const char *file, int line, const char *what, int got, int wanted);

#endif /* GUEST_COMMON_LOOPBACK_H */
