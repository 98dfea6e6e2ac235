// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What it takes to map a part of a BAR and to touch each page of it: faults, and
 * time. By mmap() of the device's region as ever, and of a buffer.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "fixture.h"
#include "measure.h"
#include "raw.h"

#define LENGTH MIB(64)

struct way {
	struct fixture *f;
	struct peerbar_buffer *buffer; /* NULL: the region */
	enum peerbar_memattr memattr;
	struct peerbar_mapping *mapping;
};

static volatile uint8_t *map_region(struct way *way)
{
	int device = peerbar_device_fd(way->f->mem);
	uint64_t offset;
	void *at;

	CHECK_OK(raw_region(device, MEM_BAR, &offset, NULL));
	at = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)offset);
	CHECK(at != MAP_FAILED, "mmap of the region: %s", strerror(errno));
	return at;
}

/* While the buffer is write-combining the region's mapping of its pages faults for good. */
static void lend(struct way *way)
{
	if (way->buffer)
		CHECK_OK(peerbar_buffer_set_memattr(way->buffer, way->memattr));
}

static void give_back(struct way *way)
{
	if (way->buffer)
		CHECK_OK(peerbar_buffer_set_memattr(way->buffer, NC));
}

static volatile uint8_t *map(struct way *way)
{
	if (!way->buffer)
		return map_region(way);
	CHECK_OK(peerbar_map(way->buffer, 0, LENGTH, NULL, &way->mapping));
	return peerbar_mapping_addr(way->mapping);
}

static void unmap(struct way *way, volatile uint8_t *at)
{
	if (way->buffer)
		peerbar_unmap(way->mapping);
	else
		munmap((void *)(uintptr_t)at, LENGTH);
}

static void touch(struct way *way, volatile uint8_t *at)
{
	for (uint64_t i = 0; i < LENGTH; i += way->f->page)
		(void)at[i];
}

static double faults_so_far(void)
{
	struct rusage usage;

	CHECK_SYS(getrusage(RUSAGE_SELF, &usage), 0);
	return (double)(usage.ru_minflt + usage.ru_majflt);
}

static double faults_sample(void *arg)
{
	volatile uint8_t *at;
	double faults;

	lend(arg);
	at = map(arg);
	faults = faults_so_far();
	touch(arg, at);
	faults = faults_so_far() - faults;
	unmap(arg, at);
	give_back(arg);
	return faults;
}

static double map_sample(void *arg)
{
	volatile uint8_t *at;
	double start, end;

	lend(arg);
	start = measure_now();
	at = map(arg);
	end = measure_now();
	unmap(arg, at);
	give_back(arg);
	return end - start;
}

static double touch_sample(void *arg)
{
	volatile uint8_t *at;
	double start, end;

	lend(arg);
	at = map(arg);
	start = measure_now();
	touch(arg, at);
	end = measure_now();
	unmap(arg, at);
	give_back(arg);
	return end - start;
}

static void compare(const char *figure, const char *operation, const char *unit,
		    double (*sample)(void *), struct way ways[2], unsigned int rounds)
{
	const struct measure_point point = {figure, operation, LENGTH, unit};
	const struct measure_side sides[] = {
		{"region", sample, &ways[0]},
		{"buffer", sample, &ways[1]},
	};

	measure(&point, sides, 2, rounds);
}

/* The region's mapping is noncached. It is there before and after a WC one of the same pages, never beside it. */
static void compare_all(struct fixture *f, enum peerbar_memattr memattr, unsigned int rounds)
{
	struct way ways[2] = {
		{.f = f},
		{.f = f,
		 .buffer = fixture_export(f->mem, MEM_BAR, 0, LENGTH, NC),
		 .memattr = memattr},
	};
	bool wc = memattr == WC;

	compare("faults", wc ? "touch wc" : "touch nc", "faults", faults_sample, ways, 1);
	compare("map", wc ? "mmap wc" : "mmap nc", "ns", map_sample, ways, rounds);
	compare("map", wc ? "touch wc" : "touch nc", "ns", touch_sample, ways, rounds);
	peerbar_buffer_close(ways[1].buffer);
}

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	CHECK(f.mem_length >= LENGTH, "wants a memory device of 64 MiB");
	compare_all(&f, NC, rounds);
	compare_all(&f, WC, rounds);
	fixture_close(&f);
	return 0;
}
