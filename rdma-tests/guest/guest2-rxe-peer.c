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
#include "wire.h"
#include "work.h"

#define BASE	       MIB(1)
#define LENGTH	       MIB(1)
#define IOVA	       0x40000000ULL
#define NEEDS	       (FIXTURE_MEM | NEED_SERIES)
#define TRAFFIC_ROUNDS 30
/* Bytes: one packet, whatever the MTU. */
#define READ 64

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

/*
 * The servant reads, successfully, what it could ask for once more later on.
 * It is at offset at in the slice, and at remote for who has the key. Returns a checksum.
 */
static uint64_t read_once(struct bench *b, uint64_t at, uint64_t remote, uint32_t rkey)
{
	struct control_message answer;
	uint64_t sum;

	CHECK_OK(ask(SERVANT_FILL, READ, 0, 0, &answer));
	sum = answer.value[0];
	CHECK_WC(ask(SERVANT_WRITE, IOVA + at, b->mr->rkey, READ, &answer), 0);
	CHECK_OK(ask(SERVANT_KEEP, 0, 0, 0, &answer));
	CHECK_WC(ask(SERVANT_COMPARE, remote, rkey, READ, &answer), 0);
	CHECK(answer.value[0], "read something else");
	return sum;
}

static void repeat(unsigned int opcode, struct control_message *answer)
{
	CHECK_OK(ask(SERVANT_REPEAT_READ, 0, 0, 0, answer));
	CHECK(answer->value[0] == opcode, "answered with opcode %llu",
	      (unsigned long long)answer->value[0]);
}

/* As if the response had been lost: it comes once more. */
static void demand_repeated(uint64_t sum)
{
	struct control_message answer;

	repeat(WIRE_READ_RESPONSE, &answer);
	CHECK(answer.value[2] == sum, "answered with something else");
}

static void demand_refused(void)
{
	struct control_message answer;

	repeat(WIRE_ACKNOWLEDGE, &answer);
	CHECK(answer.value[1] == WIRE_ACCESS_ERROR, "refused with syndrome %#llx",
	      (unsigned long long)answer.value[1]);
}

/* A request that is repeated is answered again, whatever came in between. */
static void repeated_read(void)
{
	const uint64_t nothing = servant_checksum("", 0);
	struct control_message answer;
	struct bench b;
	uint64_t sum;

	bench_open(&b);
	sum = read_once(&b, 0, IOVA, b.mr->rkey);
	demand_repeated(sum);
	CHECK_WC(ask(SERVANT_WRITE, 0, 0, 0, &answer), 0);
	demand_repeated(sum);
	CHECK_OK(ask(SERVANT_KEEP, 0, 0, 0, &answer));
	CHECK_WC(ask(SERVANT_COMPARE, IOVA, b.mr->rkey, 0, &answer), 0);
	CHECK_WC(ask(SERVANT_WRITE, IOVA, b.mr->rkey, READ, &answer), 0);
	demand_repeated(nothing);
	read_once(&b, 0, IOVA, b.mr->rkey);
	bench_close(&b);
}

/* The addresses in the request are the window's, not the region's. */
static void repeated_through_window(void)
{
	struct window w;
	struct bench b;

	bench_open(&b);
	work_make_bindable(b.mr);
	window_open(b.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &b.qp, b.mr, IOVA + KIB(4), KIB(64),
			     IBV_ACCESS_REMOTE_READ | IBV_ACCESS_ZERO_BASED),
		 0);
	demand_repeated(read_once(&b, KIB(4) + 8, 8, w.rkey));
	window_close(&w);
	bench_close(&b);
}

/* Through a window that has been moved only what it is at now can be read. */
static void repeated_beside_window(void)
{
	struct window w;
	struct bench b;
	uint64_t sum;

	bench_open(&b);
	work_make_bindable(b.mr);
	window_open(b.rdma.pd, IBV_MW_TYPE_2, &w);
	CHECK_WC(window_bind(&w, &b.qp, b.mr, IOVA, KIB(4), IBV_ACCESS_REMOTE_READ), 0);
	sum = read_once(&b, 8, IOVA + 8, w.rkey);
	CHECK_WC(window_move(&w, &b.qp, b.mr, IOVA + 8, KIB(4), IBV_ACCESS_REMOTE_READ), 0);
	demand_repeated(sum);
	CHECK_WC(window_move(&w, &b.qp, b.mr, IOVA + 9, KIB(4), IBV_ACCESS_REMOTE_READ), 0);
	demand_refused();
	window_close(&w);
	bench_close(&b);
}

/* It is not answered once the right, the region or the memory has been taken away. */
static void repeated_in_vain(void)
{
	const int flags = IBV_REREG_MR_CHANGE_ACCESS;
	struct ibv_pd *pd;
	struct bench b;

	bench_open(&b);
	read_once(&b, 0, IOVA, b.mr->rkey);
	CHECK_OK(work_rereg(b.mr, flags, NULL, 0, 0, 0, IBV_ACCESS_LOCAL_WRITE));
	demand_refused();
	CHECK_OK(work_rereg(b.mr, flags, NULL, 0, 0, 0, RDMA_ACCESS_ALL));
	connect_peer(&b);
	read_once(&b, 0, IOVA, b.mr->rkey);
	pd = ibv_alloc_pd(b.rdma.context);
	CHECK(pd, "ibv_alloc_pd: %s", strerror(errno));
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_PD, pd, 0, 0, 0, 0));
	demand_refused();
	CHECK_OK(work_rereg(b.mr, IBV_REREG_MR_CHANGE_PD, b.rdma.pd, 0, 0, 0, 0));
	CHECK_OK(-ibv_dealloc_pd(pd));
	connect_peer(&b);
	read_once(&b, 0, IOVA, b.mr->rkey);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	demand_refused();
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"lengths", lengths},
	{"counter", counter},
	{"revoked", revoked},
	{"under_traffic", under_traffic, 120},
	{"repeated_read", repeated_read},
	{"repeated_through_window", repeated_through_window},
	{"repeated_beside_window", repeated_beside_window},
	{"repeated_in_vain", repeated_in_vain},
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
