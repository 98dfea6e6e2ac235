/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Who has a device and who is to have it: its driver, its driver_override, and
 * what is on record of before it was bound.
 */
#ifndef PB_BINDING_H
#define PB_BINDING_H

#include "record.h"

struct pb_binding {
	struct peerbar_device_info info;
	char driver[PB_DRIVER_MAX];   /* all of its name; empty: none */
	char override[PB_DRIVER_MAX]; /* driver_override now; empty: none */
	bool recorded;
	struct pb_record record;
};

/* What sysfs and the record say of the device whose directory is @dir. */
int pb_binding_read(struct peerbar *pb, int dir, const char *address, struct pb_binding *out);
/* True if its driver_override gives it to vfio. */
bool pb_binding_overridden(const struct pb_binding *binding);
/* True if vfio does not have it, and somebody stopped halfway. */
bool pb_binding_interrupted(const struct pb_binding *binding);

/* Each says what it could not do. */
int pb_binding_set_override(struct peerbar *pb, int dir, const char *address, const char *driver);
/* Lets go of the present driver, if there is one. */
int pb_binding_release(struct peerbar *pb, int dir, const char *address);
/* Lets the drivers have a look at a device that has none. */
int pb_binding_probe(struct peerbar *pb, const char *address);

enum pb_former {
	PB_FORMER_EXACTLY, /* a device that had no driver is left without one */
	PB_FORMER_OR_ANY,  /* any driver that wants it may have it */
};

/*
 * Takes the device from vfio, where that has it, and gives it back to the
 * driver and the override that it had before; the record goes when that is done.
 */
int pb_binding_give_back(struct peerbar *pb, int dir, const struct pb_binding *binding,
			 enum pb_former former);

/*
 * Says why the kernel lets nobody have a device that vfio has: -EUSERS, a driver
 * of the kernel has another one of its IOMMU group, or -EBUSY, a program has.
 */
int pb_binding_group_refused(struct peerbar *pb, const char *address, int group);

#endif /* PB_BINDING_H */
