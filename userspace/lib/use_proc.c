// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What processes have open and mounted, by way of /proc.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sysfs.h"
#include "use.h"
#include "util.h"

/* PROC_PID_INIT_INO: since Linux 3.8 the number of the first PID namespace. */
#define FIRST_PID_NAMESPACE "pid:[4026531836]"

static bool is_pid(const char *name)
{
	return *name && strspn(name, "0123456789") == strlen(name);
}

/* A process may end while it is being looked at. */
static bool has_ended(int err)
{
	return err == -ENOENT || err == -ESRCH;
}

static void read_command(struct peerbar *pb, const char *pid, char command[32])
{
	char path[64];

	snprintf(path, sizeof(path), "%.32s/comm", pid);
	if (pb_read_at(pb->proc_fd, path, command, 32))
		strcpy(command, "?");
}

/* Descriptors ------------------------------------------------------------------ */

static bool is_open_at(const struct pb_node *node, const struct statx *stat)
{
	return (node->block ? S_ISBLK(stat->stx_mode) : S_ISCHR(stat->stx_mode)) &&
	       stat->stx_rdev_major == node->major && stat->stx_rdev_minor == node->minor;
}

static void found_open(struct pb_use_check *check, struct pb_node *node, const char *pid)
{
	char command[32];

	read_command(check->pb, pid, command);
	pb_use_found(check, PEERBAR_USE_OPEN, node->name, "/dev/%s is open in process %s (%s)",
		     node->name, pid, command);
	/* Once is enough. */
	*node = check->nodes[--check->nr_nodes];
}

/* 0 or a negative errno. A file server that may never answer is not asked. */
static int look_at_descriptor(struct pb_use_check *check, int dir, const char *fd, const char *pid)
{
	struct statx stat;

	if (statx(dir, fd, AT_STATX_DONT_SYNC, STATX_TYPE, &stat))
		return has_ended(-errno) ? 0 : -errno;
	for (size_t i = 0; i < check->nr_nodes; i++) {
		if (!is_open_at(&check->nodes[i], &stat))
			continue;
		found_open(check, &check->nodes[i], pid);
		break;
	}
	return 0;
}

/* False: others could not be looked at, either. */
static bool look_at_process(struct pb_use_check *check, const char *pid)
{
	PB_AUTO_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	char path[64];
	int ret = 0;

	snprintf(path, sizeof(path), "%.32s/fd", pid);
	dir = pb_opendir_at(check->pb->proc_fd, path);
	while (!ret && dir && (entry = pb_readdir(dir)))
		ret = look_at_descriptor(check, dirfd(dir), entry->d_name, pid);
	if (!ret)
		ret = -errno;
	if (!ret || has_ended(ret))
		return true;
	pb_use_failed(check, ret, "fd", "process %s has it open", pid);
	return false;
}

/* From inside a PID namespace the processes outside of it cannot be seen. */
static int check_namespace(struct peerbar *pb)
{
	char name[32];
	int ret = pb_readlink_base_at(pb->proc_fd, "self/ns/pid", name, sizeof(name));

	if (ret)
		return ret;
	return strcmp(name, FIRST_PID_NAMESPACE) ? -EPERM : 0;
}

void pb_use_descriptors(struct pb_use_check *check)
{
	PB_AUTO_CLOSEDIR DIR *dir = NULL;
	struct dirent *entry;
	int ret;

	if (!check->nr_nodes)
		return;
	ret = check_namespace(check->pb);
	if (ret)
		pb_use_failed(check, ret, "pid",
			      "a process outside of this PID namespace has it open");
	dir = pb_opendir_at(check->pb->proc_fd, ".");
	while (dir && (entry = pb_readdir(dir)))
		if (is_pid(entry->d_name) && !look_at_process(check, entry->d_name))
			return;
	if (errno)
		pb_use_failed(check, -errno, "fd", "a process has it open");
}

/* Mounts ------------------------------------------------------------------------ */

/* mountinfo: "36 35 98:0 /root /point options - type source options" */
static bool line_matches(const char *line, const struct pb_mount_query *query, char point[128])
{
	char number[32], type[32], source[128];
	const char *tail = strstr(line, " - ");
	bool by_name;

	if (!tail || sscanf(line, "%*s %*s %31s %*s %127s", number, point) != 2 ||
	    sscanf(tail, " - %31s %127s", type, source) != 2)
		return false;
	by_name = !query->source || !strcmp(source, query->source);
	/* By number for most filesystems; btrfs shows numbers of its own. */
	if (query->number)
		return by_name || !strcmp(number, query->number);
	return by_name && (!query->type || !strcmp(type, query->type));
}

