// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the kernel does with the BAR on its own - reads and writes of the
 * region, ioeventfds - works beside and inside a write-combining slice.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define IS_WC  PEERBAR_MEMTYPE_WC
#define NEEDS  (FIXTURE_MEM | NEED_SERIES)

static void region_round_trip(struct fixture *f, uint64_t offset, uint64_t length, uint32_t seed)
{
	int device = peerbar_device_fd(f->mem);
	uint8_t *data = malloc(length);

	CHECK(data, "out of memory");
	pattern_fill(data, length, seed);
	CHECK_OK(raw_region_write(device, MEM_BAR, offset, data, length));
	pattern_fill(data, length, seed + 1);
	CHECK_OK(raw_region_read(device, MEM_BAR, offset, data, length));
	CHECK(pattern_matches(data, length, seed), "region at %#llx", (unsigned long long)offset);
	free(data);
}

/* Pages beside the slice. */
static void beside(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	pattern_fill(slice.at, LENGTH, 9);
	region_round_trip(&f, BASE - KIB(8), KIB(8), 1);
	region_round_trip(&f, BASE + LENGTH, KIB(8), 2);
	region_round_trip(&f, 0, KIB(4), 3);
	demand_memtype(slice.at, IS_WC);
	CHECK(pattern_matches(slice.at, LENGTH, 9), "the slice changed");
	slice_close(&slice);
	fixture_close(&f);
}

/* Pages of the slice: both ways the same bytes. */
static void inside(void)
{
	struct slice slice;
	struct fixture f;
	uint8_t *data = malloc(LENGTH);

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	pattern_fill(slice.at, LENGTH, 4);
	CHECK_OK(raw_region_read(peerbar_device_fd(f.mem), MEM_BAR, BASE, data, LENGTH));
	CHECK(pattern_matches(data, LENGTH, 4), "read inside");
	region_round_trip(&f, BASE, LENGTH, 5);
	CHECK(pattern_matches(slice.at, LENGTH, 5), "write inside");
	demand_memtype(slice.at, IS_WC);
	slice_close(&slice);
	fixture_close(&f);
	free(data);
}

/* One call that begins before the slice and ends behind it. */
static void across(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	region_round_trip(&f, BASE - KIB(4), LENGTH + KIB(8), 6);
	region_round_trip(&f, BASE + LENGTH - 3, 10, 7);
	demand_memtype(slice.at, IS_WC);
	slice_close(&slice);
	fixture_close(&f);
}

/* The region was used before the slice asked for its type. */
static void region_first(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	region_round_trip(&f, BASE, LENGTH, 8);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	demand_memtype(slice.at, IS_WC);
	CHECK(pattern_matches(slice.at, LENGTH, 8), "contents");
	region_round_trip(&f, BASE, LENGTH, 9);
	slice_close(&slice);
	region_round_trip(&f, BASE, LENGTH, 10);
	fixture_close(&f);
}

static void await_value(volatile uint8_t *at, uint32_t wanted)
{
	AWAIT(peerbar_read32(at) == wanted, 5000, "the write never came");
}

static void eventfd_at(struct fixture *f, uint64_t offset, volatile uint8_t *at, uint32_t value)
{
	int device = peerbar_device_fd(f->mem);
	int event = eventfd(0, EFD_CLOEXEC);
	const uint64_t one = 1;

	CHECK(event >= 0, "eventfd");
	peerbar_write32(at, 0);
	CHECK_OK(raw_ioeventfd(device, MEM_BAR, offset, value, event));
	CHECK(write(event, &one, sizeof(one)) == sizeof(one), "eventfd write");
	await_value(at, value);
	CHECK_OK(raw_ioeventfd(device, MEM_BAR, offset, value, -1));
	close(event);
}

/* An ioeventfd writes its value beside the slice and inside it. */
static void ioeventfd(void)
{
	struct slice slice, nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	slice_open(&f, BASE + LENGTH, LENGTH, NC, &nc);
	eventfd_at(&f, BASE + LENGTH, nc.at, 0x11223344);
	eventfd_at(&f, BASE + 128, slice.at + 128, 0x55667788);
	demand_memtype(slice.at, IS_WC);
	slice_close(&nc);
	slice_close(&slice);
	fixture_close(&f);
}

/* Revoked slices do not stop the device's owner from using the region. */
static void after_revoke(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	region_round_trip(&f, BASE, LENGTH, 11);
	demand_revoked(slice.at);
	slice_close(&slice);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"beside", beside},	  {"inside", inside},
	{"across", across},	  {"region_first", region_first},
	{"ioeventfd", ioeventfd}, {"after_revoke", after_revoke},
};

TAP_MAIN(cases)
