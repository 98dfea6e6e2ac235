// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Finding DMA addresses: holes, limits, congruence, and both ends of the
 * address space.
 */
#include <errno.h>

#include "iova.h"
#include "tap.h"
#include "util.h"

#define MIB	  (1ull << 20)
#define RANGES(r) r, sizeof(r) / sizeof((r)[0])

static const struct pb_iova_range vtd[] = {{0, 0xfedfffff}, {0xfef00000, (1ull << 39) - 1}};
static const struct pb_iova_range all[] = {{0, UINT64_MAX}};

static struct peerbar_iova_map *chain(struct peerbar_iova_map *maps, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		maps[i].next = &maps[i + 1];
	return maps;
}

static void find(const char *name, const struct pb_iova_range *ranges, size_t nr_ranges,
		 const struct peerbar_iova_map *maps, struct pb_iova_request request, int want_ret,
		 uint64_t want)
{
	uint64_t iova = 0x42;

	is_int(pb_iova_find(ranges, nr_ranges, maps, &request, &iova), want_ret, "%s", name);
	is_int((long long)iova, want_ret ? 0x42 : (long long)want, "%s: the address", name);
}

static void test_find(void)
{
	struct peerbar_iova_map low[] = {{.iova = 4096, .length = 4096},
					 {.iova = 12288, .length = 4096}};
	struct peerbar_iova_map most[] = {{.iova = 4096, .length = 0xfedff000 - 4096}};
	struct peerbar_iova_map top[] = {{.iova = 4096, .length = -4096ull - 4096 + 4096}};

	find("an empty space: not 0", RANGES(vtd), NULL, (struct pb_iova_request){4096, 0, 0, 4096},
	     0, 4096);
	find("congruent", RANGES(vtd), NULL, (struct pb_iova_request){4 * MIB, 0, 0x5000, 2 * MIB},
	     0, 0x5000);
	find("aligned", RANGES(vtd), NULL, (struct pb_iova_request){4 * MIB, 0, 0, 2 * MIB}, 0,
	     2 * MIB);
	find("between two", RANGES(vtd), chain(low, 2), (struct pb_iova_request){4096, 0, 0, 4096},
	     0, 8192);
	find("behind two", RANGES(vtd), chain(low, 2), (struct pb_iova_request){8192, 0, 0, 4096},
	     0, 16384);
	find("the second range", RANGES(vtd), most,
	     (struct pb_iova_request){2 * MIB, 0, 0, 2 * MIB}, 0, 0xff000000);
	find("below the limit", RANGES(vtd), NULL,
	     (struct pb_iova_request){1 << 27, 1 << 28, 0, 2 * MIB}, 0, 2 * MIB);
	find("exactly below the limit", RANGES(vtd), NULL,
	     (struct pb_iova_request){4096, 8192, 0, 4096}, 0, 4096);
	find("no room below the limit", RANGES(vtd), NULL,
	     (struct pb_iova_request){8192, 8192, 0, 4096}, -ENOSPC, 0);
	find("longer than all of it", RANGES(vtd), NULL,
	     (struct pb_iova_request){1ull << 40, 0, 0, 4096}, -ENOSPC, 0);
	find("the top is taken", RANGES(all), top, (struct pb_iova_request){8192, 0, 0, 4096},
	     -ENOSPC, 0);
	find("no ranges", vtd, 0, NULL, (struct pb_iova_request){4096, 0, 0, 4096}, -ENOSPC, 0);
}

static void check(const char *name, uint64_t iova, uint64_t length, uint64_t limit,
		  const struct peerbar_iova_map *maps, int want)
{
	struct pb_iova_request request = {length, limit, 0, 4096};

	is_int(pb_iova_check(RANGES(vtd), maps, &request, iova), want, "%s", name);
}

static void test_check(void)
{
	struct peerbar_iova_map map = {.iova = 8192, .length = 8192};

	check("free", 4096, 4096, 0, &map, 0);
	check("0, when asked for", 0, 4096, 0, &map, 0);
	check("right behind", 16384, 4096, 0, &map, 0);
	check("the same", 8192, 8192, 0, &map, -EEXIST);
	check("overlapping its start", 4096, 8192, 0, &map, -EEXIST);
	check("overlapping its end", 12288, 8192, 0, &map, -EEXIST);
	check("around it", 4096, 1 << 20, 0, &map, -EEXIST);
	check("inside", 12288, 4096, 0, &map, -EEXIST);
	check("reserved", 0xfee00000, 4096, 0, NULL, -ERANGE);
	check("across a reserved range", 0xfedff000, 8192, 0, NULL, -ERANGE);
	check("beyond the IOMMU", 1ull << 39, 4096, 0, NULL, -ERANGE);
	check("across the IOMMU's end", (1ull << 39) - 4096, 8192, 0, NULL, -ERANGE);
	check("wrapping around", -4096ull, 8192, 0, NULL, -ERANGE);
	check("below the limit", 4096, 4096, 8192, NULL, 0);
	check("across the limit", 4096, 8192, 8192, NULL, -ERANGE);
	check("at the limit", 8192, 4096, 8192, NULL, -ERANGE);
}

int main(void)
{
	test_find();
	test_check();
	return done_testing();
}
