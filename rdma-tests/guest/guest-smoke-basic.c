// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A little of everything, quick enough for the careful kernel. Memory types are
 * looked up twice only: there the page tables take seconds to dump.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "edu.h"
#include "loopback.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define IOVA   0x100000ULL
#define NEEDS  (FIXTURE_MEM | NEED_SERIES)

/* Export, map with either type, write, read through another mapping. */
static void map_and_write(void)
{
	struct peerbar_mapping *other;
	struct slice wc, nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &wc);
	slice_open(&f, BASE + LENGTH, LENGTH, NC, &nc);
	demand_memtype(wc.at, PEERBAR_MEMTYPE_WC);
	demand_memtype(nc.at, PEERBAR_MEMTYPE_UC_MINUS);
	pattern_fill(wc.at, LENGTH, 1);
	pattern_fill(nc.at, LENGTH, 2);
	CHECK_OK(peerbar_map(wc.buffer, 0, LENGTH, NULL, &other));
	CHECK(pattern_matches(peerbar_mapping_addr(other), LENGTH, 1), "WC");
	CHECK(pattern_matches(nc.at, LENGTH, 2), "NC");
	peerbar_unmap(other);
	slice_close(&nc);
	slice_close(&wc);
	fixture_close(&f);
}

/* Revoke: fault there, refusals, a neighbour and a new buffer that work. */
static void revoked(void)
{
	struct slice slice, beside, again;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	slice_open(&f, BASE + LENGTH, LENGTH, NC, &beside);
	pattern_fill(slice.at, LENGTH, 3);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_revoked(slice.at + 4);
	CHECK_RET(peerbar_buffer_revoke(slice.buffer), -EBADFD);
	CHECK_RET(try_mmap(peerbar_buffer_fd(slice.buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		  -ENODEV);
	demand_alive(beside.at);
	slice_open(&f, BASE, LENGTH, NC, &again);
	CHECK(pattern_matches(again.at, LENGTH, 3), "contents");
	slice_close(&again);
	slice_close(&beside);
	slice_close(&slice);
	fixture_close(&f);
}

/* A reset takes mappings away and gives them back. */
static void reset(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS | NEED_RESET);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	pattern_fill(slice.at, LENGTH, 4);
	CHECK_OK(peerbar_device_reset(f.mem));
	CHECK(pattern_matches(slice.at, LENGTH, 4), "contents");
	slice_close(&slice);
	fixture_close(&f);
}

/* Two types for one page: the second user is told. */
static void conflict(void)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *other;
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	other = fixture_export(f.mem, MEM_BAR, BASE, KIB(4), NC);
	CHECK_RET(peerbar_map(other, 0, KIB(4), NULL, &map), -EBUSY);
	slice_close(&slice);
	CHECK_OK(peerbar_map(other, 0, KIB(4), NULL, &map));
	peerbar_unmap(map);
	peerbar_buffer_close(other);
	fixture_close(&f);
}

static void look_in_child(void *at)
{
	demand_alive(at);
}

/* A child shares the mapping, and a revoke reaches it. */
static void fork_child(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	tap_join(tap_fork(look_in_child, (void *)slice.at));
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_revoked(slice.at);
	slice_close(&slice);
	fixture_close(&f);
}

/* Everything is left open when the process ends. */
static void leave_open(void)
{
	struct loopback l;
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	loopback_open(&l, LENGTH);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	loopback_register(&l, slice.buffer, 0, LENGTH, IOVA);
	demand_alive(slice.at);
	_exit(0);
}

