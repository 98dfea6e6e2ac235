// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A BAR of a gigabyte: one region over all of it, as good at its end as at its
 * start, and no table anywhere that grows with the number of its pages.
 */
#include <stdlib.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "held.h"

#define AREA  KIB(64)
#define IOVA  0x7000000000ULL
#define NEEDS (FIXTURE_MEM | NEED_SERIES)

/* The first memory device that is large enough. */
static void open_large(struct fixture *f)
{
	char *devices = strdup(fixture_env("PEERBAR_MEMDEVS")), *rest = devices, *device;

	CHECK(devices, "out of memory");
	while ((device = strsep(&rest, " "))) {
		setenv("PEERBAR_MEMDEV", device, 1);
		fixture_open(f, NEEDS);
		if (f->mem_length >= HELD_GIGABYTE) {
			free(devices);
			return;
		}
		fixture_close(f);
	}
	tap_skip("no memory device of 1 GiB: scripts/vm run --device memory:1G");
}

/* There and back through the region, compared by the CPU. */
static void round_trip(struct fixture *f, struct loopback *l, struct ibv_mr *mr, uint64_t at)
{
	struct slice slice;

	slice_open(f, at, AREA, NC, &slice);
	pattern_fill(slice.at, AREA, 1);
	pattern_fill(l->mem.at, AREA - 2, (uint32_t)(at >> 12));
	CHECK_WC(rdma_write(&l->peer, &l->mem, 0, AREA - 2, IOVA + at + 1, mr->rkey), 0);
	CHECK(pattern_matches(slice.at + 1, AREA - 2, (uint32_t)(at >> 12)), "%llx: contents",
	      (unsigned long long)at);
	CHECK(pattern_matches(slice.at, 1, 1), "%llx: the byte before", (unsigned long long)at);
	pattern_fill(slice.at, AREA, 2);
	CHECK_WC(rdma_read(&l->peer, &l->mem, 0, AREA, IOVA + at, mr->rkey), 0);
	CHECK(pattern_matches(l->mem.at, AREA, 2), "%llx: read", (unsigned long long)at);
	slice_close(&slice);
}

/* At its start, in the middle, across a power of two, and up to its last byte. */
static void every_end(void)
{
	struct peerbar_buffer *buffer;
	struct loopback l;
	struct fixture f;
	struct ibv_mr *mr;
	uint64_t size;

	open_large(&f);
	loopback_open(&l, AREA);
	size = f.mem_length;
	buffer = fixture_export(f.mem, MEM_BAR, 0, size, NC);
	mr = loopback_register(&l, buffer, 0, size, IOVA);
	peerbar_buffer_close(buffer);
	round_trip(&f, &l, mr, 0);
	round_trip(&f, &l, mr, size / 2 - AREA / 2);
	round_trip(&f, &l, mr, size / 4 * 3);
	round_trip(&f, &l, mr, size - AREA);
	CHECK_WC(rdma_fetch_add(&l.peer, &l.mem, IOVA + size - 8, mr->rkey, 1), 0);
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 1, IOVA + size - 1, mr->rkey), 0);
	CHECK_WC(rdma_write(&l.peer, &l.mem, 0, 1, IOVA + size, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(mr));
	loopback_close(&l);
	fixture_close(&f);
}

/*
 * A hundredth of what a region over as much host memory holds, and that is not
 * much. KASAN shadows whatever is mapped: with it there is nothing to be seen.
 */
static void memory_held(void)
{
	int64_t host, device;
	struct loopback l;
	struct fixture f;

	if (tap_slowness() > 1)
		tap_skip("this kernel keeps a shadow of what is mapped");
	open_large(&f);
	loopback_open(&l, HELD_HOST_AREA);
	host = held_for_host(&l, held_pages);
	device = held_for_bar(&l, &f, held_pages);
	tap_diag("held for a gigabyte: %lld bytes of host memory, %lld bytes of device memory",
		 (long long)host, (long long)device);
	CHECK(host >= (int64_t)MIB(2), "measured nothing: a table of pages is larger than that");
	CHECK(device * 100 <= host, "more than a hundredth");
	loopback_close(&l);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"every_end", every_end},
	{"memory_held", memory_held},
};

TAP_MAIN(cases)
