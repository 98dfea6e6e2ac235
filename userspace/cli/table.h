/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The command table: the one place that knows which commands and options
 * there are. Parsing, usage, help and completion are all driven by it.
 *
 * Plain data and plain C, because the build compiles it a second time for the
 * program that writes the completion file.
 */
#ifndef PEERBAR_CLI_TABLE_H
#define PEERBAR_CLI_TABLE_H

#include <stddef.h>

enum cli_command_id {
	CLI_DEVICES,
	CLI_DOCTOR,
	CLI_BIND,
	CLI_UNBIND,
	CLI_HELP,
	CLI_NR_COMMANDS,
};

enum cli_option_id {
	CLI_OPT_ALL,
	CLI_OPT_DEVICE,
	CLI_OPT_DRIVER,
	CLI_OPT_DRY_RUN,
	CLI_OPT_FORCE,
	CLI_OPT_GROUP,
	CLI_OPT_JSON,
	CLI_OPT_PASSIVE,
	CLI_OPT_PROGRAM,
	CLI_OPT_VERBOSE,
	CLI_OPT_HELP,
	CLI_OPT_VERSION,
	CLI_NR_OPTIONS,
};

#define CLI_BIT(option) (1u << (option))

/* What the shell can offer for an operand or for an option's value. */
enum cli_words {
	CLI_WORDS_NONE,
	CLI_WORDS_PCI,	 /* addresses of PCI devices */
	CLI_WORDS_BOUND, /* addresses of devices bound to vfio-pci */
	CLI_WORDS_COMMAND,
	CLI_WORDS_FILE,
	CLI_WORDS_DRIVER, /* drivers of vfio, or "auto" */
};

struct cli_option {
	const char *name;
	char letter;
	const char *value; /* NULL: takes none */
	enum cli_words words;
	const char *help;
};

struct cli_command {
	const char *name;
	const char *operands; /* as shown in the usage line */
	const char *summary;
	const char *details;
	unsigned int min_operands;
	unsigned int max_operands; /* 0: as many as given, if min is not 0 */
	enum cli_words words;
	unsigned int options; /* CLI_BIT()s */
};

extern const struct cli_option cli_options[CLI_NR_OPTIONS];
extern const struct cli_command cli_commands[CLI_NR_COMMANDS];

/* The options that may stand where the command stands. */
#define CLI_GLOBAL_OPTIONS (CLI_BIT(CLI_OPT_HELP) | CLI_BIT(CLI_OPT_VERSION))

/* NULL when there is no such command. */
const struct cli_command *cli_find_command(const char *name);

#endif
