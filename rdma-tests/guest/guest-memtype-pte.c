// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A mapping has exactly the memory type that was asked for, as the page tables
 * say. (A virtual machine can prove the type, not the size of bus writes.)
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "fixture.h"

#define UC_MINUS PEERBAR_MEMTYPE_UC_MINUS
#define IS_WC	 PEERBAR_MEMTYPE_WC
#define NEEDS	 (FIXTURE_MEM | NEED_SERIES)

static enum peerbar_memtype type_of(enum peerbar_memattr memattr)
{
	return memattr == WC ? IS_WC : UC_MINUS;
}

static void one_slice(enum peerbar_memattr memattr)
{
	struct fixture f;
	struct slice slice;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), KIB(64), memattr, &slice);
	demand_memtype(slice.at, type_of(memattr));
	demand_memtype(slice.at + KIB(32) + 4, type_of(memattr));
	demand_memtype(slice.at + slice.length - 4, type_of(memattr));
	pattern_fill(slice.at, slice.length, 1);
	CHECK(pattern_matches(slice.at, slice.length, 1), "contents");
	slice_close(&slice);
	fixture_close(&f);
}

/* Asked for write-combining, the page table says write-combining. */
static void write_combining(void)
{
	one_slice(WC);
}

/* Asked for noncached, it says UC-, as for the device's own mmap. */
static void noncached(void)
{
	one_slice(NC);
}

/* The default is noncached. */
static void by_default(void)
{
	const struct peerbar_range range = {MIB(1), KIB(4)};
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, NEEDS);
	CHECK_OK(peerbar_buffer_export(f.mem, MEM_BAR, &range, 1, NULL, &buffer));
	CHECK_OK(peerbar_map(buffer, 0, KIB(4), NULL, &map));
	demand_memtype(peerbar_mapping_addr(map), UC_MINUS);
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* Neighbouring slices of one BAR, page by page, each of its own type. */
static void mixed(uint64_t length)
{
	struct slice slices[16];
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (uint32_t i = 0; i < 16; i++) {
		slice_open(&f, i * length, length, i % 2 ? WC : NC, &slices[i]);
		pattern_fill(slices[i].at, length, i);
	}
	for (uint32_t i = 0; i < 16; i++) {
		demand_memtype(slices[i].at, type_of(i % 2 ? WC : NC));
		demand_memtype(slices[i].at + length - 4, type_of(i % 2 ? WC : NC));
		CHECK(pattern_matches(slices[i].at, length, i), "slice %u", i);
	}
	for (uint32_t i = 0; i < 16; i++)
		slice_close(&slices[i]);
	fixture_close(&f);
}

static void mixed_pages(void)
{
	mixed(KIB(4));
}

static void mixed_slices(void)
{
	mixed(KIB(64));
}

/* A slice of whole 2 MiB pages, which may be mapped by huge entries. */
static void huge(enum peerbar_memattr memattr)
{
	struct fixture f;
	struct slice slice;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(8), MIB(8), memattr, &slice);
	for (uint64_t at = 0; at < MIB(8); at += KIB(1020))
		demand_memtype(slice.at + at, type_of(memattr));
	slice_close(&slice);
	fixture_close(&f);
}

static void huge_write_combining(void)
{
	huge(WC);
}

static void huge_noncached(void)
{
	huge(NC);
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Touching all of a large slice takes few faults, whatever its type. */
static void few_faults(void)
{
	struct fixture f;
	struct slice slice;
	uint64_t length;
	long faults;

	fixture_open(&f, NEEDS);
	length = f.mem_length;
	for (int i = 0; i < 2; i++) {
		slice_open(&f, 0, length, i ? WC : NC, &slice);
		faults = minor_faults();
		for (uint64_t at = 0; at < length; at += f.page)
			(void)peerbar_read32(slice.at + at);
		faults = minor_faults() - faults;
		tap_diag("%llu MiB, %s: %ld faults", (unsigned long long)length >> 20,
			 i ? "WC" : "NC", faults);
		CHECK(faults <= 32 || length < MIB(64), "too many");
		demand_memtype(slice.at + length / 2, type_of(i ? WC : NC));
		slice_close(&slice);
	}
	fixture_close(&f);
}

/* A buffer of several ranges has one type in all of them. */
static void many_ranges(void)
{
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.memattr = WC,
	};
	struct peerbar_mapping *map;
	struct peerbar_range ranges[8];
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (int i = 0; i < 8; i++)
		ranges[i] = (struct peerbar_range){MIB(8 - i), f.page};
	CHECK_OK(peerbar_buffer_export(f.mem, MEM_BAR, ranges, 8, &options, &buffer));
	CHECK_OK(peerbar_map(buffer, 0, 8 * f.page, NULL, &map));
	at = peerbar_mapping_addr(map);
	for (int i = 0; i < 8; i++)
		demand_memtype(at + i * f.page, IS_WC);
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

struct inherited {
	volatile uint8_t *wc;
	volatile uint8_t *nc;
};

static void look_in_child(void *arg)
{
	struct inherited *inherited = arg;

	demand_memtype(inherited->wc, IS_WC);
	demand_memtype(inherited->nc, UC_MINUS);
}

/* A child of fork() has the types of its parent. */
static void after_fork(void)
{
	struct inherited inherited;
	struct slice wc, nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), KIB(64), WC, &wc);
	slice_open(&f, MIB(2), KIB(64), NC, &nc);
	demand_memtype(wc.at, IS_WC);
	inherited.wc = wc.at;
	inherited.nc = nc.at;
	tap_join(tap_fork(look_in_child, &inherited));
	demand_memtype(wc.at, IS_WC);
	slice_close(&nc);
	slice_close(&wc);
	fixture_close(&f);
}

