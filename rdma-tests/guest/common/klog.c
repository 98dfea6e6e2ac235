// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "klog.h"

void klog_expect(const char *regex)
{
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[256];
	int length;

	if (log < 0)
		return;
	/* Not dprintf(): that seeks first, which this file refuses. */
	length = snprintf(line, sizeof(line), "peerbar-test: expect %s\n", regex);
	if (write(log, line, (size_t)length) != length)
		perror("/dev/kmsg");
	close(log);
}
