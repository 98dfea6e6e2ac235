/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A process of its own that registers a dma-buf and writes into it by RDMA
 * without a pause, until that fails. It holds nothing of the caller but the
 * buffer, and that by its memory region only.
 */
#ifndef GUEST_COMMON_STREAM_H
#define GUEST_COMMON_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "rdma.h"

#define STREAM_LENGTH 32768
#define STREAM_IOVA   0x100000ULL
/* Every byte that it writes. */
#define STREAM_BYTE 0xa5

struct stream_options {
	const char *device;
	const char *ipv4; /* or NULL: any address of the device */
	int dmabuf;	  /* STREAM_LENGTH bytes of it are used */
	/* Called in the process: before the device is opened, and once it is in use. */
	void (*enter)(void);
	void (*leave)(void);
};

/* Shared by both processes. */
struct stream {
	struct stream_options options;
	pid_t process;
	_Atomic unsigned long done; /* completed writes */
	_Atomic int told_to_stop;
	_Atomic int told_to_exit;
	_Atomic int ended;
	int status; /* why it has ended: a completion status or a negative errno */
};

/* Returns once writes complete. */
struct stream *stream_start(const struct stream_options *options);
void stream_wait_for(struct stream *stream, unsigned long more);
/* For where no completion will ever come; harmless where one does. */
void stream_stop(struct stream *stream);
/* Waits until it has ended by itself, or was stopped (-ECANCELED). */
int stream_status(struct stream *stream);
/* Has it give back what it has, which may not work any more, and exit. */
void stream_exit(struct stream *stream);
/* Ends it on the spot. */
void stream_kill(struct stream *stream);

#endif /* GUEST_COMMON_STREAM_H */
