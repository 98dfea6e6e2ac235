// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What either side is told when the buffer behind a region has been revoked, by
 * each kind of work request: remote access error, local protection error. The
 * checks of what the memory holds are made through another buffer over it.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "loopback.h"
#include "work.h"

#define BASE  MIB(1)
#define AREA  KIB(64)
#define IOVA  0x100000ULL
#define NEEDS (FIXTURE_MEM | NEED_SERIES)
#define SHORT 100
#define LONG  20001 /* several packets */

static const struct rdma_qp_options reliable = {.type = IBV_QPT_RC, .pieces = 2};
static const struct rdma_qp_options unreliable = {.type = IBV_QPT_UC, .pieces = 2};
static const struct rdma_qp_options datagrams = {.type = IBV_QPT_UD, .pieces = 2};

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice; /* is revoked */
	struct slice watch; /* the same memory */
	struct ibv_mr *mr;
	struct ibv_mr *alive; /* over the watched one */
	struct rdma_qp a;
	struct rdma_qp b;
	struct ibv_ah *ah;
};

static void reconnect(struct bench *b, const struct rdma_qp_options *options)
{
	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
	CHECK_OK(rdma_qp_pair_open_as(&b->l.rdma, options, &b->a, &b->b));
}

/* Everything is set up before the slice is revoked, and works. */
static void bench_open(struct bench *b, const struct rdma_qp_options *options)
{
	memset(b, 0, sizeof(*b));
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, AREA);
	slice_open(&b->f, BASE, AREA, NC, &b->slice);
	slice_open(&b->f, BASE, AREA, NC, &b->watch);
	b->mr = loopback_register(&b->l, b->slice.buffer, 0, AREA, IOVA);
	b->alive = loopback_register(&b->l, b->watch.buffer, 0, AREA, IOVA);
	b->ah = work_own_address(&b->l.rdma);
	reconnect(b, options);
	pattern_fill(b->watch.at, AREA, 1);
	pattern_fill(b->l.mem.at, AREA, 2);
}

static void revoke(struct bench *b)
{
	CHECK_OK(peerbar_buffer_revoke(b->slice.buffer));
}

static void demand_unchanged(struct bench *b)
{
	CHECK(pattern_matches(b->watch.at, AREA, 1), "device memory changed");
	CHECK(pattern_matches(b->l.mem.at, AREA, 2), "host memory changed");
}

static void bench_close(struct bench *b)
{
	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
	CHECK_OK(-ibv_destroy_ah(b->ah));
	CHECK_OK(-ibv_dereg_mr(b->alive));
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->watch);
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

static struct ibv_sge in_dead(struct bench *b, uint32_t length)
{
	return work_piece(b->mr, IOVA, length);
}

static struct ibv_sge in_host(struct bench *b, uint32_t length)
{
	return work_piece(b->l.mem.mr, (uintptr_t)b->l.mem.at, length);
}

/* A send from a to b, of whatever kind they are. */
static void post_send(struct bench *b, struct ibv_sge *pieces, int count)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_SEND};

	wr.wr.ud.ah = b->ah;
	wr.wr.ud.remote_qpn = b->b.qp->qp_num;
	wr.wr.ud.remote_qkey = RDMA_QKEY;
	work_post(&b->a, wr, pieces, count);
}

/* rxe reports the error first, and its queue pair is in the error state a moment later. */
static void demand_stopped(struct rdma_qp *qp)
{
	AWAIT(work_state(qp) == IBV_QPS_ERR, 10000 * tap_slowness(), "state %d", work_state(qp));
}

/* A message cannot be sent from it: the sender is told why, and stops. */
static void send_from(const struct rdma_qp_options *options, uint32_t length)
{
	struct ibv_sge out;
	struct bench b;

	bench_open(&b, options);
	out = in_dead(&b, length);
	revoke(&b);
	post_send(&b, &out, 1);
	work_failed(&b.a, IBV_WC_LOC_PROT_ERR);
	demand_stopped(&b.a);
	/* What comes after it is flushed. */
	out = in_host(&b, SHORT);
	post_send(&b, &out, 1);
	work_failed(&b.a, IBV_WC_WR_FLUSH_ERR);
	demand_unchanged(&b);
	bench_close(&b);
}

static void send_reliable(void)
{
	send_from(&reliable, LONG);
}

static void send_unreliable(void)
{
	send_from(&unreliable, LONG);
}

static void send_datagram(void)
{
	send_from(&datagrams, SHORT);
}

