/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PB_PCI_H
#define PB_PCI_H

#include <peerbar/peerbar.h>

struct peerbar;

/* Opens the sysfs directory of a device: a descriptor, or -ENODEV. */
int pb_pci_open_dir(struct peerbar *pb, const char *address);
/* Looks a device up and opens its directory: a descriptor or a negative errno, with a message. */
int pb_pci_find(struct peerbar *pb, const char *address, struct peerbar_device_info *info);
/* The six BARs out of the text of a device's `resource` attribute. */
int pb_pci_parse_resources(const char *text, struct peerbar_bar_info bars[PEERBAR_NUM_BARS]);
/* Fills @out for the device whose directory is @dir. */
int pb_pci_read_info(int dir, const char *address, struct peerbar_device_info *out);

/* Bridges have a header of another type, and vfio takes none of those. */
bool pb_pci_is_bridge(uint32_t class_code);

#endif /* PB_PCI_H */
