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
#include "work.h"

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

/* Nor are reads of one and of two bytes cut out of wider ones: no contents come. */
static void narrow_reads(void)
{
	const uint32_t contents = 0x12345678;
	volatile uint8_t *reg;
	uint16_t two;
	struct bench b;

	bench_open(&b, 0);
	reg = b.registers.at + EDU_REG_LIVENESS;
	peerbar_write32(reg, ~contents);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 2, IOVA + EDU_REG_LIVENESS, b.mr->rkey), 0);
	memcpy(&two, b.l.mem.at, sizeof(two));
	CHECK(two != (uint16_t)contents && two == peerbar_read16(reg), "2-byte read: %04x", two);
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, 1, IOVA + EDU_REG_LIVENESS, b.mr->rkey), 0);
	CHECK(b.l.mem.at[0] != (uint8_t)contents && b.l.mem.at[0] == peerbar_read8(reg),
	      "1-byte read: %02x", b.l.mem.at[0]);
	bench_close(&b);
}

/* Sixteen bytes are two registers of eight, each in one piece, in order. */
static void two_registers(void)
{
	const uint64_t values[2] = {BIG, ~BIG};
	struct bench b;

	bench_open(&b, 0);
	ring(&b, EDU_REG_DMA_SOURCE, values, sizeof(values));
	CHECK(peerbar_read64(b.registers.at + EDU_REG_DMA_SOURCE) == BIG, "first");
	CHECK(peerbar_read64(b.registers.at + EDU_REG_DMA_TARGET) == ~BIG, "second");
	memset(b.l.mem.at, 0, sizeof(values));
	CHECK_WC(rdma_read(&b.l.peer, &b.l.mem, 0, sizeof(values), IOVA + EDU_REG_DMA_SOURCE,
			   b.mr->rkey),
		 0);
	CHECK(!memcmp(b.l.mem.at, values, sizeof(values)), "read back");
	bench_close(&b);
}

/* A message that is received into a register rings it, too. */
static void received(void)
{
	const uint32_t value = 0x12345678;
	struct ibv_sge in, out;
	struct bench b;

	bench_open(&b, 0);
	in = work_piece(b.mr, IOVA + EDU_REG_LIVENESS, 4);
	out = work_piece(b.l.mem.mr, (uintptr_t)b.l.mem.at, 4);
	memcpy(b.l.mem.at, &value, sizeof(value));
	work_receive(&b.l.owner, &in, 1);
	work_post(&b.l.peer, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &out, 1);
	work_done(&b.l.peer, IBV_WC_SEND, 4);
	work_done(&b.l.owner, IBV_WC_RECV, 4);
	CHECK(liveness(&b) == ~value, "%08x", liveness(&b));
	/* And one that is sent from a register has what it holds. */
	work_receive(&b.l.peer, &out, 1);
	work_post(&b.l.owner, (struct ibv_send_wr){.opcode = IBV_WR_SEND}, &in, 1);
	work_done(&b.l.owner, IBV_WC_SEND, 4);
	work_done(&b.l.peer, IBV_WC_RECV, 4);
	CHECK(*(uint32_t *)b.l.mem.at == ~value, "%08x", *(uint32_t *)b.l.mem.at);
	bench_close(&b);
}

