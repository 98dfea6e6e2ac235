/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Everything that reaches standard output and standard error. */
#ifndef PEERBAR_CLI_OUTPUT_H
#define PEERBAR_CLI_OUTPUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli.h"

enum out_style {
	OUT_PLAIN,
	OUT_BOLD,
	OUT_DIM,
	OUT_GOOD,
	OUT_BAD,
	OUT_DOUBT,
	OUT_ALARM,
};

/* Prints in a style where standard output is a terminal that takes it. */
void out_styled(enum out_style style, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Prints words from the current column on, wrapping back to column indent. */
void out_wrapped(const char *text, unsigned int column, unsigned int indent);

/* "64 MiB", "4 KiB", "1.5 GiB", "24 B". */
struct out_size {
	char text[24];
};
struct out_size out_size(uint64_t bytes);

/* Prints one document and a newline; takes over the reference. */
void out_json(struct json_object *document);

/* Call first. */
void out_open(void);
/* Flushes and closes standard output: false when something was not written. */
bool out_close(void);

/* A failure, in the three parts a person needs. Strings may be NULL. */
struct failure {
	const char *address; /* the device it is about */
	int error;	     /* positive errno, 0: not the kernel's word */
	char tried[192];
	char hint[320];
};

/* {"tried", "message", "errno", "hint", "address"} */
struct json_object *failure_json(const struct cli *cli,
				 const struct failure *failure);
/* The same for a person, on standard error. */
void failure_print(const struct cli *cli, const struct failure *failure);
/*
 * Reports a failure of the whole command: to standard error, and with --json
 * as {"error": {...}} on standard output as well.
 */
void failure_report(const struct cli *cli, const struct failure *failure);

/* CLI_USAGE, having said what is wrong with the command line. */
enum cli_status usage_error(const struct cli *cli, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Help texts, from the command table. */
void help_overview(void);
void help_command(const struct cli_command *command);

#endif
