/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* bind and unbind: the same steps, in two directions. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "uses.h"

struct outcome {
	struct peerbar_device_info info;
	bool was_bound;
	bool was_interrupted; /* by a bind or unbind before this one */
	bool changed;
	struct json_object *error; /* NULL: it went well */
};

/*
 * The devices in the order in which they are told of. Those of a group, with
 * --group, stand together, and are bound together.
 */
struct outcomes {
	struct outcome *list;
	size_t count;
};

static bool binds(const struct cli *cli)
{
	return cli->command == &cli_commands[CLI_BIND];
}

/* Failures ------------------------------------------------------------------- */

/* What a failed bind or unbind needs; the likely causes in order. */
static void write_hint(const struct cli *cli, const char *address, struct failure *failure)
{
	struct peerbar_system_caps caps = {.size = sizeof(caps)};
	const char *name = cli->command->name;
	char *hint = failure->hint;
	size_t size = sizeof(failure->hint);

	peerbar_system_caps(cli->pb, &caps);
	if (geteuid() && (failure->error == EACCES || failure->error == EPERM))
		snprintf(hint, size, "run it as root: sudo peerbar %s %s", name, address);
	else if (failure->error == EACCES || failure->error == EPERM || failure->error == EROFS)
		snprintf(hint, size,
			 "root may not do this here: is /sys read-only, as in a container?");
	else if (failure->error == EEXIST)
		snprintf(hint, size, "peerbar unbind %s", address);
	else if (failure->error == EOPNOTSUPP)
		snprintf(hint, size,
			 "this one stays where it is; `peerbar devices --all` lists "
			 "others");
	else if (binds(cli) && failure->error == ENOENT && cli->driver)
		snprintf(hint, size,
			 "load the driver first, with modprobe, or do without --driver");
	else if (binds(cli) && !caps.vfio_pci)
		snprintf(hint, size, "load the driver first: modprobe vfio-pci");
	else if (binds(cli) && !caps.iommu)
		snprintf(hint, size,
			 "vfio-pci wants an IOMMU: turn it on in the firmware, and on "
			 "Intel boot with intel_iommu=on");
	else
		snprintf(hint, size, "dmesg may tell more; `peerbar doctor` says what is missing");
}

static struct json_object *report(const struct cli *cli, const struct failure *failure)
{
	failure_print(cli, failure);
	return failure_json(cli, failure);
}

static void use_hint(const struct cli *cli, const struct uses *uses, struct failure *failure)
{
	const char *address = failure->address;
	char *hint = failure->hint;
	size_t size = sizeof(failure->hint);

	if (uses->bridge)
		snprintf(hint, size, "`peerbar devices --all` lists the devices behind it");
	else if (failure->error != EBUSY && geteuid())
		write_hint(cli, address, failure);
	else if (failure->error != EBUSY)
		snprintf(hint, size,
			 "see that it is not in use, and say --force to do without "
			 "this check");
	else if (binds(cli))
		snprintf(hint, size, "stop using it first, or say --force to cut it off");
	else
		snprintf(hint, size,
			 "end the program that has it open, or say --force to wait "
			 "until it lets go");
}

/* Devices that this machine would miss, or that somebody has open, are left alone. */
static struct json_object *refuse(struct cli *cli, const struct outcome *outcomes, size_t count)
{
	const char *address = outcomes[0].info.address;
	struct failure failure = {.address = address};
	struct uses uses = {.named = address};
	struct json_object *error;

	cli_forget(cli);
	for (size_t i = 0; i < count; i++)
		if (outcomes[i].was_bound != binds(cli))
			uses_add(cli, &uses, outcomes[i].info.address);
	if (!uses.error)
		return NULL;
	failure.error = uses.error;
	memcpy(cli->last_error, uses.text, sizeof(uses.text));
	snprintf(failure.tried, sizeof(failure.tried), "not %sing %s%s", cli->command->name,
		 count > 1 ? "the IOMMU group of " : "", address);
	use_hint(cli, &uses, &failure);
	error = report(cli, &failure);
	if (uses.list)
		json_object_object_add(error, "uses", uses.list);
	return error;
}

