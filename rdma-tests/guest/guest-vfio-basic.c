// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Exporting and mapping slices: one, many, of one range and of several. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "fixture.h"
#include "raw.h"

#define MANY_BUFFERS 256
#define MANY_RANGES  32
#define THOUSANDS    4096ULL

/* One page is exported and closed again; nothing else is held. */
static void export_close(void)
{
	struct fixture f;
	struct peerbar_buffer *buffer;

	fixture_open(&f, FIXTURE_MEM);
	buffer = fixture_export(f.mem, MEM_BAR, 0, f.page, NC);
	CHECK(peerbar_buffer_length(buffer) == f.page, "wrong length");
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* What one mapping of a slice writes, the BAR holds and another reads. */
static void export_map(void)
{
	struct fixture f;
	struct slice slice;
	struct peerbar_mapping *second;
	uint8_t *copy;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	slice_open(&f, MIB(1), KIB(64), NC, &slice);
	CHECK_OK(peerbar_map(slice.buffer, KIB(16), KIB(32), NULL, &second));
	pattern_fill(slice.at + KIB(16), KIB(32), 1);
	CHECK(pattern_matches(peerbar_mapping_addr(second), KIB(32), 1),
	      "the second mapping shows something else");
	copy = malloc(KIB(32));
	CHECK_OK(raw_region_read(peerbar_device_fd(f.mem), MEM_BAR, MIB(1) + KIB(16), copy,
				 KIB(32)));
	CHECK(pattern_matches(copy, KIB(32), 1), "the BAR holds something else");
	free(copy);
	peerbar_unmap(second);
	slice_close(&slice);
	fixture_close(&f);
}

/* Many buffers live side by side, each on a page of its own. */
static void many_buffers(void)
{
	struct slice slices[MANY_BUFFERS];
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	for (uint32_t i = 0; i < MANY_BUFFERS; i++) {
		slice_open(&f, i * f.page, f.page, NC, &slices[i]);
		pattern_fill(slices[i].at, f.page, i);
	}
	for (uint32_t i = 0; i < MANY_BUFFERS; i++)
		CHECK(pattern_matches(slices[i].at, f.page, i), "buffer %u", i);
	for (uint32_t i = 0; i < MANY_BUFFERS; i++)
		slice_close(&slices[i]);
	fixture_close(&f);
}

static struct peerbar_buffer *export_ranges(struct fixture *f, const struct peerbar_range *ranges,
					    size_t count)
{
	struct peerbar_buffer *buffer = NULL;

	CHECK_OK(peerbar_buffer_export(f->mem, MEM_BAR, ranges, count, NULL, &buffer));
	return buffer;
}

/* Ranges in any order, of any length, appear in the order they were given. */
static void many_ranges(void)
{
	struct peerbar_range ranges[MANY_RANGES];
	struct peerbar_mapping *mapping;
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;
	struct slice all;
	size_t position = 0;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	slice_open(&f, 0, MIB(8), NC, &all);
	for (size_t i = 0; i < MANY_RANGES; i++) {
		ranges[i].offset = (MANY_RANGES - 1 - i) * KIB(64);
		ranges[i].length = (1 + i % 5) * f.page;
		pattern_fill(all.at + ranges[i].offset, ranges[i].length, (uint32_t)i);
	}
	buffer = export_ranges(&f, ranges, MANY_RANGES);
	CHECK_OK(peerbar_map(buffer, 0, peerbar_buffer_length(buffer), NULL, &mapping));
	at = peerbar_mapping_addr(mapping);
	for (size_t i = 0; i < MANY_RANGES; i++) {
		CHECK(pattern_matches(at + position, ranges[i].length, (uint32_t)i), "range %zu",
		      i);
		position += ranges[i].length;
	}
	CHECK(position == peerbar_buffer_length(buffer), "wrong length");
	peerbar_unmap(mapping);
	peerbar_buffer_close(buffer);
	slice_close(&all);
	fixture_close(&f);
}

/* Thousands of ranges of one page each, in reverse order. */
static void thousands_of_ranges(void)
{
	struct peerbar_range *ranges = calloc(THOUSANDS, sizeof(*ranges));
	struct peerbar_mapping *mapping;
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;
	struct slice all;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, 0, THOUSANDS * f.page, NC, &all);
	for (uint64_t i = 0; i < THOUSANDS; i++) {
		ranges[i] = (struct peerbar_range){(THOUSANDS - 1 - i) * f.page, f.page};
		peerbar_write64(all.at + ranges[i].offset, i);
	}
	buffer = export_ranges(&f, ranges, THOUSANDS);
	CHECK_OK(peerbar_map(buffer, 0, THOUSANDS * f.page, NULL, &mapping));
	at = peerbar_mapping_addr(mapping);
	for (uint64_t i = 0; i < THOUSANDS; i++)
		CHECK(peerbar_read64(at + i * f.page) == i, "range %llu", (unsigned long long)i);
	CHECK_OK(peerbar_buffer_revoke(buffer));
	demand_revoked(at + (THOUSANDS / 2) * f.page);
	demand_alive(all.at);
	peerbar_unmap(mapping);
	peerbar_buffer_close(buffer);
	slice_close(&all);
	fixture_close(&f);
	free(ranges);
}

