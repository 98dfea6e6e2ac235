/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The tool's use of the library, as far as commands share it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static void take_message(void *arg, enum peerbar_log_level level, const char *message)
{
	struct cli *cli = arg;

	if (cli_has(cli, CLI_OPT_VERBOSE))
		fprintf(stderr, "peerbar: library: %s\n", message);
	if (level != PEERBAR_LOG_ERROR)
		return;
	snprintf(cli->last_error, sizeof(cli->last_error), "%s", message);
}

enum cli_status cli_open(struct cli *cli)
{
	const struct peerbar_options options = {
		.size = sizeof(options),
		.log = take_message,
		.log_arg = cli,
	};
	struct failure failure = {
		.tried = "cannot look at this machine",
		.hint = "peerbar needs /sys, /proc and /dev mounted",
	};
	int ret = peerbar_open(&options, &cli->pb);

	if (!ret)
		return CLI_OK;
	failure.error = -ret;
	failure_report(cli, &failure);
	return CLI_FAILED;
}

void cli_close(struct cli *cli)
{
	peerbar_close(cli->pb);
	cli->pb = NULL;
}

void cli_forget(struct cli *cli)
{
	cli->last_error[0] = '\0';
}

enum cli_status cli_lookup(struct cli *cli, const char *address,
			   struct peerbar_device_info *info)
{
	struct failure failure = { .address = address };
	int ret;

	cli_forget(cli);
	ret = peerbar_device_lookup(cli->pb, address, info);
	if (!ret)
		return CLI_OK;
	if (ret == -EINVAL) {
		cli_forget(cli);
		return usage_error(cli, "\"%.60s\" is not a PCI address (one looks like 0000:00:04.0)",
				   address);
	}
	failure.error = -ret;
	snprintf(failure.tried, sizeof(failure.tried), "cannot find the device %s", address);
	snprintf(failure.hint, sizeof(failure.hint),
		 ret == -ENODEV ? "`peerbar devices --all` lists what there is" :
				  "`peerbar devices -v` may tell more");
	failure_report(cli, &failure);
	return CLI_FAILED;
}
