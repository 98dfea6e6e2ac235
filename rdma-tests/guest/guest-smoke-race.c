// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Things that happen at the same time, for a moment each. What is looked for
 * is the kernel's opinion - lockdep, KASAN - and that every fault is the one
 * that a revocation promises.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "loopback.h"
#include "raw.h"

#define BASE	  MIB(1)
#define LENGTH	  KIB(64)
#define IOVA	  0x100000ULL
#define NEEDS	  (FIXTURE_MEM | NEED_SERIES)
#define MOMENT_MS 1500
#define TOUCHERS  2

static _Atomic int stop;

/* The careful kernel finds in one look what others need luck for. */
static long long moment_ms(void)
{
	return tap_slowness() > 1 ? 2 * MOMENT_MS : MOMENT_MS;
}

struct touching {
	volatile uint8_t *at;
	pid_t child[TOUCHERS];
};

/* Touches pages in turn; SIGBUS at the very address is the only fault. */
static void touch(void *arg)
{
	volatile uint8_t *at = arg;
	struct fault fault;
	uint32_t value;

	for (;;) {
		for (size_t i = 0; i < LENGTH; i += KIB(4)) {
			if (fault_read(at + i, &value, &fault))
				continue;
			CHECK(fault.signal == SIGBUS && fault.address == at + i,
			      "signal %d at %p, touched %p", fault.signal, (void *)fault.address,
			      (void *)(at + i));
		}
	}
}

static void touch_start(struct touching *t, volatile uint8_t *at)
{
	for (int i = 0; i < TOUCHERS; i++)
		t->child[i] = tap_fork(touch, (void *)at);
}

/* A toucher that has found something wrong has ended by itself. */
static void touch_stop(struct touching *t)
{
	for (int i = 0; i < TOUCHERS; i++) {
		int status;

		kill(t->child[i], SIGKILL);
		CHECK(waitpid(t->child[i], &status, 0) == t->child[i], "waitpid");
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		      "a toucher has ended with status %#x", status);
	}
}

/* Pages are touched in other processes while the buffer is revoked. */
static void touch_and_revoke(void)
{
	long long end = clock_ms() + moment_ms();
	struct touching touching;
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (int i = 0; clock_ms() < end; i++) {
		slice_open(&f, BASE, LENGTH, i % 2 ? WC : NC, &slice);
		touch_start(&touching, slice.at);
		demand_alive(slice.at);
		CHECK_OK(peerbar_buffer_revoke(slice.buffer));
		demand_revoked(slice.at);
		touch_stop(&touching);
		slice_close(&slice);
	}
	fixture_close(&f);
}

/* The same against resets and memory decode, which come and go. */
static void touch_and_reset(void)
{
	long long end = clock_ms() + moment_ms();
	struct touching touching;
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS | NEED_RESET);
	slice_open(&f, BASE, LENGTH, WC, &slice);
	touch_start(&touching, slice.at);
	while (clock_ms() < end) {
		CHECK_OK(raw_set_memory_decode(peerbar_device_fd(f.mem), 0));
		CHECK_OK(raw_set_memory_decode(peerbar_device_fd(f.mem), 1));
		CHECK_OK(peerbar_device_reset(f.mem));
		demand_alive(slice.at);
	}
	touch_stop(&touching);
	slice_close(&slice);
	fixture_close(&f);
}

struct worker {
	pthread_t thread;
	struct fixture *f;
	struct loopback *l;
	struct peerbar_buffer *buffer;
};

static void *map_and_unmap(void *arg)
{
	struct worker *w = arg;
	struct fault fault;
	uint32_t value;

	while (!atomic_load(&stop)) {
		void *at = NULL;
		int ret = try_mmap(peerbar_buffer_fd(w->buffer), LENGTH, PROT_READ | PROT_WRITE,
				   MAP_SHARED, 0, &at);

		CHECK(!ret || ret == -EAGAIN || ret == -ENODEV || ret == -EBUSY,
		      "mmap: %s", strerror(-ret));
		if (ret)
			continue;
		if (!fault_read(at, &value, &fault))
			CHECK(fault.signal == SIGBUS && fault.address == at, "signal %d",
			      fault.signal);
		munmap(at, LENGTH);
	}
	return NULL;
}

static void *set_types(void *arg)
{
	struct worker *w = arg;
	int fd = peerbar_buffer_fd(w->buffer);

	for (uint32_t i = 0; !atomic_load(&stop); i++) {
		int ret = raw_memattr(peerbar_device_fd(w->f->mem), fd, i % 2);

		CHECK(!ret || ret == -EBUSY, "memattr: %s", strerror(-ret));
	}
	return NULL;
}

