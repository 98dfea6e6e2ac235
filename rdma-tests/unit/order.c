// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What drivers do beside a doorbell, for check-order, which compiles it and
 * reads the assembly: the first argument is always host memory, the second the
 * device. Every function's accesses must come out in the order that stands here.
 */
#include <peerbar/mmio.h>

/* The recipe: a descriptor, the doorbell, and the next one. */
void post_two(uint64_t *descriptor, volatile void *doorbell);
void post_two(uint64_t *descriptor, volatile void *doorbell)
{
	*descriptor = 1;
	peerbar_to_device_barrier();
	peerbar_write32(doorbell, 1);
	*descriptor = 2;
	peerbar_to_device_barrier();
	peerbar_write32(doorbell, 2);
}

/* A ring whose slot is written once per round. */
void post_many(char *ring, volatile void *doorbell, int n);
void post_many(char *ring, volatile void *doorbell, int n)
{
	for (int i = 0; i < n; i++) {
		*ring = (char)i;
		peerbar_to_device_barrier();
		peerbar_write32(doorbell, (uint32_t)i);
	}
}

/* The way back: what was read before the poll is old. */
int poll_register(const int *result, volatile void *status);
int poll_register(const int *result, volatile void *status)
{
	int before = *result;

	while (!peerbar_read32(status))
		;
	peerbar_from_device_barrier();
	return before + *result;
}

/* The same where the device's last word is in host memory as well. */
int poll_memory(const int *result, const volatile uint32_t *done);
int poll_memory(const int *result, const volatile uint32_t *done)
{
	int before = *result;

	while (!*done)
		;
	peerbar_from_device_barrier();
	return before + *result;
}

/* Without named barriers the compiler, at least, keeps the order. */
#define BARE(bits)                                                               \
	void bare_write##bits(uint64_t *descriptor, volatile void *doorbell);    \
	void bare_write##bits(uint64_t *descriptor, volatile void *doorbell)     \
	{                                                                        \
		*descriptor = 1;                                                 \
		peerbar_write##bits(doorbell, 1);                                \
		*descriptor = 2;                                                 \
		peerbar_write##bits(doorbell, 2);                                \
	}                                                                        \
	uint64_t bare_read##bits(const uint64_t *result, volatile void *status); \
	uint64_t bare_read##bits(const uint64_t *result, volatile void *status)  \
	{                                                                        \
		uint64_t before = *result, between = peerbar_read##bits(status); \
                                                                                 \
		return before + between + *result;                               \
	}

BARE(8)
BARE(16)
BARE(32)
BARE(64)
