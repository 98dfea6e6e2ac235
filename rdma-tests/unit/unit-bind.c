// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Binding and unbinding, on a made-up machine whose PCI core is played by
 * fakepci.c: what happens to driver and driver_override, whatever goes wrong.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"
#include "fakepci.h"
#include "tap.h"

#define DEVICES "sys/bus/pci/devices/"
#define NIC	DEVICES FAKE_NIC "/"
#define RECORD	"run/peerbar/" FAKE_NIC

static const struct peerbar_bind_options defaults = {.size = sizeof(defaults)};

static bool is_driver(struct peerbar *pb, const char *address, const char *driver, const char *name)
{
	struct peerbar_device_info info;

	if (peerbar_device_lookup(pb, address, &info))
		bail_out("%s has gone", address);
	return is_str(info.driver, driver, "%s", name);
}

/* driver_override without its newline; nothing for "(null)". */
static const char *override_of(const char *address)
{
	static char word[64];
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/driver_override", address);
	if (sscanf(fake_read(path), "%63s", word) != 1 || !strcmp(word, "(null)"))
		*word = '\0';
	return word;
}

static struct peerbar_binding_info binding_of(struct peerbar *pb, const char *address)
{
	struct peerbar_binding_info info = {.size = sizeof(info)};

	if (peerbar_device_binding(pb, address, &info))
		bail_out("no binding of %s: %s", address, fake_last_error());
	return info;
}

/* The card as it was in the beginning. */
static void reset_nic(const char *driver, const char *override)
{
	char target[64];

	fake_remove(NIC "driver");
	fake_remove(NIC "vfio-dev");
	fake_remove("run/peerbar");
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	if (*driver)
		fake_link(target, NIC "driver");
	fake_write(NIC "driver_override", override);
	memset(&fake_pci, 0, sizeof(fake_pci));
}

static void test_bind(struct peerbar *pb)
{
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "bind a device that has a driver");
	is_driver(pb, FAKE_NIC, "vfio-pci", "vfio-pci has it");
	is_str(override_of(FAKE_NIC), "vfio-pci", "by override");
	is_int(binding_of(pb, FAKE_NIC).state, PEERBAR_BINDING_BOUND, "it is bound");
	is_str(binding_of(pb, FAKE_NIC).former_driver, "e1000e", "the former driver is known");
	is_int(peerbar_device_bind(pb, "00:03.0", &defaults), 0, "bind it again");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind");
	is_driver(pb, FAKE_NIC, "e1000e", "its own driver has it");
	is_str(override_of(FAKE_NIC), "", "the override is gone");
	is_str(fake_read(RECORD), "", "so is the record");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind it again");
	is_driver(pb, FAKE_NIC, "e1000e", "which changes nothing");
	is_int(peerbar_device_bind(pb, FAKE_IDLE, NULL), 0, "bind a device that is free");
	is_driver(pb, FAKE_IDLE, "vfio-pci", "vfio-pci has it");
	is_int(peerbar_device_unbind(pb, FAKE_IDLE, NULL), 0, "unbind it");
	is_driver(pb, FAKE_IDLE, "", "it is free again");
	is_int(binding_of(pb, FAKE_IDLE).state, PEERBAR_BINDING_NONE, "and vfio is out of it");
}

static void test_errors(struct peerbar *pb)
{
	is_int(peerbar_device_bind(pb, "00:04", NULL), -EINVAL, "bind: no address");
	is_int(peerbar_device_unbind(pb, "00:04", NULL), -EINVAL, "unbind: no address");
	is_int(peerbar_device_bind(pb, "00:1d.0", NULL), -ENODEV, "bind: no device");
	is_int(peerbar_device_unbind(pb, "00:1d.0", NULL), -ENODEV, "unbind: no device");
	fake_pci.fail_path = "driver_override";
	fake_pci.fail_errno = EROFS;
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EROFS, "an override that cannot be read");
	fake_pci.fail_path = ".new";
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EACCES, "a record that cannot be made");
	has_str(fake_last_error(), "it takes root", "the message says so");
	is_driver(pb, FAKE_NIC, "e1000e", "nothing has changed");
	fake_pci.fail_path = NULL;
	fake_pci.probe = EACCES;
	is_int(peerbar_device_bind(pb, FAKE_IDLE, NULL), -EACCES, "no permission");
	has_str(fake_last_error(), "it takes root", "the message says so");
	fake_pci.probe = 0;
	fake_remove("sys/bus/pci/drivers/vfio-pci");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -ENOENT, "no vfio-pci");
	has_str(fake_last_error(), "modprobe vfio-pci", "the message says how to get it");
	fake_write("sys/bus/pci/drivers/vfio-pci/unbind", "");
}

