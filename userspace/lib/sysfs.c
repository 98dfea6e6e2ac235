// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "sysfs.h"
#include "util.h"

size_t pb_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int pb_find_at(int dir, const char *path)
{
	if (!faccessat(dir, path, F_OK, 0))
		return PB_YES;
	return errno == ENOENT || errno == ENOTDIR ? PB_NO : -errno;
}

bool pb_exists_at(int dir, const char *path)
{
	return pb_find_at(dir, path) == PB_YES;
}

int pb_access_at(int dir, const char *path)
{
	return faccessat(dir, path, R_OK | W_OK, AT_EACCESS) ? -errno : 0;
}

int pb_read_at(int dir, const char *path, char *buf, size_t size)
{
	PB_AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf, size - 1);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return 0;
}

int pb_read_hex_at(int dir, const char *path, uint64_t *value)
{
	char text[32], *end;
	uint64_t v;
	int ret;

	ret = pb_read_at(dir, path, text, sizeof(text));
	if (ret)
		return ret;
	errno = 0;
	v = strtoull(text, &end, 16);
	if (errno || end == text || *end)
		return -EIO;
	*value = v;
	return 0;
}

int pb_write_at(int dir, const char *path, const char *text)
{
	PB_AUTO_CLOSE int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	size_t length = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* A sysfs attribute takes its value in one write, or not at all. */
	do {
		n = write(fd, text, length);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == length ? 0 : -EIO;
}

int pb_readlink_base_at(int dir, const char *path, char *buf, size_t size)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n;

	n = readlinkat(dir, path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	strcpy(buf, base);
	return 0;
}

DIR *pb_opendir_at(int dir, const char *path)
{
	PB_AUTO_CLOSE int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return NULL;
	d = fdopendir(fd);
	if (d)
		pb_take_fd(&fd);
	return d;
}

struct dirent *pb_readdir(DIR *dir)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
	return entry;
}

int pb_dir_populated_at(int dir, const char *path)
{
	PB_AUTO_CLOSEDIR DIR *d = pb_opendir_at(dir, path);

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? PB_NO : -errno;
	if (pb_readdir(d))
		return PB_YES;
	return errno ? -errno : PB_NO;
}
