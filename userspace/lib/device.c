// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <endian.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "device.h"
#include "pci.h"
#include "sysfs.h"
#include "uapi.h"
#include "util.h"

/* Newest first: the order in which PEERBAR_BACKEND_AUTO tries them. */
static const struct pb_backend *const backends[] = {
	&pb_backend_iommufd,
	&pb_backend_group,
};

/* vfio makes character devices only where it was configured to. */
static int find_cdev(struct pb_site *site)
{
	PB_AUTO_CLOSEDIR DIR *d = pb_opendir_at(site->dir, "vfio-dev");
	struct dirent *entry;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	entry = pb_readdir(d);
	if (!entry)
		return -errno;
	if (strlen(entry->d_name) >= sizeof(site->cdev))
		return -ENAMETOOLONG;
	strcpy(site->cdev, entry->d_name);
	return 0;
}

/* Finds the device in sysfs and makes sure that vfio has it. Opens site->dir. */
static int find_site(struct peerbar *pb, const char *address, struct pb_site *site,
		     struct peerbar_device_info *info)
{
	int ret;

	memset(site, 0, sizeof(*site));
	site->dir = -1;
	ret = peerbar_device_lookup(pb, address, info);
	if (ret)
		return ret;
	if (!info->vfio_bound)
		return pb_fail(
			pb, -ENXIO, "%s is not bound to vfio-pci but to %s: run peerbar bind %s",
			info->address, *info->driver ? info->driver : "no driver", info->address);
	strcpy(site->address, info->address);
	site->group = info->iommu_group;
	site->dir = pb_pci_open_dir(pb, info->address);
	if (site->dir < 0)
		return pb_fail(pb, site->dir, "%s has gone", info->address);
	ret = find_cdev(site);
	return ret ? pb_fail(pb, ret, "cannot find the vfio device of %s", info->address) : 0;
}

/*
 * The one place where a backend is chosen. With AUTO a way that is closed is
 * mentioned to who debugs; only when all are closed it is an error.
 */
static int choose_backend(struct peerbar *pb, const struct pb_site *site,
			  enum peerbar_backend wanted, const struct pb_backend **out)
{
	const char *why = "";
	int ret, result = -EOPNOTSUPP;

	for (size_t i = 0; i < PB_ARRAY_SIZE(backends); i++) {
		if (wanted != PEERBAR_BACKEND_AUTO && wanted != backends[i]->id)
			continue;
		ret = backends[i]->usable(pb, site, &why);
		if (!ret) {
			*out = backends[i];
			return 0;
		}
		/* Missing rights are something that the user can change. */
		if (ret != -EOPNOTSUPP)
			result = ret;
		pb_log(pb, wanted ? PEERBAR_LOG_ERROR : PEERBAR_LOG_INFO,
		       "cannot open %s by way of %s: %s", site->address, backends[i]->name, why);
	}
	if (wanted != PEERBAR_BACKEND_AUTO)
		return result;
	return pb_fail(pb, result, "no way to open %s; the last one tried: %s", site->address, why);
}

static int read_device_info(struct peerbar_device *dev)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};

	if (ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info))
		return pb_fail(dev->pb, -errno, "cannot ask vfio about %s", dev->address);
	dev->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	return 0;
}

static int region_info(struct peerbar_device *dev, unsigned int index,
		       struct vfio_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info))
		return pb_fail(dev->pb, -errno, "cannot ask vfio about region %u of %s", index,
			       dev->address);
	return 0;
}

/* sysfs told what kind they are, vfio tells what may be done with them. */
static int read_bars(struct peerbar_device *dev, const struct peerbar_bar_info *bars)
{
	struct vfio_region_info info;
	int ret;

	for (unsigned int i = 0; i < PEERBAR_NUM_BARS; i++) {
		ret = region_info(dev, VFIO_PCI_BAR0_REGION_INDEX + i, &info);
		if (ret)
			return ret;
		dev->bars[i] = bars[i];
		dev->bars[i].length = info.size;
		dev->bars[i].can_mmap = info.flags & VFIO_REGION_INFO_FLAG_MMAP;
	}
	return 0;
}

static int open_device(struct peerbar_device *dev, const struct pb_site *site)
{
	int ret;

	ret = pb_space_join(dev, site);
	if (ret)
		return ret;
	ret = dev->backend->device_open(dev->pb, site, dev->space);
	if (ret < 0)
		return ret;
	dev->fd = ret;
	ret = pb_features_find(dev->fd, &dev->features);
	if (ret)
		return pb_fail(dev->pb, ret, "cannot ask which features %s has", dev->address);
	return 0;
}

static int backend_wanted(const struct peerbar_device_options *options,
			  enum peerbar_backend *wanted)
{
	int ret;

	*wanted = PEERBAR_BACKEND_AUTO;
	if (!options)
		return 0;
	ret = pb_check_options(options, options->size,
			       PB_OFFSETOFEND(struct peerbar_device_options, backend),
			       sizeof(*options));
	if (ret)
		return ret;
	if ((unsigned int)options->backend > PEERBAR_BACKEND_GROUP)
		return -EINVAL;
	*wanted = options->backend;
	return 0;
}

/* Whoever closes comes before the next user, or use without a pause would keep it waiting. */
static void init_closing(pthread_rwlock_t *closing)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(closing, &attr);
	pthread_rwlockattr_destroy(&attr);
}

