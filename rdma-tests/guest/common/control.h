/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The small conversation over TCP between two ends of a test: each message is
 * of one size, in network byte order, and is answered by one message. Functions
 * return 0 or a negative errno; none waits for ever.
 */
#ifndef GUEST_COMMON_CONTROL_H
#define GUEST_COMMON_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "rdma.h"

struct control_message {
	uint32_t what;
	int32_t status; /* in answers: 0, a completion status, -errno */
	uint64_t value[3];
	struct rdma_endpoint endpoint;
};

int control_listen(const char *ipv4, int *listener);
int control_accept(int listener, int *connection);
/* Keeps trying until the other end listens or the deadline has passed. */
int control_connect(const char *ipv4, int *connection);

int control_send(int connection, const struct control_message *message);
int control_receive(int connection, struct control_message *message);
/* Sends, and receives the answer into the same message. */
int control_ask(int connection, struct control_message *message);

int control_send_bytes(int connection, const void *data, size_t length);
int control_receive_bytes(int connection, void *data, size_t length);

#endif /* GUEST_COMMON_CONTROL_H */
