// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Once revoke has returned, no peer reaches the slice, by any verb. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "loopback.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(256)
#define IOVA   0x100000ULL
#define NEEDS  (FIXTURE_MEM | NEED_SERIES)

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice;
	struct slice beside;
	struct ibv_mr *mr;
	struct ibv_mr *mr_beside;
};

static void bench_open(struct bench *b)
{
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, LENGTH);
	slice_open(&b->f, BASE, LENGTH, NC, &b->slice);
	slice_open(&b->f, BASE + LENGTH, LENGTH, NC, &b->beside);
	b->mr = loopback_register(&b->l, b->slice.buffer, 0, LENGTH, IOVA);
	b->mr_beside = loopback_register(&b->l, b->beside.buffer, 0, LENGTH, IOVA);
	pattern_fill(b->slice.at, LENGTH, 1);
	pattern_fill(b->l.mem.at, LENGTH, 2);
}

static void bench_close(struct bench *b)
{
	CHECK_OK(-ibv_dereg_mr(b->mr_beside));
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->beside);
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

/* What the device holds, seen through a new buffer over the same range. */
static void demand_unchanged(struct bench *b, uint32_t seed)
{
	struct slice again;

	slice_open(&b->f, BASE, LENGTH, NC, &again);
	CHECK(pattern_matches(again.at, LENGTH, seed), "the memory changed");
	slice_close(&again);
}

static void demand_neighbour_works(struct bench *b)
{
	loopback_reconnect(&b->l);
	pattern_fill(b->l.mem.at, LENGTH, 3);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, LENGTH, IOVA, b->mr_beside->rkey), 0);
	CHECK(pattern_matches(b->beside.at, LENGTH, 3), "neighbour");
}

/* A write fails with a remote access error and moves no byte. */
static void remote_write(void)
{
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LENGTH, IOVA, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, IOVA + 7, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	demand_unchanged(&b, 1);
	demand_neighbour_works(&b);
	bench_close(&b);
}

/* So does a read, and nothing of the contents gets out. */
static void remote_read(void)
{
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, LENGTH, IOVA, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	CHECK(pattern_matches(b.l.mem.at, LENGTH, 2), "something came");
	demand_neighbour_works(&b);
	bench_close(&b);
}

/* And atomics. */
static void remote_atomic(void)
{
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA, b.mr->rkey, 1), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_compare_swap(&b.l.peer, &b.l.mem, IOVA, b.mr->rkey, 0, 1),
		 IBV_WC_REM_ACCESS_ERR);
	demand_unchanged(&b, 1);
	demand_neighbour_works(&b);
	bench_close(&b);
}

/* The owner's own use of it is a local protection error. */
static void local_source(void)
{
	struct rdma_op op;
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	op = (struct rdma_op){.opcode = IBV_WR_RDMA_WRITE,
			      .local = IOVA,
			      .lkey = b.mr->lkey,
			      .length = KIB(16),
			      .remote = (uintptr_t)b.l.mem.at,
			      .rkey = b.l.mem.mr->rkey};
	CHECK_WC(rdma_do(&b.l.owner, &op), IBV_WC_LOC_PROT_ERR);
	CHECK(pattern_matches(b.l.mem.at, LENGTH, 2), "something came");
	demand_neighbour_works(&b);
	bench_close(&b);
}

/* A message for a receive into the slice reaches nobody. */
static void local_receive(void)
{
	struct rdma_op op;
	struct ibv_wc wc;
	struct bench b;
	int status;

	bench_open(&b);
	CHECK_OK(rdma_post_receive(&b.l.owner, IOVA, b.mr->lkey, LENGTH));
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	op = (struct rdma_op){.opcode = IBV_WR_SEND,
			      .local = (uintptr_t)b.l.mem.at,
			      .lkey = b.l.mem.mr->lkey,
			      .length = KIB(16)};
	status = rdma_do(&b.l.peer, &op);
	CHECK(status > 0, "the send: %s", rdma_status_name(status));
	tap_diag("sender: %s", rdma_status_name(status));
	status = rdma_wait(&b.l.owner, &wc);
	CHECK(status > 0, "the receive: %s", rdma_status_name(status));
	tap_diag("receiver: %s", rdma_status_name(status));
	demand_unchanged(&b, 1);
	demand_neighbour_works(&b);
	bench_close(&b);
}

