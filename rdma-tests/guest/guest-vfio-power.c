// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A device that sleeps cannot be reached, and can again once it is awake. That
 * takes a device with power management: an NVMe controller's memory buffer,
 * where there is one (scripts/vm run --device memory --device register
 * --device nvme), else the memory device.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define NEEDS  (FIXTURE_MEM | NEED_MMAP | NEED_REVOKE)

#define WAIT_MS 30000

/* Somebody holds a buffer that has no file any more, all of the time. */
static int orphan;

/* Opens the device and a slice of it; skips when it has no way to sleep. */
static int sleeper_open(struct fixture *f, struct slice *slice)
{
	const char *nvme = getenv("PEERBAR_NVMEDEV");
	int capability;

	if (nvme && *nvme)
		setenv("PEERBAR_MEMDEV", nvme, 1);
	fixture_open(f, NEEDS);
	capability = raw_find_capability(peerbar_device_fd(f->mem), PCI_CAP_ID_PM);
	if (capability < 0) {
		fixture_close(f);
		tap_skip("no device with power management here");
	}
	slice_open(f, BASE, LENGTH, NC, slice);
	pattern_fill(slice->at, LENGTH, 1);
	orphan = fixture_orphan(f->mem, MEM_BAR, BASE, LENGTH);
	return capability;
}

static void sleeper_close(struct fixture *f, struct slice *slice)
{
	slice_close(slice);
	close(orphan);
	fixture_close(f);
}

static void set_power_state(struct fixture *f, int capability, uint16_t state)
{
	int device = peerbar_device_fd(f->mem);
	uint16_t value;

	CHECK_OK(raw_region_read(device, RAW_CONFIG, (uint64_t)capability + PCI_PM_CTRL, &value,
				 sizeof(value)));
	value = (uint16_t)((value & ~PCI_PM_CTRL_STATE_MASK) | state);
	CHECK_OK(raw_region_write(device, RAW_CONFIG, (uint64_t)capability + PCI_PM_CTRL, &value,
				  sizeof(value)));
}

static void demand_unreachable(struct slice *slice, int error)
{
	demand_revoked(slice->at);
	CHECK_RET(
		try_mmap(peerbar_buffer_fd(slice->buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		-error);
}

/* For the time being. */
static void demand_asleep(struct slice *slice)
{
	demand_unreachable(slice, EAGAIN);
}

static void demand_awake(struct slice *slice)
{
	CHECK(pattern_matches(slice->at, LENGTH, 1), "contents");
	demand_alive(slice->at);
	CHECK_OK(
		try_mmap(peerbar_buffer_fd(slice->buffer), LENGTH, PROT_READ, MAP_SHARED, 0, NULL));
}

/* D3 and back, by way of configuration space. */
static void d3(void)
{
	struct fixture f;
	struct slice slice;
	int capability = sleeper_open(&f, &slice);

	for (int i = 0; i < 3; i++) {
		set_power_state(&f, capability, 3);
		demand_asleep(&slice);
		set_power_state(&f, capability, 0);
		demand_awake(&slice);
	}
	sleeper_close(&f, &slice);
}

/* Revoked for good while it sleeps: waking up changes nothing. */
static void revoked_in_d3(void)
{
	struct fixture f;
	struct slice slice;
	int capability = sleeper_open(&f, &slice);

	set_power_state(&f, capability, 3);
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	set_power_state(&f, capability, 0);
	demand_unreachable(&slice, ENODEV);
	CHECK_RET(peerbar_buffer_revoke(slice.buffer), -EBADFD);
	sleeper_close(&f, &slice);
}

/* Memory decode turned on while it sleeps does not wake the buffers. */
static void decode_in_d3(void)
{
	struct fixture f;
	struct slice slice;
	int capability = sleeper_open(&f, &slice);
	int device = peerbar_device_fd(f.mem);

	set_power_state(&f, capability, 3);
	raw_set_memory_decode(device, 0);
	raw_set_memory_decode(device, 1);
	demand_asleep(&slice);
	set_power_state(&f, capability, 0);
	demand_awake(&slice);
	sleeper_close(&f, &slice);
}

/* vfio's own low power state, a reset, and a buffer that is exported in it. */
static void low_power(void)
{
	struct peerbar_buffer *early;
	struct fixture f;
	struct slice slice;
	void *at = NULL;
	int device;

	sleeper_open(&f, &slice);
	device = peerbar_device_fd(f.mem);
	CHECK_OK(raw_set_low_power(device, 1));
	demand_asleep(&slice);
	CHECK_OK(peerbar_device_reset(f.mem));
	demand_asleep(&slice);
	early = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(try_mmap(peerbar_buffer_fd(early), LENGTH, PROT_READ, MAP_SHARED, 0, NULL),
		  -EAGAIN);
	CHECK_OK(raw_set_low_power(device, 0));
	demand_awake(&slice);
	CHECK_OK(try_mmap(peerbar_buffer_fd(early), LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, 0,
			  &at));
	demand_alive(at);
	munmap(at, LENGTH);
	peerbar_buffer_close(early);
	sleeper_close(&f, &slice);
}

/* The same, and revoked for good in the meantime. */
static void revoked_in_low_power(void)
{
	struct fixture f;
	struct slice slice;
	int device;

	sleeper_open(&f, &slice);
	device = peerbar_device_fd(f.mem);
	CHECK_OK(raw_set_low_power(device, 1));
	CHECK_OK(peerbar_buffer_revoke(slice.buffer));
	CHECK_OK(raw_set_low_power(device, 0));
	demand_unreachable(&slice, ENODEV);
	sleeper_close(&f, &slice);
}

static bool is_suspended(struct peerbar_device *dev)
{
	char path[128], status[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/power/runtime_status",
		 peerbar_device_address(dev));
	file = fopen(path, "re");
	CHECK(file && fgets(status, sizeof(status), file), "%s: %s", path, strerror(errno));
	fclose(file);
	return !strcmp(status, "suspended\n");
}

/* The first access through the device wakes it, and the buffers with it. */
static void woken_from_low_power(void)
{
	struct fixture f;
	struct slice slice;
	int capability = sleeper_open(&f, &slice);
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t wakeups;

	CHECK(event >= 0, "eventfd: %s", strerror(errno));
	CHECK_OK(raw_sleep_until_woken(peerbar_device_fd(f.mem), event));
	AWAIT(is_suspended(f.mem), WAIT_MS * tap_slowness(), "the device does not fall asleep");
	demand_asleep(&slice);
	CHECK(eventfd_read(event, &wakeups) && errno == EAGAIN, "woken by a fault");
	CHECK(raw_find_capability(peerbar_device_fd(f.mem), PCI_CAP_ID_PM) == capability,
	      "configuration space");
	CHECK(!eventfd_read(event, &wakeups), "no word of the wakeup: %s", strerror(errno));
	demand_awake(&slice);
	close(event);
	sleeper_close(&f, &slice);
}

static const struct tap_case cases[] = {
	{"d3", d3},
	{"revoked_in_d3", revoked_in_d3},
	{"decode_in_d3", decode_in_d3},
	{"low_power", low_power},
	{"revoked_in_low_power", revoked_in_low_power},
	{"woken_from_low_power", woken_from_low_power},
};

TAP_MAIN(cases)
