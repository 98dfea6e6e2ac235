// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Changing a region, windows into it, and keys that are taken back by those who
 * may. Registering cannot ask for windows to be bound to a dma-buf region: ib
 * core accepts the flag when a region is reregistered only.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "leak.h"
#include "loopback.h"
#include "work.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define IOVA   0x100000ULL
#define NEEDS  (FIXTURE_MEM | NEED_SERIES)
/* Where the window is, and how long, when it is not all of the region. */
#define AT   (IOVA + 4001)
#define PART 9003
/* Of the race: how many are bound to one queue pair. */
#define WINDOWS 8

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice;
	struct ibv_mr *mr;
};

static void bench_open(struct bench *b)
{
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, LENGTH);
	slice_open(&b->f, BASE, LENGTH, NC, &b->slice);
	b->mr = loopback_register(&b->l, b->slice.buffer, 0, LENGTH, IOVA);
	pattern_fill(b->slice.at, LENGTH, 1);
}

static void bench_open_bindable(struct bench *b)
{
	bench_open(b);
	work_make_bindable(b->mr);
}

static void bench_close(struct bench *b)
{
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

static int write_to(struct bench *b, uint64_t remote, uint32_t rkey, uint32_t length)
{
	return rdma_write(&b->l.peer, &b->l.mem, 0, length, remote, rkey);
}

static int read_from(struct bench *b, uint64_t remote, uint32_t rkey, uint32_t length)
{
	return rdma_read(&b->l.peer, &b->l.mem, 0, length, remote, rkey);
}

/* The peer's write with this key is refused, and moves nothing. */
static void demand_dead(struct bench *b, uint64_t remote, uint32_t rkey)
{
	pattern_fill(b->slice.at, LENGTH, 1);
	pattern_fill(b->l.mem.at, 8, 2);
	CHECK_WC(write_to(b, remote, rkey, 8), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b->l);
	CHECK(pattern_matches(b->slice.at, LENGTH, 1), "the memory changed");
}

static void demand_written(struct bench *b, uint64_t remote, uint32_t rkey, uint64_t offset,
			   uint32_t length)
{
	pattern_fill(b->l.mem.at, length, 3);
	CHECK_WC(write_to(b, remote, rkey, length), 0);
	CHECK(pattern_matches(b->slice.at + offset, length, 3), "%u bytes at %llu", length,
	      (unsigned long long)offset);
}

/* Rights come and go; the keys stay. */
static void rereg_access(void)
{
	uint32_t rkey, lkey;
	struct bench b;

	bench_open(&b);
	rkey = b.mr->rkey;
	lkey = b.mr->lkey;
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, 0, 0, 0,
			    IBV_ACCESS_REMOTE_READ));
	CHECK(b.mr->rkey == rkey && b.mr->lkey == lkey, "the keys have changed");
	demand_dead(&b, IOVA, rkey);
	CHECK_WC(read_from(&b, IOVA, rkey, LENGTH), 0);
	CHECK(pattern_matches(b.l.mem.at, LENGTH, 1), "contents");
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, 0, 0, 0, RDMA_ACCESS_ALL));
	demand_written(&b, IOVA + 5, rkey, 5, 4097);
	bench_close(&b);
}

