// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Random calls, good ones and bad ones, against a model of what each must do.
 * Surviving is not enough: a call that the model allows must work, another
 * must fail with one of the errnos that fit; each page holds a number, so that
 * a look at a wrong one is noticed; each mapping has the type it was made with.
 *
 * The sequence follows from a seed, which is printed and can be given in
 * PEERBAR_SEED.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "fixture.h"
#include "raw.h"

#define BASE	    MIB(4) /* where a huge page could start */
#define WINDOW	    MIB(4)
#define PAGE	    4096u
#define PAGES	    (WINDOW / PAGE)
#define BUFFERS	    8
#define MAPS	    12
#define RANGES	    6
#define NEEDS	    (FIXTURE_MEM | FIXTURE_REG | FIXTURE_QUIET | NEED_SERIES | NEED_RESET)
#define NORMAL_MS   6000
#define SOAK_MS	    600000
#define TYPE_CHECKS 25 /* each takes a while */
#define MOST_ERRORS 8

struct buffer {
	int fd; /* -1: closed, but mapped */
	int access;
	uint32_t nr;
	struct raw_range ranges[RANGES];
	uint64_t length;
	enum peerbar_memattr memattr;
	bool dead; /* revoked for good */
	/* Whether its pages have a type because of it: it is mapped, or lends them. */
	bool claimed;
	enum peerbar_memattr claim;
	bool used;
};

struct map {
	volatile uint8_t *at; /* NULL: unused */
	size_t length;
	uint64_t from;	       /* in the buffer, or in the BAR */
	struct buffer *buffer; /* NULL: a mapping of the region */
	enum peerbar_memattr type;
	int protection;
};

struct fuzz {
	struct fixture f;
	int device;
	uint64_t region; /* offset of the BAR in the device's descriptor */
	struct buffer buffers[BUFFERS];
	struct map maps[MAPS];
	int others[3]; /* descriptors that are no buffer of this device */
	bool decode;
	uint64_t state;
	unsigned long steps, worked, refused, looks, faults;
	unsigned long checks[2]; /* of either type */
};

/* The errnos with which a call may fail; none: it must not. */
struct verdict {
	int error[MOST_ERRORS];
	unsigned int count;
	bool may_work;
};

static uint32_t dice(struct fuzz *z, uint32_t sides)
{
	z->state ^= z->state << 13;
	z->state ^= z->state >> 7;
	z->state ^= z->state << 17;
	return (uint32_t)((z->state >> 16) % sides);
}

static bool chance(struct fuzz *z, uint32_t percent)
{
	return dice(z, 100) < percent;
}

static void forbid(struct verdict *v, bool wrong, int error)
{
	if (wrong)
		v->error[v->count++] = error;
}

static void judge(struct fuzz *z, const struct verdict *v, int ret, const char *what)
{
	bool allowed = ret >= 0 && (!v->count || v->may_work);

	for (unsigned int i = 0; i < v->count && ret < 0; i++)
		allowed |= ret == -v->error[i];
	CHECK(allowed, "step %lu: %s: %s; %u errors are allowed, the first is %s", z->steps, what,
	      ret < 0 ? strerrorname_np(-ret) : "worked", v->count,
	      v->count ? strerrorname_np(v->error[0]) : "none");
	if (ret < 0)
		z->refused++;
	else
		z->worked++;
}

/* What is where ---------------------------------------------------------------- */

static uint32_t number_of(uint64_t at)
{
	return 0x9a6e0000u | (uint32_t)((at - BASE) / PAGE);
}

/* Where in the BAR a place in a buffer is. */
static uint64_t place_in_bar(const struct buffer *b, uint64_t at)
{
	uint32_t i = 0;

	while (at >= b->ranges[i].length)
		at -= b->ranges[i++].length;
	return b->ranges[i].offset + at;
}

static uint64_t place_of(const struct map *m, size_t at)
{
	return m->buffer ? place_in_bar(m->buffer, m->from + at) : m->from + at;
}

