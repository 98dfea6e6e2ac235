// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vfio group + container, the older way. A group can be opened once only, so
 * that the devices of a group share its descriptor.
 *
 * There is no map_dmabuf: a type1 container can map a CPU mapping of the
 * buffer, but it looks the physical pages up once and keeps them
 * (follow_fault_pfn() in drivers/vfio/vfio_iommu_type1.c). A device would
 * reach them after the buffer was revoked, and that is never to happen.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "backend.h"
#include "binding.h"
#include "sysfs.h"
#include "uapi.h"
#include "util.h"

static void group_path(const struct pb_site *site, char *path, size_t size)
{
	snprintf(path, size, "vfio/%d", site->group);
}

/* Where vfio was told to do without an IOMMU the group's node has another name. */
static bool has_no_iommu(struct peerbar *pb, const struct pb_site *site)
{
	char path[32];

	snprintf(path, sizeof(path), "vfio/noiommu-%d", site->group);
	return pb_exists_at(pb->dev_fd, path);
}

static int group_usable(struct peerbar *pb, const struct pb_site *site, const char **why)
{
	int container = pb_access_at(pb->dev_fd, "vfio/vfio"), group;
	char path[32];

	if (site->group < 0) {
		*why = "it is in no IOMMU group (is the IOMMU on? try intel_iommu=on)";
		return -EOPNOTSUPP;
	}
	if (has_no_iommu(pb, site)) {
		*why = "vfio has it without an IOMMU (enable_unsafe_noiommu_mode): turn the IOMMU on";
		return -EOPNOTSUPP;
	}
	group_path(site, path, sizeof(path));
	group = pb_access_at(pb->dev_fd, path);
	if (container == -ENOENT || group == -ENOENT) {
		*why = "vfio has no node for its group (needs CONFIG_VFIO_GROUP and CONFIG_VFIO_CONTAINER)";
		return -EOPNOTSUPP;
	}
	if (container || group)
		*why = "no access to the nodes in /dev/vfio (run as root, or change the nodes' owner)";
	return container ? container : group;
}

static int open_container(struct peerbar *pb)
{
	PB_AUTO_CLOSE int fd = -1;

	fd = openat(pb->dev_fd, "vfio/vfio", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return pb_fail(pb, -errno, "cannot open /dev/vfio/vfio");
	if (ioctl(fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
	    ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
		return pb_fail(
			pb, -EOPNOTSUPP,
			"vfio has no IOMMU of type 1 version 2 (try: modprobe vfio_iommu_type1)");
	return pb_take_fd(&fd);
}

static int open_group(struct peerbar *pb, const struct pb_site *site)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	PB_AUTO_CLOSE int fd = -1;
	char path[32];

	group_path(site, path, sizeof(path));
	fd = openat(pb->dev_fd, path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return pb_fail(pb, -errno, "cannot open /dev/%s of %s", path, site->address);
	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status))
		return pb_fail(pb, -errno, "cannot ask for the state of /dev/%s", path);
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return pb_binding_group_refused(pb, site->address, site->group);
	return pb_take_fd(&fd);
}

static int group_space_init(struct peerbar *pb, const struct pb_site *site, struct pb_space *space)
{
	PB_AUTO_CLOSE int container = open_container(pb);
	PB_AUTO_CLOSE int group = -1;

	if (container < 0)
		return container;
	group = open_group(pb, site);
	if (group < 0)
		return group;
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		return pb_fail(pb, -errno, "cannot put IOMMU group %d into a container",
			       site->group);
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return pb_fail(pb, -errno, "cannot give the container of IOMMU group %d an IOMMU",
			       site->group);
	space->container_fd = pb_take_fd(&container);
	space->group_fd = pb_take_fd(&group);
	return 0;
}

static void group_space_exit(struct peerbar *pb, struct pb_space *space)
{
	pb_close_fd(space->group_fd);
	pb_close_fd(space->container_fd);
}

static int group_device_open(struct peerbar *pb, const struct pb_site *site, struct pb_space *space)
{
	int fd;

	/*
	 * By its address: of a stale node no other device can come. vfio makes
	 * the descriptor O_CLOEXEC (vfio_device_open_file()).
	 */
	fd = ioctl(space->group_fd, VFIO_GROUP_GET_DEVICE_FD, site->address);
	if (fd < 0)
		return pb_fail(pb, -errno, "cannot get %s out of IOMMU group %d", site->address,
			       site->group);
	return fd;
}

const struct pb_backend pb_backend_group = {
	.id = PEERBAR_BACKEND_GROUP,
	.name = "group",
	.usable = group_usable,
	.space_init = group_space_init,
	.space_exit = group_space_exit,
	.device_open = group_device_open,
};
