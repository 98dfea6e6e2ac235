// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Registering: what lives on, what is refused and with which errno. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"
#include "raw.h"
#include "work.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define IOVA   0x100000ULL
#define NEEDS  (FIXTURE_MEM | NEED_SERIES)

struct bench {
	struct fixture f;
	struct loopback l;
	struct slice slice;
};

static void bench_open(struct bench *b)
{
	fixture_open(&b->f, NEEDS);
	loopback_open(&b->l, LENGTH);
	slice_open(&b->f, BASE, LENGTH, NC, &b->slice);
}

static void bench_close(struct bench *b)
{
	slice_close(&b->slice);
	loopback_close(&b->l);
	fixture_close(&b->f);
}

static void write_and_look(struct bench *b, struct ibv_mr *mr, uint32_t seed)
{
	pattern_fill(b->l.mem.at, LENGTH, seed);
	CHECK_WC(rdma_write(&b->l.peer, &b->l.mem, 0, LENGTH, IOVA, mr->rkey), 0);
	CHECK(pattern_matches(b->slice.at, LENGTH, seed), "contents");
}

/* The region needs neither the descriptor nor libpeerbar's buffer. */
static void descriptor_closed(void)
{
	struct peerbar_buffer *second;
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b);
	second = fixture_export(b.f.mem, MEM_BAR, BASE, LENGTH, NC);
	mr = loopback_register(&b.l, second, 0, LENGTH, IOVA);
	peerbar_buffer_close(second);
	write_and_look(&b, mr, 1);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

/* Two regions over one buffer; taking one back leaves the other. */
static void two_regions(void)
{
	struct ibv_mr *first, *second;
	struct bench b;

	bench_open(&b);
	first = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	second = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	CHECK(first->rkey != second->rkey, "one key for two regions");
	write_and_look(&b, first, 2);
	write_and_look(&b, second, 3);
	CHECK_OK(-ibv_dereg_mr(first));
	write_and_look(&b, second, 4);
	CHECK_OK(-ibv_dereg_mr(second));
	bench_close(&b);
}

/* A key given back is worthless. */
static void deregistered(void)
{
	struct ibv_mr *mr;
	struct bench b;
	uint32_t rkey;

	bench_open(&b);
	mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	rkey = mr->rkey;
	write_and_look(&b, mr, 5);
	CHECK_OK(-ibv_dereg_mr(mr));
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 8, IOVA, rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK(pattern_matches(b.slice.at, LENGTH, 5), "contents changed");
	bench_close(&b);
}

static int try_register(struct bench *b, int fd, uint64_t offset, uint64_t length, uint64_t iova,
			int access)
{
	struct ibv_mr *mr;

	errno = 0;
	mr = ibv_reg_dmabuf_mr(b->l.rdma.pd, offset, length, iova, fd, access);
	if (!mr)
		return errno ? -errno : -1000;
	ibv_dereg_mr(mr);
	return 0;
}

/* Ranges that are not in the buffer. */
static void bad_ranges(void)
{
	struct bench b;
	int fd, all = RDMA_ACCESS_ALL;

	bench_open(&b);
	fd = peerbar_buffer_fd(b.slice.buffer);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, all), 0);
	CHECK_RET(try_register(&b, fd, 0, 0, 0, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, LENGTH + 1, 0, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, LENGTH, 1, 0, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, LENGTH - 1, 2, 4095, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, -KIB(4), KIB(8), 0, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, ~0ULL, 0, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, 8, 8, 16, all), -EINVAL);
	CHECK_RET(try_register(&b, fd, LENGTH - 1, 1, 4095, all), 0);
	bench_close(&b);
}

/* Addresses up to the very last one, and not beyond. */
static void last_address(void)
{
	const int all = RDMA_ACCESS_ALL;
	struct ibv_mr *mr;
	struct bench b;
	int fd;

	bench_open(&b);
	fd = peerbar_buffer_fd(b.slice.buffer);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, -LENGTH + KIB(4), all), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, ~0ULL - KIB(4) + 1, all), -EINVAL);
	mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, -LENGTH);
	pattern_fill(b.l.mem.at, LENGTH, 1);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LENGTH, -LENGTH, mr->rkey), 0);
	CHECK(pattern_matches(b.slice.at, LENGTH, 1), "contents");
	/* Not even where adding up comes round to the region again. */
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 2, ~0ULL, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	loopback_reconnect(&b.l);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, 1, 0, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

