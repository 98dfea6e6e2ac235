// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Contexts: sizes of option structs, NULLs, the log, and what the machine has.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "context.h"
#include "fake.h"
#include "tap.h"
#include "util.h"

static char logged[1024];
static unsigned int messages;

static void take(void *arg, enum peerbar_log_level level, const char *message)
{
	messages++;
	strncpy(logged, message, sizeof(logged) - 1);
	if (arg)
		*(int *)arg = level;
	errno = ENOSYS;
}

static void test_option_sizes(void)
{
	struct {
		struct peerbar_options known;
		char future[64];
	} large = {.known.size = sizeof(large)};
	struct peerbar *untouched = (void *)&large, *pb = untouched;

	is_int(peerbar_open(NULL, NULL), -EINVAL, "no output");
	large.known.size = 0;
	is_int(peerbar_open(&large.known, &pb), -EINVAL, "size 0");
	large.known.size = (size_t)0x7ffdeadbeef8;
	is_int(peerbar_open(&large.known, &pb), -EINVAL, "a size that was never set");
	large.known.size = sizeof(large.known) - 1;
	is_int(peerbar_open(&large.known, &pb), -EINVAL, "a size too small");
	large.known.size = sizeof(large);
	large.future[63] = 1;
	is_int(peerbar_open(&large.known, &pb), -E2BIG, "an unknown option");
	ok(pb == untouched, "failures leave the output alone");
	large.future[63] = 0;
	is_int(peerbar_open(&large.known, &pb), 0, "a larger struct of zeros");
	peerbar_close(pb);
	is_int(peerbar_open(NULL, &pb), 0, "no options");
	peerbar_close(pb);
}

static void test_closes(void)
{
	errno = EXDEV;
	peerbar_close(NULL);
	peerbar_device_close(NULL);
	peerbar_buffer_close(NULL);
	peerbar_unmap(NULL);
	peerbar_iova_unmap(NULL);
	peerbar_free_devices(NULL);
	is_int(errno, EXDEV, "closing NULL does nothing, errno included");
}

/* The played close() leaves something else in errno. */
static void test_cleanup(void)
{
	int fd = open("/", O_RDONLY | O_CLOEXEC);
	struct peerbar *pb = fake_open();

	errno = EXDEV;
	pb_close_fd(fd);
	is_int(errno, EXDEV, "closing on the way out leaves errno alone");
	peerbar_close(pb);
	is_int(errno, EXDEV, "closing a context, too");
}

static void test_nulls(void)
{
	struct peerbar_system_caps caps = {.size = sizeof(caps)};
	struct peerbar_device_info info;
	struct peerbar_mapping *map;
	struct peerbar_buffer *buf;
	struct peerbar_device *dev;
	size_t count;

	is_int(peerbar_list_devices(NULL, NULL, &count), -EINVAL, "list");
	is_int(peerbar_device_lookup(NULL, "", &info), -EINVAL, "lookup");
	is_int(peerbar_system_caps(NULL, &caps), -EINVAL, "system caps");
	is_int(peerbar_device_open(NULL, "", NULL, &dev), -EINVAL, "open");
	is_int(peerbar_device_caps(NULL, NULL), -EINVAL, "device caps");
	is_int(peerbar_device_bar(NULL, 0, NULL), -EINVAL, "bar");
	is_int(peerbar_device_reset(NULL), -EINVAL, "reset");
	is_int(peerbar_device_set_bus_master(NULL, true), -EINVAL, "master");
	is_int(peerbar_buffer_export(NULL, 0, NULL, 0, NULL, &buf), -EINVAL, "export");
	is_int(peerbar_buffer_import(NULL, 0, &buf), -EINVAL, "import");
	is_int(peerbar_buffer_set_memattr(NULL, PEERBAR_MEMATTR_NC), -EINVAL, "memattr");
	is_int(peerbar_buffer_revoke(NULL), -EINVAL, "revoke");
	is_int(peerbar_device_set_memattr_fd(NULL, 0, 0), -EINVAL, "memattr of a descriptor");
	is_int(peerbar_device_revoke_fd(NULL, 0), -EINVAL, "revoke of a descriptor");
	is_int(peerbar_map(NULL, 0, 4096, NULL, &map), -EINVAL, "map");
	is_int(peerbar_iova_map(NULL, NULL, 0, 4096, NULL, NULL), -EINVAL, "DMA map");
	is_int(peerbar_memtype_of(&map, NULL), -EINVAL, "memtype");
	is_int(peerbar_device_bind(NULL, "", NULL), -EINVAL, "bind");
	is_int(peerbar_device_unbind(NULL, "", NULL), -EINVAL, "unbind");
	is_int(peerbar_device_in_use(NULL, "", NULL, NULL), -EINVAL, "use");
	is_int(peerbar_device_binding(NULL, "", NULL), -EINVAL, "binding");
	is_int(peerbar_device_find_driver(NULL, "", NULL, 0), -EINVAL, "driver");
}

