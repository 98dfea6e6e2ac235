/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * QEMU's "edu" device, which stands for any device with registers and a DMA
 * engine. Registers below 0x80 take 4-byte accesses only and ignore others,
 * from 0x80 on 4 or 8 bytes. The engine moves data between an IOVA below
 * 256 MiB and the device's own 4 KiB buffer, one transfer at a time.
 */
#ifndef GUEST_COMMON_EDU_H
#define GUEST_COMMON_EDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EDU_BAR	       0
#define EDU_IOVA_LIMIT (1ULL << 28)
/* QEMU ends when a transfer touches the buffer's last byte, so stay away. */
#define EDU_DMA_MAX 2048

#define EDU_REG_IDENT	    0x00
#define EDU_REG_LIVENESS    0x04
#define EDU_REG_DMA_SOURCE  0x80
#define EDU_REG_DMA_TARGET  0x88
#define EDU_REG_DMA_COUNT   0x90
#define EDU_REG_DMA_COMMAND 0x98
#define EDU_DMA_BUFFER	    0x40000

enum edu_direction {
	EDU_PULL = 0, /* memory to device */
	EDU_PUSH = 2, /* device to memory */
};

/* The registers answer as this device's do. */
bool edu_present(volatile void *registers);

/* Waits until the engine has done what it was told to; -ETIMEDOUT. */
int edu_wait_idle(volatile void *registers);

/*
 * One transfer of at most EDU_DMA_MAX bytes between iova and the start of the
 * internal buffer; rings the doorbell and waits until the engine is idle.
 * -EINVAL bad length, -EBUSY the engine was not idle, -ETIMEDOUT.
 */
int edu_dma(volatile void *registers, enum edu_direction direction, uint64_t iova, size_t length);

/* Moves length bytes from one IOVA to another, through the device. */
int edu_copy(volatile void *registers, uint64_t target, uint64_t source, size_t length);

#endif /* GUEST_COMMON_EDU_H */