/* A region that has moved to another protection domain serves that one only. */
static void rereg_domain(void)
{
	struct rdma other;
	struct rdma_qp peer, owner;
	struct ibv_pd *pd;
	struct bench b;

	bench_open(&b);
	other = b.l.rdma;
	pd = other.pd = ibv_alloc_pd(b.l.rdma.context);
	CHECK(pd, "ibv_alloc_pd: %s", strerror(errno));
	CHECK_OK(rdma_qp_pair_open(&other, &peer, &owner));
	CHECK_WC(rdma_write(&peer, &b.l.mem, 0, 0, 0, 0), 0);
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_PD, pd, 0, 0, 0, 0));
	demand_dead(&b, IOVA, b.mr->rkey);
	/* From one half of the slice to the other, both by the new domain's keys. */
	const struct rdma_op op = {.opcode = IBV_WR_RDMA_WRITE,
				   .local = IOVA,
				   .lkey = b.mr->lkey,
				   .length = LENGTH / 2,
				   .remote = IOVA + LENGTH / 2,
				   .rkey = b.mr->rkey};
	CHECK_WC(rdma_do(&peer, &op), 0);
	CHECK(pattern_matches(b.slice.at + LENGTH / 2, LENGTH / 2, 1), "contents");
	CHECK(ibv_dealloc_pd(pd) == EBUSY, "a domain with a region in it could be freed");
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_PD, b.l.rdma.pd, 0, 0, 0, 0));
	demand_written(&b, IOVA, b.mr->rkey, 0, LENGTH);
	rdma_qp_close(&peer);
	rdma_qp_close(&owner);
	CHECK_OK(-ibv_dealloc_pd(pd));
	bench_close(&b);
}

/* What cannot be had, by its errno; nothing is changed by asking. */
static void rereg_refused(void)
{
	static const int odp = IBV_ACCESS_ON_DEMAND, flush_global = 1 << 8,
			 flush_persistent = 1 << 9;
	const int access = IBV_REREG_MR_CHANGE_ACCESS, place = IBV_REREG_MR_CHANGE_TRANSLATION;
	struct bench b;

	bench_open(&b);
	CHECK_RET(work_rereg(b.mr, 0, NULL, 0, 0, 0, 0), -EINVAL);
	CHECK_RET(work_rereg(b.mr, 1 << 3, NULL, 0, 0, 0, 0), -EOPNOTSUPP);
	CHECK_RET(work_rereg(b.mr, place, NULL, KIB(4), KIB(4), IOVA, 0), -EOPNOTSUPP);
	CHECK_RET(work_rereg(b.mr, place, NULL, KIB(4) + 1, KIB(4), IOVA, 0), -EINVAL);
	CHECK_RET(work_rereg(b.mr, access, NULL, 0, 0, 0, IBV_ACCESS_REMOTE_WRITE), -EINVAL);
	CHECK_RET(work_rereg(b.mr, access, NULL, 0, 0, 0, RDMA_ACCESS_ALL | odp), -EINVAL);
	CHECK_RET(work_rereg(b.mr, access, NULL, 0, 0, 0, RDMA_ACCESS_ALL | flush_global), -EINVAL);
	CHECK_RET(work_rereg(b.mr, access, NULL, 0, 0, 0, RDMA_ACCESS_ALL | flush_persistent),
		  -EINVAL);
	demand_written(&b, IOVA + 1, b.mr->rkey, 1, LENGTH - 1);
	bench_close(&b);
}

/* A dead region stays dead, whatever rights it is given. */
static void rereg_revoked(void)
{
	struct slice again;
	struct bench b;

	bench_open(&b);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	work_make_bindable(b.mr);
	CHECK_WC(write_to(&b, IOVA, b.mr->rkey, 8), IBV_WC_REM_ACCESS_ERR);
	slice_open(&b.f, BASE, LENGTH, NC, &again);
	CHECK(pattern_matches(again.at, LENGTH, 1), "the memory changed");
	slice_close(&again);
	bench_close(&b);
}

/* Inside of the window and with its rights; not a byte before or after it. */
static void use_window(struct bench *b, const struct window *w)
{
	pattern_fill(b->slice.at, LENGTH, 1);
	demand_written(b, AT, w->rkey, AT - IOVA, PART);
	CHECK(pattern_matches(b->slice.at, AT - IOVA, 1), "bytes before the window");
	demand_dead(b, AT - 1, w->rkey);
	demand_dead(b, AT + PART - 7, w->rkey);
	CHECK_WC(read_from(b, AT, w->rkey, 8), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b->l);
}

