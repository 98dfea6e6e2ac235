// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Listing devices and looking one up, on a made-up machine.
 */
#include <errno.h>
#include <string.h>

#include "fake.h"
#include "tap.h"

#define DEVICES "sys/bus/pci/devices/"

static void test_list(struct peerbar *pb)
{
	static const char *const order[] = {FAKE_NIC, FAKE_MEM, FAKE_REG, FAKE_IDLE};
	struct peerbar_device_info *devices = NULL;
	size_t count = 0;

	is_int(peerbar_list_devices(pb, &devices, &count), 0, "list");
	if (!is_int((long long)count, 4, "four devices"))
		return;
	for (size_t i = 0; i < count; i++)
		is_str(devices[i].address, order[i], "device %zu", i);
	ok(devices[1].vendor == 0x1af4 && devices[1].device == 0x1110 &&
		   devices[1].class_code == 0x050000,
	   "its numbers");
	is_str(devices[1].driver, "vfio-pci", "its driver");
	is_int(devices[1].iommu_group, 7, "its IOMMU group");
	ok(devices[1].vfio_bound, "vfio has it");
	is_str(devices[3].driver, "", "no driver");
	is_int(devices[3].iommu_group, -1, "no IOMMU group");
	ok(!devices[3].vfio_bound && !devices[0].vfio_bound, "vfio has not all");
	peerbar_free_devices(devices);
}

/* The name of a driver may be longer than there is room for it. */
static void test_long_driver(struct peerbar *pb)
{
	static const char name[] = "a-driver-with-a-name-of-more-than-thirty-two-bytes";
	struct peerbar_device_info info;

	fake_remove(DEVICES FAKE_NIC "/driver");
	fake_link("../../drivers/a-driver-with-a-name-of-more-than-thirty-two-bytes",
		  DEVICES FAKE_NIC "/driver");
	is_int(peerbar_device_lookup(pb, FAKE_NIC, &info), 0, "a driver with a long name");
	ok(!strncmp(info.driver, name, sizeof(info.driver) - 1) &&
		   strlen(info.driver) == sizeof(info.driver) - 1,
	   "is there, its name cut: %s", info.driver);
	fake_remove(DEVICES FAKE_NIC "/driver");
	fake_link("../../drivers/e1000e", DEVICES FAKE_NIC "/driver");
}

static void test_bars(struct peerbar *pb)
{
	struct peerbar_device_info info;

	is_int(peerbar_device_lookup(pb, "00:04.0", &info), 0, "short address");
	ok(info.bars[0].length == 0x4000 && info.bars[0].is_memory && !info.bars[0].is_64bit &&
		   !info.bars[0].is_prefetchable && info.bars[0].can_mmap,
	   "BAR 0: 16 KiB");
	is_int((long long)info.bars[1].length, 0, "BAR 1: none");
	ok(info.bars[2].length == 0x4000000 && info.bars[2].is_memory && info.bars[2].is_64bit &&
		   info.bars[2].is_prefetchable && info.bars[2].can_mmap,
	   "BAR 2: 64 MiB, 64-bit, prefetchable");
	peerbar_device_lookup(pb, FAKE_IDLE, &info);
	ok(info.bars[0].length == 256 && !info.bars[0].is_memory && !info.bars[0].can_mmap,
	   "I/O ports");
	peerbar_device_lookup(pb, FAKE_NIC, &info);
	ok(info.bars[0].length == 2048 && info.bars[0].is_memory && !info.bars[0].can_mmap,
	   "less than a page");
}

static void test_lookup_errors(struct peerbar *pb)
{
	struct peerbar_device_info info = {.vendor = 0x4242};

	is_int(peerbar_device_lookup(pb, "nonsense", &info), -EINVAL, "no address");
	has_str(fake_last_error(), "\"nonsense\" is no PCI address", "the message says so");
	is_int(peerbar_device_lookup(pb, NULL, &info), -EINVAL, "NULL address");
	is_int(peerbar_device_lookup(pb, "0000:7f:00.0", &info), -ENODEV, "no device");
	has_str(fake_last_error(), "no PCI device 0000:7f:00.0", "the message names it");
	fake_write(DEVICES "0000:00:06.0/vendor", "garbage\n");
	ok(peerbar_device_lookup(pb, "00:06.0", &info) < 0,
	   "a device that sysfs does not describe");
	fake_remove(DEVICES "0000:00:06.0");
	is_int(info.vendor, 0x4242, "failures leave the output alone");
}

static void test_list_oddities(struct peerbar *pb)
{
	struct peerbar_device_info *devices;
	size_t count;

	fake_write(DEVICES "not-a-device/vendor", "0x1\n");
	fake_write(DEVICES "0000:00:06.0/vendor", "0x1\n");
	is_int(peerbar_list_devices(pb, &devices, &count), 0,
	       "half a device does not spoil the list");
	is_int((long long)count, 4, "it is left out");
	peerbar_free_devices(devices);
	fake_remove(DEVICES "0000:00:06.0");
	fake_remove(DEVICES "not-a-device");
}

/* Fails one call after the other; nothing may be left open by any of them. */
static void test_failures(struct peerbar *pb)
{
	unsigned int fds = count_fds(), n = 0;
	bool untouched = true, clean = true, complete = true;

	do {
		struct peerbar_device_info *devices = (void *)pb;
		size_t count = 42;
		int ret;

		fake.failed = false;
		fake.fail_nth = ++n;
		ret = peerbar_list_devices(pb, &devices, &count);
		fake.fail_nth = 0;
		untouched &= !ret || ((void *)devices == pb && count == 42);
		complete &= ret || (count == 4 && !fake.failed);
		clean &= count_fds() == fds;
		if (!ret)
			peerbar_free_devices(devices);
	} while (fake.failed);
	note("%u calls were made to fail", n - 1);
	ok(n > 10, "listing makes calls that can fail");
	ok(untouched, "no output of a failed listing was touched");
	ok(complete, "no device was left out because a call failed");
	ok(clean, "no descriptor was left open");
}

int main(void)
{
	struct peerbar *pb;

	fake_machine();
	pb = fake_open();
	test_list(pb);
	test_bars(pb);
	test_long_driver(pb);
	test_lookup_errors(pb);
	test_list_oddities(pb);
	test_failures(pb);
	peerbar_close(pb);
	return done_testing();
}
