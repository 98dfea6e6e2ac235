/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "uses.h"

/* Stable names, for programs; documented in peerbar(1). */
static const char *const kind_names[] = {
	[PEERBAR_USE_UNCHECKED] = "unchecked", [PEERBAR_USE_OPEN] = "open",
	[PEERBAR_USE_DISK] = "disk",	       [PEERBAR_USE_SHARE] = "share",
	[PEERBAR_USE_NETWORK] = "network",     [PEERBAR_USE_RDMA] = "rdma",
	[PEERBAR_USE_DISPLAY] = "display",     [PEERBAR_USE_SRIOV] = "sriov",
	[PEERBAR_USE_BRIDGE] = "bridge",
};

static const char *kind_name(enum peerbar_use_kind kind)
{
	return (size_t)kind < sizeof(kind_names) / sizeof(kind_names[0]) ? kind_names[kind]
									 : "other";
}

static void add_text(struct uses *uses, const struct peerbar_device_use *use)
{
	size_t used = strlen(uses->text);
	bool named = uses->named && !strcmp(uses->named, use->address);

	snprintf(uses->text + used, sizeof(uses->text) - used, "%s%s%s%s", used ? "; " : "",
		 named ? "" : use->address, named ? "" : ": ", use->text);
}

static void take(void *arg, const struct peerbar_device_use *use)
{
	struct json_object *object = json_object_new_object();
	struct uses *uses = arg;

	add_text(uses, use);
	uses->bridge |= use->kind == PEERBAR_USE_BRIDGE;
	json_object_object_add(object, "address", json_object_new_string(use->address));
	json_object_object_add(object, "kind", json_object_new_string(kind_name(use->kind)));
	json_object_object_add(object, "name", json_object_new_string(use->name));
	json_object_object_add(object, "text", json_object_new_string(use->text));
	if (use->error)
		json_object_object_add(object, "errno",
				       json_object_new_string(strerrorname_np(use->error)));
	if (!uses->list)
		uses->list = json_object_new_array();
	json_object_array_add(uses->list, object);
}

void uses_add(struct cli *cli, struct uses *uses, const char *address)
{
	int ret = peerbar_device_in_use(cli->pb, address, take, uses);

	if (ret && !*uses->text)
		snprintf(uses->text, sizeof(uses->text), "%s", cli->last_error);
	/* A use that was found weighs more than a check that failed. */
	if (ret && (!uses->error || ret == -EBUSY))
		uses->error = -ret;
}
