// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Every call of the series, with its first allocation or copy of user memory
 * failing, then its second, and so on until none is left to fail. Each failure
 * is told by an errno that fits and leaves everything as it was: the same call
 * works at once, and in the end nobody holds more than before. That is what
 * KASAN, kmemleak and the list of memory types are asked, too.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject.h"
#include "klog.h"
#include "leak.h"
#include "loopback.h"
#include "raw.h"

#define BASE	 MIB(1)
#define LENGTH	 KIB(64)
#define IOVA	 0x100000ULL
#define NEEDS	 (FIXTURE_MEM | FIXTURE_QUIET | NEED_SERIES | NEED_IOVA)
#define MEMTYPES "/sys/kernel/debug/x86/pat_memtype_list"
#define MOST	 3000
#define TEXT	 8192
/* No other mapping shares its page tables. */
#define ALONE 0x100000000000UL

struct bench {
	struct fixture f;
	struct rdma rdma;
	int device;
	int dmabuf;
	struct peerbar_buffer *buffer; /* over the same range */
	void *map;
	struct ibv_mr *mr;
	struct peerbar_iova_map *iova;
	struct raw_range ranges[2];
	char memtypes[TEXT];
};

/*
 * One call. before and after are done with nothing failing, undo only after
 * the call has succeeded. call returns 0 or a negative errno.
 */
struct path {
	void (*before)(struct bench *b);
	int (*call)(struct bench *b);
	void (*undo)(struct bench *b);
	void (*after)(struct bench *b);
	int also; /* an errno besides ENOMEM and EFAULT */
};

/* What ioremap() says then. */
#define KLOG_NO_MEMORY "memtype_reserve failed -12"

