/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PEERBAR_CLI_IN_USE_H
#define PEERBAR_CLI_IN_USE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * True when this machine would miss the device if it were taken from its
 * driver: a network interface that is up, a disk that is mounted, swapped to or
 * part of a volume, a shared folder that is mounted. Writes what it serves, in words.
 */
bool in_use(const char *address, char *what, size_t size);

#endif
