// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The kernel's interface as libpeerbar has it, for the features' numbers. */
#include "../../../userspace/lib/uapi.h"
#include "raw.h"

_Static_assert(RAW_FEATURE_GET == VFIO_DEVICE_FEATURE_GET, "flag moved");
_Static_assert(RAW_FEATURE_SET == VFIO_DEVICE_FEATURE_SET, "flag moved");
_Static_assert(RAW_FEATURE_PROBE == VFIO_DEVICE_FEATURE_PROBE, "flag moved");
_Static_assert(sizeof(struct raw_range) == sizeof(struct pb_vfio_dma_range), "range changed");
_Static_assert(RAW_CONFIG == VFIO_PCI_CONFIG_REGION_INDEX, "region moved");

_Static_assert(RAW_FEATURE_HEADER == sizeof(struct vfio_device_feature), "header changed");

const uint32_t raw_dma_buf = VFIO_DEVICE_FEATURE_DMA_BUF;
const uint32_t raw_dma_buf_revoke = PB_FEATURE_DMA_BUF_REVOKE;
const uint32_t raw_dma_buf_memattr = PB_FEATURE_DMA_BUF_MEMATTR;

int raw_feature(int device, uint32_t argsz, uint32_t flags, const void *payload, size_t length)
{
	struct vfio_device_feature *request;
	int ret;

	request = calloc(1, sizeof(*request) + length);
	if (!request)
		return -ENOMEM;
	request->argsz = argsz;
	request->flags = flags;
	if (length)
		memcpy(request->data, payload, length);
	ret = ioctl(device, VFIO_DEVICE_FEATURE, request);
	if (ret < 0)
		ret = -errno;
	free(request);
	return ret;
}

static int feature(int device, uint32_t flags, const void *payload, size_t length)
{
	return raw_feature(device, (uint32_t)(RAW_FEATURE_HEADER + length), flags, payload, length);
}

int raw_export(int device, uint32_t bar, uint32_t flags, const struct raw_range *ranges,
	       uint32_t count)
{
	struct pb_vfio_dma_buf *payload;
	size_t length = sizeof(*payload) + count * sizeof(*ranges);
	int ret;

	payload = calloc(1, length);
	if (!payload)
		return -ENOMEM;
	payload->region_index = bar;
	payload->open_flags = O_RDWR | O_CLOEXEC;
	payload->flags = flags;
	payload->nr_ranges = count;
	if (count)
		memcpy(payload->ranges, ranges, count * sizeof(payload->ranges[0]));
	ret = feature(device, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF, payload,
		      length);
	free(payload);
	return ret;
}

int raw_revoke(int device, int dmabuf)
{
	const struct pb_vfio_dma_buf_revoke payload = {.dmabuf_fd = dmabuf};

	return feature(device, VFIO_DEVICE_FEATURE_SET | PB_FEATURE_DMA_BUF_REVOKE, &payload,
		       sizeof(payload));
}

int raw_revoke_flags(int device, uint32_t flags, size_t payload)
{
	const uint8_t data[64] = {0xff, 0xff, 0xff, 0xff};

	return feature(device, flags | PB_FEATURE_DMA_BUF_REVOKE, data, payload);
}

int raw_memattr(int device, int dmabuf, uint32_t memattr)
{
	const struct pb_vfio_dma_buf_memattr payload = {
		.dmabuf_fd = dmabuf,
		.memattr = memattr,
	};

	return feature(device, VFIO_DEVICE_FEATURE_SET | PB_FEATURE_DMA_BUF_MEMATTR, &payload,
		       sizeof(payload));
}

int raw_region(int device, uint32_t index, uint64_t *offset, uint64_t *size)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = index,
	};

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		return -errno;
	*offset = info.offset;
	if (size)
		*size = info.size;
	return 0;
}

int raw_region_read(int device, uint32_t index, uint64_t at, void *data, size_t length)
{
	uint64_t offset;
	ssize_t done;
	int ret = raw_region(device, index, &offset, NULL);

	if (ret)
		return ret;
	done = pread(device, data, length, (off_t)(offset + at));
	if (done < 0)
		return -errno;
	return (size_t)done == length ? 0 : -EIO;
}

int raw_region_write(int device, uint32_t index, uint64_t at, const void *data, size_t length)
{
	uint64_t offset;
	ssize_t done;
	int ret = raw_region(device, index, &offset, NULL);

	if (ret)
		return ret;
	done = pwrite(device, data, length, (off_t)(offset + at));
	if (done < 0)
		return -errno;
	return (size_t)done == length ? 0 : -EIO;
}

int raw_find_capability(int device, uint8_t id)
{
	uint8_t at = 0, entry[2];

	if (raw_region_read(device, RAW_CONFIG, PCI_CAPABILITY_LIST, &at, 1))
		return -EIO;
	/* No more capabilities than fit, in case the list is a loop. */
	for (int hops = 0; at && hops < 48; hops++) {
		if (raw_region_read(device, RAW_CONFIG, at, entry, 2))
			return -EIO;
		if (entry[0] == id)
			return at;
		at = entry[1];
	}
	return -ENOENT;
}

int raw_set_memory_decode(int device, int on)
{
	uint16_t command;
	int ret;

	ret = raw_region_read(device, RAW_CONFIG, PCI_COMMAND, &command, sizeof(command));
	if (ret)
		return ret;
	if (on)
		command |= PCI_COMMAND_MEMORY;
	else
		command &= (uint16_t)~PCI_COMMAND_MEMORY;
	return raw_region_write(device, RAW_CONFIG, PCI_COMMAND, &command, sizeof(command));
}

int raw_set_low_power(int device, int on)
{
	const uint32_t what =
		on ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY : VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;

	return feature(device, VFIO_DEVICE_FEATURE_SET | what, NULL, 0);
}

int raw_sleep_until_woken(int device, int eventfd)
{
	const struct vfio_device_low_power_entry_with_wakeup payload = {.wakeup_eventfd = eventfd};

	return feature(device,
		       VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
		       &payload, sizeof(payload));
}

int raw_ioeventfd(int device, uint32_t index, uint64_t at, uint32_t value, int eventfd)
{
	struct vfio_device_ioeventfd request = {
		.argsz = sizeof(request),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.data = value,
		.fd = eventfd,
	};
	uint64_t offset;
	int ret = raw_region(device, index, &offset, NULL);

	if (ret)
		return ret;
	request.offset = offset + at;
	return ioctl(device, VFIO_DEVICE_IOEVENTFD, &request) ? -errno : 0;
}

int raw_notify_request(int device, int eventfd)
{
	struct {
		struct vfio_irq_set set;
		int32_t eventfd;
	} request = {
		.set =
			{
				.argsz = sizeof(request),
				.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				.index = VFIO_PCI_REQ_IRQ_INDEX,
				.count = 1,
			},
		.eventfd = eventfd,
	};

	return ioctl(device, VFIO_DEVICE_SET_IRQS, &request) ? -errno : 0;
}

int raw_hot_reset(int device)
{
	struct vfio_pci_hot_reset request = {.argsz = sizeof(request)};

	return ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &request) ? -errno : 0;
}