/* Type 1: bound by a verb, to any queue pair of the domain; moved; unbound. */
static void type1(void)
{
	struct window w;
	uint32_t old;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_1, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	use_window(&b, &w);
	old = w.rkey;
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA, LENGTH,
			     IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC),
		 0);
	demand_dead(&b, AT, old);
	CHECK_WC(read_from(&b, IOVA + 3, w.rkey, LENGTH - 3), 0);
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA + 8, w.rkey, 1), 0);
	CHECK(-ibv_dereg_mr(b.mr) == -EINVAL, "a region with a window could be deregistered");
	old = w.rkey;
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA, 0, 0), 0);
	demand_dead(&b, IOVA, old);
	demand_dead(&b, IOVA, w.rkey);
	window_close(&w);
	bench_close(&b);
}

/* Outside of the region, a window into it reaches nothing. */
static void bounds(void)
{
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_1, &w);
	CHECK(window_bind(&w, &b.l.owner, b.mr, IOVA + 1, LENGTH, IBV_ACCESS_REMOTE_WRITE) > 0,
	      "bound beyond the end");
	loopback_reconnect(&b.l);
	CHECK(window_bind(&w, &b.l.owner, b.mr, IOVA - 1, 8, IBV_ACCESS_REMOTE_WRITE) > 0,
	      "bound before the start");
	loopback_reconnect(&b.l);
	CHECK(window_bind(&w, &b.l.owner, b.mr, IOVA + 8, -8ULL, IBV_ACCESS_REMOTE_WRITE) > 0,
	      "bound around the address space");
	loopback_reconnect(&b.l);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA, LENGTH, IBV_ACCESS_REMOTE_WRITE), 0);
	demand_dead(&b, IOVA - 1, w.rkey);
	demand_dead(&b, IOVA + LENGTH - 7, w.rkey);
	window_close(&w);
	bench_close(&b);
}

/* The same of a window with addresses of its own. */
static void zero_based_bounds(void)
{
	static const uint64_t outside[][2] = {
		{IOVA - 1, 8}, {IOVA + 1, LENGTH}, {IOVA + 8, -8ULL}, {IOVA + LENGTH, 1}};
	const unsigned int access = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_ZERO_BASED;
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		CHECK(window_bind(&w, &b.l.owner, b.mr, outside[i][0], outside[i][1], access) > 0,
		      "%zu: bound outside of the region", i);
		loopback_reconnect(&b.l);
	}
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA + LENGTH - 8, 8, access), 0);
	demand_written(&b, 0, w.rkey, LENGTH - 8, 8);
	window_close(&w);
	bench_close(&b);
}

/* A region whose last byte has the last address there is. */
static void last_address(void)
{
	const uint64_t iova = -(uint64_t)LENGTH;
	struct window w;
	struct bench b;

	bench_open(&b);
	CHECK_OK(-ibv_dereg_mr(b.mr));
	b.mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, iova);
	work_make_bindable(b.mr);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_1, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, iova, LENGTH, IBV_ACCESS_REMOTE_WRITE), 0);
	demand_written(&b, iova + 1, w.rkey, 1, LENGTH - 1);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, iova, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	demand_written(&b, iova + 1, w.rkey, 1, PART - 1);
	window_close(&w);
	bench_close(&b);
}

/* A region that has moved to another domain is out of reach for the windows of the old. */
static void region_moved(void)
{
	struct ibv_pd *pd;
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	pd = ibv_alloc_pd(b.l.rdma.context);
	CHECK(pd, "ibv_alloc_pd: %s", strerror(errno));
	window_open(b.l.rdma.pd, IBV_MW_TYPE_1, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	demand_written(&b, AT, w.rkey, AT - IOVA, PART);
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_PD, pd, 0, 0, 0, 0));
	demand_dead(&b, AT, w.rkey);
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_PD, b.l.rdma.pd, 0, 0, 0, 0));
	demand_written(&b, AT, w.rkey, AT - IOVA, PART);
	CHECK_OK(-ibv_dealloc_pd(pd));
	window_close(&w);
	bench_close(&b);
}

