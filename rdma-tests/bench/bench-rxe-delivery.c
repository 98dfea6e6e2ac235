// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Until the data is in the device: written there by RDMA, or received into host
 * memory and copied into the device by the CPU. Both ways the owner is told of
 * each message, by immediate data, and the clock stops when the last byte is in
 * the device.
 */
#include <peerbar/mmio.h>

#include "measure.h"
#include "target.h"

#define LENGTH MIB(1)
/* Messages that are on their way at once. */
#define ONE   1
#define EIGHT 8

static const uint32_t sizes[] = {KIB(4), KIB(64), KIB(256), MIB(1)};

struct way {
	struct loopback *l;
	const struct target *into; /* what the peer writes to */
	volatile void *copy_to;	   /* what the CPU copies to; NULL if it need not */
	uint32_t length;
	unsigned int messages;
	uint64_t bytes_copied; /* by the last sample, on the owner's side */
};

static void post_all(const struct way *way)
{
	const struct rdma_op op = {
		.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
		.local = (uintptr_t)way->l->mem.at,
		.lkey = way->l->mem.mr->lkey,
		.length = way->length,
		.remote = way->into->at,
		.rkey = way->into->mr->rkey,
	};

	for (unsigned int i = 0; i < way->messages; i++)
		CHECK_OK(rdma_post(&way->l->peer, &op));
}

/* One message; what it took to have it in the device. */
static uint64_t take_one(const struct way *way)
{
	struct ibv_wc wc;

	CHECK_WC(rdma_wait(&way->l->owner, &wc), 0);
	if (!way->copy_to)
		return wc.byte_len;
	peerbar_wc_start();
	peerbar_copy_to(way->copy_to, way->into->mem.at, wc.byte_len);
	peerbar_wc_flush();
	return 2ULL * wc.byte_len;
}

static double sample(void *arg)
{
	struct way *way = arg;
	struct ibv_wc wc;
	double start, end;

	way->bytes_copied = 0;
	for (unsigned int i = 0; i < way->messages; i++)
		CHECK_OK(rdma_post_receive(&way->l->owner, (uintptr_t)way->l->mem.at,
					   way->l->mem.mr->lkey, 0));
	start = measure_now();
	post_all(way);
	for (unsigned int i = 0; i < way->messages; i++)
		way->bytes_copied += take_one(way);
	end = measure_now();
	for (unsigned int i = 0; i < way->messages; i++)
		CHECK_WC(rdma_wait(&way->l->peer, &wc), 0);
	return end - start;
}

static double bytes_sample(void *arg)
{
	struct way *way = arg;

	sample(way);
	return (double)way->bytes_copied;
}

struct bench {
	struct fixture f;
	struct loopback l;
	struct target bar, host;
};

static void compare(struct bench *b, const char *figure, uint32_t size, unsigned int messages,
		    unsigned int rounds)
{
	const struct measure_point point = {figure, "write", size, "ns"};
	const struct measure_point bytes = {"delivery-bytes",
					    messages == ONE ? "one message" : "eight messages",
					    size, "bytes"};
	struct way staged = {
		.l = &b->l,
		.into = &b->host,
		.copy_to = peerbar_mapping_addr(b->bar.mapping),
		.length = size,
		.messages = messages,
	};
	struct way direct = {
		.l = &b->l,
		.into = &b->bar,
		.length = size,
		.messages = messages,
	};
	const struct measure_side sides[] = {
		{"staged", sample, &staged},
		{"direct", sample, &direct},
	};
	const struct measure_side counts[] = {
		{"staged", bytes_sample, &staged},
		{"direct", bytes_sample, &direct},
	};

	measure(&point, sides, 2, rounds);
	measure(&bytes, counts, 2, 1);
}

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct bench b;

	fixture_open(&b.f, FIXTURE_MEM | NEED_SERIES);
	loopback_open(&b.l, LENGTH);
	target_open_bar(&b.bar, &b.f, &b.l, 0, LENGTH, WC);
	target_open_host(&b.host, &b.l, LENGTH);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		compare(&b, "delivery-latency", sizes[i], ONE, rounds);
		compare(&b, "delivery-bandwidth", sizes[i], EIGHT, rounds);
	}
	target_close(&b.host);
	target_close(&b.bar);
	loopback_close(&b.l);
	fixture_close(&b.f);
	return 0;
}
