// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Regions over other exporters' buffers: udmabuf with small and with huge pages,
 * the system heap, GEM buffers of vgem and of virtio-gpu; and over one whose
 * exporter does not let the kernel's CPU have it.
 */
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "klog.h"
#include "loopback.h"

#define LENGTH	 MIB(4)
#define HUGEPAGE MIB(2)
#define IOVA	 0x4000000ULL

/*
 * udmabuf has no limit for the segments that it maps for itself when the CPU
 * begins to access a buffer, so the DMA API's checks take the default for one.
 */
#define KLOG_UDMABUF_SEGMENT "WARNING: kernel/dma/debug\\.c:[0-9]+ at debug_dma_map_sg"

/* A dma-buf over pages of a memfd, of the kind that flags ask for. */
static int make_udmabuf(unsigned int flags)
{
	struct udmabuf_create create = {
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = LENGTH,
	};
	int control = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), memory, fd;

	CHECK(control >= 0, "/dev/udmabuf: %s", strerror(errno));
	klog_expect(KLOG_UDMABUF_SEGMENT);
	memory = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
	CHECK(memory >= 0, "memfd_create: %s", strerror(errno));
	CHECK_SYS(ftruncate(memory, LENGTH), 0);
	CHECK_SYS(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	create.memfd = (uint32_t)memory;
	fd = ioctl(control, UDMABUF_CREATE, &create);
	CHECK(fd >= 0, "UDMABUF_CREATE: %s", strerror(errno));
	close(memory);
	close(control);
	return fd;
}

/* The part of the graphics interface that is needed, from <drm/drm.h>. */
struct drm_version {
	int number[3];
	size_t name_length;
	char *name;
	size_t date_length;
	char *date;
	size_t text_length;
	char *text;
};

struct drm_dumb {
	uint32_t height, width, bits, flags;
	uint32_t handle, pitch;
	uint64_t size;
};

struct drm_prime {
	uint32_t handle, flags;
	int32_t fd;
};

#define DRM_VERSION	_IOWR('d', 0x00, struct drm_version)
#define DRM_PRIME	_IOWR('d', 0x2d, struct drm_prime)
#define DRM_CREATE_DUMB _IOWR('d', 0xb2, struct drm_dumb)

static bool is_card_of(int card, const char *driver)
{
	char name[32] = "";
	struct drm_version version = {.name_length = sizeof(name) - 1, .name = name};

	return !ioctl(card, DRM_VERSION, &version) && !strcmp(name, driver);
}

static int open_card(const char *driver)
{
	char path[32];
	int card;

	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		card = open(path, O_RDWR | O_CLOEXEC);
		if (card >= 0 && is_card_of(card, driver))
			return card;
		if (card >= 0)
			close(card);
	}
	return -1;
}

static int make_gem_buffer(int card)
{
	struct drm_dumb dumb = {.height = LENGTH / KIB(4), .width = KIB(1), .bits = 32};
	struct drm_prime prime = {.flags = O_RDWR | O_CLOEXEC};

	CHECK_SYS(ioctl(card, DRM_CREATE_DUMB, &dumb), 0);
	CHECK(dumb.size == LENGTH, "%llu bytes", (unsigned long long)dumb.size);
	prime.handle = dumb.handle;
	CHECK_SYS(ioctl(card, DRM_PRIME, &prime), 0);
	close(card);
	return prime.fd;
}

struct bench {
	struct loopback l;
	struct ibv_mr *mr;
	struct ibv_mr *part;
	uint8_t *at; /* the buffer, as the CPU sees it */
};

static struct ibv_mr *reg(struct bench *b, int fd, uint64_t offset, size_t length, uint64_t iova)
{
	struct ibv_mr *mr =
		ibv_reg_dmabuf_mr(b->l.rdma.pd, offset, length, iova, fd, RDMA_ACCESS_ALL);

	CHECK(mr, "ibv_reg_dmabuf_mr: %s", strerror(errno));
	return mr;
}

