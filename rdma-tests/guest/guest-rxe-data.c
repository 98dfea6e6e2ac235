// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Every verb on a memory region over a slice, compared by CPU. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "loopback.h"

#define BASE  MIB(1)
#define AREA  MIB(2)
#define IOVA  0x7000000000ULL
#define NEEDS (FIXTURE_MEM | NEED_SERIES)

/* A slice, mapped for the CPU, and a region over all of it. */
struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice;
	struct ibv_mr *mr;
};

static void bench_open(struct bench *b, enum peerbar_memattr memattr)
{
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, AREA);
	slice_open(&b->f, BASE, AREA, memattr, &b->slice);
	b->mr = loopback_register(&b->l, b->slice.buffer, 0, AREA, IOVA);
}

static void bench_close(struct bench *b)
{
	ibv_dereg_mr(b->mr);
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

/* Writes, looks with the CPU, reads back, compares; then the neighbourhood. */
static void round_trip(struct bench *b, uint64_t offset, uint32_t length)
{
	uint8_t *local = b->l.mem.at;
	uint32_t seed = (uint32_t)(offset * 31 + length);

	pattern_fill(local, length, seed);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, length, IOVA + offset, b->mr->rkey), 0);
	CHECK(pattern_matches(b->slice.at + offset, length, seed),
	      "%u bytes at %llu: the CPU sees something else", length, (unsigned long long)offset);
	memset(local, 0, length);
	CHECK_WC(rdma_read(&b->l.peer, &b->l.mem, 0, length, IOVA + offset, b->mr->rkey), 0);
	CHECK(pattern_matches(local, length, seed), "%u bytes at %llu: read back something else",
	      length, (unsigned long long)offset);
}

static void lengths(enum peerbar_memattr memattr)
{
	static const uint32_t sizes[] = {1,    2,    3,	   4,	  7,	 8,	 15,
					 64,   255,  1023, 1024,  4095,	 4096,	 4097,
					 8192, 8197, 9001, 65536, 65537, 1048576};
	static const uint64_t offsets[] = {0, 1, 2, 4, 4093, 4096, 65535};
	struct bench b;

	bench_open(&b, memattr);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t k = 0; k < sizeof(offsets) / sizeof(offsets[0]); k++)
			round_trip(&b, offsets[k], sizes[i]);
	/* Right up to the region's end. */
	round_trip(&b, AREA - 1, 1);
	round_trip(&b, AREA - 4097, 4097);
	bench_close(&b);
}

/* Odd offsets and lengths, within and across packets, noncached. */
static void lengths_noncached(void)
{
	lengths(NC);
}

/* The same on a write-combining slice. */
static void lengths_write_combining(void)
{
	lengths(WC);
}

static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* A thousand writes anywhere, against a shadow in ordinary memory. */
static void thousand_rounds(void)
{
	const size_t area = KIB(64);
	uint8_t *shadow = calloc(1, area), *copy = malloc(area);
	uint32_t state = 7;
	struct bench b;

	bench_open(&b, WC);
	peerbar_copy_to(b.slice.at, shadow, area);
	peerbar_wc_flush();
	for (int i = 0; i < 1000; i++) {
		uint32_t length = 1 + next(&state) % 6000;
		uint64_t offset = next(&state) % (area - length);

		for (uint32_t k = 0; k < length; k++)
			shadow[offset + k] = b.l.mem.at[k] = (uint8_t)next(&state);
		CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, length, IOVA + offset, b.mr->rkey), 0);
		if (i % 50 != 49)
			continue;
		peerbar_copy_from(copy, b.slice.at, area);
		CHECK(!memcmp(copy, shadow, area), "round %d differs", i);
	}
	bench_close(&b);
	free(copy);
	free(shadow);
}

/* Nothing beside what was written changes. */
static void nothing_beside(void)
{
	struct bench b;

	bench_open(&b, NC);
	pattern_fill(b.slice.at, KIB(16), 1);
	memset(b.l.mem.at, 0xee, KIB(16));
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 4099, IOVA + 4001, b.mr->rkey), 0);
	CHECK(pattern_matches(b.slice.at, 4001, 1), "bytes before changed");
	for (size_t i = 4001; i < 8100; i++)
		CHECK(peerbar_read8(b.slice.at + i) == 0xee, "byte %zu", i);
	pattern_fill(b.l.mem.at, KIB(16), 1);
	peerbar_copy_to(b.slice.at, b.l.mem.at, 8100);
	CHECK(pattern_matches(b.slice.at, KIB(16), 1), "bytes after changed");
	bench_close(&b);
}

