/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Test Anything Protocol, the little of it that the unit tests need.
 */
#ifndef UNIT_TAP_H
#define UNIT_TAP_H

#include <stdbool.h>

/* One test point; says what was expected and what came when they differ. */
bool ok(bool condition, const char *name, ...) __attribute__((format(printf, 2, 3)));
bool is_int(long long got, long long want, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
bool is_str(const char *got, const char *want, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
/* True if @needle is in @text. */
bool has_str(const char *text, const char *needle, const char *name, ...)
	__attribute__((format(printf, 3, 4)));
void skip(const char *reason, const char *name, ...) __attribute__((format(printf, 2, 3)));
/* A line for a person. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The test cannot go on. */
_Noreturn void bail_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints the plan; main() returns it. */
int done_testing(void);

#endif /* UNIT_TAP_H */