static bool has_maps(const struct fuzz *z, const struct buffer *b)
{
	for (int i = 0; i < MAPS; i++)
		if (z->maps[i].at && z->maps[i].buffer == b)
			return true;
	return false;
}

/* After one of its mappings, its descriptor, its attribute or its life has gone. */
static void forget_buffer(struct fuzz *z, struct buffer *b)
{
	if (!b)
		return;
	if (b->fd < 0 && !has_maps(z, b))
		b->used = false;
	if (!b->used || b->dead || (b->memattr == NC && !has_maps(z, b)))
		b->claimed = false;
}

static void mark(uint8_t *pages, uint64_t offset, uint64_t length)
{
	for (uint64_t page = (offset - BASE) / PAGE; length; page++, length -= PAGE)
		pages[page] = 1;
}

static void mark_buffer(uint8_t *pages, const struct buffer *b)
{
	for (uint32_t i = 0; i < b->nr; i++)
		mark(pages, b->ranges[i].offset, b->ranges[i].length);
}

static void mark_claims(const struct fuzz *z, enum peerbar_memattr type, uint8_t *pages)
{
	for (int i = 0; i < BUFFERS; i++)
		if (z->buffers[i].claimed && z->buffers[i].claim == type)
			mark_buffer(pages, &z->buffers[i]);
}

static bool alive(const struct fuzz *z, const struct map *m, size_t at)
{
	uint8_t lent[PAGES] = {0};

	if (m->buffer)
		return z->decode && !m->buffer->dead;
	mark_claims(z, WC, lent);
	return z->decode && !lent[(place_of(m, at) - BASE) / PAGE];
}

static bool overlap(const uint8_t *a, const uint8_t *b)
{
	for (uint32_t i = 0; i < PAGES; i++)
		if (a[i] && b[i])
			return true;
	return false;
}

/* Never two types for a page. A buffer has all of its pages, or none. */
static void forbid_conflict(const struct fuzz *z, const struct buffer *b, enum peerbar_memattr type,
			    struct verdict *v)
{
	uint8_t own[PAGES] = {0}, others[PAGES] = {0};

	if (b->dead || (b->claimed && b->claim == type))
		return;
	mark_buffer(own, b);
	mark_claims(z, type == WC ? NC : WC, others);
	forbid(v, overlap(own, others), EBUSY);
}

static void claim(struct buffer *b, enum peerbar_memattr type)
{
	if (b->dead)
		return;
	b->claimed = true;
	b->claim = type;
}

/* Choosing ------------------------------------------------------------------------ */

static struct buffer *any_buffer(struct fuzz *z)
{
	struct buffer *b = &z->buffers[dice(z, BUFFERS)];

	return b->used && b->fd >= 0 ? b : NULL;
}

static struct map *any_map(struct fuzz *z)
{
	struct map *m = &z->maps[dice(z, MAPS)];

	return m->at ? m : NULL;
}

static struct map *free_map(struct fuzz *z)
{
	for (int i = 0; i < MAPS; i++)
		if (!z->maps[i].at)
			return &z->maps[i];
	return NULL;
}

static uint32_t some_pages(struct fuzz *z, uint32_t most)
{
	if (most > 16 && chance(z, 97))
		most = 16;
	return 1 + dice(z, most);
}

/* Numbers that are wrong in their own ways. */
static uint64_t odd_number(struct fuzz *z)
{
	const uint64_t odd[] = {0,	    1,		PAGE - 1,	 PAGE + 1,
				1ULL << 31, 1ULL << 32, 1ULL << 62,	 1ULL << 63,
				UINT64_MAX, ~4095ULL,	z->f.mem_length, z->f.mem_length + PAGE};

	return odd[dice(z, sizeof(odd) / sizeof(odd[0]))];
}

/* Steps ------------------------------------------------------------------------------ */

struct export
{
	uint32_t bar;
	uint32_t open_flags;
	uint32_t flags;
	uint32_t nr;
	struct raw_range ranges[RANGES];
};

