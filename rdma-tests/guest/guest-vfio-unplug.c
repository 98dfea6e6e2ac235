// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The device goes away, or is reset by way of its slot, while its memory is
 * mapped by a process, written to by RDMA and mapped for another device's DMA,
 * and while somebody holds a buffer that has no file any more.
 * vfio asks the owner to let go; once the device is closed, nothing of this
 * keeps it from going, nor its users from tidying up after it has gone.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "loopback.h"
#include "raw.h"
#include "stream.h"

#define BASE	MIB(1)
#define NEEDS	(FIXTURE_MEM | FIXTURE_REG | NEED_SERIES | NEED_IOVA)
#define DEVICES "/sys/bus/pci/devices/"
#define WAIT_MS 30000
#define ROUNDS	3

/* A buffer and all of its users. */
struct users {
	struct peerbar_buffer *buffer;
	struct peerbar_iova_map *iova;
	struct stream *stream;
	void *map;
	int orphan;
};

static void users_open(struct fixture *f, struct users *u)
{
	struct stream_options options = {.device = RDMA_DEVICE};

	u->buffer = fixture_export(f->mem, MEM_BAR, BASE, STREAM_LENGTH, NC);
	CHECK_OK(try_mmap(peerbar_buffer_fd(u->buffer), STREAM_LENGTH, PROT_READ | PROT_WRITE,
			  MAP_SHARED, 0, &u->map));
	CHECK_OK(peerbar_iova_map(f->reg, u->buffer, 0, STREAM_LENGTH, NULL, &u->iova));
	options.dmabuf = peerbar_buffer_fd(u->buffer);
	u->stream = stream_start(&options);
	u->orphan = fixture_orphan(f->mem, MEM_BAR, BASE, STREAM_LENGTH);
	demand_alive(u->map);
}

static void demand_cut_off(struct users *u)
{
	CHECK_WC(stream_status(u->stream), IBV_WC_REM_ACCESS_ERR);
	demand_revoked(u->map);
	CHECK_RET(try_mmap(peerbar_buffer_fd(u->buffer), STREAM_LENGTH, PROT_READ, MAP_SHARED, 0,
			   NULL),
		  -ENODEV);
}

static void users_close(struct users *u)
{
	stream_exit(u->stream);
	peerbar_iova_unmap(u->iova);
	CHECK_SYS(munmap(u->map, STREAM_LENGTH), 0);
	peerbar_buffer_close(u->buffer);
	close(u->orphan);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

/* A file of sysfs to write to, which takes until the device is closed. */
struct request {
	char path[128];
	char text[32];
	pid_t process;
	int asked; /* an eventfd */
};

static void make_request(void *arg)
{
	struct request *request = arg;

	/* The descriptor of the device, too, is inherited: it must not stay open. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	CHECK(write_file(request->path, request->text), "%s: %s", request->path, strerror(errno));
}

/* Returns once vfio has asked us to let go of the device. */
static void request_start(struct peerbar_device *dev, const char *file, const char *text,
			  struct request *request)
{
	struct pollfd poller = {.events = POLLIN};

	snprintf(request->path, sizeof(request->path), DEVICES "%s/%s", peerbar_device_address(dev),
		 file);
	snprintf(request->text, sizeof(request->text), "%s", text);
	poller.fd = request->asked = eventfd(0, EFD_CLOEXEC);
	CHECK(request->asked >= 0, "eventfd: %s", strerror(errno));
	CHECK_OK(raw_notify_request(peerbar_device_fd(dev), request->asked));
	request->process = tap_fork(make_request, request);
	CHECK(poll(&poller, 1, WAIT_MS * (int)tap_slowness()) == 1, "nobody asks for the device");
}

static void request_end(struct request *request)
{
	tap_join(request->process);
	close(request->asked);
}

static void wait_for_device(const char *address)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s", address);
	AWAIT(!access(path, F_OK), WAIT_MS * tap_slowness(), "%s does not come back", address);
}

/* What was removed is found again, and given to vfio-pci. */
static void bring_back(const char *address)
{
	struct peerbar *pb;

	CHECK(write_file("/sys/bus/pci/rescan", "1"), "rescan: %s", strerror(errno));
	wait_for_device(address);
	CHECK_OK(peerbar_open(NULL, &pb));
	CHECK_OK(peerbar_device_bind(pb, address, NULL));
	peerbar_close(pb);
}

static void demand_working(void)
{
	struct slice slice;
	struct fixture f;

	fixture_open(&f, NEEDS);
	slice_open(&f, BASE, STREAM_LENGTH, WC, &slice);
	pattern_fill(slice.at, slice.length, 1);
	CHECK(pattern_matches(slice.at, slice.length, 1), "contents");
	slice_close(&slice);
	fixture_close(&f);
}

static void take_away(const char *file, const char *text)
{
	const char *address = fixture_env("PEERBAR_MEMDEV");
	struct request request;
	struct users users;
	struct fixture f;

	for (int i = 0; i < ROUNDS; i++) {
		fixture_open(&f, NEEDS);
		users_open(&f, &users);
		request_start(f.mem, file, text, &request);
		/* Asked is not forced: it works until the owner lets go. */
		stream_wait_for(users.stream, 1);
		demand_alive(users.map);
		peerbar_device_close(f.mem);
		f.mem = NULL;
		demand_cut_off(&users);
		request_end(&request);
		users_close(&users);
		fixture_close(&f);
		bring_back(address);
		demand_working();
	}
}

/* Taken out of the machine. */
static void removed(void)
{
	take_away("remove", "1");
}

/* Taken from vfio-pci. */
static void unbound(void)
{
	take_away("driver/unbind", fixture_env("PEERBAR_MEMDEV"));
}

/* The device that reaches the memory by DMA goes; the memory's own stays. */
static void importer_removed(void)
{
	const char *address = fixture_env("PEERBAR_REGDEV");
	struct request request;
	struct users users;
	struct fixture f;

	for (int i = 0; i < ROUNDS; i++) {
		fixture_open(&f, NEEDS);
		users_open(&f, &users);
		request_start(f.reg, "remove", "1", &request);
		peerbar_iova_unmap(users.iova);
		users.iova = NULL;
		peerbar_device_close(f.reg);
		f.reg = NULL;
		request_end(&request);
		stream_wait_for(users.stream, 1);
		demand_alive(users.map);
		users_close(&users);
		fixture_close(&f);
		bring_back(address);
		demand_working();
	}
}

/* A reset of the slot cuts off the RDMA for good and the mapping for a moment. */
static void hot_reset(void)
{
	struct users users;
	struct slice view;
	struct fixture f;

	fixture_open(&f, NEEDS);
	for (int i = 0; i < ROUNDS; i++) {
		users_open(&f, &users);
		CHECK_OK(raw_hot_reset(peerbar_device_fd(f.mem)));
		slice_open(&f, BASE, STREAM_LENGTH, NC, &view);
		pattern_fill(view.at, view.length, 1);
		CHECK_WC(stream_status(users.stream), IBV_WC_REM_ACCESS_ERR);
		CHECK(pattern_matches(view.at, view.length, 1), "written after the reset");
		demand_alive(users.map);
		slice_close(&view);
		users_close(&users);
	}
	fixture_close(&f);
}

static const struct tap_case cases[] = {
	{"removed", removed, 120},
	{"unbound", unbound, 120},
	{"importer_removed", importer_removed, 120},
	{"hot_reset", hot_reset},
};

TAP_MAIN(cases)
