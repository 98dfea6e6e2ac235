/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Whether a device is in use. A check either finds a use, finds none, or fails;
 * one that fails is told like a use, for it may be one.
 */
#ifndef PB_USE_H
#define PB_USE_H

#include <peerbar/peerbar.h>

#include "context.h"

#define PB_USE_TEXT 256
#define PB_NODE_MAX 64

/* A device node that belongs to the device, below /dev. */
struct pb_node {
	char name[PB_NODE_MAX];
	bool block;
	unsigned int major;
	unsigned int minor;
};

/* One examination of one device. */
struct pb_use_check {
	struct peerbar *pb;
	const char *address;
	int dir; /* its directory in sysfs */
	peerbar_use_fn report;
	void *arg;

	unsigned int uses;
	int failed;		 /* the first failure, a negative errno */
	char first[PB_USE_TEXT]; /* what was told first */

	struct pb_node *nodes;
	size_t nr_nodes;
};

/* A use was found: of @name, told in words of which "it" is the device. */
void pb_use_found(struct pb_use_check *check, enum peerbar_use_kind kind, const char *name,
		  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* It could not be found out, for the reason @err, whether... */
void pb_use_failed(struct pb_use_check *check, int err, const char *name, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * The rest look at one thing each. @dir is the directory of a class device that
 * belongs to the device and has this name.
 */

/* @inner_uses: that of its partitions was found before. */
void pb_use_block(struct pb_use_check *check, int dir, const char *name, bool inner_uses);
void pb_use_network(struct pb_use_check *check, int dir, const char *name);
void pb_use_rdma(struct pb_use_check *check, int dir, const char *name);
void pb_use_connector(struct pb_use_check *check, int dir, const char *name);
void pb_use_framebuffer(struct pb_use_check *check, int dir, const char *name);
void pb_use_virtio(struct pb_use_check *check, int dir, const char *name);

/* What the PCI function itself is used for. */
void pb_use_function(struct pb_use_check *check);
/* Open descriptors of the nodes that were gathered. */
void pb_use_descriptors(struct pb_use_check *check);
/* The group of a device that vfio has: false where it has none, or not the device. */
bool pb_use_vfio_group(struct pb_use_check *check, char *group, size_t size);
/* Users of vfio that no descriptor shows. */
void pb_use_vfio(struct pb_use_check *check);

/* What is mounted: by the number or name of its disk, or by type and source. */
struct pb_mount_query {
	const char *number; /* "259:0"; or NULL */
	const char *type;   /* or NULL: any */
	const char *source; /* or NULL: any */
};

/*
 * Looks through the mount namespaces of all processes: 1 and words for where it
 * is mounted, 0 if it is not, or a negative errno.
 */
int pb_use_find_mount(struct peerbar *pb, const struct pb_mount_query *query, char *where,
		      size_t size);

/* The node of a class device: 0 or a negative errno, -ENOENT: it has none. */
int pb_use_read_node(int dir, const char *name, struct pb_node *node);

/* Walks a tree of sysfs, looking at each class device that is in it. */
void pb_use_walk(struct pb_use_check *check, int parent, const char *name);

/* 0, or -EBUSY or the failure, told as the reason not to @verb the device. */
int pb_use_refuse(struct peerbar *pb, int dir, const char *address, const char *verb);

#endif /* PB_USE_H */
