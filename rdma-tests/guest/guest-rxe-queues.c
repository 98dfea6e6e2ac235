// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The queues of a queue pair are memory of the process, which can write to them what it likes, at any time. Whatever
 * it is, the request fails, and the kernel neither dies nor sends memory that was not to be sent.
 */
#include <string.h>

#include <rdma/rdma_user_rxe.h>

#include "loopback.h"
#include "ring.h"
#include "work.h"

#define AREA   KIB(64)
#define LARGE  MIB(4)
#define INLINE 64u
/* Far behind every queue. */
#define FAR		0x0f000000u
#define WR_FAR		0x40000000u
#define WR_ATOMIC_WRITE 15u

struct bench {
	struct rdma rdma;
	struct rdma_mem mem;
	struct rdma_qp a; /* has the work done */
	struct rdma_qp b;
};

static void reconnect(struct bench *b)
{
	const struct rdma_qp_options options = {
		.inline_length = INLINE,
		.send_ops = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_READ,
	};

	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
	CHECK_OK(rdma_qp_pair_open_as(&b->rdma, &options, &b->a, &b->b));
}

static void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe trusts what it finds");
	CHECK_OK(rdma_open(&b->rdma, RDMA_DEVICE, NULL));
	CHECK_OK(rdma_mem_open(&b->rdma, LARGE, &b->mem));
	reconnect(b);
}

/* After all of that, a pair works as ever. */
static void bench_close(struct bench *b)
{
	struct ibv_sge piece = work_piece(b->mem.mr, (uintptr_t)b->mem.at, AREA);
	struct ibv_send_wr wr =
		work_rdma(IBV_WR_RDMA_WRITE, (uintptr_t)b->mem.at + AREA, b->mem.mr->rkey);

	reconnect(b);
	pattern_fill(b->mem.at, AREA, 9);
	work_post(&b->a, wr, &piece, 1);
	work_done(&b->a, IBV_WC_RDMA_WRITE, AREA);
	CHECK(pattern_matches(b->mem.at + AREA, AREA, 9), "data");
	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
	rdma_mem_close(&b->mem);
	rdma_close(&b->rdma);
}

/* A write of inline data that the kernel does not know of yet. */
static struct rxe_send_wqe *begin_inline(struct bench *b)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(b->a.qp);
	struct rxe_send_wqe *wqe;
	uint8_t data[INLINE];

	memset(data, 0x5a, sizeof(data));
	ibv_wr_start(qp);
	qp->wr_id = ring_id();
	qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(qp, b->mem.mr->rkey, (uintptr_t)b->mem.at);
	ibv_wr_set_inline_data(qp, data, sizeof(data));
	wqe = ring_find(qp->wr_id);
	wqe->wr.send_flags |= IBV_SEND_INLINE; /* which not every provider says */
	return wqe;
}

/* Posts it as it is now, and demands that it fails and writes nothing. */
static void demand_refused(struct bench *b)
{
	struct ibv_wc wc;

	pattern_fill(b->mem.at, AREA, 1);
	CHECK_OK(-ibv_wr_complete(ibv_qp_to_qp_ex(b->a.qp)));
	CHECK(rdma_wait(&b->a, &wc) > 0, "it was done");
	CHECK(pattern_matches(b->mem.at, AREA, 1), "something was sent");
	reconnect(b);
}

/* An opcode is an index into a table of the kernel's. */
static void unknown_opcode(void)
{
	const uint32_t opcodes[] = {WR_FAR, 0x80000000u, UINT32_MAX, 0x21, 0x7f};
	struct ibv_send_wr wr = {.num_sge = 0};
	struct ibv_wc wc;
	struct bench b;

	bench_open(&b);
	for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
		wr.opcode = (enum ibv_wr_opcode)opcodes[i];
		work_post(&b.a, wr, NULL, 0);
		CHECK(rdma_wait(&b.a, &wc) > 0, "opcode %#x was done", opcodes[i]);
		reconnect(&b);
	}
	bench_close(&b);
}

/* Inline data from behind the request: of the next one, and of whatever there is. */
static void inline_data_elsewhere(void)
{
	const uint32_t offsets[] = {1, INLINE, FAR, UINT32_MAX - 16, UINT32_MAX};
	struct bench b;

	bench_open(&b);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		begin_inline(&b)->dma.sge_offset = offsets[i];
		demand_refused(&b);
	}
	bench_close(&b);
}

