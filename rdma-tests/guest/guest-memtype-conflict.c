// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Two users who want different types for one page: the second is told EBUSY,
 * the first keeps what it has, and once it is gone the second can have its way.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "fixture.h"
#include "raw.h"

#define BASE	 MIB(1)
#define LENGTH	 KIB(64)
#define UC_MINUS PEERBAR_MEMTYPE_UC_MINUS
#define IS_WC	 PEERBAR_MEMTYPE_WC
#define NEEDS	 (FIXTURE_MEM | NEED_SERIES)

static enum peerbar_memtype type_of(enum peerbar_memattr memattr)
{
	return memattr == WC ? IS_WC : UC_MINUS;
}

static enum peerbar_memattr other(enum peerbar_memattr memattr)
{
	return memattr == WC ? NC : WC;
}

/* Noncached is claimed by mapping, write-combining by setting the attribute. */
static int claim(struct peerbar_buffer *buffer, uint64_t length, enum peerbar_memattr memattr,
		 struct peerbar_mapping **map)
{
	int ret = peerbar_buffer_set_memattr(buffer, memattr);

	return ret ? ret : peerbar_map(buffer, 0, length, NULL, map);
}

/* first is mapped; the other type at offset is refused, then granted. */
static void conflict_at(uint64_t offset, uint64_t length, enum peerbar_memattr memattr)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *second;
	struct slice first;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, memattr, &first);
	demand_memtype(first.at, type_of(memattr));
	second = fixture_export(f.mem, MEM_BAR, offset, length, NC);
	CHECK_RET(claim(second, length, other(memattr), &map), -EBUSY);
	demand_memtype(first.at, type_of(memattr));
	demand_memtype(first.at + LENGTH - 4, type_of(memattr));
	slice_close(&first);
	CHECK_OK(claim(second, length, other(memattr), &map));
	demand_memtype(peerbar_mapping_addr(map), type_of(other(memattr)));
	peerbar_unmap(map);
	peerbar_buffer_close(second);
	fixture_close(&f);
}

/* The same pages: noncached against write-combining. */
static void write_combining_first(void)
{
	conflict_at(BASE, LENGTH, WC);
}

static void noncached_first(void)
{
	conflict_at(BASE, LENGTH, NC);
}

/* One shared page is enough, at either end or in the middle. */
static void one_page_shared(void)
{
	conflict_at(BASE + LENGTH - KIB(4), LENGTH, WC);
	conflict_at(BASE - LENGTH + KIB(4), LENGTH, WC);
	conflict_at(BASE + KIB(8), KIB(4), NC);
	conflict_at(BASE - KIB(8), 2 * LENGTH, NC);
}

/* Touching without sharing a page is no conflict. */
static void no_page_shared(void)
{
	struct slice a, b, c;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &b);
	slice_open(&f, BASE - LENGTH, LENGTH, NC, &a);
	slice_open(&f, BASE + LENGTH, LENGTH, NC, &c);
	demand_memtype(a.at + LENGTH - 4, UC_MINUS);
	demand_memtype(b.at, IS_WC);
	demand_memtype(b.at + LENGTH - 4, IS_WC);
	demand_memtype(c.at, UC_MINUS);
	slice_close(&c);
	slice_close(&b);
	slice_close(&a);
	fixture_close(&f);
}

/* Users who agree can share as much as they like; what one leaves is free. */
static void same_type_shared(void)
{
	struct slice a, b, freed;
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (enum peerbar_memattr memattr = NC; memattr <= WC; memattr++) {
		slice_open(&f, BASE, LENGTH, memattr, &a);
		slice_open(&f, BASE + KIB(32), KIB(32), memattr, &b);
		demand_memtype(a.at + KIB(32), type_of(memattr));
		demand_memtype(b.at, type_of(memattr));
		slice_close(&a);
		demand_memtype(b.at, type_of(memattr));
		slice_open(&f, BASE, KIB(32), other(memattr), &freed);
		demand_memtype(freed.at, type_of(other(memattr)));
		demand_memtype(b.at, type_of(memattr));
		slice_close(&freed);
		slice_close(&b);
	}
	fixture_close(&f);
}

