// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A kernel without the series: what it has works, what it lacks is reported
 * precisely. On a kernel with the series these cases are skipped.
 */
#include <sys/mman.h>

#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)

static void plain_open(struct fixture *f)
{
	if (!fixture_is_plain_kernel())
		tap_skip("this is not the plain kernel");
	fixture_open(f, FIXTURE_MEM | FIXTURE_REG);
}

/* The capabilities say what is there and what is not. */
static void capabilities(void)
{
	struct peerbar_device_caps caps = {.size = sizeof(caps)};
	struct fixture f;

	plain_open(&f);
	CHECK_OK(peerbar_device_caps(f.mem, &caps));
	CHECK(caps.dmabuf_export, "export should be there");
	CHECK(caps.iova_dmabuf, "DMA mapping should be there");
	CHECK(!caps.dmabuf_mmap, "mmap of a dma-buf should be missing");
	CHECK(!caps.dmabuf_revoke, "revoke should be missing");
	CHECK(!caps.dmabuf_memattr, "memory attributes should be missing");
	fixture_close(&f);
}

/* Exporting works; everything of the series is EOPNOTSUPP. */
static void operations(void)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct fixture f;
	int fd;

	plain_open(&f);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	fd = peerbar_buffer_fd(buffer);
	CHECK_RET(peerbar_map(buffer, 0, LENGTH, NULL, &map), -EOPNOTSUPP);
	CHECK_RET(peerbar_buffer_set_memattr(buffer, WC), -EOPNOTSUPP);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, fd, WC), -EOPNOTSUPP);
	CHECK_RET(peerbar_buffer_revoke(buffer), -EOPNOTSUPP);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, fd), -EOPNOTSUPP);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* The kernel's own words for the same. */
static void kernel_errnos(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	int fd, device;

	plain_open(&f);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	fd = peerbar_buffer_fd(buffer);
	device = peerbar_device_fd(f.mem);
	CHECK_RET(try_mmap(fd, LENGTH, PROT_READ, MAP_SHARED, 0, NULL), -EINVAL);
	CHECK_RET(raw_revoke(device, fd), -ENOTTY);
	CHECK_RET(raw_memattr(device, fd, 1), -ENOTTY);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* A write-combining buffer is refused as a whole, not made noncached. */
static void no_silent_noncached(void)
{
	const struct peerbar_range range = {BASE, LENGTH};
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.memattr = WC,
	};
	struct peerbar_buffer *buffer;
	struct fixture f;

	plain_open(&f);
	CHECK_RET(peerbar_buffer_export(f.mem, MEM_BAR, &range, 1, &options, &buffer), -EOPNOTSUPP);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"capabilities", capabilities},
	{"operations", operations},
	{"kernel_errnos", kernel_errnos},
	{"no_silent_noncached", no_silent_noncached},
};

TAP_MAIN(cases)
