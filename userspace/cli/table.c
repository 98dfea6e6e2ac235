/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <string.h>

#include "table.h"

const struct cli_option cli_options[CLI_NR_OPTIONS] = {
	[CLI_OPT_ALL] = {
		.name = "all", .letter = 'a',
		.help = "list devices without a memory BAR, too",
	},
	[CLI_OPT_DEVICE] = {
		.name = "device", .letter = 'd', .value = "ADDR",
		.words = CLI_WORDS_BOUND,
		.help = "ask this device, which must be bound",
	},
	[CLI_OPT_DRIVER] = {
		.name = "driver", .letter = 'D', .value = "NAME",
		.words = CLI_WORDS_DRIVER,
		.help = "bind to this driver of vfio; \"auto\": the one that suits",
	},
	[CLI_OPT_DRY_RUN] = {
		.name = "dry-run", .letter = 'n',
		.help = "say what would be done, and do nothing",
	},
	[CLI_OPT_FORCE] = {
		.name = "force", .letter = 'f',
		.help = "go ahead although something is using the device",
	},
	[CLI_OPT_GROUP] = {
		.name = "group", .letter = 'g',
		.help = "bind all of the device's IOMMU group, or nothing",
	},
	[CLI_OPT_JSON] = {
		.name = "json", .letter = 'j',
		.help = "print one JSON document for programs",
	},
	[CLI_OPT_PASSIVE] = {
		.name = "passive", .letter = 'p',
		.help = "open no device, and leave unknown what it takes one for",
	},
	[CLI_OPT_PROGRAM] = {
		.name = "program", .letter = 'x', .value = "FILE",
		.words = CLI_WORDS_FILE,
		.help = "also tell which libibverbs and provider this program gets",
	},
	[CLI_OPT_VERBOSE] = {
		.name = "verbose", .letter = 'v',
		.help = "say on standard error what is being tried",
	},
	[CLI_OPT_HELP] = {
		.name = "help", .letter = 'h',
		.help = "explain and exit",
	},
	[CLI_OPT_VERSION] = {
		.name = "version", .letter = 'V',
		.help = "print the version and exit",
	},
};

#define COMMON (CLI_BIT(CLI_OPT_JSON) | CLI_BIT(CLI_OPT_VERBOSE) | CLI_BIT(CLI_OPT_HELP))

const struct cli_command cli_commands[CLI_NR_COMMANDS] = {
	[CLI_DEVICES] = {
		.name = "devices",
		.operands = "",
		.summary = "list PCI devices and their memory BARs",
		.details =
			"Prints each PCI device that has a memory BAR: its address, vendor:device,\n"
			"class, driver, IOMMU group, and for each BAR its size and whether it is\n"
			"prefetchable and 64-bit. A device that is ready to be used by peerbar is\n"
			"marked \"bound\".\n",
		.options = COMMON | CLI_BIT(CLI_OPT_ALL),
	},
	[CLI_DOCTOR] = {
		.name = "doctor",
		.operands = "",
		.summary = "tell what this machine can and cannot do, and what would help",
		.details =
			"Each line names an ability, says yes or no, why, and what would change it.\n"
			"Kernel features are found out by asking a device that is bound to vfio-pci.\n"
			"Opening a device may reset it; a device in use by another program is left\n"
			"alone, and --passive opens none. As root, on a kernel that can dump page\n"
			"tables, the memory type of a write-combining mapping is read back as well.\n"
			"A program named with --program is read, never run.\n"
			"The exit status is 0 when the examination could be made, whatever it found.\n",
		.options = COMMON | CLI_BIT(CLI_OPT_DEVICE) | CLI_BIT(CLI_OPT_PASSIVE) |
			   CLI_BIT(CLI_OPT_PROGRAM),
	},
	[CLI_BIND] = {
		.name = "bind",
		.operands = "ADDR...",
		.summary = "hand devices to vfio-pci, so that peerbar can use them",
		.details =
			"Every address is looked up before the first device is touched. A device\n"
			"that is in use is refused, unless --force is given: a disk that is mounted\n"
			"or held in any other way, a network interface that is up, an active RDMA\n"
			"port, a display, virtual functions, a node that a program has open; and so\n"
			"is one of which that cannot be found out. A device that is bound already is\n"
			"left as it is; one that cannot be bound gets its driver back. Needs root.\n",
		.min_operands = 1,
		.words = CLI_WORDS_PCI,
		.options = COMMON | CLI_BIT(CLI_OPT_FORCE) | CLI_BIT(CLI_OPT_DRIVER) |
			   CLI_BIT(CLI_OPT_GROUP) | CLI_BIT(CLI_OPT_DRY_RUN),
	},
	[CLI_UNBIND] = {
		.name = "unbind",
		.operands = "ADDR...",
		.summary = "give devices back to the drivers they would have had",
		.details =
			"Every address is looked up before the first device is touched. A device\n"
			"that another program has open is refused, unless --force is given: the\n"
			"kernel then waits until that program lets go. What a bind that was killed\n"
			"has left behind is put right. Needs root.\n",
		.min_operands = 1,
		.words = CLI_WORDS_BOUND,
		.options = COMMON | CLI_BIT(CLI_OPT_FORCE) | CLI_BIT(CLI_OPT_DRY_RUN),
	},
	[CLI_HELP] = {
		.name = "help",
		.operands = "[COMMAND]",
		.summary = "explain peerbar, or one of its commands",
		.details = "Without a command: lists the commands.\n",
		.max_operands = 1,
		.words = CLI_WORDS_COMMAND,
		.options = CLI_BIT(CLI_OPT_HELP),
	},
};

const struct cli_command *cli_find_command(const char *name)
{
	for (size_t i = 0; i < CLI_NR_COMMANDS; i++)
		if (!strcmp(cli_commands[i].name, name))
			return &cli_commands[i];
	return NULL;
}
