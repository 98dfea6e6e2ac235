/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Deadlines, and the pause between two looks at what cannot be waited for. */
#ifndef GUEST_COMMON_CLOCK_H
#define GUEST_COMMON_CLOCK_H

#include <time.h>

static inline long long clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static inline void clock_pause(void)
{
	const struct timespec pause = {.tv_nsec = 2000000};

	nanosleep(&pause, NULL);
}

#endif /* GUEST_COMMON_CLOCK_H */
