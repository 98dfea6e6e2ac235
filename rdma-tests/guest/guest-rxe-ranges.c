// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Buffers of several ranges of a BAR, and regions over part of them: each reaches the bytes that it is over, and
 * costs what those do, however large the buffer is.
 */
#include <string.h>

#include "loopback.h"

#define IOVA  0x7000000000ULL
#define NEEDS (FIXTURE_MEM | NEED_SERIES)
#define FEW   16
#define MANY  1600

struct bench {
	struct fixture f;
	struct loopback l;
};

static void bench_open(struct bench *b)
{
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, KIB(64));
}

static void bench_close(struct bench *b)
{
	loopback_close(&b->l);
	fixture_close(&b->f);
}

/* The BAR with its halves exchanged, a page missing at the end of each. */
static struct peerbar_buffer *export_halves(struct bench *b)
{
	const uint64_t half = b->f.mem_length / 2, length = half - b->f.page;
	const struct peerbar_range ranges[] = {{half, length}, {0, length}};
	struct peerbar_buffer *buffer;

	CHECK_OK(peerbar_buffer_export(b->f.mem, MEM_BAR, ranges, 2, NULL, &buffer));
	return buffer;
}

/* What is written through the region is in the BAR where it belongs, and nowhere beside. */
static void demand_lands(struct bench *b, struct ibv_mr *mr, uint64_t iova, uint64_t bar,
			 uint32_t length)
{
	struct slice around;

	slice_open(&b->f, bar - bar % b->f.page, 2 * b->f.page, NC, &around);
	pattern_fill(around.at, around.length, 1);
	pattern_fill(b->l.mem.at, length, 2);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, length, iova, mr->rkey), 0);
	CHECK(pattern_matches(around.at + bar % b->f.page, length, 2), "not there");
	CHECK(pattern_matches(around.at, bar % b->f.page, 1), "before it");
	memset(b->l.mem.at, 0, length);
	CHECK_WC(rdma_read(&b->l.peer, &b->l.mem, 0, length, iova, mr->rkey), 0);
	CHECK(pattern_matches(b->l.mem.at, length, 2), "read");
	slice_close(&around);
}

/* Over one page in the middle of the second range, from an odd byte on. */
static void part_of_a_range(void)
{
	struct peerbar_buffer *buffer;
	uint64_t half, at;
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b);
	half = b.f.mem_length / 2;
	at = half - b.f.page + MIB(1) + 100;
	buffer = export_halves(&b);
	mr = loopback_register(&b.l, buffer, at, 1000, IOVA + 100);
	demand_lands(&b, mr, IOVA + 100, MIB(1) + 100, 1000);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, IOVA + 99, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, IOVA + 1100, mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(mr));
	peerbar_buffer_close(buffer);
	bench_close(&b);
}

/* Over the last page of the first range and the first one of the second. */
static void across_two(void)
{
	struct peerbar_buffer *buffer;
	struct slice last, first;
	struct ibv_mr *mr;
	struct bench b;
	uint64_t page;

	bench_open(&b);
	page = b.f.page;
	slice_open(&b.f, b.f.mem_length - 2 * page, page, NC, &last);
	slice_open(&b.f, 0, page, NC, &first);
	buffer = export_halves(&b);
	mr = loopback_register(&b.l, buffer, b.f.mem_length / 2 - 2 * page, 2 * page, IOVA);
	pattern_fill(b.l.mem.at, 2 * page, 3);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, (uint32_t)(2 * page), IOVA, mr->rkey), 0);
	CHECK(!memcmp((const void *)last.at, b.l.mem.at, page), "the first range");
	CHECK(!memcmp((const void *)first.at, b.l.mem.at + page, page), "the second range");
	CHECK_OK(-ibv_dereg_mr(mr));
	peerbar_buffer_close(buffer);
	slice_close(&first);
	slice_close(&last);
	bench_close(&b);
}

/* That many regions over a page, each of a buffer of its own over all of the BAR. */
static void many(int count)
{
	static struct peerbar_buffer *buffers[MANY];
	static struct ibv_mr *mrs[MANY];
	struct bench b;
	uint64_t at;

	bench_open(&b);
	for (int i = 0; i < count; i++) {
		at = (uint64_t)i * b.f.page;
		buffers[i] = export_halves(&b);
		mrs[i] = loopback_register(&b.l, buffers[i], at, b.f.page, IOVA);
	}
	for (int i = 0; i < count; i += count / FEW)
		demand_lands(&b, mrs[i], IOVA, b.f.mem_length / 2 + (uint64_t)i * b.f.page, 64);
	for (int i = 0; i < count; i++) {
		CHECK_OK(-ibv_dereg_mr(mrs[i]));
		peerbar_buffer_close(buffers[i]);
	}
	bench_close(&b);
}

static void sixteen(void)
{
	many(FEW);
}

static void sixteen_hundred(void)
{
	many(MANY);
}

static const struct tap_case cases[] = {
	{"part_of_a_range", part_of_a_range},
	{"across_two", across_two},
	{"sixteen", sixteen},
	{"sixteen_hundred", sixteen_hundred},
};

TAP_MAIN(cases)
