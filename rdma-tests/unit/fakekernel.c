// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The system calls of the made-up machine. Descriptors are real: a vfio node is
 * an empty file, a dma-buf a memfd. Which is which is kept here; what an ioctl
 * does is decided in fakevfio.c, fakefeature.c and fakeiommu.c.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fakekernel.h"
#include "tap.h"

#define CONFIG_OFFSET ((uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40)

struct fake_kernel fake;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __real_close(int fd);
int __real_fstat(int fd, struct stat *st);
int __real_fstatat(int dir, const char *path, struct stat *st, int flags);
int __real_openat(int dir, const char *path, int flags, ...);
int __real_faccessat(int dir, const char *path, int mode, int flags);
int __real_fstatfs(int fd, struct statfs *fs);
void *__real_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
ssize_t __real_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __real_pwrite(int fd, const void *buf, size_t n, off_t offset);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_close(int fd);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_faccessat(int dir, const char *path, int mode, int flags);
int __wrap_fstatfs(int fd, struct statfs *fs);
void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

/* True for the one call that was chosen to fail. */
static bool unlucky(void)
{
	if (!fake.fail_nth || --fake.fail_nth)
		return false;
	fake.failed = true;
	return true;
}

static bool is_dmabuf(int fd)
{
	char path[PATH_MAX];

	return fake_path_of(fd, path) && !strncmp(path, "/memfd:dmabuf", 13);
}

/* Descriptors ----------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_file files[1024];

struct fake_file *fake_file(int fd)
{
	static struct fake_file none;

	return fd >= 0 && fd < 1024 ? &files[fd] : &none;
}

int fake_misuse(int err, const char *what)
{
	note("misuse: %s", what);
	fake.misuses++;
	return fake_fail(err);
}

bool fake_sized(uint32_t size, size_t want, const char *what)
{
	if (size == want)
		return true;
	fake_misuse(EINVAL, what);
	return false;
}

static enum fake_kind kind_of(const char *path, const char *name)
{
	if (!strcmp(name, "iommu"))
		return FAKE_IOMMUFD;
	if (strstr(path, "/vfio/devices/"))
		return FAKE_CDEV;
	return fake_ends_with(path, "/vfio/vfio") ? FAKE_CONTAINER : FAKE_GROUP;
}

static void opened(int fd)
{
	struct fake_file file = {.container = -1};
	char path[PATH_MAX];
	const char *name;

	if (!fake_path_of(fd, path) || !strstr(path, "/peerbar-unit-") || !strstr(path, "/dev/"))
		return;
	name = strrchr(path, '/') + 1;
	file.kind = kind_of(path, name);
	if (file.kind == FAKE_CDEV && fake.minor_offset)
		fake_misuse(0, "another device's node opened");
	snprintf(file.device, sizeof(file.device), "%.31s", name);
	*fake_file(fd) = file;
}

static void closing(int fd)
{
	struct fake_file *file = fake_file(fd);

	if (file->kind == FAKE_GROUP_DEVICE || (file->kind == FAKE_CDEV && file->bound))
		fake_dmabufs_orphaned(file->device);
	memset(file, 0, sizeof(*file));
}

static int locked_ioctl(int fd, unsigned long request, void *arg)
{
	const enum fake_kind kind = fake_file(fd)->kind;

	/* Undoing never fails by chance, or the test would leak by itself. */
	if (request != PB_IOMMU_DESTROY && request != PB_IOMMU_IOAS_UNMAP && unlucky())
		return fake_fail(EIO);
	return kind == FAKE_IOMMUFD ? fake_iommu_ioctl(request, arg)
				    : fake_vfio_ioctl(fd, request, arg);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	pthread_mutex_lock(&lock);
	ret = locked_ioctl(fd, request, arg);
	pthread_mutex_unlock(&lock);
	return ret;
}

