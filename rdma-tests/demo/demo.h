/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Who plays in the demo. */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

#include <stdbool.h>

struct demo_cast {
	const char *own_address;  /* IPv4 of this host */
	const char *peer_address; /* of the other one; the same when alone */
	const char *control;	  /* where the two talk over TCP */
	const char *memory;	  /* PCI addresses */
	const char *registers;
};

/* The part of the target; returns an exit status. */
int demo_target(const struct demo_cast *cast, bool json);

#endif /* DEMO_DEMO_H */
