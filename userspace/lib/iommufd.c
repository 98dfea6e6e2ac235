// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * vfio character device + iommufd. The context has one iommufd, and in it an
 * address space (IOAS) for every IOMMU group in use.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "backend.h"
#include "binding.h"
#include "sysfs.h"
#include "uapi.h"
#include "util.h"

static void cdev_path(const struct pb_site *site, char *path, size_t size)
{
	snprintf(path, size, "vfio/devices/%s", site->cdev);
}

static int iommufd_usable(struct peerbar *pb, const struct pb_site *site, const char **why)
{
	int device, iommu = pb_access_at(pb->dev_fd, "iommu");
	char path[64];

	cdev_path(site, path, sizeof(path));
	device = *site->cdev ? pb_access_at(pb->dev_fd, path) : -ENOENT;
	if (device == -ENOENT) {
		*why = "vfio has no character device for it (needs CONFIG_VFIO_DEVICE_CDEV)";
		return -EOPNOTSUPP;
	}
	if (iommu == -ENOENT) {
		*why = "there is no /dev/iommu (needs CONFIG_IOMMUFD; try: modprobe iommufd)";
		return -EOPNOTSUPP;
	}
	if (device) {
		*why = "no access to its node in /dev/vfio/devices (run as root, or change the node's owner)";
		return device;
	}
	if (iommu)
		*why = "no access to /dev/iommu (run as root, or change the node's owner)";
	return iommu;
}

/* The context's lock is held by space_init()'s caller. */
static int open_iommufd(struct peerbar *pb)
{
	if (pb->iommufd >= 0)
		return 0;
	pb->iommufd = openat(pb->dev_fd, "iommu", O_RDWR | O_CLOEXEC);
	if (pb->iommufd < 0)
		return pb_fail(pb, -errno, "cannot open /dev/iommu");
	return 0;
}

static int iommufd_space_init(struct peerbar *pb, const struct pb_site *site,
			      struct pb_space *space)
{
	struct pb_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	int ret;

	ret = open_iommufd(pb);
	if (ret)
		return ret;
	if (ioctl(pb->iommufd, PB_IOMMU_IOAS_ALLOC, &alloc))
		return pb_fail(pb, -errno, "cannot make an IOMMU address space for %s",
			       site->address);
	space->ioas_id = alloc.out_ioas_id;
	return 0;
}

static void iommufd_space_exit(struct peerbar *pb, struct pb_space *space)
{
	struct pb_iommu_destroy destroy = {.size = sizeof(destroy), .id = space->ioas_id};

	if (ioctl(pb->iommufd, PB_IOMMU_DESTROY, &destroy))
		pb_fail(pb, -errno, "cannot destroy IOMMU address space %u", space->ioas_id);
}

static int bind_device(struct peerbar *pb, const struct pb_site *site, int fd)
{
	struct pb_vfio_bind_iommufd bind = {.argsz = sizeof(bind), .iommufd = pb->iommufd};

	if (!ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return 0;
	/* Open by way of this node; EBUSY and EPERM are about its group. */
	if (errno == EINVAL)
		return pb_fail(pb, -EBUSY, "cannot take %s: it is open elsewhere", site->address);
	if (errno == EBUSY || errno == EPERM)
		return pb_binding_group_refused(pb, site->address, site->group);
	return pb_fail(pb, -errno, "cannot bind %s to iommufd", site->address);
}

/*
 * vfio gives the numbers of devices that have gone to new ones, and a container's
 * /dev is not the kernel's: is it the device's own node?
 */
static int check_node(struct peerbar *pb, const struct pb_site *site, const struct stat *st)
{
	unsigned int major, minor;
	char path[64], text[32];
	int ret;

	snprintf(path, sizeof(path), "vfio-dev/%s/dev", site->cdev);
	ret = pb_read_at(site->dir, path, text, sizeof(text));
	if (ret)
		return pb_fail(pb, ret == -ENOENT ? -ENODEV : ret,
			       "cannot read the device number of %s", site->address);
	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		return pb_fail(pb, -EIO, "%s has the device number \"%s\"", site->address, text);
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(major, minor))
		return 0;
	return pb_fail(
		pb, -ENODEV,
		"/dev/vfio/devices/%s is not %s, which has the device number %s: a stale node",
		site->cdev, site->address, text);
}

/*
 * Looked at before, so that nothing else is opened, and again when it is open:
 * from then on vfio cannot give its number away.
 */
