// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Two hosts: the first lends a slice of its device memory and takes it back,
 * the second reaches for it over the wire. The second one serves; all that is
 * reported, the first one reports.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "control.h"
#include "loopback.h"
#include "servant.h"

#define BASE	       MIB(1)
#define LENGTH	       MIB(1)
#define IOVA	       0x40000000ULL
#define NEEDS	       (FIXTURE_MEM | NEED_SERIES)
#define TRAFFIC_ROUNDS 30

/* To the second host, opened once for all cases. */
static int control = -1;

struct bench {
	struct fixture f;
	struct rdma rdma;
	struct rdma_qp qp;
	struct slice slice;
	struct ibv_mr *mr;
};

static int ask(uint32_t what, uint64_t a, uint64_t b, uint64_t c, struct control_message *answer)
{
	*answer = (struct control_message){.what = what, .value = {a, b, c}};
	CHECK_OK(control_ask(control, answer));
	return answer->status;
}

/* A fresh pair of queues between the hosts. */
static void connect_peer(struct bench *b)
{
	struct control_message message = {.what = SERVANT_CONNECT};

	rdma_qp_close(&b->qp);
	CHECK_OK(rdma_qp_open(&b->rdma, &b->qp));
	rdma_qp_endpoint(&b->qp, &message.endpoint);
	CHECK_OK(control_ask(control, &message));
	CHECK_OK(message.status);
	CHECK_OK(rdma_qp_connect(&b->qp, &message.endpoint));
}

static void lend(struct bench *b)
{
	slice_open(&b->f, BASE, LENGTH, WC, &b->slice);
	CHECK_OK(peerbar_reg_mr(b->slice.buffer, b->rdma.pd, 0, LENGTH, IOVA, RDMA_ACCESS_ALL,
				&b->mr));
}

static void take_back(struct bench *b)
{
	CHECK_OK(-ibv_dereg_mr(b->mr));
	slice_close(&b->slice);
}

static void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
	fixture_open(&b->f, NEEDS);
	CHECK_OK(rdma_open(&b->rdma, RDMA_DEVICE, fixture_env("PEERBAR_ADDR")));
	connect_peer(b);
	lend(b);
}

static void bench_close(struct bench *b)
{
	take_back(b);
	rdma_qp_close(&b->qp);
	rdma_close(&b->rdma);
	fixture_close(&b->f);
}

static uint64_t slice_checksum(struct bench *b, uint64_t offset, size_t length)
{
	uint8_t *copy = malloc(length);
	uint64_t sum;

	CHECK(copy, "out of memory");
	peerbar_copy_from(copy, b->slice.at + offset, length);
	sum = servant_checksum(copy, length);
	free(copy);
	return sum;
}

/* Random data of many lengths, checked at both ends. */
static void lengths(void)
{
	static const uint32_t sizes[] = {1, 8, 1023, 4096, 4097, 65536, 100001, 1048576};
	struct control_message answer;
	struct bench b;

	bench_open(&b);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t at = (LENGTH - sizes[i]) / 2, sum;

		CHECK_OK(ask(SERVANT_FILL, sizes[i], 0, 0, &answer));
		sum = answer.value[0];
		CHECK_WC(ask(SERVANT_WRITE, IOVA + at, b.mr->rkey, sizes[i], &answer), 0);
		CHECK(slice_checksum(&b, at, sizes[i]) == sum,
		      "%u bytes: the CPU sees something else", sizes[i]);
		CHECK_WC(ask(SERVANT_COMPARE, IOVA + at, b.mr->rkey, sizes[i], &answer), 0);
		CHECK(answer.value[0], "%u bytes: read back something else", sizes[i]);
	}
	bench_close(&b);
}

