// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Disks. Whether one is free is the kernel's to say: it lets nobody open one
 * exclusively that is mounted, swapped to, part of a volume or a pool, or opened
 * so by a program, in whatever namespace. Users of its own that do not claim
 * their disk are looked for; the rest is there to say who it is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs.h"
#include "use.h"
#include "util.h"

struct disk {
	struct pb_use_check *check;
	int dir;
	const char *name; /* in sysfs */
	struct pb_node node;
};

/* Who has it ------------------------------------------------------------------- */

/* The first of the volumes that are made of the disk. */
static bool find_holder(int dir, char *holder, size_t size)
{
	PB_AUTO_CLOSEDIR DIR *holders = pb_opendir_at(dir, "holders");
	struct dirent *entry = holders ? pb_readdir(holders) : NULL;

	if (entry)
		snprintf(holder, size, "%.64s", entry->d_name);
	return entry;
}

static bool is_swap(struct peerbar *pb, const char *node)
{
	char text[4096], path[PB_NODE_MAX + 8];

	if (pb_read_at(pb->proc_fd, "swaps", text, sizeof(text)))
		return false;
	snprintf(path, sizeof(path), "\n/dev/%s ", node);
	for (char *p = text; *p; p++)
		if (*p == '\t')
			*p = ' ';
	return strstr(text, path);
}

/* Why an exclusive open was refused, as far as that can be seen. */
static void describe(const struct disk *disk)
{
	char number[32], source[PB_NODE_MAX + 8], where[128];
	const struct pb_mount_query query = {.number = number, .source = source};
	struct pb_use_check *check = disk->check;
	const char *name = disk->name;

	snprintf(source, sizeof(source), "/dev/%s", disk->node.name);
	snprintf(number, sizeof(number), "%u:%u", disk->node.major, disk->node.minor);
	if (find_holder(disk->dir, where, sizeof(where)))
		pb_use_found(check, PEERBAR_USE_DISK, name, "the disk %s is part of %s", name,
			     where);
	else if (is_swap(check->pb, disk->node.name))
		pb_use_found(check, PEERBAR_USE_DISK, name, "the disk %s is swapped to", name);
	else if (pb_use_find_mount(check->pb, &query, where, sizeof(where)) > 0)
		pb_use_found(check, PEERBAR_USE_DISK, name, "the disk %s is mounted on %s", name,
			     where);
	else
		pb_use_found(check, PEERBAR_USE_DISK, name,
			     "the disk %s is held exclusively, by a pool or a program", name);
}

/* Users within the kernel ---------------------------------------------------------- */

static bool is_node(const struct pb_node *node, const struct statx *stat)
{
	return S_ISBLK(stat->stx_mode) && stat->stx_rdev_major == node->major &&
	       stat->stx_rdev_minor == node->minor;
}

/* 1 if the file below @dir names the disk, by any of its names; 0 or a negative errno. */
static int file_names(const struct disk *disk, int dir, const char *path)
{
	static const char dev[] = "/dev/";
	struct statx stat;
	char named[256];
	int ret;

	ret = pb_read_at(dir, path, named, sizeof(named));
	/* ENXIO: a loop device that was let go meanwhile. */
	if (ret)
		return ret == -ENOENT || ret == -ENXIO ? 0 : ret;
	if (strncmp(named, dev, strlen(dev)))
		return 0;
	if (statx(disk->check->pb->dev_fd, named + strlen(dev), 0, STATX_TYPE, &stat))
		return errno == ENOENT ? 0 : -errno;
	return is_node(&disk->node, &stat);
}

static void tell_user(const struct disk *disk, int ret, const char *user)
{
	if (ret > 0)
		pb_use_found(disk->check, PEERBAR_USE_DISK, disk->name, "the disk %s is behind %s",
			     disk->name, user);
	else if (ret)
		pb_use_failed(disk->check, ret, disk->name, "the disk %s is behind %s", disk->name,
			      user);
}

