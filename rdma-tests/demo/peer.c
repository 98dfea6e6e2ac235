// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The peer: owns ordinary memory only, does what the target asks for by RDMA,
 * and tells how that went. It is quiet unless something is wrong with itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "control.h"
#include "demo.h"
#include "rdma.h"

struct peer {
	int control;
	struct rdma rdma;
	struct rdma_qp qp;
	struct rdma_mem data;	 /* what it writes */
	struct rdma_mem scratch; /* what it reads back */
};

static int complain(const char *what, int ret)
{
	fprintf(stderr, "peerbar-demo: peer: %s: %s\n", what,
		rdma_status_name(ret));
	return ret;
}

static int connect_qp(struct peer *peer, struct control_message *message)
{
	int ret;

	rdma_qp_close(&peer->qp);
	ret = rdma_qp_open(&peer->rdma, &peer->qp);
	if (!ret)
		ret = rdma_qp_connect(&peer->qp, &message->endpoint);
	if (!ret)
		rdma_qp_endpoint(&peer->qp, &message->endpoint);
	return ret;
}

static int fill(struct peer *peer, struct control_message *message)
{
	size_t length = message->value[0], done = 0;

	if (length > peer->data.length)
		return -EINVAL;
	while (done < length) {
		ssize_t got = getrandom(peer->data.at + done, length - done, 0);

		if (got < 0)
			return -errno;
		done += (size_t)got;
	}
	message->value[0] = demo_checksum(peer->data.at, length);
	return 0;
}

static int compare(struct peer *peer, struct control_message *message)
{
	uint32_t length = (uint32_t)message->value[2];
	int ret;

	if (length > peer->data.length)
		return -EINVAL;
	memset(peer->scratch.at, 0, length);
	ret = rdma_read(&peer->qp, &peer->scratch, 0, length, message->value[0],
			(uint32_t)message->value[1]);
	message->value[0] = !memcmp(peer->scratch.at, peer->data.at, length);
	message->value[1] = demo_checksum(peer->scratch.at, length);
	return ret;
}

static int write_out(struct peer *peer, const struct control_message *message)
{
	if (message->value[2] > peer->data.length)
		return -EINVAL;
	return rdma_write(&peer->qp, &peer->data, 0,
			  (uint32_t)message->value[2], message->value[0],
			  (uint32_t)message->value[1]);
}

static int add(struct peer *peer, struct control_message *message)
{
	int ret = rdma_fetch_add(&peer->qp, &peer->scratch, message->value[0],
				 (uint32_t)message->value[1],
				 message->value[2]);

	memcpy(&message->value[0], peer->scratch.at, sizeof(uint64_t));
	return ret;
}

static int act(struct peer *peer, struct control_message *message)
{
	switch (message->what) {
	case DEMO_CONNECT:
		return connect_qp(peer, message);
	case DEMO_FILL:
		return fill(peer, message);
	case DEMO_WRITE:
		return write_out(peer, message);
	case DEMO_COMPARE:
		return compare(peer, message);
	case DEMO_ADD:
		return add(peer, message);
	case DEMO_SHOW:
		return message->value[0] > peer->data.length ? -EINVAL : 0;
	case DEMO_GOODBYE:
		return 0;
	default:
		return -ENOSYS;
	}
}

/* Until the target says goodbye, or hangs up. */
static int serve(struct peer *peer)
{
	struct control_message message;
	size_t show;
	int ret;

	do {
		ret = control_receive(peer->control, &message);
		if (ret)
			return ret;
		show = message.what == DEMO_SHOW ? message.value[0] : 0;
		message.status = act(peer, &message);
		ret = control_send(peer->control, &message);
		if (!ret && show && !message.status)
			ret = control_send_bytes(peer->control, peer->data.at,
						 show);
	} while (!ret && message.what != DEMO_GOODBYE);
	return ret;
}

static int open_rdma(struct peer *peer, const struct demo_cast *cast)
{
	int ret = rdma_open(&peer->rdma, RDMA_DEVICE, cast->own_address);

	if (!ret)
		ret = rdma_mem_open(&peer->rdma, DEMO_DATA_LENGTH, &peer->data);
	if (!ret)
		ret = rdma_mem_open(&peer->rdma, DEMO_DATA_LENGTH,
				    &peer->scratch);
	return ret;
}

int demo_peer(const struct demo_cast *cast)
{
	struct peer peer = { .control = -1 };
	int ret;

	ret = open_rdma(&peer, cast);
	if (ret)
		complain(RDMA_DEVICE, ret);
	if (!ret) {
		ret = control_connect(cast->control, &peer.control);
		if (ret)
			complain("connecting to the target", ret);
	}
	if (!ret) {
		ret = serve(&peer);
		if (ret)
			complain("talking to the target", ret);
	}
	if (peer.control >= 0)
		close(peer.control);
	rdma_qp_close(&peer.qp);
	rdma_mem_close(&peer.scratch);
	rdma_mem_close(&peer.data);
	rdma_close(&peer.rdma);
	return ret ? 1 : 0;
}
