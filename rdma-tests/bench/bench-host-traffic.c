// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * RDMA between regions of host memory, small and large, and registering one:
 * what the series must leave as it was. Runs on the kernel without it as well;
 * the side that it reports is the kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "rdma.h"
#include "transfer.h"

#define LENGTH MIB(1)

static const struct {
	const char *name;
	enum ibv_wr_opcode opcode;
	uint32_t length;
} cases[] = {
	{"write", IBV_WR_RDMA_WRITE, 8},
	{"read", IBV_WR_RDMA_READ, 8},
	{"fetch-add", IBV_WR_ATOMIC_FETCH_AND_ADD, 8},
	{"write", IBV_WR_RDMA_WRITE, KIB(64)},
	{"read", IBV_WR_RDMA_READ, KIB(64)},
	{"write", IBV_WR_RDMA_WRITE, MIB(1)},
	{"read", IBV_WR_RDMA_READ, MIB(1)},
};

static double register_sample(void *arg)
{
	struct loopback *l = arg;
	double start = measure_now(), end;
	struct ibv_mr *mr = ibv_reg_mr(l->rdma.pd, l->mem.at, l->mem.length, RDMA_ACCESS_ALL);

	end = measure_now();
	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	CHECK_OK(-ibv_dereg_mr(mr));
	return end - start;
}

static void measure_traffic(struct loopback *l, const struct rdma_mem *target, const char *kernel,
			    unsigned int rounds)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct measure_point point = {"host", cases[i].name, cases[i].length, "ns"};
		struct transfer transfer = {
			.l = l,
			.opcode = cases[i].opcode,
			.mr = target->mr,
			.at = (uintptr_t)target->at,
			.length = cases[i].length,
			.messages = transfer_messages(cases[i].length),
		};
		const struct measure_side side = {kernel, transfer_sample, &transfer};

		measure(&point, &side, 1, rounds);
	}
}

int main(int argc, char **argv)
{
	const struct measure_point point = {"host", "register", LENGTH, "ns"};
	unsigned int rounds = measure_begin(argc, argv);
	const char *kernel = fixture_env("PEERBAR_KERNEL");
	struct rdma_mem target;
	struct loopback l = {0};
	const struct measure_side side = {kernel, register_sample, &l};

	CHECK_OK(rdma_open(&l.rdma, RDMA_DEVICE, NULL));
	CHECK_OK(rdma_qp_pair_open(&l.rdma, &l.peer, &l.owner));
	CHECK_OK(rdma_mem_open(&l.rdma, LENGTH, &l.mem));
	CHECK_OK(rdma_mem_open(&l.rdma, LENGTH, &target));
	memset(l.mem.at, 1, LENGTH);
	measure_traffic(&l, &target, kernel, rounds);
	measure(&point, &side, 1, rounds);
	rdma_mem_close(&target);
	loopback_close(&l);
	return 0;
}