static void bench_open(struct bench *b, int fd)
{
	void *at = NULL;

	CHECK_OK(try_mmap(fd, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &at));
	b->at = at;
	b->mr = reg(b, fd, 0, LENGTH, IOVA);
	b->part = reg(b, fd, MIB(2) - 0xedd, 70001, 0x123);
	close(fd);
}

static void bench_close(struct bench *b)
{
	CHECK_OK(-ibv_dereg_mr(b->mr));
	munmap(b->at, LENGTH);
	loopback_close(&b->l);
}

/* The buffer as one side of a write and a read of the other's, atomics, bounds. */
static void use(struct bench *b)
{
	uint8_t *local = b->l.mem.at;
	uint64_t word = 5;

	pattern_fill(local, LENGTH, 1);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, LENGTH, IOVA, b->mr->rkey), 0);
	CHECK(pattern_matches(b->at, LENGTH, 1), "the CPU sees something else");
	pattern_fill(b->at + 4093, 70001, 2);
	CHECK_WC(rdma_read(&b->l.peer, &b->l.mem, 0, 70001, IOVA + 4093, b->mr->rkey), 0);
	CHECK(pattern_matches(local, 70001, 2), "read something else");
	memcpy(b->at + 128, &word, sizeof(word));
	CHECK_WC(rdma_fetch_add(&b->l.peer, &b->l.mem, IOVA + 128, b->mr->rkey, 2), 0);
	memcpy(&word, b->at + 128, sizeof(word));
	CHECK(word == 7, "fetch-and-add: %llu", (unsigned long long)word);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, 1, IOVA + LENGTH, b->mr->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b->l);
}

/* Its own side of the wire: from one place in the buffer to another. */
static void use_locally(struct bench *b)
{
	const struct rdma_op op = {.opcode = IBV_WR_RDMA_READ,
				   .local = IOVA + MIB(1) + 3,
				   .lkey = b->mr->lkey,
				   .length = 50001,
				   .remote = IOVA + MIB(3) - 1,
				   .rkey = b->mr->rkey};

	pattern_fill(b->at + MIB(3) - 1, op.length, 3);
	CHECK_WC(rdma_do(&b->l.peer, &op), 0);
	CHECK(pattern_matches(b->at + MIB(1) + 3, op.length, 3), "contents");
}

/* A part of the buffer, over a huge page's border, and the whole without it. */
static void use_part(struct bench *b)
{
	pattern_fill(b->l.mem.at, 70001, 4);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, 70001, 0x123, b->part->rkey), 0);
	CHECK(pattern_matches(b->at + MIB(2) - 0xedd, 70001, 4), "contents");
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, 1, 0x122, b->part->rkey),
		 IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b->l);
	CHECK_OK(-ibv_dereg_mr(b->part));
	pattern_fill(b->l.mem.at, KIB(64), 5);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, KIB(64), IOVA + MIB(2), b->mr->rkey), 0);
	CHECK(pattern_matches(b->at + MIB(2), KIB(64), 5), "contents");
}

static void try_all(struct bench *b, int fd)
{
	bench_open(b, fd);
	use(b);
	use_locally(b);
	use_part(b);
	bench_close(b);
}

static void udmabuf(void)
{
	struct bench b;

	loopback_open(&b.l, LENGTH);
	try_all(&b, make_udmabuf(0));
}

/* Sets how many huge pages there are; returns how many there were. */
static unsigned int hugepages(unsigned int count)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "r+e");
	unsigned int before, now;

	CHECK(file && fscanf(file, "%u", &before) == 1, "nr_hugepages: %s", strerror(errno));
	rewind(file);
	CHECK(fprintf(file, "%u\n", count) > 0 && !fflush(file), "nr_hugepages: %s",
	      strerror(errno));
	rewind(file);
	CHECK(fscanf(file, "%u", &now) == 1 && now == count, "%u huge pages of %u", now, count);
	fclose(file);
	return before;
}

static void udmabuf_huge(void)
{
	unsigned int before;
	struct bench b;

	loopback_open(&b.l, LENGTH);
	before = hugepages(LENGTH / HUGEPAGE);
	try_all(&b, make_udmabuf(MFD_HUGETLB));
	hugepages(before);
}

