// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Steps one to five: lend, map, register, be written to, ring a doorbell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerbar/mmio.h>

#include "edu.h"
#include "story.h"
#include "target.h"

#define NO_SLICE   "there is no slice"
#define NO_MAPPING "there is no mapping"
#define NO_REGION  "there is no memory region, or no peer"

/* 1. Lend ------------------------------------------------------------------- */

/* Names what a kernel without the series lacks, one by one. */
static void check_kernel(struct target *t)
{
	char missing[128] = "";

	if (!t->caps.dmabuf_mmap)
		strcat(missing, "mmap of exported dma-bufs, ");
	if (!t->caps.dmabuf_revoke)
		strcat(missing, "permanent revoke, ");
	if (!t->caps.dmabuf_memattr)
		strcat(missing, "memory attributes, ");
	if (*missing)
		missing[strlen(missing) - 2] = '\0';
	story_check(!*missing, "kernel-series",
		    "vfio-pci can lend, type and take back device memory", "%s%s",
		    *missing ? "this kernel lacks " : "", missing);
}

static void check_export(struct target *t, const char *id, const char *what, uint64_t offset,
			 uint64_t length, enum peerbar_memattr memattr, struct part *part)
{
	int ret = part_export(t, t->memory, MEMORY_BAR, offset, length, memattr, part);

	/* Whether that matters is for the look into the page tables to say. */
	if (ret == -EOPNOTSUPP && memattr == PEERBAR_MEMATTR_WC)
		ret = part_export(t, t->memory, MEMORY_BAR, offset, length, PEERBAR_MEMATTR_NC,
				  part);
	if (ret)
		story_check(false, id, what, "%s", target_why(t, ret));
	else
		story_check(true, id, what, "%llu KiB at %#llx", (unsigned long long)length >> 10,
			    (unsigned long long)offset);
}

void step_lend(struct target *t)
{
	story_step("The owner lends out a slice of its memory");
	story_say("A slice becomes a dma-buf: a descriptor that can be mapped, "
		  "registered with a NIC and given to other devices - and "
		  "taken back.");
	check_kernel(t);
	check_export(t, "export-slice", "export a slice for the peer", SLICE_OFFSET, SLICE_LENGTH,
		     PEERBAR_MEMATTR_WC, &t->slice);
	check_export(t, "export-neighbour", "export another, right behind it", BESIDE_OFFSET,
		     BESIDE_LENGTH, PEERBAR_MEMATTR_NC, &t->beside);
}

/* 2. Memory types ----------------------------------------------------------- */

static void check_type(const char *id, const char *what, const volatile uint8_t *at,
		       enum peerbar_memtype wanted)
{
	enum peerbar_memtype found;
	int ret;

	/* Only what was touched is in the page table. */
	(void)peerbar_read32(at);
	ret = peerbar_memtype_of(at, &found);
	if (ret)
		story_check(false, id, what, "the kernel does not tell: %s", strerror(-ret));
	else if (found != wanted)
		story_check(false, id, what,
			    "ATTENTION: %s WAS ASKED FOR, AND %s IS WHAT THE "
			    "PAGE TABLE HOLDS",
			    peerbar_memtype_name(wanted), peerbar_memtype_name(found));
	else
		story_check(true, id, what, "the page table says %s", peerbar_memtype_name(found));
}

static void map_and_check(struct target *t, struct part *part, const char *name,
			  const char *map_what, const char *type_what, enum peerbar_memtype wanted)
{
	char map_id[48], type_id[48];
	int ret = -ENOENT;

	snprintf(map_id, sizeof(map_id), "map-%s", name);
	snprintf(type_id, sizeof(type_id), "type-%s", name);
	t->problem[0] = '\0';
	if (part->buffer)
		ret = part_map(part);
	if (!part->buffer)
		story_skip(map_id, map_what, NO_SLICE);
	else
		story_check(!ret, map_id, map_what, "%s", target_why(t, ret));
	if (part->at)
		check_type(type_id, type_what, part->at, wanted);
	else
		story_skip(type_id, type_what, NO_MAPPING);
}

