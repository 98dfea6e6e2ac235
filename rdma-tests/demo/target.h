/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The target's belongings, shared by the files that tell its steps. */
#ifndef DEMO_TARGET_H
#define DEMO_TARGET_H

#include <peerbar/peerbar.h>
#include <peerbar/verbs.h>

#include "control.h"
#include "demo.h"
#include "rdma.h"
#include "servant.h"

#define MEMORY_BAR   2
#define REGISTER_BAR 0

/* Where things lie: two slices of the BAR, side by side. */
#define SLICE_OFFSET  (4ULL << 20)
#define SLICE_LENGTH  (4ULL << 20)
#define BESIDE_OFFSET (SLICE_OFFSET + SLICE_LENGTH)
#define BESIDE_LENGTH (1ULL << 20)

/* And inside the slice. */
#define AT_DATA	      0ULL
#define AT_COUNTER    (1ULL << 20)
#define AT_DESCRIPTOR ((1ULL << 20) + 4096)
#define AT_COPY	      (2ULL << 20)
#define COPY_SOURCE   (AT_DATA + 65536)
#define COPY_LENGTH   4096

/* The address by which peers name a slice's first byte; any will do. */
#define PEER_ADDRESS 0x100000000000ULL

/* A part of a BAR, and all that was made of it. Members may be NULL. */
struct part {
	struct peerbar_buffer *buffer;
	struct peerbar_mapping *mapping;
	struct peerbar_iova_map *iova;
	struct ibv_mr *mr;
	volatile uint8_t *at;
};

struct target {
	const struct demo_cast *cast;
	char problem[256]; /* what libpeerbar said last */
	struct peerbar *pb;
	struct peerbar_device *memory;
	struct peerbar_device *registers;
	struct peerbar_device_caps caps;
	struct part slice;
	struct part beside;
	struct part doorbell; /* the device's registers */
	int listener;
	int control;
	struct rdma rdma;
	struct rdma_qp qp;
	uint8_t *data; /* what the peer says it has written */
};

/* What the last call of libpeerbar had to say, or the errno's text. */
const char *target_why(struct target *t, int ret);

int part_export(struct target *t, struct peerbar_device *dev, unsigned int bar, uint64_t offset,
		uint64_t length, enum peerbar_memattr memattr, struct part *part);
int part_map(struct part *part);
int part_map_iova(struct target *t, struct part *part);
void part_close(struct part *part);

/* Asks the peer for something; 0 or why it could not even be asked. */
int target_ask(struct target *t, struct control_message *message);
/* The same for the requests that name an address, a key and a number. */
int target_ask_rdma(struct target *t, enum servant_request what, uint64_t address, uint32_t key,
		    uint64_t number, struct control_message *answer);
/* A fresh pair of queues to the peer. */
int target_connect(struct target *t);
/* Compares memory behind a mapping with ordinary memory. */
bool target_same(const volatile void *device, const void *host, size_t length);

/* The story, step by step. */
void step_lend(struct target *t);
void step_memory_types(struct target *t);
void step_key(struct target *t);
void step_peer(struct target *t);
void step_doorbell(struct target *t);
void step_revoke(struct target *t);
void step_neighbour(struct target *t);

#endif /* DEMO_TARGET_H */
