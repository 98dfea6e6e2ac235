/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The two ways to a vfio device and its IOMMU. Everything that differs between
 * them is behind struct pb_backend; device.c and iova.c see nothing else.
 */
#ifndef PB_BACKEND_H
#define PB_BACKEND_H

#include <peerbar/peerbar.h>

#include "context.h"
#include "iovatree.h"

/* Where a device is found, gathered before anything of it is opened. */
struct pb_site {
	char address[PEERBAR_ADDRESS_MAX];
	int group;     /* IOMMU group; -1: none */
	char cdev[32]; /* "vfio0", its name in /dev/vfio/devices; or empty */
	int dir;       /* its directory in sysfs, open while the device is being opened */
};

struct pb_iova_range {
	uint64_t start;
	uint64_t last;
};

/* Which DMA addresses an IOMMU can use. */
struct pb_iova_ranges {
	struct pb_iova_range *ranges; /* in their order */
	size_t count;
	uint64_t align; /* of addresses and lengths: its pages; a power of two */
};

/*
 * What one or more devices of an IOMMU group see by DMA. Devices of one group
 * cannot be told apart by the IOMMU, so that they share it.
 *
 * When the last of its devices goes, so does the address space, and what is
 * mapped in it; the struct stays for as long as a DMA mapping knows it.
 */
struct pb_space {
	struct pb_space *next;
	const struct pb_backend *backend;
	int group;
	unsigned int refs;		/* devices and DMA mappings */
	struct peerbar_device *devices; /* in it now; under the context's lock */

	pthread_mutex_t lock; /* protects the two below; not held across system calls */
	struct pb_iova_area *taken;
	bool gone;

	uint32_t ioas_id; /* iommufd */
	int container_fd; /* group */
	int group_fd;	  /* group */
};

struct pb_backend {
	enum peerbar_backend id;
	const char *name;
	/*
	 * 0, or why this way is closed for the device: -EOPNOTSUPP the kernel
	 * has no such thing, -EACCES we have no right to it, or what kept us
	 * from finding out.
	 */
	int (*usable)(struct peerbar *pb, const struct pb_site *site, const char **why);
	int (*space_init)(struct peerbar *pb, const struct pb_site *site, struct pb_space *space);
	void (*space_exit)(struct peerbar *pb, struct pb_space *space);
	/* Opens the device within @space: a descriptor. */
	int (*device_open)(struct peerbar *pb, const struct pb_site *site, struct pb_space *space);

	/* The rest may be NULL: not supported. */

	/* The array is malloc()ed. */
	int (*iova_ranges)(struct peerbar *pb, struct pb_space *space, struct pb_iova_ranges *out);
	int (*map_dmabuf)(struct peerbar *pb, struct pb_space *space, int fd, uint64_t offset,
			  uint64_t length, uint64_t iova, bool writable);
	int (*unmap)(struct peerbar *pb, struct pb_space *space, uint64_t iova, uint64_t length);
};

extern const struct pb_backend pb_backend_iommufd;
extern const struct pb_backend pb_backend_group;

/*
 * Puts the device into the space of its group, which is made when it is the
 * first there. -EBUSY: this context has it open. Leaving comes after the
 * device's descriptor was closed, and does nothing for one that is in none.
 */
int pb_space_join(struct peerbar_device *dev, const struct pb_site *site);
void pb_space_leave(struct peerbar_device *dev);

struct pb_space *pb_space_get(struct pb_space *space);
void pb_space_put(struct pb_space *space);

#endif /* PB_BACKEND_H */
