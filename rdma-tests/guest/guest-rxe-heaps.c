// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Regions over other exporters' buffers: udmabuf and the system heap. */
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loopback.h"

#define LENGTH MIB(1)
#define IOVA   0x4000000ULL

/* A dma-buf over pages of a memfd. */
static int make_udmabuf(void)
{
	struct udmabuf_create create = {
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = LENGTH,
	};
	int control = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), fd;

	CHECK(control >= 0, "/dev/udmabuf: %s", strerror(errno));
	create.memfd = (uint32_t)memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK_SYS(ftruncate((int)create.memfd, LENGTH), 0);
	CHECK_SYS(fcntl((int)create.memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	fd = ioctl(control, UDMABUF_CREATE, &create);
	CHECK(fd >= 0, "UDMABUF_CREATE: %s", strerror(errno));
	close((int)create.memfd);
	close(control);
	return fd;
}

static int make_heap_buffer(void)
{
	struct dma_heap_allocation_data request = {
		.len = LENGTH,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	CHECK(heap >= 0, "/dev/dma_heap/system: %s", strerror(errno));
	CHECK_SYS(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &request), 0);
	close(heap);
	return (int)request.fd;
}

struct bench {
	struct loopback l;
	struct ibv_mr *mr;
	uint8_t *at; /* the buffer, as the CPU sees it */
};

static void bench_open(struct bench *b, int fd)
{
	void *at = NULL;

	CHECK_OK(try_mmap(fd, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &at));
	b->at = at;
	b->mr = ibv_reg_dmabuf_mr(b->l.rdma.pd, 0, LENGTH, IOVA, fd, RDMA_ACCESS_ALL);
	CHECK(b->mr, "ibv_reg_dmabuf_mr: %s", strerror(errno));
	close(fd);
}

static void bench_close(struct bench *b)
{
	CHECK_OK(-ibv_dereg_mr(b->mr));
	munmap(b->at, LENGTH);
	loopback_close(&b->l);
}

/* Write, read back, atomic, odd places, bounds. */
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
}

static void udmabuf(void)
{
	struct bench b;

	loopback_open(&b.l, LENGTH);
	bench_open(&b, make_udmabuf());
	use(&b);
	bench_close(&b);
}

static void system_heap(void)
{
	struct bench b;

	loopback_open(&b.l, LENGTH);
	bench_open(&b, make_heap_buffer());
	use(&b);
	bench_close(&b);
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
	bench_open(&b, make_heap_buffer());
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
	slice_close(&slice);
	bench_close(&b);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"udmabuf", udmabuf},
	{"system_heap", system_heap},
	{"heap_to_bar", heap_to_bar},
};

TAP_MAIN(cases)
