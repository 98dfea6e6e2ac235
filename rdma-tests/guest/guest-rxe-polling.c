// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Extended completion queues: each completion comes once, with what belongs to
 * it, and the queue is one thread's from ibv_start_poll() to ibv_end_poll().
 * With the distribution's provider of Debian 12 or 13 some of these cases fail.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "loopback.h"
#include "work.h"

#define AREA	KIB(64)
#define WAIT_MS 20000
/* How long a second thread is watched that should not get on. */
#define WATCH_MS 300

struct pair {
	struct rdma rdma;
	struct rdma_qp a; /* writes */
	struct rdma_qp b;
	struct rdma_mem mem;
	struct ibv_cq_ex *cq; /* of a */
	struct ibv_cq_ex *peer_cq;
	uint64_t posted;
	uint64_t seen;
};

/* As libibverbs sees it: the extended form of the same object. */
static struct ibv_cq_ex *extended(struct rdma_qp *qp)
{
	return (struct ibv_cq_ex *)qp->cq;
}

static void pair_open(struct pair *p)
{
	const struct rdma_qp_options options = {.extended_cq = true};

	memset(p, 0, sizeof(*p));
	CHECK_OK(rdma_open(&p->rdma, RDMA_DEVICE, NULL));
	CHECK_OK(rdma_qp_pair_open_as(&p->rdma, &options, &p->a, &p->b));
	CHECK_OK(rdma_mem_open(&p->rdma, AREA, &p->mem));
	p->cq = extended(&p->a);
	p->peer_cq = extended(&p->b);
}

static void pair_close(struct pair *p)
{
	rdma_mem_close(&p->mem);
	rdma_qp_close(&p->a);
	rdma_qp_close(&p->b);
	rdma_close(&p->rdma);
}

static void post_write(struct pair *p, uint32_t length)
{
	struct ibv_send_wr wr =
		work_rdma(IBV_WR_RDMA_WRITE, (uintptr_t)p->mem.at + AREA / 2, p->mem.mr->rkey);
	struct ibv_sge piece = work_piece(p->mem.mr, (uintptr_t)p->mem.at, length);

	wr.wr_id = ++p->posted;
	work_post(&p->a, wr, &piece, 1);
}

static int start_poll(struct ibv_cq_ex *cq)
{
	return ibv_start_poll(cq, &(struct ibv_poll_cq_attr){0});
}

/* For what is on its way. */
static void await_first(struct ibv_cq_ex *cq)
{
	int ret;

	AWAIT(!(ret = start_poll(cq)), WAIT_MS, "no completion: %s", strerror(ret));
}

/* The current completion is the next one that is to come. */
static void demand_next(struct pair *p)
{
	p->seen++;
	CHECK(p->cq->status == IBV_WC_SUCCESS, "status %s", ibv_wc_status_str(p->cq->status));
	CHECK(p->cq->wr_id == p->seen, "completion of request %llu, wanted %llu",
	      (unsigned long long)p->cq->wr_id, (unsigned long long)p->seen);
	CHECK(ibv_wc_read_opcode(p->cq) == IBV_WC_RDMA_WRITE, "opcode %d",
	      ibv_wc_read_opcode(p->cq));
	CHECK(ibv_wc_read_qp_num(p->cq) == p->a.qp->qp_num, "of another queue pair");
}

/* All that is there now, at least one. */
static void sweep(struct pair *p)
{
	int ret;

	await_first(p->cq);
	do
		demand_next(p);
	while (!(ret = ibv_next_poll(p->cq)));
	CHECK(ret == ENOENT, "ibv_next_poll: %s", strerror(ret));
	ibv_end_poll(p->cq);
}

static void demand_empty(struct pair *p)
{
	int ret = start_poll(p->cq);

	CHECK(ret, "a completion of request %llu (%llu were posted) from an empty queue",
	      (unsigned long long)p->cq->wr_id, (unsigned long long)p->posted);
	CHECK(ret == ENOENT, "ibv_start_poll: %s", strerror(ret));
}

/* To the end each time, several times round the queue. */
static void each_once(void)
{
	struct pair p;

	pair_open(&p);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i <= round % 5; i++)
			post_write(&p, 64);
		while (p.seen < p.posted)
			sweep(&p);
		demand_empty(&p);
	}
	pair_close(&p);
}

/* Stopping before the end leaves the others; what was looked at is gone. */
static void one_at_a_time(void)
{
	struct pair p;

	pair_open(&p);
	for (int round = 0; round < 100; round++) {
		post_write(&p, 64);
		post_write(&p, 64);
		while (p.seen < p.posted) {
			await_first(p.cq);
			demand_next(&p);
			ibv_end_poll(p.cq);
		}
		demand_empty(&p);
	}
	pair_close(&p);
}

/* The two interfaces take turns on one queue. */
static void with_ordinary_polling(void)
{
	struct ibv_wc wc;
	struct pair p;

	pair_open(&p);
	for (int round = 0; round < 50; round++) {
		post_write(&p, 64);
		sweep(&p);
		post_write(&p, 64);
		CHECK_WC(rdma_wait(&p.a, &wc), 0);
		CHECK(wc.wr_id == ++p.seen, "completion of request %llu",
		      (unsigned long long)wc.wr_id);
		demand_empty(&p);
	}
	pair_close(&p);
}

