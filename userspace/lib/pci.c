// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "context.h"
#include "pci.h"
#include "pciaddr.h"
#include "sysfs.h"
#include "util.h"

/* From include/linux/ioport.h; sysfs prints them, so they do not change. */
#define IORESOURCE_IO	    0x00000100
#define IORESOURCE_MEM	    0x00000200
#define IORESOURCE_PREFETCH 0x00002000
#define IORESOURCE_MEM_64   0x00100000

/* From include/linux/pci_ids.h, which user space does not get. */
#define PCI_CLASS_BRIDGE_PCI	  0x0604
#define PCI_CLASS_BRIDGE_CARDBUS  0x0607
#define PCI_CLASS_BRIDGE_PCI_SEMI 0x0609

#define PCI_DEVICES "bus/pci/devices"

int pb_pci_open_dir(struct peerbar *pb, const char *address)
{
	char path[sizeof(PCI_DEVICES) + 1 + PEERBAR_ADDRESS_MAX];
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s", address);
	fd = openat(pb->sys_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ENODEV : -errno;
}

int pb_pci_parse_resources(const char *text, struct peerbar_bar_info bars[PEERBAR_NUM_BARS])
{
	uint64_t start, end, flags;
	int used;

	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++, text += used) {
		struct peerbar_bar_info *bar = &bars[i];

		if (sscanf(text, "%" SCNx64 " %" SCNx64 " %" SCNx64 " %n", &start, &end, &flags,
			   &used) != 3)
			return -EIO;
		memset(bar, 0, sizeof(*bar));
		if (!flags || end < start || !end)
			continue;
		bar->length = end - start + 1;
		bar->is_memory = flags & IORESOURCE_MEM;
		bar->is_64bit = flags & IORESOURCE_MEM_64;
		bar->is_prefetchable = flags & IORESOURCE_PREFETCH;
		/* What the kernel allows once the device is opened may be less. */
		bar->can_mmap = bar->is_memory && pb_is_aligned(start, pb_page_size()) &&
				bar->length >= pb_page_size();
	}
	return 0;
}

static int read_bars(int dir, struct peerbar_bar_info *bars)
{
	char text[4096];
	int ret;

	ret = pb_read_at(dir, "resource", text, sizeof(text));
	if (ret)
		return ret;
	return pb_pci_parse_resources(text, bars);
}

static int read_ids(int dir, struct peerbar_device_info *info)
{
	uint64_t vendor, device, class_code;
	int ret;

	ret = pb_read_hex_at(dir, "vendor", &vendor);
	if (!ret)
		ret = pb_read_hex_at(dir, "device", &device);
	if (!ret)
		ret = pb_read_hex_at(dir, "class", &class_code);
	if (ret)
		return ret;
	info->vendor = (uint16_t)vendor;
	info->device = (uint16_t)device;
	info->class_code = (uint32_t)class_code;
	return 0;
}

/* A link that is not there is an answer, one that cannot be read is none. */
static int read_link(int dir, const char *path, char name[NAME_MAX + 1])
{
	int ret = pb_readlink_base_at(dir, path, name, NAME_MAX + 1);

	if (ret == -ENOENT)
		*name = '\0';
	return ret == -ENOENT ? 0 : ret;
}

static int read_iommu_group(int dir, int *group)
{
	char name[NAME_MAX + 1], *end;
	int ret = read_link(dir, "iommu_group", name);

	if (ret)
		return ret;
	*group = *name ? (int)strtol(name, &end, 10) : -1;
	return *name && *end ? -EIO : 0;
}

/* Variant drivers of vfio-pci have other names, but all of them register there. */
static int read_driver(int dir, struct peerbar_device_info *info)
{
	char name[NAME_MAX + 1];
	int ret, vfio;

	ret = read_link(dir, "driver", name);
	vfio = pb_find_at(dir, "vfio-dev");
	if (ret || vfio < 0)
		return ret ? ret : vfio;
	snprintf(info->driver, sizeof(info->driver), "%.*s", (int)sizeof(info->driver) - 1, name);
	info->vfio_bound = !strcmp(name, "vfio-pci") || vfio == PB_YES;
	return 0;
}

