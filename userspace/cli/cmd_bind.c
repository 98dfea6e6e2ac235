/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* bind and unbind: the same steps, in two directions. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "in_use.h"
#include "output.h"

struct outcome {
	struct peerbar_device_info info;
	bool changed;
	struct json_object *error; /* NULL: it went well */
};

/* What a failed bind or unbind needs; the likely causes in order. */
static void write_hint(const struct cli *cli, const char *address, struct failure *failure)
{
	struct peerbar_system_caps caps = { .size = sizeof(caps) };
	const char *name = cli->command->name;
	char *hint = failure->hint;
	size_t size = sizeof(failure->hint);

	peerbar_system_caps(cli->pb, &caps);
	if (geteuid() && (failure->error == EACCES || failure->error == EPERM))
		snprintf(hint, size, "run it as root: sudo peerbar %s %s", name, address);
	else if (failure->error == EACCES || failure->error == EPERM || failure->error == EROFS)
		snprintf(hint, size, "root may not do this here: is /sys read-only, as in a container?");
	else if (!strcmp(name, "bind") && !caps.vfio_pci)
		snprintf(hint, size, "load the driver first: modprobe vfio-pci");
	else if (!strcmp(name, "bind") && !caps.iommu)
		snprintf(hint, size, "vfio-pci wants an IOMMU: turn it on in the firmware, and on "
			 "Intel boot with intel_iommu=on");
	else
		snprintf(hint, size, "dmesg may tell more; `peerbar doctor` says what is missing");
}

static struct json_object *report(const struct cli *cli, const struct failure *failure)
{
	failure_print(cli, failure);
	return failure_json(cli, failure);
}

static struct json_object *refuse_bind(struct cli *cli, const char *address)
{
	struct failure failure = { .address = address, .error = EBUSY };
	char what[160];

	if (cli_has(cli, CLI_OPT_FORCE) || !in_use(address, what, sizeof(what)))
		return NULL;
	cli_forget(cli);
	snprintf(cli->last_error, sizeof(cli->last_error), "it serves %s", what);
	snprintf(failure.tried, sizeof(failure.tried), "not binding %s", address);
	snprintf(failure.hint, sizeof(failure.hint),
		 "stop using it first, or say --force to cut it off");
	return report(cli, &failure);
}

/*
 * The kernel lets nobody take a device from vfio-pci while it is open: an
 * unbind would hang until then. Opening it ourselves is how to find out.
 */
static struct json_object *refuse_unbind(struct cli *cli, const char *address)
{
	struct failure failure = { .address = address, .error = EBUSY };
	struct peerbar_device *dev = NULL;
	int ret;

	if (cli_has(cli, CLI_OPT_FORCE))
		return NULL;
	ret = peerbar_device_open(cli->pb, address, NULL, &dev);
	if (!ret)
		peerbar_device_close(dev);
	if (ret != -EBUSY)
		return NULL;
	snprintf(failure.tried, sizeof(failure.tried), "not unbinding %s", address);
	snprintf(failure.hint, sizeof(failure.hint),
		 "end the program that has it open, or say --force to wait until it lets go");
	return report(cli, &failure);
}

static struct json_object *change(struct cli *cli, const char *address)
{
	bool bind = cli->command == &cli_commands[CLI_BIND];
	struct failure failure = { .address = address };
	int ret;

	cli_forget(cli);
	ret = bind ? peerbar_bind(cli->pb, address) : peerbar_unbind(cli->pb, address);
	if (!ret)
		return NULL;
	failure.error = -ret;
	snprintf(failure.tried, sizeof(failure.tried),
		 bind ? "cannot bind %s to vfio-pci" : "cannot unbind %s from vfio-pci", address);
	write_hint(cli, address, &failure);
	return report(cli, &failure);
}

static void act(struct cli *cli, struct outcome *outcome)
{
	bool bind = cli->command == &cli_commands[CLI_BIND];
	const char *address = outcome->info.address;

	/* Not as it was found before: an address may have been given twice. */
	peerbar_device_lookup(cli->pb, address, &outcome->info);
	if (outcome->info.vfio_bound == bind)
		return;
	outcome->error = bind ? refuse_bind(cli, address) : refuse_unbind(cli, address);
	if (!outcome->error)
		outcome->error = change(cli, address);
	outcome->changed = !outcome->error;
	/* What it is like now; if it has gone, what was known stands. */
	peerbar_device_lookup(cli->pb, address, &outcome->info);
}

/*
 * A group is usable only when all of it is: name a device that stands in the
 * way, of those in the same group. Bridges do not.
 */
