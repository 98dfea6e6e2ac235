// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "fixture.h"

static bool kernel_is(const char *name)
{
	const char *kernel = getenv("PEERBAR_KERNEL");

	return kernel && !strcmp(kernel, name);
}

bool fixture_is_plain_kernel(void)
{
	return kernel_is("plain");
}

void fixture_need_config(bool have, const char *what)
{
	if (have)
		return;
	if (kernel_is("distribution"))
		tap_skip("this kernel has no %s", what);
	FAIL("a kernel of scripts/kernel must have %s", what);
}

const char *fixture_env(const char *name)
{
	const char *value = getenv(name);

	if (!value || !*value)
		FAIL("%s is not set: run this with scripts/vm", name);
	return value;
}

static void log_line(void *arg, enum peerbar_log_level level, const char *message)
{
	(void)arg;
	if (level == PEERBAR_LOG_ERROR)
		tap_diag("libpeerbar: %s", message);
}

static struct peerbar_device *open_device(struct fixture *f, const char *name)
{
	const char *address = fixture_env(name);
	struct peerbar_device *dev = NULL;
	int ret;

	ret = peerbar_device_open(f->pb, address, NULL, &dev);
	CHECK(!ret, "%s %s: open: %s", name, address, strerror(-ret));
	return dev;
}

static void need(bool have, const char *what)
{
	if (have)
		return;
	if (fixture_is_plain_kernel())
		tap_skip("this kernel has no %s", what);
	FAIL("a kernel with the series must have %s", what);
}

static void check_needs(struct fixture *f, unsigned int flags)
{
	struct peerbar_device_caps caps = {.size = sizeof(caps)};
	struct peerbar_device *dev = f->mem ? f->mem : f->reg;

	if (!dev)
		return;
	CHECK_OK(peerbar_device_caps(dev, &caps));
	CHECK(caps.dmabuf_export, "vfio-pci cannot export dma-bufs here");
	if (flags & NEED_MMAP)
		need(caps.dmabuf_mmap, "mmap() of exported dma-bufs");
	if (flags & NEED_REVOKE)
		need(caps.dmabuf_revoke, "permanent revoke");
	if (flags & NEED_MEMATTR)
		need(caps.dmabuf_memattr, "memory attributes");
	if (flags & NEED_IOVA)
		fixture_need_config(caps.iova_dmabuf, "iommufd that maps dma-bufs");
	if ((flags & NEED_RESET) && !caps.reset)
		FAIL("the device cannot be reset");
}

void fixture_open(struct fixture *f, unsigned int flags)
{
	const struct peerbar_options options = {
		.size = sizeof(options),
		.log = flags & FIXTURE_QUIET ? NULL : log_line,
	};
	struct peerbar_bar_info info;

	memset(f, 0, sizeof(*f));
	f->page = sysconf(_SC_PAGESIZE);
	CHECK_OK(peerbar_open(&options, &f->pb));
	if (flags & FIXTURE_MEM) {
		f->mem = open_device(f, "PEERBAR_MEMDEV");
		CHECK_OK(peerbar_device_bar(f->mem, MEM_BAR, &info));
		f->mem_length = info.length;
		CHECK(f->mem_length >= MIB(16), "memory BAR is too small");
	}
	if (flags & FIXTURE_REG)
		f->reg = open_device(f, "PEERBAR_REGDEV");
	check_needs(f, flags);
	fault_catch();
}

void fixture_close(struct fixture *f)
{
	peerbar_device_close(f->reg);
	peerbar_device_close(f->mem);
	peerbar_close(f->pb);
	memset(f, 0, sizeof(*f));
}

struct peerbar_buffer *fixture_export(struct peerbar_device *dev, unsigned int bar, uint64_t offset,
				      uint64_t length, enum peerbar_memattr memattr)
{
	const struct peerbar_range range = {
		.offset = offset,
		.length = length,
	};
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.memattr = memattr,
	};
	struct peerbar_buffer *buffer = NULL;

	CHECK_OK(peerbar_buffer_export(dev, bar, &range, 1, &options, &buffer));
	return buffer;
}

int fixture_orphan(struct peerbar_device *dev, unsigned int bar, uint64_t offset, uint64_t length)
{
	struct peerbar_buffer *buffer = fixture_export(dev, bar, offset, length, NC);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", peerbar_buffer_fd(buffer));
	fd = open(path, O_PATH | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	peerbar_buffer_close(buffer);
	/* Files are freed after a grace period of RCU, for which this waits. */
	CHECK_SYS(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0), 0);
	return fd;
}