/* A range that repeats inside one buffer does not conflict with itself. */
static void repeated_range(void)
{
	const struct peerbar_range ranges[] = {
		{BASE, KIB(8)}, {BASE + KIB(4), KIB(8)}, {BASE, KIB(4)}};
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.memattr = WC,
	};
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct slice nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	CHECK_OK(peerbar_buffer_export(f.mem, MEM_BAR, ranges, 3, &options, &buffer));
	CHECK_OK(peerbar_map(buffer, 0, KIB(20), NULL, &map));
	demand_memtype(peerbar_mapping_addr(map), IS_WC);
	demand_memtype((volatile uint8_t *)peerbar_mapping_addr(map) + KIB(16), IS_WC);
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	/* And nothing of it stays reserved. */
	slice_open(&f, BASE, LENGTH, NC, &nc);
	demand_memtype(nc.at, UC_MINUS);
	slice_close(&nc);
	fixture_close(&f);
}

static int map_device(struct fixture *f, uint64_t offset, size_t length, void **out)
{
	int device = peerbar_device_fd(f->mem);
	uint64_t region;

	CHECK_OK(raw_region(device, MEM_BAR, &region, NULL));
	return try_mmap(device, length, PROT_READ | PROT_WRITE, MAP_SHARED,
			(off_t)(region + offset), out);
}

/* The region's mapping at the pages before, in and behind the slice */
static void demand_lent(volatile uint8_t *at)
{
	demand_memtype(at, UC_MINUS);
	demand_revoked((void *)(at + LENGTH));
	demand_revoked((void *)(at + 2 * LENGTH - 4));
	demand_memtype(at + 2 * LENGTH, UC_MINUS);
}

static void demand_back(volatile uint8_t *at)
{
	for (uint64_t offset = 0; offset < 3 * LENGTH; offset += KIB(4))
		demand_memtype(at + offset, UC_MINUS);
}

/* The owner's mapping of the region is there first: he lends the pages, and has them back when the buffer is closed. */
static void device_mmap_first(void)
{
	struct slice slice;
	struct fixture f;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	CHECK_OK(map_device(&f, BASE - LENGTH, 3 * LENGTH, &at));
	demand_back(at);
	pattern_fill(at, 3 * LENGTH, 21);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	demand_memtype(slice.at, IS_WC);
	demand_lent(at);
	pattern_fill(slice.at, LENGTH, 22);
	slice_close(&slice);
	demand_back(at);
	CHECK(pattern_matches(at, LENGTH, 21), "the pages before");
	CHECK(pattern_matches((uint8_t *)at + LENGTH, LENGTH, 22), "the pages that were lent");
	munmap(at, 3 * LENGTH);
	fixture_close(&f);
}

/* It is made while they are lent; they come back by a revoke, whoever has them mapped. */
static void device_mmap_second(void)
{
	struct slice slice;
	struct fixture f;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	CHECK_OK(map_device(&f, BASE - LENGTH, 3 * LENGTH, &at));
	demand_lent(at);
	demand_memtype(slice.at, IS_WC);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_revoked((void *)slice.at);
	demand_back(at);
	munmap(at, 3 * LENGTH);
	slice_close(&slice);
	fixture_close(&f);
}

/* Setting noncached gives them back when the last mapping has gone, not before. */
static void lent_until_unmapped(void)
{
	struct peerbar_mapping *map;
	struct slice slice;
	struct fixture f;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	CHECK_OK(map_device(&f, BASE - LENGTH, 3 * LENGTH, &at));
	slice_open(&f, BASE, LENGTH, WC, &slice);
	CHECK_OK(peerbar_buffer_set_memattr(slice.buffer, NC));
	demand_memtype(slice.at, IS_WC);
	demand_lent(at);
	CHECK_RET(peerbar_map(slice.buffer, 0, LENGTH, NULL, &map), -EBUSY);
	peerbar_unmap(slice.mapping);
	demand_back(at);
	CHECK_OK(peerbar_map(slice.buffer, 0, LENGTH, NULL, &slice.mapping));
	demand_memtype(peerbar_mapping_addr(slice.mapping), UC_MINUS);
	demand_back(at);
	slice_close(&slice);
	munmap(at, 3 * LENGTH);
	fixture_close(&f);
}

