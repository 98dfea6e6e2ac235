// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdarg.h>
#include <stdio.h>

#include "context.h"
#include "util.h"

/* A longer message is cut, never split: one call is one message. */
#define MESSAGE_MAX 512

void pb_log(struct peerbar *pb, enum peerbar_log_level level, const char *format, ...)
{
	char message[MESSAGE_MAX];
	int saved = errno;
	va_list args;

	if (!pb->log)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	pb->log(pb->log_arg, level, message);
	errno = saved;
}

int pb_fail(struct peerbar *pb, int err, const char *format, ...)
{
	char message[MESSAGE_MAX];
	va_list args;

	if (!pb->log)
		return err;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	errno = -err;
	pb_log(pb, PEERBAR_LOG_ERROR, "%s: %m", message);
	return err;
}
