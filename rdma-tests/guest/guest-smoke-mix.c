// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Everything that can be done with a few buffers, by threads of one process
 * against each other: mapping, touching, moving, splitting, forking,
 * registering and RDMA, maps for DMA, access through the region, types,
 * revocation, resets, and in the end the device is closed under them. What is
 * looked for is the kernel's opinion (lockdep, KASAN), a fault that is none of
 * those that were promised, and data of another slice.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "loopback.h"
#include "raw.h"

#define SLICES	   4
#define BASE	   MIB(2)
#define LENGTH	   KIB(64)
#define IOVA	   0x100000ULL
#define NEEDS	   (FIXTURE_MEM | FIXTURE_REG | FIXTURE_QUIET | NEED_SERIES | NEED_IOVA | NEED_RESET)
#define ROUND_MS   1500
#define NORMAL_MS  4500
#define SOAK_MS	   600000
#define MOST_TESTS 16
#define USERS	   4
#define OWNERS	   2

struct slot {
	pthread_rwlock_t lock; /* for writing: the descriptor is replaced */
	int dmabuf;
};

struct actor {
	pthread_t thread;
	struct mix *mix;
	unsigned int seed;
	_Atomic unsigned long successes;
};

struct mix {
	struct fixture f;
	struct slot slots[SLICES];
	struct actor *users;
	_Atomic bool owner_stops;
	_Atomic bool stop;
};

static unsigned int dice(struct actor *a, unsigned int sides)
{
	return (unsigned int)rand_r(&a->seed) % sides;
}

/* Each word of a slice, whoever writes it. */
static uint32_t tag(unsigned int slice)
{
	return 0x51ce0000u + slice * 0x01010101u;
}

static bool among(int ret, const int *errors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ret == -errors[i])
			return true;
	return !ret;
}

/* 0, or one of the errnos that are named. */
#define DEMAND(ret, what, ...)                                                                   \
	do {                                                                                     \
		const int errors_[] = {__VA_ARGS__};                                             \
		CHECK(among(ret, errors_, sizeof(errors_) / sizeof(errors_[0])), "%s: %s", what, \
		      strerror(-(ret)));                                                         \
	} while (0)

/* A descriptor of one's own for a slice, whatever becomes of the slot's. */
static int slot_get(struct mix *m, unsigned int slice)
{
	int fd;

	pthread_rwlock_rdlock(&m->slots[slice].lock);
	fd = dup(m->slots[slice].dmabuf);
	pthread_rwlock_unlock(&m->slots[slice].lock);
	CHECK(fd >= 0, "dup: %s", strerror(errno));
	return fd;
}

static int export(struct mix *m, unsigned int slice)
{
	const struct raw_range range = {BASE + slice * LENGTH, LENGTH};
	int fd = raw_export(peerbar_device_fd(m->f.mem), MEM_BAR, 0, &range, 1);

	CHECK(fd >= 0, "export: %s", strerror(-fd));
	return fd;
}

/* Touching, in all its forms -------------------------------------------------- */

struct view {
	uint8_t *at;
	size_t length;
	unsigned int slice;
};

static void touch(struct actor *a, const struct view *v)
{
	uint8_t *at = v->at + dice(a, (unsigned int)v->length / 4) * 4;
	struct fault fault;
	uint32_t value;

	if (fault_read(at, &value, &fault)) {
		CHECK(value == tag(v->slice), "slice %u holds %#x", v->slice, value);
		a->successes++;
	} else {
		CHECK(fault.signal == SIGBUS && fault.address == at, "signal %d at %p, touched %p",
		      fault.signal, (void *)fault.address, (void *)at);
	}
	if (!fault_write(at, tag(v->slice), &fault))
		CHECK(fault.signal == SIGBUS && fault.address == at, "signal %d at %p, touched %p",
		      fault.signal, (void *)fault.address, (void *)at);
}

static void move(struct actor *a, struct view *v)
{
	void *at = mremap(v->at, v->length, v->length, MREMAP_MAYMOVE | MREMAP_FIXED,
			  mmap(NULL, v->length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	CHECK(at != MAP_FAILED, "mremap: %s", strerror(errno));
	v->at = at;
	touch(a, v);
}

static void shorten(struct actor *a, struct view *v)
{
	size_t half = v->length / 2 & ~(size_t)4095;

	if (!half)
		return;
	CHECK_SYS(munmap(v->at + half, v->length - half), 0);
	v->length = half;
	touch(a, v);
}

/* Three areas in place of one, and one again. */
static void split(struct actor *a, struct view *v)
{
	if (v->length < 3 * KIB(4))
		return;
	CHECK_SYS(mprotect(v->at + KIB(4), KIB(4), PROT_NONE), 0);
	touch(a, &(struct view){v->at, KIB(4), v->slice});
	CHECK_SYS(mprotect(v->at + KIB(4), KIB(4), PROT_READ | PROT_WRITE), 0);
}

static void fork_off(struct actor *a, struct view *v)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0, "fork: %s", strerror(errno));
	if (!child) {
		touch(a, v);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status, "child: %#x", status);
}

