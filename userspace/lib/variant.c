// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Variant drivers: vfio-pci with knowledge of one device, to migrate it or to
 * reach all of its memory. Their modules say which devices they are for by
 * aliases that begin with "vfio_pci:" instead of "pci:", so that the kernel
 * never loads them by itself (PCI_DRIVER_OVERRIDE_DEVICE_VFIO()).
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "pci.h"
#include "record.h"
#include "sysfs.h"
#include "util.h"

/* The alias that says most about the device, which is the one that leaves least open. */
struct match {
	char module[PB_DRIVER_MAX];
	unsigned int wildcards;
};

static unsigned int count_wildcards(const char *alias)
{
	unsigned int count = 0;

	for (; *alias; alias++)
		count += *alias == '*';
	return count;
}

/* "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci" */
static void consider(const char *line, const char *device, struct match *best)
{
	char alias[256], module[PB_DRIVER_MAX];
	unsigned int wildcards;

	if (sscanf(line, "alias %255s %63s", alias, module) != 2 || fnmatch(alias, device, 0))
		return;
	wildcards = count_wildcards(alias);
	if (*best->module && wildcards >= best->wildcards)
		return;
	strcpy(best->module, module);
	best->wildcards = wildcards;
}

static int search(const char *path, const char *device, struct match *best)
{
	PB_AUTO_FREE char *line = NULL;
	FILE *file = fopen(path, "re");
	size_t room = 0;
	int ret = 0;

	if (!file)
		return -errno;
	errno = 0;
	while (getline(&line, &room, file) >= 0)
		consider(line, device, best);
	if (ferror(file))
		ret = errno ? -errno : -EIO;
	fclose(file);
	return ret;
}

/* A driver may have another name than its module: mlx5_vfio_pci has mlx5-vfio-pci. */
static int driver_of_module(struct peerbar *pb, const char *module, char driver[PB_DRIVER_MAX])
{
	char path[sizeof("module//drivers") + PB_DRIVER_MAX];
	PB_AUTO_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;

	snprintf(path, sizeof(path), "module/%s/drivers", module);
	dir = pb_opendir_at(pb->sys_fd, path);
	while (dir && (entry = pb_readdir(dir)))
		if (sscanf(entry->d_name, "pci:%63s", driver) == 1)
			return 0;
	if (errno && errno != ENOENT)
		return pb_fail(pb, -errno, "cannot look for the driver of the module %s", module);
	return pb_fail(pb, -ENOENT, "the driver that suits it is not loaded: modprobe %s", module);
}

static int find_module(struct peerbar *pb, int dir, const char *address, struct match *best)
{
	char path[PATH_MAX], modalias[256], device[300];
	struct utsname system;
	int ret;

	ret = pb_read_at(dir, "modalias", modalias, sizeof(modalias));
	if (ret)
		return pb_fail(pb, ret, "cannot read the modalias of %s", address);
	snprintf(device, sizeof(device), "vfio_%s", modalias);
	uname(&system);
	snprintf(path, sizeof(path), "%s/%s/modules.alias", pb->modules, system.release);
	ret = search(path, device, best);
	/* A kernel without modules has no list of them. */
	return ret && ret != -ENOENT ? pb_fail(pb, ret, "cannot read %s", path) : 0;
}

int peerbar_device_find_driver(struct peerbar *pb, const char *address, char *driver, size_t size)
{
	char found[PB_DRIVER_MAX] = "vfio-pci";
	struct peerbar_device_info info;
	PB_AUTO_CLOSE int dir = -1;
	struct match best = {};
	int ret;

	if (!pb || !driver)
		return -EINVAL;
	dir = pb_pci_find(pb, address, &info);
	if (dir < 0)
		return dir;
	ret = find_module(pb, dir, info.address, &best);
	/* vfio-pci itself says that it is for every device. */
	if (!ret && *best.module && strcmp(best.module, "vfio_pci"))
		ret = driver_of_module(pb, best.module, found);
	if (ret)
		return ret;
	if (strlen(found) >= size)
		return pb_fail(pb, -ERANGE, "no room for the name of the driver %s", found);
	strcpy(driver, found);
	return 0;
}