static void read_memtypes(char *text)
{
	int fd = open(MEMTYPES, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got;

	CHECK(fd >= 0, "%s: %s", MEMTYPES, strerror(errno));
	while ((got = read(fd, text + length, TEXT - 1 - length)) > 0)
		length += (size_t)got;
	CHECK(!got && length < TEXT - 1, "%s: too long", MEMTYPES);
	text[length] = '\0';
	close(fd);
}

static void unmap(struct bench *b)
{
	CHECK_SYS(munmap(b->map, LENGTH), 0);
	b->map = NULL;
}

static void close_buffer(struct bench *b)
{
	close(b->dmabuf);
	b->dmabuf = -1;
}

static int map_buffer(struct bench *b)
{
	return try_mmap(b->dmabuf, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &b->map);
}

static int export(struct bench *b)
{
	int ret = raw_export(b->device, MEM_BAR, 0, b->ranges, 2);

	if (ret < 0)
		return ret;
	b->dmabuf = ret;
	return 0;
}

static void export_wc(struct bench *b)
{
	CHECK_OK(export(b));
	CHECK_OK(raw_memattr(b->device, b->dmabuf, WC));
}

static void export_wc_and_map(struct bench *b)
{
	export_wc(b);
	CHECK_OK(map_buffer(b));
}

static void unmap_and_close(struct bench *b)
{
	unmap(b);
	close_buffer(b);
}

static void bench_open(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	fixture_open(&b->f, NEEDS);
	CHECK_OK(rdma_open(&b->rdma, RDMA_DEVICE, NULL));
	b->device = peerbar_device_fd(b->f.mem);
	b->dmabuf = -1;
	b->ranges[0] = (struct raw_range){BASE, LENGTH / 2};
	b->ranges[1] = (struct raw_range){BASE + LENGTH, LENGTH / 2};
	inject_open();
	klog_expect(KLOG_NO_MEMORY);
	/* The kernel's mapping of the BAR stays divided where pages have been lent. */
	export_wc_and_map(b);
	unmap_and_close(b);
}

static void bench_close(struct bench *b)
{
	inject_close();
	rdma_close(&b->rdma);
	fixture_close(&b->f);
}

/* Whatever failed, the owner's read() and write() of the region find a mapping. */
static void demand_region_works(struct bench *b)
{
	uint32_t value = 0x5a5a0000u, got = 0;

	for (uint64_t at = BASE - KIB(4); at < BASE + 2 * LENGTH; at += KIB(4), value++) {
		CHECK_OK(raw_region_write(b->device, MEM_BAR, at, &value, sizeof(value)));
		CHECK_OK(raw_region_read(b->device, MEM_BAR, at, &got, sizeof(got)));
		CHECK(got == value, "the region at %#llx", (unsigned long long)at);
	}
}

static void demand_nothing_left(struct bench *b)
{
	char now[TEXT];

	export_wc_and_map(b);
	demand_alive(b->map);
	unmap_and_close(b);
	read_memtypes(now);
	CHECK(!strcmp(b->memtypes, now), "the memory types were:\n%s\nand are:\n%s", b->memtypes,
	      now);
}

static bool fits(const struct path *path, int ret)
{
	return ret == 0 || ret == -ENOMEM || ret == -EFAULT || ret == -path->also;
}

/* One failure at most; false when the call has come to an end before it. */
static bool attempt(struct bench *b, const struct path *path, unsigned int n, unsigned int *failed)
{
	bool injected;
	int ret;

	if (path->before)
		path->before(b);
	inject_arm(n);
	ret = path->call(b);
	injected = inject_disarm();
	CHECK(injected || !ret, "nothing failed and yet: %s", strerror(-ret));
	CHECK(fits(path, ret), "failure %u: %s", n, strerror(-ret));
	*failed += ret != 0;
	if (ret) {
		demand_region_works(b);
		CHECK_OK(path->call(b));
	}
	if (path->undo)
		path->undo(b);
	if (path->after)
		path->after(b);
	return injected;
}

static void sweep(struct bench *b, const struct path *path)
{
	struct leak_state before;
	unsigned int n = 1, failed = 0;
	int dmabufs;

	attempt(b, path, MOST, &failed); /* what is made once only, is made now */
	read_memtypes(b->memtypes);
	dmabufs = leak_dmabufs();
	leak_take(&before);
	while (attempt(b, path, n, &failed))
		CHECK(++n < MOST, "does not come to an end");
	tap_diag("%u places to fail, %u were told of", n - 1, failed);
	CHECK(n > 1, "there was nothing to fail");
	demand_nothing_left(b);
	CHECK(leak_none(&before) && leak_dmabufs_back_to(dmabufs), "left behind");
}

static void run(const struct path *path)
{
	static struct bench b;

	bench_open(&b);
	sweep(&b, path);
	bench_close(&b);
}

/* Exporting two ranges. */
static void exporting(void)
{
	const struct path path = {.call = export, .undo = close_buffer};

	run(&path);
}

/* Mapping them write-combining, and taking the mapping away. */
static void mapping(void)
{
	const struct path path = {
		.before = export_wc,
		.call = map_buffer,
		.undo = unmap,
		.after = close_buffer,
	};

	run(&path);
}

static int unmap_half(struct bench *b)
{
	return munmap(b->map, LENGTH / 2) ? -errno : 0;
}

/* Unmapping a part splits the mapping, or the next one does. */
static void unmapping(void)
{
	const struct path path = {
		.before = export_wc_and_map,
		.call = unmap_half,
		.after = unmap_and_close,
	};

	run(&path);
}

static void export_wc_map_and_touch(struct bench *b)
{
	export_wc_and_map(b);
	demand_alive(b->map);
}

static void export_wc_and_map_alone(struct bench *b)
{
	export_wc(b);
	b->map = mmap((void *)ALONE, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		      b->dmabuf, 0);
	CHECK(b->map != MAP_FAILED, "mmap: %s", strerror(errno));
}

static int touch(struct bench *b)
{
	struct fault fault;
	uint32_t value;

	if (fault_read(b->map, &value, &fault))
		return 0;
	return fault.signal == SIGBUS && fault.address == b->map ? -ENOMEM : -fault.signal;
}

/* The first touch, which takes page tables: it goes through in the end, or is a SIGBUS right there. */
static void faulting(void)
{
	const struct path path = {
		.before = export_wc_and_map_alone,
		.call = touch,
		.after = unmap_and_close,
	};

	run(&path);
}

static int move(struct bench *b)
{
	void *at = mremap(b->map, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)ALONE);

	if (at == MAP_FAILED)
		return -errno;
	b->map = at;
	return 0;
}

/* Moving the mapping to where page tables are missing. */
static void moving(void)
{
	const struct path path = {
		.before = export_wc_map_and_touch,
		.call = move,
		.after = unmap_and_close,
	};

	run(&path);
}

static int set_wc(struct bench *b)
{
	return raw_memattr(b->device, b->dmabuf, WC);
}

static void export_plainly(struct bench *b)
{
	CHECK_OK(export(b));
}

/* The attribute is set or it is not. */
static void memattr(void)
{
	const struct path path = {
		.before = export_plainly,
		.call = set_wc,
		.after = close_buffer,
	};

	run(&path);
}

static int map_region(struct bench *b)
{
	uint64_t offset;
	int ret = raw_region(b->device, MEM_BAR, &offset, NULL);

	return ret ? ret
		   : try_mmap(b->device, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED,
			      (off_t)(offset + BASE), &b->map);
}

/* The device's own mapping of the range. */
static void mapping_the_region(void)
{
	const struct path path = {.call = map_region, .undo = unmap};

	run(&path);
}

