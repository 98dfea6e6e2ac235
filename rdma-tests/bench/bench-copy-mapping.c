// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Copies from host memory into a mapping of a BAR: by the C library, by a plain
 * loop of non-temporal stores, and by peerbar_copy_to(). Each copy is complete
 * before the next: the fences are part of it.
 */
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <peerbar/mmio.h>

#include "fixture.h"
#include "measure.h"

#define LENGTH	     MIB(64)
#define SAMPLE_BYTES MIB(2)
#define COPIES_MAX   4096

static const uint64_t sizes[] = {
	8, 16, 24, 64, 128, 256, KIB(1), KIB(4), KIB(16), KIB(64), MIB(1), MIB(8), LENGTH,
};

typedef void (*copy_fn)(volatile void *to, const void *from, size_t n);

struct way {
	copy_fn copy;
	volatile uint8_t *to;
	const uint8_t *from;
	size_t n;
	unsigned int copies;
};

static void by_memcpy(volatile void *to, const void *from, size_t n)
{
	memcpy((void *)(uintptr_t)to, from, n);
}

/* As anybody would write it first. Sizes here are multiples of 8. */
static void by_loop(volatile void *to, const void *from, size_t n)
{
#if defined(__x86_64__)
	char *dst = (char *)(uintptr_t)to;
	const char *src = from;

	for (; n >= 16; n -= 16, dst += 16, src += 16)
		_mm_stream_si128((__m128i *)dst, _mm_loadu_si128((const __m128i *)src));
	for (; n; n -= 8, dst += 8, src += 8) {
		long long word;

		memcpy(&word, src, sizeof(word));
		_mm_stream_si64((long long *)dst, word);
	}
#else
	volatile uint64_t *dst = to;
	const uint64_t *src = from;

	for (size_t i = 0; i < n / 8; i++)
		dst[i] = src[i];
#endif
}

static void by_library(volatile void *to, const void *from, size_t n)
{
	peerbar_copy_to(to, from, n);
}

static double sample(void *arg)
{
	const struct way *way = arg;
	double start = measure_now();

	for (unsigned int i = 0; i < way->copies; i++) {
		peerbar_wc_start();
		way->copy(way->to, way->from, way->n);
		peerbar_wc_flush();
	}
	return (measure_now() - start) / way->copies;
}

static unsigned int copies_of(uint64_t size)
{
	uint64_t copies = SAMPLE_BYTES / size;

	if (copies > COPIES_MAX)
		return COPIES_MAX;
	return copies ? (unsigned int)copies : 1;
}

static void compare(const struct slice *slice, const uint8_t *from, const char *name, uint64_t size,
		    unsigned int rounds)
{
	const struct measure_point point = {"copy", name, size, "ns"};
	struct way ways[] = {
		{.copy = by_memcpy},
		{.copy = by_loop},
		{.copy = by_library},
	};
	const struct measure_side sides[] = {
		{"memcpy", sample, &ways[0]},
		{"streaming-loop", sample, &ways[1]},
		{"peerbar", sample, &ways[2]},
	};

	for (int i = 0; i < 3; i++) {
		ways[i].to = slice->at;
		ways[i].from = from;
		ways[i].n = size;
		ways[i].copies = copies_of(size);
	}
	measure(&point, sides, 3, rounds);
}

static void compare_all(struct fixture *f, const uint8_t *from, enum peerbar_memattr memattr,
			const char *name, unsigned int rounds)
{
	struct slice slice;

	slice_open(f, 0, LENGTH, memattr, &slice);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		compare(&slice, from, name, sizes[i], rounds);
	slice_close(&slice);
}

int main(int argc, char **argv)
{
	unsigned int rounds = measure_begin(argc, argv);
	struct fixture f;
	uint8_t *from;

	fixture_open(&f, FIXTURE_MEM | NEED_SERIES);
	CHECK(f.mem_length >= LENGTH, "wants a memory device of 64 MiB");
	from = malloc(LENGTH);
	CHECK(from, "out of memory");
	memset(from, 1, LENGTH);
	compare_all(&f, from, WC, "wc", rounds);
	compare_all(&f, from, NC, "nc", rounds);
	free(from);
	fixture_close(&f);
	return 0;
}