int pb_pci_read_info(int dir, const char *address, struct peerbar_device_info *out)
{
	struct peerbar_device_info info = {};
	int ret;

	strcpy(info.address, address);
	ret = read_ids(dir, &info);
	if (!ret)
		ret = read_bars(dir, info.bars);
	if (!ret)
		ret = read_driver(dir, &info);
	if (!ret)
		ret = read_iommu_group(dir, &info.iommu_group);
	if (ret)
		return ret;
	*out = info;
	return 0;
}

bool pb_pci_is_bridge(uint32_t class_code)
{
	switch (class_code >> 8) {
	case PCI_CLASS_BRIDGE_PCI:
	case PCI_CLASS_BRIDGE_CARDBUS:
	case PCI_CLASS_BRIDGE_PCI_SEMI:
		return true;
	default:
		return false;
	}
}

int peerbar_device_lookup(struct peerbar *pb, const char *address, struct peerbar_device_info *out)
{
	char name[PEERBAR_ADDRESS_MAX];
	PB_AUTO_CLOSE int dir = -1;
	int ret;

	if (!pb || !out)
		return -EINVAL;
	ret = pb_address_parse(address, name);
	if (ret)
		return pb_fail(pb, ret, "\"%s\" is no PCI address like 0000:01:00.0",
			       address ? address : "(null)");
	dir = pb_pci_open_dir(pb, name);
	if (dir < 0)
		return pb_fail(pb, dir, "no PCI device %s: see lspci -D", name);
	ret = pb_pci_read_info(dir, name, out);
	if (ret)
		return pb_fail(pb, ret, "cannot read what sysfs has on %s", name);
	return 0;
}

int pb_pci_find(struct peerbar *pb, const char *address, struct peerbar_device_info *info)
{
	int ret = peerbar_device_lookup(pb, address, info);

	if (ret)
		return ret;
	ret = pb_pci_open_dir(pb, info->address);
	return ret < 0 ? pb_fail(pb, ret, "%s has gone", info->address) : ret;
}

struct device_list {
	struct peerbar_device_info *infos;
	size_t count;
	size_t room;
};

static int list_add(struct device_list *list, const struct peerbar_device_info *info)
{
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 32;
		void *grown = realloc(list->infos, room * sizeof(*info));

		if (!grown)
			return -ENOMEM;
		list->infos = grown;
		list->room = room;
	}
	list->infos[list->count++] = *info;
	return 0;
}

static int list_add_device(struct peerbar *pb, struct device_list *list, const char *name)
{
	char address[PEERBAR_ADDRESS_MAX];
	struct peerbar_device_info info;
	PB_AUTO_CLOSE int dir = -1;
	int ret;

	if (pb_address_parse(name, address))
		return 0;
	dir = pb_pci_open_dir(pb, address);
	ret = dir < 0 ? dir : pb_pci_read_info(dir, address, &info);
	/* A device may be unplugged while we look: that is not an error. */
	if (ret == -ENODEV || ret == -ENOENT || ret == -EIO) {
		pb_log(pb, PEERBAR_LOG_INFO, "leaving out %s: cannot read what sysfs has on it",
		       address);
		return 0;
	}
	return ret ? ret : list_add(list, &info);
}

static int compare_infos(const void *a, const void *b)
{
	const struct peerbar_device_info *x = a, *y = b;

	return pb_address_compare(x->address, y->address);
}

int peerbar_list_devices(struct peerbar *pb, struct peerbar_device_info **out, size_t *count)
{
	PB_AUTO_CLOSEDIR DIR *dir = NULL;
	struct device_list list = {};
	struct dirent *entry;
	int ret = 0;

	if (!pb || !out || !count)
		return -EINVAL;
	dir = pb_opendir_at(pb->sys_fd, PCI_DEVICES);
	if (!dir)
		return pb_fail(pb, -errno, "cannot list PCI devices in sysfs " PCI_DEVICES);
	while (!ret && (entry = pb_readdir(dir)))
		ret = list_add_device(pb, &list, entry->d_name);
	if (!ret && errno)
		ret = -errno;
	if (ret) {
		free(list.infos);
		return pb_fail(pb, ret, "cannot list PCI devices");
	}
	if (list.count)
		qsort(list.infos, list.count, sizeof(*list.infos), compare_infos);
	*out = list.infos;
	*count = list.count;
	return 0;
}

void peerbar_free_devices(struct peerbar_device_info *devices)
{
	int saved = errno;

	free(devices);
	errno = saved;
}