/* Host memory whose pages can be, to know that the question is well put. */
static void advise_on_demand(struct bench *b, enum ibv_advise_mr_advice advice, uint32_t flags)
{
	struct ibv_mr *mr = ibv_reg_mr(b->l.rdma.pd, b->l.mem.at, LENGTH,
				       RDMA_ACCESS_ALL | IBV_ACCESS_ON_DEMAND);

	CHECK(mr, "ibv_reg_mr: %s", strerror(errno));
	CHECK_RET(work_advise(b->l.rdma.pd, mr, (uintptr_t)b->l.mem.at, advice, flags), 0);
	CHECK_OK(-ibv_dereg_mr(mr));
}

/* Pages of a region that has none cannot be fetched in advance: EINVAL. */
static void advice(void)
{
	static const enum ibv_advise_mr_advice advices[] = {
		IBV_ADVISE_MR_ADVICE_PREFETCH,
		IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
		IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
	};
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b);
	mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
		for (uint32_t flags = 0; flags <= IBV_ADVISE_MR_FLAG_FLUSH; flags++) {
			advise_on_demand(&b, advices[i], flags);
			CHECK_RET(work_advise(b.l.rdma.pd, mr, IOVA, advices[i], flags), -EINVAL);
			CHECK_RET(work_advise(b.l.rdma.pd, b.l.mem.mr, (uintptr_t)b.l.mem.at,
					      advices[i], flags),
				  -EINVAL);
		}
	write_and_look(&b, mr, 1);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

/* Fast registration is the kernel's own: its request names the region by a pointer. */
static void fast_registration(void)
{
	const struct ibv_send_wr wr = {.opcode = (enum ibv_wr_opcode)0x20}; /* IB_WR_REG_MR */
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bench b;

	bench_open(&b);
	mr = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
	work_post(&b.l.owner, wr, NULL, 0);
	CHECK(rdma_wait(&b.l.owner, &wc) > 0, "a pointer of ours was followed");
	loopback_reconnect(&b.l);
	write_and_look(&b, mr, 1);
	CHECK_OK(-ibv_dereg_mr(mr));
	bench_close(&b);
}

/* Rights that a dma-buf region cannot have. */
static void bad_access(void)
{
	struct bench b;
	int fd;

	bench_open(&b);
	fd = peerbar_buffer_fd(b.slice.buffer);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, IBV_ACCESS_MW_BIND), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, IBV_ACCESS_ON_DEMAND), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, IBV_ACCESS_REMOTE_WRITE), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, IBV_ACCESS_REMOTE_ATOMIC), -EINVAL);
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, RDMA_ACCESS_ALL | IBV_ACCESS_RELAXED_ORDERING),
		  0);
	bench_close(&b);
}

/* Descriptors that are closed, or no dma-buf. */
static void bad_descriptors(void)
{
	struct bench b;
	int null, gone;

	bench_open(&b);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	gone = fcntl(null, F_DUPFD_CLOEXEC, 300);
	close(gone);
	CHECK_RET(try_register(&b, -1, 0, LENGTH, 0, RDMA_ACCESS_ALL), -EBADF);
	CHECK_RET(try_register(&b, gone, 0, LENGTH, 0, RDMA_ACCESS_ALL), -EBADF);
	CHECK_RET(try_register(&b, null, 0, LENGTH, 0, RDMA_ACCESS_ALL), -EINVAL);
	close(null);
	bench_close(&b);
}

/* A buffer that was revoked, for good or for now, cannot be registered. */
static void revoked(void)
{
	struct bench b;
	int fd, device;

	bench_open(&b);
	fd = peerbar_buffer_fd(b.slice.buffer);
	device = peerbar_device_fd(b.f.mem);
	CHECK_OK(raw_set_memory_decode(device, 0));
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, RDMA_ACCESS_ALL), -ENODEV);
	CHECK_OK(raw_set_memory_decode(device, 1));
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, RDMA_ACCESS_ALL), 0);
	CHECK_OK(peerbar_buffer_revoke(b.slice.buffer));
	CHECK_RET(try_register(&b, fd, 0, LENGTH, 0, RDMA_ACCESS_ALL), -ENODEV);
	bench_close(&b);
}

