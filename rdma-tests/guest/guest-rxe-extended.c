// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The operations that RDMA has got last: atomic write, which a region over a
 * slice takes, and flush, which it refuses. Libraries of today do not offer
 * both, so a flush is put into the send queue by hand.
 */
#include <inttypes.h>
#include <string.h>

#include <peerbar/mmio.h>
#include <rdma/rdma_user_rxe.h>

#include "loopback.h"
#include "ring.h"
#include "work.h"

#define BASE  MIB(1)
#define AREA  KIB(64)
#define IOVA  0x7000000000ULL
#define NEEDS (FIXTURE_MEM | NEED_SERIES)
#define BYTES 0x0123456789abcdefULL

/* Of the kernel's interface, newer than some machines' headers. */
#define ACCESS_FLUSH_GLOBAL (1 << 8)
#define WR_FLUSH	    14u
#define FLUSH_TYPE_GLOBAL   1
#define FLUSH_LEVEL_RANGE   0
#define FLUSH_LEVEL_MR	    1

/* The part of a flush that is its own, where other operations have theirs. */
struct flush_part {
	uint64_t remote;
	uint32_t length;
	uint32_t rkey;
	uint8_t type;
	uint8_t level;
	uint8_t reserved[6];
};

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice;
	struct ibv_mr *mr;
	struct rdma_qp a; /* has the work done */
	struct rdma_qp b;
};

static void reconnect(struct bench *b)
{
	const struct rdma_qp_options options = {
		.send_ops = IBV_QP_EX_WITH_ATOMIC_WRITE | IBV_QP_EX_WITH_RDMA_WRITE,
	};
	struct ibv_qp_attr attr = {.qp_access_flags = RDMA_ACCESS_ALL | ACCESS_FLUSH_GLOBAL};

	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
	CHECK_OK(rdma_qp_pair_open_as(&b->l.rdma, &options, &b->a, &b->b));
	CHECK_OK(-ibv_modify_qp(b->b.qp, &attr, IBV_QP_ACCESS_FLAGS));
}

static void bench_open(struct bench *b, enum peerbar_memattr memattr)
{
	memset(b, 0, sizeof(*b));
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, AREA);
	slice_open(&b->f, BASE, AREA, memattr, &b->slice);
	b->mr = loopback_register(&b->l, b->slice.buffer, 0, AREA, IOVA);
	reconnect(b);
}

static void bench_close(struct bench *b)
{
	rdma_qp_close(&b->a);
	rdma_qp_close(&b->b);
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

/* A completion status. */
static int atomic_write(struct bench *b, uint64_t remote, uint32_t rkey, const void *eight)
{
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(b->a.qp);
	struct ibv_wc wc;
	int ret;

	ibv_wr_start(qp);
	qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_atomic_write(qp, rkey, remote, eight);
	CHECK_OK(-ibv_wr_complete(qp));
	ret = rdma_wait(&b->a, &wc);
	if (!ret)
		CHECK(wc.opcode == IBV_WC_ATOMIC_WRITE && wc.byte_len == 8, "opcode %d, %u bytes",
		      wc.opcode, wc.byte_len);
	return ret;
}

/* Eight bytes, as they were in memory, and none beside them. */
static void atomic_writes(enum peerbar_memattr memattr)
{
	static const uint64_t offsets[] = {0, 8, 4088, 4096, AREA - 8};
	const uint64_t value = BYTES;
	struct bench b;

	bench_open(&b, memattr);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		uint64_t at = offsets[i];

		pattern_fill(b.slice.at, AREA, 1);
		CHECK_WC(atomic_write(&b, IOVA + at, b.mr->rkey, &value), 0);
		CHECK(peerbar_read64(b.slice.at + at) == value, "%" PRIx64 " at %" PRIu64,
		      peerbar_read64(b.slice.at + at), at);
		CHECK(pattern_matches(b.slice.at, at, 1), "bytes before changed");
		peerbar_copy_from(b.l.mem.at, b.slice.at, AREA);
		pattern_fill(b.slice.at, AREA, 1);
		CHECK(!memcmp(b.l.mem.at + at + 8, (void *)(b.slice.at + at + 8), AREA - at - 8),
		      "bytes after changed");
	}
	bench_close(&b);
}

static void atomic_write_noncached(void)
{
	atomic_writes(NC);
}

static void atomic_write_write_combining(void)
{
	atomic_writes(WC);
}

