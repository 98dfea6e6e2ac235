// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Steps six and seven: take the slice back, and see that nobody else minds. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <peerbar/mmio.h>

#include "edu.h"
#include "fault.h"
#include "klog.h"
#include "story.h"
#include "target.h"

#define PROBE 512 /* bytes that the device tries to move */

/* 6. Revoke ----------------------------------------------------------------- */

static const char *const revoke_checks[][2] = {
	{"revoke", "the owner revokes the slice"},
	{"revoked-peer", "the peer's next write fails"},
	{"revoked-cpu", "the CPU's mapping faults"},
	{"revoked-mmap", "it cannot be mapped again"},
	{"revoked-again", "a second revoke says so"},
	{"export-again", "the range can be lent out again, at once"},
	{"revoked-dma-write", "the device cannot write to it"},
	{"revoked-dma-read", "the device cannot read it"},
	{"unchanged", "not a byte has changed"},
};

#define REVOKE_CHECKS (sizeof(revoke_checks) / sizeof(revoke_checks[0]))
#define DEVICE_CHECKS 6 /* where the device's begin */

static void skip_revoke(size_t from, size_t to, const char *why)
{
	for (size_t i = from; i < to; i++)
		story_skip(revoke_checks[i][0], revoke_checks[i][1], why);
}

static void check_peer_is_out(struct target *t)
{
	struct control_message answer = {0};
	int ret;

	if (!t->slice.mr || !t->qp.qp) {
		story_skip("revoked-peer", "the peer's next write fails", "it never had access");
		return;
	}
	ret = target_ask_rdma(t, SERVANT_WRITE, PEER_ADDRESS, t->slice.mr->rkey, 4096, &answer);
	if (!ret)
		ret = answer.status;
	story_check(ret == IBV_WC_REM_ACCESS_ERR, "revoked-peer",
		    "the peer's next write fails with a remote access error", "it was told \"%s\"",
		    rdma_status_name(ret));
}

static void check_cpu_is_out(struct target *t)
{
	volatile uint8_t *at = t->slice.at + AT_DATA + 4096 + 8;
	struct fault fault;
	bool revoked;
	void *map;

	if (!t->slice.at) {
		story_skip("revoked-cpu", "the CPU's mapping faults", "there is no mapping");
		return;
	}
	revoked = fault_is_revoked(at, &fault);
	story_check(revoked, "revoked-cpu", "the CPU's mapping faults, at that very address",
		    "touched %p: %s%s at %p", (void *)at, fault.signal ? "SIG" : "",
		    fault.signal ? sigabbrev_np(fault.signal) : "no fault", (void *)fault.address);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, peerbar_buffer_fd(t->slice.buffer), 0);
	story_check(map == MAP_FAILED && errno == ENODEV, "revoked-mmap",
		    "it cannot be mapped again", "%s",
		    map == MAP_FAILED ? strerrorname_np(errno) : "it could");
	if (map != MAP_FAILED)
		munmap(map, 4096);
}

static void fill_bytes(volatile uint8_t *at, uint8_t byte, size_t length)
{
	for (size_t i = 0; i < length; i += 8)
		peerbar_write64(at + i, byte * 0x0101010101010101ULL);
	peerbar_wc_flush();
}

/* Takes a mark from next door, where it may, and tries to leave it here. */
static void check_device_write(struct target *t, const volatile uint8_t *now, const uint8_t *before)
{
	int ret;

	fill_bytes(t->beside.at, 0x5a, PROBE);
	ret = edu_dma(t->doorbell.at, EDU_PULL, peerbar_iova(t->beside.iova), PROBE);
	if (!ret)
		ret = edu_dma(t->doorbell.at, EDU_PUSH, peerbar_iova(t->slice.iova) + AT_COPY,
			      PROBE);
	story_check(!ret && target_same(now + AT_COPY, before + AT_COPY, PROBE),
		    "revoked-dma-write", "the device writes to where the slice was", "%s",
		    ret ? strerror(-ret) : "nothing arrives, the IOMMU has no such page");
}

/* Tries to carry something of it next door. */
static void check_device_read(struct target *t, const uint8_t *before)
{
	uint8_t found[PROBE];
	int ret;

	ret = edu_dma(t->doorbell.at, EDU_PULL, peerbar_iova(t->slice.iova) + COPY_SOURCE, PROBE);
	if (!ret)
		ret = edu_dma(t->doorbell.at, EDU_PUSH, peerbar_iova(t->beside.iova) + 4096, PROBE);
	peerbar_copy_from(found, t->beside.at + 4096, PROBE);
	story_check(!ret && memcmp(found, before + COPY_SOURCE, PROBE), "revoked-dma-read",
		    "the device reads there", "%s",
		    ret ? strerror(-ret) : "nothing of it comes out");
}

static void check_device_is_out(struct target *t, const volatile uint8_t *now,
				const uint8_t *before)
{
	if (!t->slice.iova || !t->beside.iova || !t->beside.at || !t->doorbell.at) {
		skip_revoke(DEVICE_CHECKS, DEVICE_CHECKS + 2, "the device never had access");
		return;
	}
	klog_expect(KLOG_DMA_FAULT);
	check_device_write(t, now, before);
	check_device_read(t, before);
}

