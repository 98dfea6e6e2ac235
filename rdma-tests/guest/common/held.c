// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Counted in pages that are no longer free, which is everything. Pages that the
 * kernel keeps for a processor to take are free: it takes thousands at a time.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "held.h"

#define IOVA	 0x7000000000ULL
#define HOST_MRS (HELD_GIGABYTE / HELD_HOST_AREA)
/* So many that neither a page nor what the slabs have in stock makes a difference. */
#define BAR_MRS 2000

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

/* Minus the free pages of all zones. */
int64_t held_pages(void)
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
	return -free * sysconf(_SC_PAGESIZE);
}

int64_t held_slabs(void)
{
	FILE *info = open_counters("/proc/meminfo");
	long long kib = -1;
	char line[128];

	while (kib < 0 && fgets(line, sizeof(line), info))
		sscanf(line, "Slab: %lld kB", &kib);
	fclose(info);
	CHECK(kib >= 0, "no Slab in /proc/meminfo");
	return kib << 10;
}

int64_t held_for_host(struct loopback *l, held_counter *in_use)
{
	struct ibv_mr *mrs[HOST_MRS];
	int64_t before = in_use(), after;

	for (size_t i = 0; i < HOST_MRS; i++) {
		mrs[i] = ibv_reg_mr(l->rdma.pd, l->mem.at, HELD_HOST_AREA, RDMA_ACCESS_ALL);
		CHECK(mrs[i], "ibv_reg_mr: %s", strerror(errno));
	}
	after = in_use();
	for (size_t i = 0; i < HOST_MRS; i++)
		CHECK_OK(-ibv_dereg_mr(mrs[i]));
	return after - before;
}

/* A region of a buffer that nobody else has any more. */
static struct ibv_mr *register_bar(struct loopback *l, struct fixture *f)
{
	struct peerbar_buffer *buffer = fixture_export(f->mem, MEM_BAR, 0, HELD_GIGABYTE, NC);
	struct ibv_mr *mr = loopback_register(l, buffer, 0, HELD_GIGABYTE, IOVA);

	peerbar_buffer_close(buffer);
	return mr;
}

int64_t held_for_bar(struct loopback *l, struct fixture *f, held_counter *in_use)
{
	struct ibv_mr *mrs[BAR_MRS];
	int64_t before = in_use(), after;

	for (int i = 0; i < BAR_MRS; i++)
		mrs[i] = register_bar(l, f);
	after = in_use();
	for (int i = 0; i < BAR_MRS; i++)
		CHECK_OK(-ibv_dereg_mr(mrs[i]));
	return (after - before) / BAR_MRS;
}
