// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The primitives of peerbar/mmio.h on ordinary memory: what they write, that
 * they write nothing else, at every alignment and length.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "tap.h"

#define ROOM   512
#define MARGIN 128

static unsigned char device[ROOM] __attribute__((aligned(64)));
static unsigned char host[ROOM] __attribute__((aligned(64)));

static void fill(unsigned char *p, unsigned int seed)
{
	for (size_t i = 0; i < ROOM; i++)
		p[i] = (unsigned char)(i * 7 + seed);
}

/* True if @p still holds what fill() put there, but for [from, from + n). */
static bool rest_untouched(const unsigned char *p, unsigned int seed, size_t from, size_t n)
{
	for (size_t i = 0; i < ROOM; i++) {
		if ((i < from || i >= from + n) && p[i] != (unsigned char)(i * 7 + seed))
			return false;
	}
	return true;
}

static void test_single(void)
{
	fill(device, 1);
	peerbar_write8(device + MARGIN + 1, 0xa5);
	ok(device[MARGIN + 1] == 0xa5 && rest_untouched(device, 1, MARGIN + 1, 1), "write8");
	is_int(peerbar_read8(device + MARGIN + 1), 0xa5, "read8");
	fill(device, 1);
	peerbar_write16(device + MARGIN + 2, 0xa55a);
	is_int(peerbar_read16(device + MARGIN + 2), 0xa55a, "read16");
	ok(rest_untouched(device, 1, MARGIN + 2, 2), "write16");
	fill(device, 1);
	peerbar_write32(device + MARGIN + 4, 0x12345678);
	is_int(peerbar_read32(device + MARGIN + 4), 0x12345678, "read32");
	ok(rest_untouched(device, 1, MARGIN + 4, 4), "write32");
	fill(device, 1);
	peerbar_write64(device + MARGIN + 8, 0x123456789abcdef0);
	is_int((long long)peerbar_read64(device + MARGIN + 8), 0x123456789abcdef0, "read64");
	ok(rest_untouched(device, 1, MARGIN + 8, 8), "write64");
}

static void test_push(void)
{
	bool good = true;

	for (size_t from = 0; from < 64; from++) {
		fill(device, 1);
		fill(host, 2);
		peerbar_wc_start();
		peerbar_wc_push64(device + MARGIN, host + from);
		peerbar_wc_flush();
		good &= !memcmp(device + MARGIN, host + from, 64) &&
			rest_untouched(device, 1, MARGIN, 64) && rest_untouched(host, 2, 0, 0);
	}
	ok(good, "push64 from every alignment");
	fill(device, 1);
	fill(host, 2);
	peerbar_store64_(device + MARGIN, host + 3);
	ok(!memcmp(device + MARGIN, host + 3, 64) && rest_untouched(device, 1, MARGIN, 64),
	   "the one without MOVDIR64B");
}

static bool copy_to_at(size_t to, size_t from, size_t n)
{
	fill(device, 1);
	fill(host, 2);
	peerbar_copy_to(device + to, host + from, n);
	peerbar_wc_flush();
	return !memcmp(device + to, host + from, n) && rest_untouched(device, 1, to, n) &&
	       rest_untouched(host, 2, 0, 0);
}

static bool copy_from_at(size_t to, size_t from, size_t n)
{
	fill(device, 1);
	fill(host, 2);
	peerbar_copy_from(host + to, device + from, n);
	return !memcmp(host + to, device + from, n) && rest_untouched(host, 2, to, n) &&
	       rest_untouched(device, 1, 0, 0);
}

static void test_copies(void)
{
	size_t wrong_to = 0, wrong_from = 0, done = 0;

	/* Every alignment of the device's side, a few of the other's. */
	for (size_t at = 0; at < 64; at++) {
		for (size_t other = 0; other < 16; other += 5) {
			for (size_t n = 0; n <= 200; n++, done++) {
				wrong_to += !copy_to_at(MARGIN + at, MARGIN + other, n);
				wrong_from += !copy_from_at(MARGIN + other, MARGIN + at, n);
			}
		}
	}
	note("%zu copies each way", done);
	is_int((long long)wrong_to, 0, "copy_to is right every time");
	is_int((long long)wrong_from, 0, "copy_from is right every time");
}

static void test_large(void)
{
	const size_t n = (1 << 20) + 77;
	unsigned char *a = malloc(n + 64), *b = calloc(1, n + 64);
	unsigned char *c = calloc(1, n + 64);

	for (size_t i = 0; i < n + 64; i++)
		a[i] = (unsigned char)(i * 31 >> 3);
	peerbar_copy_to(b + 13, a + 5, n);
	peerbar_wc_flush();
	ok(!memcmp(b + 13, a + 5, n), "a large copy_to");
	peerbar_copy_from(c + 1, b + 13, n);
	ok(!memcmp(c + 1, a + 5, n), "a large copy_from");
	free(a);
	free(b);
	free(c);
}

/* False where this program was compiled for a better CPU than there is. */
static bool cpu_will_do(void)
{
#if defined(__AVX512F__)
	return __builtin_cpu_supports("avx512f");
#elif defined(__AVX__)
	return __builtin_cpu_supports("avx");
#else
	return true;
#endif
}

int main(void)
{
	if (!cpu_will_do()) {
		printf("1..0 # SKIP the CPU cannot run it\n");
		return 0;
	}
#if defined(__x86_64__)
	note("MOVDIR64B: %s, MOVNTDQA: %s", peerbar_cpu_() & PEERBAR_CPU_MOVDIR64B_ ? "yes" : "no",
	     peerbar_cpu_() & PEERBAR_CPU_MOVNTDQA_ ? "yes" : "no");
#endif
	test_single();
	test_push();
	test_copies();
	test_large();
	return done_testing();
}
