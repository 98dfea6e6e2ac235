// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

static unsigned int points, failures;

static bool point(bool good, const char *name, va_list args)
{
	printf("%sok %u - ", good ? "" : "not ", ++points);
	vprintf(name, args);
	printf("\n");
	fflush(stdout);
	failures += !good;
	return good;
}

bool ok(bool condition, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	point(condition, name, args);
	va_end(args);
	return condition;
}

bool is_int(long long got, long long want, const char *name, ...)
{
	va_list args;

	va_start(args, name);
	point(got == want, name, args);
	va_end(args);
	if (got != want)
		note("got %lld (%#llx), want %lld (%#llx)", got, (unsigned long long)got, want,
		     (unsigned long long)want);
	return got == want;
}

bool is_str(const char *got, const char *want, const char *name, ...)
{
	bool good = got && !strcmp(got, want);
	va_list args;

	va_start(args, name);
	point(good, name, args);
	va_end(args);
	if (!good)
		note("got \"%s\", want \"%s\"", got ? got : "(null)", want);
	return good;
}

bool has_str(const char *text, const char *needle, const char *name, ...)
{
	bool good = text && strstr(text, needle);
	va_list args;

	va_start(args, name);
	point(good, name, args);
	va_end(args);
	if (!good)
		note("\"%s\" is not in \"%s\"", needle, text ? text : "(null)");
	return good;
}

void skip(const char *reason, const char *name, ...)
{
	va_list args;

	printf("ok %u - ", ++points);
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	printf(" # SKIP %s\n", reason);
}

void note(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

void bail_out(const char *format, ...)
{
	va_list args;

	printf("Bail out! ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

int done_testing(void)
{
	printf("1..%u\n", points);
	return failures ? 1 : 0;
}
