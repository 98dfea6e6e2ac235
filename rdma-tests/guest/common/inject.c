// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "tap.h"

#define DEBUGFS	 "/sys/kernel/debug"
#define FAIL_NTH "/proc/thread-self/fail-nth"

static int nth = -1;

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	CHECK(write(fd, value, strlen(value)) == (ssize_t)strlen(value), "%s: %s", path,
	      strerror(errno));
	close(fd);
}

/* By default most allocations are spared, and each failure is told at length. */
void inject_open(void)
{
	nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (nth < 0)
		tap_skip("this kernel has no fault injection: scripts/vm run --kernel debug");
	set(DEBUGFS "/failslab/ignore-gfp-wait", "N");
	set(DEBUGFS "/failslab/verbose", "0");
	set(DEBUGFS "/fail_page_alloc/ignore-gfp-wait", "N");
	set(DEBUGFS "/fail_page_alloc/ignore-gfp-highmem", "N");
	set(DEBUGFS "/fail_page_alloc/min-order", "0");
	set(DEBUGFS "/fail_page_alloc/verbose", "0");
	set(DEBUGFS "/fail_usercopy/verbose", "0");
}

void inject_close(void)
{
	close(nth);
	nth = -1;
}

void inject_arm(unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	CHECK(pwrite(nth, text, (size_t)length, 0) == length, "%s: %s", FAIL_NTH, strerror(errno));
}

bool inject_disarm(void)
{
	char text[16] = "";
	ssize_t length = pread(nth, text, sizeof(text) - 1, 0);

	/* The very next was to fail: that was this one. */
	if (length < 0 && errno == EFAULT)
		return false;
	CHECK(length > 0, "%s: %s", FAIL_NTH, strerror(errno));
	if (!strtoul(text, NULL, 10))
		return true;
	/* What is left counts this write, too, and cannot fail it twice. */
	while (pwrite(nth, "0", 1, 0) != 1)
		CHECK(errno == EFAULT, "%s: %s", FAIL_NTH, strerror(errno));
	return false;
}