/* They are lent when the attribute is set, not when somebody maps them; by two buffers until both are done. */
static void lent_at_once(void)
{
	struct peerbar_buffer *one, *two;
	struct fixture f;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	CHECK_OK(map_device(&f, BASE - LENGTH, 3 * LENGTH, &at));
	one = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, WC);
	demand_lent(at);
	two = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, WC);
	CHECK_OK(peerbar_buffer_revoke(one));
	demand_lent(at);
	CHECK_OK(peerbar_buffer_set_memattr(two, NC));
	demand_back(at);
	peerbar_buffer_close(two);
	peerbar_buffer_close(one);
	munmap(at, 3 * LENGTH);
	fixture_close(&f);
}

/* Its mapping lives beside them, and with a noncached slice of the same pages. */
static void device_mmap_beside(void)
{
	struct slice wc, nc;
	struct fixture f;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &wc);
	slice_open(&f, BASE + LENGTH, LENGTH, NC, &nc);
	CHECK_OK(map_device(&f, BASE + LENGTH, LENGTH, &at));
	demand_memtype(at, UC_MINUS);
	demand_memtype(nc.at, UC_MINUS);
	demand_memtype(wc.at, IS_WC);
	pattern_fill(nc.at, LENGTH, 1);
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
	munmap(at, LENGTH);
	slice_close(&nc);
	slice_close(&wc);
	fixture_close(&f);
}

/* A huge entry of the region gives way to small ones where a page is lent, and comes back. */
static void device_mmap_huge(void)
{
	const uint64_t huge = MIB(2);
	struct slice slice;
	uint64_t before;
	struct fixture f;
	void *at = NULL;

	fixture_open(&f, NEEDS);
	CHECK_OK(map_device(&f, 0, f.mem_length, &at));
	for (uint64_t offset = 0; offset < f.mem_length; offset += huge)
		demand_memtype((uint8_t *)at + offset, UC_MINUS);
	pattern_fill((uint8_t *)at + huge, huge, 31);
	slice_open(&f, huge + KIB(8), KIB(4), WC, &slice);
	demand_revoked((uint8_t *)at + huge + KIB(8));
	for (uint64_t offset = 0; offset < huge; offset += KIB(4)) {
		if (offset != KIB(8))
			demand_memtype((uint8_t *)at + huge + offset, UC_MINUS);
	}
	demand_memtype(at, UC_MINUS);
	before = peerbar_read32((uint8_t *)at + huge);
	slice_close(&slice);
	demand_memtype((uint8_t *)at + huge + KIB(8), UC_MINUS);
	CHECK(peerbar_read32((uint8_t *)at + huge) == before &&
		      pattern_matches((uint8_t *)at + huge, huge, 31),
	      "contents");
	munmap(at, f.mem_length);
	fixture_close(&f);
}

static int memtype_entries(void)
{
	FILE *list = fopen("/sys/kernel/debug/x86/pat_memtype_list", "re");
	char line[256];
	int count = 0;

	if (!list)
		return 0;
	while (fgets(line, sizeof(line), list))
		count++;
	fclose(list);
	return count;
}

/* Hundreds of mappings of either type leave no reservation behind. */
static void nothing_stays_reserved(void)
{
	int before, after;
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	/* The first write-combining slice may change how the BAR is mapped. */
	slice_open(&f, BASE, LENGTH, WC, &slice);
	slice_close(&slice);
	before = memtype_entries();
	for (int i = 0; i < 300; i++) {
		slice_open(&f, BASE, LENGTH, i % 2 ? WC : NC, &slice);
		demand_alive(slice.at);
		if (i % 3 == 0)
			CHECK_OK(peerbar_buffer_revoke(slice.buffer));
		slice_close(&slice);
	}
	after = memtype_entries();
	CHECK(after == before, "%d memtype entries before, %d after", before, after);
	fixture_close(&f);
}

/* A mapping cut in pieces holds its type until the last piece is gone. */
static void partial_munmap(void)
{
	struct slice slice, nc;
	struct fixture f;
	volatile uint8_t *at;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	at = slice.at;
	CHECK_SYS(munmap((void *)(at + KIB(16)), KIB(16)), 0);
	demand_memtype(at, IS_WC);
	demand_memtype(at + KIB(32), IS_WC);
	CHECK_SYS(munmap((void *)at, KIB(16)), 0);
	demand_memtype(at + LENGTH - 4, IS_WC);
	slice_close(&slice);
	slice_open(&f, BASE, LENGTH, NC, &nc);
	demand_memtype(nc.at, UC_MINUS);
	slice_close(&nc);
	fixture_close(&f);
}

