// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>

#include <peerbar/mmio.h>

#include "clock.h"
#include "edu.h"

#define EDU_COMMAND_START 1u
#define EDU_IDENT_MASK	  0xffu
#define EDU_IDENT_VALUE	  0xedu
/* A transfer takes 100 ms of guest time. */
#define EDU_DMA_TIMEOUT_MS 20000

static volatile uint8_t *at(volatile void *registers, size_t offset)
{
	return (volatile uint8_t *)registers + offset;
}

bool edu_present(volatile void *registers)
{
	uint32_t ident = peerbar_read32(at(registers, EDU_REG_IDENT));

	return (ident & EDU_IDENT_MASK) == EDU_IDENT_VALUE;
}

static bool edu_busy(volatile void *registers)
{
	return peerbar_read64(at(registers, EDU_REG_DMA_COMMAND)) & EDU_COMMAND_START;
}

int edu_wait_idle(volatile void *registers)
{
	long long deadline = clock_ms() + EDU_DMA_TIMEOUT_MS;

	while (edu_busy(registers)) {
		if (clock_ms() > deadline)
			return -ETIMEDOUT;
		clock_pause();
	}
	return 0;
}

int edu_dma(volatile void *registers, enum edu_direction direction, uint64_t iova, size_t length)
{
	bool push = direction == EDU_PUSH;

	if (!length || length > EDU_DMA_MAX)
		return -EINVAL;
	if (edu_busy(registers))
		return -EBUSY;
	peerbar_write64(at(registers, EDU_REG_DMA_SOURCE), push ? EDU_DMA_BUFFER : iova);
	peerbar_write64(at(registers, EDU_REG_DMA_TARGET), push ? iova : EDU_DMA_BUFFER);
	peerbar_write64(at(registers, EDU_REG_DMA_COUNT), length);
	/* The doorbell: from here on the device moves data by itself. */
	peerbar_write64(at(registers, EDU_REG_DMA_COMMAND),
			EDU_COMMAND_START | (uint64_t)direction);
	return edu_wait_idle(registers);
}

int edu_copy(volatile void *registers, uint64_t target, uint64_t source, size_t length)
{
	for (size_t done = 0; done < length;) {
		size_t left = length - done;
		size_t step = left < EDU_DMA_MAX ? left : EDU_DMA_MAX;
		int ret = edu_dma(registers, EDU_PULL, source + done, step);

		if (!ret)
			ret = edu_dma(registers, EDU_PUSH, target + done, step);
		if (ret)
			return ret;
		done += step;
	}
	return 0;
}
