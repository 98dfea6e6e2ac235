// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"

#define CONTROL_PORT 18642
/* The other host may still be booting, and may be slow at what it is asked. */
#define CONTROL_TIMEOUT_S 120
#define GID_BYTES	  sizeof(((union ibv_gid *)NULL)->raw)

/* A message as it travels. */
struct wire {
	uint32_t what;
	uint32_t status;
	uint64_t value[3];
	uint32_t qpn;
	uint32_t psn;
	uint8_t gid[16];
};

static int set_address(const char *ipv4, struct sockaddr_in *address)
{
	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_port = htons(CONTROL_PORT);
	return inet_pton(AF_INET, ipv4, &address->sin_addr) == 1 ? 0 : -EINVAL;
}

static int open_socket(int *fd)
{
	const struct timeval limit = {.tv_sec = CONTROL_TIMEOUT_S};
	const int on = 1;

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return 0;
}

int control_listen(const char *ipv4, int *listener)
{
	struct sockaddr_in address;
	int fd, ret = set_address(ipv4, &address);

	if (!ret)
		ret = open_socket(&fd);
	if (ret)
		return ret;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*listener = fd;
	return 0;
}

int control_accept(int listener, int *connection)
{
	const struct timeval limit = {.tv_sec = CONTROL_TIMEOUT_S};
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	*connection = fd;
	return 0;
}

static bool worth_another_try(int error)
{
	return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
	       error == EINTR;
}

int control_connect(const char *ipv4, int *connection)
{
	long long deadline = clock_ms() + CONTROL_TIMEOUT_S * 1000LL;
	struct sockaddr_in address;
	int fd, ret = set_address(ipv4, &address);

	if (ret)
		return ret;
	for (;;) {
		ret = open_socket(&fd);
		if (ret)
			return ret;
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			break;
		ret = -errno;
		close(fd);
		if (!worth_another_try(-ret))
			return ret;
		if (clock_ms() > deadline)
			return -ETIMEDOUT;
		/* Nothing tells us when the other host begins to listen. */
		poll(NULL, 0, 50);
	}
	*connection = fd;
	return 0;
}

int control_send_bytes(int connection, const void *data, size_t length)
{
	const char *next = data;

	while (length) {
		ssize_t done = send(connection, next, length, MSG_NOSIGNAL);

		if (done < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		next += done;
		length -= (size_t)done;
	}
	return 0;
}

int control_receive_bytes(int connection, void *data, size_t length)
{
	char *next = data;

	while (length) {
		ssize_t done = recv(connection, next, length, 0);

		if (!done)
			return -ECONNRESET;
		if (done < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		next += done;
		length -= (size_t)done;
	}
	return 0;
}

int control_send(int connection, const struct control_message *message)
{
	struct wire wire = {
		.what = htobe32(message->what),
		.status = htobe32((uint32_t)message->status),
		.qpn = htobe32(message->endpoint.qpn),
		.psn = htobe32(message->endpoint.psn),
	};

	_Static_assert(sizeof(wire.gid) == GID_BYTES, "a GID has 16 bytes");
	for (int i = 0; i < 3; i++)
		wire.value[i] = htobe64(message->value[i]);
	memcpy(wire.gid, message->endpoint.gid.raw, sizeof(wire.gid));
	return control_send_bytes(connection, &wire, sizeof(wire));
}

int control_receive(int connection, struct control_message *message)
{
	struct wire wire;
	int ret = control_receive_bytes(connection, &wire, sizeof(wire));

	if (ret)
		return ret;
	message->what = be32toh(wire.what);
	message->status = (int32_t)be32toh(wire.status);
	for (int i = 0; i < 3; i++)
		message->value[i] = be64toh(wire.value[i]);
	message->endpoint.qpn = be32toh(wire.qpn);
	message->endpoint.psn = be32toh(wire.psn);
	memcpy(message->endpoint.gid.raw, wire.gid, sizeof(wire.gid));
	return 0;
}

int control_ask(int connection, struct control_message *message)
{
	int ret = control_send(connection, message);

	return ret ? ret : control_receive(connection, message);
}
