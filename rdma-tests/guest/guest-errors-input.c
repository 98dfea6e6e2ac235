// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Bad input: each gets its own errno, from the library and from the kernel
 * below it, and leaves nothing behind.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)

static void quiet_open(struct peerbar **pb)
{
	CHECK_OK(peerbar_open(NULL, pb));
}

static int try_open(const char *address)
{
	struct peerbar_device *dev = NULL;
	struct peerbar *pb;
	int ret;

	quiet_open(&pb);
	ret = peerbar_device_open(pb, address, NULL, &dev);
	if (!ret)
		peerbar_device_close(dev);
	peerbar_close(pb);
	return ret;
}

/* An address where nothing is, and strings that are no address. */
static void no_such_device(void)
{
	CHECK_RET(try_open("0000:fe:1e.6"), -ENODEV);
	CHECK_RET(try_open("0000:00:1f.9"), -EINVAL);
	CHECK_RET(try_open("hello"), -EINVAL);
	CHECK_RET(try_open(""), -EINVAL);
	CHECK_RET(try_open("0000:00:04.0/../0000:00:05.0"), -EINVAL);
}

static bool is_on_vfio(const char *address)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", address);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	return strstr(target, "vfio");
}

/* Every device of the guest that is not on vfio-pci says so. */
static void not_bound(void)
{
	DIR *devices = opendir("/sys/bus/pci/devices");
	struct dirent *entry;
	int found = 0;

	CHECK(devices, "/sys/bus/pci/devices: %s", strerror(errno));
	while ((entry = readdir(devices))) {
		if (entry->d_name[0] == '.' || is_on_vfio(entry->d_name))
			continue;
		CHECK_RET(try_open(entry->d_name), -ENXIO);
		found++;
	}
	closedir(devices);
	CHECK(found, "every device is on vfio-pci");
}

/* A device that is open already cannot be opened by another. */
static void open_twice(void)
{
	struct fixture f;
	int ret;

	fixture_open(&f, FIXTURE_MEM);
	ret = try_open(fixture_env("PEERBAR_MEMDEV"));
	CHECK(ret == -EBUSY, "second open: %s", strerror(-ret));
	fixture_close(&f);
	CHECK_OK(try_open(fixture_env("PEERBAR_MEMDEV")));
}

static int try_export(struct fixture *f, unsigned int bar, uint64_t offset, uint64_t length)
{
	const struct peerbar_range range = {offset, length};
	struct peerbar_buffer *buffer = NULL;
	int ret = peerbar_buffer_export(f->mem, bar, &range, 1, NULL, &buffer);

	CHECK(!ret == !!buffer, "output written on failure");
	peerbar_buffer_close(buffer);
	return ret;
}

static int kernel_export(struct fixture *f, uint32_t bar, uint64_t offset, uint64_t length)
{
	const struct raw_range range = {offset, length};

	return raw_export(peerbar_device_fd(f->mem), bar, 0, &range, 1);
}

/* BARs that this device does not have, and that no device has. */
static void no_such_bar(void)
{
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM);
	CHECK_RET(try_export(&f, 5, 0, KIB(4)), -ENXIO);
	CHECK_RET(try_export(&f, 6, 0, KIB(4)), -EINVAL);
	CHECK_RET(try_export(&f, UINT32_MAX, 0, KIB(4)), -EINVAL);
	CHECK_RET(kernel_export(&f, 5, 0, KIB(4)), -ENODEV);
	CHECK_RET(kernel_export(&f, 6, 0, KIB(4)), -ENODEV);
	CHECK_RET(kernel_export(&f, 7, 0, KIB(4)), -ENODEV);
	CHECK_RET(kernel_export(&f, UINT32_MAX, 0, KIB(4)), -ENODEV);
	fixture_close(&f);
}

/* Ranges that are no whole pages of the BAR. */
static void bad_ranges(void)
{
	struct fixture f;
	uint64_t end;

	fixture_open(&f, FIXTURE_MEM);
	end = f.mem_length;
	CHECK_RET(try_export(&f, MEM_BAR, 0, 0), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, 1, KIB(4)), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, 0, KIB(4) - 1), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, end, KIB(4)), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, end - KIB(4), KIB(8)), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, 0, end + KIB(4)), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, -KIB(4), KIB(8)), -EINVAL);
	CHECK_RET(try_export(&f, MEM_BAR, KIB(4), -KIB(4)), -EINVAL);
	fixture_close(&f);
}

/* Several ranges, one of them bad; none at all; lengths that overflow. */
static void bad_range_lists(void)
{
	struct peerbar_buffer *buffer;
	struct raw_range ranges[2];
	struct fixture f;
	int device;

	fixture_open(&f, FIXTURE_MEM);
	device = peerbar_device_fd(f.mem);
	CHECK_RET(peerbar_buffer_export(f.mem, MEM_BAR, NULL, 0, NULL, &buffer), -EINVAL);
	CHECK_RET(raw_export(device, MEM_BAR, 0, NULL, 0), -EINVAL);
	ranges[0] = (struct raw_range){0, KIB(4)};
	ranges[1] = (struct raw_range){KIB(4), 0};
	CHECK_RET(raw_export(device, MEM_BAR, 0, ranges, 2), -EINVAL);
	ranges[1] = (struct raw_range){f.mem_length, KIB(4)};
	CHECK_RET(raw_export(device, MEM_BAR, 0, ranges, 2), -EINVAL);
	ranges[0].length = ranges[1].length = 1ULL << 63;
	CHECK_RET(raw_export(device, MEM_BAR, 0, ranges, 2), -EINVAL);
	/* Flags that nobody knows: 1 is the only one that means something. */
	ranges[0].length = KIB(4);
	CHECK_RET(raw_export(device, MEM_BAR, 2, ranges, 1), -EINVAL);
	CHECK_RET(raw_export(device, MEM_BAR, ~0U, ranges, 1), -EINVAL);
	fixture_close(&f);
}