static void test_options(struct peerbar *pb)
{
	static const char *const bad[] = {
		"", "a/b", "..", "a\nb",
		"a-name-that-is-longer-than-any-driver-of-the-kernel-has-ever-had"};
	struct {
		struct peerbar_bind_options known;
		char future[16];
	} large = {.known.size = sizeof(large), .future[15] = 1};
	struct peerbar_bind_options options = {.size = 0};
	struct peerbar_unbind_options unbind = {.size = sizeof(unbind) - 1};

	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -EINVAL, "a size of 0");
	options = defaults;
	options.size--;
	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -EINVAL, "a size too small");
	is_int(peerbar_device_bind(pb, FAKE_NIC, &large.known), -E2BIG, "an unknown option");
	options = defaults;
	options.flags = 1ull << 63;
	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -EINVAL, "an unknown flag");
	options.flags = 0;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.driver = bad[i];
		is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -EINVAL, "bad driver %zu", i);
	}
	is_int(peerbar_device_unbind(pb, FAKE_NIC, &unbind), -EINVAL, "unbind: a size too small");
	unbind = (struct peerbar_unbind_options){.size = sizeof(unbind), .flags = 2};
	is_int(peerbar_device_unbind(pb, FAKE_NIC, &unbind), -EINVAL, "unbind: an unknown flag");
	is_driver(pb, FAKE_NIC, "e1000e", "nothing has changed");
}

/* Whatever the device was like, a bind that is refused leaves it so. */
static void test_refused(struct peerbar *pb, const char *driver, const char *override)
{
	reset_nic(driver, override);
	fake_pci.vfio_refuses = true;
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EIO, "vfio-pci refuses it");
	has_str(fake_last_error(), "kernel log", "the message says where to look");
	is_driver(pb, FAKE_NIC, driver, "the driver is as it was");
	is_str(override_of(FAKE_NIC), override, "and so is the override");
	is_str(fake_read(RECORD), "", "no record is left");
}

/* By new_id, or by hand: a probe would find another driver than it had. */
static void test_chosen_driver(struct peerbar *pb)
{
	reset_nic("other", "");
	fake_pci.added = "other";
	fake_pci.vfio_refuses = true;
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EIO, "vfio-pci refuses it");
	is_driver(pb, FAKE_NIC, "other", "the driver that was chosen has it back");
	fake_pci.vfio_refuses = false;
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "vfio-pci takes it");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "and gives it back");
	is_driver(pb, FAKE_NIC, "other", "to the driver that was chosen");
	fake_pci.added = "vfio-pci";
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "bind");
	fake_remove("sys/bus/pci/drivers/other/bind");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), -EIO, "vfio-pci takes it again");
	has_str(fake_last_error(), "new_id", "the message says why");
	fake_write("sys/bus/pci/drivers/other/bind", "");
}

static void test_kept(struct peerbar *pb)
{
	reset_nic("other", "");
	fake_remove("sys/bus/pci/drivers/other/unbind");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EOPNOTSUPP, "a driver that keeps it");
	has_str(fake_last_error(), "lets nobody take it away", "the message says so");
	is_driver(pb, FAKE_NIC, "other", "it has it still");
	is_str(override_of(FAKE_NIC), "", "without an override");
	fake_write("sys/bus/pci/drivers/other/unbind", "");
}

static void test_not_given_back(struct peerbar *pb)
{
	reset_nic("e1000e", "");
	fake_pci.vfio_refuses = fake_pci.stuck = true;
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EIO, "neither driver takes it");
	has_str(fake_last_error(), "could not be given back to e1000e", "the message says so");
	is_int(binding_of(pb, FAKE_NIC).state, PEERBAR_BINDING_INTERRUPTED, "it is half done");
	fake_pci.stuck = false;
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind tries again");
	is_driver(pb, FAKE_NIC, "e1000e", "its driver has it back");
	is_int(binding_of(pb, FAKE_NIC).state, PEERBAR_BINDING_NONE, "all is well");
}

