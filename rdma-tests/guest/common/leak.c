// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "leak.h"
#include "tap.h"

#define BUFINFO "/sys/kernel/debug/dma_buf/bufinfo"
/* A dma-buf is freed by deferred work after its last reference went away. */
#define SETTLE_MS 30000

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = -1; /* the directory's own */

	if (!dir)
		return 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static bool names_device_memory(const char *line)
{
	return strstr(line, "dmabuf") || strstr(line, "vfio");
}

static int count_mappings(bool show)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		if (!names_device_memory(line))
			continue;
		count++;
		if (show)
			tap_diag("mapped: %.*s", (int)strcspn(line, "\n"), line);
	}
	fclose(maps);
	return count;
}

static void show_descriptors(void)
{
	char path[64], target[256];

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = '\0';
		tap_diag("open: %d %s", fd, target);
	}
}

void leak_take(struct leak_state *state)
{
	state->descriptors = count_descriptors();
	state->mappings = count_mappings(false);
}

bool leak_none(const struct leak_state *before)
{
	struct leak_state now;
	bool clean = true;

	leak_take(&now);
	if (now.descriptors > before->descriptors) {
		tap_diag("leaked descriptors: %d before, %d after", before->descriptors,
			 now.descriptors);
		show_descriptors();
		clean = false;
	}
	if (now.mappings > before->mappings) {
		tap_diag("leaked mappings: %d before, %d after", before->mappings, now.mappings);
		count_mappings(true);
		clean = false;
	}
	return clean;
}

int leak_dmabufs(void)
{
	FILE *info = fopen(BUFINFO, "re");
	char line[512];
	int count = -1, found;

	if (!info)
		return -1;
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "Total %d objects", &found) == 1)
			count = found;
	fclose(info);
	return count;
}

bool leak_dmabufs_back_to(int before)
{
	long long deadline = clock_ms() + SETTLE_MS;

	if (before < 0)
		return true;
	while (leak_dmabufs() > before) {
		if (clock_ms() > deadline) {
			tap_diag("leaked dma-bufs: %d before, %d after", before, leak_dmabufs());
			return false;
		}
		clock_pause();
	}
	return true;
}