/* A write and a read of no bytes succeed and change nothing. */
static void zero_length(void)
{
	struct bench b;

	bench_open(&b, NC);
	pattern_fill(b.slice.at, KIB(4), 1);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 0, IOVA, b.mr->rkey), 0);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 0, IOVA, b.mr->rkey), 0);
	CHECK(pattern_matches(b.slice.at, KIB(4), 1), "contents changed");
	bench_close(&b);
}

/* Fetch-and-add and compare-and-swap: old value, new value, no match. */
static void atomics(enum peerbar_memattr memattr)
{
	volatile uint64_t *word;
	uint64_t *old;
	struct bench b;

	bench_open(&b, memattr);
	old = (uint64_t *)b.l.mem.at;
	for (uint64_t offset = 0; offset <= 4104; offset += 4104) {
		word = (volatile uint64_t *)(b.slice.at + offset);
		peerbar_write64(word, 40);
		peerbar_wc_flush();
		CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA + offset, b.mr->rkey, 2), 0);
		CHECK(*old == 40 && peerbar_read64(word) == 42, "fetch-and-add: %llu, %llu",
		      (unsigned long long)*old, (unsigned long long)peerbar_read64(word));
		CHECK_WC(rdma_compare_swap(&b.l.peer, &b.l.mem, IOVA + offset, b.mr->rkey, 42,
					   ~0ULL),
			 0);
		CHECK(*old == 42 && peerbar_read64(word) == ~0ULL, "swap");
		CHECK_WC(rdma_compare_swap(&b.l.peer, &b.l.mem, IOVA + offset, b.mr->rkey, 42, 1),
			 0);
		CHECK(*old == ~0ULL && peerbar_read64(word) == ~0ULL, "swapped without a match");
	}
	/* An address that is not a multiple of eight is refused here already. */
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA + 4, b.mr->rkey, 1), -EINVAL);
	bench_close(&b);
}

static void atomics_noncached(void)
{
	atomics(NC);
}

static void atomics_write_combining(void)
{
	atomics(WC);
}

static struct rdma_op local_op(struct bench *b, enum ibv_wr_opcode opcode, uint64_t offset,
			       uint32_t length)
{
	return (struct rdma_op){
		.opcode = opcode,
		.local = IOVA + offset,
		.lkey = b->mr->lkey,
		.length = length,
	};
}

/* The slice as the local side: sent from, received into. */
static void send_receive(void)
{
	struct ibv_wc wc;
	struct rdma_op op;
	struct bench b;

	bench_open(&b, WC);
	pattern_fill(b.slice.at + 100, 10001, 1);
	CHECK_OK(rdma_post_receive(&b.l.peer, (uintptr_t)b.l.mem.at, b.l.mem.mr->lkey, 10001));
	op = local_op(&b, IBV_WR_SEND, 100, 10001);
	CHECK_WC(rdma_do(&b.l.owner, &op), 0);
	CHECK_WC(rdma_wait(&b.l.peer, &wc), 0);
	CHECK(wc.byte_len == 10001, "%u bytes came", wc.byte_len);
	CHECK(pattern_matches(b.l.mem.at, 10001, 1), "sent something else");

	pattern_fill(b.l.mem.at, 20003, 2);
	CHECK_OK(rdma_post_receive(&b.l.owner, IOVA + 4095, b.mr->lkey, 20003));
	op = (struct rdma_op){.opcode = IBV_WR_SEND,
			      .local = (uintptr_t)b.l.mem.at,
			      .lkey = b.l.mem.mr->lkey,
			      .length = 20003};
	CHECK_WC(rdma_do(&b.l.peer, &op), 0);
	CHECK_WC(rdma_wait(&b.l.owner, &wc), 0);
	CHECK(pattern_matches(b.slice.at + 4095, 20003, 2), "received something else");
	bench_close(&b);
}