static void use_view(struct actor *a, struct view *v)
{
	for (unsigned int i = dice(a, MOST_TESTS); i; i--) {
		switch (dice(a, 16)) {
		case 0:
			fork_off(a, v);
			break;
		case 1:
			shorten(a, v);
			break;
		case 2:
			move(a, v);
			break;
		case 3:
			split(a, v);
			break;
		default:
			touch(a, v);
		}
	}
}

static void *map_and_touch(void *arg)
{
	struct actor *a = arg;

	while (!atomic_load(&a->mix->stop)) {
		struct view v = {.slice = dice(a, SLICES)};
		int fd = slot_get(a->mix, v.slice), ret;
		size_t from = dice(a, 2) * KIB(16);
		void *at;

		v.length = LENGTH - from;
		ret = try_mmap(fd, v.length, PROT_READ | PROT_WRITE, MAP_SHARED, (off_t)from, &at);
		DEMAND(ret, "mmap", EAGAIN, ENODEV, EBUSY);
		close(fd);
		if (ret)
			continue;
		v.at = at;
		use_view(a, &v);
		CHECK_SYS(munmap(v.at, v.length), 0);
	}
	return NULL;
}

/* RDMA and DMA ---------------------------------------------------------------- */

static void write_remotely(struct actor *a, struct loopback *l, struct ibv_mr *mr)
{
	int status = 0;

	for (unsigned int i = dice(a, MOST_TESTS); i && !status; i--) {
		status = rdma_write(&l->peer, &l->mem, 0, KIB(4), IOVA, mr->rkey);
		a->successes += !status;
	}
	CHECK(!status || status == IBV_WC_REM_ACCESS_ERR, "write: %s", rdma_status_name(status));
	if (status)
		loopback_reconnect(l);
}

static void *register_and_write(void *arg)
{
	struct actor *a = arg;
	struct loopback l;

	loopback_open(&l, LENGTH);
	while (!atomic_load(&a->mix->stop)) {
		unsigned int slice = dice(a, SLICES);
		int fd = slot_get(a->mix, slice);
		struct ibv_mr *mr;

		mr = ibv_reg_dmabuf_mr(l.rdma.pd, 0, LENGTH, IOVA, fd, RDMA_ACCESS_ALL);
		DEMAND(mr ? 0 : -errno, "ibv_reg_dmabuf_mr", ENODEV);
		close(fd);
		if (!mr)
			continue;
		for (size_t i = 0; i < LENGTH / 4; i++)
			((uint32_t *)l.mem.at)[i] = tag(slice);
		write_remotely(a, &l, mr);
		CHECK_OK(-ibv_dereg_mr(mr));
	}
	loopback_close(&l);
	return NULL;
}

static void *map_for_dma(void *arg)
{
	struct actor *a = arg;
	struct mix *m = a->mix;

	while (!atomic_load(&m->stop)) {
		int fd = slot_get(m, dice(a, SLICES)), ret;
		struct peerbar_iova_map *map;
		struct peerbar_buffer *buffer;

		CHECK_OK(peerbar_buffer_import(m->f.pb, fd, &buffer));
		ret = peerbar_iova_map(m->f.reg, buffer, 0, LENGTH, NULL, &map);
		DEMAND(ret, "peerbar_iova_map", ENODEV);
		a->successes += !ret;
		if (!ret)
			peerbar_iova_unmap(map);
		peerbar_buffer_close(buffer);
		close(fd);
	}
	return NULL;
}

/* The owner ------------------------------------------------------------------- */

static void *use_region(void *arg)
{
	struct actor *a = arg;
	int device = peerbar_device_fd(a->mix->f.mem);

	while (!atomic_load(&a->mix->owner_stops)) {
		unsigned int slice = dice(a, SLICES);
		uint64_t at = BASE + slice * LENGTH + dice(a, LENGTH / 4) * 4;
		uint32_t value = tag(slice);
		int ret;

		ret = raw_region_write(device, MEM_BAR, at, &value, sizeof(value));
		DEMAND(ret, "write", EIO);
		ret = raw_region_read(device, MEM_BAR, at, &value, sizeof(value));
		DEMAND(ret, "read", EIO);
		CHECK(ret || value == tag(slice), "slice %u holds %#x", slice, value);
		a->successes += !ret;
	}
	return NULL;
}

static void replace(struct mix *m, unsigned int slice)
{
	struct slot *slot = &m->slots[slice];

	pthread_rwlock_wrlock(&slot->lock);
	close(slot->dmabuf);
	slot->dmabuf = export(m, slice);
	pthread_rwlock_unlock(&slot->lock);
}

static void blink(struct mix *m)
{
	int device = peerbar_device_fd(m->f.mem);

	CHECK_OK(raw_set_memory_decode(device, 0));
	CHECK_OK(raw_set_memory_decode(device, 1));
}

