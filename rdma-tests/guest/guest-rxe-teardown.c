// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The end of everything that a memory region on a dma-buf depends on, or that
 * depends on it, in the middle of traffic: nothing hangs, nothing is left
 * behind, and the next one works.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "leak.h"
#include "loopback.h"
#include "stream.h"
#include "work.h"

#define BASE	  MIB(1)
#define AREA	  KIB(4)
#define IOVA	  0x100000ULL
#define NEEDS	  (FIXTURE_MEM | NEED_SERIES)
#define ROUNDS	  4
#define RACES	  200
#define SETTLE_MS 30000
#define LINK	  "rxe_soil"
#define NETDEV	  "soil"
#define ADDRESS	  "10.112.99.1"
#define TEXT	  1024

static void open_fixture(struct fixture *f)
{
	fixture_open(f, NEEDS);
	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
}

static void shell(const char *command)
{
	int status = system(command);

	CHECK(!status, "%s: status %#x", command, status);
}

/* A link of our own, over a network device of our own. */
static void make_link(void)
{
	shell("ip link add " NETDEV " type dummy && ip link set " NETDEV " mtu 9000 up && "
	      "ip addr add " ADDRESS "/24 dev " NETDEV " && "
	      "rdma link add " LINK " type rxe netdev " NETDEV);
}

static bool link_exists(void)
{
	return !access("/sys/class/infiniband/" LINK, F_OK);
}

static void wait_for_no_link(void)
{
	AWAIT(!link_exists(), SETTLE_MS * tap_slowness(), LINK " does not go away");
}

static struct stream *stream_on(const char *device, struct peerbar_buffer *buffer)
{
	const struct stream_options options = {
		.device = device,
		.dmabuf = peerbar_buffer_fd(buffer),
	};

	return stream_start(&options);
}

/*
 * The link is gone, the process that used it is not, but holds on to nothing:
 * once we let go of the buffer, there is no buffer.
 */
static void demand_released(struct fixture *f, struct stream *s, struct peerbar_buffer *buffer,
			    int dmabufs)
{
	struct slice view;

	slice_open(f, BASE, STREAM_LENGTH, NC, &view);
	pattern_fill(view.at, view.length, 1);
	stream_stop(s);
	CHECK(stream_status(s), "writes go on without a device");
	CHECK(pattern_matches(view.at, view.length, 1), "written without a device");
	slice_close(&view);
	CHECK_OK(peerbar_buffer_revoke(buffer));
	peerbar_buffer_close(buffer);
	CHECK(leak_dmabufs_back_to(dmabufs), "the region of a dead link holds its buffer");
}

static void without_link(const char *how)
{
	struct peerbar_buffer *buffer;
	struct stream *s;
	struct fixture f;
	int dmabufs;

	open_fixture(&f);
	for (unsigned long i = 0; i < ROUNDS; i++) {
		make_link();
		dmabufs = leak_dmabufs();
		buffer = fixture_export(f.mem, MEM_BAR, BASE, STREAM_LENGTH, NC);
		s = stream_on(LINK, buffer);
		stream_wait_for(s, i);
		shell(how);
		wait_for_no_link();
		demand_released(&f, s, buffer, dmabufs);
		stream_exit(s);
		shell("! ip link show " NETDEV " >/dev/null 2>&1 || ip link del " NETDEV);
	}
	fixture_close(&f);
}

/* The link is deleted. */
static void link_deleted(void)
{
	without_link("rdma link del " LINK);
}

/* The network device under it is. */
static void netdev_deleted(void)
{
	without_link("ip link del " NETDEV);
}

static int outside = -1;

static void enter_namespace(void)
{
	outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK(outside >= 0, "/proc/self/ns/net: %s", strerror(errno));
	CHECK_SYS(unshare(CLONE_NEWNET), 0);
	make_link();
}

/* It was the only one in there. */
static void leave_namespace(void)
{
	CHECK_SYS(setns(outside, CLONE_NEWNET), 0);
	close(outside);
}

