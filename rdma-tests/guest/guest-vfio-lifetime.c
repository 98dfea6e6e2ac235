// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Who keeps what alive: descriptors, mappings, the device. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"

#define LENGTH KIB(64)

/* A buffer's mapping, made without libpeerbar so that it may outlive it all. */
static volatile uint8_t *map_fd(int fd)
{
	void *at = NULL;

	CHECK_OK(try_mmap(fd, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &at));
	return at;
}

/* The mapping works on after the last descriptor was closed. */
static void mapping_outlives_descriptor(void)
{
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	buffer = fixture_export(f.mem, MEM_BAR, MIB(1), LENGTH, NC);
	at = map_fd(peerbar_buffer_fd(buffer));
	peerbar_buffer_close(buffer);
	pattern_fill(at, LENGTH, 1);
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
	munmap((void *)at, LENGTH);
	fixture_close(&f);
}

/* Closing the device takes everything back that was exported from it. */
static void device_close_revokes(void)
{
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;
	int fd;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	buffer = fixture_export(f.mem, MEM_BAR, MIB(1), LENGTH, NC);
	fd = fcntl(peerbar_buffer_fd(buffer), F_DUPFD_CLOEXEC, 0);
	CHECK(fd >= 0, "dup");
	at = map_fd(fd);
	demand_alive(at);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
	demand_revoked(at);
	demand_revoked(at + LENGTH - 4);
	CHECK_RET(try_mmap(fd, LENGTH, PROT_READ, MAP_SHARED, 0, NULL), -ENODEV);
	munmap((void *)at, LENGTH);
	close(fd);
}

/* A buffer whose device was closed belongs to nobody, for good. */
static void orphan(void)
{
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;
	int fd;

	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	buffer = fixture_export(f.mem, MEM_BAR, MIB(1), LENGTH, NC);
	fd = fcntl(peerbar_buffer_fd(buffer), F_DUPFD_CLOEXEC, 0);
	at = map_fd(fd);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
	/* The device opened again does not know it any more. */
	fixture_open(&f, FIXTURE_MEM);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, fd), -ENODEV);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, fd, WC), -ENODEV);
	demand_revoked(at);
	munmap((void *)at, LENGTH);
	close(fd);
	fixture_close(&f);
}

/* A device closed and opened again can export the same range. */
static void reopen(void)
{
	struct fixture f;
	struct slice slice;

	for (uint32_t i = 0; i < 5; i++) {
		fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
		slice_open(&f, MIB(1), LENGTH, i % 2 ? NC : WC, &slice);
		pattern_fill(slice.at, LENGTH, i);
		CHECK(pattern_matches(slice.at, LENGTH, i), "round %u", i);
		slice_close(&slice);
		fixture_close(&f);
	}
}

/* A process that ends with everything open leaves nothing behind. */
static void hold_everything(void *arg)
{
	struct fixture f;
	struct slice slice;

	(void)arg;
	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	slice_open(&f, MIB(2), LENGTH, WC, &slice);
	pattern_fill(slice.at, LENGTH, 7);
}

static void exit_with_all_open(void)
{
	struct fixture f;
	struct slice slice;

	for (int i = 0; i < 3; i++)
		tap_join(tap_fork(hold_everything, NULL));
	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	slice_open(&f, MIB(2), LENGTH, NC, &slice);
	demand_alive(slice.at);
	slice_close(&slice);
	fixture_close(&f);
}

/* A duplicate descriptor names the same buffer: revoking one revokes both. */
static void duplicate(void)
{
	struct peerbar_buffer *copy;
	struct peerbar_mapping *mapping;
	struct fixture f;
	struct slice slice;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, 0, LENGTH, NC, &slice);
	CHECK_OK(peerbar_buffer_import(f.pb, peerbar_buffer_fd(slice.buffer), &copy));
	CHECK(peerbar_buffer_length(copy) == LENGTH, "wrong length");
	CHECK_OK(peerbar_map(copy, 0, LENGTH, NULL, &mapping));
	demand_alive(peerbar_mapping_addr(mapping));
	/* Only who exported it may do these. */
	CHECK_RET(peerbar_buffer_revoke(copy), -EOPNOTSUPP);
	CHECK_RET(peerbar_buffer_set_memattr(copy, WC), -EOPNOTSUPP);
	CHECK_OK(peerbar_device_revoke_fd(f.mem, peerbar_buffer_fd(copy)));
	demand_revoked(slice.at);
	demand_revoked(peerbar_mapping_addr(mapping));
	peerbar_unmap(mapping);
	peerbar_buffer_close(copy);
	slice_close(&slice);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"mapping_outlives_descriptor", mapping_outlives_descriptor},
	{"device_close_revokes", device_close_revokes},
	{"orphan", orphan},
	{"reopen", reopen},
	{"exit_with_all_open", exit_with_all_open},
	{"duplicate", duplicate},
};

TAP_MAIN(cases)
