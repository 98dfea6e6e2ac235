/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How failures are told: what was tried, what the answer was, what to do. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static void add_string(struct json_object *object, const char *key, const char *value)
{
	if (value && *value)
		json_object_object_add(object, key, json_object_new_string(value));
}

struct json_object *failure_json(const struct cli *cli, const struct failure *failure)
{
	struct json_object *object = json_object_new_object();

	if (cli->command)
		add_string(object, "command", cli->command->name);
	add_string(object, "address", failure->address);
	add_string(object, "tried", failure->tried);
	if (failure->error) {
		add_string(object, "errno", strerrorname_np(failure->error));
		add_string(object, "message", strerror(failure->error));
	}
	add_string(object, "detail", cli->last_error);
	add_string(object, "hint", failure->hint);
	return object;
}

void failure_print(const struct cli *cli, const struct failure *failure)
{
	fprintf(stderr, "peerbar: %s\n", failure->tried);
	if (*cli->last_error)
		fprintf(stderr, "  because: %s\n", cli->last_error);
	else if (failure->error)
		fprintf(stderr, "  because: %s\n", strerror(failure->error));
	if (*failure->hint)
		fprintf(stderr, "  to do:   %s\n", failure->hint);
}

void failure_report(const struct cli *cli, const struct failure *failure)
{
	struct json_object *document;

	failure_print(cli, failure);
	if (!cli_has(cli, CLI_OPT_JSON))
		return;
	document = json_object_new_object();
	json_object_object_add(document, "error", failure_json(cli, failure));
	out_json(document);
}

/* A word of the command line may hold anything; neither terminals nor JSON can. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

enum cli_status usage_error(const struct cli *cli, const char *format, ...)
{
	struct failure failure = { .error = 0 };
	va_list args;

	va_start(args, format);
	vsnprintf(failure.tried, sizeof(failure.tried), format, args);
	va_end(args);
	make_printable(failure.tried);
	if (cli->command)
		snprintf(failure.hint, sizeof(failure.hint), "see `peerbar help %s`",
			 cli->command->name);
	else
		snprintf(failure.hint, sizeof(failure.hint), "see `peerbar --help`");
	failure_report(cli, &failure);
	return CLI_USAGE;
}
