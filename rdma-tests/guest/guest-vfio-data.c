// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What one CPU mapping writes, another reads, byte for byte. */
#include <stdlib.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "fixture.h"

#define ROUNDS	 1000
#define AREA	 KIB(256)
#define MAX_COPY 3000

/* A generator of our own, so that a failing round can be repeated. */
static uint32_t next(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

struct round {
	size_t offset;
	size_t length;
};

static struct round pick(uint32_t *state)
{
	struct round round;

	round.length = 1 + next(state) % MAX_COPY;
	round.offset = next(state) % (AREA - round.length);
	return round;
}

/* A shadow in ordinary memory says what the whole area must hold. */
static void check_area(const volatile uint8_t *at, const uint8_t *shadow, uint8_t *copy, int round)
{
	peerbar_copy_from(copy, at, AREA);
	CHECK(!memcmp(copy, shadow, AREA), "round %d: the area differs", round);
}

static void rounds(enum peerbar_memattr memattr)
{
	uint8_t *shadow = calloc(1, AREA), *copy = malloc(AREA);
	struct peerbar_mapping *other;
	const volatile uint8_t *view;
	uint32_t state = 1;
	struct fixture f;
	struct slice slice;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_MEMATTR);
	slice_open(&f, MIB(4), AREA, memattr, &slice);
	CHECK_OK(peerbar_map(slice.buffer, 0, AREA, NULL, &other));
	view = peerbar_mapping_addr(other);
	peerbar_copy_to(slice.at, shadow, AREA);
	for (int i = 0; i < ROUNDS; i++) {
		struct round round = pick(&state);

		for (size_t k = 0; k < round.length; k++)
			shadow[round.offset + k] = (uint8_t)next(&state);
		peerbar_wc_start();
		peerbar_copy_to(slice.at + round.offset, shadow + round.offset, round.length);
		peerbar_wc_flush();
		memset(copy, 0, round.length);
		peerbar_copy_from(copy, view + round.offset, round.length);
		CHECK(!memcmp(copy, shadow + round.offset, round.length),
		      "round %d: %zu bytes at %zu differ", i, round.length, round.offset);
		if (i % 100 == 99)
			check_area(view, shadow, copy, i);
	}
	peerbar_unmap(other);
	slice_close(&slice);
	fixture_close(&f);
	free(copy);
	free(shadow);
}

/* Odd offsets and lengths, a thousand times, noncached. */
static void cpu_noncached(void)
{
	rounds(NC);
}

/* The same through write-combining mappings. */
static void cpu_write_combining(void)
{
	rounds(WC);
}

/* Stores of every width, at every offset inside a 16-byte word. */
static void widths(void)
{
	uint8_t wanted[32], found[32];
	struct fixture f;
	struct slice slice;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP);
	slice_open(&f, 0, KIB(4), NC, &slice);
	for (size_t i = 0; i < 16; i++) {
		memset(wanted, 0, sizeof(wanted));
		peerbar_copy_to(slice.at, wanted, sizeof(wanted));
		peerbar_write8(slice.at + i, 0x5a);
		wanted[i] = 0x5a;
		if (i % 2 == 0) {
			peerbar_write16(slice.at + i, 0x1234);
			memcpy(wanted + i, &(uint16_t){0x1234}, 2);
		}
		if (i % 4 == 0) {
			peerbar_write32(slice.at + i, 0x89abcdef);
			memcpy(wanted + i, &(uint32_t){0x89abcdef}, 4);
		}
		if (i % 8 == 0) {
			peerbar_write64(slice.at + i, 0x0123456789abcdefULL);
			memcpy(wanted + i, &(uint64_t){0x0123456789abcdefULL}, 8);
		}
		peerbar_copy_from(found, slice.at, sizeof(found));
		CHECK(!memcmp(found, wanted, sizeof(found)), "offset %zu", i);
	}
	slice_close(&slice);
	fixture_close(&f);
}

/* The 64-byte push puts exactly its 64 bytes there. */
static void push64(void)
{
	uint8_t source[64] __attribute__((aligned(64)));
	uint8_t found[192];
	struct fixture f;
	struct slice slice;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_MEMATTR);
	slice_open(&f, 0, KIB(4), WC, &slice);
	pattern_fill(slice.at, sizeof(found), 1);
	pattern_fill(source, sizeof(source), 2);
	peerbar_wc_start();
	peerbar_wc_push64(slice.at + 64, source);
	peerbar_wc_flush();
	peerbar_copy_from(found, slice.at, sizeof(found));
	CHECK(!memcmp(found + 64, source, 64), "the pushed bytes differ");
	CHECK(pattern_matches(found, 64, 1), "the bytes before changed");
	pattern_fill(source, sizeof(source), 1);
	slice_close(&slice);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"cpu_noncached", cpu_noncached, 120},
	{"cpu_write_combining", cpu_write_combining, 120},
	{"widths", widths},
	{"push64", push64},
};

TAP_MAIN(cases)