static void choose_export(struct fuzz *z, struct export *e)
{
	const uint32_t access[] = {O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY};

	memset(e, 0, sizeof(*e));
	e->bar = chance(z, 95) ? MEM_BAR : dice(z, 12);
	e->open_flags = access[dice(z, 5)] | O_CLOEXEC;
	e->flags = chance(z, 97) ? 0 : 1u << dice(z, 32);
	e->nr = chance(z, 97) ? 1 + dice(z, chance(z, 50) ? 1 : RANGES) : 0;
	for (uint32_t i = 0; i < e->nr; i++) {
		uint32_t pages = some_pages(z, PAGES);

		e->ranges[i].length = (uint64_t)pages * PAGE;
		e->ranges[i].offset = BASE + (uint64_t)dice(z, PAGES - pages + 1) * PAGE;
		if (chance(z, 1))
			e->ranges[i].length = odd_number(z);
		if (chance(z, 1))
			e->ranges[i].offset = odd_number(z);
	}
}

static bool in_window(const struct raw_range *r)
{
	return r->length && r->offset >= BASE && r->length <= WINDOW &&
	       r->offset - BASE <= WINDOW - r->length && !(r->offset % PAGE) && !(r->length % PAGE);
}

static bool in_bar(const struct fuzz *z, const struct raw_range *r)
{
	return r->length && r->length <= z->f.mem_length &&
	       r->offset <= z->f.mem_length - r->length && !(r->offset % PAGE) &&
	       !(r->length % PAGE);
}

static bool all_ranges(const struct fuzz *z, const struct export *e, bool window)
{
	for (uint32_t i = 0; i < e->nr; i++)
		if (window ? !in_window(&e->ranges[i]) : !in_bar(z, &e->ranges[i]))
			return false;
	return true;
}

static void lend(struct fuzz *z, struct buffer *b)
{
	struct verdict v = {.count = 0};
	int ret;

	forbid_conflict(z, b, WC, &v);
	ret = raw_memattr(z->device, b->fd, WC);
	judge(z, &v, ret, "memattr of a new buffer");
	if (ret)
		return;
	b->memattr = WC;
	claim(b, WC);
}

static void adopt(struct fuzz *z, const struct export *e, int fd)
{
	for (int i = 0; i < BUFFERS; i++) {
		struct buffer *b = &z->buffers[i];

		if (b->used)
			continue;
		*b = (struct buffer){.fd = fd, .nr = e->nr, .used = true};
		b->access = (int)(e->open_flags & O_ACCMODE);
		memcpy(b->ranges, e->ranges, sizeof(b->ranges));
		for (uint32_t r = 0; r < e->nr; r++)
			b->length += e->ranges[r].length;
		/* As many of either type, or the first to come shut out the other. */
		if (dice(z, 2))
			lend(z, b);
		return;
	}
	close(fd);
}

static void step_export(struct fuzz *z)
{
	struct verdict v = {.count = 0};
	struct export e;
	uint32_t size;
	bool short_size = chance(z, 2);
	int ret;

	choose_export(z, &e);
	size = (uint32_t)(RAW_FEATURE_HEADER + sizeof(e));
	if (short_size)
		size = RAW_FEATURE_HEADER + dice(z, 16);
	/* 1 is for importers only, of which there are none here. */
	forbid(&v, short_size || !e.nr || e.flags > 1, EINVAL);
	forbid(&v, e.bar != MEM_BAR, ENODEV);
	forbid(&v, e.bar != MEM_BAR, EINVAL);
	forbid(&v, !all_ranges(z, &e, false), EINVAL);
	forbid(&v, !all_ranges(z, &e, false), EOVERFLOW);
	ret = raw_feature(z->device, size, RAW_FEATURE_GET | raw_dma_buf, &e, sizeof(e));
	judge(z, &v, ret, "export");
	if (ret >= 0 && all_ranges(z, &e, true))
		adopt(z, &e, ret);
	else if (ret >= 0)
		close(ret);
}

