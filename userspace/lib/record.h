/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What a device was like before it was bound, kept in /run: whoever finds it
 * later can put it back, even if the process that bound it was killed halfway.
 * Like the state of sysfs that it is about, it does not survive a boot.
 */
#ifndef PB_RECORD_H
#define PB_RECORD_H

#include "context.h"

/* Longest name of a driver that is kept, with its NUL. */
#define PB_DRIVER_MAX 64

struct pb_record {
	char override[PB_DRIVER_MAX]; /* driver_override before; empty: none */
	char driver[PB_DRIVER_MAX];   /* the driver before; empty: none */
	char vfio[PB_DRIVER_MAX];     /* the driver that it was bound to */
};

/* -ENOENT: there is none. Returns other errors as they are, and logs nothing. */
int pb_record_read(struct peerbar *pb, const char *address, struct pb_record *record);
/* The old record or the new one is there at any moment, and never half of one. */
int pb_record_write(struct peerbar *pb, const char *address, const struct pb_record *record);
/* 0 as well where there was none. */
int pb_record_remove(struct peerbar *pb, const char *address);

#endif /* PB_RECORD_H */