static void system_heap(void)
{
	struct bench b;

	loopback_open(&b.l, LENGTH);
	try_all(&b, fixture_heap_buffer(LENGTH));
}

static void vgem(void)
{
	int card = open_card("vgem");
	struct bench b;

	loopback_open(&b.l, LENGTH);
	CHECK(card >= 0, "no vgem in this kernel");
	try_all(&b, make_gem_buffer(card));
}

static void virtio_gpu(void)
{
	int card = open_card("virtio_gpu");
	struct bench b;

	loopback_open(&b.l, LENGTH);
	if (card < 0)
		tap_skip("no virtio-gpu: scripts/vm run --device gpu");
	try_all(&b, make_gem_buffer(card));
}

/* One buffer is filled from a heap, the other from the BAR, over RDMA. */
static void heap_to_bar(void)
{
	struct rdma_op op = {.opcode = IBV_WR_RDMA_WRITE, .local = IOVA};
	struct ibv_mr *bar;
	struct slice slice;
	struct fixture f;
	struct bench b;

	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	loopback_open(&b.l, LENGTH);
	bench_open(&b, fixture_heap_buffer(LENGTH));
	slice_open(&f, MIB(1), LENGTH, WC, &slice);
	bar = loopback_register(&b.l, slice.buffer, 0, LENGTH, IOVA);
	pattern_fill(b.at, LENGTH, 3);
	op.lkey = b.mr->lkey;
	op.length = LENGTH;
	op.remote = IOVA;
	op.rkey = bar->rkey;
	CHECK_WC(rdma_do(&b.l.peer, &op), 0);
	CHECK(pattern_matches(slice.at, LENGTH, 3), "heap to BAR");
	CHECK_OK(-ibv_dereg_mr(bar));
	CHECK_OK(-ibv_dereg_mr(b.part));
	slice_close(&slice);
	bench_close(&b);
	fixture_close(&f);
}

/* A command of iommufd's own tests: a dma-buf without any way for the CPU. */
struct iommufd_test {
	uint32_t size, command, id, reserved;
	uint32_t length, flags;
	uint8_t rest[232]; /* of other commands, which are longer */
};

#define IOMMUFD_TEST	    _IO(';', 0xa0)
#define IOMMUFD_TEST_DMABUF 22

static int make_unmappable_buffer(void)
{
	struct iommufd_test test = {
		.size = sizeof(test),
		.command = IOMMUFD_TEST_DMABUF,
		.length = KIB(64),
		.flags = O_RDWR | O_CLOEXEC,
	};
	int control = open("/dev/iommu", O_RDWR | O_CLOEXEC), fd;

	fixture_need_config(control >= 0, "iommufd");
	/* Kernels of today open the buffer and forget to say as what. */
	fd = dup(control);
	close(fd);
	if (ioctl(control, IOMMUFD_TEST, &test) < 0) {
		CHECK(errno == ENOTTY, "iommufd's test: %s", strerror(errno));
		tap_skip("this kernel has no exporter that cannot be mapped (IOMMUFD_TEST)");
	}
	close(control);
	return fd;
}

/* What the CPU cannot have is refused: ENXIO, which no program takes for "no dma-bufs". */
static void not_mappable(void)
{
	struct loopback l;
	struct ibv_mr *mr;
	int fd;

	loopback_open(&l, KIB(4));
	fd = make_unmappable_buffer();
	for (int i = 0; i < 3; i++) {
		mr = ibv_reg_dmabuf_mr(l.rdma.pd, 0, KIB(4), IOVA, fd, RDMA_ACCESS_ALL);
		CHECK(!mr && errno == ENXIO, "%s", mr ? "registered" : strerror(errno));
	}
	close(fd);
	loopback_close(&l);
}

static const struct tap_case cases[] = {
	{"udmabuf", udmabuf},		{"udmabuf_huge", udmabuf_huge},
	{"system_heap", system_heap},	{"vgem", vgem},
	{"virtio_gpu", virtio_gpu},	{"heap_to_bar", heap_to_bar},
	{"not_mappable", not_mappable},
};

TAP_MAIN(cases)
