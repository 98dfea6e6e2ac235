// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whoever holds the descriptor of a dma-buf can attach a fence to it. No such fence, and this one never signals
 * by itself, may delay those who take the memory back.
 */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/sync_file.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "raw.h"

#define BASE   MIB(1)
#define LENGTH KIB(64)
#define NEEDS  (FIXTURE_MEM | NEED_MMAP | NEED_REVOKE)

/* What a blocked helper gets before its fence is signalled for it and the case fails. */
#define PATIENCE_S 10

/* drivers/dma-buf/sw_sync.c; there is no header of it for user space. */
struct sw_sync_create_fence_data {
	__u32 value;
	char name[32];
	__s32 fence;
};

#define SW_SYNC_IOC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence_data)
#define SW_SYNC_IOC_INC		 _IOW('W', 1, __u32)

/* A fence that is attached to a slice, and the timeline that it waits on. */
struct pending {
	struct fixture f;
	struct slice slice;
	int timeline;
};

static void pending_open(struct pending *p, unsigned int needs)
{
	struct sw_sync_create_fence_data create = {.value = 1, .name = "never"};
	struct dma_buf_import_sync_file import = {.flags = DMA_BUF_SYNC_RW};

	fixture_open(&p->f, needs);
	slice_open(&p->f, BASE, LENGTH, NC, &p->slice);
	demand_alive(p->slice.at);
	p->timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	fixture_need_config(p->timeline >= 0, "sw_sync (CONFIG_SW_SYNC)");
	CHECK_SYS(ioctl(p->timeline, SW_SYNC_IOC_CREATE_FENCE, &create), 0);
	import.fd = create.fence;
	CHECK_SYS(
		ioctl(peerbar_buffer_fd(p->slice.buffer), DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import),
		0);
	close(create.fence);
}

static void pending_signal(struct pending *p)
{
	__u32 steps = 1;

	CHECK_SYS(ioctl(p->timeline, SW_SYNC_IOC_INC, &steps), 0);
}

static void pending_close(struct pending *p)
{
	pending_signal(p);
	close(p->timeline);
	slice_close(&p->slice);
	fixture_close(&p->f);
}

static void late(int signal)
{
	(void)signal;
}

/* Runs in a process of its own what must not wait for the fence. */
static void demand_prompt(struct pending *p, void (*fn)(void *), const char *what)
{
	struct sigaction on_alarm = {.sa_handler = late};
	pid_t child = tap_fork(fn, p);
	siginfo_t info;
	int blocked;

	sigaction(SIGALRM, &on_alarm, NULL);
	alarm(PATIENCE_S * tap_slowness());
	blocked = waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	alarm(0);
	if (blocked)
		pending_signal(p);
	tap_join(child);
	CHECK(!blocked, "%s waited for the fence", what);
}

static void do_revoke(void *arg)
{
	struct pending *p = arg;

	CHECK_OK(raw_revoke(peerbar_device_fd(p->f.mem), peerbar_buffer_fd(p->slice.buffer)));
}

static void do_reset(void *arg)
{
	struct pending *p = arg;

	CHECK_OK(peerbar_device_reset(p->f.mem));
}

static void do_decode_off_and_on(void *arg)
{
	struct pending *p = arg;

	CHECK_OK(raw_set_memory_decode(peerbar_device_fd(p->f.mem), 0));
	CHECK_OK(raw_set_memory_decode(peerbar_device_fd(p->f.mem), 1));
}

/* Revocation for good. */
static void revoke_for_good(void)
{
	struct pending p;

	pending_open(&p, NEEDS);
	demand_prompt(&p, do_revoke, "revoke");
	demand_revoked(p.slice.at);
	pending_close(&p);
}

/* A reset, after which the memory is back. */
static void reset(void)
{
	struct pending p;

	pending_open(&p, NEEDS | NEED_RESET);
	demand_prompt(&p, do_reset, "reset");
	demand_alive(p.slice.at);
	pending_close(&p);
}

/* Memory decode. */
static void decode(void)
{
	struct pending p;

	pending_open(&p, NEEDS);
	demand_prompt(&p, do_decode_off_and_on, "memory decode");
	demand_alive(p.slice.at);
	pending_close(&p);
}

/* The fence is there, for those who ask for it: a test of this test. */
static void fence_is_attached(void)
{
	struct dma_buf_export_sync_file export = {.flags = DMA_BUF_SYNC_RW};
	struct sync_file_info info = {};
	struct pending p;

	pending_open(&p, NEEDS);
	CHECK_SYS(ioctl(peerbar_buffer_fd(p.slice.buffer), DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export),
		  0);
	CHECK_SYS(ioctl(export.fd, SYNC_IOC_FILE_INFO, &info), 0);
	CHECK(info.status == 0, "the fence has status %d, not pending", info.status);
	pending_signal(&p);
	info = (struct sync_file_info){};
	CHECK_SYS(ioctl(export.fd, SYNC_IOC_FILE_INFO, &info), 0);
	CHECK(info.status == 1, "the fence has status %d, not signalled", info.status);
	close(export.fd);
	pending_close(&p);
}

static const struct tap_case cases[] = {
	{"fence_is_attached", fence_is_attached, 0},
	{"revoke_for_good", revoke_for_good, 0},
	{"reset", reset, 0},
	{"decode", decode, 0},
};

TAP_MAIN(cases)
