/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "output.h"

static const char *const escapes[] = {
	[OUT_PLAIN] = "",	[OUT_BOLD] = "\033[1m",
	[OUT_DIM] = "\033[2m",	[OUT_GOOD] = "\033[32m",
	[OUT_BAD] = "\033[31m", [OUT_DOUBT] = "\033[33m",
	[OUT_ALARM] = "\033[1;31m",
};

static bool colour_wanted(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (!isatty(STDOUT_FILENO) || (no_color && *no_color))
		return false;
	return term && *term && strcmp(term, "dumb");
}

void out_styled(enum out_style style, const char *format, ...)
{
	bool colour = style != OUT_PLAIN && colour_wanted();
	va_list args;

	if (colour)
		fputs(escapes[style], stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	if (colour)
		fputs("\033[0m", stdout);
}

static unsigned int terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	unsigned long width = 0;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		width = size.ws_col;
	if (!width && columns)
		width = strtoul(columns, NULL, 10);
	if (!width)
		width = 80;
	return width < 60 ? 60 : width > 120 ? 120 : width;
}

void out_wrapped(const char *text, unsigned int column, unsigned int indent)
{
	const unsigned int width = terminal_width();
	bool first = true;

	while (*text) {
		size_t length = strcspn(text, " ");

		if (!first && column + 1 + length > width) {
			printf("\n%*s", (int)indent, "");
			column = indent;
			first = true;
		}
		printf("%s%.*s", first ? "" : " ", (int)length, text);
		column += length + !first;
		first = false;
		text += length + strspn(text + length, " ");
	}
	putchar('\n');
}

/* One decimal where the size is not a whole number of its unit. */
struct out_size out_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	struct out_size size;
	unsigned int shift = 0;
	uint64_t rest;

	while (bytes >> shift >= 1024)
		shift += 10;
	rest = bytes - (bytes >> shift << shift);
	if (rest)
		snprintf(size.text, sizeof(size.text), "%u.%u %s", (unsigned int)(bytes >> shift),
			 (unsigned int)((rest >> (shift - 10)) * 10 / 1024), units[shift / 10]);
	else
		snprintf(size.text, sizeof(size.text), "%u %s", (unsigned int)(bytes >> shift),
			 units[shift / 10]);
	return size;
}

void out_json(struct json_object *document)
{
	puts(json_object_to_json_string_ext(document,
					    JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(document);
}

/*
 * Large enough for all that is ever printed: so the one write at the end either
 * works or says why it does not, and devices are dealt with before a reader
 * that has gone away can end the program.
 */
static char buffer[1 << 20];

void out_open(void)
{
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

bool out_close(void)
{
	bool failed = ferror(stdout);
	int error = 0;

	/* A full disk may only be noticed when the last bytes go out. */
	if (fflush(stdout) || fclose(stdout)) {
		error = errno;
		failed = true;
	}
	if (!failed)
		return true;
	/* A reader that has gone away knows that it has. */
	if (error != EPIPE)
		fprintf(stderr, "peerbar: writing the output failed%s%s\n"
			"  to do:   make room, or send the output somewhere else\n",
			error ? ": " : "", error ? strerror(error) : "");
	return false;
}