static void step_close(struct fuzz *z)
{
	struct buffer *b = any_buffer(z);

	if (!b)
		return;
	close(b->fd);
	b->fd = -1;
	forget_buffer(z, b);
}

/* A descriptor for a feature that takes one; the buffer if it is one of ours. */
static int choose_descriptor(struct fuzz *z, struct buffer **b, struct verdict *v)
{
	const int errors[] = {EBADF, EINVAL, ENODEV};
	uint32_t which;

	*b = chance(z, 80) ? any_buffer(z) : NULL;
	if (*b)
		return (*b)->fd;
	which = dice(z, 3);
	forbid(v, true, errors[which]);
	return z->others[which];
}

static uint32_t choose_flags(struct fuzz *z, struct verdict *v, bool *probe)
{
	*probe = chance(z, 3);
	if (*probe)
		return RAW_FEATURE_PROBE | RAW_FEATURE_SET;
	if (chance(z, 97))
		return RAW_FEATURE_SET;
	forbid(v, true, EINVAL);
	return chance(z, 50) ? RAW_FEATURE_GET : RAW_FEATURE_SET | 1u << (19 + dice(z, 13));
}

static uint32_t choose_size(struct fuzz *z, struct verdict *v, uint32_t right)
{
	bool wrong = chance(z, 3);

	forbid(v, wrong, EINVAL);
	return RAW_FEATURE_HEADER + (wrong ? dice(z, right) : right);
}

static void step_revoke(struct fuzz *z)
{
	struct verdict v = {.count = 0};
	struct buffer *b;
	uint32_t flags, size;
	bool probe;
	int fd, ret;

	fd = choose_descriptor(z, &b, &v);
	forbid(&v, b && b->dead, EBADFD);
	size = choose_size(z, &v, sizeof(fd));
	flags = choose_flags(z, &v, &probe);
	v.may_work = probe;
	ret = raw_feature(z->device, size, flags | raw_dma_buf_revoke, &fd, sizeof(fd));
	judge(z, &v, ret, "revoke");
	if (ret || probe)
		return;
	b->dead = true;
	forget_buffer(z, b);
}

static void step_memattr(struct fuzz *z)
{
	struct {
		int32_t fd;
		uint32_t memattr;
	} payload = {.memattr = chance(z, 95) ? dice(z, 2) : 2 + dice(z, 1000)};
	struct verdict v = {.count = 0};
	struct buffer *b;
	uint32_t flags, size;
	bool probe;
	int ret;

	forbid(&v, payload.memattr > WC, ENOENT);
	payload.fd = choose_descriptor(z, &b, &v);
	if (b && payload.memattr == WC)
		forbid_conflict(z, b, WC, &v);
	size = choose_size(z, &v, sizeof(payload));
	flags = choose_flags(z, &v, &probe);
	v.may_work = probe;
	ret = raw_feature(z->device, size, flags | raw_dma_buf_memattr, &payload, sizeof(payload));
	judge(z, &v, ret, "memattr");
	if (ret || probe)
		return;
	b->memattr = (enum peerbar_memattr)payload.memattr;
	if (b->memattr == WC)
		claim(b, WC);
	forget_buffer(z, b);
}

/* No meaning at all; only the descriptors must not be ours by chance. */
static void step_garbage(struct fuzz *z)
{
	const uint32_t features[] = {raw_dma_buf, raw_dma_buf_revoke, raw_dma_buf_memattr};
	uint32_t payload[32], flags = dice(z, 1u << 16) << 16;
	int ret;

	for (int i = 0; i < 32; i++)
		payload[i] = chance(z, 50) ? dice(z, 4) : (uint32_t)odd_number(z);
	payload[0] |= 0x10000;
	ret = raw_feature(z->device, dice(z, 160), flags | features[dice(z, 3)], payload,
			  sizeof(payload));
	CHECK(ret <= 0, "step %lu: garbage made a descriptor, %d", z->steps, ret);
}