/* The network namespace ends, with the link in it, while that is in use. */
static void namespace_ends(void)
{
	struct stream_options options = {
		.device = LINK,
		.ipv4 = ADDRESS,
		.enter = enter_namespace,
		.leave = leave_namespace,
	};
	struct peerbar_buffer *buffer;
	struct stream *s;
	struct fixture f;
	int dmabufs;

	open_fixture(&f);
	for (int i = 0; i < ROUNDS; i++) {
		dmabufs = leak_dmabufs();
		buffer = fixture_export(f.mem, MEM_BAR, BASE, STREAM_LENGTH, NC);
		options.dmabuf = peerbar_buffer_fd(buffer);
		s = stream_start(&options);
		wait_for_no_link();
		demand_released(&f, s, buffer, dmabufs);
		stream_exit(s);
	}
	fixture_close(&f);
}

static const char *read_resources(char *text)
{
	FILE *rdma = popen("rdma resource show " RDMA_DEVICE, "re");
	size_t length;

	CHECK(rdma, "rdma: %s", strerror(errno));
	length = fread(text, 1, TEXT - 1, rdma);
	text[length] = '\0';
	CHECK(!pclose(rdma) && strstr(text, " mr "), "rdma resource show: %s", text);
	return text;
}

static void demand_resources(const char *before)
{
	char now[TEXT];

	AWAIT(!strcmp(read_resources(now), before), SETTLE_MS * tap_slowness(), "was: %s, is: %s",
	      before, now);
}

/* The process is killed; nothing of it stays with the device. */
static void process_killed(void)
{
	struct peerbar_buffer *buffer;
	char before[TEXT];
	struct stream *s;
	struct fixture f;
	int dmabufs;

	open_fixture(&f);
	read_resources(before);
	for (unsigned long i = 0; i < 4 * ROUNDS; i++) {
		dmabufs = leak_dmabufs();
		buffer = fixture_export(f.mem, MEM_BAR, BASE, STREAM_LENGTH, NC);
		s = stream_on(RDMA_DEVICE, buffer);
		stream_wait_for(s, i % 4);
		stream_kill(s);
		peerbar_buffer_close(buffer);
		CHECK(leak_dmabufs_back_to(dmabufs), "round %lu", i);
	}
	demand_resources(before);
	fixture_close(&f);
}

/* Closing the device stops the writes for good, whatever comes after. */
static void device_closed(void)
{
	struct peerbar_buffer *buffer;
	struct slice view;
	struct stream *s;
	struct fixture f;

	for (unsigned long i = 0; i < ROUNDS; i++) {
		open_fixture(&f);
		buffer = fixture_export(f.mem, MEM_BAR, BASE, STREAM_LENGTH, NC);
		s = stream_on(RDMA_DEVICE, buffer);
		stream_wait_for(s, i);
		peerbar_buffer_close(buffer);
		fixture_close(&f);
		open_fixture(&f);
		slice_open(&f, BASE, STREAM_LENGTH, NC, &view);
		pattern_fill(view.at, view.length, 1);
		CHECK_WC(stream_status(s), IBV_WC_REM_ACCESS_ERR);
		CHECK(pattern_matches(view.at, view.length, 1), "written after the close");
		slice_close(&view);
		stream_exit(s);
		fixture_close(&f);
	}
}

static bool is_stopped(const struct rdma_qp *qp)
{
	return work_state(qp) == IBV_QPS_ERR;
}

static bool has_completed(struct rdma_qp *qp)
{
	struct ibv_wc wc;

	return ibv_poll_cq(qp->cq, 1, &wc) == 1;
}

/* Messages whose completions nobody collects, until there is no room for another. */
static void overflow(struct loopback *l, const struct ibv_mr *mr)
{
	const struct rdma_op op = {.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
				   .local = (uintptr_t)l->mem.at,
				   .lkey = l->mem.mr->lkey,
				   .length = 8,
				   .remote = IOVA,
				   .rkey = mr->rkey};

	for (int left = l->owner.cq->cqe; left >= 0 && !is_stopped(&l->owner); left--) {
		CHECK_OK(rdma_post_receive(&l->owner, 0, 0, 0));
		CHECK_OK(rdma_post(&l->peer, &op));
		AWAIT(has_completed(&l->peer) || is_stopped(&l->owner), SETTLE_MS,
		      "neither written nor stopped");
	}
	CHECK(is_stopped(&l->owner), "the completion queue does not overflow");
}

