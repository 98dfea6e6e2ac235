/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * VFIO_DEVICE_FEATURE, raw: every function returns what the kernel said and
 * logs nothing.
 */
#ifndef PB_FEATURE_H
#define PB_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <peerbar/peerbar.h>

/* What this kernel calls the features of the series; 0: it has no such. */
struct pb_features {
	uint32_t revoke;
	uint32_t memattr;
};

/* 0, or a negative errno: it could not be found out. */
int pb_features_find(int device_fd, struct pb_features *out);

/* Is there such a feature? @op is VFIO_DEVICE_FEATURE_GET or _SET. */
int pb_feature_probe(int device_fd, uint32_t feature, uint32_t op);

/* A new dma-buf descriptor over @ranges of a BAR. */
int pb_feature_export(int device_fd, unsigned int bar, const struct peerbar_range *ranges,
		      size_t nr_ranges, int open_flags, uint32_t flags);
/* -ENOTTY where the kernel has no such feature. */
int pb_feature_revoke(int device_fd, const struct pb_features *features, int dmabuf_fd);
int pb_feature_memattr(int device_fd, const struct pb_features *features, int dmabuf_fd,
		       uint32_t memattr);

#endif /* PB_FEATURE_H */