/* The slice as source of a write and target of a read that its owner does. */
static void local_side(void)
{
	struct rdma_op op;
	struct bench b;

	bench_open(&b, WC);
	pattern_fill(b.slice.at + 5, 30001, 3);
	op = local_op(&b, IBV_WR_RDMA_WRITE, 5, 30001);
	op.remote = (uintptr_t)b.l.mem.at + 3;
	op.rkey = b.l.mem.mr->rkey;
	CHECK_WC(rdma_do(&b.l.owner, &op), 0);
	CHECK(pattern_matches(b.l.mem.at + 3, 30001, 3), "written");

	pattern_fill(b.l.mem.at, 30001, 4);
	op = local_op(&b, IBV_WR_RDMA_READ, 7, 30001);
	op.remote = (uintptr_t)b.l.mem.at;
	op.rkey = b.l.mem.mr->rkey;
	CHECK_WC(rdma_do(&b.l.owner, &op), 0);
	CHECK(pattern_matches(b.slice.at + 7, 30001, 4), "read");
	bench_close(&b);
}

/* From one place of the device's memory to another, by RDMA. */
static void slice_to_slice(void)
{
	struct rdma_op op;
	struct bench b;

	bench_open(&b, WC);
	pattern_fill(b.slice.at, KIB(100), 5);
	op = local_op(&b, IBV_WR_RDMA_WRITE, 0, KIB(100));
	op.remote = IOVA + MIB(1);
	op.rkey = b.mr->rkey;
	CHECK_WC(rdma_do(&b.l.owner, &op), 0);
	CHECK(pattern_matches(b.slice.at + MIB(1), KIB(100), 5), "copy");
	/* An atomic whose result lands in device memory, too. */
	peerbar_write64(b.slice.at + 64, 1000);
	peerbar_wc_flush();
	op = local_op(&b, IBV_WR_ATOMIC_FETCH_AND_ADD, 128, 8);
	op.remote = IOVA + 64;
	op.rkey = b.mr->rkey;
	op.add_or_compare = 1;
	CHECK_WC(rdma_do(&b.l.owner, &op), 0);
	CHECK(peerbar_read64(b.slice.at + 128) == 1000, "old value");
	CHECK(peerbar_read64(b.slice.at + 64) == 1001, "new value");
	bench_close(&b);
}

/* A write with immediate data: the data is there when the number comes. */
static void write_with_immediate(void)
{
	struct rdma_op op;
	struct ibv_wc wc;
	struct bench b;

	bench_open(&b, WC);
	pattern_fill(b.l.mem.at, 12345, 6);
	CHECK_OK(rdma_post_receive(&b.l.owner, IOVA + MIB(1), b.mr->lkey, 4));
	op = (struct rdma_op){.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
			      .local = (uintptr_t)b.l.mem.at,
			      .lkey = b.l.mem.mr->lkey,
			      .length = 12345,
			      .remote = IOVA + 1,
			      .rkey = b.mr->rkey,
			      .immediate = 0xabcd};
	CHECK_WC(rdma_do(&b.l.peer, &op), 0);
	CHECK_WC(rdma_wait(&b.l.owner, &wc), 0);
	CHECK(ntohl(wc.imm_data) == 0xabcd, "immediate %x", ntohl(wc.imm_data));
	CHECK(pattern_matches(b.slice.at + 1, 12345, 6), "contents");
	bench_close(&b);
}

/* Outside the region is outside, by one byte, before and after. */
static void bounds(void)
{
	struct bench b;

	bench_open(&b, NC);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 2, IOVA + AREA - 1, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, IOVA - 1, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 8, IOVA + AREA, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA + AREA, b.mr->rkey, 1),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	round_trip(&b, 0, 64);
	bench_close(&b);
}

/* A region gives the rights it was registered with and no others. */
static void rights(void)
{
	struct ibv_mr *readable = NULL, *local = NULL;
	struct bench b;

	bench_open(&b, NC);
	CHECK_OK(peerbar_reg_mr(b.slice.buffer, b.l.rdma.pd, 0, AREA, IOVA, IBV_ACCESS_REMOTE_READ,
				&readable));
	CHECK_OK(peerbar_reg_mr(b.slice.buffer, b.l.rdma.pd, 0, AREA, IOVA, IBV_ACCESS_LOCAL_WRITE,
				&local));
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 64, IOVA, readable->rkey), 0);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 64, IOVA, readable->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA, readable->rkey, 1),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 64, IOVA, local->rkey), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_OK(-ibv_dereg_mr(local));
	CHECK_OK(-ibv_dereg_mr(readable));
	round_trip(&b, 0, 64);
	bench_close(&b);
}

/* A region over the middle of a buffer, at an offset inside a page. */
static void part_of_a_buffer(void)
{
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b, NC);
	mr = loopback_register(&b.l, b.slice.buffer, KIB(8) + 0x123, 10000, 0x123);
	pattern_fill(b.l.mem.at, 10000, 8);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 10000, 0x123, mr->rkey), 0);
	CHECK(pattern_matches(b.slice.at + KIB(8) + 0x123, 10000, 8), "contents");
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, 0x122, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

