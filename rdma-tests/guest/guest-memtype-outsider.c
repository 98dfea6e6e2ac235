// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Root can map a BAR behind the back of vfio-pci, through sysfs. That must neither change the type of what has been
 * mapped, nor give a later mapping a type that it has not asked for.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "raw.h"

#define BASE	 MIB(1)
#define ELSE	 MIB(2)
#define LENGTH	 KIB(64)
#define UC_MINUS PEERBAR_MEMTYPE_UC_MINUS
#define IS_WC	 PEERBAR_MEMTYPE_WC
#define NEEDS	 (FIXTURE_MEM | NEED_SERIES)

/* The outsider: write-combining, touched. */
static volatile uint8_t *outsider_map(void)
{
	char path[128];
	void *at;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%d_wc",
		 fixture_env("PEERBAR_MEMDEV"), MEM_BAR);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %m", path);
	at = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)BASE);
	fixture_need_config(at != MAP_FAILED || errno != EINVAL,
			    "sysfs for BARs that a driver uses (CONFIG_IO_STRICT_DEVMEM is set)");
	CHECK(at != MAP_FAILED, "mmap of %s: %m", path);
	close(fd);
	demand_alive(at);
	return at;
}

static void outsider_unmap(volatile uint8_t *at)
{
	CHECK_SYS(munmap((void *)at, LENGTH), 0);
}

/* Alone, the outsider gets what it wants: a test of this test. */
static void alone(void)
{
	volatile uint8_t *outsider = outsider_map();

	demand_memtype(outsider, IS_WC);
	outsider_unmap(outsider);
}

/* A noncached slice stays so, also beside a write-combining one, and in pages that are touched later. */
static void after_noncached(void)
{
	volatile uint8_t *outsider;
	struct slice wc, nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, ELSE, LENGTH, WC, &wc);
	slice_open(&f, BASE, LENGTH, NC, &nc);
	demand_alive(nc.at);
	outsider = outsider_map();
	demand_alive(nc.at + KIB(32));
	demand_memtype(nc.at, UC_MINUS);
	demand_memtype(nc.at + KIB(32), UC_MINUS);
	outsider_unmap(outsider);
	demand_memtype(nc.at + LENGTH - 4, UC_MINUS);
	slice_close(&nc);
	slice_close(&wc);
	fixture_close(&f);
}

/* So does one that was there before anything was write-combining. */
static void after_noncached_first(void)
{
	volatile uint8_t *outsider;
	struct slice wc, nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, NC, &nc);
	slice_open(&f, ELSE, LENGTH, WC, &wc);
	outsider = outsider_map();
	demand_memtype(nc.at, UC_MINUS);
	outsider_unmap(outsider);
	slice_close(&nc);
	slice_close(&wc);
	fixture_close(&f);
}

/*
 * Where the outsider was there before the BAR was opened, all that the kernel has mapped of it has the outsider's type.
 * Noncached is refused, write-combining is not; and noncached can be had again when the BAR is opened anew.
 */
static void before_open(void)
{
	volatile uint8_t *outsider = outsider_map();
	struct peerbar_mapping *map;
	struct peerbar_buffer *buffer;
	struct slice wc, nc;
	struct fixture f;

	fixture_open(&f, NEEDS);
	buffer = fixture_export(f.mem, MEM_BAR, BASE, LENGTH, NC);
	CHECK_RET(peerbar_map(buffer, 0, LENGTH, NULL, &map), -EBUSY);
	slice_open(&f, BASE, LENGTH, WC, &wc);
	demand_memtype(wc.at, IS_WC);
	CHECK_RET(peerbar_map(buffer, 0, LENGTH, NULL, &map), -EBUSY);
	slice_close(&wc);
	CHECK_RET(peerbar_map(buffer, 0, LENGTH, NULL, &map), -EBUSY);
	peerbar_buffer_close(buffer);
	outsider_unmap(outsider);
	fixture_close(&f);
	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, LENGTH, NC, &nc);
	demand_memtype(nc.at, UC_MINUS);
	slice_close(&nc);
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"alone", alone, 0},
	{"after_noncached", after_noncached, 0},
	{"after_noncached_first", after_noncached_first, 0},
	{"before_open", before_open, 0},
};

TAP_MAIN(cases)
