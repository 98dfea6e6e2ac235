/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The devices of the guest and slices of them, with failures that end the
 * case. On the plain kernel what the series adds is skipped; on the patched
 * ones its absence is a failure.
 */
#ifndef GUEST_COMMON_FIXTURE_H
#define GUEST_COMMON_FIXTURE_H

#include <stdint.h>

#include <peerbar/peerbar.h>

#include "fault.h"
#include "tap.h"

#define MEM_BAR 2
#define REG_BAR 0
#define KIB(n)	((uint64_t)(n) << 10)
#define MIB(n)	((uint64_t)(n) << 20)

#define NC PEERBAR_MEMATTR_NC
#define WC PEERBAR_MEMATTR_WC

enum {
	/* Devices to open. */
	FIXTURE_MEM = 1 << 0,
	FIXTURE_REG = 1 << 1,
	/* The library's calls are going to fail: not a word about it. */
	FIXTURE_QUIET = 1 << 2,
	/* What the kernel must be able to do. */
	NEED_MMAP = 1 << 8,
	NEED_REVOKE = 1 << 9,
	NEED_MEMATTR = 1 << 10,
	NEED_IOVA = 1 << 11,
	NEED_RESET = 1 << 12,
	NEED_SERIES = NEED_MMAP | NEED_REVOKE | NEED_MEMATTR,
};

struct fixture {
	struct peerbar *pb;
	struct peerbar_device *mem;
	struct peerbar_device *reg;
	uint64_t mem_length;
	size_t page;
};

/* A buffer and a mapping of all of it. */
struct slice {
	struct peerbar_buffer *buffer;
	struct peerbar_mapping *mapping;
	volatile uint8_t *at;
	size_t length;
};

bool fixture_is_plain_kernel(void);
/* What the kernels that scripts/kernel configures have; Debian's own may be without. */
void fixture_need_config(bool have, const char *what);
const char *fixture_env(const char *name);

/* flags: devices to open and what is needed; also installs the catcher. */
void fixture_open(struct fixture *f, unsigned int flags);
void fixture_close(struct fixture *f);

struct peerbar_buffer *fixture_export(struct peerbar_device *dev, unsigned int bar, uint64_t offset,
				      uint64_t length, enum peerbar_memattr memattr);
/*
 * What is left of a buffer of which everything was closed but a descriptor that
 * was opened with O_PATH: the buffer, without its file.
 */
int fixture_orphan(struct peerbar_device *dev, unsigned int bar, uint64_t offset, uint64_t length);
/* The descriptor of a buffer of the system heap. */
int fixture_heap_buffer(size_t length);
/* Exports a range of the memory BAR and maps it. */
void slice_open(struct fixture *f, uint64_t offset, uint64_t length, enum peerbar_memattr memattr,
		struct slice *slice);
/* Same for the register BAR, all of it, noncached. */
void slice_open_registers(struct fixture *f, struct slice *slice);
void slice_close(struct slice *slice);

/* Fill with, and look for, a pattern that depends on seed and position. */
void pattern_fill(volatile void *at, size_t length, uint32_t seed);
bool pattern_matches(const volatile void *at, size_t length, uint32_t seed);

/* Demand the fault that a revocation promises, or no fault at all. */
void demand_revoked(volatile void *address);
void demand_alive(volatile void *address);
void demand_memtype(const volatile void *address, enum peerbar_memtype wanted);

/* mmap() of a descriptor; 0 or a negative errno. */
int try_mmap(int fd, size_t length, int protection, int flags, off_t offset, void **out);

#endif /* GUEST_COMMON_FIXTURE_H */
