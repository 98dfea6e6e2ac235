// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdio.h>
#include <string.h>

#include "binding.h"
#include "pci.h"
#include "pciaddr.h"
#include "sysfs.h"
#include "util.h"

/* What the names of all vfio drivers have in them: vfio-pci, mlx5-vfio-pci, ... */
#define VFIO "vfio"

static int read_driver(int dir, char driver[PB_DRIVER_MAX])
{
	int ret = pb_readlink_base_at(dir, "driver", driver, PB_DRIVER_MAX);

	return ret == -ENOENT ? 0 : ret;
}

static int read_override(int dir, char override[PB_DRIVER_MAX])
{
	char text[4096];
	int ret = pb_read_at(dir, "driver_override", text, sizeof(text));

	if (ret)
		return ret;
	/* The kernel's way to print that there is none. */
	if (!strcmp(text, "(null)"))
		*text = '\0';
	if (strlen(text) >= PB_DRIVER_MAX)
		return -ENAMETOOLONG;
	strcpy(override, text);
	return 0;
}

int pb_binding_read(struct peerbar *pb, int dir, const char *address, struct pb_binding *out)
{
	struct pb_binding binding = {};
	int ret;

	ret = pb_pci_read_info(dir, address, &binding.info);
	if (!ret)
		ret = read_driver(dir, binding.driver);
	if (!ret)
		ret = read_override(dir, binding.override);
	if (ret)
		return pb_fail(pb, ret, "cannot read what sysfs has on %s", address);
	ret = pb_record_read(pb, address, &binding.record);
	if (ret && ret != -ENOENT)
		return pb_fail(pb, ret, "cannot read what was noted of %s in %s/peerbar", address,
			       pb->run);
	binding.recorded = !ret;
	*out = binding;
	return 0;
}

bool pb_binding_overridden(const struct pb_binding *binding)
{
	return (binding->recorded && !strcmp(binding->override, binding->record.vfio)) ||
	       strstr(binding->override, VFIO);
}

bool pb_binding_interrupted(const struct pb_binding *binding)
{
	if (binding->info.vfio_bound)
		return false;
	return pb_binding_overridden(binding) ||
	       (binding->recorded && *binding->record.driver && !*binding->driver);
}

static int write_failed(struct peerbar *pb, int err, const char *address, const char *what)
{
	if (err == -EACCES || err == -EPERM || err == -EROFS)
		return pb_fail(pb, -EACCES, "cannot %s %s: it takes root and a writable sysfs",
			       what, address);
	return pb_fail(pb, err, "cannot %s %s", what, address);
}

int pb_binding_set_override(struct peerbar *pb, int dir, const char *address, const char *driver)
{
	char line[PB_DRIVER_MAX + 1];
	int ret;

	snprintf(line, sizeof(line), "%s\n", driver);
	ret = pb_write_at(dir, "driver_override", line);
	return ret ? write_failed(pb, ret, address, "choose the driver of") : 0;
}

int pb_binding_release(struct peerbar *pb, int dir, const char *address)
{
	int ret = pb_write_at(dir, "driver/unbind", address);

	if (!ret || ret == -ENODEV)
		return 0;
	/* Either it has no driver, or one that was built to keep its devices. */
	if (ret == -ENOENT && !pb_find_at(dir, "driver"))
		return 0;
	if (ret == -ENOENT)
		return pb_fail(pb, -EOPNOTSUPP, "the driver of %s lets nobody take it away",
			       address);
	return write_failed(pb, ret, address, "take the driver away from");
}

int pb_binding_probe(struct peerbar *pb, const char *address)
{
	int ret = pb_write_at(pb->sys_fd, "bus/pci/drivers_probe", address);

	return ret ? write_failed(pb, ret, address, "find a driver for") : 0;
}

/*
 * The former driver may be one that a person chose, and that the kernel would
 * not. Where it does not want the device any more, others may.
 */
static int find_former(struct peerbar *pb, const struct pb_binding *binding, enum pb_former former)
{
	const char *address = binding->info.address, *driver = binding->record.driver;
	char path[sizeof("bus/pci/drivers//bind") + PB_DRIVER_MAX];

	if (binding->recorded && *driver) {
		snprintf(path, sizeof(path), "bus/pci/drivers/%s/bind", driver);
		if (!pb_write_at(pb->sys_fd, path, address))
			return 0;
	} else if (former == PB_FORMER_EXACTLY) {
		return 0;
	}
	return pb_binding_probe(pb, address);
}

