/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <dirent.h>
#include <fts.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "in_use.h"

static bool read_word(const char *dir, const char *name, char *word, size_t size)
{
	char path[PATH_MAX];
	FILE *file;
	bool good;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	good = fgets(word, size, file);
	fclose(file);
	if (good)
		word[strcspn(word, " \t\n")] = '\0';
	return good;
}

static bool is_in_subsystem(const char *dir, const char *subsystem)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *base;
	ssize_t length;

	snprintf(path, sizeof(path), "%s/subsystem", dir);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	base = strrchr(target, '/');
	return base && !strcmp(base + 1, subsystem);
}

/* True when a line of the file has the word among its words. */
static bool file_has_word(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char *line = NULL, *save, *token;
	bool found = false;
	size_t room = 0;

	if (!file)
		return false;
	while (!found && getline(&line, &room, file) >= 0)
		for (token = strtok_r(line, " \t\n", &save); token && !found;
		     token = strtok_r(NULL, " \t\n", &save))
			found = !strcmp(token, word);
	free(line);
	fclose(file);
	return found;
}

static bool file_has_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	bool found = false;
	size_t room = 0;

	if (!file)
		return false;
	while (!found && getline(&line, &room, file) >= 0)
		found = strstr(line, text);
	free(line);
	fclose(file);
	return found;
}

static bool has_entries(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *stream;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	stream = opendir(path);
	if (!stream)
		return false;
	while (!found && (entry = readdir(stream)))
		found = entry->d_name[0] != '.';
	closedir(stream);
	return found;
}

static bool interface_is_up(const char *dir)
{
	char flags[24];

	return read_word(dir, "flags", flags, sizeof(flags)) &&
	       (strtoul(flags, NULL, 16) & IFF_UP);
}

/* By number for most filesystems; btrfs shows numbers of its own, so by name too. */
static bool disk_is_needed(const char *dir, const char *name)
{
	char number[24], node[NAME_MAX + 6];

	snprintf(node, sizeof(node), "/dev/%s", name);
	return has_entries(dir, "holders") || file_has_word("/proc/swaps", node) ||
	       file_has_word("/proc/self/mountinfo", node) ||
	       (read_word(dir, "dev", number, sizeof(number)) &&
		file_has_word("/proc/self/mountinfo", number));
}

/* A folder that a hypervisor shares, by the tag under which it is mounted. */
static bool share_is_mounted(const char *dir)
{
	char tag[64], type_and_source[80];

	if (!read_word(dir, "mount_tag", tag, sizeof(tag)))
		return false;
	snprintf(type_and_source, sizeof(type_and_source), " - 9p %s ", tag);
	return file_has_text("/proc/self/mountinfo", type_and_source);
}

static bool serves(const char *dir, const char *name, char *what, size_t size)
{
	if (is_in_subsystem(dir, "net") && interface_is_up(dir)) {
		snprintf(what, size, "the network interface %s, which is up", name);
		return true;
	}
	if (is_in_subsystem(dir, "block") && disk_is_needed(dir, name)) {
		snprintf(what, size, "the disk %s, which is in use", name);
		return true;
	}
	if (is_in_subsystem(dir, "virtio") && share_is_mounted(dir)) {
		snprintf(what, size, "a shared folder, which is mounted");
		return true;
	}
	return false;
}

bool in_use(const char *address, char *what, size_t size)
{
	char link[64], root[PATH_MAX];
	char *const roots[] = { root, NULL };
	bool found = false;
	FTSENT *entry;
	FTS *tree;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s", address);
	if (!realpath(link, root))
		return false;
	tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	if (!tree)
		return false;
	while (!found && (entry = fts_read(tree)))
		if (entry->fts_info == FTS_D)
			found = serves(entry->fts_path, entry->fts_name, what, size);
	fts_close(tree);
	return found;
}