/* Write, read, atomic; descriptor closed; revoked; the key is dead. */
static void memory_region(void)
{
	struct slice slice;
	struct loopback l;
	struct fixture f;
	struct ibv_mr *mr;

	fixture_open(&f, NEEDS);
	loopback_open(&l, LENGTH);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	mr = loopback_register(&l, slice.buffer, 0, LENGTH, IOVA);
	pattern_fill(l.mem.at, 9001, 5);
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 9001, IOVA + 3, mr->rkey), 0);
	CHECK(pattern_matches(slice.at + 3, 9001, 5), "written");
	memset(l.mem.at, 0, 9001);
	CHECK_WC(rdma_read(&l.peer, &l.mem, 0, 9001, IOVA + 3, mr->rkey), 0);
	CHECK(pattern_matches(l.mem.at, 9001, 5), "read");
	peerbar_write64(slice.at + 16, 1);
	peerbar_wc_flush();
	CHECK_WC(rdma_fetch_add(&l.peer, &l.mem, IOVA + 16, mr->rkey, 2), 0);
	CHECK(peerbar_read64(slice.at + 16) == 3, "fetch-and-add");
	CHECK_WC(rdma_compare_swap(&l.peer, &l.mem, IOVA + 16, mr->rkey, 3, 9), 0);
	CHECK(peerbar_read64(slice.at + 16) == 9, "compare-and-swap");
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 8, IOVA, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(mr));
	slice_close(&slice);
	loopback_close(&l);
	fixture_close(&f);
}

/* A peer's 4-byte write is one access of a register. */
static void doorbell(void)
{
	const uint32_t value = 0xc0ffee;
	struct slice registers;
	struct loopback l;
	struct fixture f;
	struct ibv_mr *mr;

	fixture_open(&f, FIXTURE_REG | NEED_SERIES);
	loopback_open(&l, KIB(4));
	slice_open_registers(&f, &registers);
	mr = loopback_register(&l, registers.buffer, 0, KIB(4), 0);
	memcpy(l.mem.at, &value, sizeof(value));
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 4, EDU_REG_LIVENESS, mr->rkey), 0);
	CHECK(peerbar_read32(registers.at + EDU_REG_LIVENESS) == ~value,
	      "the register did not get it");
	CHECK_OK(-ibv_dereg_mr(mr));
	slice_close(&registers);
	loopback_close(&l);
	fixture_close(&f);
}

/* Another device moves data within the BAR, until the slice is revoked. */
static void device_to_device(void)
{
	const struct peerbar_iova_options below = {
		.size = sizeof(below),
		.iova_limit = EDU_IOVA_LIMIT,
	};
	struct slice memory, registers;
	struct peerbar_iova_map *map;
	struct fixture f;
	uint64_t iova;

	fixture_open(&f, NEEDS | FIXTURE_REG | NEED_IOVA);
	slice_open(&f, BASE, LENGTH, WC, &memory);
	slice_open_registers(&f, &registers);
	CHECK_OK(peerbar_device_set_bus_master(f.reg, true));
	CHECK_OK(peerbar_iova_map(f.reg, memory.buffer, 0, LENGTH, &below, &map));
	iova = peerbar_iova(map);
	CHECK(iova + LENGTH <= EDU_IOVA_LIMIT, "out of the device's reach");
	pattern_fill(memory.at, 3000, 6);
	CHECK_OK(edu_copy(registers.at, iova + KIB(32), iova, 3000));
	CHECK(pattern_matches(memory.at + KIB(32), 3000, 6), "contents");
	CHECK_OK(peerbar_buffer_revoke(memory.buffer));
	peerbar_iova_unmap(map);
	slice_close(&registers);
	slice_close(&memory);
	fixture_close(&f);
}

/* Descriptors that mean nothing, an attribute that does not exist. */
static void bad_input(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	int null;

	fixture_open(&f, NEEDS);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, -1), -EBADF);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, null), -EINVAL);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, peerbar_buffer_fd(buffer), 7), -ENOENT);
	CHECK_RET(try_mmap(peerbar_buffer_fd(buffer), LENGTH, PROT_READ, MAP_PRIVATE, 0, NULL),
		  -EINVAL);
	close(null);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"map_and_write", map_and_write},
	{"revoke", revoked},
	{"reset", reset},
	{"conflict", conflict},
	{"fork_child", fork_child},
	{"leave_open", leave_open},
	{"memory_region", memory_region},
	{"doorbell", doorbell},
	{"device_to_device", device_to_device},
	{"bad_input", bad_input},
};

TAP_MAIN(cases)
