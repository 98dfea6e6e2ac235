// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vfio of the made-up machine: devices, groups, containers. Every argument is
 * looked at as the kernel does; see fakeiommu.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fakekernel.h"

uint64_t fake_bar_length(const char *device, unsigned int bar)
{
	static const uint64_t mem[6] = {0x4000, 0, 0x4000000, 0, 0, 0};
	static const uint64_t reg[6] = {0x100000, 0, 0, 0, 0, 0};

	if (bar > 5 || (!bar && fake.no_bar0))
		return 0;
	return !strcmp(device, "vfio1") || !strcmp(device, FAKE_REG) ? reg[bar] : mem[bar];
}

/* A device ------------------------------------------------------------------ */

static int bind_iommufd(struct fake_file *file, const struct pb_vfio_bind_iommufd *bind)
{
	if (!fake_sized(bind->argsz, sizeof(*bind), "VFIO_DEVICE_BIND_IOMMUFD"))
		return -1;
	if (bind->flags || fake_file(bind->iommufd)->kind != FAKE_IOMMUFD)
		return fake_misuse(EBADF, "VFIO_DEVICE_BIND_IOMMUFD to no iommufd");
	if (fake.bind_iommufd)
		return fake_fail(fake.bind_iommufd);
	file->bound = true;
	return 0;
}

static bool is_open(const struct fake_file *file, const char *device)
{
	return file->kind == FAKE_CDEV && file->bound && !strcmp(file->device, device);
}

static bool open_elsewhere(const struct fake_file *file)
{
	for (int fd = 0; fd < 1024; fd++) {
		if (fake_file(fd) != file && is_open(fake_file(fd), file->device))
			return true;
	}
	return false;
}

static int attach(struct fake_file *file, const struct pb_vfio_attach_iommufd_pt *cmd)
{
	if (!fake_sized(cmd->argsz, sizeof(*cmd), "VFIO_DEVICE_ATTACH_IOMMUFD_PT"))
		return -1;
	if (cmd->flags || !fake_ioas_exists(cmd->pt_id))
		return fake_misuse(ENOENT, "VFIO_DEVICE_ATTACH_IOMMUFD_PT to no address space");
	if (fake.attach)
		return fake_fail(fake.attach);
	file->ioas = cmd->pt_id;
	return 0;
}

bool fake_ioas_attached(uint32_t ioas)
{
	for (int fd = 0; fd < 1024; fd++) {
		if (fake_file(fd)->kind == FAKE_CDEV && fake_file(fd)->ioas == ioas)
			return true;
	}
	return false;
}

static int device_info(struct vfio_device_info *info)
{
	if (info->argsz < sizeof(*info))
		return fake_misuse(EINVAL, "VFIO_DEVICE_GET_INFO of the wrong size");
	info->flags = VFIO_DEVICE_FLAGS_PCI | (fake.no_reset ? 0 : VFIO_DEVICE_FLAGS_RESET);
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	return 0;
}

static int region_info(const struct fake_file *file, struct vfio_region_info *info)
{
	if (info->argsz != sizeof(*info) || info->index >= VFIO_PCI_NUM_REGIONS)
		return fake_misuse(EINVAL,
				   "VFIO_DEVICE_GET_REGION_INFO of the wrong size or region");
	info->offset = (uint64_t)info->index << 40;
	info->size = fake_bar_length(file->device, info->index);
	if (info->index == VFIO_PCI_CONFIG_REGION_INDEX)
		info->size = 256;
	else if (info->size)
		info->flags = VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}

static int usable_device_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		return device_info(arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(file, arg);
	case VFIO_DEVICE_RESET:
		return fake.reset ? fake_fail(fake.reset) : 0;
	case VFIO_DEVICE_FEATURE:
		return fake_feature_ioctl(file, arg);
	default:
		return fake_misuse(ENOTTY, "an ioctl that devices do not have");
	}
}

static int cdev_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	if (request == VFIO_DEVICE_BIND_IOMMUFD) {
		if (open_elsewhere(file))
			return fake_fail(EINVAL);
		return bind_iommufd(file, arg);
	}
	if (!file->bound)
		return fake_misuse(EINVAL, "a device used before it was bound to an iommufd");
	if (request == VFIO_DEVICE_ATTACH_IOMMUFD_PT)
		return attach(file, arg);
	return usable_device_ioctl(file, request, arg);
}

/* Groups --------------------------------------------------------------------- */

static int container_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	bool has_group = false;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1v2_IOMMU && !fake.no_type1;
	case VFIO_SET_IOMMU:
		for (int fd = 0; fd < 1024; fd++)
			has_group |= fake_file(fd)->kind == FAKE_GROUP &&
				     fake_file(fd)->container >= 0 &&
				     fake_file(fake_file(fd)->container) == file;
		if (!has_group || (uintptr_t)arg != VFIO_TYPE1v2_IOMMU)
			return fake_misuse(
				EINVAL, "VFIO_SET_IOMMU of an empty container, or of another type");
		file->has_iommu = true;
		return 0;
	default:
		return fake_misuse(ENOTTY, "an ioctl that containers do not have");
	}
}

static int group_status(struct vfio_group_status *status)
{
	if (!fake_sized(status->argsz, sizeof(*status), "VFIO_GROUP_GET_STATUS"))
		return -1;
	status->flags = fake.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
	return 0;
}

static int set_container(struct fake_file *file, const int *container)
{
	if (fake.not_viable)
		return fake_misuse(EPERM, "VFIO_GROUP_SET_CONTAINER of a group that is not viable");
	if (fake_file(*container)->kind != FAKE_CONTAINER || file->container >= 0)
		return fake_misuse(EINVAL, "VFIO_GROUP_SET_CONTAINER to no container, or twice");
	file->container = *container;
	return 0;
}

static int get_device(const struct fake_file *group, const char *address)
{
	struct fake_file *file;
	int fd;

	if (group->container < 0 || !fake_file(group->container)->has_iommu)
		return fake_misuse(EINVAL, "VFIO_GROUP_GET_DEVICE_FD without an IOMMU");
	if (!strcmp(group->device, "7") != !strcmp(address, FAKE_MEM) ||
	    !strcmp(group->device, "8") != !strcmp(address, FAKE_REG))
		return fake_misuse(ENODEV, "VFIO_GROUP_GET_DEVICE_FD of another group's device");
	fd = memfd_create("vfio", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	file = fake_file(fd);
	memset(file, 0, sizeof(*file));
	file->kind = FAKE_GROUP_DEVICE;
	snprintf(file->device, sizeof(file->device), "%.31s", address);
	return fd;
}

static int group_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		return group_status(arg);
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(file, arg);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(file, arg);
	default:
		return fake_misuse(ENOTTY, "an ioctl that groups do not have");
	}
}

int fake_vfio_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_file *file = fake_file(fd);

	switch (file->kind) {
	case FAKE_CDEV:
		return cdev_ioctl(file, request, arg);
	case FAKE_CONTAINER:
		return container_ioctl(file, request, arg);
	case FAKE_GROUP:
		return group_ioctl(file, request, arg);
	case FAKE_GROUP_DEVICE:
		return usable_device_ioctl(file, request, arg);
	default:
		return fake_misuse(ENOTTY, "a vfio ioctl on something else");
	}
}
