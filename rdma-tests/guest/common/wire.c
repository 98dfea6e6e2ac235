// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define ROCE_PORT 4791
#define FRAME_MAX 16384
#define WAIT_MS	  20000
/* Bytes, of what is in a packet of RoCE besides the payload. */
#define BTH_LENGTH  12
#define AETH_LENGTH 4
#define ICRC_LENGTH 4

struct frame {
	struct sockaddr_ll link;
	size_t length;
	uint8_t at[FRAME_MAX];
};

struct wire {
	int socket;
	struct frame sent; /* what can be repeated */
};

struct wire *wire_open(void)
{
	struct wire *wire = calloc(1, sizeof(*wire));

	if (!wire)
		return NULL;
	wire->socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (wire->socket < 0) {
		free(wire);
		return NULL;
	}
	return wire;
}

void wire_close(struct wire *wire)
{
	if (wire)
		close(wire->socket);
	free(wire);
}

/* Where the base transport header begins, or 0 in what is not RoCE over IPv4. */
static size_t frame_transport(const struct frame *f)
{
	const struct iphdr *ip = (const void *)(f->at + ETH_HLEN);
	const struct udphdr *udp;
	size_t at = ETH_HLEN + sizeof(*ip);

	if (f->link.sll_protocol != htons(ETH_P_IP) || f->length < at)
		return 0;
	at = ETH_HLEN + ip->ihl * 4u;
	udp = (const void *)(f->at + at);
	at += sizeof(*udp);
	if (ip->protocol != IPPROTO_UDP || f->length < at + BTH_LENGTH + AETH_LENGTH + ICRC_LENGTH)
		return 0;
	return udp->dest == htons(ROCE_PORT) ? at : 0;
}

static bool frame_parse(const struct frame *f, struct wire_packet *p)
{
	size_t at = frame_transport(f);
	const uint8_t *bth = f->at + at;

	if (!at)
		return false;
	p->opcode = bth[0];
	p->psn = (uint32_t)bth[9] << 16 | (uint32_t)bth[10] << 8 | bth[11];
	p->syndrome = bth[BTH_LENGTH];
	p->length = f->length - at - BTH_LENGTH - AETH_LENGTH - ICRC_LENGTH;
	if (p->length > sizeof(p->payload))
		return false;
	memcpy(p->payload, bth + BTH_LENGTH + AETH_LENGTH, p->length);
	return true;
}

/* 0, or a negative errno: -EAGAIN when nothing is there. */
static int frame_receive(struct wire *wire, struct frame *f)
{
	socklen_t length = sizeof(f->link);
	ssize_t got = recvfrom(wire->socket, f->at, sizeof(f->at), MSG_DONTWAIT, (void *)&f->link,
			       &length);

	if (got < 0)
		return -errno;
	f->length = (size_t)got;
	return 0;
}

/* Takes all that is there, and keeps the latest with this opcode of what has left. */
static int keep_sent(struct wire *wire, enum wire_opcode opcode)
{
	struct wire_packet p;
	struct frame f;
	int ret;

	while (!(ret = frame_receive(wire, &f)))
		if (f.link.sll_pkttype == PACKET_OUTGOING && frame_parse(&f, &p) &&
		    p.opcode == (int)opcode)
			wire->sent = f;
	return ret == -EAGAIN ? 0 : ret;
}

static int wait_for_answer(struct wire *wire, uint32_t psn, struct wire_packet *answer)
{
	struct pollfd poller = {.fd = wire->socket, .events = POLLIN};
	struct frame f;
	int ret;

	do {
		ret = poll(&poller, 1, WAIT_MS);
		if (ret <= 0)
			return ret ? -errno : -ETIMEDOUT;
		ret = frame_receive(wire, &f);
		if (ret)
			return ret;
	} while (f.link.sll_pkttype == PACKET_OUTGOING || !frame_parse(&f, answer) ||
		 answer->psn != psn);
	return 0;
}

int wire_repeat(struct wire *wire, enum wire_opcode opcode, struct wire_packet *answer)
{
	struct frame *f = &wire->sent;
	struct wire_packet sent;
	int ret = keep_sent(wire, opcode);

	if (ret)
		return ret;
	if (!frame_parse(f, &sent) || sent.opcode != (int)opcode)
		return -ENOENT;
	if (sendto(wire->socket, f->at, f->length, 0, (void *)&f->link, sizeof(f->link)) < 0)
		return -errno;
	return wait_for_answer(wire, sent.psn, answer);
}