static void look_at_loop(const struct disk *disk, int blocks, const char *loop)
{
	char path[128];

	snprintf(path, sizeof(path), "%.64s/loop/backing_file", loop);
	if (!strncmp(loop, "loop", 4))
		tell_user(disk, file_names(disk, blocks, path), loop);
}

static void look_at_loops(const struct disk *disk)
{
	PB_AUTO_CLOSEDIR DIR *dir = pb_opendir_at(disk->check->pb->sys_fd, "block");
	struct dirent *entry;

	while (dir && (entry = pb_readdir(dir)))
		look_at_loop(disk, dirfd(dir), entry->d_name);
	if (errno)
		tell_user(disk, -errno, "a loop device");
}

/* Of an NVMe target, such as one that serves the disk by RDMA. */
static void look_at_namespace(const struct disk *disk, int namespaces, const char *number,
			      const char *subsystem)
{
	char path[64], enabled[8] = "", user[PB_USE_TEXT / 2];
	int ret;

	snprintf(path, sizeof(path), "%.32s/enable", number);
	ret = pb_read_at(namespaces, path, enabled, sizeof(enabled));
	snprintf(path, sizeof(path), "%.32s/device_path", number);
	if (!ret && !strcmp(enabled, "1"))
		ret = file_names(disk, namespaces, path);
	snprintf(user, sizeof(user), "the NVMe target %.80s", subsystem);
	tell_user(disk, ret == -ENOENT ? 0 : ret, user);
}

static void look_at_target(const struct disk *disk, int subsystems, const char *subsystem)
{
	PB_AUTO_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	char path[300];

	snprintf(path, sizeof(path), "%.255s/namespaces", subsystem);
	dir = pb_opendir_at(subsystems, path);
	while (dir && (entry = pb_readdir(dir)))
		look_at_namespace(disk, dirfd(dir), entry->d_name, subsystem);
	if (errno && errno != ENOENT)
		tell_user(disk, -errno, "an NVMe target");
}

static void look_at_targets(const struct disk *disk)
{
	PB_AUTO_CLOSEDIR DIR *dir =
		pb_opendir_at(disk->check->pb->sys_fd, "kernel/config/nvmet/subsystems");
	struct dirent *entry;

	while (dir && (entry = pb_readdir(dir)))
		look_at_target(disk, dirfd(dir), entry->d_name);
	if (errno && errno != ENOENT)
		tell_user(disk, -errno, "an NVMe target");
}

/* The disk ---------------------------------------------------------------------- */

/*
 * 1 for one of the paths to a disk of several: it has no node, and the disk is
 * found by way of its subsystem.
 */
static int is_path(int dir)
{
	char hidden[8];
	int ret = pb_find_at(dir, "dev");

	if (ret)
		return ret < 0 ? ret : 0;
	ret = pb_read_at(dir, "hidden", hidden, sizeof(hidden));
	return ret ? ret : !strcmp(hidden, "1");
}

/* A node of this name may be another disk's: then it is not opened. */
static int open_exclusively(const struct disk *disk)
{
	int dev = disk->check->pb->dev_fd;
	PB_AUTO_CLOSE int fd = -1;
	struct statx stat;

	if (statx(dev, disk->node.name, 0, STATX_TYPE, &stat))
		return -errno;
	if (!is_node(&disk->node, &stat))
		return -ENODEV;
	fd = openat(dev, disk->node.name, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

void pb_use_block(struct pb_use_check *check, int dir, const char *name, bool inner_uses)
{
	struct disk disk = {.check = check, .dir = dir, .name = name};
	int ret = is_path(dir);

	if (ret > 0)
		return;
	if (!ret)
		ret = pb_use_read_node(dir, name, &disk.node);
	if (!ret)
		ret = open_exclusively(&disk);
	if (ret == -EBUSY) {
		/* That of its partitions was told before. */
		if (!inner_uses)
			describe(&disk);
	} else if (ret && ret != -ENOMEDIUM) {
		pb_use_failed(check, ret, name, "the disk %s is in use", name);
	} else {
		/* Nobody claims it; a drive without a medium is nobody's. */
		look_at_loops(&disk);
		look_at_targets(&disk);
	}
}