/* A moved mapping keeps its type, and gives it up where it ends. */
static void moved(void)
{
	struct slice slice, nc;
	struct fixture f;
	void *place, *at;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	place = mmap(NULL, LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	at = mremap((void *)slice.at, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	CHECK(at == place, "mremap: %s", strerror(errno));
	demand_memtype(at, IS_WC);
	munmap(at, LENGTH);
	slice_close(&slice);
	slice_open(&f, BASE, LENGTH, NC, &nc);
	demand_memtype(nc.at, UC_MINUS);
	slice_close(&nc);
	fixture_close(&f);
}

struct holder {
	volatile uint8_t *at;
	int ready[2];
	int leave[2];
};

static void hold(void *arg)
{
	struct holder *holder = arg;
	char byte;

	demand_memtype(holder->at, IS_WC);
	CHECK(write(holder->ready[1], "", 1) == 1, "pipe");
	CHECK(read(holder->leave[0], &byte, 1) == 1, "pipe");
	/* Ends with the mapping in place. */
}

/* A child's inherited mapping counts as a user, until the child ends. */
static void child_holds_on(void)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct holder holder;
	struct slice slice;
	struct fixture f;
	pid_t child;
	char byte;

	fixture_open(&f, NEEDS);
	CHECK_SYS(pipe2(holder.ready, O_CLOEXEC), 0);
	CHECK_SYS(pipe2(holder.leave, O_CLOEXEC), 0);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	holder.at = slice.at;
	child = tap_fork(hold, &holder);
	CHECK(read(holder.ready[0], &byte, 1) == 1, "pipe");
	slice_close(&slice);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(peerbar_map(buffer, 0, LENGTH, NULL, &map), -EBUSY);
	CHECK(write(holder.leave[1], "", 1) == 1, "pipe");
	tap_join(child);
	CHECK_OK(peerbar_map(buffer, 0, LENGTH, NULL, &map));
	demand_memtype(peerbar_mapping_addr(map), UC_MINUS);
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	for (int i = 0; i < 2; i++) {
		close(holder.ready[i]);
		close(holder.leave[i]);
	}
	fixture_close(&f);
}

/* A mapping that outlives its device holds no type on it any more. */
static void device_closed(void)
{
	struct slice again;
	struct fixture f;
	void *at = NULL;
	int fd;

	for (int i = 0; i < 4; i++) {
		struct peerbar_buffer *buffer;

		fixture_open(&f, NEEDS);
		buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, i % 2 ? NC : WC);
		fd = fcntl(peerbar_buffer_fd(buffer), F_DUPFD_CLOEXEC, 0);
		CHECK_OK(try_mmap(fd, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &at));
		demand_memtype(at, type_of(i % 2 ? NC : WC));
		peerbar_buffer_close(buffer);
		fixture_close(&f);
		fixture_open(&f, NEEDS);
		slice_open(&f, BASE, LENGTH, i % 2 ? WC : NC, &again);
		demand_memtype(again.at, type_of(i % 2 ? WC : NC));
		demand_revoked(at);
		slice_close(&again);
		fixture_close(&f);
		munmap(at, LENGTH);
		close(fd);
	}
}

static const struct tap_case cases[] = {
	{"write_combining_first", write_combining_first},
	{"noncached_first", noncached_first},
	{"one_page_shared", one_page_shared},
	{"no_page_shared", no_page_shared},
	{"same_type_shared", same_type_shared},
	{"repeated_range", repeated_range},
	{"device_mmap_first", device_mmap_first},
	{"device_mmap_second", device_mmap_second},
	{"device_mmap_beside", device_mmap_beside},
	{"device_mmap_huge", device_mmap_huge, 120},
	{"lent_until_unmapped", lent_until_unmapped},
	{"lent_at_once", lent_at_once},
	{"nothing_stays_reserved", nothing_stays_reserved, 120},
	{"partial_munmap", partial_munmap},
	{"moved", moved},
	{"child_holds_on", child_holds_on},
	{"device_closed", device_closed},
};

TAP_MAIN(cases)
