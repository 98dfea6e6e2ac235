// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What of a device is in use: everything below it in sysfs is looked at, and
 * then who has a node of it open.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pci.h"
#include "sysfs.h"
#include "use.h"
#include "util.h"

#ifdef __LP64__
_Static_assert(sizeof(struct peerbar_device_use) == 4 * sizeof(void *) + 8,
	       "struct peerbar_device_use has no padding");
#endif

static void tell(struct pb_use_check *check, const struct peerbar_device_use *use)
{
	if (!*check->first)
		snprintf(check->first, sizeof(check->first), "%s", use->text);
	pb_log(check->pb, PEERBAR_LOG_INFO, "%s: %s", check->address, use->text);
	if (check->report)
		check->report(check->arg, use);
}

void pb_use_found(struct pb_use_check *check, enum peerbar_use_kind kind, const char *name,
		  const char *format, ...)
{
	char text[PB_USE_TEXT];
	const struct peerbar_device_use use = {
		.size = sizeof(use),
		.address = check->address,
		.name = name,
		.text = text,
		.kind = kind,
	};
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	check->uses++;
	tell(check, &use);
}

void pb_use_failed(struct pb_use_check *check, int err, const char *name, const char *format, ...)
{
	char text[PB_USE_TEXT], what[PB_USE_TEXT / 2];
	const struct peerbar_device_use use = {
		.size = sizeof(use),
		.address = check->address,
		.name = name,
		.text = text,
		.kind = PEERBAR_USE_UNCHECKED,
		.error = -err,
	};
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	errno = -err;
	snprintf(text, sizeof(text), "it cannot be found out whether %s: %m", what);
	if (!check->failed)
		check->failed = err;
	tell(check, &use);
}

/* Class devices ---------------------------------------------------------------- */

/* As udev names it: "vfio/devices/vfio0", "dri/card0". */
static int read_node_name(int dir, const char *name, char node[PB_NODE_MAX])
{
	char text[4096];
	const char *found;
	int ret;

	ret = pb_read_at(dir, "uevent", text, sizeof(text));
	if (ret && ret != -ENOENT)
		return ret;
	found = ret ? NULL : strstr(text, "DEVNAME=");
	if (!found || sscanf(found, "DEVNAME=%63s", node) != 1)
		snprintf(node, PB_NODE_MAX, "%s", name);
	return 0;
}

int pb_use_read_node(int dir, const char *name, struct pb_node *node)
{
	char number[32];
	int ret;

	ret = pb_read_at(dir, "dev", number, sizeof(number));
	if (ret)
		return ret;
	if (sscanf(number, "%u:%u", &node->major, &node->minor) != 2)
		return -EIO;
	return read_node_name(dir, name, node->name);
}

static void gather_node(struct pb_use_check *check, int dir, const char *name, bool block)
{
	struct pb_node node = {.block = block}, *grown;
	int ret;

	ret = pb_use_read_node(dir, name, &node);
	if (ret == -ENOENT)
		return;
	grown = ret ? NULL : realloc(check->nodes, (check->nr_nodes + 1) * sizeof(node));
	if (!grown) {
		pb_use_failed(check, ret ? ret : -ENOMEM, name, "%s is open", name);
		return;
	}
	grown[check->nr_nodes++] = node;
	check->nodes = grown;
}

/*
 * With native multipath the disk is no child of the controller but of its
 * subsystem, which may have other controllers as well.
 */
static void look_at_subsystem(struct pb_use_check *check, const char *controller, const char *name)
{
	char path[512];
	int ret;

	snprintf(path, sizeof(path), "class/nvme-subsystem/%s/%s", name, controller);
	ret = pb_find_at(check->pb->sys_fd, path);
	snprintf(path, sizeof(path), "class/nvme-subsystem/%s", name);
	if (ret > 0)
		pb_use_walk(check, check->pb->sys_fd, path);
	else if (ret < 0)
		pb_use_failed(check, ret, controller, "%s belongs to %s", controller, name);
}

static void use_nvme(struct pb_use_check *check, int dir, const char *name)
{
	PB_AUTO_CLOSEDIR DIR *all = pb_opendir_at(check->pb->sys_fd, "class/nvme-subsystem");
	struct dirent *entry;

	if (!all && errno == ENOENT)
		return;
	while (all && (entry = pb_readdir(all)))
		look_at_subsystem(check, name, entry->d_name);
	if (errno)
		pb_use_failed(check, -errno, name, "%s has disks with several paths", name);
}

