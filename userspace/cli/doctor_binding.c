/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What binds and unbinds that were interrupted have left behind. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

struct leftovers {
	char devices[256]; /* their addresses, as a command line has them */
	char words[512];
	int error; /* a device could not be asked */
};

static void add(char *text, size_t size, const char *separator, const char *more)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used ? separator : "", more);
}

static void note_device(struct leftovers *left, const struct peerbar_device_info *info,
			const struct peerbar_binding_info *binding)
{
	char words[256];

	add(left->devices, sizeof(left->devices), " ", info->address);
	if (*binding->driver_override)
		snprintf(words, sizeof(words), "%s is to have the driver %s, and has %s",
			 info->address, binding->driver_override,
			 *info->driver ? info->driver : "none");
	else
		snprintf(words, sizeof(words), "%s has no driver any more, and had %s",
			 info->address, binding->former_driver);
	add(left->words, sizeof(left->words), "; ", words);
}

static void look_at(struct doctor *doctor, struct leftovers *left,
		    const struct peerbar_device_info *info)
{
	struct peerbar_binding_info binding = {.size = sizeof(binding)};
	int ret = peerbar_device_binding(doctor->cli->pb, info->address, &binding);

	/* It may have gone since it was listed. */
	if (ret && ret != -ENODEV)
		left->error = -ret;
	if (!ret && binding.state == PEERBAR_BINDING_INTERRUPTED)
		note_device(left, info, &binding);
}

static void tell(struct doctor *doctor, const struct leftovers *left)
{
	enum answer answer = *left->words ? ANSWER_NO : left->error ? ANSWER_UNKNOWN : ANSWER_YES;
	struct finding *finding =
		finding_add(doctor, GROUP_MACHINE, answer, "bindings", "drivers in place");

	if (answer == ANSWER_YES) {
		finding_why(finding, "no bind or unbind was interrupted");
	} else if (answer == ANSWER_UNKNOWN) {
		finding_why(finding, "the devices cannot be asked: %s",
			    *doctor->cli->last_error ? doctor->cli->last_error
						     : strerror(left->error));
		finding_fix(finding, "`peerbar devices -v` may tell more");
	} else {
		finding_why(finding, "%s: a bind or unbind was interrupted", left->words);
		finding_fix(finding, "sudo peerbar unbind %s, or bind to go on", left->devices);
	}
}

void doctor_examine_bindings(struct doctor *doctor)
{
	struct leftovers left = {.error = 0};
	struct peerbar_device_info *infos;
	size_t count = 0;
	int ret;

	cli_forget(doctor->cli);
	ret = peerbar_list_devices(doctor->cli->pb, &infos, &count);
	/* A machine without PCI has no such trouble. */
	if (ret && ret != -ENOENT)
		left.error = -ret;
	for (size_t i = 0; i < count; i++)
		look_at(doctor, &left, &infos[i]);
	tell(doctor, &left);
	if (!ret)
		peerbar_free_devices(infos);
}
