/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Touches one address and says what happened. The catcher is armed around that
 * one access of that one thread only; a fault anywhere else kills the process
 * with a message.
 */
#ifndef GUEST_COMMON_FAULT_H
#define GUEST_COMMON_FAULT_H

#include <stdbool.h>
#include <stdint.h>

struct fault {
	int signal; /* 0: the access went through */
	int code;
	const volatile void *address;
};

/* Installs the catcher in this process; children of fork() inherit it. */
void fault_catch(void);

/* One 4-byte access each; true when it went through. */
bool fault_read(const volatile void *address, uint32_t *value, struct fault *fault);
bool fault_write(volatile void *address, uint32_t value, struct fault *fault);

/* True when both accesses at address raised SIGBUS, BUS_ADRERR, right there. */
bool fault_is_revoked(volatile void *address, struct fault *fault);

#endif /* GUEST_COMMON_FAULT_H */