static void test_former(struct peerbar *pb)
{
	reset_nic("e1000e", "e1000e");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "bind a device with an override");
	is_str(binding_of(pb, FAKE_NIC).former_override, "e1000e", "the override is known");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind it");
	is_str(override_of(FAKE_NIC), "e1000e", "the override is back");
	is_driver(pb, FAKE_NIC, "e1000e", "and the driver");

	reset_nic("other", "other");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "bind one with a chosen driver");
	fake_write(NIC "driver_override", "e1000e\n");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind it");
	is_str(override_of(FAKE_NIC), "e1000e", "what was chosen meanwhile stays");
	is_driver(pb, FAKE_NIC, "e1000e", "and is what it gets");
}

/* As other tools leave it, or this one where it had no record. */
static void test_stale(struct peerbar *pb)
{
	reset_nic("", "vfio-pci");
	is_int(binding_of(pb, FAKE_NIC).state, PEERBAR_BINDING_INTERRUPTED, "stale override");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind of what is not bound");
	is_str(override_of(FAKE_NIC), "", "clears it");
	is_driver(pb, FAKE_NIC, "e1000e", "and finds the driver");

	reset_nic("e1000e", "mlx5-vfio-pci");
	is_int(binding_of(pb, FAKE_NIC).state, PEERBAR_BINDING_INTERRUPTED, "with a driver");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind");
	is_str(override_of(FAKE_NIC), "", "clears it, too");

	reset_nic("", "vfio-pci");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "bind goes on from there");
	is_driver(pb, FAKE_NIC, "vfio-pci", "vfio-pci has it");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "and unbind");
	is_str(override_of(FAKE_NIC), "", "does not give it to vfio again");
	is_driver(pb, FAKE_NIC, "e1000e", "its driver has it");
}

static void test_taken_by_others(struct peerbar *pb)
{
	reset_nic("e1000e", "");
	peerbar_device_bind(pb, FAKE_NIC, NULL);
	/* Another tool gave it back. */
	fake_remove(NIC "driver");
	fake_remove(NIC "vfio-dev");
	fake_link("../../drivers/e1000e", NIC "driver");
	fake_write(NIC "driver_override", "\n");
	is_int(binding_of(pb, FAKE_NIC).state, PEERBAR_BINDING_NONE, "all is well");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind");
	is_str(fake_read(RECORD), "", "drops the record");

	peerbar_device_bind(pb, FAKE_NIC, NULL);
	fake_remove(NIC "driver");
	fake_remove(NIC "vfio-dev");
	fake_link("../../drivers/other", NIC "driver");
	fake_write(NIC "driver_override", "other\n");
	fake_pci.vfio_refuses = true;
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EIO, "a bind that fails");
	is_driver(pb, FAKE_NIC, "other", "leaves it to whom another tool gave it");
	is_str(override_of(FAKE_NIC), "other", "with the override");
	fake_pci.vfio_refuses = false;
	fake_write(RECORD, "garbage\n");
	ok(peerbar_device_bind(pb, FAKE_NIC, NULL) < 0, "a record that is none is not trusted");
	has_str(fake_last_error(), "cannot read what was noted", "the message says so");
}

static void test_variant(struct peerbar *pb)
{
	struct peerbar_bind_options options = {.size = sizeof(options), .driver = "mlx5-vfio-pci"};

	reset_nic("e1000e", "");
	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -ENOENT, "a driver that is not there");
	fake_write("sys/bus/pci/drivers/mlx5-vfio-pci/unbind", "");
	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), 0, "a variant driver");
	is_driver(pb, FAKE_NIC, "mlx5-vfio-pci", "has it");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "which will do");
	options.driver = "vfio-pci";
	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -EEXIST, "unless another is wanted");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind it");
	is_driver(pb, FAKE_NIC, "e1000e", "its driver has it");
	options.driver = "e1000e";
	is_int(peerbar_device_bind(pb, FAKE_NIC, &options), -EIO, "a driver that is none of vfio");
	is_driver(pb, FAKE_NIC, "e1000e", "leaves it as it was");
	is_str(override_of(FAKE_NIC), "", "the override, too");
}

