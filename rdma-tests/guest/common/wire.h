/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * RoCE packets on the links of this host, as its network devices see them: what
 * a peer does when a packet was lost can be done without losing one.
 */
#ifndef GUEST_COMMON_WIRE_H
#define GUEST_COMMON_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_PAYLOAD_MAX 4096

/* Of the base transport header, as the InfiniBand specification numbers them (RC). */
enum wire_opcode {
	WIRE_READ_REQUEST = 12,
	WIRE_READ_RESPONSE = 16, /* all of it in one packet */
	WIRE_ACKNOWLEDGE = 17,
};

/* AETH syndrome of a negative acknowledgement: remote access error. */
#define WIRE_ACCESS_ERROR 0x62

struct wire_packet {
	int opcode;
	uint32_t psn;
	/* Of answers: whether all is well, and what has been read. */
	uint8_t syndrome;
	uint8_t payload[WIRE_PAYLOAD_MAX];
	size_t length;
};

struct wire;

/* From now on packets are kept, some hundred. NULL with errno. */
struct wire *wire_open(void);
void wire_close(struct wire *wire);
/*
 * Sends the latest packet with this opcode that has left since once more, and
 * waits for its answer. Returns 0; -ENOENT, nothing like that has left;
 * -ETIMEDOUT, no answer comes; or another negative errno.
 */
int wire_repeat(struct wire *wire, enum wire_opcode opcode, struct wire_packet *answer);

#endif /* GUEST_COMMON_WIRE_H */