/* Steps ---------------------------------------------------------------------- */

static int bind_by_library(struct cli *cli, const char *address)
{
	struct peerbar_bind_options options = {
		.size = sizeof(options),
		.driver = cli->driver,
		.flags = (cli_has(cli, CLI_OPT_FORCE) ? PEERBAR_BIND_FORCE : 0) |
			 (cli_has(cli, CLI_OPT_GROUP) ? PEERBAR_BIND_GROUP : 0) |
			 (cli_has(cli, CLI_OPT_DRY_RUN) ? PEERBAR_BIND_DRY_RUN : 0),
	};
	char driver[64];
	int ret;

	if (cli->driver && !strcmp(cli->driver, "auto")) {
		ret = peerbar_device_find_driver(cli->pb, address, driver, sizeof(driver));
		if (ret)
			return ret;
		options.driver = driver;
	}
	return peerbar_device_bind(cli->pb, address, &options);
}

static int unbind_by_library(struct cli *cli, const char *address)
{
	const struct peerbar_unbind_options options = {
		.size = sizeof(options),
		.flags = cli_has(cli, CLI_OPT_FORCE) ? PEERBAR_UNBIND_FORCE : 0,
	};

	if (cli_has(cli, CLI_OPT_DRY_RUN))
		return 0;
	return peerbar_device_unbind(cli->pb, address, &options);
}

static struct json_object *change(struct cli *cli, const char *address)
{
	struct failure failure = {.address = address};
	int ret;

	cli_forget(cli);
	ret = binds(cli) ? bind_by_library(cli, address) : unbind_by_library(cli, address);
	if (!ret)
		return NULL;
	failure.error = -ret;
	snprintf(failure.tried, sizeof(failure.tried),
		 binds(cli) ? "cannot bind %s to %s" : "cannot unbind %s from %s", address,
		 cli->driver && strcmp(cli->driver, "auto") ? cli->driver : "vfio-pci");
	write_hint(cli, address, &failure);
	return report(cli, &failure);
}

/* What it is like now, not when it was found: an address may have been given twice. */
static void look(struct cli *cli, struct outcome *outcome)
{
	struct peerbar_binding_info binding = {.size = sizeof(binding)};

	peerbar_device_lookup(cli->pb, outcome->info.address, &outcome->info);
	if (!peerbar_device_binding(cli->pb, outcome->info.address, &binding))
		outcome->was_interrupted = binding.state == PEERBAR_BINDING_INTERRUPTED;
	outcome->was_bound = outcome->info.vfio_bound;
}

static bool nothing_to_do(const struct cli *cli, const struct outcome *outcomes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (outcomes[i].was_bound != binds(cli) || outcomes[i].was_interrupted)
			return false;
	return !binds(cli) || !cli->driver;
}

/* One device, or all of a group. */
static void act(struct cli *cli, struct outcome *outcomes, size_t count)
{
	struct json_object *error = NULL;

	for (size_t i = 0; i < count; i++)
		look(cli, &outcomes[i]);
	if (nothing_to_do(cli, outcomes, count))
		return;
	if (!cli_has(cli, CLI_OPT_FORCE))
		error = refuse(cli, outcomes, count);
	if (!error)
		error = change(cli, outcomes[0].info.address);
	for (size_t i = 0; i < count; i++) {
		struct outcome *outcome = &outcomes[i];

		outcome->error = json_object_get(error);
		/* If it has gone, what was known stands. */
		peerbar_device_lookup(cli->pb, outcome->info.address, &outcome->info);
		if (cli_has(cli, CLI_OPT_DRY_RUN))
			outcome->changed = !error && (outcome->was_bound != binds(cli) ||
						      outcome->was_interrupted);
		else
			outcome->changed =
				!error && (outcome->info.vfio_bound != outcome->was_bound ||
					   outcome->was_interrupted);
	}
	json_object_put(error);
}

