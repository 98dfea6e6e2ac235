/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <stdio.h>

#include "output.h"

static void print_options(unsigned int options)
{
	puts("\nOptions:");
	for (size_t i = 0; i < CLI_NR_OPTIONS; i++) {
		const struct cli_option *option = &cli_options[i];
		char name[32];

		if (!(options & CLI_BIT(i)))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", option->name,
			 option->value ? " " : "", option->value ? option->value : "");
		printf("  -%c, --%-14s %s\n", option->letter, name, option->help);
	}
}

static void print_usage(const struct cli_command *command)
{
	printf("usage: peerbar %s [OPTION...]%s%s\n", command->name,
		*command->operands ? " " : "", command->operands);
}

void help_command(const struct cli_command *command)
{
	print_usage(command);
	printf("\n%s: %s\n\n%s", command->name, command->summary, command->details);
	print_options(command->options);
}

void help_overview(void)
{
	puts("usage: peerbar COMMAND [OPTION...] [OPERAND...]\n\n"
	     "Makes PCI device memory usable by RDMA programs.\n\n"
	     "Commands:");
	for (size_t i = 0; i < CLI_NR_COMMANDS; i++) {
		char synopsis[32];

		snprintf(synopsis, sizeof(synopsis), "%s%s%s", cli_commands[i].name,
			 *cli_commands[i].operands ? " " : "", cli_commands[i].operands);
		printf("  %-16s %s\n", synopsis, cli_commands[i].summary);
	}
	print_options(CLI_GLOBAL_OPTIONS);
	puts("\nExit status: 0 done, 1 failed, 2 wrong usage. A device address, ADDR, is as lspci\n"
	     "prints it: 0000:00:04.0, or 00:04.0 for short.\n"
	     "`peerbar help COMMAND` tells more; so does peerbar(1).");
}