static int find_in(struct peerbar *pb, const char *pid, const struct pb_mount_query *query,
		   char point[128])
{
	PB_AUTO_CLOSE int fd = -1;
	PB_AUTO_FREE char *line = NULL;
	size_t room = 0;
	char path[64];
	int ret = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%.32s/mountinfo", pid);
	fd = openat(pb->proc_fd, path, O_RDONLY | O_CLOEXEC);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file)
		return -errno;
	pb_take_fd(&fd);
	errno = 0;
	while (!ret && getline(&line, &room, file) >= 0)
		ret = line_matches(line, query, point);
	if (!ret && ferror(file))
		ret = errno ? -errno : -EIO;
	fclose(file);
	return ret;
}

/* The mount namespaces that were looked at, by the inode number of each. */
struct seen {
	char (*names)[32];
	size_t count;
};

/* 1: it is new; 0: it is not. */
static int note_namespace(struct peerbar *pb, const char *pid, struct seen *seen)
{
	char path[64], name[32], (*grown)[32];
	int ret;

	snprintf(path, sizeof(path), "%.32s/ns/mnt", pid);
	ret = pb_readlink_base_at(pb->proc_fd, path, name, sizeof(name));
	if (ret)
		return ret;
	for (size_t i = 0; i < seen->count; i++)
		if (!strcmp(seen->names[i], name))
			return 0;
	grown = realloc(seen->names, (seen->count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	seen->names = grown;
	strcpy(grown[seen->count++], name);
	return 1;
}

static int find_from(struct peerbar *pb, const char *pid, const struct pb_mount_query *query,
		     struct seen *seen, char point[128])
{
	int ret = note_namespace(pb, pid, seen);

	if (ret > 0)
		ret = find_in(pb, pid, query, point);
	return has_ended(ret) ? 0 : ret;
}

static int find_elsewhere(struct peerbar *pb, const struct pb_mount_query *query, struct seen *seen,
			  char *where, size_t size)
{
	PB_AUTO_CLOSEDIR DIR *dir = pb_opendir_at(pb->proc_fd, ".");
	char point[128], command[32];
	struct dirent *entry;
	int ret = 0, failed = 0;

	if (!dir)
		return -errno;
	while (ret <= 0 && (entry = pb_readdir(dir))) {
		if (!is_pid(entry->d_name))
			continue;
		ret = find_from(pb, entry->d_name, query, seen, point);
		if (ret > 0) {
			read_command(pb, entry->d_name, command);
			snprintf(where, size, "%s, as process %s (%s) sees it", point,
				 entry->d_name, command);
		} else if (ret < 0 && !failed) {
			failed = ret;
		}
	}
	if (ret <= 0 && !failed)
		failed = -errno;
	return ret > 0 ? ret : failed;
}

int pb_use_find_mount(struct peerbar *pb, const struct pb_mount_query *query, char *where,
		      size_t size)
{
	struct seen seen = {};
	char point[128];
	int ret;

	ret = find_from(pb, "self", query, &seen, point);
	if (ret > 0)
		snprintf(where, size, "%s", point);
	else if (!ret)
		ret = find_elsewhere(pb, query, &seen, where, size);
	free(seen.names);
	return ret;
}

/* vfio -------------------------------------------------------------------------- */

bool pb_use_vfio_group(struct pb_use_check *check, char *group, size_t size)
{
	int ret = pb_find_at(check->dir, "vfio-dev");

	if (ret > 0)
		ret = pb_readlink_base_at(check->dir, "iommu_group", group, size);
	else if (!ret)
		return false;
	if (ret && ret != -ENOENT)
		pb_use_failed(check, ret, "iommu_group", "its IOMMU group is open");
	return !ret;
}

/*
 * The group can be opened by one process, and by none while one of its devices
 * is open: trying is free of side effects, and sees descriptors that no process
 * shows, as one that is under way to another.
 */
void pb_use_vfio(struct pb_use_check *check)
{
	PB_AUTO_CLOSE int fd = -1;
	char group[32], path[64];

	if (check->uses || !pb_use_vfio_group(check, group, sizeof(group)))
		return;
	snprintf(path, sizeof(path), "vfio/%s", group);
	fd = openat(check->pb->dev_fd, path, O_RDWR | O_CLOEXEC);
	/* A kernel without groups has no node. */
	if (fd >= 0 || errno == ENOENT)
		return;
	if (errno == EBUSY)
		pb_use_found(check, PEERBAR_USE_OPEN, path,
			     "a device of its IOMMU group %s is open", group);
	else
		pb_use_failed(check, -errno, path, "a device of its IOMMU group %s is open", group);
}
