// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Finding DMA addresses: holes, limits, congruence, smaller alignments, the
 * IOMMU's own pages, both ends of the address space, and what it costs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "iova.h"
#include "tap.h"
#include "util.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define RANGES(r)                                   \
	{                                           \
		r, sizeof(r) / sizeof((r)[0]), 4096 \
	}

static struct pb_iova_range vtd_ranges[] = {{0, 0xfedfffff}, {0xfef00000, (1ull << 39) - 1}};
static struct pb_iova_range all_ranges[] = {{0, UINT64_MAX}};
static const struct pb_iova_ranges vtd = RANGES(vtd_ranges);
static const struct pb_iova_ranges all = RANGES(all_ranges);
static const struct pb_iova_ranges none = {vtd_ranges, 0, 4096};
/* Of an IOMMU whose pages are larger than the CPU's. */
static const struct pb_iova_ranges coarse = {vtd_ranges, 2, 64 * KIB};

static struct pb_iova_area *take(struct pb_iova_area **root, struct pb_iova_area *area,
				 uint64_t start, uint64_t length)
{
	*area = (struct pb_iova_area){.start = start, .last = start + (length - 1)};
	pb_iova_tree_insert(root, area);
	return area;
}

static void find(const char *name, const struct pb_iova_ranges *ranges,
		 const struct pb_iova_area *taken, struct pb_iova_request request, int want_ret,
		 uint64_t want)
{
	uint64_t iova = 0x42;

	is_int(pb_iova_find(ranges, taken, &request, &iova), want_ret, "%s", name);
	is_int((long long)iova, want_ret ? 0x42 : (long long)want, "%s: the address", name);
}

static void test_find(void)
{
	struct pb_iova_area areas[8], *low = NULL, *most = NULL, *top = NULL;

	take(&low, &areas[0], 4096, 4096);
	take(&low, &areas[1], 12288, 4096);
	take(&most, &areas[2], 4096, 0xfedff000 - 4096);
	take(&top, &areas[3], 4096, -4096ull - 4096 + 4096);
	find("an empty space: not 0", &vtd, NULL, (struct pb_iova_request){4096, 0, 0, 4096}, 0,
	     4096);
	find("congruent", &vtd, NULL, (struct pb_iova_request){4 * MIB, 0, 0x5000, 2 * MIB}, 0,
	     0x5000);
	find("aligned", &vtd, NULL, (struct pb_iova_request){4 * MIB, 0, 0, 2 * MIB}, 0, 2 * MIB);
	find("between two", &vtd, low, (struct pb_iova_request){4096, 0, 0, 4096}, 0, 8192);
	find("behind two", &vtd, low, (struct pb_iova_request){8192, 0, 0, 4096}, 0, 16384);
	find("the second range", &vtd, most, (struct pb_iova_request){2 * MIB, 0, 0, 2 * MIB}, 0,
	     0xff000000);
	find("below the limit", &vtd, NULL, (struct pb_iova_request){1 << 27, 1 << 28, 0, 2 * MIB},
	     0, 2 * MIB);
	find("exactly below the limit", &vtd, NULL, (struct pb_iova_request){4096, 8192, 0, 4096},
	     0, 4096);
	find("no room below the limit", &vtd, NULL, (struct pb_iova_request){8192, 8192, 0, 4096},
	     -ENOSPC, 0);
	find("longer than all of it", &vtd, NULL, (struct pb_iova_request){1ull << 40, 0, 0, 4096},
	     -ENOSPC, 0);
	find("the top is taken", &all, top, (struct pb_iova_request){8192, 0, 0, 4096}, -ENOSPC, 0);
	find("no ranges", &none, NULL, (struct pb_iova_request){4096, 0, 0, 4096}, -ENOSPC, 0);
}

static void test_alignments(void)
{
	struct pb_iova_area area, *taken = NULL;

	find("no hole at 1 GiB: at 2 MiB", &vtd, NULL,
	     (struct pb_iova_request){GIB, 2 * GIB, 0, GIB}, 0, GIB);
	find("none aligned to 1 GiB below the limit: 2 MiB", &vtd, NULL,
	     (struct pb_iova_request){GIB, GIB + 8 * MIB, 0x5000, GIB}, 0, 0x5000);
	find("the same, the first is not to be had", &vtd, NULL,
	     (struct pb_iova_request){GIB, GIB + 8 * MIB, 0, GIB}, 0, 2 * MIB);
	find("nor at 2 MiB: small pages", &vtd, NULL,
	     (struct pb_iova_request){GIB, GIB + 8192, 0, GIB}, 0, 4096);
	find("of an IOMMU with larger pages", &coarse, NULL,
	     (struct pb_iova_request){64 * KIB, 0, 0x5000, 4096}, 0, 64 * KIB);
	take(&taken, &area, 64 * KIB, 64 * KIB);
	find("the next one", &coarse, taken, (struct pb_iova_request){64 * KIB, 0, 0, 4096}, 0,
	     128 * KIB);
}

static void check(const char *name, uint64_t iova, uint64_t length, uint64_t limit,
		  const struct pb_iova_area *taken, int want)
{
	struct pb_iova_request request = {length, limit, 0, 4096};

	is_int(pb_iova_check(&vtd, taken, &request, iova), want, "%s", name);
}

