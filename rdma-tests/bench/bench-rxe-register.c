// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The time that it takes to register a part of a BAR, and as much host memory,
 * which is there already: no page of it has to be found first.
 */
#include <string.h>

#include "loopback.h"
#include "measure.h"

#define IOVA	 0x7000000000ULL
#define HOST_MAX MIB(64)

static const uint64_t sizes[] = {MIB(1), MIB(4), MIB(16), MIB(64), MIB(1024)};

struct bench {
	struct fixture f;
	struct loopback l;
	struct peerbar_buffer *buffer;
	uint64_t size;
};

static double bar_sample(void *arg)
{
	struct bench *b = arg;
	double start = measure_now(), end;
	struct ibv_mr *mr = loopback_register(&b->l, b->buffer, 0, b->size, IOVA);

	end = measure_now();
	CHECK_OK(-ibv_dereg_mr(mr));
	return end - start;
}

static double host_sample(void *arg)
{
	struct bench *b = arg;
	double start = measure_now(), end;
	struct ibv_mr *mr = ibv_reg_mr(b->l.rdma.pd, b->l.mem.at, b->size, RDMA_ACCESS_ALL);

	end = measure_now();
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	CHECK_OK(-ibv_dereg_mr(mr));
	return end - start;
}

static void compare(struct bench *b, uint64_t size, unsigned int rounds)
{
	const struct measure_point point = {"register", "register", size, "ns"};
	const struct measure_side sides[] = {
		{"bar", bar_sample, b},
		{"host", host_sample, b},
	};

	b->size = size;
	b->buffer = fixture_export(b->f.mem, MEM_BAR, 0, size, NC);
	measure(&point, sides, size <= HOST_MAX ? 2 : 1, rounds);
	peerbar_buffer_close(b->buffer);
}

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct bench b;

	fixture_open(&b.f, FIXTURE_MEM | NEED_SERIES);
	loopback_open(&b.l, HOST_MAX);
	memset(b.l.mem.at, 1, b.l.mem.length);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (sizes[i] <= b.f.mem_length)
			compare(&b, sizes[i], rounds);
	loopback_close(&b.l);
	fixture_close(&b.f);
	return 0;
}