/* A new buffer over the same range shows what happens to it from now on. */
static void check_range(struct target *t, const uint8_t *before)
{
	struct part again = {0};
	int ret;

	ret = part_export(t, t->memory, MEMORY_BAR, SLICE_OFFSET, SLICE_LENGTH, PEERBAR_MEMATTR_NC,
			  &again);
	if (!ret)
		ret = part_map(&again);
	story_check(!ret, "export-again", "the range can be lent out again, at once", "%s",
		    ret ? target_why(t, ret) : "as a new buffer, noncached");
	if (ret) {
		skip_revoke(DEVICE_CHECKS, REVOKE_CHECKS, "nothing shows the range");
	} else {
		check_device_is_out(t, again.at, before);
		story_check(target_same(again.at, before, SLICE_LENGTH), "unchanged",
			    "not a byte of it has changed since the revoke", "4 MiB compared");
	}
	part_close(&again);
}

static uint8_t *snapshot(struct target *t)
{
	uint8_t *copy = malloc(SLICE_LENGTH);

	if (copy)
		peerbar_copy_from(copy, t->slice.at, SLICE_LENGTH);
	return copy;
}

void step_revoke(struct target *t)
{
	uint8_t *before;
	int ret;

	story_step("The owner takes the slice back");
	story_say("One call. When it returns, nobody reaches the range: not "
		  "the peer, not a CPU mapping in any process, not the other "
		  "device.");
	if (!t->slice.at) {
		skip_revoke(0, REVOKE_CHECKS, "there is nothing that could be taken back");
		return;
	}
	before = snapshot(t);
	t->problem[0] = '\0';
	ret = before ? peerbar_buffer_revoke(t->slice.buffer) : -ENOMEM;
	if (!story_check(!ret, "revoke", "the owner revokes the slice", "%s", target_why(t, ret))) {
		skip_revoke(1, REVOKE_CHECKS, "it was not revoked");
		free(before);
		return;
	}
	check_peer_is_out(t);
	check_cpu_is_out(t);
	ret = peerbar_buffer_revoke(t->slice.buffer);
	story_check(ret == -EBADFD, "revoked-again", "a second revoke says so", "%s",
		    ret ? strerrorname_np(-ret) : "it claims to work");
	check_range(t, before);
	free(before);
}

/* 7. The neighbour ---------------------------------------------------------- */

static void check_neighbour_peer(struct target *t)
{
	struct control_message answer = {0};
	int ret;

	if (!t->beside.mr || t->control < 0) {
		story_skip("neighbour-peer", "the peer writes next door",
			   "there is no memory region, or no peer");
		return;
	}
	/* The failed write has stopped the queues, as RDMA wants it. */
	ret = target_connect(t);
	if (!ret)
		ret = target_ask_rdma(t, SERVANT_WRITE, PEER_ADDRESS, t->beside.mr->rkey,
				      BESIDE_LENGTH, &answer);
	if (!ret)
		ret = answer.status;
	if (!ret)
		ret = target_ask_rdma(t, SERVANT_COMPARE, PEER_ADDRESS, t->beside.mr->rkey,
				      BESIDE_LENGTH, &answer);
	if (!ret)
		ret = answer.status;
	story_check(!ret && answer.value[0], "neighbour-peer",
		    "the peer writes next door and reads it back", "%s",
		    ret ? rdma_status_name(ret) : "1 MiB, on new queues");
}

static void check_neighbour_cpu(struct target *t)
{
	struct fault fault;
	uint32_t value = 0;
	bool alive;

	if (!t->beside.at) {
		story_skip("neighbour-cpu", "the CPU reads next door", "there is no mapping");
		return;
	}
	alive = fault_read(t->beside.at, &value, &fault);
	if (alive && t->data && t->beside.mr)
		alive = target_same(t->beside.at, t->data, BESIDE_LENGTH);
	story_check(alive, "neighbour-cpu", "the CPU reads next door, through the mapping it had",
		    "%s", alive ? "what the peer has written" : "wrong, or a fault");
}

static void check_neighbour_dma(struct target *t)
{
	uint8_t sent[PROBE];
	int ret;

	if (!t->beside.at || !t->beside.iova || !t->doorbell.at) {
		story_skip("neighbour-dma", "the device moves data next door",
			   "the device has no access");
		return;
	}
	peerbar_copy_from(sent, t->beside.at, PROBE);
	ret = edu_copy(t->doorbell.at, peerbar_iova(t->beside.iova) + 65536,
		       peerbar_iova(t->beside.iova), PROBE);
	story_check(!ret && target_same(t->beside.at + 65536, sent, PROBE), "neighbour-dma",
		    "the device moves data next door", "%s", ret ? strerror(-ret) : "compared");
}

void step_neighbour(struct target *t)
{
	story_step("Next door, business as usual");
	check_neighbour_peer(t);
	check_neighbour_cpu(t);
	check_neighbour_dma(t);
}