static int check_given_back(struct peerbar *pb, int dir, const struct pb_binding *binding)
{
	const char *address = binding->info.address;
	struct pb_binding now;
	int ret;

	ret = pb_binding_read(pb, dir, address, &now);
	if (ret)
		return ret;
	if (now.info.vfio_bound)
		return pb_fail(pb, -EIO, "%s has taken %s again: is it in its new_id?", now.driver,
			       address);
	if (binding->recorded && *binding->record.driver && !*now.driver)
		return pb_fail(pb, -EIO, "%s did not take %s back: the kernel log says why",
			       binding->record.driver, address);
	return 0;
}

int pb_binding_give_back(struct peerbar *pb, int dir, const struct pb_binding *binding,
			 enum pb_former former)
{
	const char *address = binding->info.address, *override = "";
	struct pb_binding now;
	int ret;

	/* Somebody who had it go to vfio at the next probe would get it back there. */
	if (binding->recorded &&
	    (former == PB_FORMER_EXACTLY || !strstr(binding->record.override, VFIO)))
		override = binding->record.override;
	ret = pb_binding_read(pb, dir, address, &now);
	if (!ret && pb_binding_overridden(&now))
		ret = pb_binding_set_override(pb, dir, address, override);
	if (!ret && now.info.vfio_bound)
		ret = pb_binding_release(pb, dir, address);
	if (!ret && (now.info.vfio_bound || !*now.driver))
		ret = find_former(pb, binding, former);
	if (!ret)
		ret = check_given_back(pb, dir, binding);
	if (!ret)
		ret = pb_record_remove(pb, address);
	return ret;
}

/* True if the kernel uses this member of a group, so that vfio cannot have the rest. */
static bool stands_in_the_way(struct peerbar *pb, const char *name,
			      struct peerbar_device_info *info)
{
	char address[PEERBAR_ADDRESS_MAX];
	PB_AUTO_CLOSE int dir = -1;

	if (pb_address_parse(name, address))
		return false;
	dir = pb_pci_open_dir(pb, address);
	if (dir < 0 || pb_pci_read_info(dir, address, info))
		return false;
	/* These leave DMA to whoever has the group (driver_managed_dma). */
	return *info->driver && !info->vfio_bound && !pb_pci_is_bridge(info->class_code) &&
	       strcmp(info->driver, "pci-stub");
}

int pb_binding_group_refused(struct peerbar *pb, const char *address, int group)
{
	char path[sizeof("kernel/iommu_groups//devices") + 16];
	PB_AUTO_CLOSEDIR DIR *devices = NULL;
	struct peerbar_device_info info;
	struct dirent *entry;

	snprintf(path, sizeof(path), "kernel/iommu_groups/%d/devices", group);
	devices = pb_opendir_at(pb->sys_fd, path);
	while (devices && (entry = pb_readdir(devices)))
		if (stands_in_the_way(pb, entry->d_name, &info))
			return pb_fail(
				pb, -EUSERS,
				"cannot take %s: %s of its IOMMU group %d has the driver %s: bind that device, too",
				address, info.address, group, info.driver);
	return pb_fail(
		pb, -EBUSY,
		"cannot take %s: another program has it or a device of its IOMMU group %d open",
		address, group);
}

int peerbar_device_binding(struct peerbar *pb, const char *address,
			   struct peerbar_binding_info *out)
{
	struct peerbar_binding_info info = {.state = PEERBAR_BINDING_NONE};
	struct peerbar_device_info device;
	PB_AUTO_CLOSE int dir = -1;
	struct pb_binding binding;
	int ret;

	if (!pb || !out)
		return -EINVAL;
	dir = pb_pci_find(pb, address, &device);
	if (dir < 0)
		return dir;
	ret = pb_binding_read(pb, dir, device.address, &binding);
	if (ret)
		return ret;
	if (binding.info.vfio_bound)
		info.state = PEERBAR_BINDING_BOUND;
	else if (pb_binding_interrupted(&binding))
		info.state = PEERBAR_BINDING_INTERRUPTED;
	info.recorded = binding.recorded;
	strcpy(info.driver_override, binding.override);
	strcpy(info.former_driver, binding.record.driver);
	strcpy(info.former_override, binding.record.override);
	return pb_fill_caps(out, &info,
			    PB_OFFSETOFEND(struct peerbar_binding_info, former_override),
			    sizeof(info));
}
