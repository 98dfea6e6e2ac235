// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The memory that regions over a gigabyte hold, beyond what they are regions
 * of: the pages that are no longer free once they are registered. That is
 * everything, of a BAR's the buffer as well; slabs, which the kernel counts by
 * name, are printed too. Pages that it keeps for a processor to take are free.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"
#include "measure.h"

#define GIGABYTE  MIB(1024)
#define IOVA	  0x7000000000ULL
#define HOST_AREA MIB(64)
#define HOST_MRS  (GIGABYTE / HOST_AREA)
/* So many that neither a page nor what the slabs have in stock makes a difference. */
#define BAR_MRS 2000

struct bench {
	struct fixture f;
	struct loopback l;
	double (*in_use)(void);
};

/* What the kernel has counted on each processor is added up first. */
static FILE *open_counters(const char *path)
{
	FILE *refresh = fopen("/proc/sys/vm/stat_refresh", "we");
	FILE *counters = fopen(path, "re");

	CHECK(refresh && fputs("1\n", refresh) >= 0, "stat_refresh: %s", strerror(errno));
	fclose(refresh);
	CHECK(counters, "%s: %s", path, strerror(errno));
	return counters;
}

/* Minus the free pages of all zones, in bytes. */
static double pages_in_use(void)
{
	FILE *zones = open_counters("/proc/zoneinfo");
	long long pages, free = 0;
	unsigned int zones_seen = 0;
	char line[128];

	while (fgets(line, sizeof(line), zones)) {
		if (sscanf(line, " pages free %lld", &pages) == 1)
			zones_seen++;
		else if (sscanf(line, " count: %lld", &pages) != 1)
			continue;
		free += pages;
	}
	fclose(zones);
	CHECK(zones_seen, "no zone in /proc/zoneinfo");
	return -(double)free * (double)sysconf(_SC_PAGESIZE);
}

static double counted_by_name(const char *name)
{
	FILE *info = open_counters("/proc/meminfo");
	char line[128], found[64];
	long long kib = -1, value;

	while (kib < 0 && fgets(line, sizeof(line), info))
		if (sscanf(line, "%63[^:]: %lld kB", found, &value) == 2 && !strcmp(found, name))
			kib = value;
	fclose(info);
	CHECK(kib >= 0, "no %s in /proc/meminfo", name);
	return (double)kib * 1024;
}

static double slab_in_use(void)
{
	return counted_by_name("Slab");
}

static double host_sample(void *arg)
{
	struct bench *b = arg;
	struct ibv_mr *mrs[HOST_MRS];
	double before = b->in_use(), after;

	for (size_t i = 0; i < HOST_MRS; i++) {
		mrs[i] = ibv_reg_mr(b->l.rdma.pd, b->l.mem.at, HOST_AREA, RDMA_ACCESS_ALL);
		CHECK(mrs[i], "ibv_reg_mr: %s", strerror(errno));
	}
	after = b->in_use();
	for (size_t i = 0; i < HOST_MRS; i++)
		CHECK_OK(-ibv_dereg_mr(mrs[i]));
	return after - before;
}

/* A region of a buffer that nobody else has any more. */
static struct ibv_mr *register_bar(struct bench *b)
{
	struct peerbar_buffer *buffer = fixture_export(b->f.mem, MEM_BAR, 0, GIGABYTE, NC);
	struct ibv_mr *mr = loopback_register(&b->l, buffer, 0, GIGABYTE, IOVA);

	peerbar_buffer_close(buffer);
	return mr;
}

static double bar_sample(void *arg)
{
	struct bench *b = arg;
	struct ibv_mr *mrs[BAR_MRS];
	double before = b->in_use(), after;

	for (int i = 0; i < BAR_MRS; i++)
		mrs[i] = register_bar(b);
	after = b->in_use();
	for (int i = 0; i < BAR_MRS; i++)
		CHECK_OK(-ibv_dereg_mr(mrs[i]));
	return (after - before) / BAR_MRS;
}

static void compare(struct bench *b, const char *name, double (*in_use)(void), unsigned int rounds)
{
	const struct measure_point point = {"memory", name, GIGABYTE, "bytes"};
	const struct measure_side sides[] = {
		{"host", host_sample, b},
		{"bar", bar_sample, b},
	};

	b->in_use = in_use;
	measure(&point, sides, 2, rounds);
}

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct bench b;

	fixture_open(&b.f, FIXTURE_MEM | NEED_SERIES);
	CHECK(b.f.mem_length >= GIGABYTE, "wants a memory device of a gigabyte");
	loopback_open(&b.l, HOST_AREA);
	compare(&b, "all", pages_in_use, rounds);
	compare(&b, "slab", slab_in_use, rounds);
	loopback_close(&b.l);
	fixture_close(&b.f);
	return 0;
}