/* Every region over the buffer dies, others over the same pages do not. */
static void all_regions_of_the_buffer(void)
{
	struct peerbar_buffer *other;
	struct ibv_mr *second, *alive;
	struct bench b;

	bench_open(&b);
	other = fixture_export(b.f.mem, MEM_BAR, BASE, LENGTH, NC);
	second = loopback_register(&b.l, b.slice.buffer, KIB(4), KIB(4), IOVA);
	alive = loopback_register(&b.l, other, 0, LENGTH, IOVA);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 64, IOVA, second->rkey), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 64, IOVA, b.mr->rkey), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LENGTH, IOVA, alive->rkey), 0);
	demand_unchanged(&b, 2);
	CHECK_OK(-ibv_dereg_mr(alive));
	CHECK_OK(-ibv_dereg_mr(second));
	peerbar_buffer_close(other);
	bench_close(&b);
}

/* The dead key is not handed out again while its region exists. */
static void key_stays_reserved(void)
{
	struct ibv_mr *fresh[200];
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	for (int i = 0; i < 200; i++) {
		fresh[i] = loopback_register(&b.l, b.beside.buffer, 0, LENGTH, IOVA);
		CHECK(fresh[i]->rkey != b.mr->rkey, "key handed out again");
	}
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 8, IOVA, b.mr->rkey), IBV_WC_REM_ACCESS_ERR);
	for (int i = 0; i < 200; i++)
		CHECK_OK(-ibv_dereg_mr(fresh[i]));
	bench_close(&b);
}

/* A reset is the end of a region: its owner registers the buffer again. */
static void reset(void)
{
	struct ibv_mr *again;
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_device_reset(b.f.mem));
	demand_alive(b.slice.at);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 8, IOVA, b.mr->rkey), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	again = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LENGTH, IOVA, again->rkey), 0);
	CHECK(pattern_matches(b.slice.at, LENGTH, 2), "contents");
	CHECK_OK(-ibv_dereg_mr(again));
	bench_close(&b);
}

/* Closing the device revokes what was exported from it. */
static void device_closed(void)
{
	struct bench b;

	bench_open(&b);
	slice_close(&b.slice);
	slice_close(&b.beside);
	fixture_close(&b.f);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 8, IOVA, b.mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(b.mr));
	CHECK_OK(-ibv_dereg_mr(b.mr_beside));
	loopback_close(&b.l);
}

struct registering {
	struct bench *b;
	_Atomic int running;
	int status;
};

static void *register_on(void *arg)
{
	struct registering *r = arg;
	struct bench *b = r->b;
	struct ibv_mr *mr;

	do {
		r->status = peerbar_reg_mr(b->slice.buffer, b->l.rdma.pd, 0, LENGTH, IOVA,
					   RDMA_ACCESS_ALL, &mr);
		if (!r->status)
			ibv_dereg_mr(mr);
		atomic_fetch_add(&r->running, 1);
	} while (!r->status);
	return NULL;
}

/* Registering while the buffer is being revoked: ENODEV, nothing worse. */
static void during_registration(void)
{
	struct bench b;

	for (int i = 0; i < 10; i++) {
		struct registering registering = {.b = &b};
		pthread_t thread;

		bench_open(&b);
		CHECK(!pthread_create(&thread, NULL, register_on, &registering), "thread");
		while (atomic_load(&registering.running) < 3)
			usleep(100);
		CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
		pthread_join(thread, NULL);
		CHECK_RET(registering.status, -ENODEV);
		bench_close(&b);
	}
}

/*
 * A device may take long for each access. A revocation in the middle of a packet is over before the packet is: it
 * waits for a line. The device here is quick; kernels in which it isn't are among the mutations.
 */
static void waits_for_a_line_only(void)
{
	struct rdma_op op;
	struct ibv_wc wc;
	struct bench b;
	long long start;

	bench_open(&b);
	op = (struct rdma_op){.opcode = IBV_WR_RDMA_WRITE,
			      .local = (uintptr_t)b.l.mem.at,
			      .lkey = b.l.mem.mr->lkey,
			      .length = KIB(4),
			      .remote = IOVA,
			      .rkey = b.mr->rkey};
	b.slice.at[0] = 0;
	b.l.mem.at[0] = 1;
	CHECK_OK(rdma_post(&b.l.peer, &op));
	AWAIT(b.slice.at[0], 5000, "nothing is written");
	start = clock_ms();
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK(clock_ms() - start < 3000, "it took %lld ms", clock_ms() - start);
	rdma_wait(&b.l.peer, &wc);
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"remote_write", remote_write},
	{"remote_read", remote_read},
	{"remote_atomic", remote_atomic},
	{"local_source", local_source},
	{"local_receive", local_receive},
	{"all_regions_of_the_buffer", all_regions_of_the_buffer},
	{"key_stays_reserved", key_stays_reserved},
	{"reset", reset},
	{"device_closed", device_closed},
	{"during_registration", during_registration, 120},
	{"waits_for_a_line_only", waits_for_a_line_only},
};

TAP_MAIN(cases)
