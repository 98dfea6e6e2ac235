/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The far end of a test or of the demo: owns ordinary memory only, does what
 * the near end asks for by RDMA, and tells how that went.
 */
#ifndef GUEST_COMMON_SERVANT_H
#define GUEST_COMMON_SERVANT_H

#include <stddef.h>
#include <stdint.h>

/* What can be asked, with the values that go along, and the answers. */
enum servant_request {
	/* endpoint: ours; the answer's is the servant's. A new queue pair. */
	SERVANT_CONNECT = 1,
	/* length: fill its memory with random data; answers with a checksum. */
	SERVANT_FILL,
	/* address, key, length: RDMA-write its memory there. */
	SERVANT_WRITE,
	/* address, key, length: RDMA-read, compare; answers whether equal. */
	SERVANT_COMPARE,
	/* address, key, number: fetch-and-add; answers with the old value. */
	SERVANT_ADD,
	/* length: the answer is followed by its memory's bytes, over TCP. */
	SERVANT_SHOW,
	/* Keeps the packets that it sends from now on. */
	SERVANT_KEEP,
	/*
	 * Sends its latest read request once more; answers with opcode, syndrome and a
	 * checksum of the payload of what comes.
	 */
	SERVANT_REPEAT_READ,
	SERVANT_GOODBYE,
};

/* The most that it writes or reads at a time. */
#define SERVANT_LENGTH (1u << 20)

/*
 * Serves until the other end says goodbye or hangs up; returns an exit status
 * and is quiet unless something is wrong with itself. own: this host's IPv4,
 * control: where to connect to.
 */
int servant_run(const char *own, const char *control);

/* FNV-1a, so that each side can name its data by a number. */
uint64_t servant_checksum(const void *data, size_t length);

#endif /* GUEST_COMMON_SERVANT_H */