/* The address is as good as the place for huge pages, or it is any. */
static void *choose_address(struct fuzz *z, size_t length, uint64_t place)
{
	uint8_t *room = mmap(NULL, length + MIB(4), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t at = ((uintptr_t)room + MIB(2) - 1) & ~(uintptr_t)(MIB(2) - 1);

	CHECK(room != MAP_FAILED, "mmap: %s", strerror(errno));
	munmap(room, length + MIB(4));
	return (void *)(chance(z, 75) ? at + place % MIB(2) : (uintptr_t)room);
}

static int do_map(struct fuzz *z, struct map *m, int fd, int flags, uint64_t offset)
{
	void *address = choose_address(z, m->length, m->buffer ? m->from : m->from - BASE);
	void *at = mmap(address, m->length, m->protection, flags | MAP_FIXED, fd, (off_t)offset);

	if (at == MAP_FAILED)
		return -errno;
	m->at = at;
	return 0;
}

static int choose_protection(struct fuzz *z)
{
	const int protections[] = {PROT_NONE, PROT_READ, PROT_WRITE};

	return chance(z, 70) ? PROT_READ | PROT_WRITE : protections[dice(z, 3)];
}

static int choose_map_flags(struct fuzz *z, struct verdict *v)
{
	bool private = chance(z, 3);

	forbid(v, private, EINVAL);
	if (private)
		return MAP_PRIVATE;
	return (chance(z, 80) ? MAP_SHARED : MAP_SHARED_VALIDATE) |
	       (chance(z, 10) ? MAP_POPULATE : 0) | (chance(z, 5) ? MAP_NORESERVE : 0);
}

static void step_map(struct fuzz *z)
{
	struct map m = {.buffer = any_buffer(z)}, *slot = free_map(z);
	struct verdict v = {.count = 0};
	struct buffer *b = m.buffer;
	uint32_t pages;
	bool outside;
	int ret, flags;

	if (!b || !slot)
		return;
	pages = (uint32_t)(b->length / PAGE);
	m.length = (size_t)some_pages(z, pages) * PAGE;
	m.from = (uint64_t)dice(z, (uint32_t)(pages - m.length / PAGE + 1)) * PAGE;
	m.type = b->memattr;
	m.protection = choose_protection(z);
	outside = chance(z, 3);
	if (outside)
		m.from = b->length - m.length + PAGE;
	flags = choose_map_flags(z, &v);
	forbid(&v, outside, EINVAL);
	forbid(&v, b->access == O_WRONLY, EACCES);
	forbid(&v, b->access == O_RDONLY && m.protection & PROT_WRITE, EACCES);
	forbid(&v, b->dead, ENODEV);
	forbid(&v, !b->dead && !z->decode, EAGAIN);
	forbid_conflict(z, b, m.type, &v);
	ret = do_map(z, &m, b->fd, flags, m.from);
	judge(z, &v, ret, "mmap");
	if (ret)
		return;
	claim(b, m.type);
	*slot = m;
}

static void step_map_region(struct fuzz *z)
{
	struct map m = {.type = NC}, *slot = free_map(z);
	struct verdict v = {.count = 0};
	int ret, flags;

	if (!slot)
		return;
	m.length = (size_t)some_pages(z, PAGES) * PAGE;
	m.from = BASE + (uint64_t)dice(z, (uint32_t)(PAGES - m.length / PAGE + 1)) * PAGE;
	m.protection = choose_protection(z);
	flags = choose_map_flags(z, &v);
	ret = do_map(z, &m, z->device, flags, z->region + m.from);
	judge(z, &v, ret, "mmap of the region");
	if (!ret)
		*slot = m;
}

/* A part at either end, or all of it. */
static void step_unmap(struct fuzz *z)
{
	struct map *m = any_map(z);
	size_t part;

	if (!m)
		return;
	part = (size_t)some_pages(z, (uint32_t)(m->length / PAGE)) * PAGE;
	if (chance(z, 50) || part == m->length) {
		CHECK_SYS(munmap((void *)m->at, m->length), 0);
		m->at = NULL;
		forget_buffer(z, m->buffer);
	} else if (chance(z, 50)) {
		CHECK_SYS(munmap((void *)m->at, part), 0);
		m->at += part;
		m->from += part;
		m->length -= part;
	} else {
		CHECK_SYS(munmap((void *)(m->at + m->length - part), part), 0);
		m->length -= part;
	}
}

static void step_move(struct fuzz *z)
{
	struct map *m = any_map(z);
	void *to, *at;

	if (!m)
		return;
	if (chance(z, 20)) {
		at = mremap((void *)m->at, m->length, m->length + PAGE, MREMAP_MAYMOVE);
		CHECK(at == MAP_FAILED && errno == EFAULT, "step %lu: it grew", z->steps);
		return;
	}
	to = choose_address(z, m->length, m->from);
	at = mremap((void *)m->at, m->length, m->length, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	CHECK(at == to, "step %lu: mremap: %s", z->steps, strerror(errno));
	m->at = at;
}

static bool as_promised(const struct fault *fault, const volatile void *at, bool permitted)
{
	return fault->signal == (permitted ? SIGBUS : SIGSEGV) && fault->address == at;
}

static void look_at_type(struct fuzz *z, const struct map *m, const volatile uint8_t *at)
{
	if (z->checks[m->type] >= TYPE_CHECKS || !chance(z, 5))
		return;
	z->checks[m->type]++;
	demand_memtype(at, m->type == WC ? PEERBAR_MEMTYPE_WC : PEERBAR_MEMTYPE_UC_MINUS);
}

static void step_touch(struct fuzz *z)
{
	struct map *m = any_map(z);
	volatile uint8_t *at;
	struct fault fault;
	uint32_t value, number;
	size_t offset;
	bool reached;

	if (!m)
		return;
	offset = (size_t)dice(z, (uint32_t)(m->length / 4)) * 4;
	at = m->at + offset;
	number = number_of(place_of(m, offset));
	reached = alive(z, m, offset);
	if (fault_read(at, &value, &fault)) {
		CHECK(reached && m->protection, "step %lu: %p can be read", z->steps, (void *)at);
		CHECK(value == number, "step %lu: page %#x where %#x should be", z->steps, value,
		      number);
		look_at_type(z, m, at);
		z->looks++;
	} else {
		CHECK(as_promised(&fault, at, m->protection) && !(reached && m->protection),
		      "step %lu: read: signal %d at %p, touched %p", z->steps, fault.signal,
		      (void *)fault.address, (void *)at);
		z->faults++;
	}
	if (fault_write(at, number, &fault))
		CHECK(reached && m->protection & PROT_WRITE, "step %lu: %p can be written",
		      z->steps, (void *)at);
	else
		CHECK(as_promised(&fault, at, m->protection & PROT_WRITE) &&
			      !(reached && m->protection & PROT_WRITE),
		      "step %lu: write: signal %d at %p, touched %p", z->steps, fault.signal,
		      (void *)fault.address, (void *)at);
}

static void step_region(struct fuzz *z)
{
	uint32_t words[64], count = 1 + dice(z, 64);
	uint64_t at = BASE + (uint64_t)dice(z, (uint32_t)(WINDOW / 4) - count) * 4;
	struct verdict v = {.count = 0};
	int ret;

	forbid(&v, !z->decode, EIO);
	ret = raw_region_read(z->device, MEM_BAR, at, words, count * sizeof(words[0]));
	judge(z, &v, ret, "read of the region");
	for (uint32_t i = 0; i < count && !ret; i++)
		CHECK(words[i] == number_of(at + i * 4), "step %lu: read page %#x, wanted %#x",
		      z->steps, words[i], number_of(at + i * 4));
	if (ret)
		return;
	ret = raw_region_write(z->device, MEM_BAR, at, words, count * sizeof(words[0]));
	judge(z, &v, ret, "write of the region");
}

static void step_power(struct fuzz *z)
{
	if (chance(z, 30) && z->decode) {
		CHECK_OK(peerbar_device_reset(z->f.mem));
		return;
	}
	z->decode = !z->decode;
	CHECK_OK(raw_set_memory_decode(z->device, z->decode));
}

static const struct step {
	void (*run)(struct fuzz *z);
	uint32_t weight;
} steps[] = {
	{step_export, 10}, {step_close, 5},  {step_revoke, 3}, {step_memattr, 8},
	{step_garbage, 3}, {step_map, 20},   {step_unmap, 12}, {step_map_region, 4},
	{step_move, 4},	   {step_touch, 40}, {step_region, 4}, {step_power, 1},
};

static void one_step(struct fuzz *z)
{
	uint32_t sum = 0, at = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		sum += steps[i].weight;
	sum = dice(z, sum);
	while (sum >= steps[at].weight)
		sum -= steps[at++].weight;
	z->steps++;
	steps[at].run(z);
	/* Without memory decode there is little to see: not for long. */
	if (!z->decode && chance(z, 10))
		step_power(z);
}

/* All of it ---------------------------------------------------------------------------- */

static void number_pages(struct fuzz *z)
{
	struct slice all;

	slice_open(&z->f, BASE, WINDOW, NC, &all);
	for (uint64_t at = 0; at < WINDOW; at += 4)
		peerbar_write32(all.at + at, number_of(BASE + at));
	slice_close(&all);
}

static void fuzz_open(struct fuzz *z, uint64_t seed)
{
	const struct raw_range all = {0, PAGE};

	memset(z, 0, sizeof(*z));
	z->state = seed * 2 + 1;
	z->decode = true;
	fixture_open(&z->f, NEEDS);
	z->device = peerbar_device_fd(z->f.mem);
	CHECK_OK(raw_region(z->device, MEM_BAR, &z->region, NULL));
	number_pages(z);
	z->others[0] = -1;
	z->others[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	z->others[2] = raw_export(peerbar_device_fd(z->f.reg), REG_BAR, 0, &all, 1);
	CHECK(z->others[1] >= 0 && z->others[2] >= 0, "others");
}

static void fuzz_close(struct fuzz *z)
{
	for (int i = 0; i < MAPS; i++)
		if (z->maps[i].at)
			CHECK_SYS(munmap((void *)z->maps[i].at, z->maps[i].length), 0);
	for (int i = 0; i < BUFFERS; i++)
		if (z->buffers[i].used && z->buffers[i].fd >= 0)
			close(z->buffers[i].fd);
	close(z->others[1]);
	close(z->others[2]);
	fixture_close(&z->f);
}

static uint64_t choose_seed(void)
{
	const char *told = getenv("PEERBAR_SEED");

	return told ? strtoull(told, NULL, 10) : (uint64_t)time(NULL) % 1000000;
}

/* However slow the machine is. */
static bool has_seen_all(const struct fuzz *z)
{
	return z->worked && z->refused && z->looks && z->faults && z->checks[NC] && z->checks[WC];
}

static void calls(void)
{
	long long end = clock_ms() + tap_moment_ms(NORMAL_MS, SOAK_MS);
	uint64_t seed = choose_seed();
	static struct fuzz z;

	tap_diag("PEERBAR_SEED=%llu", (unsigned long long)seed);
	fuzz_open(&z, seed);
	while (clock_ms() < end || !has_seen_all(&z))
		one_step(&z);
	tap_diag("%lu steps: %lu calls worked, %lu were refused, %lu looks, %lu faults", z.steps,
		 z.worked, z.refused, z.looks, z.faults);
	tap_diag("%lu NC and %lu WC types were looked up", z.checks[NC], z.checks[WC]);
	fuzz_close(&z);
}

static const struct tap_case cases[] = {
	{"calls", calls, 120},
};

TAP_MAIN(cases)