/* More inline data than there is room for. */
static void inline_data_longer(void)
{
	struct rxe_send_wqe *wqe;
	struct bench b;

	bench_open(&b);
	wqe = begin_inline(&b);
	wqe->dma.length = wqe->dma.resid = INLINE + 16;
	demand_refused(&b);
	bench_close(&b);
}

/* An atomic write of thousands of bytes, from the last request of the queue on. */
static void atomic_write_longer(void)
{
	struct rxe_send_wqe *wqe;
	struct bench b;
	struct ibv_wc wc;

	bench_open(&b);
	while (wqe = begin_inline(&b), !ring_find_last(wqe->wr.wr_id)) {
		CHECK_OK(-ibv_wr_complete(ibv_qp_to_qp_ex(b.a.qp)));
		CHECK_WC(rdma_wait(&b.a, &wc), 0);
	}
	wqe->wr.opcode = WR_ATOMIC_WRITE;
	wqe->wr.send_flags &= ~(uint32_t)IBV_SEND_INLINE;
	wqe->dma.length = wqe->dma.resid = AREA;
	demand_refused(&b);
	bench_close(&b);
}

/* A receive request that says which of its pieces of memory comes first, and how many there are. */
static int receive_with(uint32_t cur_sge, uint32_t num_sge)
{
	struct ibv_recv_wr receive = {.num_sge = 1}, *bad;
	struct rxe_recv_wqe *wqe;
	struct ibv_sge to, from;
	struct ibv_wc wc;
	struct bench b;
	int status;

	bench_open(&b);
	to = work_piece(b.mem.mr, (uintptr_t)b.mem.at, 256);
	from = work_piece(b.mem.mr, (uintptr_t)b.mem.at + AREA, 256);
	receive.wr_id = ring_id();
	receive.sg_list = &to;
	CHECK_OK(-ibv_post_recv(b.b.qp, &receive, &bad));
	wqe = ring_find(receive.wr_id);
	wqe->dma.cur_sge = cur_sge;
	wqe->dma.num_sge = num_sge;
	work_post(&b.a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &from, 1);
	status = rdma_wait(&b.b, &wc);
	bench_close(&b);
	return status;
}

/* Data begins with the first one, whatever the request says. */
static void receive_index(void)
{
	CHECK_WC(receive_with(1, 1), 0);
	CHECK_WC(receive_with(FAR, 1), 0);
	CHECK_WC(receive_with(UINT32_MAX, 1), 0);
}

static void receive_number(void)
{
	CHECK(receive_with(0, 0) > 0, "there was nowhere to put it");
	CHECK(receive_with(0, UINT32_MAX) > 0, "so many pieces");
}

/* Changes the request that a READ of much was made with while its data arrives. */
static void read_while(void (*spoil)(struct rxe_dma_info *dma))
{
	struct ibv_qp_ex *qp;
	struct rxe_send_wqe *wqe;
	struct ibv_wc wc;
	struct bench b;

	bench_open(&b);
	qp = ibv_qp_to_qp_ex(b.a.qp);
	ibv_wr_start(qp);
	qp->wr_id = ring_id();
	qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_read(qp, b.mem.mr->rkey, (uintptr_t)b.mem.at + LARGE / 2);
	ibv_wr_set_sge(qp, b.mem.mr->lkey, (uintptr_t)b.mem.at, LARGE / 2);
	wqe = ring_find(qp->wr_id);
	b.mem.at[LARGE / 2] = 1;
	b.mem.at[0] = 0;
	CHECK_OK(-ibv_wr_complete(qp));
	while (!((volatile uint8_t *)b.mem.at)[0])
		;
	/* the first packet has been there, and the last one is two thousand away */
	spoil(&wqe->dma);
	CHECK(rdma_wait(&b.a, &wc) > 0, "it was done");
	bench_close(&b);
}

static void spoil_index(struct rxe_dma_info *dma)
{
	*(volatile uint32_t *)&dma->cur_sge = FAR;
}

static void spoil_number(struct rxe_dma_info *dma)
{
	*(volatile uint32_t *)&dma->num_sge = UINT32_MAX;
	*(volatile uint32_t *)&dma->sge[0].length = 0;
}

static void read_index(void)
{
	read_while(spoil_index);
}

static void read_number(void)
{
	read_while(spoil_number);
}

static const struct tap_case cases[] = {
	{"unknown_opcode", unknown_opcode},
	{"inline_data_elsewhere", inline_data_elsewhere},
	{"inline_data_longer", inline_data_longer},
	{"atomic_write_longer", atomic_write_longer},
	{"receive_index", receive_index},
	{"receive_number", receive_number},
	{"read_index", read_index},
	{"read_number", read_number},
};

TAP_MAIN(cases)
