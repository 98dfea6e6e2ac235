/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the commands of the peerbar tool share. */
#ifndef PEERBAR_CLI_CLI_H
#define PEERBAR_CLI_CLI_H

#include <stdbool.h>

#include <peerbar/peerbar.h>

#include "table.h"

/* Documented in peerbar(1). */
enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
};

struct cli {
	const struct cli_command *command;
	unsigned int options; /* CLI_BIT()s that were given */
	const char *device;   /* value of --device, or NULL */
	const char *program;  /* value of --program, or NULL */
	const char *driver;   /* value of --driver, or NULL */
	char **operands;
	int nr_operands;

	struct peerbar *pb;
	/* The library's last words of error; cleared by cli_forget(). */
	char last_error[512];
};

static inline bool cli_has(const struct cli *cli, enum cli_option_id option)
{
	return cli->options & CLI_BIT(option);
}

/* Opens cli->pb; says why when it cannot. */
enum cli_status cli_open(struct cli *cli);
void cli_close(struct cli *cli);
/* Call before trying something whose failure will be reported. */
void cli_forget(struct cli *cli);

/*
 * Finds the device an operand names, with its full address; says why when it
 * cannot: CLI_USAGE for what is no PCI address, CLI_FAILED for any other reason.
 */
enum cli_status cli_lookup(struct cli *cli, const char *address,
			   struct peerbar_device_info *info);

enum cli_status cmd_devices(struct cli *cli);
enum cli_status cmd_doctor(struct cli *cli);
enum cli_status cmd_bind(struct cli *cli);
enum cli_status cmd_unbind(struct cli *cli);

#endif
