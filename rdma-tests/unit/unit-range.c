// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Which ranges of a BAR and slices of a buffer make sense, and what their
 * addresses are congruent with. Everything near an edge, and everything that
 * wraps around.
 */
#include <errno.h>
#include <stdlib.h>

#include "buffer.h"
#include "mapping.h"
#include "tap.h"
#include "util.h"

static uint64_t page;

static void range_case(const char *name, uint64_t offset, uint64_t length, uint64_t bar, int want)
{
	struct peerbar_range range = {offset, length};
	const char *why = NULL;
	uint64_t total = 42;

	is_int(pb_ranges_check(&range, 1, bar, &total, &why), want, "%s", name);
	is_int((long long)total, want ? 42 : (long long)length, "%s: total", name);
	ok(!want == !why, "%s: %s", name, why ? why : "no complaint");
}

static void test_ranges(void)
{
	uint64_t bar = 16 * page;
	struct peerbar_range many[] = {{0, page}, {4 * page, 2 * page}, {0, page}, {0, bar}};
	struct peerbar_range huge[] = {{0, 1ull << 63}, {0, 1ull << 63}};
	const char *why = NULL;
	uint64_t total = 42;

	range_case("all of the BAR", 0, bar, bar, 0);
	range_case("the last page", bar - page, page, bar, 0);
	range_case("no length", 0, 0, bar, -EINVAL);
	range_case("no length at the end", bar, 0, bar, -EINVAL);
	range_case("a page past the end", bar, page, bar, -EINVAL);
	range_case("across the end", bar - page, 2 * page, bar, -EINVAL);
	range_case("odd offset", 1, page, bar, -EINVAL);
	range_case("odd length", 0, page + 1, bar, -EINVAL);
	range_case("sub-page length", 0, page / 2, bar, -EINVAL);
	range_case("end wraps to 0", -page, page, bar, -EINVAL);
	range_case("end wraps into the BAR", -page, 2 * page, bar, -EINVAL);
	range_case("longest length", 0, -page, bar, -EINVAL);
	range_case("BAR smaller than a page", 0, page, page / 2, -EINVAL);

	is_int(pb_ranges_check(many, 4, bar, &total, &why), 0, "ranges may repeat and overlap");
	is_int((long long)total, (long long)(20 * page), "and add up");
	is_int(pb_ranges_check(many, 0, bar, &total, &why), -EINVAL, "no range");
	is_int(pb_ranges_check(NULL, 1, bar, &total, &why), -EINVAL, "no array");
	is_int(pb_ranges_check(huge, 2, 1ull << 63, &total, &why), -EINVAL, "a sum that wraps");
}

static void test_slices(void)
{
	struct peerbar_buffer buf = {.length = 8 * page};
	const char *why;

	is_int(pb_buffer_check_slice(&buf, 0, 8 * page, &why), 0, "all of it");
	is_int(pb_buffer_check_slice(&buf, 7 * page, page, &why), 0, "its end");
	is_int(pb_buffer_check_slice(&buf, 0, 0, &why), -EINVAL, "nothing");
	is_int(pb_buffer_check_slice(&buf, 8 * page, page, &why), -EINVAL, "past the end");
	is_int(pb_buffer_check_slice(&buf, page, 8 * page, &why), -EINVAL, "across the end");
	is_int(pb_buffer_check_slice(&buf, 1, page, &why), -EINVAL, "odd start");
	is_int(pb_buffer_check_slice(&buf, 0, 1, &why), -EINVAL, "odd size");
	is_int(pb_buffer_check_slice(&buf, -page, 2 * page, &why), -EINVAL, "a slice that wraps");
}

static void test_congruence(void)
{
	struct peerbar_buffer *buf = calloc(1, sizeof(*buf) + 2 * sizeof(buf->ranges[0]));

	is_int((long long)pb_buffer_congruence(buf, 3 * page), (long long)(3 * page),
	       "imported: as if at 0");
	buf->nr_ranges = 2;
	buf->ranges[0] = (struct peerbar_range){5 * page, 2 * page};
	buf->ranges[1] = (struct peerbar_range){64 * page, 4 * page};
	is_int((long long)pb_buffer_congruence(buf, 0), (long long)(5 * page),
	       "start of the first range");
	is_int((long long)pb_buffer_congruence(buf, page), (long long)(6 * page),
	       "inside the first range");
	is_int((long long)pb_buffer_congruence(buf, 2 * page), (long long)(64 * page),
	       "start of the second range");
	is_int((long long)pb_buffer_congruence(buf, 5 * page), (long long)(67 * page),
	       "end of the second range");
	free(buf);
}

static void test_arithmetic(void)
{
	const uint64_t align = 1 << 21;

	for (uint64_t at = 0; at < 4; at++) {
		uint64_t value = at * 0x123000, want = 0x5000;
		uint64_t up = pb_congruent_up(value, want, align);

		ok(up >= value && up - value < align && !((up - want) & (align - 1)),
		   "%#llx goes up to %#llx", (unsigned long long)value, (unsigned long long)up);
	}
	is_int((long long)pb_congruent_up(0x205000, 0x5000, align), 0x205000,
	       "what is congruent stays");
	is_int((long long)pb_huge_align(4096, 4096), 4096, "a small page");
	is_int((long long)pb_huge_align((2 << 20) - 4096, 4096), 4096, "just below 2 MiB");
	is_int((long long)pb_huge_align(2 << 20, 4096), 2 << 20, "2 MiB");
	is_int((long long)pb_huge_align(1ull << 30, 4096), 1ll << 30, "1 GiB");
	is_int((long long)pb_huge_align(1ull << 40, 4096), 1ll << 30, "1 TiB");
	is_int((long long)pb_huge_align(512ull << 20, 65536), 512ll << 20,
	       "512 MiB in pages of 64 KiB");
}

int main(void)
{
	page = pb_page_size();
	test_ranges();
	test_slices();
	test_congruence();
	test_arithmetic();
	return done_testing();
}
