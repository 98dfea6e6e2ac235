/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_DEVICE_H
#define PB_DEVICE_H

#include <peerbar/peerbar.h>

#include "backend.h"

struct peerbar_device {
	struct peerbar_device *next; /* in the space's list */
	struct peerbar *pb;
	const struct pb_backend *backend;
	struct pb_space *space;
	int fd;
	char address[PEERBAR_ADDRESS_MAX];
	struct peerbar_bar_info bars[PEERBAR_NUM_BARS];
	bool can_reset;

	/* Finding out takes a few system calls, and the answer stays. */
	bool caps_known;
	struct peerbar_device_caps caps;
};

#endif /* PB_DEVICE_H */
