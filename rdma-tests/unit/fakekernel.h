/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The insides of the played kernel: its descriptors, and the parts that answer
 * their ioctls. All of it under one lock.
 */
#ifndef UNIT_FAKEKERNEL_H
#define UNIT_FAKEKERNEL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fake.h"
#include "uapi.h"

enum fake_kind {
	FAKE_NOTHING,
	FAKE_IOMMUFD,
	FAKE_CDEV, /* a device by its character device */
	FAKE_CONTAINER,
	FAKE_GROUP,
	FAKE_GROUP_DEVICE, /* a device out of a group */
};

/* What the kernel knows of an open descriptor. */
struct fake_file {
	enum fake_kind kind;
	char device[32]; /* name of its node, or of the group's device */
	bool bound;	 /* a character device: to an iommufd */
	uint32_t ioas;	 /* and attached to this; 0: to none */
	bool has_iommu;	 /* a container */
	int container;	 /* of a group; -1: it is in none */
};

/* Of a descriptor that is not the kernel's: FAKE_NOTHING. */
struct fake_file *fake_file(int fd);

/*
 * Something that no caller who knows what he does asks for: noted, counted, and
 * refused with @err. Tests demand that none of it happened.
 */
int fake_misuse(int err, const char *what);
/* True, and all well, if @size is what the struct of the uAPI has. */
bool fake_sized(uint32_t size, size_t want, const char *what);

int fake_vfio_ioctl(int fd, unsigned long request, void *arg);
int fake_feature_ioctl(const struct fake_file *file, struct vfio_device_feature *header);
int fake_iommu_ioctl(unsigned long request, void *arg);

/* True if @fd is a dma-buf; *@revoked: its memory is not to be had. */
bool fake_dmabuf(int fd, bool *revoked, uint64_t *length);
/* A device was closed: its buffers are of no use any more. */
void fake_dmabufs_orphaned(const char *device);
/* Has the address space a device in it? */
bool fake_ioas_attached(uint32_t ioas);
bool fake_ioas_exists(uint32_t ioas);
/* The size of a device's BAR, as vfio has it. */
uint64_t fake_bar_length(const char *device, unsigned int bar);

#endif /* UNIT_FAKEKERNEL_H */
