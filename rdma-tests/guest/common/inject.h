/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Lets one allocation, or one copy from or to user space, fail: the nth that
 * this thread's system calls come to. Only a kernel with fault injection can.
 */
#ifndef GUEST_COMMON_INJECT_H
#define GUEST_COMMON_INJECT_H

#include <stdbool.h>

/* Prepares the kernel; skips the case where it has no fault injection. */
void inject_open(void);
void inject_close(void);

/* From now on; n counts from 1. */
void inject_arm(unsigned int n);
/* True when the nth was reached, and so has failed. Nothing is armed then. */
bool inject_disarm(void);

#endif /* GUEST_COMMON_INJECT_H */
