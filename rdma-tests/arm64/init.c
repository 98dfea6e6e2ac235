// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The only program of an arm64 guest: maps slices of a BAR noncached and
 * write-combining and has the machine's owner look at the page tables, since
 * arm64's PTDUMP_DEBUGFS does not show those of a process. Talks TAP on the
 * console, with two kinds of lines for the owner: "LOOK address type what" stands
 * for a result and waits for a line, and "END" is the last one.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <peerbar/peerbar.h>

#define IVSHMEM_VENDOR 0x1af4
#define IVSHMEM_DEVICE 0x1110
#define BAR	       2
#define KIB(n)	       ((uint64_t)(n) << 10)
#define MIB(n)	       ((uint64_t)(n) << 20)
#define SPINS	       1000000

#define DEVICE	  "DEVICE_nGnRnE"
#define NORMAL_NC "NORMAL_NC"

static unsigned int count;

static void result(bool good, const char *what, int detail)
{
	printf("%s %u - %s\n", good ? "ok" : "not ok", ++count, what);
	if (!good)
		printf("# got %d\n", detail);
	fflush(stdout);
}

static void is(int got, int wanted, const char *what)
{
	result(got == wanted, what, got);
}

/* The owner stops the machine while this process has the processor: so no sleep. */
static void look(const volatile void *at, const char *wanted, const char *what)
{
	char answer;

	count++;
	printf("LOOK %p %s %s\n", (void *)at, wanted, what);
	fflush(stdout);
	while (read(STDIN_FILENO, &answer, 1) != 1) {
		for (volatile int i = 0; i < SPINS; i++)
			;
	}
}

static sigjmp_buf escape;
static volatile void *fault_at;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	fault_at = info->si_addr;
	siglongjmp(escape, number);
}

/* The signal that an access raises, 0 for none. */
static int signal_of(volatile uint32_t *at)
{
	int number = sigsetjmp(escape, 1);

	if (!number)
		*at = 0;
	return number;
}

static void log_line(void *arg, enum peerbar_log_level level, const char *message)
{
	(void)arg;
	(void)level;
	printf("# %s\n", message);
}

static struct peerbar_device *open_memory(struct peerbar *pb)
{
	struct peerbar_device_info *devices;
	struct peerbar_device *dev = NULL;
	size_t n = 0;

	is(peerbar_list_devices(pb, &devices, &n), 0, "devices are listed");
	for (size_t i = 0; i < n && !dev; i++) {
		if (devices[i].vendor != IVSHMEM_VENDOR || devices[i].device != IVSHMEM_DEVICE)
			continue;
		is(peerbar_device_bind(pb, devices[i].address, NULL), 0, "the memory device is bound");
		is(peerbar_device_open(pb, devices[i].address, NULL, &dev), 0, "and opened");
	}
	peerbar_free_devices(devices);
	return dev;
}

struct slice {
	struct peerbar_buffer *buffer;
	struct peerbar_mapping *map;
	volatile uint32_t *at;
};

static int slice_map(struct peerbar_device *dev, uint64_t offset, uint64_t length,
		     enum peerbar_memattr memattr, struct slice *slice)
{
	const struct peerbar_range range = {.offset = offset, .length = length};
	const struct peerbar_export_options options = {.size = sizeof(options), .memattr = memattr};
	int ret;

	memset(slice, 0, sizeof(*slice));
	ret = peerbar_buffer_export(dev, BAR, &range, 1, &options, &slice->buffer);
	if (ret)
		return ret;
	ret = peerbar_map(slice->buffer, 0, length, NULL, &slice->map);
	if (!ret)
		slice->at = peerbar_mapping_addr(slice->map);
	return ret;
}

static void slice_close(struct slice *slice)
{
	peerbar_unmap(slice->map);
	peerbar_buffer_close(slice->buffer);
}

/* Two types in one BAR; each page has one at a time. */
static void types(struct peerbar_device *dev)
{
	struct slice nc, wc, refused;

	is(slice_map(dev, 0, KIB(64), PEERBAR_MEMATTR_NC, &nc), 0, "a noncached slice is mapped");
	is(slice_map(dev, KIB(64), KIB(64), PEERBAR_MEMATTR_WC, &wc), 0, "a write-combining one too");
	*nc.at = 1;
	*wc.at = 2;
	look(nc.at, DEVICE, "the noncached slice");
	look(wc.at, NORMAL_NC, "the write-combining slice");
	is(slice_map(dev, KIB(64), KIB(4), PEERBAR_MEMATTR_NC, &refused), -EBUSY,
	   "another type for a page in use is refused");
	slice_close(&refused);
	look(wc.at, NORMAL_NC, "the write-combining slice afterwards");
	slice_close(&wc);
	is(slice_map(dev, KIB(64), KIB(4), PEERBAR_MEMATTR_NC, &wc), 0, "when it is not used any more it is not");
	is((int)*wc.at, 2, "it is the same memory");
	look(wc.at, DEVICE, "with the other type it");
	slice_close(&wc);
	slice_close(&nc);
}

static void huge(struct peerbar_device *dev)
{
	struct slice wc;

	is(slice_map(dev, MIB(4), MIB(4), PEERBAR_MEMATTR_WC, &wc), 0, "huge pages are mapped");
	*wc.at = 3;
	look(wc.at, NORMAL_NC "/2M", "a write-combining huge page");
	slice_close(&wc);
}

static void revoked(struct peerbar_device *dev)
{
	struct slice wc, again;

	is(slice_map(dev, MIB(1), KIB(64), PEERBAR_MEMATTR_WC, &wc), 0, "a slice is mapped to be revoked");
	*wc.at = 4;
	is(peerbar_buffer_revoke(wc.buffer), 0, "it is revoked");
	is(signal_of(wc.at), SIGBUS, "an access raises SIGBUS");
	result(fault_at == wc.at, "at its address", 0);
	is(slice_map(dev, MIB(1), KIB(64), PEERBAR_MEMATTR_NC, &again), 0, "its memory can be mapped again, noncached");
	*again.at = 5;
	look(again.at, DEVICE, "its type");
	slice_close(&again);
	slice_close(&wc);
}

static void set_up(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/run", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

int main(void)
{
	const struct peerbar_options options = {.size = sizeof(options), .log = log_line};
	struct peerbar_device *dev = NULL;
	struct peerbar *pb = NULL;

	set_up();
	puts("TAP version 13");
	is(peerbar_open(&options, &pb), 0, "libpeerbar works");
	if (pb)
		dev = open_memory(pb);
	if (dev) {
		types(dev);
		huge(dev);
		revoked(dev);
		peerbar_device_close(dev);
	}
	printf("1..%u\nEND\n", count);
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 1;
}