#define ADDS 200

struct adder {
	struct bench *b;
	struct ibv_mr *mr;
	int status;
};

/* On queue pairs of its own. */
static void *add(void *arg)
{
	struct adder *a = arg;
	struct rdma_qp peer, owner;
	struct rdma_mem mem;

	a->status = rdma_qp_pair_open(&a->b->l.rdma, &peer, &owner);
	if (a->status)
		return NULL;
	a->status = rdma_mem_open(&a->b->l.rdma, 8, &mem);
	if (!a->status) {
		for (int i = 0; i < ADDS && !a->status; i++)
			a->status = rdma_fetch_add(&peer, &mem, IOVA, a->mr->rkey, 1);
		rdma_mem_close(&mem);
	}
	rdma_qp_close(&peer);
	rdma_qp_close(&owner);
	return NULL;
}

/* Atomics through two regions on one buffer exclude each other. */
static void atomics_of_two_regions(void)
{
	struct adder adders[2];
	pthread_t threads[2];
	struct bench b;

	bench_open(&b, NC);
	peerbar_write64(b.slice.at, 0);
	for (int i = 0; i < 2; i++) {
		adders[i].b = &b;
		adders[i].mr = loopback_register(&b.l, b.slice.buffer, 0, KIB(4), IOVA);
		CHECK(!pthread_create(&threads[i], NULL, add, &adders[i]), "thread");
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		CHECK_WC(adders[i].status, 0);
		CHECK_OK(-ibv_dereg_mr(adders[i].mr));
	}
	CHECK(peerbar_read64(b.slice.at) == 2 * ADDS, "%llu of %d",
	      (unsigned long long)peerbar_read64(b.slice.at), 2 * ADDS);
	bench_close(&b);
}

/* Ranges scattered over the BAR are one piece to the peer. */
static void many_ranges(void)
{
	struct peerbar_range ranges[16];
	struct peerbar_buffer *buffer;
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b, NC);
	for (int i = 0; i < 16; i++)
		ranges[i] = (struct peerbar_range){BASE + (15 - i) * KIB(64), KIB(4)};
	CHECK_OK(peerbar_buffer_export(b.f.mem, MEM_BAR, ranges, 16, NULL, &buffer));
	mr = loopback_register(&b.l, buffer, 0, KIB(64), 0);
	peerbar_buffer_close(buffer);
	pattern_fill(b.l.mem.at, KIB(64), 9);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, KIB(64), 0, mr->rkey), 0);
	for (int i = 0; i < 16; i++)
		CHECK(!memcmp((void *)(b.slice.at + (15 - i) * KIB(64)), b.l.mem.at + i * KIB(4),
			      KIB(4)),
		      "range %d", i);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

/* The whole BAR is one region; its first and last bytes are in reach. */
static void whole_bar(void)
{
	struct peerbar_buffer *buffer;
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b, NC);
	buffer = fixture_export(b.f.mem, MEM_BAR, 0, b.f.mem_length, NC);
	mr = loopback_register(&b.l, buffer, 0, b.f.mem_length, 0);
	peerbar_buffer_close(buffer);
	pattern_fill(b.l.mem.at, KIB(64), 10);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, KIB(64), BASE, mr->rkey), 0);
	CHECK(pattern_matches(b.slice.at, KIB(64), 10), "contents");
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, KIB(64), 0, mr->rkey), 0);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, KIB(64), b.f.mem_length - KIB(64), mr->rkey),
		 0);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, b.f.mem_length, mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"lengths_noncached", lengths_noncached, 120},
	{"lengths_write_combining", lengths_write_combining, 120},
	{"thousand_rounds", thousand_rounds, 120},
	{"nothing_beside", nothing_beside},
	{"zero_length", zero_length},
	{"atomics_noncached", atomics_noncached},
	{"atomics_write_combining", atomics_write_combining},
	{"atomics_of_two_regions", atomics_of_two_regions},
	{"send_receive", send_receive},
	{"local_side", local_side},
	{"slice_to_slice", slice_to_slice},
	{"write_with_immediate", write_with_immediate},
	{"bounds", bounds},
	{"rights", rights},
	{"part_of_a_buffer", part_of_a_buffer},
	{"many_ranges", many_ranges},
	{"whole_bar", whole_bar},
};

TAP_MAIN(cases)
