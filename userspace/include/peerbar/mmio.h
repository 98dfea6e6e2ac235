/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef PEERBAR_MMIO_H
#define PEERBAR_MMIO_H
#endif /* PEERBAR_MMIO_H */
