// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The target: owns the device memory, lends it, and tells the story. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <peerbar/mmio.h>

#include "edu.h"
#include "fault.h"
#include "story.h"
#include "target.h"

static void keep_problem(void *arg, enum peerbar_log_level level, const char *message)
{
	struct target *t = arg;

	if (level == PEERBAR_LOG_ERROR)
		snprintf(t->problem, sizeof(t->problem), "%s", message);
}

const char *target_why(struct target *t, int ret)
{
	if (!ret)
		t->problem[0] = '\0';
	else if (!t->problem[0])
		snprintf(t->problem, sizeof(t->problem), "%s", rdma_status_name(ret));
	return t->problem;
}

int part_export(struct target *t, struct peerbar_device *dev, unsigned int bar, uint64_t offset,
		uint64_t length, enum peerbar_memattr memattr, struct part *part)
{
	const struct peerbar_range range = {
		.offset = offset,
		.length = length,
	};
	const struct peerbar_export_options options = {
		.size = sizeof(options),
		.memattr = memattr,
	};

	t->problem[0] = '\0';
	return peerbar_buffer_export(dev, bar, &range, 1, &options, &part->buffer);
}

int part_map(struct part *part)
{
	int ret = peerbar_map(part->buffer, 0, peerbar_buffer_length(part->buffer), NULL,
			      &part->mapping);

	if (!ret)
		part->at = peerbar_mapping_addr(part->mapping);
	return ret;
}

int part_map_iova(struct target *t, struct part *part)
{
	const struct peerbar_iova_options below = {
		.size = sizeof(below),
		.iova_limit = EDU_IOVA_LIMIT,
	};

	t->problem[0] = '\0';
	return peerbar_iova_map(t->registers, part->buffer, 0, peerbar_buffer_length(part->buffer),
				&below, &part->iova);
}

void part_close(struct part *part)
{
	if (part->mr)
		ibv_dereg_mr(part->mr);
	if (part->iova)
		peerbar_iova_unmap(part->iova);
	peerbar_unmap(part->mapping);
	peerbar_buffer_close(part->buffer);
	memset(part, 0, sizeof(*part));
}

int target_ask(struct target *t, struct control_message *message)
{
	return t->control < 0 ? -ENOTCONN : control_ask(t->control, message);
}

int target_ask_rdma(struct target *t, enum servant_request what, uint64_t address, uint32_t key,
		    uint64_t number, struct control_message *answer)
{
	*answer = (struct control_message){
		.what = what,
		.value = {address, key, number},
	};
	return target_ask(t, answer);
}

int target_connect(struct target *t)
{
	struct control_message message = {.what = SERVANT_CONNECT};
	int ret;

	rdma_qp_close(&t->qp);
	ret = rdma_qp_open(&t->rdma, &t->qp);
	if (ret)
		return ret;
	rdma_qp_endpoint(&t->qp, &message.endpoint);
	ret = target_ask(t, &message);
	if (!ret)
		ret = message.status;
	if (!ret)
		ret = rdma_qp_connect(&t->qp, &message.endpoint);
	return ret;
}

bool target_same(const volatile void *device, const void *host, size_t length)
{
	uint8_t *copy = malloc(length);
	bool same;

	if (!copy)
		return false;
	peerbar_copy_from(copy, device, length);
	same = !memcmp(copy, host, length);
	free(copy);
	return same;
}

static void introduce(struct target *t)
{
	struct peerbar_bar_info memory, registers;
	struct utsname name;

	uname(&name);
	story_role("target", "%s, Linux %s, with %s", t->cast->own_address, name.release,
		   RDMA_DEVICE);
	if (strcmp(t->cast->own_address, t->cast->peer_address))
		story_role("peer", "%s, with ordinary memory and %s", t->cast->peer_address,
			   RDMA_DEVICE);
	else
		story_role("peer", "another process on this host");
	if (!peerbar_device_bar(t->memory, MEMORY_BAR, &memory))
		story_role("memory",
			   "%s, BAR %d, %llu MiB: stands for the memory of an "
			   "accelerator",
			   peerbar_device_address(t->memory), MEMORY_BAR,
			   (unsigned long long)memory.length >> 20);
	if (!peerbar_device_bar(t->registers, REGISTER_BAR, &registers))
		story_role("device",
			   "%s, BAR %d, %llu KiB: registers, a doorbell, a DMA "
			   "engine",
			   peerbar_device_address(t->registers), REGISTER_BAR,
			   (unsigned long long)registers.length >> 10);
}

static int open_devices(struct target *t)
{
	const struct peerbar_options options = {
		.size = sizeof(options),
		.log = keep_problem,
		.log_arg = t,
	};
	int ret;

	t->caps.size = sizeof(t->caps);
	ret = peerbar_open(&options, &t->pb);
	if (!ret)
		ret = peerbar_device_open(t->pb, t->cast->memory, NULL, &t->memory);
	if (!ret)
		ret = peerbar_device_open(t->pb, t->cast->registers, NULL, &t->registers);
	if (!ret)
		ret = peerbar_device_caps(t->memory, &t->caps);
	return ret;
}

static void close_all(struct target *t)
{
	struct control_message goodbye = {.what = SERVANT_GOODBYE};

	if (t->control >= 0) {
		control_ask(t->control, &goodbye);
		close(t->control);
	}
	if (t->listener >= 0)
		close(t->listener);
	rdma_qp_close(&t->qp);
	part_close(&t->slice);
	part_close(&t->beside);
	part_close(&t->doorbell);
	rdma_close(&t->rdma);
	peerbar_device_close(t->registers);
	peerbar_device_close(t->memory);
	peerbar_close(t->pb);
	free(t->data);
}

static void tell(struct target *t)
{
	step_lend(t);
	step_memory_types(t);
	step_key(t);
	step_peer(t);
	step_doorbell(t);
	step_revoke(t);
	step_neighbour(t);
}

int demo_target(const struct demo_cast *cast, bool json)
{
	struct target t = {.cast = cast, .listener = -1, .control = -1};
	int ret;

	/* First of all, so that the peer finds somebody to talk to. */
	ret = control_listen(cast->control, &t.listener);
	if (ret)
		fprintf(stderr, "peerbar-demo: listening on %s: %s\n", cast->control,
			strerror(-ret));
	story_begin(json, "A peer writes into the memory of a PCI device, and the "
			  "owner takes it back");
	fault_catch();
	ret = open_devices(&t);
	if (!ret) {
		introduce(&t);
		tell(&t);
	} else {
		story_step("The devices");
		story_check(false, "open-devices", "open both devices", "%s", target_why(&t, ret));
	}
	close_all(&t);
	return story_end();
}