/* At an address that is not a multiple of eight, and outside. */
static void atomic_write_refused(void)
{
	const uint64_t value = BYTES;
	struct bench b;

	bench_open(&b, NC);
	pattern_fill(b.slice.at, AREA, 1);
	CHECK_WC(atomic_write(&b, IOVA + 4, b.mr->rkey, &value), IBV_WC_REM_INV_REQ_ERR);
	reconnect(&b);
	CHECK_WC(atomic_write(&b, IOVA + 1, b.mr->rkey, &value), IBV_WC_REM_INV_REQ_ERR);
	reconnect(&b);
	CHECK_WC(atomic_write(&b, IOVA + AREA, b.mr->rkey, &value), IBV_WC_REM_ACCESS_ERR);
	reconnect(&b);
	CHECK_WC(atomic_write(&b, IOVA - 8, b.mr->rkey, &value), IBV_WC_REM_ACCESS_ERR);
	reconnect(&b);
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, 0, 0, 0,
			    IBV_ACCESS_REMOTE_READ));
	CHECK_WC(atomic_write(&b, IOVA, b.mr->rkey, &value), IBV_WC_REM_ACCESS_ERR);
	CHECK(pattern_matches(b.slice.at, AREA, 1), "the memory changed");
	bench_close(&b);
}

/* Of a revoked buffer: a remote access error, and nothing is written. */
static void atomic_write_revoked(void)
{
	const uint64_t value = BYTES;
	struct slice again;
	struct bench b;

	bench_open(&b, NC);
	pattern_fill(b.slice.at, AREA, 1);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(atomic_write(&b, IOVA, b.mr->rkey, &value), IBV_WC_REM_ACCESS_ERR);
	slice_open(&b.f, BASE, AREA, NC, &again);
	CHECK(pattern_matches(again.at, AREA, 1), "the memory changed");
	slice_close(&again);
	bench_close(&b);
}

/* Makes a flush of a write that the kernel does not know of yet. */
static int flush(struct bench *b, uint64_t remote, uint32_t rkey, uint8_t level)
{
	const struct flush_part part = {
		.remote = remote,
		.length = 64,
		.rkey = rkey,
		.type = FLUSH_TYPE_GLOBAL,
		.level = level,
	};
	struct ibv_qp_ex *qp = ibv_qp_to_qp_ex(b->a.qp);
	struct rxe_send_wr *wr;
	struct ibv_wc wc;

	_Static_assert(sizeof(part) <= sizeof(wr->wr), "it fits");
	ibv_wr_start(qp);
	qp->wr_id = ring_id();
	qp->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(qp, rkey, remote);
	ibv_wr_set_sge(qp, b->l.mem.mr->lkey, (uintptr_t)b->l.mem.at, part.length);
	wr = ring_find(qp->wr_id);
	CHECK(wr->opcode == IBV_WR_RDMA_WRITE && wr->wr.rdma.remote_addr == remote &&
		      wr->wr.rdma.rkey == rkey,
	      "not the request that was looked for");
	wr->opcode = WR_FLUSH;
	memcpy(&wr->wr, &part, sizeof(part));
	CHECK_OK(-ibv_wr_complete(qp));
	return rdma_wait(&b->a, &wc);
}

/* Host memory that may be flushed, to know that what is sent is a flush. */
static void demand_flush_of_host_memory(struct bench *b)
{
	struct ibv_mr *mr =
		ibv_reg_mr(b->l.rdma.pd, b->l.mem.at, AREA, RDMA_ACCESS_ALL | ACCESS_FLUSH_GLOBAL);

	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	CHECK_WC(flush(b, (uintptr_t)b->l.mem.at, mr->rkey, FLUSH_LEVEL_RANGE), 0);
	CHECK_WC(flush(b, (uintptr_t)b->l.mem.at, mr->rkey, FLUSH_LEVEL_MR), 0);
	CHECK_OK(-ibv_dereg_mr(mr));
}

/*
 * No flush of device memory, by the key of the region nor by that of a window
 * that says it may be flushed: what is answered must be true.
 */
static void flush_refused(void)
{
	struct window w;
	struct bench b;

	bench_open(&b, NC);
	demand_flush_of_host_memory(&b);
	CHECK_WC(flush(&b, IOVA, b.mr->rkey, FLUSH_LEVEL_RANGE), IBV_WC_REM_ACCESS_ERR);
	reconnect(&b);
	work_make_bindable(b.mr);
	window_open(b.l.rdma.pd, IBV_MW_TYPE_1, &w);
	CHECK_WC(window_bind(&w, &b.b, b.mr, IOVA, AREA,
			     IBV_ACCESS_REMOTE_WRITE | ACCESS_FLUSH_GLOBAL),
		 0);
	CHECK_WC(flush(&b, IOVA, w.rkey, FLUSH_LEVEL_RANGE), IBV_WC_REM_ACCESS_ERR);
	reconnect(&b);
	CHECK_WC(flush(&b, IOVA, w.rkey, FLUSH_LEVEL_MR), IBV_WC_REM_ACCESS_ERR);
	reconnect(&b);
	CHECK_WC(rdma_write(&b.a, &b.l.mem, 0, 64, IOVA, w.rkey), 0);
	window_close(&w);
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"atomic_write_noncached", atomic_write_noncached},
	{"atomic_write_write_combining", atomic_write_write_combining},
	{"atomic_write_refused", atomic_write_refused},
	{"atomic_write_revoked", atomic_write_revoked},
	{"flush_refused", flush_refused},
};

TAP_MAIN(cases)
