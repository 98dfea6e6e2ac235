// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Binding by driver_override: it names a driver for this one device, whereas
 * new_id would hand vfio-pci every device of the kind.
 */
#include <string.h>

#include "context.h"
#include "pci.h"
#include "sysfs.h"
#include "util.h"

#define VFIO_PCI "vfio-pci"

static int write_failed(struct peerbar *pb, int err, const char *address, const char *what)
{
	if (err == -EACCES || err == -EPERM || err == -EROFS)
		return pb_fail(pb, -EACCES, "cannot %s %s: it takes root and a writable sysfs",
			       what, address);
	return pb_fail(pb, err, "cannot %s %s", what, address);
}

static int set_override(struct peerbar *pb, int dir, const char *address, const char *driver)
{
	int ret = pb_write_at(dir, "driver_override", driver);

	return ret ? write_failed(pb, ret, address, "choose the driver of") : 0;
}

/* Lets go of the present driver, if there is one. */
static int release(struct peerbar *pb, int dir, const char *address)
{
	int ret = pb_write_at(dir, "driver/unbind", address);

	if (!ret || ret == -ENOENT || ret == -ENODEV)
		return 0;
	return write_failed(pb, ret, address, "take the driver away from");
}

/*
 * Fails with the probe's errno where the driver refused the device, and does
 * nothing where no driver wants it.
 */
static int probe(struct peerbar *pb, const char *address)
{
	int ret = pb_write_at(pb->sys_fd, "bus/pci/drivers_probe", address);

	return ret ? write_failed(pb, ret, address, "find a driver for") : 0;
}

static int read_driver(struct peerbar *pb, int dir, const char *address,
		       struct peerbar_device_info *info)
{
	int ret = pb_pci_read_info(dir, address, info);

	return ret ? pb_fail(pb, ret, "cannot read what sysfs has on %s", address) : 0;
}

static int bind_released(struct peerbar *pb, int dir, const char *address)
{
	struct peerbar_device_info info;
	int ret;

	ret = probe(pb, address);
	if (!ret)
		ret = read_driver(pb, dir, address, &info);
	if (ret)
		return ret;
	if (strcmp(info.driver, VFIO_PCI))
		return pb_fail(
			pb, -EIO,
			"vfio-pci did not take %s: the kernel log says why (is the IOMMU on?)",
			address);
	return 0;
}

/* Leaves the device as it was: its own driver may take it again. */
static void restore(struct peerbar *pb, int dir, const char *address)
{
	char driver[PB_SIZEOF_FIELD(struct peerbar_device_info, driver)];

	pb_write_at(dir, "driver_override", "\n");
	if (!pb_readlink_base_at(dir, "driver", driver, sizeof(driver)) &&
	    !strcmp(driver, VFIO_PCI))
		pb_write_at(dir, "driver/unbind", address);
	pb_write_at(pb->sys_fd, "bus/pci/drivers_probe", address);
}

static int bind_device(struct peerbar *pb, int dir, const char *address)
{
	int ret;

	if (!pb_exists_at(pb->sys_fd, "bus/pci/drivers/" VFIO_PCI))
		return pb_fail(pb, -ENOENT, "there is no vfio-pci driver: modprobe vfio-pci");
	ret = set_override(pb, dir, address, VFIO_PCI "\n");
	if (ret)
		return ret;
	ret = release(pb, dir, address);
	if (!ret)
		ret = bind_released(pb, dir, address);
	if (ret)
		restore(pb, dir, address);
	return ret;
}

int peerbar_bind(struct peerbar *pb, const char *address)
{
	struct peerbar_device_info info;
	PB_AUTO_CLOSE int dir = -1;
	int ret;

	ret = peerbar_device_lookup(pb, address, &info);
	if (ret || info.vfio_bound)
		return ret;
	dir = pb_pci_open_dir(pb, info.address);
	if (dir < 0)
		return pb_fail(pb, dir, "%s has gone", info.address);
	return bind_device(pb, dir, info.address);
}

int peerbar_unbind(struct peerbar *pb, const char *address)
{
	struct peerbar_device_info info;
	PB_AUTO_CLOSE int dir = -1;
	int ret;

	ret = peerbar_device_lookup(pb, address, &info);
	if (ret || !info.vfio_bound)
		return ret;
	dir = pb_pci_open_dir(pb, info.address);
	if (dir < 0)
		return pb_fail(pb, dir, "%s has gone", info.address);
	ret = set_override(pb, dir, info.address, "\n");
	if (!ret)
		ret = release(pb, dir, info.address);
	if (!ret)
		ret = probe(pb, info.address);
	return ret;
}
