// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * One buffer, several regions: on one soft-RoCE device and on two. The second
 * one is made for the test, over a link that leads nowhere.
 */
#include <stdlib.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "loopback.h"

#define BASE	   MIB(1)
#define AREA	   KIB(64)
#define IOVA	   0x100000ULL
#define NEEDS	   (FIXTURE_MEM | NEED_SERIES)
#define LINK	   "second0"
#define SECOND	   "rxe1"
#define ADDRESS	   "10.112.99.1"
#define APPEARS_MS 60000
#define REGIONS	   8

static void shell(const char *command)
{
	CHECK(!system(command), "%s", command);
}

static void second_add(void)
{
	shell("ip link add " LINK " mtu 9000 type dummy");
	shell("ip link set " LINK " up");
	shell("ip address add " ADDRESS "/24 dev " LINK);
	shell("rdma link add " SECOND " type rxe netdev " LINK);
}

static void second_remove(void)
{
	shell("rdma link delete " SECOND);
	shell("ip link delete " LINK);
}

/* The address is told to the device behind the scenes: it is not there at once. */
static void second_open(struct rdma *rdma)
{
	int ret;

	AWAIT((ret = rdma_open(rdma, SECOND, ADDRESS)) != -EADDRNOTAVAIL, APPEARS_MS,
	      SECOND " has no address");
	CHECK(!ret, SECOND ": %s", strerror(-ret));
}

/* What a process has on one of the two devices. */
struct side {
	struct rdma rdma;
	struct rdma_qp peer;
	struct rdma_qp owner;
	struct rdma_mem mem;
	struct ibv_mr *mr;
};

static void side_open(struct side *s, struct peerbar_buffer *buffer)
{
	CHECK_OK(rdma_qp_pair_open(&s->rdma, &s->peer, &s->owner));
	CHECK_OK(rdma_mem_open(&s->rdma, AREA, &s->mem));
	CHECK_OK(peerbar_reg_mr(buffer, s->rdma.pd, 0, AREA, IOVA, RDMA_ACCESS_ALL, &s->mr));
}

static void side_close(struct side *s)
{
	rdma_qp_close(&s->peer);
	rdma_qp_close(&s->owner);
	rdma_mem_close(&s->mem);
	if (s->mr)
		CHECK_OK(-ibv_dereg_mr(s->mr));
	rdma_close(&s->rdma);
}

static int side_write(struct side *s, uint32_t seed)
{
	pattern_fill(s->mem.at, AREA, seed);
	return rdma_write(&s->peer, &s->mem, 0, AREA, IOVA, s->mr->rkey);
}

static int side_read(struct side *s)
{
	memset(s->mem.at, 0, AREA);
	return rdma_read(&s->peer, &s->mem, 0, AREA, IOVA, s->mr->rkey);
}

struct bench {
	struct fixture f;
	struct slice slice;
	struct side first;
	struct side second;
};

static void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
	fixture_open(&b->f, NEEDS);
	slice_open(&b->f, BASE, AREA, NC, &b->slice);
	second_add();
	CHECK_OK(rdma_open(&b->first.rdma, RDMA_DEVICE, NULL));
	second_open(&b->second.rdma);
	side_open(&b->first, b->slice.buffer);
	side_open(&b->second, b->slice.buffer);
}

static void bench_close(struct bench *b)
{
	side_close(&b->first);
	side_close(&b->second);
	second_remove();
	slice_close(&b->slice);
	fixture_close(&b->f);
}

/* What one device writes the other one reads; one may leave before the other. */
static void two_devices(void)
{
	struct bench b;

	bench_open(&b);
	CHECK_WC(side_write(&b.first, 1), 0);
	CHECK_WC(side_read(&b.second), 0);
	CHECK(pattern_matches(b.second.mem.at, AREA, 1), "first to second");
	CHECK_WC(side_write(&b.second, 2), 0);
	CHECK_WC(side_read(&b.first), 0);
	CHECK(pattern_matches(b.first.mem.at, AREA, 2), "second to first");
	CHECK(pattern_matches(b.slice.at, AREA, 2), "the CPU sees something else");
	CHECK_OK(-ibv_dereg_mr(b.first.mr));
	b.first.mr = NULL;
	CHECK_WC(side_write(&b.second, 3), 0);
	CHECK(pattern_matches(b.slice.at, AREA, 3), "after one was deregistered");
	bench_close(&b);
}

/* One revocation is the end of both. */
static void revoked(void)
{
	struct slice again;
	struct bench b;

	bench_open(&b);
	pattern_fill(b.slice.at, AREA, 1);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(side_write(&b.first, 2), IBV_WC_REM_ACCESS_ERR);
	CHECK_WC(side_write(&b.second, 3), IBV_WC_REM_ACCESS_ERR);
	slice_open(&b.f, BASE, AREA, NC, &again);
	CHECK(pattern_matches(again.at, AREA, 1), "the memory changed");
	slice_close(&again);
	bench_close(&b);
}

/* Both see one counter, whoever counts. */
static void counter(void)
{
	const uint64_t rounds = 100;
	struct bench b;

	bench_open(&b);
	peerbar_write64(b.slice.at + 8, 0);
	for (uint64_t i = 0; i < rounds; i++) {
		struct side *s = i % 2 ? &b.first : &b.second;

		CHECK_WC(rdma_fetch_add(&s->peer, &s->mem, IOVA + 8, s->mr->rkey, 1), 0);
		CHECK(*(uint64_t *)s->mem.at == i, "old value %llu in round %llu",
		      (unsigned long long)*(uint64_t *)s->mem.at, (unsigned long long)i);
	}
	CHECK(peerbar_read64(b.slice.at + 8) == rounds, "the CPU sees something else");
	bench_close(&b);
}

/*
 * Regions that overlap, each with an offset, a length and an address of its own;
 * they go one by one, and what is left goes on.
 */
static void overlapping(void)
{
	struct ibv_mr *mrs[REGIONS];
	struct slice slice;
	struct loopback l;
	struct fixture f;

	fixture_open(&f, NEEDS);
	loopback_open(&l, AREA);
	slice_open(&f, BASE, AREA, WC, &slice);
	for (uint64_t i = 0; i < REGIONS; i++)
		mrs[i] = loopback_register(&l, slice.buffer, i * 4999, AREA - i * 8000,
					   (IOVA << i) + i * 4999);
	for (uint64_t i = 0; i < REGIONS; i++) {
		uint32_t length = (uint32_t)(AREA - i * 8000);

		pattern_fill(slice.at, AREA, 1);
		pattern_fill(l.mem.at, length, (uint32_t)i + 2);
		CHECK_WC(rdma_write(&l.peer, &l.mem, 0, length, (IOVA << i) + i * 4999,
				    mrs[i]->rkey),
			 0);
		CHECK(pattern_matches(slice.at, i * 4999, 1), "%llu: bytes before",
		      (unsigned long long)i);
		CHECK(pattern_matches(slice.at + i * 4999, length, (uint32_t)i + 2),
		      "%llu: contents", (unsigned long long)i);
		CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 1, (IOVA << i) + i * 4999 + length,
				    mrs[i]->rkey),
			 IBV_WC_REM_ACCESS_ERR);
		loopback_reconnect(&l);
		CHECK_OK(-ibv_dereg_mr(mrs[i]));
	}
	slice_close(&slice);
	loopback_close(&l);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"two_devices", two_devices},
	{"revoked", revoked},
	{"counter", counter},
	{"overlapping", overlapping},
};

TAP_MAIN(cases)
