// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"
#include "fake.h"
#include "sysfs.h"
#include "tap.h"

static char root[PATH_MAX];
static char last_error[512];

/* Files --------------------------------------------------------------------- */

static const char *full(const char *path)
{
	static char buf[2 * PATH_MAX];

	snprintf(buf, sizeof(buf), "%s/%s", root, path);
	return buf;
}

void fake_mkdir(const char *path)
{
	char partial[PATH_MAX];

	snprintf(partial, sizeof(partial), "%s", path);
	for (char *p = partial; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(full(partial), 0755);
		*p = '/';
	}
	if (mkdir(full(partial), 0755) && errno != EEXIST)
		bail_out("cannot make %s: %s", full(partial), strerror(errno));
}

static void make_parent(const char *path)
{
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	fake_mkdir(parent);
}

void fake_write(const char *path, const char *text)
{
	FILE *file;

	make_parent(path);
	file = fopen(full(path), "we");
	if (!file || fputs(text, file) < 0 || fclose(file))
		bail_out("cannot write %s: %s", full(path), strerror(errno));
}

const char *fake_read(const char *path)
{
	static char text[4096];
	FILE *file = fopen(full(path), "re");
	size_t n;

	*text = '\0';
	if (!file)
		return text;
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

void fake_link(const char *target, const char *path)
{
	make_parent(path);
	if (symlink(target, full(path)))
		bail_out("cannot link %s: %s", full(path), strerror(errno));
}

const char *fake_readlink(const char *path)
{
	static char target[PATH_MAX];
	ssize_t n = readlink(full(path), target, sizeof(target) - 1);

	target[n < 0 ? 0 : n] = '\0';
	return target;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void fake_remove(const char *path)
{
	nftw(full(path), remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void remove_root(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The machine --------------------------------------------------------------- */

struct device {
	const char *address;
	const char *vendor;
	const char *device;
	const char *class_code;
	const char *driver;
	const char *group;
	const char *vfio;
	const char *resource;
};

#define NO_BAR "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"

/* clang-format off */
static const struct device devices[] = {
	{ FAKE_MEM, "0x1af4", "0x1110", "0x050000", "vfio-pci", "7", "vfio0",
	  "0x00000000fea00000 0x00000000fea03fff 0x0000000000040200\n" NO_BAR
	  "0x0000008000000000 0x0000008003ffffff 0x000000000014220c\n"
	  NO_BAR NO_BAR NO_BAR NO_BAR },
	{ FAKE_REG, "0x1234", "0x11e8", "0x00ff00", "vfio-pci", "8", "vfio1",
	  "0x00000000fe900000 0x00000000fe9fffff 0x0000000000040200\n"
	  NO_BAR NO_BAR NO_BAR NO_BAR NO_BAR NO_BAR },
	{ FAKE_NIC, "0x8086", "0x10d3", "0x020000", "e1000e", "6", NULL,
	  "0x00000000fe800000 0x00000000fe8007ff 0x0000000000040200\n"
	  NO_BAR NO_BAR NO_BAR NO_BAR NO_BAR NO_BAR },
	{ FAKE_IDLE, "0x10ec", "0x8139", "0x020000", NULL, NULL, NULL,
	  "0x000000000000c000 0x000000000000c0ff 0x0000000000040101\n"
	  NO_BAR NO_BAR NO_BAR NO_BAR NO_BAR NO_BAR },
};
/* clang-format on */

static void make_attribute(const char *address, const char *name, const char *value)
{
	char path[256], text[2048];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/%s", address, name);
	snprintf(text, sizeof(text), "%s\n", value);
	fake_write(path, text);
}

static void make_link(const char *address, const char *name, const char *prefix, const char *value)
{
	char path[256], target[256];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/%s", address, name);
	snprintf(target, sizeof(target), "%s/%s", prefix, value);
	fake_link(target, path);
}

void fake_vfio_number(const char *address, const char *name)
{
	char path[256], text[32];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev/%s/dev", address, name);
	snprintf(text, sizeof(text), "511:%s\n", name + strlen("vfio"));
	fake_write(path, text);
}

static void make_device(const struct device *device)
{
	char path[256];

	make_attribute(device->address, "vendor", device->vendor);
	make_attribute(device->address, "device", device->device);
	make_attribute(device->address, "class", device->class_code);
	make_attribute(device->address, "driver_override", "(null)");
	make_attribute(device->address, "resource", device->resource);
	if (device->driver)
		make_link(device->address, "driver", "../../drivers", device->driver);
	if (device->group)
		make_link(device->address, "iommu_group", "../../../../kernel/iommu_groups",
			  device->group);
	if (!device->vfio)
		return;
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev/%s", device->address,
		 device->vfio);
	fake_mkdir(path);
	fake_vfio_number(device->address, device->vfio);
	snprintf(path, sizeof(path), "dev/vfio/devices/%s", device->vfio);
	fake_write(path, "");
	snprintf(path, sizeof(path), "dev/vfio/%s", device->group);
	fake_write(path, "");
}

void fake_machine(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(root, sizeof(root), "%s/peerbar-unit-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(root))
		bail_out("cannot make %s: %s", root, strerror(errno));
	atexit(remove_root);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		make_device(&devices[i]);
	fake_write("sys/bus/pci/drivers_probe", "");
	fake_write("sys/bus/pci/drivers/vfio-pci/unbind", "");
	fake_write("sys/bus/pci/drivers/e1000e/unbind", "");
	fake_mkdir("sys/kernel/iommu_groups/6");
	fake_mkdir("run");
	fake_mkdir("sys/class/iommu/dmar0");
	fake_write("dev/vfio/vfio", "");
	fake_write("dev/iommu", "");
	fake_write("proc/devices", "Character devices:\n  1 mem\n511 vfio-dev\n");
	fake_write("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu pat sse\n");
}

/* Contexts ------------------------------------------------------------------ */

/* Comes from any thread. */
static void take_log(void *arg, enum peerbar_log_level level, const char *message)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	if (level != PEERBAR_LOG_ERROR)
		return;
	pthread_mutex_lock(&lock);
	snprintf(last_error, sizeof(last_error), "%s", message);
	pthread_mutex_unlock(&lock);
}

struct peerbar *fake_open(void)
{
	struct peerbar_options options = {.size = sizeof(options), .log = take_log};
	static char run[PATH_MAX + 8], modules[PATH_MAX + 8];
	char sys[PATH_MAX + 8], dev[PATH_MAX + 8], proc[PATH_MAX + 8];
	struct pb_roots roots = {sys, dev, proc, run, modules};
	struct peerbar *pb;

	snprintf(sys, sizeof(sys), "%s/sys", root);
	snprintf(dev, sizeof(dev), "%s/dev", root);
	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(run, sizeof(run), "%s/run", root);
	snprintf(modules, sizeof(modules), "%s/modules", root);
	if (pb_open_roots(&options, &roots, &pb))
		bail_out("cannot open the made-up machine: %s", last_error);
	return pb;
}

const char *fake_last_error(void)
{
	return last_error;
}

void fake_clear_log(void)
{
	*last_error = '\0';
}

int fake_fail(int err)
{
	errno = err;
	return -1;
}

bool fake_path_of(int fd, char path[PATH_MAX])
{
	char proc[32];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = readlink(proc, path, PATH_MAX - 1);
	path[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

bool fake_ends_with(const char *text, const char *end)
{
	size_t lt = strlen(text), le = strlen(end);

	return lt >= le && !strcmp(text + lt - le, end);
}

unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	if (!dir)
		bail_out("cannot list descriptors: %s", strerror(errno));
	while (pb_readdir(dir))
		count++;
	closedir(dir);
	return count;
}
