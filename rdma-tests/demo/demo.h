/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The two players of the demo and what they say to each other. */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the target asks of the peer; values and answers in the comments. */
enum demo_request {
	/* endpoint: ours; the answer's is the peer's. A new queue pair. */
	DEMO_CONNECT = 1,
	/* length: fill its memory with random data; answers with a checksum. */
	DEMO_FILL,
	/* address, key, length: RDMA-write its memory there. */
	DEMO_WRITE,
	/* address, key, length: RDMA-read, compare; answers whether equal. */
	DEMO_COMPARE,
	/* address, key, number: fetch-and-add; answers with the old value. */
	DEMO_ADD,
	/* length: the answer is followed by its memory's bytes, over TCP. */
	DEMO_SHOW,
	DEMO_GOODBYE,
};

#define DEMO_DATA_LENGTH (1u << 20)

struct demo_cast {
	const char *own_address;  /* IPv4 of this host */
	const char *peer_address; /* of the other one; the same when alone */
	const char *control;	  /* where the two talk over TCP */
	const char *memory;	  /* PCI addresses */
	const char *registers;
};

/* Both return an exit status. */
int demo_target(const struct demo_cast *cast, bool json);
int demo_peer(const struct demo_cast *cast);

/* FNV-1a, so that each side can name its data by a number. */
uint64_t demo_checksum(const void *data, size_t length);

#endif /* DEMO_DEMO_H */
