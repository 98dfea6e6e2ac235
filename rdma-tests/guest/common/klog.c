// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "klog.h"

void klog_expect(const char *regex)
{
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (log < 0)
		return;
	dprintf(log, "peerbar-test: expect %s\n", regex);
	close(log);
}