static bool find_hindrance(struct cli *cli, const struct peerbar_device_info *info,
			   struct peerbar_device_info *hindrance)
{
	struct peerbar_device_info *infos;
	bool found = false;
	size_t count;

	if (info->iommu_group < 0 || peerbar_list_devices(cli->pb, &infos, &count))
		return false;
	for (size_t i = 0; i < count && !found; i++) {
		const struct peerbar_device_info *other = &infos[i];

		found = other->iommu_group == info->iommu_group && *other->driver &&
			!other->vfio_bound && other->class_code >> 16 != 0x06;
		if (found)
			*hindrance = *other;
	}
	peerbar_free_devices(infos);
	return found;
}

static bool note_for(struct cli *cli, const struct outcome *outcome, char *note, size_t size)
{
	struct peerbar_device_info other;

	if (cli->command != &cli_commands[CLI_BIND] || outcome->error ||
	    !find_hindrance(cli, &outcome->info, &other))
		return false;
	snprintf(note, size, "its IOMMU group %d is not free yet: bind %s (driver %s), too",
		 other.iommu_group, other.address, other.driver);
	return true;
}

static void print_outcome(struct cli *cli, const struct outcome *outcome)
{
	const struct peerbar_device_info *info = &outcome->info;
	char note[160];

	if (outcome->error)
		return;
	printf("%s  ", info->address);
	if (cli->command == &cli_commands[CLI_BIND])
		printf("%s to %s\n", outcome->changed ? "bound" : "was already bound", info->driver);
	else
		printf("%s; its driver is %s\n",
		       outcome->changed ? "unbound" : "was not bound to vfio-pci",
		       *info->driver ? info->driver : "none");
	if (note_for(cli, outcome, note, sizeof(note)))
		printf("  note: %s\n", note);
}

static struct json_object *outcome_json(struct cli *cli, const struct outcome *outcome)
{
	struct json_object *object = json_object_new_object();
	const struct peerbar_device_info *info = &outcome->info;
	char note[160];

	json_object_object_add(object, "address", json_object_new_string(info->address));
	json_object_object_add(object, "ok", json_object_new_boolean(!outcome->error));
	json_object_object_add(object, "changed", json_object_new_boolean(outcome->changed));
	json_object_object_add(object, "bound", json_object_new_boolean(info->vfio_bound));
	json_object_object_add(object, "driver",
			       *info->driver ? json_object_new_string(info->driver) : NULL);
	if (note_for(cli, outcome, note, sizeof(note)))
		json_object_object_add(object, "note", json_object_new_string(note));
	if (outcome->error)
		json_object_object_add(object, "error", json_object_get(outcome->error));
	return object;
}

static void print_outcomes(struct cli *cli, const struct outcome *outcomes)
{
	struct json_object *document, *list;

	if (!cli_has(cli, CLI_OPT_JSON)) {
		for (int i = 0; i < cli->nr_operands; i++)
			print_outcome(cli, &outcomes[i]);
		return;
	}
	document = json_object_new_object();
	list = json_object_new_array();
	for (int i = 0; i < cli->nr_operands; i++)
		json_object_array_add(list, outcome_json(cli, &outcomes[i]));
	json_object_object_add(document, "devices", list);
	out_json(document);
}

static enum cli_status act_on_all(struct cli *cli, struct outcome *outcomes)
{
	enum cli_status status = CLI_OK;

	/* A slip in the last address shall not leave the first ones changed. */
	for (int i = 0; i < cli->nr_operands && !status; i++)
		status = cli_lookup(cli, cli->operands[i], &outcomes[i].info);
	if (status)
		return status;
	for (int i = 0; i < cli->nr_operands; i++) {
		act(cli, &outcomes[i]);
		if (outcomes[i].error)
			status = CLI_FAILED;
	}
	print_outcomes(cli, outcomes);
	for (int i = 0; i < cli->nr_operands; i++)
		json_object_put(outcomes[i].error);
	return status;
}

static enum cli_status bind_or_unbind(struct cli *cli)
{
	struct failure failure = { .error = ENOMEM, .tried = "cannot start" };
	struct outcome *outcomes;
	enum cli_status status;

	if (cli_open(cli))
		return CLI_FAILED;
	outcomes = calloc(cli->nr_operands, sizeof(*outcomes));
	if (!outcomes) {
		failure_report(cli, &failure);
		return CLI_FAILED;
	}
	status = act_on_all(cli, outcomes);
	free(outcomes);
	return status;
}

enum cli_status cmd_bind(struct cli *cli)
{
	return bind_or_unbind(cli);
}

enum cli_status cmd_unbind(struct cli *cli)
{
	return bind_or_unbind(cli);
}
