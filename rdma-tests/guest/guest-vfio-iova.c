// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Another device reaches a slice by DMA through its IOMMU, until the slice is
 * taken back. The device is QEMU's edu; it carries data through a buffer of its
 * own, so whatever it could read it can show.
 */
#include <string.h>

#include <peerbar/mmio.h>

#include "edu.h"
#include "fixture.h"
#include "klog.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define COUNT  1024
#define NEEDS  (FIXTURE_MEM | FIXTURE_REG | NEED_MMAP | NEED_REVOKE | NEED_IOVA)

struct bench {
	struct fixture f;
	struct slice registers;
};

static void bench_open(struct bench *b)
{
	fixture_open(&b->f, NEEDS);
	slice_open_registers(&b->f, &b->registers);
	CHECK(edu_present(b->registers.at), "no edu device");
	CHECK_OK(peerbar_device_set_bus_master(b->f.reg, true));
}

static void bench_close(struct bench *b)
{
	slice_close(&b->registers);
	fixture_close(&b->f);
}

static struct peerbar_iova_map *map_iova(struct bench *b, struct peerbar_buffer *buffer,
					 uint64_t offset, uint64_t length)
{
	const struct peerbar_iova_options below = {
		.size = sizeof(below),
		.iova_limit = EDU_IOVA_LIMIT,
	};
	struct peerbar_iova_map *map = NULL;

	CHECK_OK(peerbar_iova_map(b->f.reg, buffer, offset, length, &below, &map));
	CHECK(peerbar_iova(map) + length <= EDU_IOVA_LIMIT, "out of the device's reach");
	return map;
}

/* Within one slice, at odd places. */
static void within_a_slice(void)
{
	struct peerbar_iova_map *map;
	struct slice slice;
	struct bench b;
	uint64_t at;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &slice);
	map = map_iova(&b, slice.buffer, 0, LENGTH);
	at = peerbar_iova(map);
	pattern_fill(slice.at, LENGTH, 1);
	pattern_fill(slice.at + 4091, 3000, 2);
	CHECK_OK(edu_copy(b.registers.at, at + 40003, at + 4091, 3000));
	CHECK(pattern_matches(slice.at + 40003, 3000, 2), "contents");
	CHECK(pattern_matches(slice.at, 4091, 1), "beside the source");
	peerbar_iova_unmap(map);
	slice_close(&slice);
	bench_close(&b);
}

/* From one slice to another, and from the middle of a buffer. */
static void between_slices(void)
{
	struct peerbar_iova_map *from, *to;
	struct slice a, c;
	struct bench b;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &a);
	slice_open(&b.f, BASE + 4 * LENGTH, LENGTH, NC, &c);
	from = map_iova(&b, a.buffer, KIB(8), KIB(4));
	to = map_iova(&b, c.buffer, 0, LENGTH);
	pattern_fill(a.at + KIB(8), COUNT, 3);
	CHECK_OK(edu_copy(b.registers.at, peerbar_iova(to) + 12, peerbar_iova(from), COUNT));
	CHECK(pattern_matches(c.at + 12, COUNT, 3), "contents");
	peerbar_iova_unmap(to);
	peerbar_iova_unmap(from);
	slice_close(&c);
	slice_close(&a);
	bench_close(&b);
}

/* The map needs neither the buffer's descriptor nor a CPU mapping. */
static void descriptor_closed(void)
{
	struct peerbar_iova_map *map;
	struct peerbar_buffer *buffer;
	struct slice view;
	struct bench b;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &view);
	buffer = fixture_export(b.f.mem, MEM_BAR, BASE, LENGTH, NC);
	map = map_iova(&b, buffer, 0, LENGTH);
	pattern_fill(view.at, COUNT, 4);
	CHECK_OK(edu_copy(b.registers.at, peerbar_iova(map) + KIB(16), peerbar_iova(map), COUNT));
	CHECK(pattern_matches(view.at + KIB(16), COUNT, 4), "contents");
	peerbar_iova_unmap(map);
	peerbar_buffer_close(buffer);
	slice_close(&view);
	bench_close(&b);
}

/* Write: nothing arrives. Read: nothing that lies there comes out. */
static void demand_out_of_reach(struct bench *b, uint64_t dead, uint64_t alive,
				volatile uint8_t *dead_at, volatile uint8_t *alive_at)
{
	klog_expect(KLOG_DMA_FAULT);
	pattern_fill(alive_at, COUNT, 50);
	pattern_fill(dead_at, COUNT, 51);
	CHECK_OK(edu_copy(b->registers.at, dead, alive, COUNT));
	CHECK(pattern_matches(dead_at, COUNT, 51), "the device wrote there");
	CHECK_OK(edu_copy(b->registers.at, alive, dead, COUNT));
	CHECK(peerbar_read64(alive_at) != peerbar_read64(dead_at),
	      "the device read what lies there");
	/* And next door it still does its work. */
	pattern_fill(alive_at, COUNT, 52);
	CHECK_OK(edu_copy(b->registers.at, alive + KIB(8), alive, COUNT));
	CHECK(pattern_matches(alive_at + KIB(8), COUNT, 52), "next door");
}

