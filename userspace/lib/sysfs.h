/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Small files below a directory descriptor. All return a negative errno on
 * failure and log nothing: the caller knows what the failure means.
 */
#ifndef PB_SYSFS_H
#define PB_SYSFS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PB_YES, PB_NO, or what kept it from finding out. */
int pb_find_at(int dir, const char *path);
/* The same for who takes a failure for a no. */
bool pb_exists_at(int dir, const char *path);
/* 0: it may be opened for reading and writing; -ENOENT: it is not there. */
int pb_access_at(int dir, const char *path);
/* The first bytes of the file, as a string without its trailing newline. */
int pb_read_at(int dir, const char *path, char *buf, size_t size);
int pb_read_hex_at(int dir, const char *path, uint64_t *value);
int pb_write_at(int dir, const char *path, const char *text);
/* The last component of a symbolic link's target. */
int pb_readlink_base_at(int dir, const char *path, char *buf, size_t size);
DIR *pb_opendir_at(int dir, const char *path);
/* The next entry that is not "." or "..". */
struct dirent *pb_readdir(DIR *dir);
/* Does the directory exist and have an entry? PB_YES, PB_NO, or an errno. */
int pb_dir_populated_at(int dir, const char *path);

#endif /* PB_SYSFS_H */