static void test_find_driver(struct peerbar *pb)
{
	char driver[64], path[128];
	struct utsname system;

	uname(&system);
	snprintf(path, sizeof(path), "modules/%s/modules.alias", system.release);
	fake_write(NIC "modalias", "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00\n");
	is_int(peerbar_device_find_driver(pb, FAKE_NIC, driver, 64), 0, "without a list");
	is_str(driver, "vfio-pci", "it is vfio-pci");
	fake_write(path, "# Aliases extracted from modules themselves.\n"
			 "alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\n"
			 "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n"
			 "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci\n");
	is_int(peerbar_device_find_driver(pb, FAKE_NIC, driver, 64), 0, "without a variant");
	is_str(driver, "vfio-pci", "it is vfio-pci");
	fake_write(path, "alias vfio_pci:v00008086d*sv*sd*bc*sc*i* intel_vfio_pci\n"
			 "alias vfio_pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e_vfio_pci\n"
			 "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n");
	is_int(peerbar_device_find_driver(pb, FAKE_NIC, driver, 64), -ENOENT, "not loaded");
	has_str(fake_last_error(), "modprobe e1000e_vfio_pci", "the message says which");
	fake_link("../../../bus/pci/drivers/e1000e-vfio-pci",
		  "sys/module/e1000e_vfio_pci/drivers/pci:e1000e-vfio-pci");
	is_int(peerbar_device_find_driver(pb, FAKE_NIC, driver, 64), 0, "loaded");
	is_str(driver, "e1000e-vfio-pci", "it is the most specific one");
	is_int(peerbar_device_find_driver(pb, FAKE_NIC, driver, 15), -ERANGE, "no room");
	is_int(peerbar_device_find_driver(pb, FAKE_NIC, driver, 16), 0, "just enough");
}

/* A second device in the card's group, of which vfio is to have all or none. */
static void make_group(void)
{
	fake_mkdir("sys/kernel/iommu_groups/6/devices/" FAKE_NIC);
	fake_mkdir("sys/kernel/iommu_groups/6/devices/" FAKE_IDLE);
	fake_mkdir("sys/kernel/iommu_groups/6/devices/0000:00:02.0");
	fake_mkdir("sys/kernel/iommu_groups/6/devices/another-bus");
	fake_write(DEVICES "0000:00:02.0/vendor", "0x8086\n");
	fake_write(DEVICES "0000:00:02.0/device", "0x3420\n");
	fake_write(DEVICES "0000:00:02.0/class", "0x060400\n");
	fake_write(DEVICES "0000:00:02.0/driver_override", "(null)\n");
	for (int i = 0; i < 7; i++)
		fake_write(DEVICES "0000:00:02.0/resource",
			   "0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n"
			   "0x0 0x0 0x0\n0x0 0x0 0x0\n");
	fake_link("../../drivers/pcieport", DEVICES "0000:00:02.0/driver");
}

static void test_group(struct peerbar *pb)
{
	struct peerbar_bind_options group = {.size = sizeof(group), .flags = PEERBAR_BIND_GROUP};

	reset_nic("e1000e", "");
	make_group();
	is_int(peerbar_device_bind(pb, "00:02.0", NULL), -EOPNOTSUPP, "a bridge");
	has_str(fake_last_error(), "is a bridge", "the message says so");
	is_int(peerbar_device_bind(pb, FAKE_NIC, &group), 0, "bind a group");
	is_driver(pb, FAKE_NIC, "vfio-pci", "the one");
	is_driver(pb, FAKE_IDLE, "vfio-pci", "the other");
	is_driver(pb, "00:02.0", "pcieport", "but no bridge");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind the one");
	is_driver(pb, FAKE_IDLE, "vfio-pci", "the other stays");
	is_int(peerbar_device_bind(pb, FAKE_NIC, &group), 0, "bind what is missing");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind the one");
	is_int(peerbar_device_unbind(pb, FAKE_IDLE, NULL), 0, "unbind the other");

	group.flags |= PEERBAR_BIND_DRY_RUN;
	is_int(peerbar_device_bind(pb, FAKE_NIC, &group), 0, "it could be bound");
	is_driver(pb, FAKE_NIC, "e1000e", "but was not");
	is_str(override_of(FAKE_NIC), "", "nothing has changed");
	is_str(fake_read(RECORD), "", "nothing was noted");
}