/* Once revoke has returned, the device is out; the neighbour is not. */
static void revoked(void)
{
	struct peerbar_iova_map *dead, *alive;
	struct slice a, beside, again;
	struct bench b;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &a);
	slice_open(&b.f, BASE + LENGTH, LENGTH, NC, &beside);
	dead = map_iova(&b, a.buffer, 0, LENGTH);
	alive = map_iova(&b, beside.buffer, 0, LENGTH);
	CHECK_OK(peerbar_buffer_revoke(a.buffer));
	slice_open(&b.f, BASE, LENGTH, NC, &again);
	demand_out_of_reach(&b, peerbar_iova(dead), peerbar_iova(alive), again.at, beside.at);
	peerbar_iova_unmap(dead);
	peerbar_iova_unmap(alive);
	slice_close(&again);
	slice_close(&beside);
	slice_close(&a);
	bench_close(&b);
}

/* Several maps of one buffer, of parts and of all of it, go at once. */
static void revoked_many_maps(void)
{
	struct peerbar_iova_map *dead[8], *alive;
	struct slice a, beside, again;
	struct bench b;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &a);
	slice_open(&b.f, BASE + LENGTH, LENGTH, NC, &beside);
	for (uint64_t i = 0; i < 8; i++)
		dead[i] = map_iova(&b, a.buffer, i * KIB(4), KIB(8));
	alive = map_iova(&b, beside.buffer, 0, LENGTH);
	CHECK_OK(peerbar_buffer_revoke(a.buffer));
	slice_open(&b.f, BASE, LENGTH, NC, &again);
	for (uint64_t i = 0; i < 8; i += 7)
		demand_out_of_reach(&b, peerbar_iova(dead[i]), peerbar_iova(alive),
				    again.at + i * KIB(4), beside.at);
	for (int i = 0; i < 8; i++)
		peerbar_iova_unmap(dead[i]);
	peerbar_iova_unmap(alive);
	slice_close(&again);
	slice_close(&beside);
	slice_close(&a);
	bench_close(&b);
}

/* A reset takes the map away as well; it does not come back by itself. */
static void reset(void)
{
	struct peerbar_iova_map *dead, *alive;
	struct slice a, beside;
	struct bench b;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &a);
	slice_open(&b.f, BASE + LENGTH, LENGTH, NC, &beside);
	dead = map_iova(&b, a.buffer, 0, LENGTH);
	CHECK_OK(peerbar_device_reset(b.f.mem));
	alive = map_iova(&b, beside.buffer, 0, LENGTH);
	demand_out_of_reach(&b, peerbar_iova(dead), peerbar_iova(alive), a.at, beside.at);
	peerbar_iova_unmap(alive);
	peerbar_iova_unmap(dead);
	alive = map_iova(&b, a.buffer, 0, LENGTH);
	pattern_fill(a.at, COUNT, 6);
	CHECK_OK(edu_copy(b.registers.at, peerbar_iova(alive) + KIB(16), peerbar_iova(alive),
			  COUNT));
	CHECK(pattern_matches(a.at + KIB(16), COUNT, 6), "mapped anew");
	peerbar_iova_unmap(alive);
	slice_close(&beside);
	slice_close(&a);
	bench_close(&b);
}

/* Nothing revoked can be mapped; iommufd takes buffers of one range only. */
static void refused(void)
{
	struct peerbar_range ranges[2] = {{BASE, KIB(4)}, {BASE + LENGTH, KIB(4)}};
	struct peerbar_buffer *several;
	struct peerbar_iova_map *map;
	struct slice slice;
	struct bench b;

	bench_open(&b);
	slice_open(&b.f, BASE, LENGTH, NC, &slice);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	CHECK_RET(peerbar_iova_map(b.f.reg, slice.buffer, 0, LENGTH, NULL, &map), -ENODEV);
	CHECK_OK(peerbar_buffer_export(b.f.mem, MEM_BAR, ranges, 2, NULL, &several));
	CHECK_RET(peerbar_iova_map(b.f.reg, several, 0, KIB(8), NULL, &map), -EOPNOTSUPP);
	peerbar_buffer_close(several);
	slice_close(&slice);
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"within_a_slice", within_a_slice},
	{"between_slices", between_slices},
	{"descriptor_closed", descriptor_closed},
	{"revoked", revoked},
	{"revoked_many_maps", revoked_many_maps},
	{"reset", reset},
	{"refused", refused},
};

TAP_MAIN(cases)