/* Words ---------------------------------------------------------------------- */

/* To PCI or CardBus: others are devices like any. */
static bool is_bridge(const struct peerbar_device_info *info)
{
	unsigned int kind = info->class_code >> 8;

	return kind == 0x0604 || kind == 0x0607 || kind == 0x0609;
}

/*
 * A group is usable only when all of it is: name a device that stands in the
 * way, of those in the same group. Bridges do not, nor does what pci-stub keeps.
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
			!other->vfio_bound && !is_bridge(other) &&
			strcmp(other->driver, "pci-stub");
		if (found)
			*hindrance = *other;
	}
	peerbar_free_devices(infos);
	return found;
}

static bool note_for(struct cli *cli, const struct outcome *outcome, char *note, size_t size)
{
	struct peerbar_device_info other;

	if (!binds(cli) || outcome->error || cli_has(cli, CLI_OPT_DRY_RUN) ||
	    !find_hindrance(cli, &outcome->info, &other))
		return false;
	snprintf(note, size, "its IOMMU group %d is not free yet: bind %s (driver %s), too",
		 other.iommu_group, other.address, other.driver);
	return true;
}

static const char *driver_of(const struct outcome *outcome)
{
	return *outcome->info.driver ? outcome->info.driver : "none";
}

static void print_bound(const struct cli *cli, const struct outcome *outcome)
{
	if (!outcome->changed)
		printf("was already bound to %s\n", driver_of(outcome));
	else if (cli_has(cli, CLI_OPT_DRY_RUN))
		printf("would be bound to %s; its driver is %s\n",
		       cli->driver ? cli->driver : "vfio-pci", driver_of(outcome));
	else
		printf("bound to %s%s\n", driver_of(outcome),
		       outcome->was_interrupted ? ", which had been interrupted before" : "");
}

static void print_unbound(const struct cli *cli, const struct outcome *outcome)
{
	const char *done = outcome->was_interrupted ? "put right after an interruption" : "unbound";

	if (!outcome->changed)
		done = "was not bound to vfio-pci";
	else if (cli_has(cli, CLI_OPT_DRY_RUN))
		done = outcome->was_interrupted ? "would be put right after an interruption"
						: "would be unbound";
	printf("%s; its driver is %s\n", done, driver_of(outcome));
}

static void print_outcome(struct cli *cli, const struct outcome *outcome)
{
	char note[160];

	if (outcome->error)
		return;
	printf("%s  ", outcome->info.address);
	if (binds(cli))
		print_bound(cli, outcome);
	else
		print_unbound(cli, outcome);
	if (note_for(cli, outcome, note, sizeof(note)))
		printf("  note: %s\n", note);
}

static struct json_object *outcome_json(struct cli *cli, const struct outcome *outcome)
{
	struct json_object *object = json_object_new_object();
	const struct peerbar_device_info *info = &outcome->info;
	bool dry = cli_has(cli, CLI_OPT_DRY_RUN);
	char note[160];

	json_object_object_add(object, "address", json_object_new_string(info->address));
	json_object_object_add(object, "ok", json_object_new_boolean(!outcome->error));
	json_object_object_add(object, "changed",
			       json_object_new_boolean(!dry && outcome->changed));
	if (dry)
		json_object_object_add(object, "would_change",
				       json_object_new_boolean(outcome->changed));
	json_object_object_add(object, "interrupted",
			       json_object_new_boolean(outcome->was_interrupted));
	json_object_object_add(object, "bound", json_object_new_boolean(info->vfio_bound));
	json_object_object_add(object, "driver",
			       *info->driver ? json_object_new_string(info->driver) : NULL);
	if (note_for(cli, outcome, note, sizeof(note)))
		json_object_object_add(object, "note", json_object_new_string(note));
	if (outcome->error)
		json_object_object_add(object, "error", json_object_get(outcome->error));
	return object;
}

static void print_outcomes(struct cli *cli, const struct outcomes *outcomes)
{
	struct json_object *document, *list;

	if (!cli_has(cli, CLI_OPT_JSON)) {
		for (size_t i = 0; i < outcomes->count; i++)
			print_outcome(cli, &outcomes->list[i]);
		return;
	}
	document = json_object_new_object();
	list = json_object_new_array();
	for (size_t i = 0; i < outcomes->count; i++)
		json_object_array_add(list, outcome_json(cli, &outcomes->list[i]));
	json_object_object_add(document, "devices", list);
	out_json(document);
}

/* The command ---------------------------------------------------------------- */