/* Reset zaps the mapping; what faults back is of the same type. */
static void after_reset(void)
{
	struct slice wc, nc;
	struct fixture f;

	fixture_open(&f, NEEDS | NEED_RESET);
	slice_open(&f, MIB(1), KIB(64), WC, &wc);
	slice_open(&f, MIB(2), KIB(64), NC, &nc);
	for (int i = 0; i < 3; i++) {
		demand_memtype(wc.at, IS_WC);
		demand_memtype(nc.at, UC_MINUS);
		CHECK_OK(peerbar_device_reset(f.mem));
	}
	demand_memtype(wc.at, IS_WC);
	demand_memtype(nc.at, UC_MINUS);
	slice_close(&nc);
	slice_close(&wc);
	fixture_close(&f);
}

/* Once revoked, the range is free for the other type, dead mapping or not. */
static void after_revoke(void)
{
	struct slice old, again;
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (int i = 0; i < 4; i++) {
		slice_open(&f, MIB(1), KIB(64), i % 2 ? NC : WC, &old);
		demand_memtype(old.at, type_of(i % 2 ? NC : WC));
		CHECK_OK(peerbar_buffer_revoke(old.buffer));
		slice_open(&f, MIB(1), KIB(64), i % 2 ? WC : NC, &again);
		demand_memtype(again.at, type_of(i % 2 ? WC : NC));
		demand_revoked(old.at);
		slice_close(&again);
		slice_close(&old);
	}
	fixture_close(&f);
}

/* The attribute is for mmap() calls to come, and not to be had while mappings of another exist. */
static void later_mappings_only(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), KIB(64), NC, &slice);
	demand_memtype(slice.at, UC_MINUS);
	/* The pages are in use as noncached: never two types at once. */
	CHECK_RET(peerbar_buffer_set_memattr(slice.buffer, WC), -EBUSY);
	demand_memtype(slice.at, UC_MINUS);
	peerbar_unmap(slice.mapping);
	CHECK_OK(peerbar_buffer_set_memattr(slice.buffer, WC));
	CHECK_OK(peerbar_map(slice.buffer, 0, KIB(64), NULL, &slice.mapping));
	CHECK_OK(peerbar_buffer_set_memattr(slice.buffer, NC));
	demand_memtype(peerbar_mapping_addr(slice.mapping), IS_WC);
	slice_close(&slice);
	fixture_close(&f);
}

/* Set before the first mapping, the attribute counts for all of them. */
static void set_before_mapping(void)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, NEEDS);
	buffer = fixture_export(f.mem, MEM_BAR, MIB(1), KIB(64), NC);
	CHECK_OK(peerbar_buffer_set_memattr(buffer, WC));
	CHECK_OK(peerbar_buffer_set_memattr(buffer, NC));
	CHECK_OK(peerbar_buffer_set_memattr(buffer, WC));
	CHECK_OK(peerbar_map(buffer, KIB(4), KIB(8), NULL, &map));
	demand_memtype(peerbar_mapping_addr(map), IS_WC);
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* Registers, whose doorbells must be single stores, are UC-. */
static void registers(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, FIXTURE_REG | NEED_SERIES);
	slice_open_registers(&f, &slice);
	demand_memtype(slice.at + 4, UC_MINUS);
	slice_close(&slice);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"write_combining", write_combining},
	{"noncached", noncached},
	{"by_default", by_default},
	{"mixed_pages", mixed_pages},
	{"mixed_slices", mixed_slices},
	{"huge_write_combining", huge_write_combining},
	{"huge_noncached", huge_noncached},
	{"few_faults", few_faults},
	{"many_ranges", many_ranges},
	{"after_fork", after_fork},
	{"after_reset", after_reset},
	{"after_revoke", after_revoke},
	{"later_mappings_only", later_mappings_only},
	{"set_before_mapping", set_before_mapping},
	{"registers", registers},
};

TAP_MAIN(cases)