/* One dead piece is enough, in the first packet or in a later one. */
static void gathered(void)
{
	struct bench b;

	bench_open(&b, &reliable);
	for (uint32_t first = SHORT; first <= LONG; first += LONG - SHORT) {
		struct ibv_sge out[] = {in_host(&b, first), in_dead(&b, SHORT)};

		revoke(&b);
		work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE, IOVA, b.alive->rkey), PIECES(out));
		work_failed(&b.a, IBV_WC_LOC_PROT_ERR);
		/* The packets before that one may have arrived, that one has not. */
		peerbar_copy_from(b.l.mem.at, b.watch.at, AREA);
		pattern_fill(b.watch.at, AREA, 1);
		CHECK(!memcmp(b.l.mem.at + first, (void *)(b.watch.at + first), AREA - first),
		      "bytes behind the live piece changed");
		bench_close(&b);
		bench_open(&b, &reliable);
	}
	bench_close(&b);
}

/* A message for it: its receiver has the local error, the sender a remote one. */
static void receive_into(const struct rdma_qp_options *options, uint32_t length, int sender)
{
	struct ibv_sge in, out;
	struct ibv_wc wc;
	struct bench b;

	bench_open(&b, options);
	in = in_dead(&b, AREA);
	out = in_host(&b, length);
	work_receive(&b.b, &in, 1);
	revoke(&b);
	post_send(&b, &out, 1);
	CHECK_WC(rdma_wait(&b.a, &wc), sender);
	work_failed(&b.b, IBV_WC_LOC_PROT_ERR);
	demand_stopped(&b.b);
	demand_unchanged(&b);
	bench_close(&b);
}

static void receive_reliable(void)
{
	receive_into(&reliable, SHORT, IBV_WC_REM_OP_ERR);
	receive_into(&reliable, LONG, IBV_WC_REM_OP_ERR);
}

static void receive_unreliable(void)
{
	receive_into(&unreliable, LONG, IBV_WC_SUCCESS);
}

static void receive_datagram(void)
{
	receive_into(&datagrams, SHORT, IBV_WC_SUCCESS);
}

/* The same with a request of a shared queue, which others go on to use. */
static void receive_shared(void)
{
	struct ibv_srq_init_attr attr = {.attr = {.max_wr = 8, .max_sge = 1}};
	struct rdma_qp_options options = reliable;
	struct ibv_sge dead, in, out;
	struct rdma_qp c, d;
	struct bench b;

	bench_open(&b, &reliable);
	options.srq = ibv_create_srq(b.l.rdma.pd, &attr);
	CHECK(options.srq, "ibv_create_srq: %s", strerror(errno));
	reconnect(&b, &options);
	CHECK_OK(rdma_qp_pair_open_as(&b.l.rdma, &options, &c, &d));
	dead = in_dead(&b, AREA);
	in = work_piece(b.alive, IOVA, AREA);
	work_receive(&b.b, &dead, 1);
	work_receive(&d, &in, 1);
	revoke(&b);
	out = in_host(&b, LONG);
	post_send(&b, &out, 1);
	work_failed(&b.a, IBV_WC_REM_OP_ERR);
	work_failed(&b.b, IBV_WC_LOC_PROT_ERR);
	demand_unchanged(&b);
	work_post(&c, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &out, 1);
	work_done(&c, IBV_WC_SEND, LONG);
	work_done(&d, IBV_WC_RECV, LONG);
	CHECK(pattern_matches(b.watch.at, LONG, 2), "contents");
	rdma_qp_close(&c);
	rdma_qp_close(&d);
	rdma_qp_close(&b.a);
	rdma_qp_close(&b.b);
	CHECK_OK(-ibv_destroy_srq(options.srq));
	bench_close(&b);
}

/* What a read brings, and what an atomic returns, has nowhere to go. */
static void answers(void)
{
	struct ibv_send_wr wr;
	struct ibv_sge in;
	struct bench b;

	bench_open(&b, &reliable);
	revoke(&b);
	in = in_dead(&b, LONG);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_READ, (uintptr_t)b.l.mem.at, b.l.mem.mr->rkey), &in,
		  1);
	work_failed(&b.a, IBV_WC_LOC_PROT_ERR);
	reconnect(&b, &reliable);
	in = in_dead(&b, 8);
	wr = (struct ibv_send_wr){.opcode = IBV_WR_ATOMIC_FETCH_AND_ADD};
	wr.wr.atomic.remote_addr = (uintptr_t)b.l.mem.at;
	wr.wr.atomic.rkey = b.l.mem.mr->rkey;
	work_post(&b.a, wr, &in, 1);
	work_failed(&b.a, IBV_WC_LOC_PROT_ERR);
	demand_unchanged(&b);
	bench_close(&b);
}

