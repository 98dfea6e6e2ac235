// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The system calls of the made-up machine. Descriptors are real: a vfio node is
 * an empty file, a dma-buf a memfd. What an ioctl does is decided here.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fake.h"
#include "uapi.h"

#define CONFIG_OFFSET 0x70000000000ull

struct fake_kernel fake;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __real_openat(int dir, const char *path, int flags, ...);
int __real_faccessat(int dir, const char *path, int mode, int flags);
int __real_fstatfs(int fd, struct statfs *fs);
void *__real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
ssize_t __real_write(int fd, const void *buf, size_t n);
ssize_t __real_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __real_pwrite(int fd, const void *buf, size_t n, off_t offset);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_faccessat(int dir, const char *path, int mode, int flags);
int __wrap_fstatfs(int fd, struct statfs *fs);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
ssize_t __wrap_write(int fd, const void *buf, size_t n);
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int fail(int err)
{
	errno = err;
	return -1;
}

/* True for the one call that was chosen to fail. */
static bool unlucky(void)
{
	if (!fake.fail_nth || --fake.fail_nth)
		return false;
	fake.failed = true;
	return true;
}

static bool path_of(int fd, char path[PATH_MAX])
{
	char proc[32];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = readlink(proc, path, PATH_MAX - 1);
	path[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t lt = strlen(text), le = strlen(end);

	return lt >= le && !strcmp(text + lt - le, end);
}

static bool is_fake_dmabuf(int fd)
{
	char path[PATH_MAX];

	return path_of(fd, path) && !strncmp(path, "/memfd:dmabuf", 13);
}

/* Features ------------------------------------------------------------------ */

static int export_dmabuf(const struct pb_vfio_dma_buf *request)
{
	uint64_t length = 0;
	int fd;

	if (fake.export_dmabuf)
		return fail(fake.export_dmabuf);
	for (uint32_t i = 0; i < request->nr_ranges; i++)
		length += request->ranges[i].length;
	fd = memfd_create("dmabuf", request->open_flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd >= 0 && ftruncate(fd, (off_t)length))
		abort();
	fake.exports++;
	fake.last_open_flags = request->open_flags;
	return fd;
}

static int check_dmabuf_fd(int fd)
{
	if (fcntl(fd, F_GETFD) < 0)
		return fail(EBADF);
	return is_fake_dmabuf(fd) ? 0 : fail(EINVAL);
}

static int revoke_dmabuf(const struct pb_vfio_dma_buf_revoke *request)
{
	if (check_dmabuf_fd(request->dmabuf_fd))
		return -1;
	return fake.revoke ? fail(fake.revoke) : 0;
}

static int memattr(const struct pb_vfio_dma_buf_memattr *request)
{
	if (check_dmabuf_fd(request->dmabuf_fd))
		return -1;
	if (fake.memattr)
		return fail(fake.memattr);
	return request->memattr > PEERBAR_MEMATTR_WC ? fail(ENOENT) : 0;
}

static int feature(struct vfio_device_feature *header)
{
	uint32_t number = header->flags & 0xffff;
	bool probe = header->flags & VFIO_DEVICE_FEATURE_PROBE;

	switch (number) {
	case VFIO_DEVICE_FEATURE_DMA_BUF:
		if (fake.no_export)
			return fail(ENOTTY);
		return probe ? 0 : export_dmabuf((void *)header->data);
	case PB_FEATURE_DMA_BUF_REVOKE:
		if (fake.plain)
			return fail(ENOTTY);
		return probe ? 0 : revoke_dmabuf((void *)header->data);
	case PB_FEATURE_DMA_BUF_MEMATTR:
		if (fake.plain)
			return fail(ENOTTY);
		return probe ? 0 : memattr((void *)header->data);
	default:
		return fail(ENOTTY);
	}
}

/* vfio and iommufd ----------------------------------------------------------- */

static int region(int fd, struct vfio_region_info *info)
{
	static const uint64_t mem[] = {0x4000, 0, 0x4000000, 0, 0, 0};
	static const uint64_t reg[] = {0x100000, 0, 0, 0, 0, 0};
	char path[PATH_MAX];
	const uint64_t *bars;

	if (info->index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info->size = 256;
		info->offset = CONFIG_OFFSET;
		return 0;
	}
	bars = path_of(fd, path) && ends_with(path, "/vfio1") ? reg : mem;
	info->size = bars[info->index];
	if (info->size)
		info->flags = VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}

static int iova_ranges(struct pb_iommu_ioas_iova_ranges *cmd)
{
	static const struct pb_iommu_iova_range ranges[] = {
		{0, 0xfedfffff},
		{0xfef00000, 0x7fffffffffull},
	};
	uint32_t room = cmd->num_iovas;

	cmd->num_iovas = 2;
	if (room < 2)
		return fail(EMSGSIZE);
	memcpy((void *)(uintptr_t)cmd->allowed_iovas, ranges, sizeof(ranges));
	cmd->out_iova_alignment = 4096;
	return 0;
}

static int map_file(struct pb_iommu_ioas_map_file *cmd)
{
	if (fake.no_dmabuf_map)
		return fail(EINVAL);
	if (fake.map_file)
		return fail(fake.map_file);
	fake.maps++;
	fake.last_map_iova = cmd->iova;
	fake.last_map_flags = cmd->flags;
	return 0;
}

static int group_get_device(void)
{
	return memfd_create("vfio", MFD_CLOEXEC);
}

static int vfio_ioctl(int fd, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;
	struct vfio_group_status *status = arg;

	switch (request) {
	case VFIO_DEVICE_BIND_IOMMUFD:
		return fake.bind_iommufd ? fail(fake.bind_iommufd) : 0;
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return fake.attach ? fail(fake.attach) : 0;
	case VFIO_DEVICE_GET_INFO:
		info->flags = fake.no_reset ? 0 : VFIO_DEVICE_FLAGS_RESET;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region(fd, arg);
	case VFIO_DEVICE_RESET:
		return fake.reset ? fail(fake.reset) : 0;
	case VFIO_DEVICE_FEATURE:
		return feature(arg);
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return 1;
	case VFIO_GROUP_GET_STATUS:
		status->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
	case VFIO_SET_IOMMU:
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return group_get_device();
	default:
		return fail(ENOTTY);
	}
}

static int iommu_ioctl(unsigned long request, void *arg)
{
	struct pb_iommu_ioas_alloc *alloc = arg;

	switch (request) {
	case PB_IOMMU_IOAS_ALLOC:
		alloc->out_ioas_id = ++fake.live_ioas;
		return 0;
	case PB_IOMMU_DESTROY:
		fake.live_ioas--;
		return 0;
	case PB_IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(arg);
	case PB_IOMMU_IOAS_MAP_FILE:
		return map_file(arg);
	case PB_IOMMU_IOAS_UNMAP:
		fake.maps--;
		return 0;
	default:
		return fail(ENOTTY);
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	/* Undoing never fails, or the test would leak by itself. */
	if (request != PB_IOMMU_DESTROY && request != PB_IOMMU_IOAS_UNMAP && unlucky())
		return fail(EIO);
	if (_IOC_TYPE(request) == PB_IOMMUFD_TYPE && _IOC_NR(request) >= 0x80 &&
	    _IOC_NR(request) < 0xa0) {
		char path[PATH_MAX];

		/* A test may have removed the node meanwhile. */
		if (path_of(fd, path) && strstr(path, "/dev/iommu"))
			return iommu_ioctl(request, arg);
	}
	return vfio_ioctl(fd, request, arg);
}

/* PCI ------------------------------------------------------------------------ */

static ssize_t config_access(void *buf, size_t n, off_t offset, bool write)
{
	uint16_t le;

	if (offset != (off_t)(CONFIG_OFFSET + PCI_COMMAND) || n != 2)
		return fail(EINVAL);
	if (fake.bus_master)
		return fail(fake.bus_master);
	if (write) {
		memcpy(&le, buf, 2);
		fake.pci_command = le16toh(le);
	} else {
		le = htole16(fake.pci_command);
		memcpy(buf, &le, 2);
	}
	return 2;
}

ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t offset)
{
	return config_access(buf, n, offset, false);
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	return config_access((void *)(uintptr_t)buf, n, offset, true);
}

/* The first word of the device's driver_override; "" for none. */
static void read_override(const char *address, char word[64])
{
	char path[128];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/driver_override", address);
	if (sscanf(fake_read(path), "%63s", word) != 1 || !strcmp(word, "(null)"))
		*word = '\0';
}

static void driver_link(const char *address, char path[128])
{
	snprintf(path, 128, "sys/bus/pci/devices/%s/driver", address);
}

static int probe_pci(const char *address)
{
	char path[128], driver[64], target[128];

	if (fake.probe_pci)
		return fail(fake.probe_pci);
	read_override(address, driver);
	if (!*driver && !strcmp(address, FAKE_NIC))
		strcpy(driver, "e1000e");
	if (!*driver || (!strcmp(driver, "vfio-pci") && fake.vfio_refuses))
		return 0;
	driver_link(address, path);
	if (*fake_readlink(path))
		return 0; /* it has one, and keeps it */
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	fake_link(target, path);
	return 0;
}

static int unbind_pci(const char *address)
{
	char path[128];

	driver_link(address, path);
	fake_remove(path);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev", address);
	fake_remove(path);
	return 0;
}

static int clear_file(int fd)
{
	return ftruncate(fd, 0);
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	char path[PATH_MAX], address[32] = "";
	int ret = 0;

	if (!path_of(fd, path) || !strstr(path, "/peerbar-unit-"))
		return __real_write(fd, buf, n);
	if (unlucky())
		return fail(EIO);
	memcpy(address, buf, n < sizeof(address) - 1 ? n : sizeof(address) - 1);
	if (ends_with(path, "/drivers_probe"))
		ret = probe_pci(address);
	else if (ends_with(path, "/unbind"))
		ret = unbind_pci(address);
	else if (!clear_file(fd))
		return __real_write(fd, buf, n);
	return ret ? -1 : (ssize_t)n;
}

/* The rest ------------------------------------------------------------------- */

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	if (fake.locked_down && ends_with(path, fake.locked_down))
		return fail(EPERM);
	if (unlucky())
		return fail(EMFILE);
	return __real_openat(dir, path, flags);
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	if (fake.deny && mode != F_OK && ends_with(path, fake.deny))
		return fail(EACCES);
	return __real_faccessat(dir, path, mode, flags);
}

int __wrap_fstatfs(int fd, struct statfs *fs)
{
	int ret = __real_fstatfs(fd, fs);

	if (!ret && is_fake_dmabuf(fd))
		fs->f_type = DMA_BUF_MAGIC;
	return ret;
}

void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (fd >= 0 && fake.mmap) {
		errno = fake.mmap;
		return MAP_FAILED;
	}
	if (unlucky()) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return __real_mmap(addr, length, prot, flags, fd, offset);
}

void *__wrap_calloc(size_t n, size_t size)
{
	if (unlucky()) {
		errno = ENOMEM;
		return NULL;
	}
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	if (unlucky()) {
		errno = ENOMEM;
		return NULL;
	}
	return __real_realloc(p, size);
}

/* What large file support makes of the names. */
int __wrap_openat64(int dir, const char *path, int flags, ...)
	__attribute__((alias("__wrap_openat")));
int __wrap_fstatfs64(int fd, struct statfs *fs) __attribute__((alias("__wrap_fstatfs")));
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("__wrap_mmap")));
ssize_t __wrap_pread64(int fd, void *buf, size_t n, off_t offset)
	__attribute__((alias("__wrap_pread")));
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t n, off_t offset)
	__attribute__((alias("__wrap_pwrite")));
