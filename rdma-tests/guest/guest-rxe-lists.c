// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Work requests of several pieces, and inline data: what the provider writes
 * into the queue that it shares with the kernel. With the distribution's
 * provider of Debian 12 or 13 most of these cases fail.
 */
#include <string.h>

#include "loopback.h"
#include "work.h"

#define AREA   KIB(64)
#define LIST   4
#define INLINE 256
#define FILLER 0xee

/* Two queue pairs, and memory of which one half is written to the other. */
struct pair {
	struct rdma rdma;
	struct rdma_qp a; /* has the work done */
	struct rdma_qp b;
	struct rdma_mem from;
	struct rdma_mem to;
	struct ibv_qp_ex *builder; /* of a */
};

static void pair_open(struct pair *p)
{
	const struct rdma_qp_options options = {
		.pieces = LIST,
		.inline_length = INLINE,
		.send_ops = IBV_QP_EX_WITH_RDMA_WRITE | IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM |
			    IBV_QP_EX_WITH_SEND | IBV_QP_EX_WITH_RDMA_READ,
	};

	memset(p, 0, sizeof(*p));
	CHECK_OK(rdma_open(&p->rdma, RDMA_DEVICE, NULL));
	CHECK_OK(rdma_qp_pair_open_as(&p->rdma, &options, &p->a, &p->b));
	CHECK_OK(rdma_mem_open(&p->rdma, AREA, &p->from));
	CHECK_OK(rdma_mem_open(&p->rdma, AREA, &p->to));
	p->builder = ibv_qp_to_qp_ex(p->a.qp);
	pattern_fill(p->from.at, AREA, 1);
	memset(p->to.at, FILLER, AREA);
}

static void pair_close(struct pair *p)
{
	rdma_mem_close(&p->to);
	rdma_mem_close(&p->from);
	rdma_qp_close(&p->a);
	rdma_qp_close(&p->b);
	rdma_close(&p->rdma);
}

static struct ibv_sge piece(const struct pair *p, size_t offset, uint32_t length)
{
	return work_piece(p->from.mr, (uintptr_t)p->from.at + offset, length);
}

/* Starts the next write, to the beginning of the memory written to. */
static void build_write(struct pair *p, unsigned int flags)
{
	p->builder->wr_id++;
	p->builder->wr_flags = flags;
	ibv_wr_rdma_write(p->builder, p->to.mr->rkey, (uintptr_t)p->to.at);
}

/* Hands in what has been built, and waits until it has been done. */
static void finish(struct pair *p)
{
	struct ibv_wc wc;

	CHECK_OK(-ibv_wr_complete(p->builder));
	CHECK_WC(rdma_wait(&p->a, &wc), 0);
	CHECK(wc.wr_id == p->builder->wr_id, "completion of %llu, wanted %llu",
	      (unsigned long long)wc.wr_id, (unsigned long long)p->builder->wr_id);
}

/* The pieces, one behind the other, and nothing after them. */
static void demand_pieces(const struct pair *p, const struct ibv_sge *pieces, int count)
{
	size_t at = 0, arrived = AREA;

	while (arrived && p->to.at[arrived - 1] == FILLER)
		arrived--;
	for (int i = 0; i < count; at += pieces[i++].length)
		CHECK(!memcmp(p->to.at + at, (void *)(uintptr_t)pieces[i].addr, pieces[i].length),
		      "piece %d is not what was sent; %zu bytes arrived", i, arrived);
	CHECK(arrived <= at, "%zu bytes arrived, wanted %zu", arrived, at);
}

/* One write of a list, which arrives. */
static void write_list(struct pair *p, struct ibv_sge *pieces, int count, unsigned int flags)
{
	ibv_wr_start(p->builder);
	build_write(p, flags);
	ibv_wr_set_sge_list(p->builder, count, pieces);
	finish(p);
	demand_pieces(p, pieces, count);
}

/* Of 8, 4096 and 100 bytes; then of equal ones, of one, and of as many as there may be. */
static void sge_lists(void)
{
	static const uint32_t lists[][LIST] = {
		{8, 4096, 100}, {100, 4096, 8}, {64, 64, 64}, {777}, {1, 2, 3, 4}, {8, 0, 8},
	};
	struct pair p;

	pair_open(&p);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct ibv_sge pieces[LIST];

		memset(p.to.at, FILLER, AREA);
		for (int k = 0; k < LIST; k++)
			pieces[k] = piece(&p, 5000 * k + 3, lists[i][k]);
		write_list(&p, pieces, lists[i][3] ? 4 : 3, IBV_SEND_SIGNALED);
	}
	pair_close(&p);
}