static enum cli_status add(struct cli *cli, struct outcomes *outcomes,
			   const struct peerbar_device_info *info)
{
	struct failure failure = {.error = ENOMEM, .tried = "cannot start"};
	struct outcome *grown;

	grown = realloc(outcomes->list, (outcomes->count + 1) * sizeof(*grown));
	if (!grown) {
		failure_report(cli, &failure);
		return CLI_FAILED;
	}
	outcomes->list = grown;
	grown[outcomes->count++] = (struct outcome){.info = *info};
	return CLI_OK;
}

static bool same_group(const struct outcome *a, const struct outcome *b)
{
	return a->info.iommu_group >= 0 && a->info.iommu_group == b->info.iommu_group;
}

/* The device itself comes first, for it is the one that the user named. */
static enum cli_status add_group(struct cli *cli, struct outcomes *outcomes,
				 const struct peerbar_device_info *info)
{
	struct failure failure = {.tried = "cannot list the PCI devices"};
	struct peerbar_device_info *infos;
	enum cli_status status;
	size_t count;
	int ret;

	for (size_t i = 0; i < outcomes->count; i++)
		if (same_group(&outcomes->list[i], &(struct outcome){.info = *info}))
			return CLI_OK;
	ret = peerbar_list_devices(cli->pb, &infos, &count);
	if (ret) {
		failure.error = -ret;
		failure_report(cli, &failure);
		return CLI_FAILED;
	}
	status = add(cli, outcomes, info);
	for (size_t i = 0; i < count && !status; i++)
		if (infos[i].iommu_group == info->iommu_group && info->iommu_group >= 0 &&
		    strcmp(infos[i].address, info->address) && !is_bridge(&infos[i]))
			status = add(cli, outcomes, &infos[i]);
	peerbar_free_devices(infos);
	return status;
}

/* A slip in the last address shall not leave the first ones changed. */
static enum cli_status find_all(struct cli *cli, struct outcomes *outcomes)
{
	struct peerbar_device_info info;
	enum cli_status status = CLI_OK;

	for (int i = 0; i < cli->nr_operands && !status; i++) {
		status = cli_lookup(cli, cli->operands[i], &info);
		if (!status)
			status = cli_has(cli, CLI_OPT_GROUP) ? add_group(cli, outcomes, &info)
							     : add(cli, outcomes, &info);
	}
	return status;
}

static enum cli_status act_on_all(struct cli *cli, struct outcomes *outcomes)
{
	enum cli_status status = CLI_OK;
	size_t end;

	for (size_t i = 0; i < outcomes->count; i = end) {
		struct outcome *first = &outcomes->list[i];

		for (end = i + 1; end < outcomes->count && cli_has(cli, CLI_OPT_GROUP); end++)
			if (!same_group(first, &outcomes->list[end]))
				break;
		act(cli, first, end - i);
		if (first->error)
			status = CLI_FAILED;
	}
	return status;
}

static enum cli_status bind_or_unbind(struct cli *cli)
{
	struct outcomes outcomes = {.count = 0};
	enum cli_status status;

	if (cli_open(cli))
		return CLI_FAILED;
	status = find_all(cli, &outcomes);
	if (!status) {
		status = act_on_all(cli, &outcomes);
		print_outcomes(cli, &outcomes);
	}
	for (size_t i = 0; i < outcomes.count; i++)
		json_object_put(outcomes.list[i].error);
	free(outcomes.list);
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