/* A range that repeats shows the same page twice. */
static void repeated_ranges(void)
{
	struct peerbar_mapping *mapping;
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	buffer = export_ranges(&f,
			       (struct peerbar_range[]){
				       {MIB(2), f.page},
				       {MIB(3), f.page},
				       {MIB(2), f.page},
			       },
			       3);
	CHECK_OK(peerbar_map(buffer, 0, 3 * f.page, NULL, &mapping));
	at = peerbar_mapping_addr(mapping);
	pattern_fill(at, f.page, 10);
	pattern_fill(at + f.page, f.page, 11);
	CHECK(pattern_matches(at + 2 * f.page, f.page, 10), "the repeated range differs");
	peerbar_unmap(mapping);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* A mapping that starts inside a buffer of several ranges. */
static void map_from_the_middle(void)
{
	struct peerbar_mapping *whole, *part;
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	buffer = export_ranges(&f,
			       (struct peerbar_range[]){
				       {MIB(4), 3 * f.page},
				       {MIB(2), 2 * f.page},
				       {MIB(6), 4 * f.page},
			       },
			       3);
	CHECK_OK(peerbar_map(buffer, 0, 9 * f.page, NULL, &whole));
	CHECK_OK(peerbar_map(buffer, 2 * f.page, 5 * f.page, NULL, &part));
	pattern_fill((volatile uint8_t *)peerbar_mapping_addr(whole) + 2 * f.page, 5 * f.page, 20);
	CHECK(pattern_matches(peerbar_mapping_addr(part), 5 * f.page, 20),
	      "the part shows something else");
	peerbar_unmap(part);
	peerbar_unmap(whole);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* The whole BAR in one buffer, touched from end to end. */
static void whole_bar(void)
{
	struct fixture f;
	struct slice all;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	slice_open(&f, 0, f.mem_length, NC, &all);
	for (uint64_t at = 0; at < f.mem_length; at += MIB(1))
		peerbar_write64(all.at + at + 8 * (at / MIB(1)), ~at);
	for (uint64_t at = 0; at < f.mem_length; at += MIB(1))
		CHECK(peerbar_read64(all.at + at + 8 * (at / MIB(1))) == ~at, "at %#llx",
		      (unsigned long long)at);
	demand_alive(all.at + f.mem_length - sizeof(uint32_t));
	slice_close(&all);
	fixture_close(&f);
}

static void export_refused(struct fixture *f, uint64_t offset, uint64_t length, int wanted)
{
	const struct raw_range range = {offset, length};

	CHECK_RET(raw_export(peerbar_device_fd(f->mem), MEM_BAR, 0, &range, 1), wanted);
}

/* The kernel itself refuses what is no range of the BAR. */
static void bad_ranges(void)
{
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM);
	export_refused(&f, 0, 0, -EINVAL);
	export_refused(&f, 1, f.page, -EINVAL);
	export_refused(&f, 0, f.page + 1, -EINVAL);
	export_refused(&f, 512, 512, -EINVAL);
	export_refused(&f, f.mem_length, f.page, -EINVAL);
	export_refused(&f, 0, f.mem_length + f.page, -EINVAL);
	export_refused(&f, f.mem_length - f.page, 2 * f.page, -EINVAL);
	export_refused(&f, -f.page, f.page, -EOVERFLOW);
	export_refused(&f, -f.page, 2 * f.page, -EOVERFLOW);
	export_refused(&f, f.page, -f.page, -EINVAL);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"export_close", export_close},
	{"export_map", export_map},
	{"many_buffers", many_buffers},
	{"many_ranges", many_ranges},
	{"thousands_of_ranges", thousands_of_ranges},
	{"repeated_ranges", repeated_ranges},
	{"map_from_the_middle", map_from_the_middle},
	{"whole_bar", whole_bar},
	{"bad_ranges", bad_ranges},
};

TAP_MAIN(cases)