/* What ends for want of a completion gives the region back, too. */
static void completions_overflow(void)
{
	struct peerbar_buffer *buffer;
	struct loopback l;
	struct fixture f;
	long long begin;
	struct ibv_mr *mr;

	open_fixture(&f);
	loopback_open(&l, AREA);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, AREA, NC);
	mr = loopback_register(&l, buffer, 0, AREA, IOVA);
	overflow(&l, mr);
	begin = clock_ms();
	CHECK_OK(-ibv_dereg_mr(mr));
	CHECK(clock_ms() - begin < LOOPBACK_END_MS, "took %lld ms", clock_ms() - begin);
	peerbar_buffer_close(buffer);
	loopback_close(&l);
	fixture_close(&f);
}

struct race {
	pthread_barrier_t start;
	struct ibv_mr *mr;
	uint32_t rkey;
	struct loopback *l;
	int ret;
};

static void *deregister(void *arg)
{
	struct race *race = arg;

	pthread_barrier_wait(&race->start);
	race->ret = -ibv_dereg_mr(race->mr);
	return NULL;
}

/* Writes until one fails: the key is dead, whoever was first. */
static void *write_on(void *arg)
{
	struct race *race = arg;
	struct loopback *l = race->l;
	int status = 0;

	pthread_barrier_wait(&race->start);
	while (!status)
		status = rdma_write(&l->peer, &l->mem, 0, STREAM_LENGTH, STREAM_IOVA, race->rkey);
	race->ret = status;
	return NULL;
}

/* For a moment that differs from round to round. */
static void spin(unsigned int turns)
{
	for (volatile unsigned int i = 0; i < turns; i++)
		;
}

static void race_open(struct race *race, struct loopback *l, struct ibv_mr *mr)
{
	CHECK(!pthread_barrier_init(&race->start, NULL, 2), "pthread_barrier_init");
	race->l = l;
	race->mr = mr;
	race->rkey = mr->rkey;
}

static void dereg_against_revoke(struct loopback *l, struct peerbar_buffer *buffer,
				 unsigned int round)
{
	struct ibv_mr *mr = loopback_register(l, buffer, 0, STREAM_LENGTH, STREAM_IOVA);
	struct race dereg, traffic;
	pthread_t a, b;

	race_open(&dereg, l, mr);
	race_open(&traffic, l, mr);
	CHECK(!pthread_create(&a, NULL, write_on, &traffic), "pthread_create");
	CHECK(!pthread_create(&b, NULL, deregister, &dereg), "pthread_create");
	pthread_barrier_wait(&traffic.start);
	pthread_barrier_wait(&dereg.start);
	spin(round % 40 * 500);
	CHECK_OK(peerbar_buffer_revoke(buffer));
	pthread_join(b, NULL);
	pthread_join(a, NULL);
	CHECK_RET(dereg.ret, 0);
	CHECK_WC(traffic.ret, IBV_WC_REM_ACCESS_ERR);
	pthread_barrier_destroy(&dereg.start);
	pthread_barrier_destroy(&traffic.start);
}

/*
 * The region is deregistered and its buffer revoked at the same time, in the
 * middle of writes. Both succeed, in whichever order they come.
 */
static void dereg_and_revoke(void)
{
	unsigned long rounds = tap_rounds(RACES, 0);
	struct peerbar_buffer *buffer;
	struct loopback l;
	struct fixture f;

	open_fixture(&f);
	loopback_open(&l, STREAM_LENGTH);
	for (unsigned int i = 0; i < rounds; i++) {
		buffer = fixture_export(f.mem, MEM_BAR, BASE, STREAM_LENGTH, NC);
		dereg_against_revoke(&l, buffer, i);
		loopback_reconnect(&l);
		peerbar_buffer_close(buffer);
	}
	loopback_close(&l);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"link_deleted", link_deleted, 120},
	{"netdev_deleted", netdev_deleted, 120},
	{"namespace_ends", namespace_ends, 120},
	{"process_killed", process_killed, 120},
	{"device_closed", device_closed},
	{"dereg_and_revoke", dereg_and_revoke, 120},
	{"completions_overflow", completions_overflow, 120},
};

TAP_MAIN(cases)