/* Several at once, each with a list; the ring is gone round more than once. */
static void sge_lists_in_a_batch(void)
{
	struct ibv_wc wc;
	struct pair p;

	pair_open(&p);
	for (int round = 0; round < 100; round++) {
		uint32_t length = 1 + 13 * (round % 50);
		struct ibv_sge pieces[2] = {piece(&p, 7, length), piece(&p, 9000, 3)};

		memset(p.to.at, FILLER, AREA);
		ibv_wr_start(p.builder);
		build_write(&p, 0);
		ibv_wr_set_sge(p.builder, p.from.mr->lkey, (uintptr_t)p.from.at, 1);
		build_write(&p, IBV_SEND_SIGNALED);
		ibv_wr_set_sge_list(p.builder, 2, pieces);
		CHECK_OK(-ibv_wr_complete(p.builder));
		CHECK_WC(rdma_wait(&p.a, &wc), 0);
		CHECK_WC(rdma_wait(&p.a, &wc), 0);
		demand_pieces(&p, pieces, 2);
	}
	pair_close(&p);
}

/* A peer's bytes, read into pieces. */
static void read_into_list(void)
{
	struct ibv_sge pieces[3];
	struct pair p;

	pair_open(&p);
	pieces[0] = work_piece(p.to.mr, (uintptr_t)p.to.at, 8);
	pieces[1] = work_piece(p.to.mr, (uintptr_t)p.to.at + 8, 4096);
	pieces[2] = work_piece(p.to.mr, (uintptr_t)p.to.at + 4104, 100);
	ibv_wr_start(p.builder);
	p.builder->wr_id++;
	p.builder->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_read(p.builder, p.from.mr->rkey, (uintptr_t)p.from.at);
	ibv_wr_set_sge_list(p.builder, 3, pieces);
	finish(&p);
	CHECK(!memcmp(p.to.at, p.from.at, 4204), "not what is at the peer");
	CHECK(p.to.at[4204] == FILLER, "too much");
	pair_close(&p);
}

static void build_inline(struct pair *p, const struct ibv_sge *pieces, int count,
			 unsigned int flags)
{
	struct ibv_data_buf buffers[LIST];

	for (int i = 0; i < count; i++) {
		buffers[i].addr = (void *)(uintptr_t)pieces[i].addr;
		buffers[i].length = pieces[i].length;
	}
	ibv_wr_start(p->builder);
	build_write(p, flags);
	if (count == 1)
		ibv_wr_set_inline_data(p->builder, buffers[0].addr, buffers[0].length);
	else
		ibv_wr_set_inline_data_list(p->builder, count, buffers);
}

/* One piece and several; the API asks for no flag, and one that is there is no harm. */
static void inline_data(void)
{
	static const unsigned int flags[] = {IBV_SEND_SIGNALED,
					     IBV_SEND_SIGNALED | IBV_SEND_INLINE};
	struct pair p;

	pair_open(&p);
	for (int i = 0; i < 4; i++) {
		struct ibv_sge pieces[] = {piece(&p, 0, 16), piece(&p, 64, 16),
					   piece(&p, 4090, 16)};
		int count = i < 2 ? 1 : 3;

		memset(p.to.at, FILLER, AREA);
		build_inline(&p, pieces, count, flags[i % 2]);
		finish(&p);
		demand_pieces(&p, pieces, count);
	}
	pair_close(&p);
}

/* Data that is not inline is not, whatever the flags of the one before were. */
static void inline_flag_without_inline_data(void)
{
	struct ibv_sge pieces[2];
	struct pair p;

	pair_open(&p);
	pieces[0] = piece(&p, 0, 40);
	pieces[1] = piece(&p, 100, 60);
	ibv_wr_start(p.builder);
	build_write(&p, IBV_SEND_SIGNALED | IBV_SEND_INLINE);
	ibv_wr_set_sge(p.builder, pieces[0].lkey, pieces[0].addr, pieces[0].length);
	finish(&p);
	demand_pieces(&p, pieces, 1);
	write_list(&p, pieces, 2, IBV_SEND_SIGNALED | IBV_SEND_INLINE);
	pair_close(&p);
}

/* Pieces that each fit, and together do not; nothing is posted and no neighbour is hit. */
static void inline_overflow(void)
{
	struct ibv_sge whole, pieces[LIST];
	struct pair p;
	int err;

	pair_open(&p);
	whole = piece(&p, 0, INLINE);
	for (int i = 0; i < LIST; i++)
		pieces[i] = piece(&p, 1000 * i, INLINE / 2);
	build_inline(&p, pieces, 3, IBV_SEND_SIGNALED);
	err = ibv_wr_complete(p.builder);
	CHECK(err == ENOSPC, "three halves: %s", strerror(err));
	whole.length = INLINE + AREA / 2;
	build_inline(&p, &whole, 1, IBV_SEND_SIGNALED);
	err = ibv_wr_complete(p.builder);
	CHECK(err == ENOSPC, "one too long: %s", strerror(err));
	/* The next one is as if nothing had been. */
	build_inline(&p, pieces, 2, IBV_SEND_SIGNALED);
	finish(&p);
	demand_pieces(&p, pieces, 2);
	pair_close(&p);
}