/* Type 2: bound by a work request, and to that queue pair alone. */
static void type2(void)
{
	struct rdma_qp peer, owner;
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	CHECK_OK(rdma_qp_pair_open(&b.l.rdma, &peer, &owner));
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	pattern_fill(b.l.mem.at, PART, 3);
	CHECK_WC(write_to(&b, AT, w.rkey, PART), 0);
	CHECK(pattern_matches(b.slice.at + (AT - IOVA), PART, 3), "contents");
	CHECK_WC(rdma_write(&peer, &b.l.mem, 0, 8, AT, w.rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK(-ibv_dereg_mr(b.mr) == -EINVAL, "a region with a window could be deregistered");
	rdma_qp_close(&peer);
	rdma_qp_close(&owner);
	window_close(&w);
	bench_close(&b);
}

/* A window whose addresses begin at 0: each verb lands where it ought to. */
static void zero_based(void)
{
	const unsigned int access = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
				    IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_ZERO_BASED;
	const uint64_t at = 4008;
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA + at, KIB(32), access), 0);
	demand_written(&b, 1, w.rkey, at + 1, 20001);
	CHECK(pattern_matches(b.slice.at, at + 1, 1), "bytes before the window");
	pattern_fill(b.slice.at + at, KIB(32), 4);
	CHECK_WC(read_from(&b, 0, w.rkey, KIB(32)), 0);
	CHECK(pattern_matches(b.l.mem.at, KIB(32), 4), "read something else");
	peerbar_write64(b.slice.at + at + 16, 40);
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, 16, w.rkey, 2), 0);
	CHECK(peerbar_read64(b.slice.at + at + 16) == 42, "fetch-and-add");
	CHECK_WC(write_to(&b, KIB(32) - 7, w.rkey, 8), IBV_WC_REM_ACCESS_ERR);
	window_close(&w);
	bench_close(&b);
}

/* A window taken back by its owner; then bound again, with another key. */
static void local_invalidate(void)
{
	struct ibv_wc wc;
	struct window w;
	uint32_t old;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	demand_written(&b, AT, w.rkey, AT - IOVA, PART);
	old = w.rkey;
	work_post(&b.l.owner, work_invalidation(IBV_WR_LOCAL_INV, w.rkey), NULL, 0);
	CHECK_WC(rdma_wait(&b.l.owner, &wc), 0);
	demand_dead(&b, AT, old);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	CHECK(w.rkey != old, "the same key again");
	demand_written(&b, AT, w.rkey, AT - IOVA, PART);
	window_close(&w);
	bench_close(&b);
}

/* A window given back by the peer, with the message that lands in the slice. */
static void remote_invalidate(void)
{
	struct ibv_sge in, out;
	struct ibv_wc wc;
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	in = work_piece(b.mr, IOVA + KIB(32), KIB(8));
	out = work_piece(b.l.mem.mr, (uintptr_t)b.l.mem.at, 5001);
	pattern_fill(b.l.mem.at, 5001, 6);
	work_receive(&b.l.owner, &in, 1);
	work_post(&b.l.peer, work_invalidation(IBV_WR_SEND_WITH_INV, w.rkey), &out, 1);
	work_done(&b.l.peer, IBV_WC_SEND, 5001);
	wc = work_done(&b.l.owner, IBV_WC_RECV, 5001);
	CHECK(wc.invalidated_rkey == w.rkey, "key %x", wc.invalidated_rkey);
	CHECK(pattern_matches(b.slice.at + KIB(32), 5001, 6), "contents");
	demand_dead(&b, AT, w.rkey);
	window_close(&w);
	bench_close(&b);
}

/* How both sides of an attempt to invalidate the key of a region fare. */
static void try_to_invalidate(struct bench *b, uint32_t rkey, int status[3])
{
	struct ibv_sge in = work_piece(b->l.mem.mr, (uintptr_t)b->l.mem.at, 100);
	struct ibv_wc wc;

	work_receive(&b->l.owner, &in, 1);
	work_post(&b->l.peer, work_invalidation(IBV_WR_SEND_WITH_INV, rkey), NULL, 0);
	status[0] = rdma_wait(&b->l.peer, &wc);
	status[1] = rdma_wait(&b->l.owner, &wc);
	loopback_reconnect(&b->l);
	work_post(&b->l.owner, work_invalidation(IBV_WR_LOCAL_INV, rkey), NULL, 0);
	status[2] = rdma_wait(&b->l.owner, &wc);
	loopback_reconnect(&b->l);
}

