// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A peer rings a doorbell by RDMA: an aligned write of 1, 2, 4 or 8 bytes is
 * one access of that width. The register device proves it, because it ignores
 * accesses of a width that a register does not take.
 */
#include <string.h>

#include <peerbar/mmio.h>

#include "edu.h"
#include "loopback.h"

#define IOVA 0x10000ULL
#define BIG  0x0123456789abcdefULL

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice registers;
	struct ibv_mr *mr;
};

static void bench_open(struct bench *b, unsigned int more)
{
	fixture_open(&b->f, FIXTURE_REG | NEED_SERIES | more);
	loopback_open(&b->l, KIB(4));
	slice_open_registers(&b->f, &b->registers);
	CHECK(edu_present(b->registers.at), "no edu device");
	b->mr = loopback_register(&b->l, b->registers.buffer, 0, b->registers.length, IOVA);
}

static void bench_close(struct bench *b)
{
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->registers);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

static void ring(struct bench *b, uint64_t reg, const void *value, uint32_t width)
{
	memcpy(b->l.mem.at, value, width);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, width, IOVA + reg, b->mr->rkey), 0);
}

static uint32_t liveness(struct bench *b)
{
	return peerbar_read32(b->registers.at + EDU_REG_LIVENESS);
}

/* Four bytes on a 4-byte register: it answers with the value inverted. */
static void four_bytes(void)
{
	const uint32_t value = 0x12345678;
	struct bench b;

	bench_open(&b, 0);
	ring(&b, EDU_REG_LIVENESS, &value, 4);
	CHECK(liveness(&b) == ~value, "%08x", liveness(&b));
	bench_close(&b);
}

/* Eight bytes are one store: two of four would have reached the register. */
static void eight_bytes_ignored(void)
{
	const uint64_t both = BIG;
	struct bench b;

	bench_open(&b, 0);
	peerbar_write32(b.registers.at + EDU_REG_LIVENESS, 5);
	ring(&b, EDU_REG_IDENT, &both, 8);
	CHECK(liveness(&b) == ~5u, "an 8-byte write arrived in pieces: %08x", liveness(&b));
	bench_close(&b);
}

/* One and two bytes are not widened, and not merged with what was there. */
static void narrow_ignored(void)
{
	const uint16_t two = 0xffff;
	const uint8_t one = 0xff;
	struct bench b;

	bench_open(&b, 0);
	peerbar_write32(b.registers.at + EDU_REG_LIVENESS, 6);
	ring(&b, EDU_REG_LIVENESS, &two, 2);
	CHECK(liveness(&b) == ~6u, "a 2-byte write: %08x", liveness(&b));
	ring(&b, EDU_REG_LIVENESS, &one, 1);
	CHECK(liveness(&b) == ~6u, "a 1-byte write: %08x", liveness(&b));
	bench_close(&b);
}

/* An 8-byte register takes all of its 64 bits from one store. */
static void eight_bytes(void)
{
	const uint64_t value = BIG;
	uint64_t found;
	struct bench b;

	bench_open(&b, 0);
	ring(&b, EDU_REG_DMA_SOURCE, &value, 8);
	found = peerbar_read64(b.registers.at + EDU_REG_DMA_SOURCE);
	CHECK(found == value, "%016llx", (unsigned long long)found);
	bench_close(&b);
}

/* Reads are single accesses of their width as well. */
static void reads(void)
{
	uint32_t ident;
	uint64_t wide;
	struct bench b;

	bench_open(&b, 0);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 4, IOVA + EDU_REG_IDENT, b.mr->rkey), 0);
	memcpy(&ident, b.l.mem.at, sizeof(ident));
	CHECK(ident == peerbar_read32(b.registers.at + EDU_REG_IDENT), "4-byte read: %08x", ident);
	peerbar_write64(b.registers.at + EDU_REG_DMA_TARGET, BIG);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 8, IOVA + EDU_REG_DMA_TARGET, b.mr->rkey), 0);
	memcpy(&wide, b.l.mem.at, sizeof(wide));
	CHECK(wide == BIG, "8-byte read: %016llx", (unsigned long long)wide);
	/* The device answers a wrong width with all ones. */
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 8, IOVA + EDU_REG_IDENT, b.mr->rkey), 0);
	memcpy(&wide, b.l.mem.at, sizeof(wide));
	CHECK(wide == ~0ULL, "8-byte read of 4-byte registers: %016llx", (unsigned long long)wide);
	bench_close(&b);
}

/* The peer programs the DMA engine and rings its doorbell, all by RDMA. */
static void peer_starts_dma(void)
{
	const struct peerbar_iova_options below = {
		.size = sizeof(below),
		.iova_limit = EDU_IOVA_LIMIT,
	};
	const uint64_t buffer = EDU_DMA_BUFFER, count = 512, start = 1;
	struct peerbar_iova_map *map;
	struct slice memory;
	uint64_t source;
	struct bench b;

	bench_open(&b, FIXTURE_MEM | NEED_IOVA);
	slice_open(&b.f, MIB(1), KIB(64), NC, &memory);
	CHECK_OK(peerbar_device_set_bus_master(b.f.reg, true));
	CHECK_OK(peerbar_iova_map(b.f.reg, memory.buffer, 0, KIB(64), &below, &map));
	source = peerbar_iova(map) + KIB(8);
	pattern_fill(memory.at + KIB(8), count, 1);
	ring(&b, EDU_REG_DMA_SOURCE, &source, 8);
	ring(&b, EDU_REG_DMA_TARGET, &buffer, 8);
	ring(&b, EDU_REG_DMA_COUNT, &count, 8);
	ring(&b, EDU_REG_DMA_COMMAND, &start, 8);
	CHECK_OK(edu_wait_idle(b.registers.at));
	CHECK_OK(edu_dma(b.registers.at, EDU_PUSH, peerbar_iova(map) + KIB(32), count));
	CHECK(pattern_matches(memory.at + KIB(32), count, 1), "contents");
	peerbar_iova_unmap(map);
	slice_close(&memory);
	bench_close(&b);
}

/* Revoked, the doorbell is dead: the register does not move any more. */
static void revoked(void)
{
	const uint32_t value = 99;
	struct slice again;
	struct bench b;

	bench_open(&b, 0);
	peerbar_write32(b.registers.at + EDU_REG_LIVENESS, 7);
	CHECK_OK(peerbar_buffer_revoke(b.registers.buffer));
	memcpy(b.l.mem.at, &value, 4);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 4, IOVA + EDU_REG_LIVENESS, b.mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	slice_open_registers(&b.f, &again);
	CHECK(peerbar_read32(again.at + EDU_REG_LIVENESS) == ~7u, "it rang");
	slice_close(&again);
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"four_bytes", four_bytes},
	{"eight_bytes_ignored", eight_bytes_ignored},
	{"narrow_ignored", narrow_ignored},
	{"eight_bytes", eight_bytes},
	{"reads", reads},
	{"peer_starts_dma", peer_starts_dma},
	{"revoked", revoked},
};

TAP_MAIN(cases)