static void open_doorbell(struct target *t)
{
	struct peerbar_bar_info info = {0};
	int ret = peerbar_device_bar(t->registers, REGISTER_BAR, &info);

	if (!ret)
		ret = part_export(t, t->registers, REGISTER_BAR, 0, info.length, PEERBAR_MEMATTR_NC,
				  &t->doorbell);
	story_check(!ret, "export-registers", "export the other device's registers", "%s",
		    target_why(t, ret));
}

void step_memory_types(struct target *t)
{
	story_step("The CPU maps it, with the memory type it asked for");
	story_say("Bulk data wants write-combining (WC): stores gather into "
		  "bursts. A doorbell wants noncached (UC-): every store is one "
		  "bus write, at once. What was asked for proves nothing, so "
		  "this looks into the page tables.");
	map_and_check(t, &t->slice, "slice", "map the slice, write-combining",
		      "the slice really is write-combining", PEERBAR_MEMTYPE_WC);
	map_and_check(t, &t->beside, "neighbour", "map its neighbour, noncached",
		      "the neighbour is noncached", PEERBAR_MEMTYPE_UC_MINUS);
	open_doorbell(t);
	map_and_check(t, &t->doorbell, "registers", "map the registers, noncached",
		      "the registers are noncached", PEERBAR_MEMTYPE_UC_MINUS);
}

/* 3. A key ------------------------------------------------------------------ */

/* Through a descriptor that is closed at once: the region needs none. */
static int register_part(struct target *t, struct part *part)
{
	struct peerbar_buffer *copy;
	int ret;

	t->problem[0] = '\0';
	ret = peerbar_buffer_import(t->pb, peerbar_buffer_fd(part->buffer), &copy);
	if (ret)
		return ret;
	ret = peerbar_reg_mr(copy, t->rdma.pd, 0, peerbar_buffer_length(copy), PEER_ADDRESS,
			     RDMA_ACCESS_ALL, &part->mr);
	peerbar_buffer_close(copy);
	return ret;
}

static void check_register(struct target *t, const char *id, const char *what, struct part *part)
{
	int ret;

	if (!part->buffer || !t->rdma.pd) {
		story_skip(id, what, "there is nothing to register, or no NIC");
		return;
	}
	ret = register_part(t, part);
	if (ret == -EOPNOTSUPP)
		story_check(false, id, what,
			    "this kernel's rxe, or its provider, cannot "
			    "register dma-bufs");
	else if (ret)
		story_check(false, id, what, "%s", target_why(t, ret));
	else
		story_check(true, id, what, "rkey %#x", part->mr->rkey);
}

static void meet_peer(struct target *t)
{
	int ret = t->listener < 0 ? -ENOTCONN : control_accept(t->listener, &t->control);

	if (!ret && t->rdma.pd)
		ret = target_connect(t);
	else if (!ret)
		ret = -ENODEV;
	story_check(!ret, "connect", "connect a pair of queues with the peer", "%s",
		    ret ? rdma_status_name(ret) : "reliable, RoCE v2");
}

void step_key(struct target *t)
{
	int ret;

	story_step("The peer gets a key");
	ret = rdma_open(&t->rdma, RDMA_DEVICE, t->cast->own_address);
	story_check(!ret, "open-rdma", "open " RDMA_DEVICE, "%s",
		    ret ? rdma_status_name(ret) : "soft-RoCE");
	check_register(t, "register-slice",
		       "register the slice as a memory region, and close the "
		       "descriptor it came by",
		       &t->slice);
	check_register(t, "register-neighbour", "the same for its neighbour", &t->beside);
	meet_peer(t);
	if (t->slice.mr)
		story_say("The peer is told address %#llx and the rkey. From "
			  "here on it needs nobody's help.",
			  (unsigned long long)PEER_ADDRESS);
}

/* 4. The peer --------------------------------------------------------------- */

static bool can_reach(struct target *t)
{
	return t->slice.mr && t->control >= 0 && t->qp.qp;
}

static void skip_peer(void)
{
	story_skip("peer-write", "the peer writes", NO_REGION);
	story_skip("peer-read", "the peer reads it back", NO_REGION);
	story_skip("cpu-compare", "the CPU finds the same bytes", NO_REGION);
	story_skip("checksum", "both ends agree on the checksum", NO_REGION);
	story_skip("atomic", "the peer does an atomic", NO_REGION);
}