static struct peerbar_device *new_device(struct peerbar *pb, const struct pb_site *site)
{
	struct peerbar_device *dev = calloc(1, sizeof(*dev));

	if (!dev)
		return NULL;
	dev->pb = pb;
	dev->fd = -1;
	dev->refs = 1;
	init_closing(&dev->closing);
	strcpy(dev->address, site->address);
	return dev;
}

static int open_site(struct peerbar *pb, const struct pb_site *site,
		     const struct peerbar_device_info *info, enum peerbar_backend wanted,
		     struct peerbar_device **out)
{
	struct peerbar_device *dev = new_device(pb, site);
	int ret;

	if (!dev)
		return -ENOMEM;
	ret = choose_backend(pb, site, wanted, &dev->backend);
	if (!ret)
		ret = open_device(dev, site);
	if (!ret)
		ret = read_device_info(dev);
	if (!ret)
		ret = read_bars(dev, info->bars);
	if (ret) {
		peerbar_device_close(dev);
		return ret;
	}
	*out = dev;
	return 0;
}

int peerbar_device_open(struct peerbar *pb, const char *address,
			const struct peerbar_device_options *options, struct peerbar_device **out)
{
	struct peerbar_device_info info;
	enum peerbar_backend wanted;
	struct pb_site site;
	int ret;

	if (!pb || !out)
		return -EINVAL;
	ret = backend_wanted(options, &wanted);
	if (ret)
		return pb_fail(pb, ret, "bad options for opening a device");
	ret = find_site(pb, address, &site, &info);
	if (!ret)
		ret = open_site(pb, &site, &info, wanted, out);
	pb_close_fd(site.dir);
	return ret;
}

struct peerbar_device *pb_device_get(struct peerbar_device *dev)
{
	__atomic_fetch_add(&dev->refs, 1, __ATOMIC_RELAXED);
	return dev;
}

void pb_device_put(struct peerbar_device *dev)
{
	if (__atomic_sub_fetch(&dev->refs, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_rwlock_destroy(&dev->closing);
	free(dev);
}

int pb_device_enter(struct peerbar_device *dev)
{
	pthread_rwlock_rdlock(&dev->closing);
	if (dev->fd >= 0)
		return 0;
	pthread_rwlock_unlock(&dev->closing);
	return -ENODEV;
}

void pb_device_leave(struct peerbar_device *dev)
{
	pthread_rwlock_unlock(&dev->closing);
}

void peerbar_device_close(struct peerbar_device *dev)
{
	int saved = errno;

	if (!dev)
		return;
	pthread_rwlock_wrlock(&dev->closing);
	/* An address space cannot go before the device has left it. */
	pb_close_fd(pb_take_fd(&dev->fd));
	pthread_rwlock_unlock(&dev->closing);
	pb_space_leave(dev);
	pb_device_put(dev);
	errno = saved;
}

const char *peerbar_device_address(const struct peerbar_device *dev)
{
	return dev->address;
}

enum peerbar_backend peerbar_device_backend(const struct peerbar_device *dev)
{
	return dev->backend->id;
}

int peerbar_device_fd(const struct peerbar_device *dev)
{
	return dev->fd;
}

int peerbar_device_bar(struct peerbar_device *dev, unsigned int bar, struct peerbar_bar_info *info)
{
	if (!dev || !info)
		return -EINVAL;
	if (bar >= PEERBAR_NUM_BARS)
		return pb_fail(dev->pb, -EINVAL, "a PCI device has no BAR %u, only 0 to %d", bar,
			       PEERBAR_NUM_BARS - 1);
	*info = dev->bars[bar];
	return 0;
}

int peerbar_device_reset(struct peerbar_device *dev)
{
	if (!dev)
		return -EINVAL;
	if (!dev->can_reset)
		return pb_fail(dev->pb, -EOPNOTSUPP, "%s knows no reset that touches it alone",
			       dev->address);
	if (ioctl(dev->fd, VFIO_DEVICE_RESET))
		return pb_fail(dev->pb, -errno, "cannot reset %s", dev->address);
	return 0;
}

static int access_config16(struct peerbar_device *dev, uint64_t offset, uint16_t *value, bool write)
{
	uint16_t le = htole16(*value);
	ssize_t n;

	n = write ? pwrite(dev->fd, &le, sizeof(le), (off_t)offset)
		  : pread(dev->fd, &le, sizeof(le), (off_t)offset);
	if (n != sizeof(le))
		return pb_fail(dev->pb, n < 0 ? -errno : -EIO,
			       "cannot %s the configuration space of %s", write ? "write" : "read",
			       dev->address);
	*value = le16toh(le);
	return 0;
}

int peerbar_device_set_bus_master(struct peerbar_device *dev, bool on)
{
	struct vfio_region_info config;
	uint16_t command = 0;
	uint64_t offset;
	int ret;

	if (!dev)
		return -EINVAL;
	ret = region_info(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (ret)
		return ret;
	offset = config.offset + PCI_COMMAND;
	ret = access_config16(dev, offset, &command, false);
	if (ret)
		return ret;
	if (on)
		command |= PCI_COMMAND_MASTER;
	else
		command &= (uint16_t)~PCI_COMMAND_MASTER;
	return access_config16(dev, offset, &command, true);
}
