// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* One revoke reaches every process that maps the buffer. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

#define LENGTH KIB(64)
#define NEEDS  (FIXTURE_MEM | NEED_MMAP | NEED_REVOKE)

/* Two processes that take turns: one byte each way. */
struct turns {
	int parent;
	int child;
};

static void turns_open(struct turns *turns)
{
	int ends[2];

	CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	turns->parent = ends[0];
	turns->child = ends[1];
}

static void turns_close(struct turns *turns)
{
	close(turns->parent);
	close(turns->child);
}

static void give_turn(int end)
{
	CHECK(write(end, "", 1) == 1, "the other process is gone");
}

static void await_turn(int end)
{
	char byte;

	CHECK(read(end, &byte, 1) == 1, "the other process is gone");
}

/* What every holder does: use it, say so, wait for the revoke, meet it. */
static void hold_until_revoked(volatile uint8_t *at, int end)
{
	demand_alive(at);
	CHECK(pattern_matches(at, LENGTH, 1), "contents");
	give_turn(end);
	await_turn(end);
	demand_revoked(at);
	demand_revoked(at + LENGTH - 4);
}

struct heir {
	struct turns turns;
	volatile uint8_t *at;
};

static void run_heir(void *arg)
{
	struct heir *heir = arg;

	close(heir->turns.parent);
	hold_until_revoked(heir->at, heir->turns.child);
}

/* A child of fork() inherits the mapping, and loses it with the parent. */
static void fork_child(void)
{
	struct heir heir;
	struct fixture f;
	struct slice slice;
	pid_t child;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), LENGTH, NC, &slice);
	pattern_fill(slice.at, LENGTH, 1);
	turns_open(&heir.turns);
	heir.at = slice.at;
	child = tap_fork(run_heir, &heir);
	await_turn(heir.turns.parent);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	give_turn(heir.turns.parent);
	tap_join(child);
	demand_revoked(slice.at);
	turns_close(&heir.turns);
	slice_close(&slice);
	fixture_close(&f);
}

static void send_fd(int end, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec byte = {.iov_base = (char[]){0}, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	CHECK(sendmsg(end, &message, 0) == 1, "sendmsg");
}

static int receive_fd(int end)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	char data;
	struct iovec byte = {.iov_base = &data, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	int fd;

	/* Nothing comes when the sender has found that it must skip. */
	if (recvmsg(end, &message, MSG_CMSG_CLOEXEC) != 1)
		_exit(0);
	CHECK(CMSG_FIRSTHDR(&message), "no descriptor came");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static void run_receiver(void *arg)
{
	struct turns *turns = arg;
	struct peerbar_mapping *mapping;
	struct peerbar_buffer *buffer;
	struct fixture f;
	int fd;

	close(turns->parent);
	fixture_open(&f, 0);
	fd = receive_fd(turns->child);
	CHECK_OK(peerbar_buffer_import(f.pb, fd, &buffer));
	close(fd);
	CHECK_OK(peerbar_map(buffer, 0, LENGTH, NULL, &mapping));
	hold_until_revoked(peerbar_mapping_addr(mapping), turns->child);
	CHECK_RET(try_mmap(peerbar_buffer_fd(buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		  -ENODEV);
	peerbar_unmap(mapping);
	peerbar_buffer_close(buffer);
	fixture_close(&f);
}

/* A process that was given the descriptor, and no more, loses it as well. */
static void receiver(void)
{
	struct turns turns;
	struct fixture f;
	struct slice slice;
	pid_t child;

	turns_open(&turns);
	child = tap_fork(run_receiver, &turns);
	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), LENGTH, NC, &slice);
	pattern_fill(slice.at, LENGTH, 1);
	send_fd(turns.parent, peerbar_buffer_fd(slice.buffer));
	await_turn(turns.parent);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	demand_revoked(slice.at);
	give_turn(turns.parent);
	tap_join(child);
	turns_close(&turns);
	slice_close(&slice);
	fixture_close(&f);
}

struct heritage {
	struct turns turns;
	int cloexec; /* must be closed by exec */
	int kept;    /* the same buffer, to be inherited */
};

#define EXECED "--execed"

static void run_exec(void *arg)
{
	struct heritage *heritage = arg;
	char end[16], cloexec[16], kept[16];
	char *argv[] = {(char *)"execed", (char *)EXECED, end, cloexec, kept, NULL};

	fcntl(heritage->turns.child, F_SETFD, 0);
	fcntl(heritage->kept, F_SETFD, 0);
	snprintf(end, sizeof(end), "%d", heritage->turns.child);
	snprintf(cloexec, sizeof(cloexec), "%d", heritage->cloexec);
	snprintf(kept, sizeof(kept), "%d", heritage->kept);
	execv("/proc/self/exe", argv);
	FAIL("exec: %s", strerror(errno));
}

/* The program after exec: sees only what was meant for it. */
static int execed_main(char **argv)
{
	int end = atoi(argv[2]), cloexec = atoi(argv[3]), kept = atoi(argv[4]);
	void *at = NULL;

	fault_catch();
	CHECK_SYS(fcntl(cloexec, F_GETFD), EBADF);
	CHECK_OK(try_mmap(kept, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0, &at));
	hold_until_revoked(at, end);
	return 0;
}

/* exec closes libpeerbar's descriptors; one kept on purpose is revoked too. */
static void exec_child(void)
{
	struct heritage heritage;
	struct fixture f;
	struct slice slice;
	pid_t child;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), LENGTH, NC, &slice);
	pattern_fill(slice.at, LENGTH, 1);
	turns_open(&heritage.turns);
	heritage.cloexec = peerbar_buffer_fd(slice.buffer);
	heritage.kept = fcntl(heritage.cloexec, F_DUPFD_CLOEXEC, 100);
	child = tap_fork(run_exec, &heritage);
	await_turn(heritage.turns.parent);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	give_turn(heritage.turns.parent);
	tap_join(child);
	demand_revoked(slice.at);
	turns_close(&heritage.turns);
	close(heritage.kept);
	slice_close(&slice);
	fixture_close(&f);
}

/* Ten children at once, one revoke. */
static void many_children(void)
{
	struct heir heirs[10];
	pid_t children[10];
	struct fixture f;
	struct slice slice;

	fixture_open(&f, NEEDS);
	slice_open(&f, MIB(1), LENGTH, NC, &slice);
	pattern_fill(slice.at, LENGTH, 1);
	for (int i = 0; i < 10; i++) {
		turns_open(&heirs[i].turns);
		heirs[i].at = slice.at;
		children[i] = tap_fork(run_heir, &heirs[i]);
	}
	for (int i = 0; i < 10; i++)
		await_turn(heirs[i].turns.parent);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	for (int i = 0; i < 10; i++)
		give_turn(heirs[i].turns.parent);
	for (int i = 0; i < 10; i++) {
		tap_join(children[i]);
		turns_close(&heirs[i].turns);
	}
	slice_close(&slice);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"fork_child", fork_child},
	{"receiver", receiver},
	{"exec_child", exec_child},
	{"many_children", many_children},
};

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], EXECED))
		return execed_main(argv);
	return tap_run(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