static void slice_map(struct slice *slice)
{
	slice->length = peerbar_buffer_length(slice->buffer);
	CHECK_OK(peerbar_map(slice->buffer, 0, slice->length, NULL, &slice->mapping));
	slice->at = peerbar_mapping_addr(slice->mapping);
}

int fixture_heap_buffer(size_t length)
{
	struct dma_heap_allocation_data request = {
		.len = length,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	CHECK(heap >= 0, "/dev/dma_heap/system: %s", strerror(errno));
	CHECK_SYS(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &request), 0);
	close(heap);
	return (int)request.fd;
}

void slice_open(struct fixture *f, uint64_t offset, uint64_t length, enum peerbar_memattr memattr,
		struct slice *slice)
{
	memset(slice, 0, sizeof(*slice));
	slice->buffer = fixture_export(f->mem, MEM_BAR, offset, length, memattr);
	slice_map(slice);
}

void slice_open_registers(struct fixture *f, struct slice *slice)
{
	struct peerbar_bar_info info;

	memset(slice, 0, sizeof(*slice));
	CHECK_OK(peerbar_device_bar(f->reg, REG_BAR, &info));
	slice->buffer = fixture_export(f->reg, REG_BAR, 0, info.length, NC);
	slice_map(slice);
}

void slice_close(struct slice *slice)
{
	peerbar_unmap(slice->mapping);
	peerbar_buffer_close(slice->buffer);
	memset(slice, 0, sizeof(*slice));
}

/* Any byte depends on its position, so that a shifted copy does not match. */
static uint8_t pattern_byte(uint32_t seed, size_t position)
{
	uint32_t x = seed * 2654435761u ^ (uint32_t)position * 2246822519u;

	x ^= x >> 15;
	x *= 2654435761u;
	return (uint8_t)(x >> 24);
}

void pattern_fill(volatile void *at, size_t length, uint32_t seed)
{
	uint8_t *copy = malloc(length);

	CHECK(copy, "out of memory");
	for (size_t i = 0; i < length; i++)
		copy[i] = pattern_byte(seed, i);
	peerbar_copy_to(at, copy, length);
	peerbar_wc_flush();
	free(copy);
}

bool pattern_matches(const volatile void *at, size_t length, uint32_t seed)
{
	uint8_t *copy = malloc(length);
	bool same = true;

	CHECK(copy, "out of memory");
	peerbar_copy_from(copy, at, length);
	for (size_t i = 0; i < length && same; i++) {
		same = copy[i] == pattern_byte(seed, i);
		if (!same)
			tap_diag("byte %zu of %zu: %02x, wanted %02x", i, length, copy[i],
				 pattern_byte(seed, i));
	}
	free(copy);
	return same;
}

void demand_revoked(volatile void *address)
{
	struct fault fault;

	if (fault_is_revoked(address, &fault))
		return;
	if (!fault.signal)
		FAIL("%p can still be reached", address);
	FAIL("%p: signal %d, code %d at %p instead of SIGBUS there", address, fault.signal,
	     fault.code, fault.address);
}

void demand_alive(volatile void *address)
{
	struct fault fault;
	uint32_t value;

	CHECK(fault_read(address, &value, &fault) && fault_write(address, value, &fault),
	      "%p: signal %d, code %d at %p", address, fault.signal, fault.code, fault.address);
}

void demand_memtype(const volatile void *address, enum peerbar_memtype wanted)
{
	enum peerbar_memtype found;
	struct fault fault;
	uint32_t value;

	CHECK(fault_read(address, &value, &fault), "%p: signal %d", address, fault.signal);
	CHECK_OK(peerbar_memtype_of(address, &found));
	CHECK(found == wanted, "%p is %s in the page table, wanted %s", address,
	      peerbar_memtype_name(found), peerbar_memtype_name(wanted));
}

int try_mmap(int fd, size_t length, int protection, int flags, off_t offset, void **out)
{
	void *at = mmap(NULL, length, protection, flags, fd, offset);

	if (at == MAP_FAILED)
		return -errno;
	if (out)
		*out = at;
	else
		munmap(at, length);
	return 0;
}
