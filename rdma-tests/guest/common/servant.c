// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "control.h"
#include "rdma.h"
#include "servant.h"
#include "wire.h"

struct servant {
	int control;
	struct rdma rdma;
	struct rdma_qp qp;
	struct rdma_mem data;	 /* what it writes */
	struct rdma_mem scratch; /* what it reads back */
	struct wire *wire;	 /* its packets, once they are kept */
};

static int complain(const char *what, int ret)
{
	fprintf(stderr, "peer: %s: %s\n", what, rdma_status_name(ret));
	return ret;
}

uint64_t servant_checksum(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3ULL;
	return sum;
}

static int connect_qp(struct servant *s, struct control_message *message)
{
	int ret;

	rdma_qp_close(&s->qp);
	ret = rdma_qp_open(&s->rdma, &s->qp);
	if (!ret)
		ret = rdma_qp_connect(&s->qp, &message->endpoint);
	if (!ret)
		rdma_qp_endpoint(&s->qp, &message->endpoint);
	return ret;
}

static int fill(struct servant *s, struct control_message *message)
{
	size_t length = message->value[0], done = 0;

	if (length > s->data.length)
		return -EINVAL;
	while (done < length) {
		ssize_t got = getrandom(s->data.at + done, length - done, 0);

		if (got < 0)
			return -errno;
		done += (size_t)got;
	}
	message->value[0] = servant_checksum(s->data.at, length);
	return 0;
}

static int compare(struct servant *s, struct control_message *message)
{
	uint32_t length = (uint32_t)message->value[2];
	int ret;

	if (length > s->data.length)
		return -EINVAL;
	memset(s->scratch.at, 0, length);
	ret = rdma_read(&s->qp, &s->scratch, 0, length, message->value[0],
			(uint32_t)message->value[1]);
	message->value[0] = !memcmp(s->scratch.at, s->data.at, length);
	message->value[1] = servant_checksum(s->scratch.at, length);
	return ret;
}

static int write_out(struct servant *s, const struct control_message *message)
{
	if (message->value[2] > s->data.length)
		return -EINVAL;
	return rdma_write(&s->qp, &s->data, 0, (uint32_t)message->value[2], message->value[0],
			  (uint32_t)message->value[1]);
}

static int add(struct servant *s, struct control_message *message)
{
	int ret = rdma_fetch_add(&s->qp, &s->scratch, message->value[0],
				 (uint32_t)message->value[1], message->value[2]);

	memcpy(&message->value[0], s->scratch.at, sizeof(uint64_t));
	return ret;
}

static int keep_packets(struct servant *s)
{
	wire_close(s->wire);
	s->wire = wire_open();
	return s->wire ? 0 : -errno;
}

static int repeat_read(struct servant *s, struct control_message *message)
{
	struct wire_packet answer = {.opcode = 0};
	int ret = s->wire ? wire_repeat(s->wire, WIRE_READ_REQUEST, &answer) : -EINVAL;

	message->value[0] = (uint64_t)answer.opcode;
	message->value[1] = answer.syndrome;
	message->value[2] = servant_checksum(answer.payload, answer.length);
	return ret;
}

static int act(struct servant *s, struct control_message *message)
{
	switch (message->what) {
	case SERVANT_CONNECT:
		return connect_qp(s, message);
	case SERVANT_FILL:
		return fill(s, message);
	case SERVANT_WRITE:
		return write_out(s, message);
	case SERVANT_COMPARE:
		return compare(s, message);
	case SERVANT_ADD:
		return add(s, message);
	case SERVANT_SHOW:
		return message->value[0] > s->data.length ? -EINVAL : 0;
	case SERVANT_KEEP:
		return keep_packets(s);
	case SERVANT_REPEAT_READ:
		return repeat_read(s, message);
	case SERVANT_GOODBYE:
		return 0;
	default:
		return -ENOSYS;
	}
}

/* Until the target says goodbye, or hangs up. */
static int serve(struct servant *s)
{
	struct control_message message;
	size_t show;
	int ret;

	do {
		ret = control_receive(s->control, &message);
		if (ret)
			return ret;
		show = message.what == SERVANT_SHOW ? message.value[0] : 0;
		message.status = act(s, &message);
		ret = control_send(s->control, &message);
		if (!ret && show && !message.status)
			ret = control_send_bytes(s->control, s->data.at, show);
	} while (!ret && message.what != SERVANT_GOODBYE);
	return ret;
}

static int open_rdma(struct servant *s, const char *own)
{
	int ret = rdma_open(&s->rdma, RDMA_DEVICE, own);

	if (!ret)
		ret = rdma_mem_open(&s->rdma, SERVANT_LENGTH, &s->data);
	if (!ret)
		ret = rdma_mem_open(&s->rdma, SERVANT_LENGTH, &s->scratch);
	return ret;
}

int servant_run(const char *own, const char *control)
{
	struct servant s = {.control = -1};
	int ret;

	ret = open_rdma(&s, own);
	if (ret)
		complain(RDMA_DEVICE, ret);
	if (!ret) {
		ret = control_connect(control, &s.control);
		if (ret)
			complain("connecting to the target", ret);
	}
	if (!ret) {
		ret = serve(&s);
		if (ret)
			complain("talking to the target", ret);
	}
	wire_close(s.wire);
	if (s.control >= 0)
		close(s.control);
	rdma_qp_close(&s.qp);
	rdma_mem_close(&s.scratch);
	rdma_mem_close(&s.data);
	rdma_close(&s.rdma);
	return ret ? 1 : 0;
}
