// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "record.h"
#include "sysfs.h"
#include "util.h"

#define FOLDER "peerbar"

static void record_path(struct peerbar *pb, const char *address, const char *suffix,
			char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" FOLDER "/%s%s", pb->run, address, suffix);
}

/* Takes the line "@key value" off @text; NULL where it is another one. */
static const char *take_line(const char *text, const char *key, char value[PB_DRIVER_MAX])
{
	size_t skip = strlen(key), length;

	if (strncmp(text, key, skip) || text[skip] != ' ')
		return NULL;
	text += skip + 1;
	length = strcspn(text, "\n");
	if (length >= PB_DRIVER_MAX)
		return NULL;
	memcpy(value, text, length);
	value[length] = '\0';
	return text[length] ? text + length + 1 : text + length;
}

int pb_record_read(struct peerbar *pb, const char *address, struct pb_record *record)
{
	char path[PATH_MAX], text[4 * PB_DRIVER_MAX];
	const char *rest = text;
	int ret;

	record_path(pb, address, "", path);
	ret = pb_read_at(AT_FDCWD, path, text, sizeof(text));
	if (ret)
		return ret;
	rest = take_line(rest, "override", record->override);
	if (rest)
		rest = take_line(rest, "driver", record->driver);
	if (rest)
		rest = take_line(rest, "vfio", record->vfio);
	return rest ? 0 : -EIO;
}

static int make_folder(struct peerbar *pb)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" FOLDER, pb->run);
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

static int create(const char *path, const struct pb_record *record)
{
	PB_AUTO_CLOSE int fd = -1;
	char text[4 * PB_DRIVER_MAX];
	int length;

	length = snprintf(text, sizeof(text), "override %s\ndriver %s\nvfio %s\n", record->override,
			  record->driver, record->vfio);
	fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)length) != length)
		return errno ? -errno : -EIO;
	return 0;
}

int pb_record_write(struct peerbar *pb, const char *address, const struct pb_record *record)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int ret;

	record_path(pb, address, "", path);
	record_path(pb, address, ".new", fresh);
	ret = make_folder(pb);
	if (!ret)
		ret = create(fresh, record);
	if (!ret && rename(fresh, path))
		ret = -errno;
	return ret;
}

int pb_record_remove(struct peerbar *pb, const char *address)
{
	char path[PATH_MAX];

	record_path(pb, address, "", path);
	return unlink(path) && errno != ENOENT ? -errno : 0;
}
