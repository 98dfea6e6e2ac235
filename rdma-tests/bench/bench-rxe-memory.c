// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The memory that regions over a gigabyte hold, beyond what they are regions
 * of: everything, and of that the slabs, which the kernel counts by name.
 */
#include "held.h"
#include "measure.h"

struct bench {
	struct fixture f;
	struct loopback l;
	held_counter *in_use;
};

static double host_sample(void *arg)
{
	struct bench *b = arg;

	return (double)held_for_host(&b->l, b->in_use);
}

static double bar_sample(void *arg)
{
	struct bench *b = arg;

	return (double)held_for_bar(&b->l, &b->f, b->in_use);
}

static void compare(struct bench *b, const char *name, held_counter *in_use, unsigned int rounds)
{
	const struct measure_point point = {"memory", name, HELD_GIGABYTE, "bytes"};
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
	CHECK(b.f.mem_length >= HELD_GIGABYTE, "wants a memory device of a gigabyte");
	loopback_open(&b.l, HELD_HOST_AREA);
	compare(&b, "all", held_pages, rounds);
	compare(&b, "slab", held_slabs, rounds);
	loopback_close(&b.l);
	fixture_close(&b.f);
	return 0;
}