static void await_received(struct ibv_cq_ex *cq, enum ibv_wc_opcode opcode, uint32_t length)
{
	await_first(cq);
	CHECK(ibv_wc_read_opcode(cq) == opcode, "opcode %d", ibv_wc_read_opcode(cq));
	CHECK(ibv_wc_read_byte_len(cq) == length, "%u bytes", ibv_wc_read_byte_len(cq));
}

/* What the receiver learns of a write with immediate data and of a message. */
static void fields(void)
{
	struct ibv_sge piece;
	struct ibv_send_wr wr;
	struct pair p;

	pair_open(&p);
	piece = work_piece(p.mem.mr, (uintptr_t)p.mem.at, 100);
	work_receive(&p.b, &piece, 1);
	work_receive(&p.b, &piece, 1);
	wr = work_rdma(IBV_WR_RDMA_WRITE_WITH_IMM, (uintptr_t)p.mem.at + 4096, p.mem.mr->rkey);
	wr.imm_data = htonl(0x12345678);
	work_post(&p.a, wr, &piece, 1);
	await_received(p.peer_cq, IBV_WC_RECV_RDMA_WITH_IMM, 100);
	CHECK(ibv_wc_read_imm_data(p.peer_cq) == htonl(0x12345678), "other immediate data");
	CHECK(ibv_wc_read_wc_flags(p.peer_cq) & IBV_WC_WITH_IMM, "no flag for it");
	CHECK(ibv_wc_read_qp_num(p.peer_cq) == p.b.qp->qp_num, "of another queue pair");
	ibv_end_poll(p.peer_cq);
	piece.length = 60;
	work_post(&p.a, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &piece, 1);
	await_received(p.peer_cq, IBV_WC_RECV, 60);
	CHECK(!(ibv_wc_read_wc_flags(p.peer_cq) & IBV_WC_WITH_IMM), "a flag of the one before");
	ibv_end_poll(p.peer_cq);
	pair_close(&p);
}

/* An error, and what is flushed after it, in order. */
static void errors(void)
{
	struct ibv_send_wr wr;
	struct ibv_sge piece;
	struct pair p;

	pair_open(&p);
	piece = work_piece(p.mem.mr, (uintptr_t)p.mem.at, 64);
	wr = work_rdma(IBV_WR_RDMA_WRITE, (uintptr_t)p.mem.at, p.mem.mr->rkey + 1);
	wr.wr_id = 77;
	work_post(&p.a, wr, &piece, 1);
	await_first(p.cq);
	CHECK(p.cq->status == IBV_WC_REM_ACCESS_ERR, "status %s", ibv_wc_status_str(p.cq->status));
	CHECK(p.cq->wr_id == 77, "request %llu", (unsigned long long)p.cq->wr_id);
	ibv_end_poll(p.cq);
	demand_empty(&p);
	wr.wr_id = 78;
	work_post(&p.a, wr, &piece, 1);
	await_first(p.cq);
	CHECK(p.cq->status == IBV_WC_WR_FLUSH_ERR, "status %s", ibv_wc_status_str(p.cq->status));
	CHECK(p.cq->wr_id == 78, "request %llu", (unsigned long long)p.cq->wr_id);
	ibv_end_poll(p.cq);
	pair_close(&p);
}

struct second {
	struct ibv_cq_ex *cq;
	atomic_bool trying;
	atomic_bool returned;
};

static void *poll_too(void *arg)
{
	struct second *second = arg;

	atomic_store(&second->trying, true);
	if (!start_poll(second->cq))
		ibv_end_poll(second->cq);
	atomic_store(&second->returned, true);
	return NULL;
}

/*
 * The queue stays the first thread's after ibv_next_poll() has found no more,
 * until ibv_end_poll(); then it is the second's.
 */
static void exclusive_to_the_end(void)
{
	struct second second = {0};
	long long until;
	pthread_t thread;
	struct pair p;

	pair_open(&p);
	post_write(&p, 64);
	await_first(p.cq);
	demand_next(&p);
	CHECK(ibv_next_poll(p.cq) == ENOENT, "more than was posted");
	second.cq = p.cq;
	CHECK_OK(-pthread_create(&thread, NULL, poll_too, &second));
	AWAIT(atomic_load(&second.trying), WAIT_MS, "the second thread does not run");
	for (until = clock_ms() + WATCH_MS; clock_ms() < until; clock_pause())
		CHECK(!atomic_load(&second.returned), "the lock was dropped before the end");
	ibv_end_poll(p.cq);
	AWAIT(atomic_load(&second.returned), WAIT_MS, "the lock was not dropped at the end");
	CHECK_OK(-pthread_join(thread, NULL));
	demand_empty(&p);
	pair_close(&p);
}

/* Another size, with completions in it. */
static void resized(void)
{
	struct pair p;
	int err;

	pair_open(&p);
	post_write(&p, 64);
	sweep(&p);
	for (int size = 200; size <= 1000; size += 400) {
		post_write(&p, 64);
		err = ibv_resize_cq(p.a.cq, size);
		CHECK(!err, "ibv_resize_cq: %s", strerror(err));
		post_write(&p, 64);
		while (p.seen < p.posted)
			sweep(&p);
		demand_empty(&p);
	}
	pair_close(&p);
}

static const struct tap_case cases[] = {
	{"each_once", each_once},
	{"one_at_a_time", one_at_a_time},
	{"with_ordinary_polling", with_ordinary_polling},
	{"fields", fields},
	{"errors", errors},
	{"exclusive_to_the_end", exclusive_to_the_end},
	{"resized", resized},
};

TAP_MAIN(cases)