/* Descriptors that are closed, or that are something else. */
static void no_dma_buf(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	int file, gone;

	fixture_open(&f, FIXTURE_MEM | NEED_REVOKE | NEED_MEMATTR);
	file = open("/dev/null", O_RDWR | O_CLOEXEC);
	gone = fcntl(file, F_DUPFD_CLOEXEC, 200);
	close(gone);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, -1), -EBADF);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, gone), -EBADF);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, file), -EINVAL);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, gone, NC), -EBADF);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, file, NC), -EINVAL);
	CHECK_RET(peerbar_device_revoke_fd(f.mem, peerbar_device_fd(f.mem)), -EINVAL);
	CHECK_RET(peerbar_buffer_import(f.pb, file, &buffer), -EINVAL);
	CHECK_RET(peerbar_buffer_import(f.pb, gone, &buffer), -EBADF);
	close(file);
	fixture_close(&f);
}

/* A buffer of one device cannot be taken back through another. */
static void other_device(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | FIXTURE_REG | NEED_SERIES);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(peerbar_device_revoke_fd(f.reg, peerbar_buffer_fd(buffer)), -ENODEV);
	CHECK_RET(peerbar_device_set_memattr_fd(f.reg, peerbar_buffer_fd(buffer), WC), -ENODEV);
	/* And it is none the worse for the attempt. */
	CHECK_OK(peerbar_buffer_revoke(buffer));
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* Attributes that the kernel does not know. */
static void unknown_attribute(void)
{
	struct peerbar_buffer *buffer;
	struct fixture f;
	int fd;

	fixture_open(&f, FIXTURE_MEM | NEED_MEMATTR);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	fd = peerbar_buffer_fd(buffer);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, fd, 2), -ENOENT);
	CHECK_RET(peerbar_device_set_memattr_fd(f.mem, fd, UINT32_MAX), -ENOENT);
	CHECK_OK(peerbar_device_set_memattr_fd(f.mem, fd, WC));
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* Mappings of what the buffer does not have. */
static void bad_mappings(void)
{
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(peerbar_map(buffer, 0, 0, NULL, &map), -EINVAL);
	CHECK_RET(peerbar_map(buffer, 1, KIB(4), NULL, &map), -EINVAL);
	CHECK_RET(peerbar_map(buffer, LENGTH, KIB(4), NULL, &map), -EINVAL);
	CHECK_RET(peerbar_map(buffer, 0, LENGTH + KIB(4), NULL, &map), -EINVAL);
	CHECK_RET(peerbar_map(buffer, KIB(4), LENGTH, NULL, &map), -EINVAL);
	CHECK_RET(peerbar_map(buffer, -KIB(4), KIB(8), NULL, &map), -EINVAL);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* Options of a size or with values that the library does not know. */
static void bad_options(void)
{
	const struct peerbar_range range = {BASE, LENGTH};
	struct peerbar_export_options options = {.size = 1};
	struct {
		struct peerbar_export_options known;
		uint64_t more;
	} larger = {.known = {.size = sizeof(larger)}, .more = 1};
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MEMATTR);
	CHECK_RET(peerbar_buffer_export(f.mem, MEM_BAR, &range, 1, &options, &buffer), -EINVAL);
	CHECK_RET(peerbar_buffer_export(f.mem, MEM_BAR, &range, 1, &larger.known, &buffer), -E2BIG);
	larger.more = 0;
	CHECK_OK(peerbar_buffer_export(f.mem, MEM_BAR, &range, 1, &larger.known, &buffer));
	peerbar_buffer_close(buffer);
	options.size = sizeof(options);
	options.memattr = 7;
	CHECK_RET(peerbar_buffer_export(f.mem, MEM_BAR, &range, 1, &options, &buffer), -ENOENT);
	fixture_close(&f);
}

/* IOVA maps of what cannot be mapped. */
static void bad_iova_maps(void)
{
	struct peerbar_iova_options options = {
		.size = sizeof(options),
		.iova = 1,
		.fixed = true,
	};
	struct peerbar_iova_map *map;
	struct peerbar_buffer *buffer;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | FIXTURE_REG | NEED_IOVA);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(peerbar_iova_map(f.reg, buffer, 0, 0, NULL, &map), -EINVAL);
	CHECK_RET(peerbar_iova_map(f.reg, buffer, LENGTH, KIB(4), NULL, &map), -EINVAL);
	CHECK_RET(peerbar_iova_map(f.reg, buffer, 0, LENGTH + KIB(4), NULL, &map), -EINVAL);
	CHECK_RET(peerbar_iova_map(f.reg, buffer, 0, LENGTH, &options, &map), -EINVAL);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"no_such_device", no_such_device},
	{"not_bound", not_bound},
	{"open_twice", open_twice},
	{"no_such_bar", no_such_bar},
	{"bad_ranges", bad_ranges},
	{"bad_range_lists", bad_range_lists},
	{"no_dma_buf", no_dma_buf},
	{"other_device", other_device},
	{"unknown_attribute", unknown_attribute},
	{"bad_mappings", bad_mappings},
	{"bad_options", bad_options},
	{"bad_iova_maps", bad_iova_maps},
};

TAP_MAIN(cases)
