/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PEERBAR_CLI_DOCTOR_VERBS_H
#define PEERBAR_CLI_DOCTOR_VERBS_H

#include <infiniband/verbs.h>

/* What is used of libibverbs, found in it at run time. */
struct verbs_api {
	void *library;
	struct ibv_device **(*get_device_list)(int *count);
	void (*free_device_list)(struct ibv_device **list);
	const char *(*get_device_name)(struct ibv_device *device);
	struct ibv_context *(*open_device)(struct ibv_device *device);
	int (*close_device)(struct ibv_context *context);
	struct ibv_pd *(*alloc_pd)(struct ibv_context *context);
	int (*dealloc_pd)(struct ibv_pd *pd);
	/* NULL in a libibverbs from before dma-bufs. */
	struct ibv_mr *(*reg_dmabuf_mr)(struct ibv_pd *pd, uint64_t offset, size_t length,
					uint64_t iova, int fd, int access);
};

/*
 * Asks the kernel driver itself, past the provider, to register descriptor -1.
 * Returns the errno: EBADF if the driver registers dma-bufs, EOPNOTSUPP if not.
 */
int verbs_ask_kernel(struct ibv_pd *pd);

#endif
