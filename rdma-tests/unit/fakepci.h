/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The PCI core of the made-up machine (fake.h), its device nodes, and the death
 * of processes that use them.
 *
 * A driver takes a device that its driver_override names, or, without one, that
 * is its own by nature: e1000e the FAKE_NIC. A node is a file that holds what it
 * is a node of: "b 259:0" or "c 226:0", with "busy" behind it where it cannot be
 * opened exclusively, "denied" where it cannot be opened at all, and "empty"
 * where there is no medium.
 */
#ifndef UNIT_FAKEPCI_H
#define UNIT_FAKEPCI_H

#include <stdbool.h>

struct fake_pci {
	bool vfio_refuses; /* drivers of vfio fail to probe: the device stays free */
	bool stuck;	   /* so do all others */
	int probe;	   /* errno of a write to drivers_probe */
	const char *added; /* this driver has been told to take the card as well */

	/* Calls that look at the path, or write to it, fail with the errno. */
	const char *fail_path; /* what the path ends in */
	int fail_errno;

	/* The process dies when it is about to change something for the nth time. */
	unsigned int die_at;
	/* The nth fallible call from now on fails; 0: none. */
	unsigned int fail_nth;
	bool failed; /* it did */
};

extern struct fake_pci fake_pci;

#endif /* UNIT_FAKEPCI_H */
