/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PEERBAR_CLI_PCICLASS_H
#define PEERBAR_CLI_PCICLASS_H

#include <stdint.h>

/* A few words for a PCI class code (0xbbsspp), as people call such devices. */
const char *pci_class_name(uint32_t class_code);

#endif
