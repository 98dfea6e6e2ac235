// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Revoking one slice is nobody else's business. */
#include "fixture.h"

/* B begins on the page after A ends; only A goes away. */
static void next_page(void)
{
	struct fixture f;
	struct slice a, b;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, MIB(1), KIB(8), NC, &a);
	slice_open(&f, MIB(1) + KIB(8), KIB(8), NC, &b);
	pattern_fill(a.at, a.length, 1);
	pattern_fill(b.at, b.length, 2);
	CHECK_OK(peerbar_buffer_revoke(a.buffer));
	CHECK(pattern_matches(b.at, b.length, 2), "the neighbour changed");
	pattern_fill(b.at, b.length, 3);
	CHECK(pattern_matches(b.at, b.length, 3), "the neighbour is broken");
	demand_revoked(a.at);
	demand_revoked(a.at + a.length - 4);
	demand_alive(b.at);
	slice_close(&b);
	slice_close(&a);
	fixture_close(&f);
}

/* The same inside one 2 MiB page, should the mapping have used one. */
static void same_huge_page(void)
{
	struct fixture f;
	struct slice a, b;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, 0, MIB(8), NC, &a);
	slice_open(&f, MIB(2), MIB(2), NC, &b);
	pattern_fill(b.at, b.length, 1);
	CHECK_OK(peerbar_buffer_revoke(b.buffer));
	demand_revoked(b.at);
	demand_revoked(b.at + KIB(4) * 17);
	CHECK(pattern_matches(a.at + MIB(2), MIB(2), 1), "the buffer around it changed");
	demand_alive(a.at + MIB(2));
	slice_close(&b);
	slice_close(&a);
	fixture_close(&f);
}

/* A new buffer over a revoked range works at once; the old one stays dead. */
static void export_again(void)
{
	struct fixture f;
	struct slice old, again;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, MIB(1), KIB(64), NC, &old);
	pattern_fill(old.at, old.length, 1);
	CHECK_OK(peerbar_buffer_revoke(old.buffer));
	slice_open(&f, MIB(1), KIB(64), NC, &again);
	CHECK(pattern_matches(again.at, again.length, 1), "contents are gone");
	pattern_fill(again.at, again.length, 2);
	demand_revoked(old.at);
	CHECK(pattern_matches(again.at, again.length, 2), "contents changed");
	slice_close(&again);
	slice_close(&old);
	fixture_close(&f);
}

/* Two buffers over one range are two: revoking one leaves the other. */
static void overlapping(void)
{
	struct fixture f;
	struct slice a, b;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, MIB(1), KIB(64), NC, &a);
	slice_open(&f, MIB(1) + KIB(32), KIB(64), NC, &b);
	pattern_fill(b.at, b.length, 5);
	CHECK_OK(peerbar_buffer_revoke(a.buffer));
	demand_revoked(a.at + KIB(32));
	CHECK(pattern_matches(b.at, b.length, 5), "the other buffer changed");
	demand_alive(b.at);
	slice_close(&b);
	slice_close(&a);
	fixture_close(&f);
}

/* Of 64 slices side by side every other one is revoked. */
static void every_other(void)
{
	struct slice slices[64];
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | NEED_MMAP | NEED_REVOKE);
	for (uint32_t i = 0; i < 64; i++) {
		slice_open(&f, i * f.page, f.page, NC, &slices[i]);
		pattern_fill(slices[i].at, f.page, i);
	}
	for (uint32_t i = 0; i < 64; i += 2)
		CHECK_OK(peerbar_buffer_revoke(slices[i].buffer));
	for (uint32_t i = 0; i < 64; i++) {
		if (i % 2)
			CHECK(pattern_matches(slices[i].at, f.page, i), "slice %u changed", i);
		else
			demand_revoked(slices[i].at + 4 * i);
	}
	for (uint32_t i = 0; i < 64; i++)
		slice_close(&slices[i]);
	fixture_close(&f);
}

/* Slices of another device do not notice. */
static void other_device(void)
{
	struct slice memory, registers;
	struct fixture f;

	fixture_open(&f, FIXTURE_MEM | FIXTURE_REG | NEED_MMAP | NEED_REVOKE);
	slice_open(&f, MIB(1), KIB(64), NC, &memory);
	slice_open_registers(&f, &registers);
	CHECK_OK(peerbar_buffer_revoke(memory.buffer));
	demand_revoked(memory.at);
	demand_alive(registers.at + 4);
	CHECK_OK(peerbar_buffer_revoke(registers.buffer));
	demand_revoked(registers.at + 4);
	slice_close(&registers);
	slice_close(&memory);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"next_page", next_page},	{"same_huge_page", same_huge_page},
	{"export_again", export_again}, {"overlapping", overlapping},
	{"every_other", every_other},	{"other_device", other_device},
};

TAP_MAIN(cases)
