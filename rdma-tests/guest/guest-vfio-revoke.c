// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Revoked for a while, and revoked for good. */
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define NEEDS  (FIXTURE_MEM | NEED_MMAP | NEED_REVOKE)

/* Every way to a buffer that was revoked for good is shut. */
static void demand_dead(struct fixture *f, struct slice *slice)
{
	int fd = peerbar_buffer_fd(slice->buffer);

	demand_revoked(slice->at);
	demand_revoked(slice->at + slice->length - 4);
	CHECK_RET(try_mmap(fd, slice->length, PROT_READ, MAP_SHARED, 0, NULL), -ENODEV);
	CHECK_RET(raw_revoke(peerbar_device_fd(f->mem), fd), -EBADFD);
	/* The attribute is of no use any more, and does no harm. */
	CHECK_OK(raw_memattr(peerbar_device_fd(f->mem), fd, WC));
	CHECK_RET(peerbar_buffer_revoke(slice->buffer), -EBADFD);
}

/* The mapping faults, new ones are refused, a second revoke says so. */
static void permanent(void)
{
	struct fixture f;
	struct slice slice;

	fixture_open(&f, NEEDS | NEED_MEMATTR);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	demand_alive(slice.at);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_dead(&f, &slice);
	slice_close(&slice);
	fixture_close(&f);
}

/* A mapping that was never touched faults as well. */
static void permanent_untouched(void)
{
	struct fixture f;
	struct slice slice;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_dead(&f, &slice);
	slice_close(&slice);
	fixture_close(&f);
}

/* A hundred mappings of one buffer all go at once. */
static void permanent_many_mappings(void)
{
	struct peerbar_mapping *maps[100];
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, NEEDS);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	for (int i = 0; i < 100; i++) {
		CHECK_OK(peerbar_map(buffer, 0, LENGTH, NULL, &maps[i]));
		demand_alive(peerbar_mapping_addr(maps[i]));
	}
	CHECK_OK(peerbar_buffer_revoke(buffer));
	for (int i = 0; i < 100; i++)
		demand_revoked(peerbar_mapping_addr(maps[i]));
	for (int i = 0; i < 100; i++)
		peerbar_unmap(maps[i]);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* A buffer of many ranges is revoked in every one of them. */