static int read_region(struct bench *b)
{
	uint8_t data[64];
	int ret = raw_region_read(b->device, MEM_BAR, BASE + KIB(4) - 32, data, sizeof(data));

	return ret;
}

/* Reading in the middle of pages that are mapped write-combining. */
static void reading_the_region(void)
{
	const struct path path = {
		.before = export_wc_and_map,
		.call = read_region,
		.after = unmap_and_close,
		.also = EIO, /* part of it */
	};

	run(&path);
}

static int reg_mr(struct bench *b)
{
	b->mr = ibv_reg_dmabuf_mr(b->rdma.pd, 0, LENGTH, IOVA, b->dmabuf, RDMA_ACCESS_ALL);
	return b->mr ? 0 : -errno;
}

static int dereg_mr(struct bench *b)
{
	return -ibv_dereg_mr(b->mr);
}

static void demand_dereg_mr(struct bench *b)
{
	CHECK_OK(dereg_mr(b));
}

/* Registering with rxe. */
static void registering(void)
{
	const struct path path = {
		.before = export_wc,
		.call = reg_mr,
		.undo = demand_dereg_mr,
		.after = close_buffer,
	};

	run(&path);
}

static void export_and_register(struct bench *b)
{
	export_wc(b);
	CHECK_OK(reg_mr(b));
}

/* And giving it back, which can be asked for once more. */
static void deregistering(void)
{
	const struct path path = {
		.before = export_and_register,
		.call = dereg_mr,
		.after = close_buffer,
	};

	run(&path);
}

static void open_buffer(struct bench *b)
{
	b->buffer = fixture_export(b->f.mem, MEM_BAR, BASE, LENGTH, NC);
}

static void shut_buffer(struct bench *b)
{
	peerbar_buffer_close(b->buffer);
}

/*
 * iommufd leaves a map in place when it cannot tell the address (EFAULT). It
 * goes with the address space only.
 */
static void start_over(struct bench *b)
{
	shut_buffer(b);
	fixture_close(&b->f);
	fixture_open(&b->f, NEEDS);
	b->device = peerbar_device_fd(b->f.mem);
	open_buffer(b);
}

static int map_iova(struct bench *b)
{
	int ret = peerbar_iova_map(b->f.mem, b->buffer, 0, LENGTH, NULL, &b->iova);

	if (ret == -EFAULT)
		start_over(b);
	return ret;
}

static void unmap_iova(struct bench *b)
{
	peerbar_iova_unmap(b->iova);
}

/* Mapping for DMA. */
static void mapping_for_dma(void)
{
	const struct path path = {
		.before = open_buffer,
		.call = map_iova,
		.undo = unmap_iova,
		.after = shut_buffer,
		/* What iommufd says of an object where it injects a failure itself (IOMMUFD_TEST). */
		.also = ENOENT,
	};

	run(&path);
}

/* Everything that can hang on a buffer, and the buffer is dmabuf, too. */
static void open_everything(struct bench *b)
{
	open_buffer(b);
	b->dmabuf = peerbar_buffer_fd(b->buffer);
	CHECK_OK(map_buffer(b));
	demand_alive(b->map);
	CHECK_OK(reg_mr(b));
	CHECK_OK(map_iova(b));
}

static int revoke_buffer(struct bench *b)
{
	int ret = raw_revoke(b->device, b->dmabuf);

	if (ret)
		demand_alive(b->map);
	return ret;
}

static void demand_dead(struct bench *b)
{
	demand_revoked(b->map);
	CHECK_RET(try_mmap(b->dmabuf, LENGTH, PROT_READ, MAP_SHARED, 0, NULL), -ENODEV);
	CHECK_RET(raw_revoke(b->device, b->dmabuf), -EBADFD);
}

static void close_everything(struct bench *b)
{
	unmap_iova(b);
	demand_dereg_mr(b);
	unmap(b);
	shut_buffer(b);
	b->dmabuf = -1;
}

/* It is revoked, all of it, if and only if the call says so. */
static void revoking(void)
{
	const struct path path = {
		.before = open_everything,
		.call = revoke_buffer,
		.undo = demand_dead,
		.after = close_everything,
	};

	run(&path);
}

static const struct tap_case cases[] = {
	{"exporting", exporting},
	{"mapping", mapping},
	{"unmapping", unmapping},
	{"faulting", faulting},
	{"moving", moving},
	{"memattr", memattr},
	{"mapping_the_region", mapping_the_region},
	{"reading_the_region", reading_the_region},
	{"registering", registering},
	{"deregistering", deregistering},
	{"mapping_for_dma", mapping_for_dma},
	{"revoking", revoking},
};

TAP_MAIN(cases)