/* With immediate data there is a receive request to tell the owner by. */
static void write_with_immediate(void)
{
	struct ibv_sge out;
	struct bench b;

	bench_open(&b, &reliable);
	revoke(&b);
	out = in_host(&b, SHORT);
	work_receive(&b.b, NULL, 0);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE_WITH_IMM, IOVA, b.mr->rkey), &out, 1);
	work_failed(&b.a, IBV_WC_REM_ACCESS_ERR);
	work_failed(&b.b, IBV_WC_REM_ACCESS_ERR);
	demand_unchanged(&b);
	bench_close(&b);
}

/* UC: what is written is dropped, nobody is told, and the next write arrives. */
static void write_unreliable(void)
{
	struct ibv_sge out;
	struct bench b;

	bench_open(&b, &unreliable);
	revoke(&b);
	out = in_host(&b, LONG);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE, IOVA, b.mr->rkey), &out, 1);
	work_done(&b.a, IBV_WC_RDMA_WRITE, LONG);
	work_receive(&b.b, NULL, 0);
	post_send(&b, NULL, 0);
	work_done(&b.a, IBV_WC_SEND, 0);
	work_done(&b.b, IBV_WC_RECV, 0);
	demand_unchanged(&b);
	work_receive(&b.b, NULL, 0);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE_WITH_IMM, IOVA, b.alive->rkey), &out, 1);
	work_done(&b.a, IBV_WC_RDMA_WRITE, LONG);
	work_done(&b.b, IBV_WC_RECV_RDMA_WITH_IMM, LONG);
	CHECK(pattern_matches(b.watch.at, LONG, 2), "contents");
	bench_close(&b);
}

static enum ibv_event_type next_event(struct ibv_context *context)
{
	struct pollfd poller = {.fd = context->async_fd, .events = POLLIN};
	struct ibv_async_event event;

	CHECK(poll(&poller, 1, 60000) == 1, "no event");
	CHECK_OK(ibv_get_async_event(context, &event));
	ibv_ack_async_event(&event);
	return event.event_type;
}

/* The owner, who has posted nothing, is told by an event. */
static void event(void)
{
	struct ibv_sge out;
	struct bench b;

	bench_open(&b, &reliable);
	revoke(&b);
	out = in_host(&b, LONG);
	work_post(&b.a, work_rdma(IBV_WR_RDMA_WRITE, IOVA, b.mr->rkey), &out, 1);
	work_failed(&b.a, IBV_WC_REM_ACCESS_ERR);
	CHECK(next_event(b.l.rdma.context) == IBV_EVENT_QP_ACCESS_ERR, "another event");
	demand_stopped(&b.a);
	demand_stopped(&b.b);
	demand_unchanged(&b);
	bench_close(&b);
}

/* All that has to do with the dead region fails; the process's others go on. */
static void others_go_on(void)
{
	struct ibv_sge out, in;
	struct bench b;

	bench_open(&b, &reliable);
	revoke(&b);
	for (int round = 0; round < 20; round++) {
		CHECK_WC(rdma_write(&b.a, &b.l.mem, 0, LONG, IOVA, b.mr->rkey),
			 IBV_WC_REM_ACCESS_ERR);
		CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LONG, IOVA, b.alive->rkey), 0);
		CHECK(pattern_matches(b.watch.at, LONG, 2), "contents");
		pattern_fill(b.watch.at, LONG, 1);
		reconnect(&b, &reliable);
	}
	out = work_piece(b.alive, IOVA, LONG);
	in = in_host(&b, LONG);
	pattern_fill(b.l.mem.at, LONG, 9);
	work_receive(&b.b, &in, 1);
	post_send(&b, &out, 1);
	work_done(&b.a, IBV_WC_SEND, LONG);
	work_done(&b.b, IBV_WC_RECV, LONG);
	CHECK(pattern_matches(b.l.mem.at, LONG, 1), "contents");
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"send_reliable", send_reliable},
	{"send_unreliable", send_unreliable},
	{"send_datagram", send_datagram},
	{"gathered", gathered},
	{"receive_reliable", receive_reliable},
	{"receive_unreliable", receive_unreliable},
	{"receive_datagram", receive_datagram},
	{"receive_shared", receive_shared},
	{"answers", answers},
	{"write_with_immediate", write_with_immediate},
	{"write_unreliable", write_unreliable},
	{"event", event},
	{"others_go_on", others_go_on},
};

TAP_MAIN(cases)