/*
 * The key of a region that a process has registered is not for anyone to
 * invalidate: refused as it is for host memory, and the region goes on.
 */
static void region_not_invalidated(void)
{
	int host[3], slice[3];
	struct bench b;

	bench_open(&b);
	try_to_invalidate(&b, b.l.mem.mr->rkey, host);
	try_to_invalidate(&b, b.mr->rkey, slice);
	for (int i = 0; i < 3; i++)
		CHECK_WC(slice[i], host[i]);
	CHECK_WC(slice[1], IBV_WC_REM_INV_REQ_ERR);
	CHECK(slice[2] > 0, "a local invalidate went through");
	demand_written(&b, IOVA, b.mr->rkey, 0, LENGTH);
	bench_close(&b);
}

/* A window of type 2 can be taken back by the queue pair it is bound to alone. */
static void invalidated_by_another(void)
{
	struct rdma_qp peer, owner;
	struct ibv_wc wc;
	struct window w;
	int status[3];
	struct bench b;

	bench_open_bindable(&b);
	CHECK_OK(rdma_qp_pair_open(&b.l.rdma, &peer, &owner));
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
	try_to_invalidate(&b, w.rkey, status);
	CHECK_WC(status[1], IBV_WC_REM_INV_REQ_ERR);
	CHECK(status[2] > 0, "a local invalidate went through");
	CHECK_WC(rdma_write(&peer, &b.l.mem, 0, 8, AT, w.rkey), 0);
	work_post(&owner, work_invalidation(IBV_WR_LOCAL_INV, w.rkey), NULL, 0);
	CHECK_WC(rdma_wait(&owner, &wc), 0);
	CHECK_WC(rdma_write(&peer, &b.l.mem, 0, 8, AT, w.rkey), IBV_WC_REM_ACCESS_ERR);
	rdma_qp_close(&peer);
	rdma_qp_close(&owner);
	window_close(&w);
	bench_close(&b);
}

/* A window is to be bound before it can be taken back, and that once. */
static void invalidated_unbound(void)
{
	struct ibv_wc wc;
	struct window w;
	int status[3];
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	for (int i = 0; i < 2; i++) {
		try_to_invalidate(&b, w.rkey, status);
		CHECK_WC(status[1], IBV_WC_REM_INV_REQ_ERR);
		CHECK(status[2] > 0, "a local invalidate went through");
		CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
		demand_written(&b, AT, w.rkey, AT - IOVA, PART);
		work_post(&b.l.owner, work_invalidation(IBV_WR_LOCAL_INV, w.rkey), NULL, 0);
		CHECK_WC(rdma_wait(&b.l.owner, &wc), 0);
	}
	window_close(&w);
	bench_close(&b);
}

/* Where a region gives no such right, it is refused as for host memory. */
static void not_bindable(void)
{
	struct window w;
	int host, slice;
	struct bench b;

	bench_open(&b);
	for (int type = IBV_MW_TYPE_1; type <= IBV_MW_TYPE_2; type++) {
		window_open(b.l.rdma.pd, (enum ibv_mw_type)type, &w);
		host = window_bind(&w, &b.l.owner, b.l.mem.mr, (uintptr_t)b.l.mem.at, LENGTH,
				   IBV_ACCESS_REMOTE_WRITE);
		loopback_reconnect(&b.l);
		slice = window_bind(&w, &b.l.owner, b.mr, IOVA, LENGTH, IBV_ACCESS_REMOTE_WRITE);
		loopback_reconnect(&b.l);
		CHECK(slice > 0, "bound without the right");
		CHECK_WC(slice, host);
		window_close(&w);
	}
	bench_close(&b);
}