static void test_check(void)
{
	struct pb_iova_request request = {64 * KIB, 0, 0, 4096};
	struct pb_iova_area area, *taken = NULL;

	take(&taken, &area, 8192, 8192);
	check("free", 4096, 4096, 0, taken, 0);
	check("0, when asked for", 0, 4096, 0, taken, 0);
	check("right behind", 16384, 4096, 0, taken, 0);
	check("the same", 8192, 8192, 0, taken, -EEXIST);
	check("overlapping its start", 4096, 8192, 0, taken, -EEXIST);
	check("overlapping its end", 12288, 8192, 0, taken, -EEXIST);
	check("around it", 4096, 1 << 20, 0, taken, -EEXIST);
	check("inside", 12288, 4096, 0, taken, -EEXIST);
	check("reserved", 0xfee00000, 4096, 0, NULL, -ERANGE);
	check("across a reserved range", 0xfedff000, 8192, 0, NULL, -ERANGE);
	check("beyond the IOMMU", 1ull << 39, 4096, 0, NULL, -ERANGE);
	check("across the IOMMU's end", (1ull << 39) - 4096, 8192, 0, NULL, -ERANGE);
	check("wrapping around", -4096ull, 8192, 0, NULL, -ERANGE);
	check("below the limit", 4096, 4096, 8192, NULL, 0);
	check("across the limit", 4096, 8192, 8192, NULL, -ERANGE);
	check("at the limit", 8192, 4096, 8192, NULL, -ERANGE);
	is_int(pb_iova_check(&coarse, NULL, &request, 0x1000), -EINVAL,
	       "not a multiple of the IOMMU's pages");
	is_int(pb_iova_check(&coarse, NULL, &request, 0x10000), 0, "one that is");
}

/* Against a table of pages, which is slow and simple ------------------------------ */

#define PAGES 512

static bool model_find(const bool *used, uint64_t pages, uint64_t align, uint64_t *at)
{
	for (uint64_t i = align; i + pages <= PAGES; i += align) {
		uint64_t n = 0;

		while (n < pages && !used[i + n])
			n++;
		if (n == pages) {
			*at = i;
			return true;
		}
	}
	return false;
}

static unsigned int tree_depth(const struct pb_iova_area *area)
{
	if (!area)
		return 0;
	return 1 + PB_MAX(tree_depth(area->left), tree_depth(area->right));
}

/* One round of taking or giving back; false where tree and table differ. */
static bool agree(struct pb_iova_area **root, struct pb_iova_area *areas, bool *used)
{
	unsigned int which = (unsigned int)rand() % 64;
	struct pb_iova_area *area = &areas[which];
	uint64_t pages = 1 + (uint64_t)rand() % 12, align = 1ull << (rand() % 4), at = 0;
	struct pb_iova_request request = {pages * 4096, 0, 0, align * 4096};
	bool found;

	if (area->last) {
		pb_iova_tree_remove(root, area);
		memset(&used[area->start / 4096], 0, (area->last + 1 - area->start) / 4096);
		area->last = 0;
		return true;
	}
	found = model_find(used, pages, align, &at);
	if (pb_iova_tree_find(*root, 1, PAGES * 4096 - 1, &request, &area->start) != found)
		return false;
	if (!found)
		return true;
	if (area->start != at * 4096)
		return false;
	area->last = area->start + pages * 4096 - 1;
	memset(&used[at], 1, pages);
	pb_iova_tree_insert(root, area);
	return tree_depth(*root) <= 9; /* 1.44 log2 64 */
}

static void test_model(void)
{
	struct pb_iova_area areas[64] = {}, *root = NULL;
	bool used[PAGES] = {};
	unsigned int rounds = 0;

	srand(1);
	while (rounds < 50000 && agree(&root, areas, used))
		rounds++;
	is_int(rounds, 50000, "takes the lowest address each time, and stays balanced");
}

/* What it costs --------------------------------------------------------------------- */

static double used(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds for taking @n addresses, and @n more between and behind them. */
static double time_of(size_t n, uint64_t unaligned)
{
	const struct pb_iova_request small = {4096, 0, 0, 4096};
	const struct pb_iova_request large = {2 * MIB, 0, 0, 2 * MIB};
	struct pb_iova_area *areas = calloc(2 * n, sizeof(*areas)), *root = NULL;
	double start = used();

	/* Every other page, or holes of 2 MiB that are not aligned. */
	for (size_t i = 0; i < n; i++)
		take(&root, &areas[i], 4096 + i * (unaligned ? unaligned : 8192), 4096);
	for (size_t i = n; i < 2 * n; i++) {
		if (pb_iova_find(&all, root, i % 2 && !unaligned ? &small : &large,
				 &areas[i].start))
			bail_out("no address");
		take(&root, &areas[i], areas[i].start, i % 2 && !unaligned ? 4096 : 2 * MIB);
	}
	start = used() - start;
	free(areas);
	return start;
}

static double least_of_three(size_t n, uint64_t unaligned)
{
	double a = time_of(n, unaligned), b = time_of(n, unaligned), c = time_of(n, unaligned);

	return PB_MIN(a, PB_MIN(b, c));
}

/* Four times as many: five times the time or so, where going through all takes 16. */
static void cost(const char *name, uint64_t unaligned)
{
	double few = least_of_three(10000, unaligned), many = least_of_three(40000, unaligned);

	note("10000: %.1f ms, 40000: %.1f ms", few * 1e3, many * 1e3);
	ok(many < 12 * few, "%s: an address costs O(log n)", name);
}

int main(void)
{
	test_find();
	test_alignments();
	test_check();
	test_model();
	cost("between others", 0);
	cost("where no hole fits", 2 * MIB + 8192);
	return done_testing();
}
