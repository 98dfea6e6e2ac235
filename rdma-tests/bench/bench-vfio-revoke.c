// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The time that a revoke takes when many have the buffer: CPU mappings, memory
 * regions, or maps of another device's IOMMU.
 */
#include <stdlib.h>
#include <string.h>

#include "loopback.h"
#include "measure.h"

#define LENGTH	  KIB(16)
#define USERS_MAX 1000

static const unsigned int counts[] = {0, 10, 100, USERS_MAX};

struct bench {
	struct fixture f;
	struct loopback l;
	const struct kind *kind;
	unsigned int users;
	struct peerbar_buffer *buffer;
	void *handles[USERS_MAX];
};

struct kind {
	const char *name;
	enum peerbar_memattr memattr;
	void *(*take)(struct bench *b);
	void (*give_back)(void *handle);
};

/* Every page of it is in the page table when the revoke comes. */
static void *take_mapping(struct bench *b)
{
	struct peerbar_mapping *mapping;
	volatile uint8_t *at;

	CHECK_OK(peerbar_map(b->buffer, 0, LENGTH, NULL, &mapping));
	at = peerbar_mapping_addr(mapping);
	for (uint64_t i = 0; i < LENGTH; i += b->f.page)
		(void)at[i];
	return mapping;
}

static void give_back_mapping(void *handle)
{
	peerbar_unmap(handle);
}

static void *take_mr(struct bench *b)
{
	return loopback_register(&b->l, b->buffer, 0, LENGTH, 0);
}

static void give_back_mr(void *handle)
{
	CHECK_OK(-ibv_dereg_mr(handle));
}

static void *take_iova(struct bench *b)
{
	struct peerbar_iova_map *map;

	CHECK_OK(peerbar_iova_map(b->f.reg, b->buffer, 0, LENGTH, NULL, &map));
	return map;
}

static void give_back_iova(void *handle)
{
	peerbar_iova_unmap(handle);
}

static double revoke_sample(void *arg)
{
	struct bench *b = arg;
	double start, end;

	b->buffer = fixture_export(b->f.mem, MEM_BAR, 0, LENGTH, b->kind->memattr);
	for (unsigned int i = 0; i < b->users; i++)
		b->handles[i] = b->kind->take(b);
	start = measure_now();
	CHECK_OK(peerbar_buffer_revoke(b->buffer));
	end = measure_now();
	for (unsigned int i = 0; i < b->users; i++)
		b->kind->give_back(b->handles[i]);
	peerbar_buffer_close(b->buffer);
	return end - start;
}

static const struct kind kinds[] = {
	{"nc-mappings", NC, take_mapping, give_back_mapping},
	{"wc-mappings", WC, take_mapping, give_back_mapping},
	{"mrs", NC, take_mr, give_back_mr},
	{"iommu-maps", NC, take_iova, give_back_iova},
};

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct bench *b = calloc(1, sizeof(*b));
	const struct measure_side side = {"revoke", revoke_sample, b};

	CHECK(b, "out of memory");
	fixture_open(&b->f, FIXTURE_MEM | FIXTURE_REG | NEED_SERIES | NEED_IOVA);
	loopback_open(&b->l, b->f.page);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		b->kind = &kinds[i];
		for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
			const struct measure_point point = {"revoke", kinds[i].name, counts[j],
							    "ns"};

			b->users = counts[j];
			measure(&point, &side, 1, rounds);
		}
	}
	loopback_close(&b->l);
	fixture_close(&b->f);
	free(b);
	return 0;
}
