// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fake.h"
#include "fakepci.h"

#define DEVICES "sys/bus/pci/devices/"

struct fake_pci fake_pci;

int __real_openat(int dir, const char *path, int flags, ...);
int __real_faccessat(int dir, const char *path, int mode, int flags);
int __real_mkdir(const char *path, mode_t mode);
ssize_t __real_readlinkat(int dir, const char *path, char *buf, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_rename(const char *from, const char *to);
int __real_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *stat);
int __real_unlink(const char *path);
ssize_t __real_write(int fd, const void *buf, size_t n);

int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_faccessat(int dir, const char *path, int mode, int flags);
int __wrap_mkdir(const char *path, mode_t mode);
ssize_t __wrap_readlinkat(int dir, const char *path, char *buf, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __wrap_rename(const char *from, const char *to);
int __wrap_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *stat);
int __wrap_unlink(const char *path);
ssize_t __wrap_write(int fd, const void *buf, size_t n);

static bool unlucky(void)
{
	if (!fake_pci.fail_nth || --fake_pci.fail_nth)
		return false;
	fake_pci.failed = true;
	return true;
}

/* True, with errno set, where the call is to fail. */
static bool refused(const char *path)
{
	if (fake_pci.fail_path && fake_ends_with(path, fake_pci.fail_path))
		return fake_fail(fake_pci.fail_errno);
	return unlucky() && fake_fail(EIO);
}

/* Nothing runs behind this: no handler, no cleanup. */
static void may_die(void)
{
	if (fake_pci.die_at && !--fake_pci.die_at)
		raise(SIGKILL);
}

/* Drivers -------------------------------------------------------------------- */

static void override_of(const char *address, char driver[64])
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", address);
	if (sscanf(fake_read(path), "%63s", driver) != 1 || !strcmp(driver, "(null)"))
		*driver = '\0';
}

static bool matches(const char *driver, const char *address)
{
	char override[64];

	override_of(address, override);
	if (*override)
		return !strcmp(override, driver);
	return !strcmp(address, FAKE_NIC) &&
	       (!strcmp(driver, "e1000e") || (fake_pci.added && !strcmp(driver, fake_pci.added)));
}

/* A driver of vfio makes a vfio device of it. */
static void attach(const char *driver, const char *address)
{
	char path[128], target[128];
	bool vfio = strstr(driver, "vfio");

	if (vfio ? fake_pci.vfio_refuses : fake_pci.stuck)
		return;
	snprintf(path, sizeof(path), DEVICES "%s/driver", address);
	if (*fake_readlink(path))
		return; /* it has one, and keeps it */
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	fake_link(target, path);
	snprintf(path, sizeof(path), DEVICES "%s/vfio-dev/vfio7", address);
	if (vfio)
		fake_mkdir(path);
}

static int probe(const char *address)
{
	static const char *const drivers[] = {"vfio-pci", "mlx5-vfio-pci", "e1000e", "other"};

	if (fake_pci.probe)
		return fake_fail(fake_pci.probe);
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (matches(drivers[i], address))
			attach(drivers[i], address);
	return 0;
}

/* .../drivers/NAME/bind */
static int bind(const char *path, const char *address)
{
	char driver[64] = "";
	const char *name = strstr(path, "/drivers/");

	if (!name || sscanf(name, "/drivers/%63[^/]", driver) != 1 || !matches(driver, address))
		return fake_fail(ENODEV);
	attach(driver, address);
	return 0;
}

static int unbind(const char *address)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/driver", address);
	fake_remove(path);
	snprintf(path, sizeof(path), DEVICES "%s/vfio-dev", address);
	fake_remove(path);
	return 0;
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	char path[PATH_MAX], address[32] = "";
	int ret;

	if (!fake_path_of(fd, path) || !strstr(path, "/peerbar-unit-"))
		return __real_write(fd, buf, n);
	may_die();
	if (refused(path))
		return -1;
	memcpy(address, buf, n < sizeof(address) - 1 ? n : sizeof(address) - 1);
	if (fake_ends_with(path, "/drivers_probe"))
		ret = probe(address);
	else if (fake_ends_with(path, "/unbind"))
		ret = unbind(address);
	else if (fake_ends_with(path, "/bind"))
		ret = bind(path, address);
	else
		return ftruncate(fd, 0) ? -1 : __real_write(fd, buf, n);
	return ret ? -1 : (ssize_t)n;
}

/* Files ---------------------------------------------------------------------- */

static void read_node(int dir, const char *path, char text[64])
{
	int fd = __real_openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 63);

	text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	char node[64];
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (flags & O_CREAT)
		may_die();
	if (refused(path))
		return -1;
	if (flags & O_EXCL || flags & O_RDWR) {
		read_node(dir, path, node);
		if (strstr(node, "busy"))
			return fake_fail(EBUSY);
		if (strstr(node, "denied"))
			return fake_fail(EACCES);
		if (strstr(node, "empty"))
			return fake_fail(ENOMEDIUM);
	}
	return __real_openat(dir, path, flags, mode);
}

int __wrap_statx(int dir, const char *path, int flags, unsigned int mask, struct statx *stat)
{
	unsigned int major, minor;
	char node[64], kind;

	if (refused(path) || __real_statx(dir, path, flags, mask, stat))
		return -1;
	if (!S_ISREG(stat->stx_mode))
		return 0;
	read_node(dir, path, node);
	if (sscanf(node, "%c %u:%u", &kind, &major, &minor) != 3)
		return 0;
	stat->stx_mode = kind == 'b' ? S_IFBLK : S_IFCHR;
	stat->stx_rdev_major = major;
	stat->stx_rdev_minor = minor;
	return 0;
}

int __wrap_faccessat(int dir, const char *path, int mode, int flags)
{
	return refused(path) ? -1 : __real_faccessat(dir, path, mode, flags);
}

ssize_t __wrap_readlinkat(int dir, const char *path, char *buf, size_t size)
{
	return refused(path) ? -1 : __real_readlinkat(dir, path, buf, size);
}

/* The made-up machine makes folders as well. */
int __wrap_mkdir(const char *path, mode_t mode)
{
	if (!fake_ends_with(path, "/run/peerbar"))
		return __real_mkdir(path, mode);
	may_die();
	return refused(path) ? -1 : __real_mkdir(path, mode);
}

int __wrap_rename(const char *from, const char *to)
{
	may_die();
	return refused(from) ? -1 : __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
	may_die();
	return refused(path) ? -1 : __real_unlink(path);
}

void *__wrap_realloc(void *p, size_t size)
{
	if (unlucky()) {
		errno = ENOMEM;
		return NULL;
	}
	return __real_realloc(p, size);
}

/* What large file support makes of the name. */
int __wrap_openat64(int dir, const char *path, int flags, ...)
	__attribute__((alias("__wrap_openat")));