/* The peer's own bytes, by way of TCP, to compare with. */
static int fetch_data(struct target *t)
{
	struct control_message message = {
		.what = SERVANT_SHOW,
		.value = {SERVANT_LENGTH},
	};
	int ret;

	t->data = malloc(SERVANT_LENGTH);
	if (!t->data)
		return -ENOMEM;
	ret = target_ask(t, &message);
	if (!ret)
		ret = message.status;
	return ret ? ret : control_receive_bytes(t->control, t->data, SERVANT_LENGTH);
}

static void check_write(struct target *t)
{
	struct control_message answer;
	int ret;

	ret = target_ask_rdma(t, SERVANT_WRITE, PEER_ADDRESS + AT_DATA, t->slice.mr->rkey,
			      SERVANT_LENGTH, &answer);
	if (!ret)
		ret = answer.status;
	story_check(!ret, "peer-write", "the peer RDMA-writes 1 MiB of random data", "%s",
		    ret ? rdma_status_name(ret) : "completed");
	ret = target_ask_rdma(t, SERVANT_COMPARE, PEER_ADDRESS + AT_DATA, t->slice.mr->rkey,
			      SERVANT_LENGTH, &answer);
	if (!ret)
		ret = answer.status;
	story_check(!ret && answer.value[0], "peer-read",
		    "the peer RDMA-reads it back and finds what it wrote", "%s",
		    ret		      ? rdma_status_name(ret)
		    : answer.value[0] ? "all of it"
				      : "something else");
}

static void check_by_cpu(struct target *t, uint64_t peer_sum)
{
	uint8_t *copy;
	uint64_t sum;
	int ret;

	if (!t->slice.at) {
		story_skip("cpu-compare", "the CPU finds the same bytes", NO_MAPPING);
		story_skip("checksum", "both ends agree on the checksum", NO_MAPPING);
		return;
	}
	ret = fetch_data(t);
	story_check(!ret && target_same(t->slice.at + AT_DATA, t->data, SERVANT_LENGTH),
		    "cpu-compare", "the CPU finds the same bytes through its mapping", "%s",
		    ret ? rdma_status_name(ret) : "compared with a copy that came over TCP");
	copy = malloc(SERVANT_LENGTH);
	if (copy)
		peerbar_copy_from(copy, t->slice.at + AT_DATA, SERVANT_LENGTH);
	sum = copy ? servant_checksum(copy, SERVANT_LENGTH) : 0;
	free(copy);
	story_check(sum == peer_sum, "checksum", "both ends agree on the checksum",
		    "%016llx here, %016llx "
		    "there",
		    (unsigned long long)sum, (unsigned long long)peer_sum);
}

static void check_atomic(struct target *t)
{
	volatile uint8_t *counter = t->slice.at + AT_COUNTER;
	struct control_message answer;
	uint64_t now;
	int ret;

	if (!t->slice.at) {
		story_skip("atomic", "the peer does an atomic", NO_MAPPING);
		return;
	}
	peerbar_wc_start();
	peerbar_write64(counter, 40);
	peerbar_wc_flush();
	ret = target_ask_rdma(t, SERVANT_ADD, PEER_ADDRESS + AT_COUNTER, t->slice.mr->rkey, 2,
			      &answer);
	if (!ret)
		ret = answer.status;
	now = peerbar_read64(counter);
	if (ret)
		story_check(false, "atomic", "the peer adds 2 to a counter", "%s",
			    rdma_status_name(ret));
	else
		story_check(answer.value[0] == 40 && now == 42, "atomic",
			    "the peer adds 2 to a counter, atomically",
			    "it was told %llu, the CPU now reads %llu",
			    (unsigned long long)answer.value[0], (unsigned long long)now);
}

void step_peer(struct target *t)
{
	struct control_message fill = {
		.what = SERVANT_FILL,
		.value = {SERVANT_LENGTH},
	};

	story_step("The peer uses the memory, with no CPU of ours in the way");
	if (!can_reach(t) || target_ask(t, &fill) || fill.status) {
		skip_peer();
		return;
	}
	check_write(t);
	check_by_cpu(t, fill.value[0]);
	check_atomic(t);
}

