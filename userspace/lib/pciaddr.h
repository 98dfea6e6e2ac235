/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_PCIADDR_H
#define PB_PCIADDR_H

#include <peerbar/peerbar.h>

/*
 * Turns "dddd:bb:dd.f" (domain of 4 to 8 digits) or "bb:dd.f" into the form
 * sysfs uses. Returns -EINVAL and leaves @out alone for anything else.
 */
int pb_address_parse(const char *text, char out[PEERBAR_ADDRESS_MAX]);

/* The order of lspci: by domain, bus, device, function. */
int pb_address_compare(const char *a, const char *b);

#endif /* PB_PCIADDR_H */
