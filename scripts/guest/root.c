// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The guest's root: the host's, exported read-only over 9p, below a layer with the files that only the guest has
 * (/etc/hosts, the place of its modules). /tmp, /var/tmp and /run, or everything if the host says so, get a writable
 * layer in memory on top: what the host has there is visible, what the guest writes is gone with it.
 */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST  "/host"
#define ADDED "/added"
#define UPPER "/upper"

static struct {
	struct strv layers;
	struct strv binds;
	bool whole; /* the root itself is writable */
} want;

static void do_mount(const char *src, const char *dst, const char *type, unsigned long flags,
		     const char *opts)
{
	if (mount(src, dst, type, flags, opts))
		die("mount %s on %s: %m", src, dst);
}

/* A file system that this kernel may lack. */
static void try_mount(const char *type, const char *dst)
{
	if (mount(type, dst, type, 0, NULL) && errno != ENODEV && errno != ENOENT)
		die("mount %s: %m", dst);
}

static void mkdirs(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		mkdir(path, 0755);
		*p = '/';
	}
	mkdir(path, 0755);
}

static void new_mount(const char *src, const char *dst, const char *type, unsigned long flags,
		      const char *opts)
{
	mkdir(dst, 0755);
	do_mount(src, dst, type, flags, opts);
}

void mount_host(void)
{
	new_mount("devtmpfs", "/dev", "devtmpfs", 0, "mode=0755");
	new_mount("root", HOST, "9p", MS_RDONLY,
		  "trans=virtio,version=9p2000.L,msize=512000,cache=loose");
	new_mount("tmpfs", ADDED, "tmpfs", 0, "mode=0755");
	new_mount("tmpfs", UPPER, "tmpfs", 0, "mode=0755");
	mkdir(ROOT, 0755);
}

void add_file(const struct frame *f)
{
	const char *data = f->data + strlen(f->data) + 1;
	size_t len = f->data + f->len - data;
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), ADDED "%s", f->data);
	*strrchr(path, '/') = 0;
	mkdirs(path);
	path[strlen(path)] = '/';
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		die("write %s: %m", path);
	close(fd);
}

void add_bind(const char *pair)
{
	char path[4096];

	snprintf(path, sizeof(path), ADDED "%s", pair + strlen(pair) + 1);
	mkdirs(path);
	strv_add(&want.binds, (char *)pair);
}

void add_layer(const char *folder)
{
	if (!strcmp(folder, "/"))
		want.whole = true;
	else
		strv_add(&want.layers, (char *)folder);
}

/* An overlay of LOWER at a place; with UPPER/number for what is written there, if it is to be writable. */
static void overlay(const char *lower, const char *at, size_t number, bool writable)
{
	char opts[512], upper[64], work[64];
	struct stat st;

	snprintf(opts, sizeof(opts), "lowerdir=%s", lower);
	if (writable) {
		snprintf(upper, sizeof(upper), UPPER "/%zu/upper", number);
		snprintf(work, sizeof(work), UPPER "/%zu/work", number);
		mkdirs(upper);
		mkdirs(work);
		snprintf(opts, sizeof(opts), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper,
			 work);
		/* the folder itself is shown as the uppermost layer has it */
		if (stat(strrchr(lower, ':') ? ADDED : lower, &st) ||
		    chown(upper, st.st_uid, st.st_gid) || chmod(upper, st.st_mode & 07777))
			die("make %s like %s: %m", upper, lower);
	}
	if (mount("overlay", at, "overlay", writable ? 0 : MS_RDONLY, opts))
		die("lay %s over %s: %m%s", opts, at,
		    errno == ENODEV ? " (the kernel needs CONFIG_OVERLAY_FS)" : "");
}

static void mount_kernel(void)
{
	do_mount("proc", ROOT "/proc", "proc", 0, NULL);
	do_mount("sysfs", ROOT "/sys", "sysfs", 0, NULL);
	do_mount("debugfs", ROOT "/sys/kernel/debug", "debugfs", 0, NULL);
	try_mount("configfs", ROOT "/sys/kernel/config");
	try_mount("cgroup2", ROOT "/sys/fs/cgroup");
	do_mount("devtmpfs", ROOT "/dev", "devtmpfs", 0, "mode=0755");
	new_mount("devpts", ROOT "/dev/pts", "devpts", 0, "mode=0620,ptmxmode=0666");
	new_mount("mqueue", ROOT "/dev/mqueue", "mqueue", 0, NULL);
	new_mount("hugetlbfs", ROOT "/dev/hugepages", "hugetlbfs", 0, NULL);
	new_mount("tmpfs", ROOT "/dev/shm", "tmpfs", MS_NOSUID, "mode=1777");
	symlink("/proc/self/fd", ROOT "/dev/fd");
	symlink("/proc/self/fd/0", ROOT "/dev/stdin");
	symlink("/proc/self/fd/1", ROOT "/dev/stdout");
	symlink("/proc/self/fd/2", ROOT "/dev/stderr");
}

void mount_root(void)
{
	char lower[4096], path[4096];
	struct stat st;

	overlay(ADDED ":" HOST, ROOT, 0, want.whole);
	mount_kernel();
	for (size_t i = 0; i < want.layers.n; i++) {
		snprintf(lower, sizeof(lower), HOST "%s", want.layers.v[i]);
		snprintf(path, sizeof(path), ROOT "%s", want.layers.v[i]);
		/* /var/run and the like may be links; the folder itself may be missing on a small root */
		if (!lstat(lower, &st) && S_ISDIR(st.st_mode))
			overlay(lower, path, i + 1, true);
	}
	mkdir(ROOT "/run/lock", 01777);
	for (size_t i = 0; i < want.binds.n; i++) {
		const char *source = want.binds.v[i];

		snprintf(lower, sizeof(lower), HOST "%s", source);
		snprintf(path, sizeof(path), ROOT "%s", source + strlen(source) + 1);
		do_mount(lower, path, NULL, MS_BIND, NULL);
	}
}

void mount_share(const char *pair)
{
	char path[4096];

	snprintf(path, sizeof(path), ROOT "%s", pair + strlen(pair) + 1);
	do_mount(pair, path, "9p", MS_NOSUID | MS_NODEV,
		 "trans=virtio,version=9p2000.L,msize=512000,cache=mmap");
}

void enter_root(void)
{
	if (chdir(ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		die("enter the root: %m");
}