/* 5. The doorbell ----------------------------------------------------------- */

/* What the device is to do. It lies in device memory itself. */
struct descriptor {
	uint64_t source;
	uint64_t target;
	uint64_t length;
	uint64_t serial;
	uint64_t reserved[4];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct descriptor) == 64, "one push");

static void skip_doorbell(const char *why)
{
	story_skip("descriptor", "a descriptor goes through the WC mapping", why);
	story_skip("doorbell", "the doorbell rings", why);
	story_skip("device-to-device", "the device moved the data", why);
}

static bool check_iova(struct target *t)
{
	int ret = t->slice.buffer ? part_map_iova(t, &t->slice) : -ENOENT;

	if (!ret && t->beside.buffer)
		ret = part_map_iova(t, &t->beside);
	if (!ret)
		ret = peerbar_device_set_bus_master(t->registers, true);
	if (ret)
		return story_check(false, "iommu-map", "the IOMMU lets the device at the slice",
				   "%s", target_why(t, ret));
	return story_check(true, "iommu-map", "the IOMMU lets the device at the slice",
			   "the device sees it at %#llx",
			   (unsigned long long)peerbar_iova(t->slice.iova));
}

/* Writes the descriptor as a driver would, and reads back what arrived. */
static bool check_descriptor(struct target *t, struct descriptor *arrived)
{
	const struct descriptor wanted = {
		.source = peerbar_iova(t->slice.iova) + COPY_SOURCE,
		.target = peerbar_iova(t->slice.iova) + AT_COPY,
		.length = COPY_LENGTH,
		.serial = 1,
	};
	volatile uint8_t *at = t->slice.at + AT_DESCRIPTOR;

	peerbar_wc_start();
	peerbar_wc_push64(at, &wanted);
	peerbar_wc_flush();
	peerbar_copy_from(arrived, at, sizeof(*arrived));
	return story_check(!memcmp(arrived, &wanted, sizeof(wanted)), "descriptor",
			   "a 64-byte descriptor is pushed through the WC mapping",
			   "flushed, and read back from device memory");
}

static void check_copy(struct target *t, const struct descriptor *todo)
{
	uint8_t *before = malloc(COPY_LENGTH);
	int ret;

	if (!before)
		return;
	peerbar_copy_from(before, t->slice.at + COPY_SOURCE, COPY_LENGTH);
	ret = edu_copy(t->doorbell.at, todo->target, todo->source, todo->length);
	story_check(!ret, "doorbell", "the doorbell rings, and the DMA engine reports the end",
		    "%s", ret ? strerror(-ret) : "each register takes one store");
	story_check(!ret && target_same(t->slice.at + AT_COPY, before, COPY_LENGTH) &&
			    target_same(t->slice.at + COPY_SOURCE, before, COPY_LENGTH),
		    "device-to-device", "the device moved 4 KiB of what the peer wrote",
		    "pulled out of the BAR, put back %llu KiB further",
		    (unsigned long long)(AT_COPY - COPY_SOURCE) >> 10);
	free(before);
}

void step_doorbell(struct target *t)
{
	struct descriptor todo;

	story_step("The CPU rings a doorbell, and another device fetches");
	story_say("The second device's DMA engine is told where to find the "
		  "peer's data, by a descriptor that lies in device memory, "
		  "and moves it without touching host memory.");
	if (!t->slice.buffer) {
		story_skip("iommu-map", "the IOMMU lets the device at it", NO_SLICE);
		skip_doorbell(NO_SLICE);
		return;
	}
	if (!check_iova(t)) {
		skip_doorbell("the device cannot reach the slice");
		return;
	}
	if (!t->slice.at || !t->doorbell.at) {
		skip_doorbell(NO_MAPPING);
		return;
	}
	if (!edu_present(t->doorbell.at)) {
		story_check(false, "doorbell", "the device answers",
			    "its registers are not those of QEMU's edu");
		return;
	}
	if (check_descriptor(t, &todo))
		check_copy(t, &todo);
}