/* An atomic is one load and one store of eight bytes. */
static void atomics(void)
{
	struct bench b;

	bench_open(&b, 0);
	peerbar_write64(b.registers.at + EDU_REG_DMA_SOURCE, BIG);
	CHECK_WC(rdma_fetch_add(&b.l.peer, &b.l.mem, IOVA + EDU_REG_DMA_SOURCE, b.mr->rkey, 1), 0);
	CHECK(*(uint64_t *)b.l.mem.at == BIG, "old value");
	CHECK(peerbar_read64(b.registers.at + EDU_REG_DMA_SOURCE) == BIG + 1, "sum");
	CHECK_WC(rdma_compare_swap(&b.l.peer, &b.l.mem, IOVA + EDU_REG_DMA_SOURCE, b.mr->rkey,
				   BIG + 1, ~BIG),
		 0);
	CHECK(peerbar_read64(b.registers.at + EDU_REG_DMA_SOURCE) == ~BIG, "swap");
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

struct machine {
	struct bench b;
	struct slice memory;
	struct ibv_mr *mr; /* over the memory */
	struct peerbar_iova_map *map;
};

static void machine_open(struct machine *m, enum peerbar_memattr memattr)
{
	const struct peerbar_iova_options below = {
		.size = sizeof(below),
		.iova_limit = EDU_IOVA_LIMIT,
	};

	bench_open(&m->b, FIXTURE_MEM | NEED_IOVA);
	slice_open(&m->b.f, MIB(1), KIB(64), memattr, &m->memory);
	m->mr = loopback_register(&m->b.l, m->memory.buffer, 0, KIB(64), IOVA);
	CHECK_OK(peerbar_device_set_bus_master(m->b.f.reg, true));
	CHECK_OK(peerbar_iova_map(m->b.f.reg, m->memory.buffer, 0, KIB(64), &below, &m->map));
}

static void machine_close(struct machine *m)
{
	peerbar_iova_unmap(m->map);
	CHECK_OK(-ibv_dereg_mr(m->mr));
	slice_close(&m->memory);
	bench_close(&m->b);
}

/* One write to memory or to the registers, not waited for. */
static void post_write(struct bench *b, struct ibv_mr *to, uint64_t offset, uint64_t from,
		       uint32_t length)
{
	struct ibv_sge out = work_piece(b->l.mem.mr, (uintptr_t)b->l.mem.at + from, length);

	work_post(&b->l.peer, work_rdma(IBV_WR_RDMA_WRITE, IOVA + offset, to->rkey), &out, 1);
}

/*
 * The payload, what the engine is to do with it, and the doorbell, all posted
 * at once: the engine finds this round's payload, not the last one's.
 */
static void order_round(struct machine *m, uint32_t round)
{
	const uint64_t at = KIB(4) * (round % 8);
	const uint64_t commands[4] = {peerbar_iova(m->map) + at, EDU_DMA_BUFFER, EDU_DMA_MAX, 1};
	struct bench *b = &m->b;

	pattern_fill(b->l.mem.at, EDU_DMA_MAX, round);
	memcpy(b->l.mem.at + EDU_DMA_MAX, commands, sizeof(commands));
	post_write(b, m->mr, at, 0, EDU_DMA_MAX);
	for (uint64_t i = 0; i < 4; i++)
		post_write(b, b->mr, EDU_REG_DMA_SOURCE + 8 * i, EDU_DMA_MAX + 8 * i, 8);
	work_done(&b->l.peer, IBV_WC_RDMA_WRITE, EDU_DMA_MAX);
	for (int i = 0; i < 4; i++)
		work_done(&b->l.peer, IBV_WC_RDMA_WRITE, 8);
	CHECK_OK(edu_wait_idle(b->registers.at));
	CHECK_OK(edu_dma(b->registers.at, EDU_PUSH, peerbar_iova(m->map) + KIB(32), EDU_DMA_MAX));
	CHECK(pattern_matches(m->memory.at + KIB(32), EDU_DMA_MAX, round), "round %u", round);
}

static void order(enum peerbar_memattr memattr)
{
	struct machine m;

	machine_open(&m, memattr);
	for (uint32_t round = 1; round <= 10; round++)
		order_round(&m, round);
	machine_close(&m);
}

static void order_noncached(void)
{
	order(NC);
}

static void order_write_combining(void)
{
	order(WC);
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
	{"narrow_reads", narrow_reads},
	{"two_registers", two_registers},
	{"received", received},
	{"atomics", atomics},
	{"peer_starts_dma", peer_starts_dma},
	{"order_noncached", order_noncached},
	{"order_write_combining", order_write_combining},
	{"revoked", revoked},
};

TAP_MAIN(cases)
