/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <stddef.h>

#include "pciclass.h"

/*
 * The devices one meets when looking for peer memory, by subclass; the rest by
 * base class. The full list is lspci's business.
 */
static const struct {
	uint16_t code; /* base class and subclass */
	const char *name;
} subclasses[] = {
	{ 0x0100, "SCSI controller" },
	{ 0x0101, "IDE controller" },
	{ 0x0104, "RAID controller" },
	{ 0x0106, "SATA controller" },
	{ 0x0107, "SAS controller" },
	{ 0x0108, "NVMe controller" },
	{ 0x0200, "Ethernet controller" },
	{ 0x0207, "InfiniBand controller" },
	{ 0x0300, "VGA controller" },
	{ 0x0302, "3D controller" },
	{ 0x0403, "audio device" },
	{ 0x0500, "RAM" },
	{ 0x0501, "flash memory" },
	{ 0x0502, "CXL memory" },
	{ 0x0600, "host bridge" },
	{ 0x0601, "ISA bridge" },
	{ 0x0604, "PCI bridge" },
	{ 0x0c03, "USB controller" },
	{ 0x0c05, "SMBus controller" },
};

static const char *const classes[] = {
	[0x00] = "unclassified device",
	[0x01] = "storage controller",
	[0x02] = "network controller",
	[0x03] = "display controller",
	[0x04] = "multimedia device",
	[0x05] = "memory controller",
	[0x06] = "bridge",
	[0x07] = "communication controller",
	[0x08] = "system peripheral",
	[0x09] = "input device",
	[0x0b] = "processor",
	[0x0c] = "serial bus controller",
	[0x0d] = "wireless controller",
	[0x10] = "encryption controller",
	[0x11] = "signal processing controller",
	[0x12] = "processing accelerator",
};

const char *pci_class_name(uint32_t class_code)
{
	uint32_t base = class_code >> 16;

	for (size_t i = 0; i < sizeof(subclasses) / sizeof(*subclasses); i++)
		if (subclasses[i].code == class_code >> 8)
			return subclasses[i].name;
	if (base < sizeof(classes) / sizeof(*classes) && classes[base])
		return classes[base];
	return "unknown class";
}