/* The second of a group fails at each call in turn: the first does not stay bound. */
static void test_all_or_nothing(struct peerbar *pb)
{
	struct peerbar_bind_options group = {.size = sizeof(group), .flags = PEERBAR_BIND_GROUP};
	unsigned int n = 0, bound = 0, half = 0;
	struct peerbar_device_info nic, idle;
	int ret;

	do {
		fake_pci.failed = false;
		fake_pci.fail_nth = ++n;
		ret = peerbar_device_bind(pb, FAKE_NIC, &group);
		fake_pci.fail_nth = 0;
		peerbar_device_lookup(pb, FAKE_NIC, &nic);
		peerbar_device_lookup(pb, FAKE_IDLE, &idle);
		bound += !ret;
		if (ret ? strcmp(nic.driver, "e1000e") || *idle.driver
			: !nic.vfio_bound || !idle.vfio_bound) {
			note("call %u: returned %d, drivers \"%s\" and \"%s\"", n, ret, nic.driver,
			     idle.driver);
			half++;
		}
		if (ret)
			continue;
		peerbar_device_unbind(pb, FAKE_NIC, NULL);
		peerbar_device_unbind(pb, FAKE_IDLE, NULL);
	} while (fake_pci.failed);
	note("%u calls were made to fail, %u of them did no harm", n - 1, bound - 1);
	ok(n > 40, "binding a group makes calls that can fail");
	is_int(half, 0, "a group is bound as a whole, or not at all");
}

static void test_in_use(struct peerbar *pb)
{
	struct peerbar_bind_options force = {.size = sizeof(force), .flags = PEERBAR_BIND_FORCE};
	struct peerbar_unbind_options wait = {.size = sizeof(wait), .flags = PEERBAR_UNBIND_FORCE};

	reset_nic("e1000e", "");
	fake_write(NIC "sriov_numvfs", "4\n");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), -EBUSY, "bind a device in use");
	has_str(fake_last_error(), "it has virtual functions: 4", "the message says what for");
	is_driver(pb, FAKE_NIC, "e1000e", "its driver keeps it");
	is_int(peerbar_device_bind(pb, FAKE_NIC, &force), 0, "bind it all the same");
	is_driver(pb, FAKE_NIC, "vfio-pci", "vfio-pci has it");
	fake_remove(NIC "sriov_numvfs");

	/* Half of its group is bound: that is no reason to keep it. */
	fake_remove(DEVICES FAKE_IDLE "/driver");
	fake_link("../../drivers/other", DEVICES FAKE_IDLE "/driver");
	fake_write("dev/vfio/6", "c 510:6");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), 0, "unbind one of a half-bound group");
	is_driver(pb, FAKE_NIC, "e1000e", "its driver has it");
	fake_remove(DEVICES FAKE_IDLE "/driver");
	is_int(peerbar_device_bind(pb, FAKE_NIC, NULL), 0, "bind it again");

	fake_write("dev/vfio/6", "busy");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, NULL), -EBUSY, "unbind an open device");
	has_str(fake_last_error(), "IOMMU group 6 is open", "the message says so");
	is_driver(pb, FAKE_NIC, "vfio-pci", "vfio-pci keeps it");
	is_int(peerbar_device_unbind(pb, FAKE_NIC, &wait), 0, "wait for it");
	is_driver(pb, FAKE_NIC, "e1000e", "its driver has it");
	fake_remove("dev/vfio/6");
}

/* Every failing call leaves driver and override as they were, and nothing open. */
static void test_failures(struct peerbar *pb, const char *override)
{
	unsigned int fds = count_fds(), n = 0, dirty = 0;
	bool clean = true, bound;
	int ret;

	reset_nic("e1000e", override);
	do {
		struct peerbar_device_info info;

		fake_pci.failed = false;
		fake_pci.fail_nth = ++n;
		ret = peerbar_device_bind(pb, FAKE_NIC, NULL);
		fake_pci.fail_nth = 0;
		clean &= count_fds() == fds;
		peerbar_device_lookup(pb, FAKE_NIC, &info);
		bound = !strcmp(info.driver, "vfio-pci");
		if (ret ? strcmp(info.driver, "e1000e") || strcmp(override_of(FAKE_NIC), override)
			: !bound) {
			note("call %u: returned %d, driver \"%s\", override \"%s\"", n, ret,
			     info.driver, override_of(FAKE_NIC));
			dirty++;
		}
		peerbar_device_bind(pb, FAKE_NIC, NULL);
		fake_pci.fail_nth = n;
		peerbar_device_unbind(pb, FAKE_NIC, NULL);
		fake_pci.fail_nth = 0;
		clean &= count_fds() == fds;
		if (peerbar_device_unbind(pb, FAKE_NIC, NULL))
			note("call %u: cannot unbind: %s", n, fake_last_error());
	} while (fake_pci.failed);
	note("%u calls were made to fail", n - 1);
	ok(n > 20, "binding makes calls that can fail");
	is_int(dirty, 0, "a failed bind leaves the device as it was");
	ok(clean, "no descriptor was left open");
	is_driver(pb, FAKE_NIC, "e1000e", "the device is with its driver");
	is_str(override_of(FAKE_NIC), override, "with its override");
}

