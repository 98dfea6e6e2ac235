/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Where most tests on the made-up machine begin: a device, and a slice of it. */
#ifndef UNIT_FAKEFIXTURE_H
#define UNIT_FAKEFIXTURE_H

#include "fake.h"
#include "tap.h"

static const struct peerbar_range slice = {0x200000, 0x400000};

static inline struct peerbar_device *open_device(struct peerbar *pb, const char *address)
{
	struct peerbar_device *dev;

	if (peerbar_device_open(pb, address, NULL, &dev))
		bail_out("cannot open %s: %s", address, fake_last_error());
	return dev;
}

static inline struct peerbar_buffer *export_slice(struct peerbar_device *dev)
{
	struct peerbar_buffer *buf;

	if (peerbar_buffer_export(dev, 2, &slice, 1, NULL, &buf))
		bail_out("cannot export: %s", fake_last_error());
	return buf;
}

#endif /* UNIT_FAKEFIXTURE_H */