/* An aborted batch leaves nothing behind either. */
static void aborted(void)
{
	struct ibv_sge pieces[2];
	struct pair p;

	pair_open(&p);
	pieces[0] = piece(&p, 0, 100);
	pieces[1] = piece(&p, 200, 50);
	for (int i = 0; i < 3; i++) {
		ibv_wr_start(p.builder);
		build_write(&p, IBV_SEND_SIGNALED);
		ibv_wr_set_sge(p.builder, p.from.mr->lkey, (uintptr_t)p.from.at, AREA);
		ibv_wr_abort(p.builder);
	}
	write_list(&p, pieces, 2, IBV_SEND_SIGNALED);
	pair_close(&p);
}

/* More than the queue holds: refused as a whole. */
static void queue_full(void)
{
	struct ibv_sge pieces[2];
	struct pair p;
	int err;

	pair_open(&p);
	pieces[0] = piece(&p, 0, 100);
	pieces[1] = piece(&p, 200, 50);
	ibv_wr_start(p.builder);
	for (int i = 0; i < 20000; i++) {
		build_write(&p, IBV_SEND_SIGNALED);
		ibv_wr_set_sge_list(p.builder, 2, pieces);
	}
	err = ibv_wr_complete(p.builder);
	CHECK(err == ENOSPC, "20000 requests: %s", strerror(err));
	CHECK(p.to.at[0] == FILLER, "some of it was done");
	write_list(&p, pieces, 2, IBV_SEND_SIGNALED);
	pair_close(&p);
}

/* Two pieces of 2 GiB and one of 16 bytes: 16 is what is left of the sum in 32 bits. */
static int post_4gib(struct pair *p, unsigned int flags, struct ibv_send_wr **bad)
{
	struct ibv_sge good = piece(p, 0, 32);
	struct ibv_sge pieces[3] = {
		work_piece(p->from.mr, (uintptr_t)p->from.at, 1u << 31),
		work_piece(p->from.mr, (uintptr_t)p->from.at, 1u << 31),
		work_piece(p->from.mr, (uintptr_t)p->from.at, 16),
	};
	struct ibv_send_wr second =
		work_rdma(IBV_WR_RDMA_WRITE, (uintptr_t)p->to.at, p->to.mr->rkey);
	struct ibv_send_wr first = second;
	int err;

	second.sg_list = pieces;
	second.num_sge = 3;
	second.send_flags |= flags;
	first.sg_list = &good;
	first.num_sge = 1;
	first.next = &second;
	err = ibv_post_send(p->a.qp, &first, bad);
	CHECK(err == 0 || *bad == &second, "not the second is refused");
	CHECK(first.next == &second, "the list of requests was changed");
	return err;
}

/* The rule of ibv_post_send(): the one before is done, this one is refused. */
static void post_send_4gib(void)
{
	static const unsigned int flags[] = {0, IBV_SEND_INLINE};
	struct ibv_send_wr *bad;
	struct ibv_sge first;
	struct ibv_wc wc;
	struct pair p;

	for (size_t i = 0; i < 2; i++) {
		pair_open(&p);
		first = piece(&p, 0, 32);
		CHECK(post_4gib(&p, flags[i], &bad) == EINVAL, "flags %u: not EINVAL", flags[i]);
		CHECK_WC(rdma_wait(&p.a, &wc), 0);
		demand_pieces(&p, &first, 1);
		pair_close(&p);
	}
}

static void builder_4gib(void)
{
	struct ibv_sge pieces[3];
	struct pair p;
	int err;

	pair_open(&p);
	pieces[0] = pieces[1] = piece(&p, 0, 1u << 31);
	pieces[2] = piece(&p, 0, 16);
	ibv_wr_start(p.builder);
	build_write(&p, IBV_SEND_SIGNALED);
	ibv_wr_set_sge_list(p.builder, 3, pieces);
	err = ibv_wr_complete(p.builder);
	CHECK(err == EINVAL, "got %s", strerror(err));
	pair_close(&p);
}

static const struct tap_case cases[] = {
	{"sge_lists", sge_lists},
	{"sge_lists_in_a_batch", sge_lists_in_a_batch},
	{"read_into_list", read_into_list},
	{"inline_data", inline_data},
	{"inline_flag_without_inline_data", inline_flag_without_inline_data},
	{"inline_overflow", inline_overflow},
	{"aborted", aborted},
	{"queue_full", queue_full},
	{"post_send_4gib", post_send_4gib},
	{"builder_4gib", builder_4gib},
};

TAP_MAIN(cases)