/* Death ---------------------------------------------------------------------- */

/* A process that dies at its nth change: true if it did. */
static bool die_in(struct peerbar *pb, bool bind, unsigned int n)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		bail_out("cannot fork: %s", strerror(errno));
	if (!pid) {
		fake_pci.die_at = n;
		_exit(bind ? peerbar_device_bind(pb, FAKE_NIC, NULL) != 0
			   : peerbar_device_unbind(pb, FAKE_NIC, NULL) != 0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	is_int(status, 0, "the process that was not killed has done its work");
	return false;
}

/* As it was, bound, or known to be neither. */
static bool is_known(struct peerbar *pb, const char *driver, const char *override)
{
	struct peerbar_binding_info binding = binding_of(pb, FAKE_NIC);
	struct peerbar_device_info info;

	peerbar_device_lookup(pb, FAKE_NIC, &info);
	if (binding.state != PEERBAR_BINDING_NONE)
		return (binding.state == PEERBAR_BINDING_BOUND) == info.vfio_bound;
	return !strcmp(info.driver, driver) && !strcmp(binding.driver_override, override);
}

static bool is_as_before(struct peerbar *pb, const char *driver, const char *override)
{
	struct peerbar_device_info info;

	peerbar_device_lookup(pb, FAKE_NIC, &info);
	return !strcmp(info.driver, driver) && !strcmp(override_of(FAKE_NIC), override) &&
	       !*fake_read(RECORD) && binding_of(pb, FAKE_NIC).state == PEERBAR_BINDING_NONE;
}

static void test_death(struct peerbar *pb, bool bind, const char *driver, const char *override)
{
	unsigned int n = 0, unknown = 0, unbinds = 0, binds = 0;
	bool dead;

	do {
		n++;
		for (int again = 0; again < 2; again++) {
			reset_nic(driver, override);
			if (!bind)
				peerbar_device_bind(pb, FAKE_NIC, NULL);
			dead = die_in(pb, bind, n);
			unknown += !is_known(pb, driver, override);
			if (again) {
				binds += peerbar_device_bind(pb, FAKE_NIC, NULL) != 0;
				binds += binding_of(pb, FAKE_NIC).state != PEERBAR_BINDING_BOUND;
			}
			peerbar_device_unbind(pb, FAKE_NIC, NULL);
			if (!is_as_before(pb, driver, override)) {
				note("death %u%s: driver_override \"%s\"", n,
				     again ? ", then bound" : "", override_of(FAKE_NIC));
				unbinds++;
			}
		}
	} while (dead);
	note("%s with driver \"%s\" and override \"%s\": killed %u times", bind ? "bind" : "unbind",
	     driver, override, n - 1);
	ok(n > 4, "there are moments to die in");
	is_int(unknown, 0, "what was left half done is known");
	is_int(unbinds, 0, "unbind puts everything back");
	is_int(binds, 0, "bind goes on from there");
}

int main(void)
{
	struct peerbar *pb;

	fake_machine();
	pb = fake_open();
	fake_write("sys/bus/pci/drivers/e1000e/bind", "");
	fake_write("sys/bus/pci/drivers/other/bind", "");
	fake_write("sys/bus/pci/drivers/other/unbind", "");
	test_bind(pb);
	test_errors(pb);
	test_options(pb);
	test_refused(pb, "e1000e", "");
	test_refused(pb, "e1000e", "e1000e");
	test_refused(pb, "other", "other");
	test_refused(pb, "", "");
	test_refused(pb, "", "vfio-pci");
	test_chosen_driver(pb);
	test_kept(pb);
	test_not_given_back(pb);
	test_former(pb);
	test_stale(pb);
	test_taken_by_others(pb);
	test_variant(pb);
	test_find_driver(pb);
	test_group(pb);
	test_all_or_nothing(pb);
	test_in_use(pb);
	test_failures(pb, "");
	test_failures(pb, "e1000e");
	test_death(pb, true, "e1000e", "");
	test_death(pb, true, "e1000e", "e1000e");
	test_death(pb, true, "other", "other");
	test_death(pb, false, "e1000e", "");
	test_death(pb, false, "e1000e", "e1000e");
	peerbar_close(pb);
	return done_testing();
}
