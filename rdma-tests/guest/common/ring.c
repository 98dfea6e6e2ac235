// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rdma/rdma_user_rxe.h>

#include "ring.h"
#include "tap.h"

uint64_t ring_id(void)
{
	static uint64_t id = 0x0123456789abcdefULL;

	return ++id;
}

struct place {
	const struct rxe_queue_buf *queue;
	uint64_t *request;
};

/* In one mapping of the provider's. */
static uint64_t *find_in(uintptr_t from, uintptr_t to, uint64_t id)
{
	for (uintptr_t at = from; at + sizeof(id) <= to; at += sizeof(id))
		if (*(uint64_t *)at == id)
			return (uint64_t *)at;
	return NULL;
}

static struct place find(uint64_t id)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t *found = NULL;
	uintptr_t from, to;
	char line[512];

	CHECK(maps, "/proc/self/maps: %s", strerror(errno));
	while (!found && fgets(line, sizeof(line), maps))
		if (strstr(line, "/uverbs") &&
		    sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2)
			found = find_in(from, to, id);
	fclose(maps);
	CHECK(found, "no such request in the provider's queues");
	return (struct place){.queue = (const void *)from, .request = found};
}

void *ring_find(uint64_t id)
{
	return find(id).request;
}

bool ring_find_last(uint64_t id)
{
	struct place place = find(id);
	size_t at = (size_t)((const uint8_t *)place.request - place.queue->data);

	return at >> place.queue->log2_elem_size == place.queue->index_mask;
}