/* A counter in device memory, counted up from afar and from here. */
static void counter(void)
{
	struct control_message answer;
	volatile uint8_t *word;
	struct bench b;

	bench_open(&b);
	word = b.slice.at + 4096;
	peerbar_write64(word, 0);
	peerbar_wc_flush();
	for (uint64_t i = 0; i < 100; i++) {
		CHECK_WC(ask(SERVANT_ADD, IOVA + 4096, b.mr->rkey, 3, &answer), 0);
		CHECK(answer.value[0] == 3 * i, "old value %llu in round %llu",
		      (unsigned long long)answer.value[0], (unsigned long long)i);
	}
	CHECK(peerbar_read64(word) == 300, "the CPU reads %llu",
	      (unsigned long long)peerbar_read64(word));
	bench_close(&b);
}

/* After revoke every request fails; a new slice under a new key works. */
static void revoked(void)
{
	struct control_message answer;
	struct bench b;

	bench_open(&b);
	CHECK_OK(ask(SERVANT_FILL, LENGTH, 0, 0, &answer));
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_WC(ask(SERVANT_WRITE, IOVA, b.mr->rkey, LENGTH, &answer), IBV_WC_REM_ACCESS_ERR);
	connect_peer(&b);
	CHECK_WC(ask(SERVANT_COMPARE, IOVA, b.mr->rkey, 64, &answer), IBV_WC_REM_ACCESS_ERR);
	connect_peer(&b);
	CHECK_WC(ask(SERVANT_ADD, IOVA, b.mr->rkey, 1, &answer), IBV_WC_REM_ACCESS_ERR);
	take_back(&b);
	lend(&b);
	connect_peer(&b);
	CHECK_WC(ask(SERVANT_WRITE, IOVA, b.mr->rkey, LENGTH, &answer), 0);
	CHECK_WC(ask(SERVANT_COMPARE, IOVA, b.mr->rkey, LENGTH, &answer), 0);
	CHECK(answer.value[0], "read back something else");
	bench_close(&b);
}

/* One megabyte is under way, somewhere, when the slice is revoked. */
static void traffic_round(struct bench *b, int round)
{
	struct control_message message = {
		.what = SERVANT_WRITE,
		.value = {IOVA, b->mr->rkey, LENGTH},
	};
	struct slice again;

	CHECK_OK(control_send(control, &message));
	usleep((useconds_t)(round * 7919 % 30000));
	CHECK_OK(peerbar_buffer_revoke(b->slice.buffer));
	/* From here on the memory is ours alone. */
	slice_open(&b->f, BASE, LENGTH, WC, &again);
	pattern_fill(again.at, LENGTH, 1);
	CHECK_OK(control_receive(control, &message));
	CHECK(message.status == IBV_WC_SUCCESS || message.status == IBV_WC_REM_ACCESS_ERR,
	      "round %d: %s", round, rdma_status_name(message.status));
	CHECK(pattern_matches(again.at, LENGTH, 1), "round %d: written after revoke had returned",
	      round);
	slice_close(&again);
}

static void under_traffic(void)
{
	struct control_message answer;
	struct bench b;

	bench_open(&b);
	CHECK_OK(ask(SERVANT_FILL, LENGTH, 0, 0, &answer));
	for (int i = 0; i < TRAFFIC_ROUNDS; i++) {
		traffic_round(&b, i);
		take_back(&b);
		lend(&b);
		connect_peer(&b);
	}
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"lengths", lengths},
	{"counter", counter},
	{"revoked", revoked},
	{"under_traffic", under_traffic, 120},
};

static int report(int argc, char **argv)
{
	struct control_message goodbye = {.what = SERVANT_GOODBYE};
	int listener, status, ret;

	ret = control_listen(fixture_env("PEERBAR_ADDR"), &listener);
	if (!ret)
		ret = control_accept(listener, &control);
	if (ret) {
		tap_diag("no second host: %s", strerror(-ret));
		return 1;
	}
	close(listener);
	status = tap_run(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	control_ask(control, &goodbye);
	close(control);
	return status;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--list"))
		return tap_run(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
	if (strcmp(fixture_env("PEERBAR_HOST"), "0"))
		return servant_run(fixture_env("PEERBAR_ADDR"), fixture_env("PEERBAR_PEER"));
	return report(argc, argv);
}