/* Now and then, or nobody would ever get to the end of what takes several steps. */
static void let_work(struct actor *a)
{
	struct actor *user = &a->mix->users[dice(a, USERS)];
	unsigned long enough = atomic_load(&user->successes) + 1 + dice(a, 2);

	if (dice(a, 8))
		return;
	while (atomic_load(&user->successes) < enough && !atomic_load(&a->mix->owner_stops))
		sched_yield();
}

static void *own(void *arg)
{
	struct actor *a = arg;
	struct mix *m = a->mix;
	int device = peerbar_device_fd(m->f.mem);

	while (!atomic_load(&m->owner_stops)) {
		unsigned int slice = dice(a, SLICES);
		int dmabuf = m->slots[slice].dmabuf; /* only we replace it */

		let_work(a);
		switch (dice(a, 8)) {
		case 0:
			CHECK_OK(raw_revoke(device, dmabuf));
			replace(m, slice);
			a->successes++;
			break;
		case 1:
			replace(m, slice);
			break;
		case 2:
			CHECK_OK(peerbar_device_reset(m->f.mem));
			break;
		case 3:
			blink(m);
			break;
		default:
			CHECK_OK(raw_memattr(device, dmabuf, dice(a, 2)));
		}
	}
	return NULL;
}

/* All of them ------------------------------------------------------------------ */

struct act {
	const char *name;
	void *(*run)(void *arg);
};

static const struct act of_users[USERS] = {
	{"touching", map_and_touch},
	{"touching", map_and_touch},
	{"RDMA", register_and_write},
	{"DMA maps", map_for_dma},
};
static const struct act of_owner[OWNERS] = {
	{"region access", use_region},
	{"revocation", own},
};

static void start(struct mix *m, struct actor *actors, const struct act *acts, size_t count,
		  unsigned int seed)
{
	for (size_t i = 0; i < count; i++) {
		actors[i].mix = m;
		actors[i].seed = seed + (unsigned int)i;
		CHECK(!pthread_create(&actors[i].thread, NULL, acts[i].run, &actors[i]),
		      "pthread_create");
	}
}

static void join(struct actor *actors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pthread_join(actors[i].thread, NULL);
}

/* Nobody is kept from his work by the others all the time. */
static void wait_for_successes(struct actor *actors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		while (!atomic_load(&actors[i].successes))
			clock_pause();
}

static void tell_successes(struct actor *actors, const struct act *acts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		tap_diag("%s: %lu", acts[i].name, atomic_load(&actors[i].successes));
}

static void fill(struct mix *m)
{
	struct slice all;

	slice_open(&m->f, BASE, SLICES * LENGTH, NC, &all);
	for (size_t at = 0; at < all.length; at += 4)
		peerbar_write32(all.at + at, tag((unsigned int)(at / LENGTH)));
	slice_close(&all);
}

static void mix_open(struct mix *m)
{
	memset(m, 0, sizeof(*m));
	fixture_open(&m->f, NEEDS);
	fill(m);
	for (unsigned int i = 0; i < SLICES; i++) {
		pthread_rwlock_init(&m->slots[i].lock, NULL);
		m->slots[i].dmabuf = export(m, i);
	}
}

static void mix_close(struct mix *m)
{
	for (unsigned int i = 0; i < SLICES; i++) {
		close(m->slots[i].dmabuf);
		pthread_rwlock_destroy(&m->slots[i].lock);
	}
	fixture_close(&m->f);
}

static void pause_ms(long long ms)
{
	for (long long end = clock_ms() + ms; clock_ms() < end;)
		clock_pause();
}

static void one_round(struct mix *m, struct actor *users, struct actor *owners, unsigned int seed)
{
	mix_open(m);
	m->users = users;
	start(m, users, of_users, USERS, seed);
	start(m, owners, of_owner, OWNERS, seed + USERS);
	pause_ms(ROUND_MS);
	wait_for_successes(users, USERS);
	wait_for_successes(owners, OWNERS);
	atomic_store(&m->owner_stops, true);
	join(owners, OWNERS);
	/* The users go on with what they have. */
	peerbar_device_close(m->f.mem);
	m->f.mem = NULL;
	pause_ms(ROUND_MS / 10);
	atomic_store(&m->stop, true);
	join(users, USERS);
	mix_close(m);
}

static void everything_at_once(void)
{
	long long end = clock_ms() + tap_moment_ms(NORMAL_MS, SOAK_MS);
	static struct actor users[USERS], owners[OWNERS];
	static struct mix m;

	if (fixture_is_plain_kernel())
		tap_skip("this kernel's rxe cannot register dma-bufs");
	for (unsigned int seed = 1; clock_ms() < end; seed += USERS + OWNERS)
		one_round(&m, users, owners, seed);
	tell_successes(users, of_users, USERS);
	tell_successes(owners, of_owner, OWNERS);
}

static const struct tap_case cases[] = {
	{"everything_at_once", everything_at_once, 120},
};

TAP_MAIN(cases)