/* Leaves something else in errno, as a close() may. */
int __wrap_close(int fd)
{
	int ret;

	pthread_mutex_lock(&lock);
	closing(fd);
	ret = __real_close(fd);
	pthread_mutex_unlock(&lock);
	errno = EXFULL;
	return ret;
}

/* The nodes of vfio are files here; in a kernel they are character devices. */
static void make_node(const char *path, struct stat *st)
{
	unsigned int number;

	if (strstr(path, "/peerbar-unit-") && strstr(path, "/vfio/devices/") &&
	    sscanf(strrchr(path, '/'), "/vfio%u", &number) == 1) {
		st->st_mode = S_IFCHR | 0600;
		st->st_rdev = makedev(511, number + fake.minor_offset);
	}
}

int __wrap_fstat(int fd, struct stat *st)
{
	int ret = __real_fstat(fd, st);
	char path[PATH_MAX];

	if (!ret && fake_path_of(fd, path))
		make_node(path, st);
	/* Somebody puts another node there between looking and opening. */
	if (!ret && fake.swapped && S_ISCHR(st->st_mode))
		st->st_rdev++;
	return ret;
}

int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	int ret = __real_fstatat(dir, path, st, flags);
	char full[2 * PATH_MAX], folder[PATH_MAX];

	if (!ret && fake_path_of(dir, folder)) {
		snprintf(full, sizeof(full), "%s/%s", folder, path);
		make_node(full, st);
	}
	return ret;
}

/* PCI ------------------------------------------------------------------------ */

static ssize_t config_access(void *buf, size_t n, off_t offset, bool write)
{
	uint16_t le;

	if (offset != (off_t)(CONFIG_OFFSET + PCI_COMMAND) || n != 2)
		return fake_fail(EINVAL);
	if (fake.bus_master)
		return fake_fail(fake.bus_master);
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

/* The rest ------------------------------------------------------------------- */

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	int fd;

	if (fake.locked_down && fake_ends_with(path, fake.locked_down))
		return fake_fail(EPERM);
	if (unlucky())
		return fake_fail(EMFILE);
	pthread_mutex_lock(&lock);
	fd = __real_openat(dir, path, flags);
	if (fd >= 0)
		opened(fd);
	pthread_mutex_unlock(&lock);
	return fd;
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	if (fake.deny && mode != F_OK && fake_ends_with(path, fake.deny))
		return fake_fail(EACCES);
	return __real_faccessat(dir, path, mode, flags);
}

int __wrap_fstatfs(int fd, struct statfs *fs)
{
	int ret = __real_fstatfs(fd, fs);

	if (!ret && is_dmabuf(fd))
		fs->f_type = DMA_BUF_MAGIC;
	return ret;
}

static void *refuse_mmap(int err)
{
	errno = err;
	return MAP_FAILED;
}

void *__wrap_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	bool revoked = false;
	uint64_t size;

	if (fd >= 0 && fake.mmap)
		return refuse_mmap(fake.mmap);
	if (unlucky())
		return refuse_mmap(ENOMEM);
	pthread_mutex_lock(&lock);
	if (fd >= 0)
		fake_dmabuf(fd, &revoked, &size);
	pthread_mutex_unlock(&lock);
	if (revoked)
		return refuse_mmap(ENODEV);
	if (fd >= 0 && addr && fake.ignored_hints) {
		fake.ignored_hints--;
		addr = (char *)addr + 4096;
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
int __wrap_fstat64(int fd, struct stat *st) __attribute__((alias("__wrap_fstat")));
int __wrap_fstatat64(int dir, const char *path, struct stat *st, int flags)
	__attribute__((alias("__wrap_fstatat")));
int __wrap_fstatfs64(int fd, struct statfs *fs) __attribute__((alias("__wrap_fstatfs")));
void *__wrap_mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("__wrap_mmap")));
ssize_t __wrap_pread64(int fd, void *buf, size_t n, off_t offset)
	__attribute__((alias("__wrap_pread")));
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t n, off_t offset)
	__attribute__((alias("__wrap_pwrite")));