static void test_log(void)
{
	int level = -1;
	struct peerbar_options options = {.size = sizeof(options), .log = take, .log_arg = &level};
	char longer[2048];
	struct peerbar *pb;

	if (peerbar_open(&options, &pb))
		bail_out("cannot open a context");
	errno = EXDEV;
	pb_log(pb, PEERBAR_LOG_INFO, "%s %d", "hello", 7);
	is_str(logged, "hello 7", "a message arrives");
	is_int(level, PEERBAR_LOG_INFO, "with its level and argument");
	is_int(errno, EXDEV, "and errno survives the callback");
	is_int(pb_fail(pb, -ENODEV, "cannot open %s", "it"), -ENODEV, "an error is passed through");
	is_str(logged, "cannot open it: No such device", "and explained");
	is_int(level, PEERBAR_LOG_ERROR, "as an error");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	messages = 0;
	pb_log(pb, PEERBAR_LOG_DEBUG, "%s", longer);
	ok(messages == 1 && strlen(logged) < 1024, "a long message is cut");
	peerbar_close(pb);
}

static void test_system_caps(void)
{
	struct {
		struct peerbar_system_caps known;
		char future[16];
	} caps = {.known.size = sizeof(caps.known)};
	struct peerbar *pb = fake_open();

	is_int(peerbar_system_caps(pb, &caps.known), 0, "what the machine has");
	ok(caps.known.iommu && caps.known.vfio_pci && caps.known.vfio_group &&
		   caps.known.vfio_cdev && caps.known.iommufd && caps.known.pat_wc,
	   "everything");
	ok(!caps.known.ptdump, "but page table dumps");
	ok(*caps.known.kernel_release, "runs %s", caps.known.kernel_release);
	memset(caps.future, 0xff, sizeof(caps.future));
	caps.known.size = sizeof(caps);
	is_int(peerbar_system_caps(pb, &caps.known), 0, "a larger struct");
	is_int(caps.future[0], 0, "what is not known is 0");
	is_int((long long)caps.known.size, sizeof(caps), "the size stays");
	caps.known.size = 8;
	is_int(peerbar_system_caps(pb, &caps.known), -EINVAL, "a size too small");
	caps.known.size = 0;
	is_int(peerbar_system_caps(pb, &caps.known), -EINVAL, "no size");
	caps.known.size = (size_t)0x7ffdeadbeef8;
	is_int(peerbar_system_caps(pb, &caps.known), -EINVAL, "a size that was never set");

	fake_remove("dev/iommu");
	fake_remove("sys/class/iommu");
	fake_remove("sys/kernel/iommu_groups/6");
	fake_remove("sys/bus/pci/drivers/vfio-pci");
	fake_remove("dev/vfio/vfio");
	fake_write("proc/devices", "Character devices:\n 1 vfio-device\n");
	fake_write("sys/kernel/debug/page_tables/current_kernel", "");
	fake_mkdir("sys/kernel/debug/x86");
	caps.known.size = sizeof(caps.known);
	is_int(peerbar_system_caps(pb, &caps.known), 0, "a poorer machine");
	ok(!caps.known.iommu && !caps.known.vfio_pci && !caps.known.vfio_group &&
		   !caps.known.vfio_cdev && !caps.known.iommufd,
	   "has nothing");
	ok(caps.known.ptdump, "but page table dumps");
#ifdef __x86_64__
	ok(!caps.known.pat_wc, "and no PAT in use");
	fake_write("sys/kernel/debug/x86/pat_memtype_list", "");
	peerbar_system_caps(pb, &caps.known);
	ok(caps.known.pat_wc, "until the kernel uses it");
#endif
	peerbar_close(pb);
}

/* What could not be looked at is not missing. */
static void test_system_caps_failures(void)
{
	struct peerbar_system_caps truth = {.size = sizeof(truth)}, caps = {.size = sizeof(caps)};
	unsigned int fds, n = 0, lies = 0, left = 0;
	struct peerbar *pb = fake_open();

	peerbar_system_caps(pb, &truth);
	fds = count_fds();
	do {
		int ret;

		fake.failed = false;
		fake.fail_nth = ++n;
		ret = peerbar_system_caps(pb, &caps);
		fake.fail_nth = 0;
		lies += !ret && (fake.failed || memcmp(&truth, &caps, sizeof(caps)));
		left += count_fds() != fds;
	} while (fake.failed);
	ok(n > 3, "%u calls were made to fail", n - 1);
	is_int(lies, 0, "no failure is taken for a no");
	is_int(left, 0, "no descriptor is left");
	peerbar_close(pb);
}

static void test_ptdump_locked(void)
{
	struct peerbar_system_caps caps = {.size = sizeof(caps)};
	struct peerbar *pb = fake_open();

	fake.locked_down = "current_kernel";
	is_int(peerbar_system_caps(pb, &caps), 0, "a kernel that is locked down");
	ok(!caps.ptdump, "has the file, but not for us");
	fake.locked_down = NULL;
	peerbar_close(pb);
}

static void test_missing_roots(void)
{
	struct pb_roots roots = {"/nowhere", "/dev", "/proc"};
	struct peerbar_options options = {.size = sizeof(options), .log = take};
	unsigned int fds = count_fds();
	struct peerbar *pb;

	is_int(pb_open_roots(&options, &roots, &pb), -ENOENT, "no /sys");
	has_str(logged, "/nowhere", "the message names it");
	roots = (struct pb_roots){"/sys", "/dev", "/nowhere"};
	is_int(pb_open_roots(&options, &roots, &pb), -ENOENT, "no /proc");
	is_int(count_fds(), fds, "no descriptor is left");
}

int main(void)
{
	fake_machine();
	test_option_sizes();
	test_closes();
	test_cleanup();
	test_nulls();
	test_log();
	test_system_caps();
	test_system_caps_failures();
	test_ptdump_locked();
	test_missing_roots();
	return done_testing();
}