/* Revoking the buffer is the end of the windows into it, of either type. */
static void revoked(void)
{
	const unsigned int access =
		IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
	struct slice again;
	struct window w;
	struct bench b;

	for (int type = IBV_MW_TYPE_1; type <= IBV_MW_TYPE_2; type++) {
		bench_open_bindable(&b);
		window_open(b.l.rdma.pd, (enum ibv_mw_type)type, &w);
		CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA, LENGTH, access), 0);
		CHECK_WC(read_from(&b, IOVA, w.rkey, LENGTH), 0);
		pattern_fill(b.l.mem.at, LENGTH, 2);
		CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
		CHECK_WC(write_to(&b, IOVA, w.rkey, LENGTH), IBV_WC_REM_ACCESS_ERR);
		slice_open(&b.f, BASE, LENGTH, NC, &again);
		CHECK(pattern_matches(again.at, LENGTH, 1), "the memory changed");
		slice_close(&again);
		CHECK(-ibv_dereg_mr(b.mr) == -EINVAL, "deregistered below a window");
		window_close(&w);
		bench_close(&b);
	}
}

/* Read and atomic through a window whose buffer is revoked: nothing gets out. */
static void revoked_read(void)
{
	const unsigned int access = IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_1, &w);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA, LENGTH, access), 0);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	pattern_fill(b.l.mem.at, LENGTH, 2);
	CHECK_WC(read_from(&b, IOVA, w.rkey, LENGTH), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA, w.rkey, 1), IBV_WC_REM_ACCESS_ERR);
	CHECK(pattern_matches(b.l.mem.at, LENGTH, 2), "something came");
	window_close(&w);
	bench_close(&b);
}

static void reconnect_in_time(struct bench *b)
{
	long long begin = clock_ms();

	loopback_reconnect(&b->l);
	CHECK(clock_ms() - begin < LOOPBACK_END_MS, "destroying the queue pairs took %lld ms",
	      clock_ms() - begin);
}

/*
 * The queue pair that a window is bound to takes the binding along: nobody gets
 * through the window, another queue pair can have it, the region can go.
 */
static void owner_destroyed(void)
{
	struct window w;
	struct bench b;

	bench_open_bindable(&b);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &w);
	for (int i = 0; i < 2; i++) {
		CHECK_WC(window_bind(&w, &b.l.owner, b.mr, AT, PART, IBV_ACCESS_REMOTE_WRITE), 0);
		demand_written(&b, AT, w.rkey, AT - IOVA, PART);
		reconnect_in_time(&b);
		demand_dead(&b, AT, w.rkey);
	}
	CHECK_OK(-ibv_dereg_mr(b.mr));
	b.mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	window_close(&w);
	bench_close(&b);
}

/* Not waited for; the peer does not wait either before it writes. */
static void bind_and_write(struct bench *b, struct window *w)
{
	struct ibv_send_wr wr = {.opcode = IBV_WR_BIND_MW}, *bad;
	const struct rdma_op op = {.opcode = IBV_WR_RDMA_WRITE,
				   .local = (uintptr_t)b->l.mem.at,
				   .lkey = b->l.mem.mr->lkey,
				   .length = PART,
				   .remote = AT,
				   .rkey = ibv_inc_rkey(w->rkey)};

	wr.bind_mw.mw = w->mw;
	wr.bind_mw.rkey = op.rkey;
	wr.bind_mw.bind_info = (struct ibv_mw_bind_info){
		.mr = b->mr,
		.addr = AT,
		.length = PART,
		.mw_access_flags = IBV_ACCESS_REMOTE_WRITE,
	};
	CHECK_OK(-ibv_post_send(b->l.owner.qp, &wr, &bad));
	CHECK_OK(rdma_post(&b->l.peer, &op));
}

static void *close_windows(void *arg)
{
	struct window *windows = arg;

	for (int i = 0; i < WINDOWS; i++)
		window_close(&windows[i]);
	return NULL;
}

/*
 * The queue pair goes while windows are being bound to it and used; they go
 * later, or at the same time.
 */
