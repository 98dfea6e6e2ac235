// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * RDMA into and out of a BAR, a dma-heap's buffer and host memory, side by
 * side: the same messages between the same queue pairs.
 */
#include "measure.h"
#include "target.h"
#include "transfer.h"

#define LENGTH MIB(1)

enum {
	SIDE_HOST,
	SIDE_NC,
	SIDE_WC,
	SIDE_HEAP,
	SIDES,
};

static const char *const names[SIDES] = {"host", "bar-nc", "bar-wc", "heap"};
static const uint32_t sizes[] = {KIB(64), KIB(256), MIB(1)};

struct bench {
	struct fixture f;
	struct loopback l;
	struct target targets[SIDES];
};

static void compare(struct bench *b, const char *name, enum ibv_wr_opcode opcode, uint32_t size,
		    unsigned int rounds)
{
	const struct measure_point point = {"bandwidth", name, size, "ns"};
	struct measure_side sides[SIDES];
	struct transfer transfers[SIDES];

	for (int i = 0; i < SIDES; i++) {
		transfers[i] = (struct transfer){
			.l = &b->l,
			.opcode = opcode,
			.mr = b->targets[i].mr,
			.at = b->targets[i].at,
			.length = size,
			.messages = transfer_messages(size),
		};
		sides[i] = (struct measure_side){names[i], transfer_sample, &transfers[i]};
	}
	measure(&point, sides, SIDES, rounds);
}

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct bench b;

	fixture_open(&b.f, FIXTURE_MEM | NEED_SERIES);
	loopback_open(&b.l, LENGTH);
	target_open_host(&b.targets[SIDE_HOST], &b.l, LENGTH);
	target_open_bar(&b.targets[SIDE_NC], &b.f, &b.l, 0, LENGTH, NC);
	target_open_bar(&b.targets[SIDE_WC], &b.f, &b.l, LENGTH, LENGTH, WC);
	target_open_heap(&b.targets[SIDE_HEAP], &b.l, LENGTH);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		compare(&b, "write", IBV_WR_RDMA_WRITE, sizes[i], rounds);
		compare(&b, "read", IBV_WR_RDMA_READ, sizes[i], rounds);
	}
	for (int i = 0; i < SIDES; i++)
		target_close(&b.targets[i]);
	loopback_close(&b.l);
	fixture_close(&b.f);
	return 0;
}
