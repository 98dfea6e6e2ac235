/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_DEVICE_H
#define PB_DEVICE_H

#include <peerbar/peerbar.h>

#include "backend.h"
#include "feature.h"

struct peerbar_device {
	struct peerbar_device *next; /* in the space's list */
	struct peerbar *pb;
	const struct pb_backend *backend;
	struct pb_space *space;
	unsigned int refs;	  /* the handle, its buffers and DMA mappings */
	pthread_rwlock_t closing; /* protects the descriptor from being closed; not recursive */
	int fd;			  /* -1: closed */
	struct pb_features features;
	char address[PEERBAR_ADDRESS_MAX];
	struct peerbar_bar_info bars[PEERBAR_NUM_BARS];
	bool can_reset;

	/* Finding out takes a few system calls, and the answer stays. */
	bool caps_known;
	struct peerbar_device_caps caps;
};

/*
 * Children keep the struct, not the device open: between these two the
 * descriptor stays what it is. -ENODEV: the device was closed.
 */
int pb_device_enter(struct peerbar_device *dev);
void pb_device_leave(struct peerbar_device *dev);

struct peerbar_device *pb_device_get(struct peerbar_device *dev);
void pb_device_put(struct peerbar_device *dev);

#endif /* PB_DEVICE_H */