static void destroyed_at_once(void)
{
	unsigned long rounds = tap_rounds(100, 10000);
	struct window windows[WINDOWS];
	pthread_t thread;
	long long begin;
	struct bench b;

	bench_open_bindable(&b);
	while (rounds--) {
		for (int i = 0; i < WINDOWS; i++) {
			window_open(b.l.rdma.pd, IBV_MW_TYPE_2, &windows[i]);
			bind_and_write(&b, &windows[i]);
		}
		begin = clock_ms();
		if (rounds % 2)
			CHECK_OK(-pthread_create(&thread, NULL, close_windows, windows));
		rdma_qp_close(&b.l.owner);
		if (rounds % 2)
			CHECK_OK(-pthread_join(thread, NULL));
		else
			close_windows(windows);
		CHECK(clock_ms() - begin < LOOPBACK_END_MS, "took %lld ms", clock_ms() - begin);
		rdma_qp_close(&b.l.peer);
		CHECK_OK(rdma_qp_pair_open(&b.l.rdma, &b.l.peer, &b.l.owner));
	}
	bench_close(&b);
}

struct end {
	enum ibv_mw_type type;
	bool owner_is_younger; /* than the window: the kernel destroys it first */
	bool killed;
};

/* Ends with a window bound that is older than the region: nothing is given back. */
static void leave_bound(void *arg)
{
	const struct end *end = arg;
	struct window w;
	struct bench b;

	fixture_open(&b.f, NEEDS);
	loopback_open(&b.l, LENGTH);
	window_open(b.l.rdma.pd, end->type, &w);
	slice_open(&b.f, BASE, LENGTH, NC, &b.slice);
	b.mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	work_make_bindable(b.mr);
	if (end->owner_is_younger)
		loopback_reconnect(&b.l);
	CHECK_WC(window_bind(&w, &b.l.owner, b.mr, IOVA, LENGTH, IBV_ACCESS_REMOTE_WRITE), 0);
	demand_written(&b, IOVA, w.rkey, 0, LENGTH);
	if (end->killed)
		kill(getpid(), SIGKILL);
}

static void demand_killed(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child, "waitpid: %s", strerror(errno));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %x", status);
}

static void end_process(struct end *end)
{
	int before = leak_dmabufs();
	long long begin = clock_ms();
	pid_t child = tap_fork(leave_bound, end);

	if (end->killed)
		demand_killed(child);
	else
		tap_join(child);
	CHECK(leak_dmabufs_back_to(before), "buffers are left");
	CHECK(clock_ms() - begin < LOOPBACK_END_MS, "took %lld ms", clock_ms() - begin);
}

/* A process that ends takes its windows and regions with it, buffers as well. */
static void left_bound(void)
{
	for (int i = 0; i < 8; i++) {
		struct end end = {.type = i & 1 ? IBV_MW_TYPE_2 : IBV_MW_TYPE_1,
				  .owner_is_younger = i & 2,
				  .killed = i & 4};

		end_process(&end);
	}
}

static const struct tap_case cases[] = {
	{"rereg_access", rereg_access},
	{"rereg_domain", rereg_domain},
	{"rereg_refused", rereg_refused},
	{"rereg_revoked", rereg_revoked},
	{"type1", type1},
	{"bounds", bounds},
	{"zero_based_bounds", zero_based_bounds},
	{"last_address", last_address},
	{"region_moved", region_moved},
	{"type2", type2},
	{"zero_based", zero_based},
	{"local_invalidate", local_invalidate},
	{"remote_invalidate", remote_invalidate},
	{"region_not_invalidated", region_not_invalidated},
	{"invalidated_by_another", invalidated_by_another},
	{"invalidated_unbound", invalidated_unbound},
	{"not_bindable", not_bindable},
	{"revoked", revoked},
	{"revoked_read", revoked_read},
	{"owner_destroyed", owner_destroyed, 120},
	{"destroyed_at_once", destroyed_at_once, 120},
	{"left_bound", left_bound, 240},
};

TAP_MAIN(cases)