static int open_cdev(struct peerbar *pb, const struct pb_site *site)
{
	PB_AUTO_CLOSE int fd = -1;
	struct stat st;
	char path[64];
	int ret;

	cdev_path(site, path, sizeof(path));
	if (fstatat(pb->dev_fd, path, &st, 0))
		return pb_fail(pb, -errno, "cannot look at /dev/%s of %s", path, site->address);
	ret = check_node(pb, site, &st);
	if (ret)
		return ret;
	fd = openat(pb->dev_fd, path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return pb_fail(pb, -errno, "cannot open /dev/%s of %s", path, site->address);
	ret = check_node(pb, site, &st);
	return ret ? ret : pb_take_fd(&fd);
}

static int iommufd_device_open(struct peerbar *pb, const struct pb_site *site,
			       struct pb_space *space)
{
	struct pb_vfio_attach_iommufd_pt attach = {.argsz = sizeof(attach),
						   .pt_id = space->ioas_id};
	PB_AUTO_CLOSE int fd = open_cdev(pb, site);
	int ret;

	if (fd < 0)
		return fd;
	ret = bind_device(pb, site, fd);
	if (ret)
		return ret;
	if (ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return pb_fail(pb, -errno, "cannot attach %s to its IOMMU address space",
			       site->address);
	return pb_take_fd(&fd);
}

/* The kernel's range is ours, so that it can write into the array. */
_Static_assert(sizeof(struct pb_iova_range) == sizeof(struct pb_iommu_iova_range),
	       "struct pb_iova_range must match struct iommu_iova_range");

static int iommufd_iova_ranges(struct peerbar *pb, struct pb_space *space,
			       struct pb_iova_ranges *out)
{
	struct pb_iommu_ioas_iova_ranges cmd = {.size = sizeof(cmd), .ioas_id = space->ioas_id};
	PB_AUTO_FREE struct pb_iova_range *ranges = NULL;
	int ret;

	/* The number may grow between asking for it and asking for them. */
	do {
		size_t room = cmd.num_iovas ? cmd.num_iovas : 8;

		free(ranges);
		ranges = calloc(room, sizeof(*ranges));
		if (!ranges)
			return -ENOMEM;
		cmd.num_iovas = (uint32_t)room;
		cmd.allowed_iovas = (uintptr_t)ranges;
		ret = ioctl(pb->iommufd, PB_IOMMU_IOAS_IOVA_RANGES, &cmd);
	} while (ret && errno == EMSGSIZE);
	if (ret)
		return pb_fail(pb, -errno, "cannot ask the IOMMU which addresses it can use");
	out->ranges = ranges;
	out->count = cmd.num_iovas;
	out->align = PB_MAX(cmd.out_iova_alignment, pb_page_size());
	ranges = NULL;
	return 0;
}

static int iommufd_map_dmabuf(struct peerbar *pb, struct pb_space *space, int fd, uint64_t offset,
			      uint64_t length, uint64_t iova, bool writable)
{
	struct pb_iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = PB_IOMMU_MAP_FIXED_IOVA | PB_IOMMU_MAP_READABLE |
			 (writable ? PB_IOMMU_MAP_WRITEABLE : 0),
		.ioas_id = space->ioas_id,
		.fd = fd,
		.start = offset,
		.length = length,
		.iova = iova,
	};

	if (!ioctl(pb->iommufd, PB_IOMMU_IOAS_MAP_FILE, &map))
		return 0;
	/* There is no IOMMU_IOAS_MAP_FILE. */
	return errno == ENOTTY ? -EOPNOTSUPP : -errno;
}

static int iommufd_unmap(struct peerbar *pb, struct pb_space *space, uint64_t iova, uint64_t length)
{
	struct pb_iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = space->ioas_id,
		.iova = iova,
		.length = length,
	};

	return ioctl(pb->iommufd, PB_IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

const struct pb_backend pb_backend_iommufd = {
	.id = PEERBAR_BACKEND_IOMMUFD,
	.name = "iommufd",
	.usable = iommufd_usable,
	.space_init = iommufd_space_init,
	.space_exit = iommufd_space_exit,
	.device_open = iommufd_device_open,
	.iova_ranges = iommufd_iova_ranges,
	.map_dmabuf = iommufd_map_dmabuf,
	.unmap = iommufd_unmap,
};
