/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * To be preloaded: the process is killed when it is about to write to sysfs for
 * the DIE_AT_WRITEth time, so that nothing of its own can put anything back.
 */
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_sysfs(int fd)
{
	char link[32], path[PATH_MAX] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) > 0 && !strncmp(path, "/sys/", 5);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	static ssize_t (*real)(int fd, const void *buf, size_t n);
	static int left = -1;
	const char *at = getenv("DIE_AT_WRITE");

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "write");
	if (left < 0)
		left = at ? atoi(at) : 0;
	if (left && is_sysfs(fd) && !--left)
		raise(SIGKILL);
	return real(fd, buf, n);
}