static const struct {
	const char *subsystem;
	void (*look)(struct pb_use_check *check, int dir, const char *name);
} looks[] = {
	{"drm", pb_use_connector},   {"graphics", pb_use_framebuffer},
	{"infiniband", pb_use_rdma}, {"net", pb_use_network},
	{"nvme", use_nvme},	     {"virtio", pb_use_virtio},
};

/*
 * The directories of these classes show the devices of one network namespace,
 * and exist as long as there is a device in any.
 */
static void look_at_class(struct pb_use_check *check, int dir, const char *name, bool empty)
{
	if (!empty)
		return;
	if (!strcmp(name, "net"))
		pb_use_found(check, PEERBAR_USE_NETWORK, name,
			     "its network interface is in another network namespace");
	if (!strcmp(name, "infiniband"))
		pb_use_found(check, PEERBAR_USE_RDMA, name,
			     "its RDMA device is in another network namespace");
}

static void look_at(struct pb_use_check *check, int dir, const char *name, bool empty,
		    bool inner_uses)
{
	char subsystem[64];
	int ret;

	ret = pb_readlink_base_at(dir, "subsystem", subsystem, sizeof(subsystem));
	if (ret == -ENOENT) {
		look_at_class(check, dir, name, empty);
		return;
	}
	if (ret) {
		pb_use_failed(check, ret, name, "%s is in use", name);
		return;
	}
	if (!strcmp(subsystem, "block"))
		pb_use_block(check, dir, name, inner_uses);
	for (size_t i = 0; i < PB_ARRAY_SIZE(looks); i++)
		if (!strcmp(subsystem, looks[i].subsystem))
			looks[i].look(check, dir, name);
	gather_node(check, dir, name, !strcmp(subsystem, "block"));
}

/* The inner first: that a partition is mounted says more than that its disk is busy. */
void pb_use_walk(struct pb_use_check *check, int parent, const char *name)
{
	PB_AUTO_CLOSEDIR DIR *dir = pb_opendir_at(parent, name);
	const char *base = strrchr(name, '/');
	unsigned int uses = check->uses;
	struct dirent *entry;
	bool empty = true;

	/* What goes away meanwhile is not in use. */
	if (!dir && errno == ENOENT)
		return;
	while (dir && (entry = pb_readdir(dir))) {
		empty = false;
		if (entry->d_type == DT_DIR)
			pb_use_walk(check, dirfd(dir), entry->d_name);
	}
	name = base ? base + 1 : name;
	if (errno)
		pb_use_failed(check, -errno, name, "%s is in use", name);
	else
		look_at(check, dirfd(dir), name, empty, check->uses > uses);
}

/* The device ------------------------------------------------------------------- */

static void walk_function(struct pb_use_check *check)
{
	char path[sizeof("bus/pci/devices/") + PEERBAR_ADDRESS_MAX];

	snprintf(path, sizeof(path), "bus/pci/devices/%s", check->address);
	pb_use_walk(check, check->pb->sys_fd, path);
}

/* Whoever has a device of vfio open by way of its group has the group's node open. */
static void gather_group_node(struct pb_use_check *check)
{
	PB_AUTO_CLOSE int dir = -1;
	char group[32], path[64];

	if (!pb_use_vfio_group(check, group, sizeof(group)))
		return;
	snprintf(path, sizeof(path), "class/vfio/%s", group);
	dir = openat(check->pb->sys_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		gather_node(check, dir, path + strlen("class/"), false);
	/* A kernel without groups has none. */
	else if (errno != ENOENT)
		pb_use_failed(check, -errno, "vfio", "its IOMMU group %s is open", group);
}

static int check_use(struct pb_use_check *check)
{
	pb_use_function(check);
	walk_function(check);
	gather_group_node(check);
	pb_use_descriptors(check);
	pb_use_vfio(check);
	free(check->nodes);
	return check->uses ? -EBUSY : check->failed;
}

int pb_use_refuse(struct peerbar *pb, int dir, const char *address, const char *verb)
{
	struct pb_use_check check = {.pb = pb, .dir = dir, .address = address};
	int ret = check_use(&check);

	if (!ret)
		return 0;
	return pb_fail(pb, ret, "not going to %s %s: %s", verb, address, check.first);
}

int peerbar_device_in_use(struct peerbar *pb, const char *address, peerbar_use_fn report, void *arg)
{
	struct pb_use_check check = {.pb = pb, .report = report, .arg = arg};
	struct peerbar_device_info info;
	int ret;

	if (!pb)
		return -EINVAL;
	check.dir = pb_pci_find(pb, address, &info);
	if (check.dir < 0)
		return check.dir;
	check.address = info.address;
	ret = check_use(&check);
	pb_close_fd(check.dir);
	return ret;
}