/* A region uses its pages with the memory type of the buffer, like any mapping. */
static void holds_its_memory_type(void)
{
	struct peerbar_buffer *nc, *wc;
	struct peerbar_mapping *map;
	struct ibv_mr *mr;
	struct bench b;

	bench_open(&b);
	nc = fixture_export(b.f.mem, MEM_BAR, MIB(4), LENGTH, NC);
	wc = fixture_export(b.f.mem, MEM_BAR, MIB(4) + LENGTH - KIB(4), LENGTH, NC);
	mr = loopback_register(&b.l, nc, 0, LENGTH, IOVA);
	CHECK_RET(peerbar_buffer_set_memattr(wc, WC), -EBUSY);
	CHECK_OK(-ibv_dereg_mr(mr));
	CHECK_OK(peerbar_buffer_set_memattr(wc, WC));
	CHECK_RET(try_register(&b, peerbar_buffer_fd(nc), 0, LENGTH, 0, RDMA_ACCESS_ALL), -EBUSY);
	mr = loopback_register(&b.l, wc, 0, LENGTH, IOVA);
	/* Other than a mapping it is in use still, noncached again or not. */
	CHECK_OK(peerbar_buffer_set_memattr(wc, NC));
	CHECK_RET(peerbar_map(nc, 0, LENGTH, NULL, &map), -EBUSY);
	pattern_fill(b.l.mem.at, LENGTH, 1);
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LENGTH, IOVA, mr->rkey), 0);
	CHECK_OK(-ibv_dereg_mr(mr));
	CHECK_OK(peerbar_map(nc, 0, LENGTH, NULL, &map));
	demand_memtype(peerbar_mapping_addr(map), PEERBAR_MEMTYPE_UC_MINUS);
	peerbar_unmap(map);
	peerbar_buffer_close(wc);
	peerbar_buffer_close(nc);
	bench_close(&b);
}

/* Who insists on importers that let go at once gets soft-RoCE, and other devices' DMA. */
static void sync_importers(void)
{
	const struct peerbar_range range = {.offset = BASE, .length = LENGTH};
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.sync_importers = true,
	};
	struct peerbar_iova_map *iova;
	struct peerbar_buffer *buffer;
	struct ibv_mr *mr;
	struct fixture f;
	struct bench b;

	bench_open(&b);
	fixture_open(&f, FIXTURE_REG | NEED_IOVA);
	CHECK_OK(peerbar_buffer_export(b.f.mem, MEM_BAR, &range, 1, &options, &buffer));
	mr = loopback_register(&b.l, buffer, 0, LENGTH, IOVA);
	write_and_look(&b, mr, 3);
	CHECK_OK(peerbar_iova_map(f.reg, buffer, 0, LENGTH, NULL, &iova));
	CHECK_OK(peerbar_buffer_revoke(buffer));
	CHECK_WC(rdma_write(&b.l.peer, &b.l.mem, 0, LENGTH, IOVA, mr->rkey), IBV_WC_REM_ACCESS_ERR);
	peerbar_iova_unmap(iova);
	CHECK_OK(-ibv_dereg_mr(mr));
	peerbar_buffer_close(buffer);
	fixture_close(&f);
	bench_close(&b);
}

/* Hundreds of registrations leave nothing behind. */
static void many_times(void)
{
	struct ibv_mr *mrs[64];
	struct bench b;

	bench_open(&b);
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 64; i++)
			mrs[i] = loopback_register(&b.l, b.slice.buffer, 0, LENGTH, IOVA);
		write_and_look(&b, mrs[63], (uint32_t)round);
		for (int i = 0; i < 64; i++)
			CHECK_OK(-ibv_dereg_mr(mrs[i]));
	}
	bench_close(&b);
}

static const struct tap_case cases[] = {
	{"descriptor_closed", descriptor_closed},
	{"two_regions", two_regions},
	{"deregistered", deregistered},
	{"bad_ranges", bad_ranges},
	{"last_address", last_address},
	{"advice", advice},
	{"fast_registration", fast_registration},
	{"bad_access", bad_access},
	{"bad_descriptors", bad_descriptors},
	{"revoked", revoked},
	{"holds_its_memory_type", holds_its_memory_type},
	{"sync_importers", sync_importers},
	{"many_times", many_times},
};

TAP_MAIN(cases)