static void *use_region(void *arg)
{
	struct worker *w = arg;
	uint8_t data[256];

	while (!atomic_load(&stop)) {
		CHECK_OK(raw_region_read(peerbar_device_fd(w->f->mem), MEM_BAR, BASE, data,
					 sizeof(data)));
		CHECK_OK(raw_region_write(peerbar_device_fd(w->f->mem), MEM_BAR, BASE, data,
					  sizeof(data)));
	}
	return NULL;
}

static void *register_and_deregister(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&stop)) {
		struct ibv_mr *mr = NULL;
		int ret = peerbar_reg_mr(w->buffer, w->l->rdma.pd, 0, LENGTH, IOVA, RDMA_ACCESS_ALL,
					 &mr);

		CHECK(!ret || ret == -ENODEV || ret == -EBUSY, "register: %s", strerror(-ret));
		if (!ret)
			ibv_dereg_mr(mr);
	}
	return NULL;
}

static void *write_remotely(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&stop)) {
		struct ibv_mr *mr = NULL;
		int ret = peerbar_reg_mr(w->buffer, w->l->rdma.pd, 0, LENGTH, IOVA, RDMA_ACCESS_ALL,
					 &mr);

		if (ret)
			continue;
		while (!ret && !atomic_load(&stop))
			ret = rdma_write(&w->l->peer, &w->l->mem, 0, LENGTH, IOVA, mr->rkey);
		CHECK(!ret || ret == IBV_WC_REM_ACCESS_ERR, "write: %s", rdma_status_name(ret));
		ibv_dereg_mr(mr);
		if (ret)
			loopback_reconnect(w->l);
	}
	return NULL;
}

typedef void *(*work_fn)(void *arg);

/* The works, each in a thread, until the buffer is revoked under them. */
static void one_round(struct fixture *f, struct loopback *l, const work_fn *works, size_t count,
		      int round)
{
	struct worker workers[8];
	struct slice slice;

	slice_open(f, BASE, LENGTH, NC, &slice);
	peerbar_unmap(slice.mapping);
	slice.mapping = NULL;
	atomic_store(&stop, 0);
	for (size_t i = 0; i < count; i++) {
		workers[i] = (struct worker){.f = f, .l = l, .buffer = slice.buffer};
		CHECK(!pthread_create(&workers[i].thread, NULL, works[i], &workers[i]),
		      "pthread_create");
	}
	usleep((useconds_t)(5000 + round * 7919 % 50000));
	if (round % 3 == 1)
		CHECK_OK(peerbar_device_reset(f->mem));
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	usleep(2000);
	atomic_store(&stop, 1);
	for (size_t i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	slice_close(&slice);
}

/* mmap, memory types and region access against revoke and reset. */
static void mapping_and_revoke(void)
{
	const work_fn works[] = {map_and_unmap, set_types, use_region};
	long long end = clock_ms() + moment_ms();
	struct fixture f;

	fixture_open(&f, NEEDS | NEED_RESET);
	for (int i = 0; clock_ms() < end; i++)
		one_round(&f, NULL, works, 3, i);
	fixture_close(&f);
}

/* Registering and RDMA against revoke and reset. */
static void regions_and_revoke(void)
{
	const work_fn works[] = {write_remotely, register_and_deregister, map_and_unmap};
	long long end = clock_ms() + moment_ms();
	struct loopback l;
	struct fixture f;

	fixture_open(&f, NEEDS | NEED_RESET);
	loopback_open(&l, LENGTH);
	for (int i = 0; clock_ms() < end; i++)
		one_round(&f, &l, works, 3, i);
	loopback_close(&l);
	fixture_close(&f);
}

/* The process is killed in the middle of everything. */
static void die_busy(void *arg)
{
	const work_fn works[] = {write_remotely, register_and_deregister, set_types};
	struct worker workers[3];
	struct loopback l;
	struct slice slice;
	struct fixture f;

	(void)arg;
	fixture_open(&f, NEEDS);
	loopback_open(&l, LENGTH);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	for (int i = 0; i < 3; i++) {
		workers[i] = (struct worker){.f = &f, .l = &l, .buffer = slice.buffer};
		CHECK(!pthread_create(&workers[i].thread, NULL, works[i], &workers[i]),
		      "pthread_create");
	}
	usleep(20000);
	kill(getpid(), SIGKILL);
}

static void killed(void)
{
	long long end = clock_ms() + moment_ms();

	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
	while (clock_ms() < end) {
		pid_t child = tap_fork(die_busy, NULL);
		int status;

		CHECK(waitpid(child, &status, 0) == child, "waitpid");
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
	}
}

static const struct tap_case cases[] = {
	{"touch_and_revoke", touch_and_revoke},
	{"touch_and_reset", touch_and_reset},
	{"mapping_and_revoke", mapping_and_revoke},
	{"regions_and_revoke", regions_and_revoke},
	{"killed", killed},
};

TAP_MAIN(cases)
