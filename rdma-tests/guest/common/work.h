/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Work requests beyond the one piece of memory and the one kind of queue pair
 * of rdma.h, and what must come of them. Failures end the case.
 */
#ifndef GUEST_COMMON_WORK_H
#define GUEST_COMMON_WORK_H

#include "rdma.h"

#define PIECES(array) array, (int)(sizeof(array) / sizeof((array)[0]))

/* A request of RDMA to this address. */
struct ibv_send_wr work_rdma(enum ibv_wr_opcode opcode, uint64_t remote, uint32_t rkey);
/* One that takes this key back: IBV_WR_LOCAL_INV, or a peer's IBV_WR_SEND_WITH_INV. */
struct ibv_send_wr work_invalidation(enum ibv_wr_opcode opcode, uint32_t rkey);
/* As the kernel has it. */
enum ibv_qp_state work_state(const struct rdma_qp *qp);
/* Where datagrams to a queue pair of this device itself go. */
struct ibv_ah *work_own_address(struct rdma *rdma);

struct ibv_sge work_piece(const struct ibv_mr *mr, uint64_t at, uint32_t length);

/* What wr says, done with these pieces; not waited for. */
void work_post(struct rdma_qp *qp, struct ibv_send_wr wr, struct ibv_sge *pieces, int count);
/* Into the queue pair's own receive queue, or the shared one that it has. */
void work_receive(struct rdma_qp *qp, struct ibv_sge *pieces, int count);

/* Waits for the next completion and demands these of it. */
#define work_done(qp, opcode, length) work_done_at(__FILE__, __LINE__, qp, opcode, length)
#define work_failed(qp, status)	      work_failed_at(__FILE__, __LINE__, qp, status)
struct ibv_wc work_done_at(const char *file, int line, struct rdma_qp *qp,
			   enum ibv_wc_opcode opcode, uint32_t length);
void work_failed_at(const char *file, int line, struct rdma_qp *qp, enum ibv_wc_status status);

/*
 * ibv_rereg_mr() without the provider, which may not have it: flags are those
 * of enum ibv_rereg_mr_flags. 0 or a negative errno.
 */
int work_rereg(struct ibv_mr *mr, int flags, struct ibv_pd *pd, uint64_t start, uint64_t length,
	       uint64_t iova, int access);

/* All that registering can ask for, and windows, which it cannot for a dma-buf. */
void work_make_bindable(struct ibv_mr *mr);

/* ibv_advise_mr() likewise, for the first bytes of a region. */
int work_advise(struct ibv_pd *pd, const struct ibv_mr *mr, uint64_t at,
		enum ibv_advise_mr_advice advice, uint32_t flags);

/* A memory window, and the key that its latest binding has given it. */
struct window {
	struct ibv_mw *mw;
	uint32_t rkey;
};

void window_open(struct ibv_pd *pd, enum ibv_mw_type type, struct window *window);
/* Binds, on this queue pair, and waits; a completion status. */
int window_bind(struct window *window, struct rdma_qp *qp, struct ibv_mr *mr, uint64_t at,
		uint64_t length, unsigned int access);
/* Takes one of type 2 back and binds it with the key that it had. */
int window_move(struct window *window, struct rdma_qp *qp, struct ibv_mr *mr, uint64_t at,
		uint64_t length, unsigned int access);
void window_close(struct window *window);

#endif /* GUEST_COMMON_WORK_H */
