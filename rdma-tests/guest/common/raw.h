/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The kernel's own interface, for what the tests must ask without libpeerbar in
 * between: features, region reads and writes, PCI configuration space.
 */
#ifndef GUEST_COMMON_RAW_H
#define GUEST_COMMON_RAW_H

#include <stddef.h>
#include <stdint.h>

struct raw_range {
	uint64_t offset;
	uint64_t length;
};

/* VFIO_DEVICE_FEATURE_DMA_BUF: a descriptor or a negative errno. */
int raw_export(int device, uint32_t bar, uint32_t flags, const struct raw_range *ranges,
	       uint32_t count);
/* The features of the series: 0 or a negative errno. */
int raw_revoke(int device, int dmabuf);
int raw_memattr(int device, int dmabuf, uint32_t memattr);
/* The same with the flags of VFIO_DEVICE_FEATURE and the size of one's own. */
int raw_revoke_flags(int device, uint32_t flags, size_t payload);

#define RAW_FEATURE_GET	  (1u << 16)
#define RAW_FEATURE_SET	  (1u << 17)
#define RAW_FEATURE_PROBE (1u << 18)

/* The features' numbers. */
extern const uint32_t raw_dma_buf, raw_dma_buf_revoke, raw_dma_buf_memattr;
/* VFIO_DEVICE_FEATURE with any flags, any size claimed, any payload. */
int raw_feature(int device, uint32_t argsz, uint32_t flags, const void *payload, size_t length);
#define RAW_FEATURE_HEADER 8u

/* File offset and size of a region (BAR number, or RAW_CONFIG). */
#define RAW_CONFIG 7u
int raw_region(int device, uint32_t index, uint64_t *offset, uint64_t *size);
/* Reads and writes of a region through the device's descriptor. */
int raw_region_read(int device, uint32_t index, uint64_t at, void *data, size_t length);
int raw_region_write(int device, uint32_t index, uint64_t at, const void *data, size_t length);
/* Offset of a PCI capability in configuration space, or -ENOENT. */
int raw_find_capability(int device, uint8_t id);
int raw_set_memory_decode(int device, int on);
/* Puts the device to sleep until it is woken with on = 0. */
int raw_set_low_power(int device, int on);
/* The same until somebody asks something of it; if it had fallen asleep, the eventfd tells so. */
int raw_sleep_until_woken(int device, int eventfd);
/* VFIO_DEVICE_IOEVENTFD: an eventfd that writes a value; -1 takes it back. */
int raw_ioeventfd(int device, uint32_t index, uint64_t at, uint32_t value, int eventfd);
/* Has the eventfd written to when the kernel wants the device back. */
int raw_notify_request(int device, int eventfd);
/* VFIO_DEVICE_PCI_HOT_RESET, of a device that was opened through iommufd. */
int raw_hot_reset(int device);

#endif /* GUEST_COMMON_RAW_H */
