// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <string.h>
#include <unistd.h>

#include "target.h"

/* Congruent with the offset in any buffer that begins on a page. */
#define IOVA 0x10000000ULL

void target_open_bar(struct target *t, struct fixture *f, struct loopback *l, uint64_t offset,
		     size_t length, enum peerbar_memattr memattr)
{
	memset(t, 0, sizeof(*t));
	t->buffer = fixture_export(f->mem, MEM_BAR, offset, length, memattr);
	CHECK_OK(peerbar_map(t->buffer, 0, length, NULL, &t->mapping));
	t->mr = loopback_register(l, t->buffer, 0, length, IOVA);
	t->at = IOVA;
}

void target_open_heap(struct target *t, struct loopback *l, size_t length)
{
	int fd = fixture_heap_buffer(length);

	memset(t, 0, sizeof(*t));
	t->mr = ibv_reg_dmabuf_mr(l->rdma.pd, 0, length, IOVA, fd, RDMA_ACCESS_ALL);
	CHECK(t->mr, "ibv_reg_dmabuf_mr of a heap's buffer: %s", strerror(errno));
	close(fd);
	t->at = IOVA;
}

void target_open_host(struct target *t, struct loopback *l, size_t length)
{
	memset(t, 0, sizeof(*t));
	CHECK_OK(rdma_mem_open(&l->rdma, length, &t->mem));
	t->mr = t->mem.mr;
	t->at = (uintptr_t)t->mem.at;
}

void target_close(struct target *t)
{
	if (t->mem.mr)
		rdma_mem_close(&t->mem);
	else
		CHECK_OK(-ibv_dereg_mr(t->mr));
	peerbar_unmap(t->mapping);
	peerbar_buffer_close(t->buffer);
}