static void permanent_many_ranges(void)
{
	struct peerbar_range ranges[8];
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	volatile uint8_t *at;
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (int i = 0; i < 8; i++)
		ranges[i] = (struct peerbar_range){MIB(8 - i), f.page};
	CHECK_OK(peerbar_buffer_export(f.mem, MEM_BAR, ranges, 8, NULL, &buffer));
	CHECK_OK(peerbar_map(buffer, 0, 8 * f.page, NULL, &map));
	at = peerbar_mapping_addr(map);
	for (int i = 0; i < 8; i++)
		demand_alive(at + i * f.page);
	CHECK_OK(peerbar_buffer_revoke(buffer));
	for (int i = 0; i < 8; i++)
		demand_revoked(at + i * f.page + 8 * i);
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* A system call that meets the revoked mapping gets EFAULT, not a signal. */
static void permanent_system_call(void)
{
	struct fixture f;
	struct slice slice;
	int ends[2];

	fixture_open(&f, NEEDS);
	CHECK_SYS(pipe(ends), 0);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	CHECK(write(ends[1], (void *)slice.at, 16) == 16, "write before");
	CHECK(read(ends[0], (void *)slice.at, 16) == 16, "read before");
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	CHECK_SYS(write(ends[1], (void *)slice.at, 16), EFAULT);
	slice_close(&slice);
	close(ends[0]);
	close(ends[1]);
	fixture_close(&f);
}

/* A reset takes nothing away for good; contents of the memory survive it. */
static void reset_comes_back(void)
{
	struct fixture f;
	struct slice slice;

	fixture_open(&f, NEEDS | NEED_RESET);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	pattern_fill(slice.at, LENGTH, 1);
	CHECK_OK(peerbar_device_reset(f.mem));
	demand_alive(slice.at);
	CHECK(pattern_matches(slice.at, LENGTH, 1), "contents are gone");
	CHECK_RET(try_mmap(peerbar_buffer_fd(slice.buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		  0);
	slice_close(&slice);
	fixture_close(&f);
}

/* No reset brings back what was revoked for good, neighbours it does. */
static void reset_leaves_permanent(void)
{
	struct fixture f;
	struct slice dead, alive;

	fixture_open(&f, NEEDS | NEED_RESET);
	slice_open(&f, BASE, LENGTH, NC, &dead);
	slice_open(&f, BASE + LENGTH, LENGTH, NC, &alive);
	CHECK_OK(peerbar_buffer_revoke(dead.buffer));
	for (int i = 0; i < 3; i++) {
		CHECK_OK(peerbar_device_reset(f.mem));
		demand_revoked(dead.at);
		demand_alive(alive.at);
	}
	CHECK_RET(try_mmap(peerbar_buffer_fd(dead.buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		  -ENODEV);
	CHECK_RET(peerbar_buffer_revoke(dead.buffer), -EBADFD);
	slice_close(&alive);
	slice_close(&dead);
	fixture_close(&f);
}

/* While memory decode is off nobody reaches the BAR; then it comes back. */
static void decode_off(void)
{
	struct fixture f;
	struct slice slice;
	int device;

	fixture_open(&f, NEEDS);
	device = peerbar_device_fd(f.mem);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	pattern_fill(slice.at, LENGTH, 2);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(raw_set_memory_decode(device, 0));
		demand_revoked(slice.at);
		CHECK_RET(try_mmap(peerbar_buffer_fd(slice.buffer), LENGTH, PROT_READ, MAP_SHARED,
				   0, NULL),
			  -EAGAIN);
		CHECK_OK(raw_set_memory_decode(device, 1));
		demand_alive(slice.at);
		CHECK(pattern_matches(slice.at, LENGTH, 2), "contents");
	}
	slice_close(&slice);
	fixture_close(&f);
}

/* Buffers without a file do no harm to what goes through all buffers, nor to closing the device. */
static void without_file(void)
{
	enum { COUNT = 16 };
	int orphans[COUNT];
	struct fixture f;
	struct slice slice;
	int device;

	fixture_open(&f, NEEDS | NEED_RESET);
	device = peerbar_device_fd(f.mem);
	for (int i = 0; i < COUNT; i++)
		orphans[i] = fixture_orphan(f.mem, MEM_BAR, BASE, LENGTH);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	for (int i = 0; i < 3; i++) {
		CHECK_OK(peerbar_device_reset(f.mem));
		demand_alive(slice.at);
		CHECK_OK(raw_set_memory_decode(device, 0));
		demand_revoked(slice.at);
		CHECK_OK(raw_set_memory_decode(device, 1));
		demand_alive(slice.at);
	}
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	slice_close(&slice);
	fixture_close(&f);
	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	demand_alive(slice.at);
	slice_close(&slice);
	for (int i = 0; i < COUNT; i++)
		close(orphans[i]);
	fixture_close(&f);
}

/* Revoked for good while decode is off: turning it on changes nothing. */
static void permanent_while_off(void)
{
	struct fixture f;
	struct slice slice;
	int device;

	fixture_open(&f, NEEDS | NEED_MEMATTR);
	device = peerbar_device_fd(f.mem);
	slice_open(&f, BASE, LENGTH, NC, &slice);
	CHECK_OK(raw_set_memory_decode(device, 0));
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_dead(&f, &slice);
	CHECK_OK(raw_set_memory_decode(device, 1));
	demand_dead(&f, &slice);
	slice_close(&slice);
	fixture_close(&f);
}

/* A buffer exported while decode is off works once it is on. */
static void export_while_off(void)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct fixture f;
	int device;

	fixture_open(&f, NEEDS);
	device = peerbar_device_fd(f.mem);
	CHECK_OK(raw_set_memory_decode(device, 0));
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(try_mmap(peerbar_buffer_fd(buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		  -EAGAIN);
	CHECK_OK(raw_set_memory_decode(device, 1));
	CHECK_OK(peerbar_map(buffer, 0, LENGTH, NULL, &map));
	demand_alive(peerbar_mapping_addr(map));
	peerbar_unmap(map);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* Flags and sizes of the feature are checked as for any other. */
static void feature_arguments(void)
{
	struct fixture f;
	int device;

	fixture_open(&f, NEEDS);
	device = peerbar_device_fd(f.mem);
	CHECK_RET(raw_revoke_flags(device, RAW_FEATURE_PROBE | RAW_FEATURE_SET, 4), 0);
	CHECK_RET(raw_revoke_flags(device, RAW_FEATURE_GET, 4), -EINVAL);
	CHECK_RET(raw_revoke_flags(device, RAW_FEATURE_PROBE | RAW_FEATURE_GET, 4), -EINVAL);
	CHECK_RET(raw_revoke_flags(device, RAW_FEATURE_SET, 0), -EINVAL);
	CHECK_RET(raw_revoke_flags(device, RAW_FEATURE_SET, 4), -EBADF);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"permanent", permanent},
	{"permanent_untouched", permanent_untouched},
	{"permanent_many_mappings", permanent_many_mappings},
	{"permanent_many_ranges", permanent_many_ranges},
	{"permanent_system_call", permanent_system_call},
	{"reset_comes_back", reset_comes_back},
	{"reset_leaves_permanent", reset_leaves_permanent},
	{"decode_off", decode_off},
	{"without_file", without_file},
	{"permanent_while_off", permanent_while_off},
	{"export_while_off", export_while_off},
	{"feature_arguments", feature_arguments},
};

TAP_MAIN(cases)
