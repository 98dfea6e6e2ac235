// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mapping at congruent addresses, of a memfd: the address, the contents, and
 * nothing left of the detour.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mapping.h"
#include "tap.h"
#include "util.h"

#define MIB (1ul << 20)

/* Of the whole process: whoever watches it (valgrind) may add a little. */
static size_t address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!file || fscanf(file, "%lu", &pages) != 1)
		bail_out("cannot read /proc/self/statm");
	fclose(file);
	return pages * pb_page_size();
}

static void map_at(int fd, uint64_t offset, size_t length, uint64_t congruence, uint64_t align)
{
	const int prot = PROT_READ | PROT_WRITE;
	size_t before = address_space();
	uint32_t value = 0, *map;
	long long left;

	map = pb_map_congruent(fd, offset, length, prot, congruence, align);
	if (!ok(map, "%zu bytes at %#llx modulo %#llx", length, (unsigned long long)congruence,
		(unsigned long long)align))
		return;
	ok(pb_is_aligned((uintptr_t)map - congruence, align), "the address is congruent: %p",
	   (void *)map);
	left = (long long)(address_space() - before - length);
	ok(left > -(long long)MIB && left < (long long)MIB,
	   "nothing but the mapping is left (off by %lld)", left);
	*map = 0x12345678;
	ok(pread(fd, &value, sizeof(value), (off_t)offset) == sizeof(value) && value == 0x12345678,
	   "it is the right part of the file");
	munmap(map, length);
}

/* Where there is no room for 1 GiB aligned to itself, 2 MiB pages will do. */
static void test_second_size(int fd)
{
	const size_t length = 1024 * MIB;
	struct rlimit old, tight;
	uint64_t congruence = 17 * pb_page_size();
	void *map;

	if (ftruncate(fd, (off_t)length) || getrlimit(RLIMIT_AS, &old))
		bail_out("cannot make room: %s", strerror(errno));
	tight = old;
	tight.rlim_cur = address_space() + length + 64 * MIB;
	if (setrlimit(RLIMIT_AS, &tight))
		bail_out("cannot limit the address space: %s", strerror(errno));
	map = pb_map_congruent(fd, 0, length, PROT_READ, congruence, 1024 * MIB);
	setrlimit(RLIMIT_AS, &old);
	ok(map && pb_is_aligned((uintptr_t)map - congruence, 2 * MIB),
	   "no room to align to 1 GiB: to 2 MiB (%p)", map);
	if (map)
		munmap(map, length);
}

int main(void)
{
	size_t page = pb_page_size();
	int fd = memfd_create("mapping", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 64 * MIB))
		bail_out("cannot make a memfd: %s", strerror(errno));
	map_at(fd, 0, page, 0, page);
	map_at(fd, page, 2 * page, page, page);
	map_at(fd, 0, 4 * MIB, 0, 2 * MIB);
	map_at(fd, page, 4 * MIB, 2 * MIB + page, 2 * MIB);
	map_at(fd, 3 * page, 8 * MIB, 17 * page, 2 * MIB);
	map_at(fd, 0, 32 * MIB, 0, 1024 * MIB);

	test_second_size(fd);

	ok(!pb_map_congruent(-1, 0, 4 * MIB, PROT_READ, 0, 2 * MIB) && errno == EBADF,
	   "no descriptor: EBADF");
	ok(!pb_map_congruent(fd, 0, -page, PROT_READ, 0, 2 * MIB), "longer than the address space");
	close(fd);
	return done_testing();
}
